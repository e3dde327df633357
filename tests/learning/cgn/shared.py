"""A confounded toy set, tiny settings that train in a second, and a narrow VGG."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from scm.learning.cgn import Settings, settings_of

COLOURS = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.9, 0.2], [0.2, 0.2, 0.9]])


class SmallVGG(nn.Module):
    """Four blocks under VGG's names, narrow enough for a test."""

    def __init__(self, weights: None = None) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in ((3, 4), (4, 4), (4, 6), (6, 6)):
            layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside)]
            layers += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(6, 10)


def toy(n: int = 120, size: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A bar, a square and a cross, each of its class's colour on another."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (n,), generator=g)
    masks = torch.zeros(3, 1, size, size)
    masks[0, :, 2:6, 3:5] = masks[1, :, 2:6, 2:6] = masks[2, :, 3:5, 1:7] = 1
    masks[2, :, 1:7, 3:5] = 1
    m = masks[labels]
    hue = COLOURS[labels][:, :, None, None] + 0.02 * torch.randn(n, 3, 1, 1, generator=g)
    back = COLOURS[(labels + 1) % 3][:, :, None, None]
    return (m * hue + (1 - m) * back).clamp(0, 1), labels


def tiny(kind: str = "double", recipe: str = "autoencoder", **changes: Any) -> Settings:
    """Settings of a run of a few steps on the toy set."""
    defaults: dict[str, Any] = {
        "size": 8,
        "classes": 3,
        "shape_width": 8,
        "shape_latent": 3,
        "encoder_width": 4,
        "steps": 12,
        "batch": 16,
        "colours": 6,
        "patches": 5,
        "frozen": 3,
        "watch_from": 2.0,
    }
    return settings_of(kind, recipe, **{**defaults, **changes})
