"""Pictures of CGNs and of the classifiers that learn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scm.learning.cgn import CGN, settings_of
from scm.mechanisms.cgn import compose
from scm.reproductions.pictures import image_grid, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_accuracies", "draw_counterfactuals"]


def draw_counterfactuals(
    cgn: CGN, kind: str, images: Tensor, labels: Tensor, shifts: Sequence[int] = (1, 3, 5, 7, 9)
) -> Figure:
    """Draw what a CGN makes of the first image of each class.

    Args:
        cgn: A CGN with an encoder.
        kind: The data set it was trained on.
        images: `(n, 3, height, width)` in [0, 1].
        labels: Classes `(n,)`.
        shifts: For each counterfactual, how many classes on its foreground is from its shape;
            its background is as many on from that.

    Raises:
        ScmError: If matplotlib is missing.
    """
    classes = labels.unique()
    rows = torch.stack([(labels == k).nonzero()[0, 0] for k in classes])
    before = float(cgn.mechanisms["M"].temperature)  # type: ignore[arg-type]
    try:
        cgn.sharpen(settings_of(kind).temperature)
        units = cgn.abduct({"X": images[rows], "Y": labels[rows]}, seed=0)
        mask, front, back = (units[name].clone() for name in "MFB")
        worlds = units.sweep(
            F=[front.roll(-shift, 0) for shift in shifts],
            B=[back.roll(-2 * shift, 0) for shift in shifts],
        )["X"]
    finally:
        cgn.sharpen(before)
    shown = [images[rows], compose(mask, front, back), mask.expand_as(front), front, back, *worlds]
    sheet = {str(int(k)): [image[at] for image in shown] for at, k in enumerate(classes)}
    titles = ["original", "again", "mask", "fore", "back", "counterfactuals", ""]
    return image_grid(sheet, titles)


def draw_accuracies(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], float | None]]],
    ceilings: Mapping[str, float],
    chance: float = 10.0,
) -> Figure:
    """Draw accuracies as dots, one a seed, with the paper's as a ring and the ceiling as a line.

    Args:
        panels: By title, the rows of each panel: by name, accuracies in % and the paper's.
        ceilings: The ceiling of each panel, where there is one.
        chance: Accuracy of guessing, in %.

    Raises:
        ScmError: If matplotlib is missing.
    """
    names = list(next(iter(panels.values())))
    figure = new_figure(3.0 * len(panels) + 3.2, 0.27 * len(names) + 1.1)
    (each,) = figure.subplots(1, len(panels), squeeze=False, sharey=True)
    for axes, (title, rows) in zip(each, panels.items(), strict=True):
        axes.axvline(chance, color="0.6", linewidth=0.8, linestyle=":")
        if title in ceilings:
            axes.axvline(ceilings[title], color="black", linewidth=0.9)
        for place, (values, paper) in enumerate(rows.values()):
            axes.plot(values, [place] * len(values), "o", color="black", markersize=4, alpha=0.6)
            if paper is not None:
                axes.plot(paper, place, "o", color="black", markersize=8, fillstyle="none")
        axes.set(title=title, xlim=(0, 102), ylim=(len(names) - 0.5, -0.5), xlabel="accuracy, %")
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.grid(axis="y", color="0.92")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure
