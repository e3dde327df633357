from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency
from torch import Tensor, nn

from scm import Estimate, ScmError
from scm.learning import accuracies_across, stable_factor


def shares(hits: list[int], n: int = 10_000) -> list[Estimate]:
    return [Estimate.proportion(h, n) for h in hits]


def test_the_papers_table_5() -> None:
    """CGN, Table 5: accuracies of three classifiers at correlations of 90, 95 and 100%."""
    table = {
        "shape": [8505, 8508, 8514],
        "object colour": [5872, 6269, 6505],
        "background colour": [8247, 8796, 9016],
    }
    found = stable_factor({name: shares(hits) for name, hits in table.items()})
    assert found.factor == "shape"
    assert found.stable == ("shape",)
    for name, hits in table.items():
        counts = np.array([hits, [10_000 - h for h in hits]])
        assert found.p_values[name] == pytest.approx(chi2_contingency(counts).pvalue, rel=1e-9)


def test_several_or_none_is_no_answer() -> None:
    same, other = shares([800, 805], 1000), shares([500, 900], 1000)
    both = stable_factor({"a": same, "b": same})
    assert (both.factor, both.stable) == (None, ("a", "b"))
    assert "give more images" in str(both)
    none = stable_factor({"a": other, "b": other})
    assert (none.factor, none.stable) == (None, ())
    assert "no factor is stable" in str(none)
    assert stable_factor({"a": shares([10, 10], 10), "b": other}).factor == "a"


def test_a_wrong_factor_is_named_no_more_often_than_the_level_says() -> None:
    """1,000 repetitions in which colour is unstable, but less so than 500 images show.

    A count above 86 of Binomial(1000, 0.06) has probability below 1e-3; 0.06 grants the
    chi-square approximation a point.
    """
    generator = np.random.default_rng(0)
    named = []
    for _ in range(1_000):
        accuracies = {
            "shape": shares(generator.binomial(500, [0.85, 0.85, 0.85]).tolist(), 500),
            "colour": shares(generator.binomial(500, [0.80, 0.83, 0.86]).tolist(), 500),
        }
        named.append(stable_factor(accuracies).factor)
    assert named.count("colour") <= 86
    assert named.count("shape") > 300


def test_the_least_change_is_named_where_none_is_level() -> None:
    shape, colour = shares([9390, 9650], 10_000), shares([9010, 9990], 10_000)
    found = stable_factor({"colour": colour, "shape": shape})
    assert (found.factor, found.least) == (None, "shape")
    assert "or shape, which changes least" in str(found)
    assert found.changes["shape"].value == pytest.approx(0.026)
    variance = (0.939 * 0.061 + 0.965 * 0.035) / 10_000
    assert found.changes["shape"].stderr == pytest.approx(variance**0.5)
    alike = stable_factor({"colour": colour, "texture": colour})
    assert alike.least is None
    assert "changes least" not in str(alike)


def test_a_wrong_factor_changes_least_no_more_often_than_the_level_says() -> None:
    """1,000 repetitions in which both change by as much, the boundary of what the test allows."""
    generator = np.random.default_rng(1)
    named = []
    for _ in range(1_000):
        drawn = generator.binomial(500, [[0.80, 0.90], [0.75, 0.85]]).tolist()
        found = stable_factor({"shape": shares(drawn[0], 500), "colour": shares(drawn[1], 500)})
        named.append(found.least)
    # above 76 of Binomial(1000, 0.05) has probability below 1e-3
    assert named.count("colour") <= 76
    assert named.count("shape") <= 76


def test_accuracies_across_environments() -> None:
    class Reads(nn.Module):
        def __init__(self, channel: int) -> None:
            super().__init__()
            self.channel = channel

        def forward(self, images: Tensor) -> Tensor:
            return nn.functional.one_hot(images[:, self.channel, 0, 0].long(), 2).float()

    labels = torch.tensor([0, 1, 0, 1])
    images = torch.stack([labels, 1 - labels], 1).float().view(4, 2, 1, 1)
    mixed = images.clone()
    mixed[0, 1] = 0.0
    found = accuracies_across({"a": Reads(0), "b": Reads(1)}, [(images, labels), (mixed, labels)])
    assert [e.value for e in found["a"]] == [1.0, 1.0]
    assert [e.value for e in found["b"]] == [0.0, 0.25]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ScmError, match="two factors or more"):
        stable_factor({"a": shares([1, 2], 10)})
    with pytest.raises(ScmError, match="two environments or more"):
        stable_factor({"a": shares([1, 2], 10), "b": shares([1], 10)})
    with pytest.raises(ScmError, match="shares of n images"):
        stable_factor({"a": [Estimate(0.5), Estimate(0.5)], "b": shares([1, 2], 10)})
    with pytest.raises(ScmError, match="level"):
        stable_factor({"a": shares([1, 2], 10), "b": shares([1, 2], 10)}, level=5)
