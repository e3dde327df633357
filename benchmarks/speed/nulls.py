"""1,000 permutation refits of a latent head: one shared Hessian against a loop over scikit-learn.

    python benchmarks/speed/nulls.py [--quick] [--repeats 3] [--out FILE]

prints one table of ratios measured in one run and writes `results/nulls.json`. Labels follow a
linear score of 128 standard normal latents, with noise; 5,000 rows. The weights of both are
compared with Newton's optimum (`scm.discovery.logistic.fit_logistic`) on 20 of the permutations.
The loop is timed on a tenth of the permutations, and the shared Hessian on all of them: the
loop's time is multiplied by ten, which is fair, since it does the same for each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from _table import Table
from torch import Tensor

from scm.discovery.logistic import fit_logistic, permutation_refits, permuted

OURS = "scm: permutation_refits"
LOOP = "scikit-learn: LogisticRegression in a loop"
SHARE = 10  # of the permutations, the loop is timed on one in so many


def examples(n: int, d: int) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=source)
    score = x @ torch.randn(d, generator=source) / d**0.5 + torch.randn(n, generator=source)
    return x, (score > 0.3).long()


def loop(x: Tensor, y: Tensor, orders: Tensor) -> Tensor:
    from sklearn.linear_model import LogisticRegression

    rows, labels = x.numpy(), y.numpy()
    fits = (LogisticRegression().fit(rows, labels[order]) for order in orders.numpy())
    return torch.stack([torch.from_numpy(fit.coef_[0]) for fit in fits])


def furthest(found: Tensor, exact: Tensor) -> float:
    found, exact = found.double(), exact.double()
    return float(((found - exact).norm(dim=1) / exact.norm(dim=1)).max())


def seconds(work: object) -> float:
    start = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> Table:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="500 rows, 16 latents, one repeat")
    parser.add_argument("--repeats", type=int, help="turns of each system (3)")
    parser.add_argument("--out", type=Path, help="results file, not results/nulls.json")
    asked = parser.parse_args(arguments)
    n, d, refits = (500, 16, 100) if asked.quick else (5000, 128, 1000)
    table = Table("nulls", repeats=asked.repeats or (1 if asked.quick else 3))
    x, y = examples(n, d)
    orders = permuted(n, refits)
    exact = torch.stack([fit_logistic(x, y[order])[0] for order in orders[:20]])
    ours = permutation_refits(x, y, refits, progress=False)[0][:20]
    far = {OURS: furthest(ours, exact), LOOP: furthest(loop(x, y, orders[:20]), exact)}
    assert far[OURS] < 0.01, far
    times: dict[str, list[float]] = {OURS: [], LOOP: []}
    for turn in range(table.repeats):
        part = orders[turn::SHARE]
        times[LOOP].append(seconds(lambda p=part: loop(x, y, p)) * refits / len(part))
        times[OURS].append(seconds(lambda: permutation_refits(x, y, refits, progress=False)))
    notes = {k: f"weights within {100 * v:.3g}% of the optimum" for k, v in far.items()}
    work = f"{refits:,} permuted refits, n = {n:,}, d = {d}"
    table.compare(work, times, LOOP, "s", {OURS: 1 / 30}, notes)
    table.show()
    words = f"{'--quick ' * asked.quick}--repeats {table.repeats}"
    print(f"written: {table.save(f'python benchmarks/speed/nulls.py {words}', asked.out)}")
    return table


if __name__ == "__main__":
    main()
