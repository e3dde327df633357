"""A conditional variational autoencoder for images."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, distributions, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from scm.errors import MechanismError
from scm.mechanisms.mechanism import Mechanism, Parents, Status
from scm.mechanisms.noise import Noise
from scm.mechanisms.seeding import seeded
from scm.mechanisms.types import Image

__all__ = ["CVAE"]


class CVAE(Mechanism):
    """A conditional VAE, `S := g(Z, PA) + s E` with standard normal noise U = (Z, E).

    With `likelihood="normal"` the pixel noise E belongs to the node, so a counterfactual
    keeps the residual of its own image, and abduction followed by generation returns the
    image itself. With "bernoulli" the image is the decoder's mean and U = Z alone. Abduction
    draws Z from the encoder's `q(Z | S, PA)`: approximate, and it says so.

    Training maximises `E_q[log p(S | Z, PA)] - beta KL(q(Z | S, PA) || N(0, I))`.

    Args:
        image: Type of the images.
        latent: Width of Z.
        hidden: Widths of the hidden layers of encoder and decoder.
        likelihood: "normal" (with a learnt s) or "bernoulli".
        beta: Weight of the divergence.
        encoder: Module `(rows, pixels + features of parents) -> (rows, 2 latent)` in place
            of the built-in one.
        decoder: Module `(rows, latent + features of parents) -> (rows, pixels)`, likewise.
        seed: Seed of the initial weights.

    Raises:
        MechanismError: If the type is no Image, the likelihood unknown, or a Bernoulli one is given
            pixels outside [0, 1].

    Source: Sohn, Lee and Yan (2015), equation 4; Pawlowski, Castro and Glocker (2020),
    section 3, for its noise as exogenous noise.

    Example:
        >>> CVAE(Image((1, 8, 8)), latent=4).noise
        Noise(law='normal', shape=(68,))
    """

    type: Image
    abduction: Status = "approximate"

    def __init__(
        self,
        image: Image,
        latent: int = 8,
        hidden: Sequence[int] = (256,),
        likelihood: Literal["normal", "bernoulli"] = "normal",
        beta: float = 1.0,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(image, Image) or likelihood not in ("normal", "bernoulli"):
            raise MechanismError(
                f"CVAE({image!r}, likelihood={likelihood!r}); expected an Image type, and "
                "'normal' or 'bernoulli'"
            )
        if likelihood == "bernoulli" and image.range != (0.0, 1.0):
            raise MechanismError(f"a bernoulli likelihood needs pixels in [0, 1], not {image}")
        self.type = image
        self.latent, self.hidden, self.likelihood, self.beta = latent, hidden, likelihood, beta
        self.seed = seed
        pixels = image.width if likelihood == "normal" else 0
        self.noise = Noise("normal", (latent + pixels,))
        self.latent_noise = Noise("normal", (latent,)) if likelihood == "normal" else None
        self.own_encoder, self.own_decoder = encoder is None, decoder is None
        self.encoder, self.decoder = encoder, decoder
        self.log_scale = nn.Parameter(
            torch.tensor(-1.5 + math.log(image.range[1] - image.range[0])),
            requires_grad=likelihood == "normal",
        )

    def on_bind(self) -> None:
        context = sum(kind.width for kind in self.parents.values())
        pixels = self.type.width
        with seeded(self.seed):
            if self.encoder is None:
                widths = [pixels + context, *self.hidden, 2 * self.latent]
                self.encoder = _mlp(widths).to(self.log_scale)
            if self.decoder is None:
                widths = [self.latent + context, *reversed(self.hidden), pixels]
                self.decoder = _mlp(widths).to(self.log_scale)

    def _context(self, parents: Parents) -> list[Tensor]:
        dtype = self.log_scale.dtype
        return [self.parents[p].features(v).to(dtype) for p, v in parents.items()]

    def _encode(self, value: Tensor, parents: Parents) -> tuple[Tensor, Tensor]:
        assert self.encoder is not None
        low, high = self.type.range
        scaled = (value.flatten(1) - low) / (high - low)
        out = self.encoder(torch.cat([scaled, *self._context(parents)], -1))
        if out.shape != (len(value), 2 * self.latent):
            raise MechanismError(
                f"the encoder of {self.node!r} returned {tuple(out.shape)}; expected "
                f"(rows, {2 * self.latent}): means, then log standard deviations"
            )
        mean, log_scale = out.chunk(2, -1)
        return mean, log_scale.clamp(-7, 3)

    def _logits(self, latent: Tensor, parents: Parents) -> Tensor:
        assert self.decoder is not None
        logits: Tensor = self.decoder(torch.cat([latent, *self._context(parents)], -1))
        if logits.numel() != len(latent) * self.type.width:
            raise MechanismError(
                f"the decoder of {self.node!r} returned {tuple(logits.shape)}; expected one number "
                f"for each of the {self.type.width} pixels of {self.type}"
            )
        return logits.flatten(1)

    def decode(self, latent: Tensor, parents: Parents) -> Tensor:
        """Mean image `(rows, *shape)` of latents `(rows, latent)`, within the type's range."""
        low, high = self.type.range
        mean = low + (high - low) * self._logits(latent, parents).sigmoid()
        return mean.reshape(len(latent), *self.type.shape)

    def emission(self, parents: Parents, latent: Tensor) -> Distribution:
        if self.likelihood == "bernoulli":
            return super().emission(parents, latent)
        batch = latent.shape[:-1]
        rows = {p: v.reshape(-1, *self.parents[p].event) for p, v in parents.items()}
        mean = self.decode(latent.reshape(-1, self.latent), rows)
        mean = mean.reshape(*batch, *self.type.event)
        law = distributions.Normal(mean, self.log_scale.exp(), validate_args=False)
        return distributions.Independent(law, len(self.type.event), validate_args=False)

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        assert noise is not None
        latent, pixels = noise[:, : self.latent], noise[:, self.latent :]
        mean = self.decode(latent, parents)
        if self.likelihood == "bernoulli":
            return mean
        return mean + self.log_scale.exp() * pixels.reshape(mean.shape)

    def abduct(self, value: Tensor, parents: Parents, fresh: Tensor) -> Tensor:
        mean, log_scale = self._encode(value, parents)
        return self._complete(value, parents, mean + log_scale.exp() * fresh[:, : self.latent])

    def propose(self, value: Tensor, parents: Parents, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """A draw from the encoder, weighed by `p(S | Z, PA) p(Z) / q(Z | S, PA)`."""
        mean, log_scale = self._encode(value, parents)
        draw = fresh[:, : self.latent]
        latent = mean + log_scale.exp() * draw
        density = -self._misfit(value, self._logits(latent, parents))
        ratio = 0.5 * (draw.square() - latent.square()).sum(-1) + log_scale.sum(-1)
        return self._complete(value, parents, latent), density + ratio

    def _complete(self, value: Tensor, parents: Parents, latent: Tensor) -> Tensor:
        if self.likelihood == "bernoulli":
            return latent
        residual = (value - self.decode(latent, parents)) / self.log_scale.exp()
        return torch.cat([latent, residual.flatten(1)], -1)

    def _misfit(self, value: Tensor, logits: Tensor) -> Tensor:
        """`-log p(S | Z, PA)` of rows."""
        flat = value.flatten(1)
        if self.likelihood == "bernoulli":
            cross = F.binary_cross_entropy_with_logits(logits, flat, reduction="none")
            return cross.sum(-1)
        low, high = self.type.range
        error = flat - low - (high - low) * logits.sigmoid()
        constant = flat.shape[1] * (self.log_scale + 0.5 * math.log(2 * math.pi))
        return 0.5 * (error / self.log_scale.exp()).square().sum(-1) + constant

    def loss(self, value: Tensor, parents: Parents, generator: torch.Generator) -> Tensor:
        """Mean over rows of the negative evidence lower bound."""
        mean, log_scale = self._encode(value, parents)
        shape = mean.shape
        draw = torch.randn(shape, generator=generator, device=mean.device, dtype=mean.dtype)
        misfit = self._misfit(value, self._logits(mean + log_scale.exp() * draw, parents))
        divergence = 0.5 * (mean.square() + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(-1)
        return (misfit + self.beta * divergence).mean()

    def config(self) -> dict[str, Any]:
        return {
            "image": self.type,
            "latent": self.latent,
            "hidden": list(self.hidden),
            "likelihood": self.likelihood,
            "beta": self.beta,
            "encoder": None if self.own_encoder else self.encoder,
            "decoder": None if self.own_decoder else self.decoder,
            "seed": self.seed,
        }


def _mlp(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.SiLU()]
    return nn.Sequential(*layers[:-1])
