"""Merging: Holm by hand, its error rate by simulation, and the detectable difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from scm import ScmError
from scm.learning.causes.merging import effect, merge


def rows(values: object) -> torch.Tensor:
    one = torch.as_tensor(np.asarray(values, dtype=float))
    return torch.stack([1 - one, one], 1)


def fisher(a: int, n: int, b: int, m: int) -> float:
    """Two-sided Fisher p-value by enumeration of the hypergeometric law."""
    total = a + b
    law = {
        k: math.comb(n, k) * math.comb(m, total - k) / math.comb(n + m, total)
        for k in range(max(0, total - m), min(n, total) + 1)
    }
    return sum(p for p in law.values() if p <= law[a] * (1 + 1e-9))


def test_outcomes_by_fisher_and_holm():
    counts = [2, 3, 11, 12]
    answers = [rows([1] * k + [0] * (14 - k)) for k in counts]
    found = merge(answers)
    for (i, j), p in found.p_values.items():
        assert p == pytest.approx(fisher(counts[i], 14, counts[j], 14))
    assert found.groups == (0, 0, 1, 1)
    assert found.apart == {(0, 2), (0, 3), (1, 2), (1, 3)}
    assert found.doubtful == ()


def test_exact_answers_with_one_image_of_another_class():
    """Nothing varies in the first class; Welch's test by hand, without a warning of scipy's."""
    one, other = rows([0.35] * 10), rows([0.65] * 9 + [0.35])
    (p,) = merge([one, other]).p_values.values()
    # t = 0.27 / (0.3 sqrt(0.1) / sqrt(10)) = 9 with 9 degrees of freedom.
    assert p == pytest.approx(2 * stats.t.sf(9.0, 9))


def test_a_class_like_two_others_joins_them_and_is_reported():
    found = merge([rows([0] * 20), rows([0] * 14 + [1] * 6), rows([0] * 6 + [1] * 14)], 0.01)
    assert found.groups == (0, 0, 0)
    assert found.doubtful == ((0, 2),)


@pytest.mark.parametrize("trials", [1, 20])
def test_error_rate_holds_whatever_the_others_are(trials):
    """Classes 0, 1 and 2 are alike, 3 is not; the share of runs that keep any two of the three
    apart is at most 5%, held within 3.5 standard errors (false alarm 2.3e-4)."""
    generator = np.random.default_rng(3)
    runs, wrong = 150, 0
    for _ in range(runs):
        share = generator.binomial(trials, [[0.35]] * 3 + [[0.75]], (4, 12)) / trials
        wrong += len(set(merge([rows(s) for s in share]).groups[:3])) > 1
    assert wrong / runs <= 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / runs)


def test_detectable_difference_is_seen_as_often_as_it_says():
    """Two classes at the stated distance: power 0.8, within 3.5 standard errors and 0.05."""
    generator = np.random.default_rng(5)
    base = generator.binomial(400, 0.4, (2, 30)) / 400
    gap = merge([rows(s) for s in base]).detectable
    seen = [
        merge([rows(generator.binomial(400, p, 30) / 400) for p in (0.4, 0.4 + gap)], 0.05, 0.0)
        for _ in range(300)
    ]
    power = np.mean([len(set(s.groups)) == 2 for s in seen])
    assert abs(power - 0.8) < 3.5 * math.sqrt(0.16 / 300) + 0.05


def test_answers_without_noise_are_compared_up_to_the_tolerance():
    assert merge([rows([0.35] * 3), rows([0.355] * 3), rows([0.65] * 3)]).groups == (0, 0, 1)
    assert merge([rows([0.35] * 3), rows([0.355] * 3)], tolerance=0.0).groups == (0, 1)
    assert merge([rows([0.35]), rows([0.65]), rows([0.35])]).groups == (0, 1, 0)
    one_alone = merge([rows([0.5]), rows([0.3, 0.5, 0.4, 0.6])])
    assert one_alone.groups == (0, 0)
    assert math.isnan(one_alone.detectable)


def test_more_levels_than_two():
    onehot = torch.eye(3)
    answers = [onehot[[0] * 12 + [1] * 3], onehot[[0] * 11 + [1] * 4], onehot[[0] * 3 + [2] * 12]]
    found = merge(answers)
    assert found.groups == (0, 0, 1)
    by_level = [fisher(12, 15, 3, 15), fisher(3, 15, 0, 15), fisher(0, 15, 12, 15)]
    assert found.p_values[0, 2] == pytest.approx(3 * min(by_level))


def test_effect_and_its_error():
    mean, error = effect(rows([0.2, 0.4, 0.6]))
    assert (float(mean[1]), float(error[1])) == pytest.approx((0.4, 0.2 / math.sqrt(3)))
    mean, error = effect(rows([0] * 10))
    assert float(mean[1]) == 0
    assert float(error[1]) == pytest.approx(math.sqrt(2 / 14 * 12 / 14 / 14))


def test_bad_input():
    for arguments in (([],), ([rows([])],), ([rows([1])], 0.0), ([rows([1])], 0.05, -1.0)):
        with pytest.raises(ScmError, match="asked for; expected"):
            merge(*arguments)
