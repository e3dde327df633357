"""The demonstration: what a classifier learns when colour gives the digit away.

A hidden cause ties the digit to its colour. A classifier trained on observed images learns
the colour; one trained on images made under `do(colour)`, in which the graph says that the
tie is cut, has to learn the shape. The digits are real; so are those of the test.
"""

from __future__ import annotations

import inspect
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from torch import Tensor
from torch.distributions import Categorical

import scm
from scm import CVAE, Image, Linear, Root, Samples, Structural, Tabular
from scm.datasets import Digits, digits
from scm.estimate import Estimate
from scm.figures import new_figure
from scm.learning import SmallCNN, accuracy, train_classifier

__all__ = ["Result", "Row", "declare", "run", "training_sets"]

COLOURS = {
    "red": (1.0, 0.2, 0.2),
    "orange": (1.0, 0.6, 0.1),
    "yellow": (1.0, 1.0, 0.2),
    "lime": (0.6, 1.0, 0.1),
    "green": (0.1, 1.0, 0.4),
    "cyan": (0.1, 1.0, 1.0),
    "blue": (0.2, 0.5, 1.0),
    "violet": (0.6, 0.4, 1.0),
    "pink": (1.0, 0.5, 0.9),
    "white": (1.0, 1.0, 1.0),
}
WORLDS: list[dict[str, Any]] = [
    {},  # the factual world
    {"colour": "red"},
    {"colour": "cyan"},
    {"digit": 3},
    {"digit": 6},
    {"ink": -3},
    {"ink": 3},
    {"digit": 0, "colour": "yellow"},
]


