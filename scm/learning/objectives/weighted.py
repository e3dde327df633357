"""The weighted sum of the risks of several environments."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.learning.objectives.objective import Moment, Objective, cross_entropy, scores
from scm.learning.objectives.schedules import Weight, weigh
from scm.learning.sources import Batch

__all__ = ["Weighted"]


class Weighted(Objective):
    r"""The weighted sum of the environments' risks, `sum_e w_e R_e`.

    GenInt's is :math:`L_e(X) + \lambda_1 L_e(X_{int}) + \lambda_2 L_e(X_{itr})`. Each risk is a
    mean over its own images, so that w, and not the number of images (`Recipe(batch=(256, 64,
    256))`), says what an environment counts.

    Args:
        *weights: w for each environment, in their order: a number, or a schedule, as in `IRM`.

    Raises:
        ScmError: If there are no weights, or not one an environment, or one is negative.

    Source: Mao et al. (2021), equation 1. Their published trainer adds lambda_2 where it should
    multiply.

    Example:
        >>> Weighted(1.0, 0.05, 1.0)
        Weighted(weights=(1.0, 0.05, 1.0))
    """

    def __init__(self, *weights: Weight) -> None:
        super().__init__(weights=weights)
        if not weights:
            raise ScmError("Weighted() was given no weights; expected one for each environment")
        self.weights = weights

    def loss(self, network: nn.Module, batches: Sequence[Batch], at: Moment) -> Tensor:
        """Sum of the weighted risks.

        Raises:
            ScmError: If there is not one weight for each environment.
        """
        if len(batches) != len(self.weights):
            raise ScmError(
                f"{self.name} was given {len(batches)} environments; expected a weight for each"
            )
        found = scores(network, batches)
        risks = [
            weigh(weight, at.step, at.steps) * cross_entropy(f, b.labels)
            for weight, f, b in zip(self.weights, found, batches, strict=True)
        ]
        return torch.stack(risks).sum()
