"""Pretrained generators as mechanisms: `X := G(Z)`, whatever made G."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, distributions, nn

from scm.errors import MechanismError, ScmError
from scm.mechanisms.compiled import Exported, read_program
from scm.mechanisms.cvae import CVAE
from scm.mechanisms.mechanism import Mechanism, Parents, Status
from scm.mechanisms.noise import Law
from scm.mechanisms.roots import Root
from scm.mechanisms.structural import Structural
from scm.mechanisms.types import NodeType, Real

__all__ = ["LatentGenerator", "Reconstruction"]

Network = Callable[[Tensor], Tensor]
_TOLERANCE = 1e-4
_BATCH = 512  # rows that the network gets at once


@dataclass(frozen=True)
class Reconstruction:
    """How well latents give data back.

    Attributes:
        residual: Root mean squared error of each row, `(n,)`, in units of the data.
        explained: `1 - sum (x - G(z))^2 / sum (x - mean x)^2` over all rows.
    """

    residual: Tensor
    explained: float

    def __str__(self) -> str:
        return (
            f"reconstructions explain {100 * self.explained:.1f}% of the variance "
            f"(root mean squared error {self.residual.square().mean().sqrt():.3g})"
        )


class LatentGenerator(Mechanism):
    """A generator as the mechanism of X in `Z -> X`: `X := G(Z)`, with the prior of Z beside it.

    Args:
        network: Anything that makes `(n, *event)` of latents `(n, *latent)`: a module in
            evaluation mode, a function, TorchScript or an exported program.
        prior: Law of Z: its width or shape (standard normal), a torch distribution, or a
            mechanism without parents.
        type: Declared type of X.
        encoder: Latents `(n, *latent)` of data `(n, *event)`, if there is such a thing; of a
            stochastic encoder its mean (CAGE, footnote 1). See also `scm.mechanisms.inversion`.
        mapping: Network in front, `W = mapping(Z)`, as StyleGAN has one; ``network`` then takes
            W. `in_w()` is the generator with W as its latent.

    Raises:
        MechanismError: If the network cannot take the prior's draws, returns another shape or
            NaN, or gives the same latent two values; see `check`.

    Source: CAGE, section 2.2: a generator, its prior, and an encoder.

    Example:
        >>> import scm
        >>> generator = LatentGenerator(torch.nn.Linear(2, 5), 2, Real((5,)))
        >>> model = scm.SCM("Z -> X", Z=generator.prior, X=generator)
        >>> model.sample(3, seed=0)["X"].shape
        torch.Size([3, 5])
    """

    abduction: Status | None = None

    def __init__(
        self,
        network: Network,
        prior: int | Sequence[int] | distributions.Distribution | Law | Mechanism,
        type: NodeType,
        encoder: Network | None = None,
        mapping: Network | None = None,
    ) -> None:
        super().__init__()
        self.network = _callable(network, "network")
        self.mapping = None if mapping is None else _callable(mapping, "mapping")
        self.encoder = None if encoder is None else _callable(encoder, "encoder")
        self.type = type
        self.prior = _prior(prior)
        self.check()

    @classmethod
    def load(
        cls,
        path: str | Path,
        prior: int | Sequence[int] | distributions.Distribution | Law | Mechanism,
        type: NodeType,
        encoder: Network | None = None,
        mapping: Network | None = None,
    ) -> Self:
        """Read the network from a file of TorchScript or of `torch.export` (`.pt2`).

        Raises:
            ScmError: If the file is neither, or would have to be unpickled.
        """
        return cls(read_program(path), prior, type, encoder, mapping)

    @classmethod
    def of(
        cls,
        mechanism: Mechanism,
        given: Mapping[str, Any] | None = None,
        types: Mapping[str, NodeType] | None = None,
    ) -> Self:
        """A mechanism with its noise as the latent and its parents fixed: `G(u) = f(pa, u)`.

        A flow is its own encoder. Of a VAE with normal likelihood the latent is Z alone, the
        image is the mean, and the encoder is the mean of `q(Z | S, PA)`.

        Args:
            mechanism: A CVAE, a Flow, a BigGAN, or any other with normal or uniform noise.
            given: Value of each of its parents.
            types: Types of its parents, if it was not bound to a node before.

        Raises:
            MechanismError: If it has no noise, or a parent is not given.

        Example:
            >>> from scm.mechanisms import CVAE, Image
            >>> LatentGenerator.of(CVAE(Image((1, 8, 8)), latent=4)).latent
            (4,)
        """
        if mechanism.noise is None:
            raise MechanismError(f"{mechanism.describe()} has no noise, so it is no generator")
        if mechanism.node == "?":
            mechanism.bind("X", types or {})
        given = given or {}
        if given.keys() != mechanism.parents.keys():
            raise MechanismError(
                f"{mechanism.describe()} has the parents {list(mechanism.parents)}, and "
                f"{list(given)} were given; fix each of them: given={{name: value}}"
            )
        network = _Fixed(mechanism, given)
        zero = torch.zeros(network.shape)
        unit = torch.ones(network.shape)
        uniform = mechanism.noise.law == "uniform"
        prior = Root.uniform(zero, unit) if uniform else Root.normal(zero, unit)
        encoder = network.encode if mechanism.abduction is not None else None
        return cls(network, prior, mechanism.type, encoder)

    @property
    def latent(self) -> tuple[int, ...]:
        """Shape of one latent."""
        return self.prior.type.event

    @property
    def device(self) -> torch.device:
        """Where its prior, and so its latents, live."""
        return next((b.device for b in self.prior.buffers()), torch.device("cpu"))

    def in_w(self) -> LatentGenerator:
        """The same images with W as the latent: its prior is the mapping of Z's.

        Raises:
            MechanismError: If there is no mapping.
        """
        if self.mapping is None:
            raise MechanismError("this generator has no mapping= in front; its latent is Z alone")
        if not isinstance(self.prior, Root):
            raise MechanismError("in_w() needs a prior that is a distribution")
        with torch.no_grad():
            event = tuple(self.mapping(self.draw(2)).shape[1:])
        mapping = self.mapping
        prior = Structural(lambda noise: mapping(noise), noise=self.prior.law, type=Real(event))
        return LatentGenerator(self.network, prior, self.type)

    def with_encoder(self, encoder: Network) -> LatentGenerator:
        """The same generator with an encoder of data `(n, *event)` to latents."""
        return LatentGenerator(self.network, self.prior, self.type, encoder, self.mapping)

    def on_bind(self) -> None:
        if list(self.parents.values()) != [self.prior.type]:
            raise MechanismError(
                f"{self.describe()} was given the parents {dict(self.parents)}; expected one, its "
                f"latent, {self.prior.type}: SCM('Z -> X', Z=generator.prior, X=generator)"
            )

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        (latents,) = parents.values()
        if torch.is_grad_enabled():
            return self.image(latents)
        return torch.cat([self.image(rows) for rows in latents.split(_BATCH)])

    def image(self, latents: Tensor) -> Tensor:
        """`G(z)` of latents `(n, *latent)` in one call, with gradients where they are on."""
        made: Tensor = self.network(latents if self.mapping is None else self.mapping(latents))
        return made

    def draw(self, n: int, seed: int = 0) -> Tensor:
        """Latents `(n, *latent)` from the prior.

        The engine draws units of its own: `SCM("Z -> X", ...).sample(n, seed)["Z"]`.

        Raises:
            MechanismError: If the prior has no noise.
        """
        noise = self.prior.noise
        if noise is None:
            raise MechanismError("the prior has no noise; expected a law of the latent")
        source = torch.Generator(self.device).manual_seed(seed)
        sample = torch.rand if noise.law == "uniform" else torch.randn
        with torch.no_grad():
            drawn = sample((n, *noise.shape), generator=source, device=self.device)
            return self.prior.forward({}, drawn)

    @torch.no_grad()
    def generate(self, latents: Tensor, batch: int = _BATCH) -> Tensor:
        """Data `(n, *event)` of latents `(n, *latent)`, in batches and without gradients.

        Raises:
            MechanismError: If the shapes do not match, or NaN comes out.
        """
        self._fits(latents, self.latent, "latents")
        parts = [self.image(rows) for rows in latents.split(batch)]
        return self._sound(torch.cat(parts), len(latents))

    @torch.no_grad()
    def encode(self, data: Tensor, batch: int = _BATCH) -> Tensor:
        """Latents `(n, *latent)` of data `(n, *event)`, by the encoder.

        Raises:
            ScmError: If there is no encoder, or it returns another shape or NaN.
        """
        if self.encoder is None:
            raise ScmError(
                "this generator has no encoder; use scm.mechanisms.inversion: invert(generator, "
                "data) optimises each latent, train_encoder(generator) learns from its own samples"
            )
        self._fits(data, self.type.event, "data")
        latents = torch.cat([self.encoder(rows) for rows in data.split(batch)])
        if latents.shape != (len(data), *self.latent) or not latents.isfinite().all():
            raise ScmError(
                f"the encoder returned {tuple(latents.shape)}"
                f"{'' if latents.isfinite().all() else ' with NaN or infinite numbers'}; expected "
                f"finite latents {(len(data), *self.latent)}"
            )
        return latents

    def reconstruction(self, data: Tensor, latents: Tensor) -> Reconstruction:
        """How far `G(z)` is from the data `(n, *event)` that the latents are said to give."""
        self._fits(data, self.type.event, "data")
        error = (self.generate(latents) - data).flatten(1)
        spread = (data - data.mean(0)).square().sum()
        explained = 1 - float(error.square().sum() / spread.clamp_min(1e-12))
        return Reconstruction(error.square().mean(1).sqrt(), explained)

    def beyond_prior(self, latents: Tensor, seed: int = 0) -> float:
        """Share of latents further from the prior's mean than 99.9% of its draws.

        About 0.001 for latents from the prior; a large share means that the data, or their
        encoder, belong to another prior. Distances are in standard deviations of each coordinate.
        """
        self._fits(latents, self.latent, "latents")
        drawn = self.draw(10_000, seed).flatten(1)
        mean, deviation = drawn.mean(0), drawn.std(0).clamp_min(1e-12)
        far, own = (((z - mean) / deviation).norm(dim=1) for z in (latents.flatten(1), drawn))
        return float((far > own.quantile(0.999)).float().mean())

    def check(self, seed: int = 0) -> None:
        """Try the network on four draws of the prior.

        Raises:
            MechanismError: If it fails on them, returns another shape than declared or NaN, or
                gives the same latent two values.
        """
        latents = self.draw(4, seed)
        try:
            with torch.no_grad():
                first, again, alone = (self.image(z) for z in (latents, latents, latents[1:3]))
        except Exception as error:  # whatever the network raises
            reason = str(error).strip().split("\n")[0][:200]
            raise MechanismError(
                f"the generator failed on latents {tuple(latents.shape)} of its prior "
                f"({type(error).__name__}: {reason}); does the prior match the network, and does "
                "the network take any number of rows?"
            ) from error
        self._sound(first, 4)
        for other, rows, reason in (
            (again, first, "when it is called again: it draws randomness of its own, or trains"),
            (alone, first[1:3], "when other rows are left out: is it in evaluation mode?"),
        ):
            size = rows.abs().amax().clamp_min(1.0)
            if other.shape != rows.shape or (other - rows).abs().amax() > _TOLERANCE * size:
                raise MechanismError(
                    f"the generator gives the same latent another value {reason} Call eval(), and "
                    "fix its noise inputs: an audit compares units with themselves"
                )

    def config(self) -> dict[str, Any]:
        names = ("network", "prior", "type", "encoder", "mapping")
        return {name: getattr(self, name) for name in names}

    def _fits(self, rows: Tensor, event: tuple[int, ...], what: str) -> None:
        if tuple(rows.shape[1:]) != event or rows.ndim != len(event) + 1:
            raise MechanismError(f"{what} {tuple(rows.shape)} were given; expected (n, *{event})")

    def _sound(self, made: Any, n: int) -> Tensor:
        if not isinstance(made, Tensor) or made.shape != (n, *self.type.event):
            found = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise MechanismError(
                f"the generator returned {found} for {n} latents {self.latent}; expected "
                f"{(n, *self.type.event)}, as declared by type={self.type}"
            )
        bad = ~made.flatten(1).isfinite().all(1)
        if bad.any():
            raise MechanismError(
                f"the generator returned NaN or infinite numbers for {int(bad.sum())} of {n} "
                "latents; check its weights, and that the prior is the one that it was trained with"
            )
        return made


class _Fixed(nn.Module):
    """`u -> f(pa, u)` of a mechanism, with its parents fixed."""

    def __init__(self, mechanism: Mechanism, given: Mapping[str, Any]) -> None:
        super().__init__()
        self.mechanism = mechanism
        self.means = isinstance(mechanism, CVAE) and mechanism.likelihood == "normal"
        assert mechanism.noise is not None
        latent = mechanism.latent_noise if self.means else mechanism.noise
        assert latent is not None
        self.shape = latent.shape
        for name, kind in mechanism.parents.items():
            like = torch.zeros((), dtype=torch.get_default_dtype())
            self.register_buffer(f"given_{name}", kind.encode(given[name], like))

    def parents(self, n: int) -> dict[str, Tensor]:
        kinds = self.mechanism.parents.items()
        return {p: self.get_buffer(f"given_{p}").expand(n, *kind.event) for p, kind in kinds}

    def forward(self, latents: Tensor) -> Tensor:
        parents = self.parents(len(latents))
        if self.means:
            assert isinstance(self.mechanism, CVAE)
            return self.mechanism.decode(latents, parents)
        made: Tensor = self.mechanism(parents, latents)
        return made

    def encode(self, data: Tensor) -> Tensor:
        noise = self.mechanism.noise
        assert noise is not None
        middle = torch.full((len(data), *noise.shape), 0.5 if noise.law == "uniform" else 0.0)
        found = self.mechanism.abduct(data, self.parents(len(data)), middle.to(data))
        return found[:, : self.shape[0]] if self.means else found


def _callable(given: Any, what: str) -> Any:
    if isinstance(given, torch.export.ExportedProgram):
        return Exported(given)
    if not callable(given):
        raise MechanismError(
            f"{what}={given!r:.60} was given; expected a module or a function, or read a file with "
            "LatentGenerator.load(path, ...)"
        )
    return given


def _prior(given: Any) -> Mechanism:
    if isinstance(given, Mechanism):
        return given
    if isinstance(given, (distributions.Distribution, Law)):
        root: Mechanism = Root(given)
        return root
    shape = (given,) if isinstance(given, int) else tuple(given)
    return Root.normal(torch.zeros(shape))
