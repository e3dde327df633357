"""A whole audit of six attributes of an MNIST-sized generator, with its page, against the clock.

    python benchmarks/speed/audit.py [--quick] [--attributes 6] [--out FILE]

prints one table and writes `results/audit.json`. The generator has the layers of DeepSCM's VAE of
MorphoMNIST (32x32, convolutions) with random weights, which are as slow as trained ones; its
attributes are smooth measures of the image, all of them associated, so that no pair is left out
early. Timed are `scm.discovery.audit` and `write_report`, as they are by default: all pairs, the
turned latent, 1,000 refits for each null. Seconds are by the clock; and of processor time, of all
threads together, which other jobs on the machine do not change. Both have the goal.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `scm audit`: threads wait without spinning

import torch
from _table import Table
from torch import Tensor

from scm.discovery.attributes import Attribute
from scm.discovery.audit import audit
from scm.discovery.report import write_report
from scm.mechanisms.deepscm import MorphoVAE
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.types import Categorical, Real

WHOLE, AUDIT, PAGE, LIMIT = "audit and page", "scm: audit", "scm: write_report", "three minutes"
GOAL_SECONDS = 180.0


def generator() -> LatentGenerator:
    vae = MorphoVAE(seed=0).eval().requires_grad_(False)
    vae.bind("X", {"thickness": Real(), "intensity": Real(), "digit": Categorical(10)})

    def images(z: Tensor) -> Tensor:
        digit = torch.full((len(z),), 3)
        parents = {"thickness": 2.5 + z[:, 0], "intensity": 150 + 40 * z[:, 1], "digit": digit}
        return vae.forward(parents, z[:, 2:])

    return LatentGenerator(images, 18, MorphoVAE.type)


def attributes(count: int) -> list[Attribute]:
    source = torch.Generator().manual_seed(0)
    shared = torch.randn(1024, generator=source)
    found = []
    for k in range(count):
        weights = shared + torch.randn(1024, generator=source)
        found.append(Attribute.from_measure(f"m{k}", lambda x, w=weights: x.flatten(1) @ w))
    return found


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds by the clock, of processor time, and what was made."""
    clock, processor = time.perf_counter(), time.process_time()
    found = work()
    return time.perf_counter() - clock, time.process_time() - processor, found


def main(arguments: Sequence[str] | None = None) -> Table:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a fraction of the samples")
    parser.add_argument("--attributes", type=int, default=6, help="how many (6)")
    parser.add_argument("--out", type=Path, help="results file, not results/audit.json")
    asked = parser.parse_args(arguments)
    few: dict[str, Any] = {"fit": 500, "block": 200, "moved": 50} if asked.quick else {}
    shown: dict[str, Any] = {"n": 500, "permutations": 99, "moved": 20} if asked.quick else {}
    made, read = generator(), attributes(asked.attributes)
    table = Table("audit", repeats=1)
    first, cpu_first, found = timed(lambda: audit(made, read, progress=False, **few))
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"generator": made, "attributes": read, "progress": False}
        then, cpu_then, _ = timed(
            lambda: write_report(found, Path(folder, "page"), **options, **shown)
        )
    work = f"{asked.attributes} attributes, {len(found.pairs)} pairs, 32x32 images"
    values = {WHOLE: [first + then], AUDIT: [first], PAGE: [then], LIMIT: [GOAL_SECONDS]}
    spent = {WHOLE: [cpu_first + cpu_then], LIMIT: [GOAL_SECONDS]}
    goals = None if asked.quick else {WHOLE: 1.0}
    table.compare(work, values, LIMIT, "s", goals)
    table.compare(f"{work}, processor time", spent, LIMIT, "CPU s", goals)
    table.show()
    words = f"{'--quick ' * asked.quick}--attributes {asked.attributes}"
    print(f"written: {table.save(f'python benchmarks/speed/audit.py {words}', asked.out)}")
    return table


if __name__ == "__main__":
    main()
