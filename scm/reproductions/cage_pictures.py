"""Figures of CAGE: what a null gave beside what was found, and delta-tau over alpha."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scm.reproductions.pictures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["nulls_and_curves"]


def nulls_and_curves(
    rows: Mapping[str, tuple[Sequence[float], float, str]],
    curves: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]],
) -> Figure:
    """Draw a histogram of each null with what was found, and beside it delta-tau over alpha.

    Args:
        rows: By title, the draws of a null, what was found, and the name of the number.
        curves: By the same titles, alphas, delta-tau, and what steepness predicts of it (empty
            where it predicts nothing).

    Raises:
        ScmError: If matplotlib is missing.
    """
    figure = new_figure(7.2, 2.5 * len(rows))
    grid = figure.subplots(len(rows), 2, squeeze=False)
    for (left, right), (title, (null, found, number)) in zip(grid, rows.items(), strict=True):
        left.hist(null, bins=30, color="0.75", label="null")
        left.axvline(found, color="black", linewidth=1.8, label="found")
        left.set(title=title, xlabel=number, ylabel="draws")
        alphas, measured, predicted = curves[title]
        right.axhline(0, color="0.7", linewidth=0.8)
        right.plot(alphas, measured, "-o", color="black", markersize=3.5, label="measured")
        if len(predicted):
            right.plot(alphas, predicted, ":x", color="black", markersize=5, label="from steepness")
        right.set(title=title, xlabel="alpha", ylabel="delta-tau")
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    return figure
