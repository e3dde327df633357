"""Each share against a count."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scm import Estimate, ScmError
from scm.learning import (
    background_gap,
    coarse,
    corruption_error,
    group_accuracies,
    shape_bias,
    worst_group_accuracy,
)
from scm.learning.robustness import ALEXNET

cues = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))


@given(st.lists(cues, min_size=1, max_size=30))
def test_shape_bias_counts(rows: list[tuple[int, int, int]]) -> None:
    predicted, shape, texture = torch.tensor(rows).unbind(1)
    conflicts = [row for row in rows if row[1] != row[2]]
    by_shape = sum(p == s for p, s, _ in conflicts)
    by_texture = sum(p == t for p, _, t in conflicts)
    if by_shape + by_texture:
        found = shape_bias(predicted, shape, texture)
        assert (found.value, found.n) == (by_shape / (by_shape + by_texture), by_shape + by_texture)
    else:
        with pytest.raises(ScmError, match="no shape bias"):
            shape_bias(predicted, shape, texture)
    if conflicts:
        found = shape_bias(predicted, shape, texture, among="all")
        assert (found.value, found.n) == (by_shape / len(conflicts), len(conflicts))


def test_shape_bias_refuses_what_does_not_fit() -> None:
    with pytest.raises(ScmError, match="shapes are"):
        shape_bias(torch.zeros(3), torch.zeros(3), torch.zeros(2))
    with pytest.raises(ScmError, match="among="):
        shape_bias(torch.zeros(3), torch.zeros(3), torch.ones(3), among="some")  # type: ignore[arg-type]


def test_coarse_classes_average_their_members() -> None:
    p = torch.tensor([[0.5, 0.1, 0.2, 0.2], [0.1, 0.1, 0.1, 0.7]])
    # Means: (0.5 + 0.1) / 2 against 0.2; with sums the second row would not change.
    assert coarse(p, [[0, 1], [2], [3]]).tolist() == [0, 2]
    assert coarse(torch.tensor([[0.3, 0.3, 0.4]]), [[0, 1], [2]]).tolist() == [1]
    with pytest.raises(ScmError, match="0 to 3"):
        coarse(p, [[0, 4]])


def test_background_gap_of_the_paper() -> None:
    same, rand = Estimate.proportion(834, 1000), Estimate.proportion(801, 1000)
    gap = background_gap(same, rand)
    assert gap.value == pytest.approx(0.033)
    assert gap.stderr == pytest.approx(math.sqrt(0.834 * 0.166 / 1000 + 0.801 * 0.199 / 1000))


def test_numbers_are_no_estimates() -> None:
    with pytest.raises(ScmError, match=r"given 0\.4; expected two estimates"):
        background_gap(Estimate.proportion(834, 1000), 0.4)  # type: ignore[arg-type]


def test_mean_corruption_error_by_hand() -> None:
    wrong = {
        "fog": torch.tensor([[True, False, False], [True, True, False]]),
        "snow": torch.tensor([[False, False, False], [True, True, True]]),
    }
    found = corruption_error(wrong, {"fog": 0.25, "snow": 0.5})
    assert found.each["fog"].value == pytest.approx(((1 / 3 + 2 / 3) / 2) / 0.25)
    assert found.each["snow"].value == pytest.approx(0.5 / 0.5)
    assert found.mean.value == pytest.approx((2.0 + 1.0) / 2)
    # Per image: fog 1, .5, 0 over .25 and snow .5 over .5; means 2.5, 1.5, 0.5.
    assert found.mean.stderr == pytest.approx(1.0 / math.sqrt(3))
    assert found.mean.n == 3


def test_alexnet_has_an_mce_of_one() -> None:
    assert len(ALEXNET) == 15
    images = 10_000
    wrong = {
        name: (torch.arange(images) < round(error * images)).expand(5, images)
        for name, error in ALEXNET.items()
    }
    assert corruption_error(wrong).mean.value == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(ScmError, match="missing: \\['fog'\\]"):
        corruption_error({k: v for k, v in wrong.items() if k != "fog"})
    with pytest.raises(ScmError, match="same images"):
        corruption_error({**wrong, "fog": wrong["fog"][:, 1:]})


def test_the_worst_group() -> None:
    right = torch.tensor([1, 1, 0, 0, 1, 1, 1, 0])
    groups = torch.tensor([0, 0, 0, 4, 4, 4, 4, 4])
    each = group_accuracies(right, groups)
    assert {g: (e.value, e.n) for g, e in each.items()} == {0: (2 / 3, 3), 4: (0.6, 5)}
    assert worst_group_accuracy(right, groups) == each[4]
