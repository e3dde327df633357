from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scm import Estimate, Interval, ScmError


def test_mean_agrees_with_numpy() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    for given in (values, torch.tensor(values), values.tolist()):
        found = Estimate.mean(given)
        assert found.value == pytest.approx(values.mean())
        assert found.stderr == pytest.approx(values.std(ddof=1) / 20)
        assert found.n == 400


def test_mean_takes_truth_values() -> None:
    found = Estimate.mean(torch.tensor([True, False, True, True]))
    assert float(found) == 0.75


def test_one_unit_has_no_standard_error() -> None:
    found = Estimate.mean([2.0])
    assert math.isnan(found.stderr)
    assert str(found) == "2 +- nan (n = 1)"
    with pytest.raises(ScmError, match="at least two units"):
        found.interval()


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [[1.0, 2.0]]])
def test_mean_refuses_what_is_no_row_of_numbers(values: object) -> None:
    with pytest.raises(ScmError, match="one row of at least one finite number"):
        Estimate.mean(values)


@pytest.mark.parametrize(
    ("value", "stderr", "shown"),
    [
        (0.912, 0.006, "0.912 +- 0.006"),
        (0.912, 0.0123, "0.912 +- 0.012"),
        (0.5, 0.0097, "0.500 +- 0.010"),
        (1234.5, 56.0, "1234 +- 56"),
        (12.34, 2.1, "12.3 +- 2.1"),
        (1.0, 0.0, "1 +- 0"),
    ],
)
def test_str_shows_the_digits_that_the_error_leaves(
    value: float, stderr: float, shown: str
) -> None:
    assert str(Estimate(value, stderr, 7)) == f"{shown} (n = 7)"


def test_interval_covers() -> None:
    rng = np.random.default_rng(1)
    hits = [3.0 in Estimate.mean(rng.normal(3.0, 1.0, 100)).interval(0.9) for _ in range(1000)]
    assert abs(np.mean(hits) - 0.9) < 0.03  # three standard errors


def test_interval_names_its_method() -> None:
    assert Estimate(0.5, 0.1, 10).interval(0.99).method == "normal, 99%"


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_interval_refuses_a_level_that_is_none(level: float) -> None:
    with pytest.raises(ScmError, match="0 < level < 1"):
        Estimate(0.5, 0.1, 10).interval(level)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ScmError, match="must not exceed"):
        Interval(1.0, 0.0, "wrong")
    with pytest.raises(ScmError, match="must not exceed"):
        Interval(math.nan, 0.0, "wrong")
    with pytest.raises(ScmError, match="not negative"):
        Estimate(0.5, -0.1, 10)
    with pytest.raises(ScmError, match="0 <= hits <= n"):
        Estimate.proportion(5, 4)
