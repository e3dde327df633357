"""Theorem 4 of GenInt: the linear ratio recovers the effect, and knows its error."""

from __future__ import annotations

import numpy as np
import pytest

from scm.errors import GraphError, ScmError
from scm.estimators.bounds import WeakInstrumentWarning, linear_ratio


def figure_4c(n: int, rng: np.random.Generator, b: float = 1.5, a5: float = 1.0):
    c, f, zi, ux, uy = rng.standard_normal((5, n))
    zu = 0.8 * c + 0.6 * rng.standard_normal(n)
    x = 0.7 * f + a5 * zi + 1.2 * zu + 0.5 * ux
    return {"X": x, "Y": 2 * c + b * x + uy, "Z": zi}


def test_the_interval_covers_and_regression_does_not():
    """400 samples at 95%: fewer than 365 or more than 393 have probability 0.1% together."""
    rng = np.random.default_rng(0)
    covered, biased = 0, 0
    for _ in range(400):
        data = figure_4c(300, rng)
        found = linear_ratio(data, "Y", do="X", z="Z")
        covered += 1.5 in found.interval()
        biased += abs(np.polyfit(data["X"], data["Y"], 1)[0] - 1.5) > 0.2
    assert 365 <= covered <= 393
    assert biased > 390


def test_two_stage_least_squares_agrees():
    data = figure_4c(1000, np.random.default_rng(1))
    z, x, y = (data[n] - data[n].mean() for n in "ZXY")
    fitted = z * (z @ x) / (z @ z)
    found = linear_ratio(data, "Y", do="X", z="Z")
    assert found.value == pytest.approx((fitted @ y) / (fitted @ fitted))
    assert found.n == 1000


def test_a_weak_intervention_warns():
    data = figure_4c(200, np.random.default_rng(2), a5=0.01)
    with pytest.warns(WeakInstrumentWarning, match="hardly moves 'X'"):
        linear_ratio(data, "Y", do="X", z="Z")


def test_bad_columns():
    data = figure_4c(20, np.random.default_rng(3))
    with pytest.raises(GraphError, match="three different columns"):
        linear_ratio(data, "Y", do="Y", z="Z")
    with pytest.raises(GraphError, match="did you mean 'X'"):
        linear_ratio(data, "Y", do="x", z="Z")
    with pytest.raises(ScmError, match="'Z' does not vary"):
        linear_ratio({**data, "Z": np.ones(20)}, "Y", do="X", z="Z")
    with pytest.raises(ScmError, match="'X' does not vary with 'Z'"):
        linear_ratio({**data, "X": np.ones(20)}, "Y", do="X", z="Z")
    with pytest.raises(ScmError, match="missing values"):
        linear_ratio({**data, "X": np.full(20, np.nan)}, "Y", do="X", z="Z")
    with pytest.raises(ScmError, match="'X' is not numbers"):
        linear_ratio({**data, "X": ["a"] * 20}, "Y", do="X", z="Z")
    with pytest.raises(ScmError, match="one length"):
        linear_ratio({**data, "X": np.ones(4)}, "Y", do="X", z="Z")
