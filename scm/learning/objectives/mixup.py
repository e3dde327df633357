"""Mixup."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.learning.objectives.objective import Moment, Objective, cross_entropy, scores
from scm.learning.sources import Batch

__all__ = ["Mixup"]


class Mixup(Objective):
    """Cross-entropy of `l x_i + (1 - l) x_j` with the label `l y_i + (1 - l) y_j`.

    j is a random permutation of the batch, and `l ~ Beta(alpha, alpha)` one number a step and
    environment.

    Args:
        alpha: How strongly images are mixed.

    Raises:
        ScmError: If alpha is not positive.

    Source: Zhang, Cisse, Dauphin and Lopez-Paz (2018), "mixup: Beyond Empirical Risk
    Minimization", section 2; one l a batch is its published implementation's.

    Example:
        >>> Mixup()
        Mixup(alpha=0.2)
    """

    def __init__(self, alpha: float = 0.2) -> None:
        super().__init__(alpha=alpha)
        if not alpha > 0:
            raise ScmError(f"Mixup(alpha={alpha}) was given; expected a positive number, as 0.2")
        self.alpha = alpha

    def loss(self, network: nn.Module, batches: Sequence[Batch], at: Moment) -> Tensor:
        """Mean over environments of the mixed images' risk."""
        mixed, mixing = [], []
        for batch in batches:
            share, other = self.draw(len(batch.labels), at.generator)
            other = other.to(batch.labels.device)
            images = share * batch.images + (1 - share) * batch.images[other]
            mixed.append(batch._replace(images=images))
            mixing.append((share, other))
        risks = [
            share * cross_entropy(found, batch.labels)
            + (1 - share) * cross_entropy(found, batch.labels[other])
            for found, batch, (share, other) in zip(
                scores(network, mixed), batches, mixing, strict=True
            )
        ]
        return torch.stack(risks).mean()

    def draw(self, n: int, generator: torch.Generator) -> tuple[float, Tensor]:
        """Share of the first image, and the permutation that gives the second."""
        from scipy.stats import beta

        uniform = float(torch.rand((), generator=generator, dtype=torch.float64))
        share = float(beta.ppf(uniform, self.alpha, self.alpha))
        return share, torch.randperm(n, generator=generator)
