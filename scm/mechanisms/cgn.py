"""Mechanisms of a counterfactual generative network for small images.

Each takes one label and its own noise: a shape gives a mask M, a texture an image that
covers the whole frame, and `compose` puts the two textures together by the mask. Nothing
here knows a model; `scm.learning.cgn.CGN` binds them.

Source: Sauer and Geiger (2021), section 3.1 and appendix B.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.errors import MechanismError
from scm.mechanisms.mechanism import Mechanism, Parents
from scm.mechanisms.noise import Noise
from scm.mechanisms.seeding import seeded
from scm.mechanisms.types import Categorical, Image

__all__ = [
    "ColourTexture",
    "ConvShape",
    "ConvTexture",
    "GridTexture",
    "Labelled",
    "Shape",
    "compose",
    "label_copy",
    "shuffle_patches",
    "toroidal_crop",
]


def compose(M: Tensor, F: Tensor, B: Tensor) -> Tensor:
    """The composer, `X = M F + (1 - M) B`.

    Source: Sauer and Geiger (2021), equation 2.

    Example:
        >>> half = torch.full((1, 2, 2), 0.5)
        >>> compose(half, torch.ones(3, 2, 2), torch.zeros(3, 2, 2)).unique()
        tensor([0.5000])
    """
    return B + M * (F - B)


def label_copy(Y: Tensor) -> Tensor:
    """The label that one mechanism sees, `Y_k = Y`."""
    return Y


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
    n, c, h, w = images.shape
    k = round(keys.shape[1] ** 0.5)
    patches = F.unfold(images, (h // k, w // k), stride=(h // k, w // k))
    order = keys.argsort(1).unsqueeze(1).expand(n, patches.shape[1], k * k)
    return F.fold(patches.gather(2, order), (h, w), (h // k, w // k), stride=(h // k, w // k))


def toroidal_crop(canvas: Tensor, places: Tensor, size: int) -> Tensor:
    """Crop `size x size` windows from canvases `(n, c, s, s)` whose opposite sides meet.

    Tiling an image 2 x 2 and cropping a window of its own size is the case `size = s`.

    Args:
        canvas: Canvases.
        places: Standard normal numbers `(n, 2)`; `floor(s Phi(places))` is the corner, so
            that each of the `s^2` corners is as likely.
        size: Side of the window.

    Example:
        >>> toroidal_crop(torch.arange(4.0).reshape(1, 1, 2, 2), torch.tensor([[9.0, -9.0]]), 2)
        tensor([[[[2., 3.],
                  [0., 1.]]]])
    """
    n, c, side, _ = canvas.shape
    corner = (torch.special.ndtr(places) * side).long().clamp_max(side - 1)
    along = (corner.unsqueeze(-1) + torch.arange(size, device=canvas.device)) % side
    which = torch.arange(n, device=canvas.device)[:, None, None, None]
    channel = torch.arange(c, device=canvas.device)[None, :, None, None]
    return canvas[which, channel, along[:, 0, None, :, None], along[:, 1, None, None, :]]


class Labelled(Mechanism):
    """A generator of images `S := g(U, label)` with one categorical parent, the label.

    A subclass sets `type` and `noise`, makes its layers in `build` (under its seed) and
    implements `generate`. It is in evaluation mode until somebody trains it.
    """

    type: Image
    seed: int

    def __init__(self) -> None:
        super().__init__()
        self.eval()

    @property
    def classes(self) -> int:
        """Number of labels."""
        (label,) = self.parents.values()
        return label.width

    def on_bind(self) -> None:
        kinds = list(self.parents.values())
        if len(kinds) != 1 or not isinstance(kinds[0], Categorical):
            raise MechanismError(
                f"{self.describe()} was given the parents {dict(self.parents)}; expected one, "
                "the Categorical label, as in the graph 'Y1 -> M'"
            )
        if not hasattr(self, "built"):
            with seeded(self.seed):
                self.build()
            self.train(self.training)
            self.built = True

    def build(self) -> None:
        """Make the layers, now that the number of labels is known."""
        raise NotImplementedError

    def generate(self, noise: Tensor, label: Tensor) -> Tensor:
        """Images `(n, *shape)` from noise `(n, *noise shape)` and labels `(n,)`."""
        raise NotImplementedError

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        assert noise is not None
        (label,) = parents.values()
        return self.generate(noise, label)

    def _joined(self, noise: Tensor, label: Tensor) -> Tensor:
        return torch.cat([noise, F.one_hot(label, self.classes).to(noise)], -1)


class Shape(Labelled):
    """A mask `m = sigmoid(3 t (l(u, y) + c (1 - 2 r)))`, where r grows from the centre.

    l is a transposed-convolution network, r is 0 at the centre and 1 at the middle of each
    side: before training the mask is a blob in the middle, so the object starts inside. With
    `peak`, `m / max m` is the mask: its scale is then not confused with the brightness of the
    foreground where the background is black.

    Args:
        size: Side of the images, a multiple of 8.
        latent: Width of the noise u.
        width: Channels of the first layer.
        centre: Strength c of the centre prior.
        by_class: Give each label a first layer of its own.
        peak: Divide each mask by its maximum.
        temperature: The factor t, which sharpens the mask (2) or softens it (0.5).
        seed: Seed of the initial weights.

    Example:
        >>> Shape(size=8, latent=4).noise
        Noise(law='normal', shape=(4,))
    """

    def __init__(
        self,
        size: int = 32,
        latent: int = 16,
        width: int = 96,
        centre: float = 1.0,
        by_class: bool = False,
        peak: bool = False,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if size % 8 or size < 8 or width % 4:
            raise MechanismError(
                f"Shape(size={size}, width={width}) was given; expected a size that 8 divides and "
                "a width that 4 divides"
            )
        self.size, self.latent, self.width, self.centre = size, latent, width, centre
        self.by_class, self.peak, self.temperature, self.seed = by_class, peak, temperature, seed
        self.type = Image((1, size, size))
        self.noise = Noise("normal", (latent,))

    prior: Tensor

    def build(self) -> None:
        side, width = self.size // 8, self.width
        self.register_buffer("prior", self.centre * (1 - 2 * radius(self.size)))
        if self.by_class:
            out = width * side * side
            self.first = nn.Parameter(torch.randn(self.classes, self.latent + 1, out) * 0.1)
        else:
            self.linear = nn.Linear(self.latent + self.classes, width * side * side)
        self.layers = nn.Sequential(
            nn.Unflatten(1, (width, side, side)),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width // 2, 4, 2, 1),
            nn.BatchNorm2d(width // 2),
            nn.ReLU(),
            nn.ConvTranspose2d(width // 2, width // 4, 4, 2, 1),
            nn.BatchNorm2d(width // 4),
            nn.ReLU(),
            nn.ConvTranspose2d(width // 4, 1, 4, 2, 1),
        )

    def generate(self, noise: Tensor, label: Tensor) -> Tensor:
        if self.by_class:
            ones = torch.ones_like(noise[:, :1])
            hidden = torch.bmm(torch.cat([noise, ones], 1).unsqueeze(1), self.first[label])[:, 0]
        else:
            hidden = self.linear(self._joined(noise, label))
        logits = self.layers(hidden) + self.prior
        mask: Tensor = torch.sigmoid(3 * self.temperature * logits)
        return mask / mask.amax((1, 2, 3), keepdim=True).clamp_min(1e-3) if self.peak else mask

    def config(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "latent": self.latent,
            "width": self.width,
            "centre": self.centre,
            "by_class": self.by_class,
            "peak": self.peak,
            "temperature": self.temperature,
            "seed": self.seed,
        }


def radius(size: int) -> Tensor:
    """Distance of each pixel from the centre, `(1, size, size)`; 1 in the middle of a side."""
    line = torch.linspace(-1, 1, size)
    return torch.hypot(line[:, None], line[None, :]).unsqueeze(0)


class ColourTexture(Labelled):
    """A texture of one colour, `sigmoid(l(u, y))`, the same at each pixel.

    Args:
        size: Side of the images.
        latent: Width of the noise u.
        hidden: Width of the network l.
        seed: Seed of the initial weights.

    Example:
        >>> ColourTexture(size=8).type
        Image(shape=(3, 8, 8), range=(0.0, 1.0))
    """

    def __init__(self, size: int = 32, latent: int = 4, hidden: int = 32, seed: int = 0) -> None:
        super().__init__()
        self.size, self.latent, self.hidden, self.seed = size, latent, hidden, seed
        self.type = Image((3, size, size))
        self.noise = Noise("normal", (latent,))

    def build(self) -> None:
        self.layers = nn.Sequential(
            nn.Linear(self.latent + self.classes, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, 3),
        )

    def generate(self, noise: Tensor, label: Tensor) -> Tensor:
        colour = torch.sigmoid(self.layers(self._joined(noise, label)))
        return colour[:, :, None, None].expand(-1, -1, self.size, self.size)

    def config(self) -> dict[str, Any]:
        names = ("size", "latent", "hidden", "seed")
        return {name: getattr(self, name) for name in names}


class GridTexture(Labelled):
    """A texture `sigmoid(up(l(u, y)) + crop(canvas_y))`: broad colours, and fine structure.

    l gives a coarse grid that is interpolated bilinearly; the canvas is an image a label,
    larger than the frame, of which a random window is taken. It starts at zero.

    Args:
        size: Side of the images.
        latent: Width of the noise u.
        grid: Side of the coarse grid.
        hidden: Width of the network l.
        canvas: Side of the canvas; 0 for none.
        seed: Seed of the initial weights.

    Example:
        >>> GridTexture(size=8, latent=6, canvas=16).noise      # the window's corner is noise too
        Noise(law='normal', shape=(8,))
    """

    def __init__(
        self,
        size: int = 32,
        latent: int = 20,
        grid: int = 5,
        hidden: int = 64,
        canvas: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.latent, self.grid, self.hidden = size, latent, grid, hidden
        self.side, self.seed = canvas, seed
        self.type = Image((3, size, size))
        self.noise = Noise("normal", (latent + 2 * bool(canvas),))

    def build(self) -> None:
        self.layers = nn.Sequential(
            nn.Linear(self.latent + self.classes, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, 3 * self.grid**2),
        )
        if self.side:
            self.canvas = nn.Parameter(torch.zeros(self.classes, 3, self.side, self.side))

    def generate(self, noise: Tensor, label: Tensor) -> Tensor:
        cells = self.layers(self._joined(noise[:, : self.latent], label))
        cells = cells.reshape(-1, 3, self.grid, self.grid)
        size = (self.size, self.size)
        logits = F.interpolate(cells, size, mode="bilinear", align_corners=True)
        if self.side:
            corner = noise[:, self.latent :]
            logits = logits + toroidal_crop(self.canvas[label], corner, self.size)
        return torch.sigmoid(logits)

    def config(self) -> dict[str, Any]:
        names = ("size", "latent", "grid", "hidden", "seed")
        return {**{name: getattr(self, name) for name in names}, "canvas": self.side}


class _Block(nn.Sequential):
    """Upsampling (or none), a 3 x 3 convolution on reflected borders, a norm."""

    def __init__(self, inside: int, outside: int, norm: nn.Module, up: bool, bias: bool) -> None:
        layers = [nn.Upsample(scale_factor=2)] if up else []
        conv = nn.Conv2d(inside, outside, 3, padding=1, padding_mode="reflect", bias=bias)
        super().__init__(*layers, conv, norm)


class ConvShape(Labelled):
    """The published shape network: a mask out of instance norm and a hard clamp.

    Linear to 64 x 8 x 8, then twice upsampling, convolution, instance norm, with a leaky
    ReLU between; clamp to [1e-4, 0.9999], then `sigmoid(t logit(m))` with temperature t.

    Args:
        size: Side of the images, a multiple of 4.
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
        self.size, self.latent, self.width = size, latent, width
        self.temperature, self.seed = temperature, seed
        self.type = Image((1, size, size))
        self.noise = Noise("normal", (latent,))

    def build(self) -> None:
        base, side = self.width, self.size // 4
        self.embedding = nn.Embedding(self.classes, self.classes)
        self.linear = nn.Linear(self.latent + self.classes, 2 * base * side * side)
        # Instance norm of its own statistics: the running ones of the file are not used.
        self.layers = nn.Sequential(
            nn.Unflatten(1, (2 * base, side, side)),
            _Block(2 * base, base, nn.InstanceNorm2d(base, affine=True), up=True, bias=False),
            nn.LeakyReLU(0.2),
            _Block(base, 1, nn.InstanceNorm2d(1, affine=True), up=True, bias=False),
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
            _Block(2 * base, 2 * base, nn.BatchNorm2d(2 * base), up=True, bias=False),
            nn.LeakyReLU(0.2),
            _Block(2 * base, base, nn.BatchNorm2d(base), up=True, bias=False),
            nn.LeakyReLU(0.2),
            _Block(base, 3, nn.BatchNorm2d(3), up=False, bias=True),
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
