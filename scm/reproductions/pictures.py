"""Figures that the reproductions share; they can be read without colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from scm.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curves", "image_grid", "new_figure"]

Series = Mapping[str, Sequence[Sequence[float]]]


def curves(
    panels: Mapping[str, Series],
    x: str = "round",
    first: int = 1,
    at: Sequence[float] | None = None,
    low: float | None = 0,
) -> Figure:
    """Draw how figures go over rounds: means over seeds as lines, from least to most as bands.

    Args:
        panels: By title, the series of each panel: by name, values `(seeds, rounds)`.
        x: What is counted along the axis.
        first: Where the count starts.
        at: Where the values stand on the axis, in place of a count; it is logarithmic where they
            differ by a factor of more than 20.
        low: Where the axis of values starts; None for a little below the least.

    Raises:
        ScmError: If matplotlib is missing.
    """
    figure = new_figure(4.2 * len(panels), 3.2)
    (row,) = figure.subplots(1, len(panels), squeeze=False)
    for axes, (title, series) in zip(row, panels.items(), strict=True):
        looks = cycle(zip(("-", "--", ":", "-."), ("o", "s", "^", "x"), strict=True))
        for (name, values), (line, marker) in zip(series.items(), looks, strict=False):
            array = np.asarray(values, dtype=float)
            rounds = np.arange(first, first + array.shape[1]) if at is None else np.asarray(at)
            axes.fill_between(rounds, array.min(0), array.max(0), color="0.85", linewidth=0)
            label = f"{name} (mean of {len(array)} seeds)" if len(array) > 1 else name
            style = {"color": "black", "linewidth": 1.4, "markersize": 3.5}
            axes.plot(rounds, array.mean(0), line, marker=marker, label=label, **style)
        axes.set(title=title, xlabel=x, ylim=(low, None))
        if at is None:
            axes.xaxis.get_major_locator().set_params(integer=True)
        else:
            if max(at) > 20 * min(at):
                axes.set_xscale("log")
            axes.set_xticks(at, [f"{place:g}" for place in at], minor=False)
            axes.set_xticks([], minor=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    return figure


def image_grid(
    rows: Mapping[str, Sequence[Tensor | None]], columns: Sequence[str] = (), cell: float = 0.6
) -> Figure:
    """Draw images in a grid; grey ones with 0 as white and 1 as black.

    Args:
        rows: By label, the images of each row in [0, 1], `(1, height, width)` for grey ones and
            `(3, height, width)` for colours; None for a gap.
        columns: A title over each column; one that is empty belongs to the one before.
        cell: Side of an image, in inches.

    Raises:
        ScmError: If matplotlib is missing.
    """
    width = max(len(images) for images in rows.values())
    figure = new_figure(cell * width + 1.6, cell * len(rows) + 0.6)
    axes = figure.subplots(len(rows), width, squeeze=False)
    for line, (label, images) in zip(axes, rows.items(), strict=True):
        line[0].text(-0.25, 0.5, label, transform=line[0].transAxes, ha="right", va="center")
        for place in line:
            place.axis("off")
        for place, image in zip(line, images, strict=False):
            if image is not None:
                place.axis("on")
                place.set(xticks=[], yticks=[])
                shown = image.detach().cpu().clamp(0, 1).movedim(0, -1).squeeze(-1).numpy()
                place.imshow(shown, cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
    for place, title in zip(axes[0], columns, strict=False):
        place.set_title(title, fontsize=9, loc="left" if "" in columns else "center")
    return figure
