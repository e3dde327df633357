"""Declared types: what they read, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scm.errors import ScmError
from scm.mechanisms import Categorical, Image, Real

LIKE = torch.zeros(())
COLOURS = Categorical(("red", "green"))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Real(), 2, 2.0),
        (Real(), [1, 2], [1.0, 2.0]),
        (Real(), True, 1.0),
        (Real(), np.float64(2.5), 2.5),
        (Real(), [torch.tensor(1.0), torch.tensor(2.0)], [1.0, 2.0]),
        (Real(2), [[1, 2], [3, 4]], [[1.0, 2.0], [3.0, 4.0]]),
        (COLOURS, ["green", "red"], [1, 0]),
        (COLOURS, "green", 1),
        (COLOURS, [1, 0], [1, 0]),
        (COLOURS, np.array(["red"], object), [0]),
        (COLOURS, torch.tensor([1.0, 0.0]), [1, 0]),
        (Categorical((10, 20)), [20, 10], [1, 0]),
        (Categorical((10, 20)), torch.tensor([1, 0]), [1, 0]),
        (Categorical((1, 2)), [1, 2, 1], [0, 1, 0]),
        (Categorical((False, True)), [True, False], [1, 0]),
        (Categorical(3), [True, False], [1, 0]),
    ],
)
def test_encode(kind, value, expected) -> None:
    out = kind.encode(value, LIKE)
    assert out.tolist() == expected
    assert out.dtype == (torch.int64 if isinstance(kind, Categorical) else torch.float32)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Real(), float("nan"), "1 of 1 numbers are NaN"),
        (Real(), [1.0, float("inf")], "1 of 2 .*drop or impute"),
        (Real(), "blue", "'blue' was given; a number, an array"),
        (Real(), None, "None was given"),
        (Real(), [[1], [1, 2]], "was given; a number, an array"),
        (Real(), 1j, "complex numbers .*Real"),
        (Real(3), torch.zeros(4, 2), r"\(4, 2\) .*Real\(3,\).*must be \(3,\)"),
        (Real((2, 2)), 1.0, r"must be \(2, 2\)"),
        (COLOURS, ["gren"], "'gren' is no level.*did you mean 'green'"),
        (COLOURS, [0, 2], r"\[2\] among the values is no level"),
        (Categorical((1, 2)), [0, 1], "'0' is no level"),
        (Categorical(2), [-1], r"\[-1\] among"),
        (Categorical(2), 0.5, r"\[0.5\] among"),
        (Categorical(2), float("nan"), "NaN"),
        (Categorical(2), "one", "'one' is no level"),
        (Image((1, 2, 2)), 255 * torch.ones(1, 2, 2), r"pixels from 255 to 255.*\[0, 1\]"),
        (Image((1, 2, 2)), torch.zeros(2, 2), r"last 3 dimension\(s\) must be \(1, 2, 2\)"),
    ],
)
def test_encode_refuses(kind, value, message: str) -> None:
    with pytest.raises(ScmError, match=message):
        kind.encode(value, LIKE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Categorical(0), "positive number"),
        (lambda: Categorical(("a", "a")), "distinct names"),
        (lambda: Categorical("ab"), "list of their names"),
        (lambda: Categorical(2.5), "list of their names"),
        (lambda: Image((28, 28)), r"shape \(channels, height, width\)"),
        (lambda: Image((1, 2, 2), (1.0, 0.0)), "range"),
        (lambda: Real((-1,)), "not negative"),
    ],
)
def test_types_that_make_no_sense(make, message: str) -> None:
    with pytest.raises(ScmError, match=message):
        make()


def test_pixels_may_step_a_little_outside() -> None:
    image = torch.full((1, 2, 2), 1.4)
    assert torch.equal(Image((1, 2, 2)).encode(image, LIKE), image)


@given(st.lists(st.integers(1, 3), max_size=3), st.lists(st.integers(1, 3), max_size=2))
def test_features_are_flat(event: list[int], batch: list[int]) -> None:
    kind = Real(tuple(event))
    value = torch.zeros((*batch, *event))
    assert kind.features(value).shape == (*batch, kind.width)
    assert Categorical(4).features(torch.zeros(tuple(batch)).long()).shape == (*batch, 4)


def test_types_are_values() -> None:
    assert Real(2) == Real((2,))
    assert hash(Categorical(["a", "b"])) == hash(Categorical(("a", "b")))
    assert {Image((1, 2, 2)), Image([1, 2, 2], (0, 1))} == {Image((1, 2, 2))}
    assert [str(k) for k in (Real(), Real(2), Categorical(3))] == [
        "Real",
        "Real(2,)",
        "Categorical(3)",
    ]
