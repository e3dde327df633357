"""Distributionally robust optimisation over groups."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.learning.objectives.objective import Moment, Objective, cross_entropy, scores
from scm.learning.sources import Batch

__all__ = ["GroupDRO"]


class GroupDRO(Objective):
    """`sum_g q_g R_g`, where each step multiplies q_g by `exp(eta R_g)` and normalises q.

    It minimises the worst group's risk. A group that a batch does not hold counts as one of
    risk 0 in that step. Groups are those of the batches; where these have none, each
    environment is one.

    Args:
        eta: Step size of the groups' weights.
        groups: Number of groups; by default of environments.

    Raises:
        ScmError: If eta is negative.

    Source: Sagawa, Koh, Hashimoto and Liang (2020), "Distributionally Robust Neural Networks for
    Group Shifts", algorithm 1.

    Example:
        >>> GroupDRO(groups=4)
        GroupDRO(eta=0.01, groups=4)
    """

    log_weights: Tensor

    def __init__(self, eta: float = 0.01, groups: int | None = None) -> None:
        super().__init__(eta=eta, groups=groups)
        if not eta >= 0:
            raise ScmError(f"GroupDRO(eta={eta}) was given; expected a step size of 0 or more")
        self.eta, self.groups = eta, groups
        self.register_buffer("log_weights", torch.empty(0))

    @property
    def weights(self) -> Tensor:
        """The weights q of the groups, `(groups,)`."""
        return self.log_weights.exp()

    def start(self, network: nn.Module, batches: Sequence[Batch], seed: int) -> None:
        """Equal weights.

        Raises:
            ScmError: If the number of groups is not known, or is one.
        """
        named = any(batch.groups is not None for batch in batches)
        if named and self.groups is None:
            raise ScmError(
                "GroupDRO() was given images with groups; say how many there are: "
                "GroupDRO(groups=4)"
            )
        count = self.groups or len(batches)
        if count < 2:
            raise ScmError(
                "GroupDRO() needs groups: give LabelledImages(images, labels, groups) and "
                "GroupDRO(groups=...), or several environments"
            )
        self.log_weights = batches[0].images.new_zeros(count).log_softmax(0)

    def loss(self, network: nn.Module, batches: Sequence[Batch], at: Moment) -> Tensor:
        """Weighted sum of the groups' risks; moves the weights first."""
        risks = self.risks(scores(network, batches), batches)
        with torch.no_grad():
            self.log_weights = (self.log_weights + self.eta * risks).log_softmax(0)
        return self.weights @ risks

    def risks(self, found: Sequence[Tensor], batches: Sequence[Batch]) -> Tensor:
        """Mean cross-entropy of each group `(groups,)`, 0 where there is no image.

        Raises:
            ScmError: If a batch has no groups where others do, or a group that is not there.
        """
        count = len(self.log_weights)
        each, where = [], []
        for k, (f, batch) in enumerate(zip(found, batches, strict=True)):
            groups = batch.groups
            if (groups is None) == (self.groups is not None):
                raise ScmError("some images have groups and others, or GroupDRO(), have none")
            each.append(cross_entropy(f, batch.labels, reduction="none"))
            alone = torch.full((len(f),), k, device=f.device)
            where.append(alone if groups is None else groups)
        losses, rows = torch.cat(each), torch.cat(where)
        if int(rows.min()) < 0 or int(rows.max()) >= count:
            raise ScmError(
                f"groups from {int(rows.min())} to {int(rows.max())} were given; expected 0 to "
                f"{count - 1}, as GroupDRO(groups={count}) says"
            )
        sums = losses.new_zeros(count).index_add(0, rows, losses)
        return sums / torch.bincount(rows, minlength=count).clamp(min=1)