@dataclass(frozen=True)
class Settings:
    """How much work the demonstration does."""

    rows: int | None = None  # training images, all by default
    latent: int = 8
    hidden: int = 256
    beta: float = 1.0  # MNIST's latents would encode the digit as well, were they free
    epochs: int = 150
    batch: int = 100
    generated: int = 6000
    steps: int = 400
    stride: int = 1
    classifiers: int = 3

    def quick(self) -> Settings:
        """Return settings for a smoke test."""
        return replace(self, epochs=self.epochs // 4, classifiers=2)


SETTINGS = {
    "digits": Settings(),
    "mnist": Settings(20_000, 16, 512, 16.0, 12, 128, 20_000, 400, 2),
}


@dataclass(frozen=True)
class Row:
    """One line of the table: what a classifier was trained on, and how it did."""

    name: str
    images: int
    tied: Estimate
    free: Estimate


@dataclass(frozen=True)
class Result:
    """What the demonstration found, and the pictures that it saved."""

    rows: list[Row]
    pictures: list[Path]
    seconds: float


def declare(
    shape: tuple[int, int, int], latent: int = 8, hidden: int = 256, beta: float = 1.0
) -> scm.SCM:
    """Declare the graph, and bind each node to its mechanism."""
    graph = """
        cause -> digit, colour
        digit -> ink
        digit, ink -> shape
        shape, colour -> image
    """
    return scm.SCM(
        graph,
        latent=["cause"],
        cause=Root.categorical([0.1] * 10),
        digit=Tabular(torch.eye(10)),
        colour=Tabular(torch.eye(10), levels=list(COLOURS)),
        ink=Linear(),
        shape=CVAE(Image(shape), latent, [hidden], beta=beta),
        image=Structural(paint, type=Image((3, *shape[1:]))),
    )


def training_sets(model: scm.SCM, units: Samples, n: int, seed: int) -> dict[str, Samples]:
    """Make three training sets: the observed images, and two under do(colour)."""
    random = Categorical(torch.ones(10))
    generated = model.do(colour=random).sample(n, seed)
    recoloured = units.sweep(colour=list(COLOURS))
    return {
        "observed": units,
        "do(colour), generated": generated,
        "do(colour), observed units": recoloured,
    }


def paint(shape: Tensor, colour: Tensor) -> Tensor:
    """Paint grey images `(*, 1, h, w)` in colours `(*, 1, 1, 1)`."""
    rgb = torch.tensor(list(COLOURS.values())).to(shape)[colour[..., 0, 0, 0]]
    return shape.clamp(0, 1) * rgb[..., None, None]


def run(
    data: Literal["digits", "mnist"] = "digits",
    out: str | Path = "out/demo",
    seed: int = 0,
    quick: bool = False,
    console: Console | None = None,
) -> Result:
    """Run the demonstration.

    Args:
        data: "digits" (scikit-learn's, no download) or "mnist".
        out: Folder for the pictures.
        seed: Seed of everything random.
        quick: Fit and train for a fraction of the time.
        console: Where to print; standard output by default.

    Raises:
        ScmError: If scikit-learn, matplotlib or MNIST is missing.
    """
    console = console or Console(highlight=False)
    start = time.perf_counter()
    real, out = digits(data), Path(out)
    options = SETTINGS[data].quick() if quick else SETTINGS[data]
    out.mkdir(parents=True, exist_ok=True)

    model = declare(real.shape, options.latent, options.hidden, options.beta)
    pictures = [out / "graph.png", out / "worlds.png"]
    model.graph.draw().figure.canvas.print_figure(pictures[0], dpi=150)
    console.print(f"\n[bold]The graph[/bold], declared before any data\n  {model.graph}")
    console.print(f"  hidden: {', '.join(model.graph.latent)}; data: {real}")

    train, test = rows_of(real, options.rows)
    console.print("\n[bold]Fit[/bold] ink (least squares) and shape (a CVAE) to real digits")
    training = {"epochs": options.epochs, "batch": options.batch, "lr": 3e-3, "seed": seed}
    model.fit(train, nodes=["ink", "shape"], **training)
    # The hidden cause is drawn from P(cause | digit), exactly; it gives each digit its colour.
    units, held_out = model.abduct(train, seed=seed), model.abduct(test, seed=seed + 1)
    recoloured = held_out.do(colour=Categorical(torch.ones(10)))

    rows = []
    for name, samples in training_sets(model, units, options.generated, seed + 1).items():
        images, labels = samples["image"].flatten(0, -4), samples["digit"].flatten()
        steps: dict[str, Any] = {"steps": options.steps, "batch": 64, "title": name}
        classifiers = []
        for k in range(seed, seed + options.classifiers):
            network = SmallCNN(3, stride=options.stride, seed=k)
            classifiers.append(train_classifier(images, labels, model=network, seed=k, **steps))
        scores = [accuracy(classifiers, w["image"], w["digit"]) for w in (held_out, recoloured)]
        rows.append(Row(name, len(labels), *scores))
    draw_worlds(held_out, WORLDS, pictures[1])

    result = Result(rows, pictures, time.perf_counter() - start)
    _report(console, result, options.classifiers)
    return result


def rows_of(real: Digits, rows: int | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return what was measured of the real digits, to train on and to test with.

    The ink is the mean of the pixels, in standard deviations of the training images.
    """
    brightness = real.images[:rows].mean((1, 2, 3))
    mean, deviation = brightness.mean(), brightness.std()

    def measured(images: Tensor, digit: Tensor) -> dict[str, Tensor]:
        ink = (images.mean((1, 2, 3)) - mean) / deviation
        return {"digit": digit, "ink": ink, "shape": images}

    train = measured(real.images[:rows], real.labels[:rows])
    return train, measured(real.test_images, real.test_labels)


def draw_worlds(units: Samples, worlds: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the first unit of each of some digits, one a row, in several worlds, one a column."""
    first = [int((units["digit"] == k).nonzero()[0]) for k in (2, 4, 5, 7, 8, 9)]
    chosen = units[first]
    height, width = chosen.n, len(worlds)
    figure = new_figure(1.25 * width, 1.25 * height + 0.5)
    grid = figure.subplots(height, width, gridspec_kw={"wspace": 0.06, "hspace": 0.06})
    for column, act in enumerate(worlds):
        world = chosen.do(act) if act else chosen
        title = ",\n".join(f"{node} = {value}" for node, value in act.items())
        grid[0, column].set_title(f"do\n{title}" if act else "factual", fontsize=9)
        for row in range(height):
            ax = grid[row, column]
            ax.imshow(world["image"][row].permute(1, 2, 0).numpy(), interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set(color="black" if act else "crimson", linewidth=0.5 if act else 2.0)
    figure.savefig(path, dpi=150, bbox_inches="tight")


def _report(console: Console, result: Result, classifiers: int) -> None:
    table = Table(title="Accuracy on held-out real digits", title_justify="left")
    table.add_column("classifier trained on")
    table.add_column("images", justify="right")
    table.add_column("colour tied", justify="right")
    table.add_column("colour random", justify="right", style="bold")
    for row in result.rows:
        cells = (f"{100 * e.value:.1f} +- {100 * e.stderr:.1f} %" for e in (row.tied, row.free))
        table.add_row(row.name, f"{row.images:,}", *cells)
    console.print()
    console.print(table)
    console.print(
        f"+- is one standard error, over {result.rows[0].free.n:,} digits and {classifiers} "
        "trainings of each classifier. Row 2 saw no real image, only the fitted model's. Row 3 saw "
        "the observed digits as they would have been in every colour; there the mechanism that "
        "paints is the true one, so it is a ceiling."
    )
    console.print("\n[bold]The code[/bold] that declares the model and makes the training sets")
    for function in (declare, training_sets):
        code = _body(function)
        console.print(Syntax(code, "python", theme="ansi_light", background_color="default"))
        console.print()
    console.print("[bold]Pictures[/bold]")
    for path, what in zip(
        result.pictures, ("the graph", "the same digits in eight worlds"), strict=True
    ):
        console.print(f"  {path}  ({what})", soft_wrap=True)
    console.print(f"  {result.seconds:.0f} s in all\n")


def _body(function: Any) -> str:
    """Source of a function without its signature and docstring."""
    source = inspect.getsource(function)
    return textwrap.dedent(source.split('"""', 2)[2]).strip()
