"""How far the colour and the shape of coloured digits move: what their ink says, on black.

Colour: Euclidean distance of the mean colours (RGB) of the ink. Shape: 1 - IoU of where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scm.datasets.painting import coloured_hue

__all__ = ["Ruler", "difference", "ink", "shuffled"]


def ink(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean colour `(n, 3)` of the ink, and where it is, `(n, height, width)`.

    Ink is where the largest channel exceeds half of the image's largest.
    """
    bright = images.amax(1)
    mask = bright > 0.5 * bright.amax((1, 2), keepdim=True)
    count = mask.sum((1, 2)).clamp(min=1)
    return (images * mask[:, None]).sum((2, 3)) / count[:, None], mask


def difference(one: Tensor, other: Tensor) -> tuple[float, float]:
    """Mean distance of the colours of ink, and mean 1 - IoU of its places."""
    (colour, mask), (colour_, mask_) = ink(one), ink(other)
    either = (mask | mask_).sum((1, 2)).clamp(min=1)
    overlap = (mask & mask_).sum((1, 2)) / either
    return float((colour - colour_).norm(dim=1).mean()), float((1 - overlap).mean())


@dataclass(frozen=True)
class Ruler:
    """What a move is measured by: the differences of random images; and class mean colours."""

    colour: float
    shape: float
    means: Tensor

    @classmethod
    def of(cls, images: Tensor) -> Ruler:
        """The ruler of the data `(n, 3, height, width)`."""
        first, second = shuffled(2000, len(images), 0).to(images.device)
        means = coloured_hue(torch.arange(10, device=images.device)[:, None])
        return cls(*difference(images[first], images[second]), means)

    def moved(self, before: Tensor, after: Sequence[Tensor]) -> tuple[float, float]:
        """Mean differences of images from what they were, in per cent of two random images'."""
        found = torch.tensor([difference(before, one) for one in after]).mean(0)
        return 100 * float(found[0]) / self.colour, 100 * float(found[1]) / self.shape

    def class_of(self, images: Tensor) -> Tensor:
        """The class whose mean colour is nearest to that of the ink."""
        return torch.cdist(ink(images)[0], self.means).argmin(1)


def shuffled(n: int, rows: int, seed: int) -> Tensor:
    """Two rows drawn at random for each of n images, `(2, n)`."""
    return torch.randint(rows, (2, n), generator=torch.Generator().manual_seed(seed))
