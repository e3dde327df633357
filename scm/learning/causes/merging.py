r"""Which classes have the same :math:`P(T \mid man(I))`, by tests on an experimenter's answers.

Each pair of classes is tested for a difference: single outcomes 0 and 1 by Fisher's exact
test, fractions by Welch's (Student's, where a class has one answer alone). Holm's method over
all pairs keeps the probability that *any* two classes without a difference are told apart
below the error rate, whatever the others are.
Pairs that are not told apart are merged, and what is merged is transitive.

More than two levels of T are tested one by one, and the smallest p-value times their number
is that of the pair (Bonferroni).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from scm.errors import ScmError

__all__ = ["Merging", "effect", "merge"]


@dataclass(frozen=True)
class Merging:
    """Which classes were merged, and what could have been seen.

    Attributes:
        groups: Group of each class: 0, 1, ... in the order of their first classes.
        p_values: p-value of each pair of classes (i, j), i < j.
        apart: Pairs that the tests told apart.
        detectable: Smallest difference of P(T = t | man(I)) between two classes that would
            have been seen with probability 0.8 (normal approximation).
    """

    groups: tuple[int, ...]
    p_values: dict[tuple[int, int], float]
    apart: frozenset[tuple[int, int]]
    detectable: float

    @property
    def doubtful(self) -> tuple[tuple[int, int], ...]:
        """Pairs told apart that are in one group all the same, since a third is like both."""
        return tuple(sorted((i, j) for i, j in self.apart if self.groups[i] == self.groups[j]))


def merge(answers: list[Tensor], error_rate: float = 0.05, tolerance: float = 0.01) -> Merging:
    """Merge classes whose answers show no difference.

    Args:
        answers: Answers about each class, `(queries, levels)` rows that sum to one. Two classes
            whose answers do not vary at all are told apart by any difference: such answers,
            and one fraction for each class, are taken for exact.
        error_rate: Largest probability that any two classes of the same P(T | man(I)) are kept
            apart.
        tolerance: A difference of means up to this is none.

    Raises:
        ScmError: If a class has no answers, or an argument is out of its range.

    Source: Holm (1979); Fisher (1922); Welch (1947).

    Example:
        >>> one, other = torch.tensor([[0.7, 0.3]]), torch.tensor([[0.4, 0.6]])
        >>> merge([one, other, one]).groups
        (0, 1, 0)
    """
    if not 0 < error_rate < 1 or not tolerance >= 0 or not answers or not all(map(len, answers)):
        raise ScmError(
            f"merge(error_rate={error_rate!r}, tolerance={tolerance!r}) of classes with "
            f"{[len(a) for a in answers]} answers was asked for; expected 0 < error_rate < 1, a "
            "tolerance that is not negative, and answers about each class"
        )
    rows = [a.detach().cpu().double() for a in answers]
    pairs = list(itertools.combinations(range(len(rows)), 2))
    p_values = {(i, j): _p_value(rows[i], rows[j], tolerance) for i, j in pairs}
    apart = set()
    for rank, pair in enumerate(sorted(pairs, key=p_values.__getitem__)):
        if p_values[pair] > error_rate / (len(pairs) - rank):
            break
        apart.add(pair)
    group = list(range(len(rows)))
    for i, j in pairs:
        if (i, j) not in apart:
            old, new = max(group[i], group[j]), min(group[i], group[j])
            group = [new if g == old else g for g in group]
    names = {g: k for k, g in enumerate(dict.fromkeys(group))}
    detectable = _detectable(rows, error_rate, tolerance)
    return Merging(tuple(names[g] for g in group), p_values, frozenset(apart), detectable)


def effect(answers: Tensor) -> tuple[Tensor, Tensor]:
    """Mean answer and its standard error, `(levels,)` each, from `(queries, levels)`.

    The standard error of single outcomes is that of Agresti and Coull (two more of each), so
    that ten zeros are not a certain zero; that of one fraction alone is NaN.
    """
    answers = answers.double()
    n, mean = len(answers), answers.mean(0)
    if _single(answers):
        share = (answers.sum(0) + 2) / (n + 4)
        return mean, (share * (1 - share) / (n + 4)).sqrt()
    spread = answers.std(0) if n > 1 else torch.full_like(mean, math.nan)
    return mean, spread / math.sqrt(n)


def _single(answers: Tensor) -> bool:
    return bool(((answers == 0) | (answers == 1)).all())


def _p_value(one: Tensor, other: Tensor, tolerance: float) -> float:
    if (one.mean(0) - other.mean(0)).abs().max() <= tolerance:
        return 1.0
    levels = [1] if one.shape[1] == 2 else range(one.shape[1])
    return min(1.0, len(levels) * min(_tested(one[:, k], other[:, k]) for k in levels))


def _tested(one: Tensor, other: Tensor) -> float:
    """p-value of a difference between two samples of numbers in [0, 1]."""
    from scipy import stats

    if _single(one) and _single(other) and len(one) > 1 and len(other) > 1:
        counts = [[int(x.sum()), len(x) - int(x.sum())] for x in (one, other)]
        return float(stats.fisher_exact(counts).pvalue)
    if float(one.max() - one.min()) == 0 and float(other.max() - other.min()) == 0:
        return 1.0 if float(one[0]) == float(other[0]) else 0.0
    equal = min(len(one), len(other)) < 2  # one answer has no variance of its own
    summary = [x for s in (one, other) for x in (float(s.mean()), _spread(s), len(s))]
    return float(stats.ttest_ind_from_stats(*summary, equal_var=equal).pvalue)


def _spread(sample: Tensor) -> float:
    return float(sample.std()) if len(sample) > 1 else 0.0


def _detectable(rows: list[Tensor], error_rate: float, tolerance: float) -> float:
    pairs = len(rows) * (len(rows) - 1) // 2
    if not pairs:
        return math.nan
    levels = 1 if rows[0].shape[1] == 2 else rows[0].shape[1]
    strictest = error_rate / (2 * pairs * levels)
    reach = -NormalDist().inv_cdf(strictest) + NormalDist().inv_cdf(0.8)
    errors = [float(effect(r)[1].max()) for r in rows]
    if any(map(math.isnan, errors)):
        return math.nan
    first, second = sorted(errors, reverse=True)[:2]
    return max(tolerance, reach * math.hypot(first, second))
