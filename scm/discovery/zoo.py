r"""Simulated generators whose truth is known, to try audits on.

Each makes eight numbers x, a random linear mixture of c, e and two nuisances, from a standard
normal latent. Its family says how c and e came about; its gauge, which latent stands before it:
the law of x is the same under every gauge. Heads are trained on noisy labels, as an auditor's.
`trained` puts a flow or a VAE that has seen samples of x in the generator's place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from scm.discovery.attributes import Attribute
from scm.discovery.gauge import Turn
from scm.errors import ScmError, nearest
from scm.mechanisms.cvae import CVAE
from scm.mechanisms.flow import Flow
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.types import Image, Real
from scm.model import SCM

__all__ = ["FAMILIES", "GAUGES", "TRAINED", "Family", "Specimen", "specimen", "trained"]

Kind = Literal["edge", "unidentifiable edge", "no edge"]
Law = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]

LATENT, DATA = 5, 8
_LABELLED, _LABEL_NOISE, _REFITS = 2_000, 0.3, 6
TRAINED = ("flow", "VAE")
"""What `trained` can train."""
_SEEN, _BATCH, _HIDDEN = 5_000, 500, (64, 64)  # samples of x, rows of a step, layers


@dataclass(frozen=True)
class Family:
    """How c and e came about.

    Attributes:
        kind: Whether there is an edge from c to e, and whether additive noise identifies it.
        law: Normal draws `(n, 3)` and a generator of the family's parameters to c and e, `(n,)`.
    """

    kind: Kind
    law: Law


@dataclass(frozen=True, eq=False)
class Specimen:
    """One generator of the zoo.

    Attributes:
        family: Name of its family.
        gauge: Name of its gauge; or of what was trained, one of `TRAINED`.
        truth: "c->e", "e->c" or "none", by the attributes' names "c" and "e".
        generator: The generator.
        attributes: Heads of c and of e, trained on noisy labels.
        refits: The same heads, trained on bootstrap samples.
    """

    family: str
    gauge: str
    truth: str
    generator: LatentGenerator
    attributes: tuple[Attribute, Attribute]
    refits: dict[str, list[Attribute]]


def specimen(family: str, seed: int, gauge: str = "as built") -> Specimen:
    """Make the generator of a family, of a seed's parameters, behind a gauge.

    Args:
        family: One of `FAMILIES`.
        seed: Seed of the parameters, of which attribute is called c, and of the labels.
        gauge: One of `GAUGES`.

    Raises:
        ScmError: If there is no such family or gauge.

    Example:
        >>> specimen("non-linear edge", seed=3).truth in ("c->e", "e->c")
        True
    """
    for name, known in ((family, FAMILIES), (gauge, GAUGES)):
        if name not in known:
            raise ScmError(f"the zoo has no {name!r}; {nearest(name, known)}")
    source = torch.Generator().manual_seed(seed)
    network = _Network(FAMILIES[family], seed, source)
    swapped = bool(torch.rand((), generator=source) < 0.5)
    strength = GAUGES[gauge]
    if strength is None:
        generator = LatentGenerator(network, LATENT, Real((DATA,)))
    else:
        turn = Turn(LATENT, strength, seed)
        generator = LatentGenerator(lambda z: network(turn(z)), LATENT, Real((DATA,)))
    z = torch.randn(_LABELLED, LATENT, generator=source)
    x, labels = network(z), network.causes(z)[:, :2]
    labels = labels + _LABEL_NOISE * torch.randn(labels.shape, generator=source)
    names = ("e", "c") if swapped else ("c", "e")
    draws = [torch.arange(_LABELLED)]
    draws += [torch.randint(_LABELLED, (_LABELLED,), generator=source) for _ in range(_REFITS)]
    heads: dict[str, list[Attribute]] = {
        name: [_head(name, x[rows], column[rows]) for rows in draws]
        for name, column in zip(names, labels.T, strict=True)
    }
    edge = FAMILIES[family].kind != "no edge"
    truth = f"{names[0]}->{names[1]}" if edge else "none"
    refits = {name: each[1:] for name, each in heads.items()}
    return Specimen(family, gauge, truth, generator, (heads["c"][0], heads["e"][0]), refits)


def trained(one: Specimen, kind: str, steps: int = 1_000, seed: int = 0) -> Specimen:
    """The same attributes of a generator that was trained on 5,000 samples of the specimen's x.

    It is a flow (neural splines) or a VAE (its mean) of the principal components of x, of unit
    variance. Its law is near that of x, and its latent whatever training made of it.

    Args:
        one: A generator of the zoo.
        kind: One of `TRAINED`.
        steps: Steps of training, of 500 samples each.
        seed: Seed of the samples, the weights and the training.

    Raises:
        ScmError: If there is no such kind.
    """
    if kind not in TRAINED:
        raise ScmError(f"the zoo trains no {kind!r}; {nearest(kind, TRAINED)}")
    x = one.generator.generate(one.generator.draw(_SEEN, seed))
    centre = x.mean(0)
    _, spread, axes = torch.linalg.svd(x - centre, full_matrices=False)
    rank = int((spread > 1e-4 * spread[0]).sum())
    back = spread[:rank, None] / _SEEN**0.5 * axes[:rank]
    codes = (x - centre) @ torch.linalg.pinv(back)
    mechanism: Flow | CVAE
    if kind == "flow":
        mechanism, lr = Flow(rank, "spline", hidden=_HIDDEN, seed=seed), 1e-3
    else:
        reach = 1.2 * float(codes.abs().max())
        codes = codes.reshape(-1, 1, 1, rank)
        mechanism = CVAE(Image((1, 1, rank), (-reach, reach)), rank, _HIDDEN, seed=seed)
        lr = 5e-3
        torch.nn.init.constant_(mechanism.log_scale, -2.0)  # noise above the data's: it collapses
    epochs = -(-steps * _BATCH // _SEEN)
    model = SCM("X", X=mechanism)
    model.fit({"X": codes}, epochs=epochs, batch=_BATCH, lr=lr, seed=seed, progress=False)
    made = LatentGenerator.of(mechanism.eval().requires_grad_(False))
    generator = LatentGenerator(
        lambda z: made.image(z).flatten(1) @ back + centre, made.latent, Real((DATA,))
    )
    return replace(one, gauge=kind, generator=generator)


class _Network(nn.Module):
    """`x = A (c, e, n1, n2)`, each of unit variance."""

    def __init__(self, family: Family, seed: int, source: torch.Generator) -> None:
        super().__init__()
        self.law, self.seed = family.law, seed
        q = torch.linalg.qr(torch.randn(DATA, DATA, generator=source)).Q
        scales = 0.7 + 0.6 * torch.rand(4, generator=source)
        self.register_buffer("mixture", (q[:, :4] * scales).T.contiguous())
        c, e = self._pair(torch.randn(20_000, LATENT, generator=source))
        self.means = (float(c.mean()), float(e.mean()))
        self.spreads = (float(c.std()), float(e.std()))

    def _pair(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.law(z[:, :3], torch.Generator().manual_seed(self.seed))

    def causes(self, z: Tensor) -> Tensor:
        """c, e and the nuisances, `(n, 4)`."""
        pair = zip(self._pair(z), self.means, self.spreads, strict=True)
        return torch.stack([*((v - m) / s for v, m, s in pair), z[:, 3], z[:, 4]], 1)

    def forward(self, z: Tensor) -> Tensor:
        mixture: Tensor = self.get_buffer("mixture")
        return self.causes(z) @ mixture


def _head(name: str, x: Tensor, labels: Tensor) -> Attribute:
    """A linear head of the data, by least squares."""
    ones = torch.cat([x, x.new_ones(len(x), 1)], 1).double()
    gram = ones.T @ ones + 1e-3 * torch.eye(ones.shape[1], dtype=torch.float64)
    solved = torch.linalg.solve(gram, ones.T @ labels.double()).to(x)
    weights, bias = solved[:-1], solved[-1]
    return Attribute.from_measure(name, lambda data: data @ weights + bias, threshold=0.0)


def _number(source: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=source))


def _choice(source: torch.Generator, n: int) -> int:
    return int(torch.randint(n, (), generator=source))


def _uniform(z: Tensor) -> Tensor:
    share: Tensor = torch.special.ndtr(z)
    return (share - 0.5) * 12**0.5


def _laplace(z: Tensor) -> Tensor:
    tail: Tensor = torch.special.ndtr(-z.abs()).clamp(min=1e-12)
    return -z.sign() * (2 * tail).log() / 2**0.5


_SHAPES: tuple[Callable[[Tensor], Tensor], ...] = (torch.clone, _uniform, _laplace)


def _skewed(z: Tensor, source: torch.Generator) -> Tensor:
    """A uniform or a Laplace variable, of unit variance."""
    return _SHAPES[1 + _choice(source, 2)](z)


def _any(z: Tensor, source: torch.Generator) -> Tensor:
    return _SHAPES[_choice(source, 3)](z)


def _curve(x: Tensor, source: torch.Generator) -> Tensor:
    bend = _choice(source, 3)
    if bend == 0:
        return (1.5 * x).tanh() * 1.2
    return x + x**3 / 3 if bend == 1 else (x + 0.5).square() * 0.7


def _independent(z: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
    return _any(z[:, 0], source), _any(z[:, 1], source)


def _linear_edge(z: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
    c = _skewed(z[:, 0], source)
    return c, _number(source, 0.7, 1.5) * c + _skewed(z[:, 1], source)


def _curved_edge(z: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
    c = _SHAPES[_choice(source, 2)](z[:, 0])
    return c, _curve(c, source) + _number(source, 0.4, 0.8) * z[:, 1]


def _linear_common(z: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
    hidden = _any(z[:, 2], source)
    a, b = _number(source, 0.7, 1.5), _number(source, 0.7, 1.5)
    return a * hidden + _any(z[:, 0], source), b * hidden + _any(z[:, 1], source)


def _curved_common(z: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
    hidden = z[:, 2]
    c = (_number(source, 1.0, 2.0) * hidden).tanh() + _number(source, 0.3, 0.6) * z[:, 0]
    return c, hidden + hidden**3 / 3 + _number(source, 0.5, 1.0) * z[:, 1]


def _bent_common(z: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
    hidden = z[:, 2]
    c = hidden + _number(source, 0.3, 0.6) * z[:, 0]
    bent = hidden.square() if _choice(source, 2) else (2 * hidden).cos() * 1.5
    return c, bent + _number(source, 0.3, 0.6) * z[:, 1]


def _gaussian_edge(z: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
    return z[:, 0], _number(source, 0.7, 1.5) * z[:, 0] + z[:, 1]


def _scaled_noise(z: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
    c = z[:, 0]
    return c, _number(source, 0.7, 1.2) * c + (0.3 + 0.6 * c.abs()) * z[:, 1]


def _distorted(z: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
    c = z[:, 0]
    inner = _number(source, 0.5, 0.9) * c + 0.5 * z[:, 1]
    return c, inner.exp()


FAMILIES = {
    "independent": Family("no edge", _independent),
    "linear edge": Family("edge", _linear_edge),
    "non-linear edge": Family("edge", _curved_edge),
    "linear confounding": Family("no edge", _linear_common),
    "non-linear confounding": Family("no edge", _curved_common),
    "non-monotone confounding": Family("no edge", _bent_common),
    "linear-Gaussian edge": Family("unidentifiable edge", _gaussian_edge),
    "heteroscedastic edge": Family("unidentifiable edge", _scaled_noise),
    "monotone-distorted edge": Family("unidentifiable edge", _distorted),
}
"""The families: which edge goes which way is drawn by the seed."""

GAUGES: dict[str, float | None] = {"as built": None, "rotated": 0.0, "turned": 1.5}
"""The gauges, by the strength of their `Turn`."""
