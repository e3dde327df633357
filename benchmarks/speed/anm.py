"""Which of two is the cause, by additive noise: against the ANM of cdt and of causal-learn.

    python benchmarks/speed/anm.py [--quick] [--rows 1000] [--repeats 1] [--out FILE]

prints one table of ratios measured in one run and writes `results/anm.json`. One pair, both
directions, Gaussian processes and HSIC on each side; then all pairs of 20 attributes at once,
which nothing else does in a batch, against three minutes. Seconds are of CPU time, of all threads
together: other jobs on the machine do not change them, and an idle machine's clock would show no
more. How often the answers are right is another table, `scm reproduce tuebingen`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from _table import Table
from torch import Tensor

from scm.discovery.neighbours import neighbour, quietly
from scm.discovery.pairwise import pairwise
from scm.errors import ScmError

OURS, SPLINE = "scm: pairwise, Gaussian process", "scm: pairwise, spline"
CDT, LEARN = "cdt: ANM", "causal-learn: ANM"
GOAL_RATIO, GOAL_SECONDS, UNIT = 1 / 20, 180.0, "CPU s"


def pair(n: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, e = torch.randn(2, n, generator=generator, dtype=torch.float64)
    return x, x + 0.5 * x**3 + e


def attributes(n: int, count: int) -> tuple[Tensor, Tensor]:
    """All pairs of a chain of attributes, `[pairs, n]` each."""
    generator = torch.Generator().manual_seed(1)
    columns = [torch.randn(n, generator=generator, dtype=torch.float64)]
    for _ in range(count - 1):
        noise = torch.randn(n, generator=generator, dtype=torch.float64)
        columns.append((columns[-1].tanh() + noise) / 1.2)
    places = list(combinations(range(count), 2))
    return tuple(torch.stack([columns[p[k]] for p in places]) for k in (0, 1))  # type: ignore


def causal_learn(x: Tensor, y: Tensor) -> Callable[[], Any] | None:
    try:
        kind = neighbour("causallearn.search.FCMBased.ANM.ANM:ANM")
    except ScmError:
        return None

    def call() -> Any:
        with quietly():
            return kind().cause_or_effect(x.numpy()[:, None], y.numpy()[:, None])

    return call


def cdt(x: Tensor, y: Tensor) -> Callable[[], Any] | None:
    try:
        neighbour("cdt.causality.pairwise:ANM")
    except ScmError:
        return None
    return lambda: pairwise(x, y, "cdt-anm")


def seconds(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def main(arguments: Sequence[str] | None = None) -> Table:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="200 rows, 5 attributes")
    parser.add_argument("--rows", type=int, help="rows of the pair (1,000)")
    parser.add_argument("--repeats", type=int, help="turns of each system (1)")
    parser.add_argument("--out", type=Path, help="results file, not results/anm.json")
    asked = parser.parse_args(arguments)
    n, count = asked.rows or (200 if asked.quick else 1_000), 5 if asked.quick else 20
    table = Table("anm", repeats=asked.repeats or 1)
    x, y = pair(n)
    found = pairwise(x, y)
    assert found.direction == "x->y", found
    systems = {
        OURS: lambda: pairwise(x, y),
        SPLINE: lambda: pairwise(x, y, regression="spline"),
        CDT: cdt(x, y),
        LEARN: causal_learn(x, y),
    }
    present = {name: call for name, call in systems.items() if call is not None}
    times: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(table.repeats):
        for name, call in present.items():
            times[name].append(seconds(call))
    goals = None if asked.quick else {OURS: GOAL_RATIO}
    for reference in (CDT, LEARN):
        race = {name: times[name] for name in (OURS, SPLINE, reference)}
        table.compare(f"ANM both ways, {n} rows", race, reference, UNIT, goals)
    a, b = attributes(n, count)
    every, limit = f"all {len(a)} pairs of {count} attributes, {n} rows", "three minutes"
    given = {OURS: [seconds(lambda: pairwise(a, b))], limit: [GOAL_SECONDS]}
    table.compare(every, given, limit, UNIT, {OURS: 1.0})
    table.show()
    words = f"{'--quick ' * asked.quick}--rows {n} --repeats {table.repeats}"
    print(f"written: {table.save(f'python benchmarks/speed/anm.py {words}', asked.out)}")
    return table


if __name__ == "__main__":
    main()
