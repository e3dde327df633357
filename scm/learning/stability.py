"""Which factor is the cause: the one whose classifier is equally accurate in all environments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from torch import Tensor, nn

from scm.errors import ScmError
from scm.estimate import Estimate
from scm.learning.evaluation import accuracy

__all__ = ["StableFactor", "accuracies_across", "stable_factor"]


@dataclass(frozen=True)
class StableFactor:
    """Which factor's accuracy is stable, and why.

    Attributes:
        factor: The one stable factor, or None where none or several are.
        p_values: For each factor, the p-value of equal accuracies.
        changes: For each factor, the largest difference between two environments' accuracies.
        level: Level of each test.
    """

    factor: str | None
    p_values: dict[str, float]
    changes: dict[str, Estimate]
    level: float

    @property
    def stable(self) -> tuple[str, ...]:
        """The factors whose accuracies may be equal."""
        return tuple(name for name, p in self.p_values.items() if p >= self.level)

    @property
    def least(self) -> str | None:
        """The factor whose accuracy changes less than each other's does, or None.

        The weaker answer, for where the cause is harder to see in some environments, as a digit is
        on its own colour: then no accuracy is level. It holds that the change of each other one
        is larger, by a normal test of the difference at ``level`` over the number of these tests.
        """
        name = min(self.changes, key=lambda factor: self.changes[factor].value)
        own = self.changes[name]
        others = [change for factor, change in self.changes.items() if factor != name]
        bound = NormalDist().inv_cdf(1 - self.level / len(others))
        for other in others:
            error = math.hypot(own.stderr, other.stderr)
            if other.value - own.value <= bound * error:
                return None
        return name

    def __str__(self) -> str:
        tests = ", ".join(f"{name} p = {p:.3g}" for name, p in self.p_values.items())
        if self.factor is not None:
            return f"{self.factor} is stable, the others are not ({tests})"
        if not self.stable:
            none = f"no factor is stable ({tests}): the cause may be none of them"
            return none if self.least is None else f"{none}, or {self.least}, which changes least"
        return f"{', '.join(self.stable)} may all be stable ({tests}): give more images"


def accuracies_across(
    classifiers: Mapping[str, nn.Module], environments: Sequence[tuple[Tensor, Tensor]]
) -> dict[str, list[Estimate]]:
    """Accuracy of the classifier of each factor in each environment.

    Args:
        classifiers: For each factor, the classifier that was trained to be invariant to all
            others (on counterfactual images, with that factor's label).
        environments: Images and labels of each; images that are not shared between them make
            the test of `stable_factor` exact.

    Example:
        >>> import torch
        >>> images = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(2, 1, 1, 2)
        >>> rooms = [(images, torch.tensor([0, 1])), (images, torch.tensor([0, 0]))]
        >>> found = accuracies_across({"shape": nn.Flatten()}, rooms)
        >>> [accuracy.value for accuracy in found["shape"]]
        [1.0, 0.5]
    """
    return {
        name: [accuracy(classifier, images, labels) for images, labels in environments]
        for name, classifier in classifiers.items()
    }


def stable_factor(
    accuracies: Mapping[str, Sequence[Estimate]], level: float = 0.05
) -> StableFactor:
    """Find the factor whose accuracy is the same in all environments: the causal one.

    For each factor the chi-square test of equal proportions,
    `sum_e n_e (a_e - a)^2 / (a (1 - a))` with `a` the pooled accuracy and E - 1 degrees of freedom.
    A factor is named if it alone is not rejected. Naming a wrong factor requires that the causal
    one was rejected, so that it happens with probability at most ``level`` (asymptotically, if
    exactly one factor is causal and its classifier invariant); where environments hold few
    images or differ little, the answer is rather None.

    Args:
        accuracies: For each factor, its classifier's accuracy in each environment, as shares of
            independent images (`accuracy` of one classifier).
        level: Probability of rejecting equal accuracies that are equal.

    Raises:
        ScmError: If there are fewer than two environments or factors, or numbers of them differ.

    Source: CGN, appendix H, Table 5, which compares by eye.

    Example:
        >>> share = lambda *hits: [Estimate.proportion(h, 10_000) for h in hits]
        >>> print(stable_factor({"shape": share(8505, 8508), "colour": share(5872, 6269)}))
        shape is stable, the others are not (shape p = 0.953, colour p = 9.05e-09)
        >>> answer = stable_factor({"shape": share(9390, 9650), "colour": share(9010, 9990)})
        >>> answer.factor, answer.least
        (None, 'shape')
    """
    from scipy.stats import chi2

    lengths = {name: len(found) for name, found in accuracies.items()}
    if len(lengths) < 2 or len(set(lengths.values())) != 1 or min(lengths.values()) < 2:
        raise ScmError(
            f"accuracies of {lengths} environments were given; expected two factors or more, each "
            "in the same two environments or more"
        )
    if not 0 < level < 1:
        raise ScmError(f"level={level!r} was given; expected 0 < level < 1, such as 0.05")
    p_values = {
        name: float(chi2.sf(_homogeneity(name, found), len(found) - 1))
        for name, found in accuracies.items()
    }
    stable = [name for name, p in p_values.items() if p >= level]
    changes = {name: _change(found) for name, found in accuracies.items()}
    return StableFactor(stable[0] if len(stable) == 1 else None, p_values, changes, level)


def _change(found: Sequence[Estimate]) -> Estimate:
    low, high = (pick(found, key=lambda one: one.value) for pick in (min, max))
    return Estimate(
        high.value - low.value, math.hypot(low.stderr, high.stderr), sum(e.n or 0 for e in found)
    )


def _homogeneity(name: str, found: Sequence[Estimate]) -> float:
    sizes = [estimate.n for estimate in found if estimate.n is not None]
    if len(sizes) != len(found) or any(not 0 <= e.value <= 1 for e in found):
        raise ScmError(f"accuracies of {name!r} are {found}; expected shares of n images each")
    pooled = sum(e.value * n for e, n in zip(found, sizes, strict=True)) / sum(sizes)
    if pooled in (0.0, 1.0):
        return 0.0
    squares = sum(n * (e.value - pooled) ** 2 for e, n in zip(found, sizes, strict=True))
    return squares / (pooled * (1 - pooled))
