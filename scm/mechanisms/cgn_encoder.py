"""The encoder of a CGN: which noise made an image, relative to what is usual for its label."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.mechanisms.cgn_patches import PixelOdds

__all__ = ["ImageEncoder"]


class ImageEncoder(nn.Module):
    """A convolutional posterior `q(u | x, y)`: means and log standard deviations of all noise.

    Image and label are planes (the label stands in the first pixels of one of its own); three
    convolutions of stride 2 and a hidden layer lead to numbers z. The first `widths[0]` of them,
    the shape's, are given relative to their label, `u = A_y (z - o_y)`, so that u is about
    standard normal in each class; see `scm.learning.cgn.prior`.

    Args:
        size: Side of the images, a multiple of 8.
        classes: Number of labels.
        widths: Widths of the noise that it gives, the shape's first.
        channels: Channels of the first convolution.
        colours: Look at `PixelOdds` of that many colours in place of the image; 0 for the image.

    Example:
        >>> encoder = ImageEncoder(size=8, classes=3, widths=(4, 2, 2), channels=4)
        >>> encoder(torch.zeros(5, 3 * 64 + 3)).shape       # pixels, then the one-hot label
        torch.Size([5, 16])
    """

    origin: Tensor
    scale: Tensor

    def __init__(
        self,
        size: int,
        classes: int,
        widths: Sequence[int],
        channels: int = 24,
        colours: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.classes, self.widths = size, classes, list(widths)
        self.channels, self.colours = channels, colours
        self.odds = PixelOdds(size, classes, colours) if colours else None
        wide = [2 if colours else 4, channels, 2 * channels, 4 * channels]
        layers: list[nn.Module] = []
        for inside, outside in pairwise(wide):
            convolution = nn.Conv2d(inside, outside, 3, stride=2, padding=1)
            layers += [convolution, nn.BatchNorm2d(outside), nn.ReLU()]
        last = nn.Linear(256, 2 * sum(self.widths))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        features = wide[-1] * (size // 8) ** 2
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(features, 256), nn.ReLU(), last
        )
        first = self.widths[0]
        self.register_buffer("origin", torch.zeros(classes, first))
        self.register_buffer("scale", torch.eye(first).repeat(classes, 1, 1))

    def forward(self, shown: Tensor) -> Tensor:
        """Means and log standard deviations `(n, 2 sum(widths))` of `(n, 3 size^2 + classes)`."""
        pixels, label = shown.split([3 * self.size**2, self.classes], 1)
        images = pixels.unflatten(1, (3, self.size, self.size))
        which = label.argmax(1)
        evidence = images if self.odds is None else self.odds(images, which)
        plane = F.pad(label, (0, self.size**2 - self.classes)).view_as(evidence[:, :1])
        mean, log_scale = self.layers(torch.cat([evidence, plane], 1)).chunk(2, 1)
        first = self.widths[0]
        shape, others = mean.split([first, mean.shape[1] - first], 1)
        spread, rest = log_scale.split([first, mean.shape[1] - first], 1)
        scale = self.scale[which]
        shape = (scale @ (shape - self.origin[which]).unsqueeze(2)).squeeze(2)
        # Of the covariance A diag(s^2) A', the diagonal.
        spread = 0.5 * (scale.square() @ (2 * spread).exp().unsqueeze(2)).squeeze(2).log()
        return torch.cat([shape, others, spread, rest], 1)
