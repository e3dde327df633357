"""Invariant risk minimisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.learning.objectives.objective import Moment, Objective, cross_entropy, scores
from scm.learning.objectives.schedules import Ramp, Weight, weigh
from scm.learning.sources import Batch

__all__ = ["IRM", "scale_gradient"]


class IRM(Objective):
    """IRMv1: `mean_e [R_e(f) + w (d/ds R_e(s f) at s = 1)^2]`, divided by w where w > 1.

    A representation is invariant where one classifier on it is the best in all environments;
    the penalty measures how much a rescaling of the logits would help in one of them.

    Args:
        weight: w; a number, `Ramp(w)` (the CGN paper's, appendix C.4), `Jump(w, start)`
            (GenInt's), or any function of step and steps. Neither paper's linear end is
            published: choose on validation data.
        halves: Multiply the derivatives on two halves of each batch in place of squaring one:
            unbiased for the population's squared gradient, where the square is biased upwards by
            the variance of a batch.

    Source: Arjovsky, Bottou, Gulrajani and Lopez-Paz (2019), "Invariant Risk Minimization",
    (IRMv1), section 3.1; the two halves, section 3.2.

    Example:
        >>> IRM(Ramp(1e4))
        IRM(weight=Ramp(weight=10000.0), halves=False)
    """

    def __init__(self, weight: Weight = Ramp(1e4), halves: bool = False) -> None:  # noqa: B008
        super().__init__(weight=weight, halves=halves)
        self.weight, self.halves = weight, halves

    def loss(self, network: nn.Module, batches: Sequence[Batch], at: Moment) -> Tensor:
        """Mean over environments of risk and penalty."""
        weight = weigh(self.weight, at.step, at.steps)
        losses = []
        for found, batch in zip(scores(network, batches), batches, strict=True):
            risk = cross_entropy(found, batch.labels)
            losses.append(risk + weight * self.penalty(found, batch.labels) if weight else risk)
        return torch.stack(losses).mean() / max(1.0, weight)

    def penalty(self, found: Tensor, labels: Tensor) -> Tensor:
        """Squared gradient of the risk with respect to a scalar that multiplies the logits."""
        if self.halves:
            first, second = (scale_gradient(found[k::2], labels[k::2]) for k in (0, 1))
            return first * second
        return scale_gradient(found, labels).square()


def scale_gradient(found: Tensor, labels: Tensor) -> Tensor:
    """`d/ds R(s f)` at s = 1, in closed form: `mean_i sum_k (softmax(f_i)_k - [y_i = k]) f_ik`.

    Args:
        found: Logits `(n, classes)` or `(n, K, classes)`.
        labels: Classes `(n,)` or `(n, K)`, or probabilities `(n, classes)`.

    Example:
        >>> scale_gradient(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
        tensor(-0.2384)
    """
    target = labels if labels.is_floating_point() else F.one_hot(labels, found.shape[-1])
    surplus = found.softmax(-1) - target
    return (surplus * found).sum(-1).mean()
