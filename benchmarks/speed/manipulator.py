"""How fast one round of manipulations is, against a loop of scipy's L-BFGS-B.

    python benchmarks/speed/manipulator.py [--quick] [--queries 100] [--repeats 3] [--out FILE]

prints one table of ratios measured in one run and writes `results/manipulator.json`. Both
sides minimise the same objective from the same starts, the images themselves: first with
-log P_c in place of 1 - P_c, then as it stands. scipy has torch's gradients, in float64, which
it needs. scipy on the objective as it stands alone is shown too: it is quick to stop, since
a sure network has no gradient there. Every row notes its mean objective, and ours the share of
queries whose objective is worse than the reference's by more than 0.001.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from _table import Table
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn import functional as F

from scm.datasets import digits, gratings, has_row
from scm.interventions import Objective
from scm.interventions.nearest_image import Query, minimised
from scm.learning import train_classifier

OURS = "all queries at once"
LOOP = "a loop of scipy's L-BFGS-B"
PLAIN = "a loop of scipy's L-BFGS-B, without the first stage"


def perceptron(pixels: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 100), nn.ReLU(), nn.Linear(100, classes))


def convolutions(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, classes),
    )


def together(objective: Objective, query: Query) -> Tensor:
    """Images that the library finds."""
    found = query.original
    with torch.no_grad():
        for surprise in (True, False):
            found = minimised(objective, query, found, surprise)
    return found


def one_by_one(objective: Objective, query: Query, stages: Sequence[bool]) -> Tensor:
    """Images that scipy finds, one query after the other."""
    network = copy.deepcopy(objective.networks[0]).double()
    exact = Objective([network], objective.metric, objective.alpha)
    images = query.original.double()
    rows = torch.arange(len(images))[:, None]
    found = [_alone(exact, Query(images[r], query.targets[r], images[r]), stages) for r in rows]
    return torch.cat(found)


def _alone(objective: Objective, query: Query, stages: Sequence[bool]) -> Tensor:
    shape = query.original.shape
    x = query.original.flatten().numpy()
    for surprise in stages:

        def function(x: np.ndarray, surprise: bool = surprise) -> tuple[float, np.ndarray]:
            image = torch.from_numpy(x).reshape(shape).requires_grad_()
            value = objective(image, query, surprise).sum()
            (gradient,) = torch.autograd.grad(value, image)
            return value.item(), gradient.flatten().numpy()

        x = minimize(function, x, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * len(x)).x
    return torch.from_numpy(x).reshape(shape)


def race(
    table: Table, work: str, images: Tensor, labels: Tensor, network: nn.Module, queries: int
) -> None:
    train_classifier(images, labels, model=network, steps=400, progress=False)
    generator = torch.Generator().manual_seed(0)
    starts = images[torch.randperm(len(images), generator=generator)[:queries]]
    classes = int(labels.max()) + 1
    with torch.no_grad():
        here = network(starts).argmax(-1)
    targets = (here + torch.randint(1, classes, (queries,), generator=generator)) % classes
    objective = Objective([network], alpha=0.5)
    query = Query(starts, targets, starts.new_zeros(queries, 1))
    systems: dict[str, Callable[[], Tensor]] = {
        OURS: lambda: together(objective, query),
        LOOP: lambda: one_by_one(objective, query, (True, False)),
        PLAIN: lambda: one_by_one(objective, query, (False,)),
    }
    values = {name: objective(find().float(), query).detach() for name, find in systems.items()}
    notes = {name: f"mean objective {value.mean():.5f}" for name, value in values.items()}
    worse = (values[OURS] > values[LOOP] + 1e-3).float().mean()
    notes[OURS] += f"; worse than {LOOP} by more than 0.001 in {worse:.0%} of the queries"
    table.race(work, systems, LOOP, {OURS: 1 / 20}, notes, warm=False)


def main(arguments: Sequence[str] | None = None) -> Table:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="ten queries, one repeat")
    parser.add_argument("--queries", type=int, help="images in a round (100)")
    parser.add_argument("--out", type=Path, help="results file, not results/manipulator.json")
    parser.add_argument("--repeats", type=int, help="turns of each system (3)")
    asked = parser.parse_args(arguments)
    queries = asked.queries or (10 if asked.quick else 100)
    table = Table("manipulator", repeats=asked.repeats or (1 if asked.quick else 3))

    small = digits()
    grey = F.interpolate(small.images, 28, mode="bilinear").clamp(0, 1)
    bars = gratings().sample(5_000, seed=0)["I"]
    of_bars = has_row(bars).long()
    labels = small.labels
    race(table, "grey 28x28, perceptron", grey, labels, perceptron(784, 10), queries)
    race(table, "grey 28x28, convolutions", grey, labels, convolutions(10), queries)
    race(table, "gratings 10x10, perceptron", bars, of_bars, perceptron(100, 2), queries)

    table.show()
    words = ["--quick"] * asked.quick + [f"--queries {queries} --repeats {table.repeats}"]
    print(
        f"written: {table.save(f'python benchmarks/speed/manipulator.py {words[-1]}', asked.out)}"
    )
    return table


if __name__ == "__main__":
    main()
