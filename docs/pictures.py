"""The pictures of the pages, each drawn by the library: `python docs/pictures.py [folder]`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch.distributions import Normal

import scm

INK, BLUE, ORANGE, GREY = "#1a1a1a", "#1f5f8b", "#d1741c", "#b0b0b0"


def line() -> scm.SCM:
    """X raises Y, and a hidden C raises both."""
    return scm.SCM(
        "C -> X, Y; X -> Y",
        C=scm.Root.bernoulli(0.5),
        X=scm.Additive(lambda C: 2.0 * C - 1.0, noise=Normal(0.0, 0.8)),
        Y=scm.Additive(lambda C, X: torch.sin(X) + 1.5 * C, noise=Normal(0.0, 0.3)),
    )


def graph() -> Figure:
    """Three kinds of edge and latent nodes."""
    text = "H1, H2 -> I; H1, I -> T; I => C, S; I <-> T"
    return scm.CausalGraph(text, latent=["H1", "H2"]).draw().figure  # type: ignore[return-value]


def mechanism() -> Figure:
    """One assignment, S := f(PA, U): the curve is f, each stalk a unit's noise."""
    model = scm.SCM(
        "X -> Y",
        X=scm.Root.normal(),
        Y=scm.Additive(lambda X: torch.sin(2 * X) + X, noise=Normal(0.0, 0.4)),
    )
    units = model.sample(40, seed=1)
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    ax = figure.subplots()
    x, y = units["X"], units["Y"]
    curve = torch.linspace(-2.6, 2.6, 200)
    mean = torch.sin(2 * x) + x
    ax.vlines(x, mean, y, color=GREY, lw=1.2, label="U, its noise")
    ax.plot(curve, torch.sin(2 * curve) + curve, color=BLUE, label="f")
    ax.plot(x, y, "o", color=INK, ms=4, label="a unit: Y := f(X) + U")
    ax.set(xlabel="X", ylabel="Y")
    ax.legend(frameon=False, loc="upper left")
    return figure


def unit() -> Figure:
    """The same units in two worlds: their noise is kept."""
    units = line().sample(8, seed=3)
    set_to_one = units.do(X=1.0)
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    ax = figure.subplots()
    for k, (x, y, then) in enumerate(zip(units["X"], units["Y"], set_to_one["Y"], strict=True)):
        ax.annotate("", (1.0, then), (x, y), arrowprops={"arrowstyle": "->", "color": GREY})
        ax.text(x - 0.08, y + 0.06, str(k), ha="right", va="center", fontsize=8, color=INK)
    ax.plot(units["X"], units["Y"], "o", color=INK, label="as it was")
    ax.plot([1.0] * 8, set_to_one["Y"], "s", color=ORANGE, label="had X been 1")
    ax.set(xlabel="X", ylabel="Y")
    ax.legend(frameon=False, loc="upper left")
    return figure


def world() -> Figure:
    """A sweep: one world a value, the same units in each."""
    values = torch.linspace(-3, 3, 25)
    worlds = line().sweep(X=values).sample(8, seed=3)["Y"]
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for k in range(8):
        left.plot(values, worlds[:, k], color=BLUE, lw=1, alpha=0.8)
    left.plot(values, worlds.mean(1), color=INK, lw=2.5, label="their mean")
    left.set(xlabel="X is set to", ylabel="Y", title="eight units, 25 worlds", box_aspect=0.8)
    left.legend(frameon=False, loc="upper left")
    shown = right.imshow(worlds.numpy(), aspect="auto", cmap="cividis", extent=(-0.5, 7.5, 3, -3))
    right.set(xlabel="unit", ylabel="world: X =", title='samples["Y"]')
    figure.colorbar(shown, ax=right)
    return figure


def macro() -> Figure:
    """A feature of an image is set: the pixels change, and another feature is kept."""
    world = scm.datasets.bars(3)
    images = scm.datasets.bar_images(3)
    pixels = images.flatten(1)
    found = scm.estimators.visual_causes(world, distance=torch.cdist(pixels, pixels, p=1))
    units = found.model.sample(8, seed=4)
    figure = Figure(figsize=(6.4, 2.9), layout="constrained")
    axes = figure.subplots(3, 8)
    rows = [("as it was", units), ("do(C=1)", units.do(C=1)), ("do(C=0)", units.do(C=0))]
    for (name, drawn), each in zip(rows, axes, strict=True):
        for k, ax in enumerate(each):
            ax.imshow((1 - images[int(drawn["I"][k]), 0]).numpy(), cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.set_xlabel(f"C={int(drawn['C'][k])}, S={int(drawn['S'][k])}", fontsize=7)
        each[0].set_ylabel(name)
    return figure


PICTURES = {
    "graph": graph,
    "mechanism": mechanism,
    "unit": unit,
    "world": world,
    "macro": macro,
}


def draw_all(folder: str | Path) -> None:
    """Draw every picture into the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        draw().savefig(folder / f"{name}.png", dpi=160, facecolor="white", bbox_inches="tight")


if __name__ == "__main__":
    draw_all(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "_pictures")
