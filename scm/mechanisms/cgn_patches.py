"""Textures that are quilted from patches of real images, and what pixels say of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from scm.errors import MechanismError
from scm.mechanisms.cgn import Labelled, toroidal_crop
from scm.mechanisms.noise import Noise
from scm.mechanisms.types import Image

__all__ = ["PixelOdds", "QuiltTexture"]

_LEVELS = 32


class QuiltTexture(Labelled):
    """A texture that is quilted from patches of images: the noise chooses one, and shifts it.

    With K quilts a label, `floor(K Phi(u_1))` is shown, shifted around the frame by
    `floor(size Phi(u_2))` pixels down and `floor(size Phi(u_3))` to the right; opposite sides of a
    quilt meet without a seam. What quilts a label has is learned by `scm.learning.cgn.train_cgn`,
    from where masks say that nothing but texture is seen.

    Args:
        size: Side of the images.
        quilts: Number of quilts K of a label.
        seed: Unused: there are no weights.

    Source: Sauer and Geiger (2021), appendix C.2: patches from under the mask, tiled to a grid,
    are what their texture mechanism is trained towards. Efros and Freeman (2001), "Image Quilting
    for Texture Synthesis and Transfer", for patches that continue one another.

    Example:
        >>> QuiltTexture(size=8, quilts=20).noise        # which of them, and the shift
        Noise(law='normal', shape=(3,))
    """

    bank: Tensor

    def __init__(self, size: int = 32, quilts: int = 128, seed: int = 0) -> None:
        super().__init__()
        if size < 1 or quilts < 1:
            raise MechanismError(
                f"QuiltTexture(size={size}, quilts={quilts}) was given; expected a side of at "
                "least one pixel, and at least one quilt"
            )
        self.size, self.quilts, self.seed = size, quilts, seed
        self.type = Image((3, size, size))
        self.noise = Noise("normal", (3,))

    def build(self) -> None:
        shape = (self.classes, self.quilts, 3, self.size, self.size)
        self.register_buffer("bank", torch.full(shape, 0.5))

    def generate(self, noise: Tensor, label: Tensor) -> Tensor:
        chance = torch.special.ndtr(noise[:, 0])
        chosen = (chance * self.quilts).long().clamp_max(self.quilts - 1)
        return toroidal_crop(self.bank[label, chosen], noise[:, 1:], self.size)

    def config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("size", "quilts", "seed")}


class PixelOdds(nn.Module):
    """How probable each pixel's colour is in an object and in a background, by label.

    A label has its own palette; `p_F(k | y)` and `p_B(k | y)` are the shares of object and
    background pixels that are nearest to its colour k, where pixels are rounded to 32 levels a
    channel, so that the nearest colour is looked up and not searched.

    Args:
        size: Side of the images.
        classes: Number of labels.
        colours: Colours of a palette, at most 256.

    Example:
        >>> odds = PixelOdds(size=8, classes=3)
        >>> odds(torch.zeros(5, 3, 8, 8), torch.arange(5) % 3).shape
        torch.Size([5, 1, 8, 8])
    """

    lookup: Tensor
    front: Tensor
    back: Tensor

    def __init__(self, size: int = 32, classes: int = 10, colours: int = 96) -> None:
        super().__init__()
        if not 1 <= colours <= 256:
            raise MechanismError(f"PixelOdds(colours={colours}) was given; expected 1 to 256")
        self.size, self.classes, self.colours = size, classes, colours
        self.register_buffer("lookup", torch.zeros(classes, _LEVELS**3, dtype=torch.uint8))
        for name in ("front", "back"):
            self.register_buffer(name, torch.full((classes, colours), 1 / colours))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """`p_F / (p_F + p_B)` of each pixel, about one where the object is, whatever its colour."""
        front, back = self.log_chances(images, labels)
        return torch.sigmoid(front - back)

    def set_palette(self, label: int, palette: Tensor) -> None:
        """Give a label the colours `(colours, 3)` of its palette."""
        line = torch.arange(_LEVELS).to(palette) / (_LEVELS - 1)
        every = torch.cartesian_prod(line, line, line)
        self.lookup[label] = torch.cdist(every, palette).argmin(1).to(torch.uint8)

    def nearest(self, images: Tensor, labels: Tensor) -> Tensor:
        """Which colour of its label's palette each pixel is nearest to, `(n, size^2)`."""
        level = (images.flatten(2) * (_LEVELS - 1)).round().long().clamp(0, _LEVELS - 1)
        place = (level[:, 0] * _LEVELS + level[:, 1]) * _LEVELS + level[:, 2]
        return self.lookup[labels[:, None], place].long()

    def log_chances(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """`log p_F` and `log p_B` of each pixel, `(n, 1, size, size)` both."""
        colour = self.nearest(images, labels)
        shape = (len(images), 1, *images.shape[2:])
        front, back = (
            (table[labels].gather(1, colour) + 1e-4).log().view(shape)
            for table in (self.front, self.back)
        )
        return front, back

    def shares(self, colours: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Weighted shares `(classes, colours)` of the colours `(n, pixels)` by label."""
        counts = torch.full_like(self.front, 1e-3)
        flat = (labels[:, None] * self.colours + colours).flatten()
        counts.view(-1).index_add_(0, flat, weights.flatten())
        return counts / counts.sum(1, keepdim=True)
