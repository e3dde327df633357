"""The image mechanism of DeepSCM's MorphoMNIST, as others trained it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, distributions, nn
from torch.nn import functional as F

from scm.errors import MechanismError
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.mechanism import Mechanism, Parents, Status
from scm.mechanisms.noise import Law, Noise
from scm.mechanisms.seeding import seeded
from scm.mechanisms.types import Categorical, Image, Real
from scm.mechanisms.weights import load_into

__all__ = ["MorphoVAE", "morphomnist_generator"]

_THICKNESS = (0.87598526, 6.255515)  # least and greatest of the training set
_INTENSITY = (66.601204, 254.90317)
_LATENT, _CONDITION = 16, 12


class MorphoVAE(Mechanism):
    """A VAE of MorphoMNIST images, `S := g(U, thickness, intensity, digit)`, U ~ N(0, I_16).

    The image is the mean of p(S | U, PA), 32x32 (MNIST's 28x28 padded by 2), in [0, 1].
    Abduction gives the mean of the encoder's normal posterior, plus its spread times fresh noise.
    Its parents are, in this order, the thickness (pixels) and the intensity (of 255), real
    numbers, and the digit, `Categorical(10)`.

    Args:
        seed: Seed of the random weights; `from_pretrained` reads trained ones.

    Source: Pawlowski, Castro and Glocker (2020), section 4, as trained by others; the layers are
    inferred from the names and shapes of the published weights.

    Example:
        >>> vae = MorphoVAE()
        >>> vae.bind("X", {"T": Real(), "I": Real(), "Y": Categorical(10)})
        >>> parents = {"T": torch.tensor([2.0]), "I": torch.tensor([150.0])}
        >>> vae.forward({**parents, "Y": torch.tensor([3])}, torch.zeros(1, 16)).shape
        torch.Size([1, 1, 32, 32])
    """

    type = Image((1, 32, 32), (0.0, 1.0))
    noise = Noise("normal", (_LATENT,))
    abduction: Status = "approximate"

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        with seeded(seed):
            self.network = _Network()

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Self:
        """Read the published checkpoint; nothing is unpickled.

        Raises:
            ScmError: If the file cannot be read, or holds other weights.
        """
        mechanism = cls()
        load_into(mechanism.network, path)
        return mechanism.eval()

    def on_bind(self) -> None:
        if list(self.parents.values()) != [Real(), Real(), Categorical(10)]:
            raise MechanismError(
                f"{self.describe()} was given the parents {dict(self.parents)}; expected thickness "
                "and intensity, Real(), then the digit, Categorical(10)"
            )

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        assert noise is not None
        return (self.network.decode(noise, _condition(parents)).clamp(-1, 1) + 1) / 2

    def abduct(self, value: Tensor, parents: Parents, fresh: Tensor) -> Tensor:
        mean, log_variance = self.network.encode(2 * value - 1, _condition(parents))
        return mean + (0.5 * log_variance).exp() * fresh

    def config(self) -> dict[str, Any]:
        return {"seed": self.seed}


def morphomnist_generator(path: str | Path, digit: int | None = None) -> LatentGenerator:
    """DeepSCM's generator of MorphoMNIST, with the truth known: thickness -> intensity -> image.

    The latent is standard normal: `z_0` gives the thickness, `0.5 + Gamma(10, rate 5)`, `z_1` the
    noise of the intensity, `64 + 191 sigmoid(2 (thickness - 2.5) + 0.5 z_1)`, then come the 16 of
    the published VAE, and last, unless the digit is fixed, one whose quantile is the digit.

    Args:
        path: The published checkpoint of the VAE.
        digit: A digit, for all images; drawn with the others by default.

    Raises:
        ScmError: If the file cannot be read, or the digit is none.

    Source: Pawlowski, Castro and Glocker (2020), section 4.
    """
    if digit is not None and digit not in range(10):
        raise MechanismError(f"digit={digit!r} was given; expected 0 to 9, or None")
    vae = MorphoVAE.from_pretrained(path).requires_grad_(False)
    vae.bind("X", {"thickness": Real(), "intensity": Real(), "digit": Categorical(10)})
    law = Law(distributions.Gamma(10.0, 5.0))

    def images(latents: Tensor) -> Tensor:
        thickness = 0.5 + law.push(latents[:, 0])
        intensity = 64 + 191 * torch.sigmoid(2 * (thickness - 2.5) + 0.5 * latents[:, 1])
        if digit is None:
            share = torch.special.ndtr(latents[:, -1])
            digits = (10 * share).long().clamp(0, 9)
        else:
            digits = torch.full((len(latents),), digit, device=latents.device)
        parents = {"thickness": thickness, "intensity": intensity, "digit": digits}
        return vae.forward(parents, latents[:, 2 : 2 + _LATENT])

    return LatentGenerator(images, 2 + _LATENT + (digit is None), MorphoVAE.type)


def _condition(parents: Parents) -> Tensor:
    """Thickness and intensity scaled to [-1, 1] and the digit one-hot, `(n, 12)`."""
    *numbers, digit = parents.values()
    columns = [
        2 * (value - low) / (high - low) - 1
        for value, (low, high) in zip(numbers, (_THICKNESS, _INTENSITY), strict=True)
    ]
    return torch.cat([torch.stack(columns, -1), F.one_hot(digit, 10).to(columns[0])], -1)


class _Network(nn.Module):
    """Names and shapes of the published state dict."""

    def __init__(self) -> None:
        super().__init__()
        c = 32
        conv = {"enc1": nn.Conv2d(1, c, 5, 2, 1), "enc2": nn.Conv2d(c, c, 3, 2, 1)}
        conv["enc3"] = nn.Conv2d(c, c, 3, 2, 1)
        self.encoder = nn.ModuleDict(
            {
                "conv": nn.ModuleDict(conv),
                "fc": nn.ModuleList([nn.Linear(c * 16, 128)]),
                "embed": nn.ModuleList([nn.Linear(128 + _CONDITION, 128)]),
                "mu": nn.Linear(128, _LATENT),
                "logvar": nn.Linear(128, _LATENT),
            }
        )
        self.decoder = nn.ModuleDict(
            {
                "fc": nn.Sequential(
                    nn.Linear(_LATENT + _CONDITION, 128), nn.ReLU(), nn.Linear(128, c * 16)
                ),
                "conv": nn.ModuleDict(
                    {
                        "dec1": nn.Conv2d(c, c, 3, 1, 1),
                        "dec2": nn.Conv2d(c, c, 3, 1, 1),
                        "dec3": nn.Conv2d(c, c // 2, 5, 1, 2),
                    }
                ),
            }
        )
        self.decoder.register_buffer("mu", torch.zeros(1, _LATENT))  # of the prior
        self.decoder.register_buffer("var", torch.ones(1, _LATENT))
        self.likelihood = nn.ModuleDict(
            {"x_loc": nn.Conv2d(c // 2, 1, 1), "x_logscale": nn.Conv2d(c // 2, 1, 1)}
        )

    def encode(self, images: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        hidden = images
        for layer in self.encoder["conv"].children():
            hidden = F.leaky_relu(layer(hidden))
        hidden = F.leaky_relu(self.encoder["fc"][0](hidden.flatten(1)))  # type: ignore[index]
        joined = torch.cat([hidden, condition], -1)
        hidden = F.leaky_relu(self.encoder["embed"][0](joined))  # type: ignore[index]
        return self.encoder["mu"](hidden), self.encoder["logvar"](hidden).clamp_min(-9)

    def decode(self, latents: Tensor, condition: Tensor) -> Tensor:
        hidden = self.decoder["fc"](torch.cat([latents, condition], -1)).relu()
        hidden = hidden.unflatten(1, (32, 4, 4))
        for layer in self.decoder["conv"].children():
            hidden = layer(F.interpolate(hidden, scale_factor=2.0)).relu()
        mean: Tensor = self.likelihood["x_loc"](hidden)
        return mean
