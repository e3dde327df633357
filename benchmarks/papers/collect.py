"""Bring finished full runs in, if any are named, and write README.md from all results.json.

python benchmarks/papers/collect.py [out/reproduce/NAME ...]
"""

import sys
from pathlib import Path

from scm.reproductions import collect

if __name__ == "__main__":
    print(collect(Path(__file__).parent, sys.argv[1:]))
