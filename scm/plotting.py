"""Pictures of answers, on matplotlib: they return axes, take ``ax=``, and read without colour.

Graphs draw themselves: `CausalGraph.draw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from scm.errors import ScmError
from scm.estimate import Estimate, Interval
from scm.figures import new_figure
from scm.mechanisms.types import Categorical
from scm.worlds.samples import Samples, sweep_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_effects", "plot_worlds"]

_LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
_FILLS = (("white", ""), ("0.25", ""), ("0.8", ""), ("white", "///"), ("0.55", ""), ("white", ".."))
_INK = "0.1"


def plot_effects(
    effects: Mapping[str, Estimate | Interval], ax: Axes | None = None, *, level: float = 0.95
) -> Axes:
    """Draw estimates as dots with their confidence intervals, and bounds as bars; a line at 0.

    An `Interval`'s confidence limits are thin lines that go on from the bar's ends.

    Args:
        effects: Estimates and intervals, by name, from the top down.
        ax: Axes to draw on; a new figure outside pyplot where it is not given.
        level: Coverage of the confidence intervals of estimates.

    Raises:
        ScmError: If there is nothing to draw, the level is not between 0 and 1, an estimate has
            no standard error, or matplotlib is missing.

    Example:
        >>> ax = plot_effects({
        ...     "adjusted": Estimate(0.31, 0.04, 400),
        ...     "no assumption": Interval(-0.2, 0.55, "natural bounds"),
        ... })
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['adjusted', 'no assumption']
    """
    if not effects:
        raise ScmError("plot_effects was given no effects; give estimates or intervals by name")
    if ax is None:
        ax = new_figure(6.0, 0.9 + 0.4 * len(effects)).subplots()
    ax.axvline(0.0, color="0.7", linewidth=0.8, zorder=0)
    for place, effect in enumerate(effects.values()):
        if isinstance(effect, Interval):
            if effect.lower_limit is not None and effect.upper_limit is not None:
                outer = (effect.lower_limit, effect.upper_limit)
                ax.plot(outer, (place, place), color=_INK, linewidth=1.2, marker="|")
            ax.plot((effect.lower, effect.upper), (place, place), color="0.55", linewidth=7.0,
                    solid_capstyle="butt")  # fmt: skip
        else:
            limits = effect.interval(level)
            ax.plot((limits.lower, limits.upper), (place, place), color=_INK, linewidth=1.2)
            ax.plot(effect.value, place, "o", color=_INK, markersize=5.0)
    ax.set_yticks(range(len(effects)), list(effects))
    ax.set_ylim(len(effects) - 0.5, -0.5)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def plot_worlds(samples: Samples, node: str, ax: Axes | None = None) -> Axes:
    r"""Draw how a node is distributed in each world: `P(S | do(...))` side by side.

    A categorical node is drawn as shares, one bar for each level and world; a number as its
    distribution function :math:`P(S \le s)`, one line for each world.

    Args:
        samples: Units in at most six worlds, `[*worlds, units]`.
        node: A node that is categorical or one number.
        ax: Axes to draw on; a new figure outside pyplot where it is not given.

    Raises:
        ScmError: If there are more worlds, the node is neither, or matplotlib is missing.
        InterventionError: If the model has no such node.

    Example:
        >>> import scm
        >>> model = scm.SCM("A -> B", A=scm.Root.bernoulli(0.5), B=scm.Linear({"A": [0.0, 2.0]}))
        >>> ax = plot_worlds(model.sweep(A=[0, 1]).sample(500, seed=0), "B")
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['A = 0', 'A = 1']
    """
    values = samples[node].detach().cpu().numpy()
    kind = samples.program.mechanisms[node].type
    names = _names(samples)
    if len(names) > len(_LINES):
        raise ScmError(
            f"plot_worlds was given {len(names)} worlds, of which {len(_LINES)} can be told apart; "
            f"pick some: samples.world(...)"
        )
    if kind.event:
        raise ScmError(
            f"{node!r} is {kind}; plot_worlds draws a categorical node or one number, such as a "
            "macro-variable of it"
        )
    if ax is None:
        ax = new_figure(6.0, 3.6).subplots()
    rows = values.reshape(len(names), -1)
    if isinstance(kind, Categorical):
        levels, width = len(kind.names), 0.8 / len(names)
        for k, (row, label) in enumerate(zip(rows, names, strict=True)):
            at = np.arange(levels) + (k - (len(names) - 1) / 2) * width
            share = np.bincount(row, minlength=levels) / row.size
            face, hatch = _FILLS[k]
            ax.bar(at, share, width, label=label, facecolor=face, hatch=hatch, edgecolor=_INK)
        ax.set_xticks(range(levels), list(map(str, kind.names)))
        ax.set(xlabel=node, ylabel="share of units")
    else:
        steps = np.arange(1, rows.shape[1] + 1) / rows.shape[1]
        for row, label, line in zip(rows, names, _LINES, strict=False):
            ax.step(np.sort(row), steps, where="post", label=label, linestyle=line,
                    color=_INK, linewidth=1.4)  # fmt: skip
        ax.set(xlabel=node, ylabel="share of units below", ylim=(0.0, 1.0))
    ax.spines[["top", "right"]].set_visible(False)
    if samples.worlds:
        ax.legend(frameon=False, fontsize="small")
    return ax


def _names(samples: Samples) -> list[str]:
    """Of each world, what the swept nodes are there."""
    axes = [
        [", ".join(f"{name} = {label}" for name, label in zip(sweep.values, entry, strict=True))
         for entry in zip(*map(sweep_labels, sweep.values.values()), strict=True)]
        for sweep in samples.worlds
    ]  # fmt: skip
    return [", ".join(parts) for parts in product(*axes)]
