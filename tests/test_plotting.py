"""Pictures of answers: on the axes that were given, true to the numbers, and without colour."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("matplotlib")
from matplotlib.colors import to_rgb

import scm
from scm.errors import ScmError
from scm.figures import new_figure
from scm.plotting import plot_effects, plot_worlds

MODEL = scm.SCM(
    "A -> B; A -> C; A -> I",
    A=scm.Root.bernoulli(0.5),
    B=scm.Linear({"A": [0.0, 2.0]}),
    C=scm.Tabular([[0.9, 0.1], [0.25, 0.75]], levels=["no", "yes"]),
    I=scm.Structural(lambda A: A.expand(*A.shape[:-3], 1, 2, 2), type=scm.Image((1, 2, 2))),
)
WORLDS = MODEL.sweep(A=[0, 1, scm.NATURAL]).sample(400, seed=0)


def grey(ax: Any) -> bool:
    colours = [line.get_color() for line in ax.lines]
    colours += [c for patch in ax.patches for c in (patch.get_facecolor(), patch.get_edgecolor())]
    assert colours
    return all(len(set(to_rgb(colour))) == 1 for colour in colours)


def test_effects_are_where_they_are() -> None:
    limited = scm.Interval(0.0, 0.3, "sharp bounds", -0.1, 0.4, level=0.95, n=50)
    effects = {"a": scm.Estimate(0.5, 0.1, 30), "b": limited, "c": scm.Estimate(0.2)}
    ax = new_figure(4, 3).subplots()
    assert plot_effects(effects, ax) is ax
    spans = [tuple(line.get_xdata()) for line in ax.lines[1:]]
    assert spans[0] == pytest.approx((0.5 - 1.96 * 0.1, 0.5 + 1.96 * 0.1), abs=1e-3)
    assert spans[1] == (0.5,)
    assert spans[2:4] == [(-0.1, 0.4), (0.0, 0.3)]
    assert ax.get_ylim() == (2.5, -0.5)
    assert grey(ax)
    with pytest.raises(ScmError, match="no effects"):
        plot_effects({})


def test_worlds_of_a_number_are_told_apart_by_their_lines() -> None:
    ax = new_figure(4, 3).subplots()
    assert plot_worlds(WORLDS, "B", ax=ax) is ax
    zero, one, natural = ax.lines
    assert len({str(line.get_linestyle()) for line in ax.lines}) == 3
    shift = one.get_xdata() - zero.get_xdata()
    assert shift == pytest.approx(2.0, abs=1e-5)
    assert natural.get_ydata()[-1] == 1.0
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["A = 0", "A = 1", "A = NATURAL"]
    assert grey(ax)


def test_worlds_of_levels_are_told_apart_by_their_fill() -> None:
    ax = plot_worlds(WORLDS, "C")
    heights = [[bar.get_height() for bar in bars] for bars in ax.containers]
    for world, found in enumerate(heights):
        share = (WORLDS["C"][world] == 1).double().mean().item()
        assert found == pytest.approx([1 - share, share])
    looks = {(bars[0].get_facecolor(), bars[0].get_hatch()) for bars in ax.containers}
    assert len(looks) == 3
    assert [t.get_text() for t in ax.get_xticklabels()] == ["no", "yes"]
    assert grey(ax)


def test_what_cannot_be_drawn_says_so() -> None:
    assert plot_worlds(MODEL.sample(10, seed=0), "B").get_legend() is None
    with pytest.raises(ScmError, match="draws a categorical node or one number"):
        plot_worlds(WORLDS, "I")
    many = MODEL.sweep(B=[float(k) for k in range(7)]).sample(5, seed=0)
    with pytest.raises(ScmError, match=r"7 worlds, of which 6.*samples\.world"):
        plot_worlds(many, "B")
