"""The published mechanisms of a CGN: convolutional shape and texture, and patch-shuffling."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.errors import MechanismError
from scm.mechanisms.cgn import Labelled, toroidal_crop
from scm.mechanisms.noise import Noise
from scm.mechanisms.types import Image

__all__ = ["ConvShape", "ConvTexture", "shuffle_patches"]


def shuffle_patches(images: Tensor, keys: Tensor) -> Tensor:
    """Cut images `(n, c, h, w)` into `k x k` patches and order them by their keys.

    Args:
        images: Images whose sides k divides.
        keys: A number for each patch, `(n, k * k)`; exchangeable keys give each order alike.

    Source: Sauer and Geiger (2021), section 3.1, "Texture Mechanism".

    Example:
        >>> image = torch.arange(4.0).reshape(1, 1, 2, 2)
        >>> shuffle_patches(image, torch.tensor([[3.0, 2.0, 1.0, 0.0]])).flatten().tolist()
        [3.0, 2.0, 1.0, 0.0]
    """
    n, _, h, w = images.shape
    k = round(keys.shape[1] ** 0.5)
    patches = F.unfold(images, (h // k, w // k), stride=(h // k, w // k))
    order = keys.argsort(1).unsqueeze(1).expand(n, patches.shape[1], k * k)
    return F.fold(patches.gather(2, order), (h, w), (h // k, w // k), stride=(h // k, w // k))


class _Block(nn.Sequential):
    """Upsampling (or none), a 3 x 3 convolution, batch norm."""

    def __init__(self, inside: int, outside: int, up: bool = True) -> None:
        layers = [nn.Upsample(scale_factor=2)] if up else []
        conv = nn.Conv2d(inside, outside, 3, padding=1, bias=not up)
        super().__init__(*layers, conv, nn.BatchNorm2d(outside))


class ConvShape(Labelled):
    """The published shape network: a mask out of instance norm and a hard clamp.

    Linear to 64 x 8 x 8 and instance norm; then twice upsampling, convolution, batch norm, leaky
    ReLU and instance norm; clamp to [1e-4, 0.9999], then `sigmoid(t logit(m))` with temperature
    t. Instance norm has no parameters: each mask has mean 0 and variance 1 before the clamp.

    Args:
        size: Side of the images, a multiple of 4, at least 8.
        latent: Width of the noise u.
        width: Base channels.
        temperature: Sharpness t of the mask; 1 leaves it as it is.
        seed: Seed of the initial weights.

    Source: Sauer and Geiger (2021), appendix C, and their published networks.
    """

    def __init__(
        self,
        size: int = 32,
        latent: int = 32,
        width: int = 32,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if size % 4 or size < 8:
            raise MechanismError(
                f"ConvShape(size={size}) was given; expected a multiple of 4, at least 8"
            )
        self.size, self.latent, self.width = size, latent, width
        self.temperature, self.seed = temperature, seed
        self.type = Image((1, size, size))
        self.noise = Noise("normal", (latent,))

    def build(self) -> None:
        base, side = self.width, self.size // 4
        self.embedding = nn.Embedding(self.classes, self.classes)
        self.linear = nn.Linear(self.latent + self.classes, 2 * base * side * side)
        self.layers = nn.Sequential(
            nn.Unflatten(1, (2 * base, side, side)),
            nn.InstanceNorm2d(2 * base),
            _Block(2 * base, base),
            nn.LeakyReLU(0.2),
            nn.InstanceNorm2d(base),
            _Block(base, 1),
            nn.LeakyReLU(0.2),
            nn.InstanceNorm2d(1),
        )

    def generate(self, noise: Tensor, label: Tensor) -> Tensor:
        hidden = self.linear(torch.cat([noise, self.embedding(label)], -1))
        mask: Tensor = self.layers(hidden).clamp(1e-4, 0.9999)
        return mask if self.temperature == 1 else (self.temperature * mask.logit()).sigmoid()

    def config(self) -> dict[str, Any]:
        names = ("size", "latent", "width", "temperature", "seed")
        return {name: getattr(self, name) for name in names}


class ConvTexture(Labelled):
    """The published texture network, and a last layer that breaks every global shape.

    Linear to 64 x 8 x 8, three stages of convolution and batch norm, the first two
    upsampling, tanh to [0, 1]. `shuffle="patches"` cuts the image into 4 x 4 patches and
    orders them at random (the paper); "crop" tiles it 2 x 2 and takes a random window (the
    published networks). Either way what is random is noise of the node.

    Args:
        size: Side of the images, a multiple of 4.
        latent: Width of the noise u.
        width: Base channels.
        shuffle: "patches" or "crop".
        patches: Patches a side.
        seed: Seed of the initial weights.

    Source: Sauer and Geiger (2021), section 3.1 and appendix C, and their published networks.

    Example:
        >>> ConvTexture(size=8, latent=4, shuffle="crop").noise
        Noise(law='normal', shape=(6,))
    """

    def __init__(
        self,
        size: int = 32,
        latent: int = 32,
        width: int = 32,
        shuffle: Literal["patches", "crop"] = "patches",
        patches: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if shuffle not in ("patches", "crop") or size % patches or size % 4:
            raise MechanismError(
                f"ConvTexture(size={size}, shuffle={shuffle!r}, patches={patches}) was given; "
                "expected 'patches' or 'crop', and a size that patches and 4 divide"
            )
        self.size, self.latent, self.width = size, latent, width
        self.shuffle, self.patches, self.seed = shuffle, patches, seed
        self.type = Image((3, size, size))
        self.noise = Noise("normal", (latent + (patches**2 if shuffle == "patches" else 2),))

    def build(self) -> None:
        base, side = self.width, self.size // 4
        self.embedding = nn.Embedding(self.classes, self.classes)
        self.linear = nn.Linear(self.latent + self.classes, 2 * base * side * side)
        self.layers = nn.Sequential(
            nn.Unflatten(1, (2 * base, side, side)),
            _Block(2 * base, 2 * base),
            nn.LeakyReLU(0.2),
            _Block(2 * base, base),
            nn.LeakyReLU(0.2),
            _Block(base, 3, up=False),
            nn.Tanh(),
        )

    def generate(self, noise: Tensor, label: Tensor) -> Tensor:
        latent, random = noise[:, : self.latent], noise[:, self.latent :]
        hidden = self.linear(torch.cat([latent, self.embedding(label)], -1))
        texture: Tensor = (self.layers(hidden) + 1) / 2
        if self.shuffle == "patches":
            return shuffle_patches(texture, random)
        return toroidal_crop(texture, random, self.size)

    def config(self) -> dict[str, Any]:
        names = ("size", "latent", "width", "shuffle", "patches", "seed")
        return {name: getattr(self, name) for name in names}
