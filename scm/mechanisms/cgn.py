"""Mechanisms of a counterfactual generative network for small images.

Each takes one label and its own noise: a shape gives a mask M, a texture an image that
covers the whole frame, and `compose` puts the two textures together by the mask. Nothing
here knows a model; `scm.learning.cgn.CGN` binds them.

Source: Sauer and Geiger (2021), section 3.1 and appendix B.
"""

from __future__ import annotations

from typing import Any

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
    "Labelled",
    "Shape",
    "compose",
    "label_copy",
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


class Shape(Labelled):
    """A mask `m = sigmoid(3 t (l(o_y + S_y u, y) + c (1 - 2 r)))`, where r grows from the centre.

    l is a transposed-convolution network; origin o_y and spread S_y, at first 0 and I, say where a
    label's shapes lie in what it takes. r is 0 at the centre and 1 at the middle of each
    side: before training the mask is a blob in the middle, so the object starts inside. With
    `peak`, `m / max m` is the mask: its scale is then not confused with the brightness of the
    foreground where the background is black.

    Args:
        size: Side of the images, a multiple of 8.
        latent: Width of the noise u.
        width: Channels of the first layer.
        centre: Strength c of the centre prior.
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
        self.peak, self.temperature, self.seed = peak, temperature, seed
        self.type = Image((1, size, size))
        self.noise = Noise("normal", (latent,))

    prior: Tensor
    origin: Tensor
    spread: Tensor

    def build(self) -> None:
        self.register_buffer("origin", torch.zeros(self.classes, self.latent))
        self.register_buffer("spread", torch.eye(self.latent).repeat(self.classes, 1, 1))
        side, width = self.size // 8, self.width
        self.register_buffer("prior", self.centre * (1 - 2 * radius(self.size)))
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
        shown = F.one_hot(label, self.classes).to(noise)
        placed = self.origin[label] + (self.spread[label] @ noise.unsqueeze(2)).squeeze(2)
        hidden = self.linear(torch.cat([placed, shown], -1))
        logits = self.layers(hidden) + self.prior
        mask: Tensor = torch.sigmoid(3 * self.temperature * logits)
        return mask / mask.amax((1, 2, 3), keepdim=True).clamp_min(1e-3) if self.peak else mask

    def config(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "latent": self.latent,
            "width": self.width,
            "centre": self.centre,
            "peak": self.peak,
            "temperature": self.temperature,
            "seed": self.seed,
        }


def radius(size: int) -> Tensor:
    """Distance of each pixel from the centre, `(1, size, size)`; 1 in the middle of a side."""
    line = torch.linspace(-1, 1, size)
    return torch.hypot(line[:, None], line[None, :]).unsqueeze(0)


class ColourTexture(Labelled):
    """A texture of one colour, the same at each pixel.

    `S = clamp((1 + 2 e) sigmoid(a_y + W_y u) - e, 0, 1)`. Each label has a mean colour and a spread
    of its own, so that noise means the same, colours about the mean, whatever the label is set to.

    Args:
        size: Side of the images.
        latent: Width of the noise u.
        stretch: How far e the sigmoid is stretched past 0 and 1, so that black is black: 0.002
            against 0.001 is nothing to the eye, and an edge to who standardises what it sees.
        seed: Seed of the initial weights.

    Source: Louizos, Welling and Kingma (2018), equation 11, for the stretched sigmoid.

    Example:
        >>> ColourTexture(size=8).type
        Image(shape=(3, 8, 8), range=(0.0, 1.0))
    """

    def __init__(
        self, size: int = 32, latent: int = 3, stretch: float = 0.0, seed: int = 0
    ) -> None:
        super().__init__()
        if not stretch >= 0:
            raise MechanismError(
                f"ColourTexture(stretch={stretch}) was given; expected 0 or more, such as 0.06"
            )
        self.size, self.latent, self.stretch, self.seed = size, latent, stretch, seed
        self.type = Image((3, size, size))
        self.noise = Noise("normal", (latent,))

    def build(self) -> None:
        self.linear = LinearByLabel(self.classes, self.latent, 3)

    def generate(self, noise: Tensor, label: Tensor) -> Tensor:
        return self.paint(self.linear(noise, label))

    def paint(self, logits: Tensor) -> Tensor:
        """Images `(*batch, 3, size, size)` of the colours of logits `(*batch, 3)`."""
        colour = (1 + 2 * self.stretch) * torch.sigmoid(logits) - self.stretch
        return colour.clamp(0, 1)[..., None, None].expand(*colour.shape, self.size, self.size)

    def config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("size", "latent", "stretch", "seed")}


class LinearByLabel(nn.Module):
    """`a_y + W_y u` for noise u `(n, inside)` and labels y `(n,)`: a layer for each label.

    Args:
        classes: Number of labels.
        inside: Width of u.
        outside: Width of the values.
    """

    def __init__(self, classes: int, inside: int, outside: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, inside, outside) * 0.1)
        self.bias = nn.Parameter(torch.zeros(classes, outside))

    def forward(self, noise: Tensor, label: Tensor) -> Tensor:
        """Values `(n, outside)`."""
        shown = F.one_hot(label, len(self.bias)).to(noise)
        spread = (shown.unsqueeze(2) * noise.unsqueeze(1)).flatten(1)
        return spread @ self.weight.flatten(0, 1) + shown @ self.bias
