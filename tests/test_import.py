"""``import scm`` does no work, prints nothing, and leaves the interpreter as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

HEAVY = {
    "captum",
    "cdt",
    "lightning",
    "lightning_fabric",
    "lingam",
    "matplotlib",
    "pandas",
    "pyarrow",
    "pyro",
    "pytorch_pretrained_biggan",
    "ray",
    "sklearn",
    "torchmetrics",
    "torchvision",
}

# Processor time: that of the wall depends on what else the machine is doing.
TIMED = """
import time
import torch
start = time.process_time()
import scm
print(time.process_time() - start)
"""

# Each entry is what a library could change behind its user's back.
STATE = """
import hashlib, json, locale, logging, multiprocessing, os, pickle, random, sys, warnings
import numpy, torch

def digest(value):
    return hashlib.sha256(pickle.dumps(value)).hexdigest()

def state():
    return {
        "torch.default_dtype": str(torch.get_default_dtype()),
        "torch.default_device": str(torch.get_default_device()),
        "torch.num_threads": torch.get_num_threads(),
        "torch.num_interop_threads": torch.get_num_interop_threads(),
        "torch.is_grad_enabled": torch.is_grad_enabled(),
        "torch.deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch.matmul_precision": torch.get_float32_matmul_precision(),
        "torch.printoptions": str(vars(torch._tensor_str.PRINT_OPTS)),
        "torch.validate_args": torch.distributions.Distribution._validate_args,
        "torch.rng": digest(torch.get_rng_state().numpy()),
        "numpy.rng": digest(numpy.random.get_state()),
        "numpy.errors": numpy.geterr(),
        "numpy.printoptions": str(numpy.get_printoptions()),
        "random": digest(random.getstate()),
        "warnings.filters": list(map(str, warnings.filters)),
        "warnings.formatwarning": str(warnings.formatwarning),
        "warnings.showwarning": str(warnings.showwarning),
        "logging": [str(logging.root.handlers), logging.root.level],
        "environ": dict(os.environ),
        "locale": locale.setlocale(locale.LC_ALL),
        "multiprocessing": multiprocessing.get_start_method(allow_none=True),
        "excepthook": str(sys.excepthook),
        "recursionlimit": sys.getrecursionlimit(),
    }

before = state()
import scm
after = state()
print(json.dumps({name: [before[name], after[name]] for name in before
                  if before[name] != after[name]}))
"""

MODULES = """
import json, sys
import scm
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def python(program: str) -> subprocess.CompletedProcess[str]:
    """Run ``program`` in a new interpreter, as a user's script would."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_import_is_quick() -> None:
    seconds = min(float(python(TIMED).stdout) for _ in range(3))
    print(f"import scm, after torch: {seconds:.3f} s")
    assert seconds < 0.5


def test_import_prints_nothing() -> None:
    done = python("import scm")
    assert done.stdout == ""
    assert done.stderr == ""


def test_import_changes_no_global_state() -> None:
    assert json.loads(python(STATE).stdout) == {}


def test_import_brings_in_nothing_heavy() -> None:
    assert HEAVY.intersection(json.loads(python(MODULES).stdout)) == set()


FIRST = """
import sys
import scm

model = scm.SCM(
    "K -> X; X -> Y; E",
    K=scm.Root.bernoulli(0.5),
    X=scm.Tabular([[0.5, 0.5], [0.2, 0.8]]),
    Y=scm.Additive(lambda X: 2.0 * X),
    E=scm.Root.empirical([0.0, 1.0]),
)
model.sweep(K=[0, 1]).sample(10, seed=0)
model.abduct({"K": [0, 1], "X": [1, 1], "E": [0.0, 1.0]}).do(K=1)
print("sympy" in sys.modules)
"""


def test_a_first_model_brings_in_no_computer_algebra() -> None:
    """Some functions of torch import sympy when first called, which takes half a second."""
    assert python(FIRST).stdout == "False\n"
