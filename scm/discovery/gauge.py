r"""The same generator with another latent: what flips under it was never in p(x).

With z ~ N(0, I), a turn :math:`T(z) = Q(|z|) z` by an angle that depends on :math:`|z|` keeps the
prior, so that :math:`G \circ T` makes the same images with the same probabilities. Its latent
geometry is another one, and whatever rests on that changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from scm.discovery.attributes import Attribute
from scm.errors import ScmError
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.roots import Root

__all__ = ["Turn", "standard_normal", "turned"]


class Turn(torch.nn.Module):
    r"""`T(z) = Q(|z|) z`, a turn of random pairs of axes by :math:`\kappa (|z|^2 / d - 1) + \phi`.

    Args:
        width: Number of latent dimensions, d; at least 2.
        strength: kappa, in radians. 0 turns all latents alike.
        seed: Seed of the axes and of the angles phi.

    Example:
        >>> z = torch.randn(5, 4)
        >>> bool(torch.allclose(Turn(4)(z).norm(dim=1), z.norm(dim=1), rtol=1e-5))
        True
    """

    axes: Tensor
    angles: Tensor

    def __init__(self, width: int, strength: float = 1.5, seed: int = 0) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(seed)
        axes = torch.linalg.qr(torch.randn(width, width, generator=source, dtype=torch.float64)).Q
        self.strength = strength
        self.register_buffer("axes", axes.float())
        self.register_buffer("angles", 2 * torch.pi * torch.rand(width // 2, generator=source))

    def forward(self, z: Tensor) -> Tensor:
        """Turned latents, of the shape of `z`, `(n, *latent)`."""
        axes, pairs = self.axes.to(z), len(self.angles)
        u = z.flatten(1) @ axes
        size = u.square().mean(1, keepdim=True)
        angle = self.strength * (size - 1) + self.angles.to(z)
        a, b = u[:, :pairs], u[:, pairs : 2 * pairs]
        c, s = angle.cos(), angle.sin()
        new = torch.cat([c * a - s * b, s * a + c * b, u[:, 2 * pairs :]], 1)
        return (new @ axes.mT).reshape(z.shape)


def turned(
    generator: LatentGenerator, attributes: Sequence[Attribute], turn: Turn
) -> tuple[LatentGenerator, list[Attribute]]:
    """The generator behind a turn of its latent, and the same attributes of what it makes.

    Args:
        generator: A generator with a standard normal prior of at least two dimensions.
        attributes: Its attributes; what reads the latent reads the latent before the turn.
        turn: The turn, of the generator's latent width.

    Raises:
        ScmError: If the prior is no standard normal one.

    Example:
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(lambda z: z, 2, Real((2,)))
        >>> a = Attribute.from_measure("a", lambda x: x[:, 0])
        >>> behind, (same,) = turned(generator, [a], Turn(2, seed=0))
        >>> z = generator.draw(5)
        >>> torch.allclose(behind.image(z), generator.image(z))
        False
    """
    if not standard_normal(generator):
        raise ScmError(
            f"the gauge check needs a standard normal latent of at least 2 dimensions; this prior "
            f"is {generator.prior!r}: pass gauges=0 to leave the check out"
        )
    behind = LatentGenerator(lambda z: generator.image(turn(z)), generator.latent, generator.type)
    return behind, [_read_before(a, turn) if a.space == "latent" else a for a in attributes]


def _read_before(attribute: Attribute, turn: Turn) -> Attribute:
    read = attribute.read
    # It is no linear head any more.
    plain = replace(attribute, weights=None, bias=None, examples=None, refit=None)
    return replace(plain, read=lambda z: read(turn(z)))


def standard_normal(generator: LatentGenerator) -> bool:
    """Whether the latent is drawn from N(0, I)."""
    prior = generator.prior
    if not isinstance(prior, Root) or prior.noise is None or prior.noise.law != "normal":
        return False
    if torch.Size(generator.latent).numel() < 2:
        return False
    probe = torch.randn(16, *prior.noise.shape, generator=torch.Generator().manual_seed(0))
    probe = probe.to(generator.device)
    with torch.no_grad():
        return bool(torch.allclose(prior.forward({}, probe).to(probe), probe, atol=1e-6))
