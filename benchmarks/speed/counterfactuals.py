"""What sharing saves: 10 x 10 x 10 counterfactual images of each unit of a CGN.

    python benchmarks/speed/counterfactuals.py [--quick] [--units 100] [--repeats 3] [--out FILE]

prints one table of ratios measured in one run and writes `results/counterfactuals.json`. The
engine sweeps the labels of shape, foreground and background of a CGN whose networks have the
published architecture (random weights: speed does not depend on their values); each network runs
once for each unit and label, and images are composed of the results. The reference is one full
pass, all three networks, for each image, in batches. The images of both are compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from _cgns import published
from _table import Table
from torch import Tensor

from scm.learning.cgn import CGN
from scm.mechanisms.cgn import compose
from scm.worlds.samples import Samples

OURS = "scm: one sweep"
PLAIN = "one pass of all networks for each image"
BATCH = 50  # of 25 to 1,000, about the fastest


def shared(units: Samples, labels: int) -> Tensor:
    """Images `(labels^3 * units, 3, 32, 32)`."""
    every = range(labels)
    images = units.sweep(Y1=every).sweep(Y2=every).sweep(Y3=every)["X"]
    return images.reshape(-1, 3, 32, 32)


def one_by_one(cgn: CGN, units: Samples, labels: int) -> Tensor:
    """The same images, from a full pass for each."""
    axis = torch.arange(labels)
    grid = torch.cartesian_prod(axis, axis, axis, torch.arange(units.n))
    out = torch.empty(len(grid), 3, 32, 32)
    noise = {node: units.noise[node] for node in ("M", "F", "B")}
    with torch.no_grad():
        for rows, images in zip(grid.split(BATCH), out.split(BATCH), strict=True):
            parts = [
                cgn.mechanisms[node].generate(noise[node][rows[:, 3]], rows[:, k])
                for k, node in enumerate(("M", "F", "B"))
            ]
            images.copy_(compose(*parts))
    return out


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference of a pixel."""
    pairs = zip(ours.split(BATCH), theirs.split(BATCH), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def main(arguments: Sequence[str] | None = None) -> Table:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three labels, one repeat")
    parser.add_argument("--units", type=int, help="units (100)")
    parser.add_argument("--repeats", type=int, help="turns of each system (3)")
    parser.add_argument("--out", type=Path, help="results file, not results/counterfactuals.json")
    asked = parser.parse_args(arguments)
    labels, n = (3, asked.units or 10) if asked.quick else (10, asked.units or 100)
    table = Table("counterfactuals", repeats=asked.repeats or (1 if asked.quick else 3))
    cgn = published()
    units = cgn.sample(n, seed=0)
    images: dict[str, Tensor] = {}

    def ours() -> None:
        images[OURS] = shared(units, labels)

    def plain() -> None:
        images[PLAIN] = one_by_one(cgn, units, labels)

    work = f"{labels}x{labels}x{labels} images of {n} units, 3x32x32"
    table.race(work, {OURS: ours, PLAIN: plain}, PLAIN, {OURS: 1 / 20}, warm=False)
    far = difference(images[OURS], images[PLAIN])
    table.rows[0].note = f"images as the reference's, largest difference {far:.1e}"
    assert far < 1e-4, table.rows[0].note
    table.show()
    words = f"{'--quick ' * asked.quick}--units {n} --repeats {table.repeats}"
    print(
        f"written: {table.save(f'python benchmarks/speed/counterfactuals.py {words}', asked.out)}"
    )
    return table


if __name__ == "__main__":
    main()
