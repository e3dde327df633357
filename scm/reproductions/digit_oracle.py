"""Networks that stand for annotators: they say which digit an image shows, or '?'."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scm.estimate import Estimate
from scm.learning import SmallCNN, train_classifier
from scm.learning.causes.experimenters import Ensemble, Experimenter

__all__ = ["UNKNOWN", "DigitOracle", "worn"]

UNKNOWN = -1


class DigitOracle:
    """Convolutional networks trained apart; the class of their mean probability, if it is sure.

    Args:
        networks: Number of networks.
        width: Their channels.
        stride: Stride of their first convolution.
        sure: Mean probability below which the answer is '?'.
        seed: Seed of the first network; the others follow.
    """

    def __init__(
        self, networks: int = 5, width: int = 16, stride: int = 2, sure: float = 0.5, seed: int = 0
    ) -> None:
        self.seeds, self.sure = range(seed, seed + networks), sure
        self.members = nn.ModuleList(
            SmallCNN(1, 10, width=width, stride=stride, seed=s) for s in self.seeds
        ).eval()

    def train(self, images: Tensor, labels: Tensor, steps: int, progress: bool = True) -> None:
        """Train each network on images `(n, 1, height, width)`, as they are and worn."""
        self.members.to(images.device)
        for member, seed in zip(self.members, self.seeds, strict=True):
            generator = torch.Generator().manual_seed(seed)
            both = torch.cat([images, worn(images, generator)])
            train_classifier(
                both, labels.repeat(2), model=member, steps=steps, seed=seed, progress=progress
            )

    def answers(self, images: Tensor) -> Tensor:
        """Which digit each image shows, `(n,)` int64, or `UNKNOWN`."""
        mean = Ensemble(list(self.members))(images)
        sure, digit = mean.max(-1)
        return torch.where(sure >= self.sure, digit, UNKNOWN)

    def about(self, digit: int) -> Experimenter:
        """The experimenter that says whether images show this digit: 1, or 0 (also for '?')."""
        return lambda images: (self.answers(images) == digit).double()

    def score(self, images: Tensor, labels: Tensor) -> tuple[Estimate, Estimate]:
        """Shares of images answered rightly, and answered with '?'."""
        answers = self.answers(images)
        right, unknown = int((answers == labels).sum()), int((answers == UNKNOWN).sum())
        return Estimate.proportion(right, len(labels)), Estimate.proportion(unknown, len(labels))

    def save(self, path: Path) -> None:
        """Write the networks' weights."""
        save_file(self.members.state_dict(), path)

    def load(self, path: Path) -> DigitOracle:
        """Read the networks' weights, and return the oracle."""
        self.members.load_state_dict(load_file(path))
        return self


def worn(images: Tensor, generator: torch.Generator, shift: int = 2, noise: float = 0.4) -> Tensor:
    """Return images shifted by up to ``shift`` pixels, with normal noise of up to ``noise``.

    An annotator is not misled by specks; a network that never saw any is.
    """
    n, _, height, width = images.shape
    down, right = torch.randint(-shift, shift + 1, (2, n, 1), generator=generator)
    rows = (torch.arange(height) - down).clamp(0, height - 1)
    columns = (torch.arange(width) - right).clamp(0, width - 1)
    moved = images.cpu()[torch.arange(n)[:, None, None], 0, rows[:, :, None], columns[:, None, :]]
    strength = noise * torch.rand((n, 1, 1), generator=generator)
    specks = strength * torch.randn(moved.shape, generator=generator)
    return (moved + specks).clamp(0, 1).unsqueeze(1).to(images)
