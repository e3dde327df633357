"""The counterfactual generative network as a structural causal model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scm.errors import MechanismError
from scm.mechanisms.cgn import compose, label_copy
from scm.mechanisms.cgn_encoder import ImageEncoder
from scm.mechanisms.encoder import Encoder
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.mechanism import Mechanism
from scm.mechanisms.roots import Root
from scm.mechanisms.structural import Structural
from scm.mechanisms.types import Categorical, Image
from scm.model import SCM, load

__all__ = ["CGN", "image_encoder"]


class CGN(SCM):
    """A CGN: `Y -> Y1, Y2, Y3; Y1 -> M; Y2 -> F; Y3 -> B; M, F, B -> X`.

    `M = f_shape(Y1, U1)`, `F = f_text1(Y2, U2)`, `B = f_text2(Y3, U3)` and
    `X = M F + (1 - M) B`. The factual label Y is copied to each mechanism; a counterfactual
    sets the copies apart, `units.sweep(Y1=...).sweep(Y2=...).sweep(Y3=...)`, and each
    mechanism then runs once for each of *its* labels.

    Args:
        shape: Mechanism of M, `Image((1, size, size))`, of one label.
        foreground: Mechanism of F, `Image((3, size, size))`, of one label.
        background: Mechanism of B, likewise.
        latent: A root U that M, F and B share, `U -> M, F, B`, for mechanisms that take it in
            the place of their noise (`BigGAN`); by default each has its own noise.
        encoder: Joint posterior of the noise of M, F and B given X and Y, so that
            `cgn.abduct({"X": images, "Y": labels})` finds the noise of real images.
        classes: Number of labels.

    Raises:
        MechanismError: If the images do not belong together.

    Source: Sauer and Geiger (2021), section 3 and appendix B, "MNISTs".

    Example:
        >>> from scm.mechanisms.cgn import ColourTexture, Shape
        >>> cgn = CGN(Shape(8, width=8), ColourTexture(8), ColourTexture(8, seed=1), classes=3)
        >>> units = cgn.sample(2, seed=0)
        >>> units.sweep(Y1=range(3)).sweep(Y2=range(3))["X"].shape
        torch.Size([3, 3, 2, 3, 8, 8])
    """

    def __init__(
        self,
        shape: Mechanism,
        foreground: Mechanism,
        background: Mechanism,
        *,
        latent: Mechanism | None = None,
        encoder: Encoder | None = None,
        classes: int = 10,
    ) -> None:
        image, mask = foreground.type, shape.type
        fits = isinstance(image, Image) and isinstance(mask, Image) and background.type == image
        if not fits or mask.event != (1, *image.event[1:]):
            raise MechanismError(
                f"CGN(shape of {mask}, foreground of {image}, background of {background.type}) was "
                "given; expected a mask Image((1, height, width)) and two textures "
                "Image((channels, height, width)) of one size and range"
            )
        label = Categorical(classes)
        copies = {f"Y{k}": Structural(label_copy, type=label) for k in (1, 2, 3)}
        shared = {} if latent is None else {"U": latent}
        super().__init__(
            "Y -> Y1, Y2, Y3; Y1 -> M; Y2 -> F; Y3 -> B; M, F, B -> X"
            + "; U -> M, F, B" * len(shared),
            {
                **shared,
                "Y": Root.categorical(torch.full((classes,), 1 / classes)),
                **copies,
                "M": shape,
                "F": foreground,
                "B": background,
                "X": Structural(compose, type=image),
            },
            encoders=() if encoder is None else (encoder.eval(),),
        )
        self.eval()

    @property
    def classes(self) -> int:
        """Number of labels."""
        return self.mechanisms["Y"].type.width

    @property
    def encoder(self) -> Encoder | None:
        """The joint posterior of the noise, if there is one."""
        return next((e for e in self.view.encoders if set(e.nodes) == {"M", "F", "B"}), None)

    def sharpen(self, temperature: float) -> CGN:
        """Set how sharp masks are: `sigmoid(temperature * logit)`; returns the model itself.

        Raises:
            MechanismError: If the shape mechanism has no temperature, or it is not positive.
        """
        shape = self.mechanisms["M"]
        if not hasattr(shape, "temperature") or not temperature > 0:
            raise MechanismError(
                f"sharpen({temperature}) was called on a {type(shape).__name__}; expected a "
                "positive number, and a shape mechanism with a temperature"
            )
        shape.temperature = float(temperature)  # type: ignore[assignment]
        return self

    def as_generator(self, label: int) -> LatentGenerator:
        """Images of one label, for audits: its latent is the noise of M, F and B side by side.

        Args:
            label: The label of shape, foreground and background.

        Raises:
            MechanismError: If there is no such label, or M, F and B share a latent.

        Example:
            >>> from scm.mechanisms.cgn import ColourTexture, Shape
            >>> cgn = CGN(Shape(8, width=8), ColourTexture(8), ColourTexture(8, seed=1))
            >>> generator = cgn.as_generator(3)
            >>> generator.generate(generator.draw(2)).shape
            torch.Size([2, 3, 8, 8])
        """
        parts = [self.mechanisms[node] for node in ("M", "F", "B")]
        widths = [part.noise.width for part in parts if part.noise is not None]
        if label not in range(self.classes) or len(widths) < len(parts):
            raise MechanismError(
                f"as_generator({label!r}) was called; expected a label from 0 to "
                f"{self.classes - 1}, and mechanisms with a noise of their own"
            )

        def images(latents: Tensor) -> Tensor:
            labels = torch.full((len(latents),), label, device=latents.device)
            made = [
                part(dict.fromkeys(part.parents, labels), noise)
                for part, noise in zip(parts, latents.split(widths, 1), strict=True)
            ]
            return compose(*made)

        return LatentGenerator(images, sum(widths), self.mechanisms["X"].type)

    @classmethod
    def from_published(cls, path: str | Path) -> CGN:
        """The authors' trained MNIST networks; see `scm.learning.cgn.published`."""
        from scm.learning.cgn.published import read_published

        return cls(*read_published(path))

    @classmethod
    def load(cls, path: str | Path, functions: Any = None) -> CGN:
        """Read a CGN that `save` wrote; `scm.load` gives the same model as a plain SCM.

        Raises:
            ScmError: If the file is not a saved model, or not one of a CGN.
        """
        model = load(path, functions)
        parts = model.mechanisms
        if not {"Y", "M", "F", "B"} <= parts.keys():
            raise MechanismError(
                f"{path} holds a model with the nodes {list(parts)}, and a CGN has Y, Y1, Y2, Y3, "
                "M, F, B, X; read it with scm.load(path)"
            )
        encoder = next(iter(model.view.encoders), None)
        classes = parts["Y"].type.width
        mechanisms = (parts["M"], parts["F"], parts["B"])
        return cls(*mechanisms, latent=parts.get("U"), encoder=encoder, classes=classes)


def image_encoder(
    shape: Mechanism,
    foreground: Mechanism,
    background: Mechanism,
    *,
    classes: int = 10,
    channels: int = 24,
    colours: int = 0,
) -> Encoder:
    """The encoder `q(U_M, U_F, U_B | X, Y)` of three mechanisms of labelled noise.

    Initial weights come from torch's global generator: call it inside
    `scm.mechanisms.seeding.seeded`. Arguments are those of `ImageEncoder`.
    """
    image = foreground.type
    assert isinstance(image, Image)
    noises = [m.noise for m in (shape, foreground, background)]
    widths = [noise.width for noise in noises if noise is not None]
    net = ImageEncoder(image.event[-1], classes, widths, channels, colours)
    return Encoder(nodes=("M", "F", "B"), given=("X", "Y"), net=net)
