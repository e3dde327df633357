"""Risk extrapolation by the variance of risks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scm.learning.objectives.objective import Moment, Objective, cross_entropy, scores
from scm.learning.objectives.schedules import Ramp, Weight, weigh
from scm.learning.sources import Batch

__all__ = ["VREx"]


class VREx(Objective):
    """`mean_e R_e + w var_e R_e`, with the variance over environments, `mean_e (R_e - mean R)^2`.

    The source sums the risks; here they are averaged, so that w is the source's beta divided
    by the number of environments. Where w > 1, the loss is divided by it.

    Args:
        weight: w, a number or a schedule, as in `IRM`.

    Source: Krueger et al. (2021), "Out-of-Distribution Generalization via Risk Extrapolation",
    section 3 (V-REx).

    Example:
        >>> VREx(10.0)
        VREx(weight=10.0)
    """

    def __init__(self, weight: Weight = Ramp(1e4)) -> None:  # noqa: B008
        super().__init__(weight=weight)
        self.weight = weight

    def loss(self, network: nn.Module, batches: Sequence[Batch], at: Moment) -> Tensor:
        """Mean and variance of the environments' risks."""
        found = scores(network, batches)
        risks = torch.stack(
            [cross_entropy(f, b.labels) for f, b in zip(found, batches, strict=True)]
        )
        weight = weigh(self.weight, at.step, at.steps)
        return (risks.mean() + weight * risks.var(correction=0)) / max(1.0, weight)
