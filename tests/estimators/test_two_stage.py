"""Two-stage least squares: the two regressions by hand, coverage, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from scm.errors import GraphError, ScmError
from scm.estimators import linear_ratio, two_stage_least_squares
from scm.estimators.bounds import WeakInstrumentWarning


def figure_4c(n: int, rng: np.random.Generator, b: float = 1.5, moves=(1.0, 0.5, 0.3)):
    """GenInt's Figure 4c with three randomised nuisances beside an untouched one."""
    c, f, ux, uy = rng.standard_normal((4, n))
    z = rng.standard_normal((3, n))
    zu = 0.8 * c + 0.6 * rng.standard_normal(n)
    x = 0.7 * f + np.asarray(moves) @ z + 1.2 * zu + 0.5 * ux
    return {"X": x, "Y": 2 * c + b * x + uy, "Z1": z[0], "Z2": z[1], "Z3": z[2]}


ALL = ["Z1", "Z2", "Z3"]


def test_it_is_two_regressions_with_an_intercept():
    data = figure_4c(500, np.random.default_rng(0))
    design = np.stack([np.ones(500), *(data[z] for z in ALL)], 1)
    fitted = design @ np.linalg.inv(design.T @ design) @ design.T @ data["X"]
    second = np.stack([np.ones(500), fitted], 1)
    wanted = np.linalg.inv(second.T @ second) @ second.T @ data["Y"]
    assert two_stage_least_squares(data, "Y", "X", ALL).value == pytest.approx(wanted[1])


def test_one_instrument_is_the_linear_ratio():
    data = figure_4c(300, np.random.default_rng(1))
    assert two_stage_least_squares(data, "Y", "X", ["Z2"]) == linear_ratio(data, "Y", "X", "Z2")
    assert two_stage_least_squares(data, "Y", "X", "Z2") == linear_ratio(data, "Y", "X", "Z2")


def test_intervals_cover_and_several_instruments_know_more_than_one():
    """400 samples at 95%: fewer than 365 or more than 393 have probability 0.1% together."""
    rng = np.random.default_rng(2)
    covered, errors = 0, []
    for _ in range(400):
        data = figure_4c(300, rng)
        every, one = (two_stage_least_squares(data, "Y", "X", z) for z in (ALL, ["Z1"]))
        covered += 1.5 in every.interval()
        errors.append((every.stderr, one.stderr))
    assert 365 <= covered <= 393
    # By the variances of what the instruments move: sqrt(1 / 1.34) = 0.86.
    assert np.median([a / b for a, b in errors]) == pytest.approx(0.86, abs=0.02)


def test_what_is_refused():
    data = figure_4c(40, np.random.default_rng(3))
    with pytest.raises(GraphError, match="different columns"):
        two_stage_least_squares(data, "Y", "X", ["Z1", "Z1"])
    with pytest.raises(GraphError, match="one instrument or more"):
        two_stage_least_squares(data, "Y", "X", [])
    with pytest.raises(ScmError, match="are collinear"):
        two_stage_least_squares({**data, "W": 2 * data["Z1"]}, "Y", "X", ["Z1", "W"])
    with pytest.raises(ScmError, match="'Z2' does not vary"):
        two_stage_least_squares({**data, "Z2": np.zeros(40)}, "Y", "X", ALL)
    weak = figure_4c(200, np.random.default_rng(4), moves=(0.01, 0.01, 0.01))
    with pytest.warns(WeakInstrumentWarning, match="'Z1', 'Z2', 'Z3' hardly move 'X'"):
        two_stage_least_squares(weak, "Y", "X", ALL)
