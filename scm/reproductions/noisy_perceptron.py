"""The network of the manipulators: one hidden layer, trained on images with noise added.

The nearest image that a network puts into another class may be an adversarial example. With
noise in training its classes change less abruptly, so that the nearest image has to look more
like the others of its class. That is this library's choice, not the paper's; without noise
(0) the network is the paper's of section 4.1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["KINDS", "NAMES", "noisy_perceptron"]

KINDS = {"noisy": 0.6, "plain": 0.0}
"""Standard deviation of the noise."""

NAMES = {"noisy": "trained with noise", "plain": "trained without noise"}


def noisy_perceptron(pixels: int, noise: float, seed: int) -> nn.Module:
    """One hidden layer of 100 units, two classes; in training, normal noise on the pixels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # noqa: TID251
        layers = [nn.Flatten(), nn.Linear(pixels, 100), nn.ReLU(), nn.Linear(100, 2)]
    return nn.Sequential(_Noise(noise), *layers)


class _Noise(nn.Module):
    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, images: Tensor) -> Tensor:
        return images + self.strength * torch.randn_like(images) if self.training else images
