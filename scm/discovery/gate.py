"""Generative treatment effects: the same units, moved in the latent of their generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from scm.discovery.attributes import Attribute
from scm.discovery.readings import latent_model
from scm.errors import ScmError
from scm.estimate import Estimate
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.macro import Move

__all__ = ["Arms", "Gate", "gate", "unit_effects"]

Arms = Literal["factual", "both"]


@dataclass(frozen=True, eq=False)
class Gate:
    """A generative average treatment effect.

    Attributes:
        effect: Mean over units of the unit effects, equation 6.
        units: Unit effects (GITE), equation 5, `(n,)`.
        treated: Whether each unit was treated as it is, `(n,)`.
        dose: What the moves did to the treatment's own reading, averaged likewise.
        alpha: Distance of the moves.

    Example:
        >>> effects = torch.tensor([0.2, 0.4])
        >>> mean = Estimate.mean(effects)
        >>> print(Gate(mean, effects, torch.tensor([True, False]), Estimate(0.5), 1.0))
        GATE 0.30 +- 0.10 (n = 2); the treatment's own reading changed by 0.5 (exact)
    """

    effect: Estimate
    units: Tensor
    treated: Tensor
    dose: Estimate
    alpha: float

    def __str__(self) -> str:
        return f"GATE {self.effect}; the treatment's own reading changed by {self.dose}"


def gate(
    generator: LatentGenerator,
    cause: Attribute,
    effect: Attribute,
    *,
    alpha: float = 1.0,
    n: int = 5000,
    soft: bool = True,
    arms: Arms = "factual",
    seed: int = 0,
) -> Gate:
    r"""`E[B after the move towards A = 1] - E[B after the move towards A = 0]`, the same units.

    An interventional query on `Z -> X; Z => A, B` (or `X => B`): the latent of each unit is moved
    by alpha along the unit normal of the treatment's head, `man(Z=Move(h, +-alpha))`. The paper
    writes `do(m_c)`, but infinitely many moves change m_c equally; this is the effect of this one.

    Args:
        generator: The generator; its prior gives the units.
        cause: The treatment, a linear latent head.
        effect: The outcome; of the latent (equation 3) or of the data (equation 4).
        alpha: Distance of the moves, in units of the latent.
        n: Number of units.
        soft: Outcomes are probabilities; otherwise whether they exceed the threshold. A
            continuous outcome is a number either way.
        arms: "factual", as in the paper: a unit that already has the treatment is left as it is in
            that arm. "both": every unit moves by alpha one way, then the other.
        seed: Seed of the units.

    Raises:
        ScmError: If the treatment has no direction, the outcome more than two classes, or the
            units are not finite.

    Source: CAGE, equations 2 to 6.

    Example:
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(torch.nn.Linear(2, 3), 2, Real((3,)))
        >>> z = generator.draw(4000)
        >>> a = Attribute.from_labels("A", generator, z[:, 0] > 0, latents=z)
        >>> b = Attribute.from_labels("B", generator, z[:, 0] + z[:, 1] > 0, latents=z)
        >>> bool(gate(generator, a, b, alpha=2.0, n=500).effect.value > 0.3)
        True
    """
    model = latent_model(generator, [cause, effect])
    drawn = model.sample(n, seed=seed)
    direction = cause.direction.reshape(generator.latent)
    treated = cause.treated(drawn[cause.name])
    up, down = _doses(treated, alpha, arms)
    one, none = (drawn.man(Z=Move(direction, dose)) for dose in (up, down))
    gites = _outcome(effect, one[effect.name], soft) - _outcome(effect, none[effect.name], soft)
    doses = one[cause.name] - none[cause.name]
    return Gate(Estimate.mean(gites), gites, treated, Estimate.mean(doses), alpha)


def unit_effects(
    cause: Attribute,
    effect: Attribute,
    latents: Tensor,
    alphas: Sequence[float],
    *,
    generator: LatentGenerator | None = None,
    soft: bool = True,
) -> Tensor:
    """GITEs of units at several distances, `(alphas, n)`; those of `gate`, without the engine.

    Factual readings are shared by all distances, and of linear heads the latent itself is never
    moved: their logit shifts by `alpha w_e . h_c`.

    Args:
        cause: The treatment, a linear latent head.
        effect: The outcome.
        latents: Latents of the units, `(n, *latent)`.
        alphas: Distances.
        generator: The generator; needed where the outcome reads data.
        soft: As for `gate`.

    Raises:
        ScmError: As for `gate`, or if a generator is needed and not given.

    Example:
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(lambda z: z, 2, Real((2,)))
        >>> z = generator.draw(500)
        >>> a = Attribute.from_labels("A", generator, z[:, 0] > 0, latents=z)
        >>> b = Attribute.from_labels("B", generator, z[:, 0] + z[:, 1] > 0, latents=z)

        >>> unit_effects(a, b, z, [0.5, 1.0]).shape
        torch.Size([2, 500])
    """
    direction = cause.direction.to(latents)
    with torch.no_grad():
        sign = 1 - 2 * cause.treated(cause.read(latents)).to(latents)  # the way to the other arm
        if effect.weights is not None and effect.bias is not None and effect.kind == "binary":
            u = latents.flatten(1) @ effect.weights.to(latents) + effect.bias.to(latents)
            shift = float(effect.weights.to(latents) @ direction)
            moved = [(u + alpha * shift * sign).sigmoid() for alpha in alphas]
            stays = u.sigmoid()
        else:
            step = (sign.unsqueeze(1) * direction).reshape(latents.shape)
            stays = _reading(effect, latents, generator)
            moved = [_reading(effect, latents + alpha * step, generator) for alpha in alphas]
        before = _outcome(effect, stays, soft)
        return torch.stack([sign * (_outcome(effect, m, soft) - before) for m in moved])


def _doses(treated: Tensor, alpha: float, arms: Arms) -> tuple[Tensor, Tensor]:
    if arms not in ("factual", "both") or not alpha > 0:
        raise ScmError(
            f"alpha={alpha!r}, arms={arms!r} were given; expected alpha > 0, and 'factual' or "
            "'both'"
        )
    whole = alpha * torch.ones_like(treated, dtype=torch.get_default_dtype())
    if arms == "both":
        return whole, -whole
    return whole * ~treated, -whole * treated


def _outcome(effect: Attribute, readings: Tensor, soft: bool) -> Tensor:
    if effect.kind == "multiclass":
        raise ScmError(
            f"{effect.name!r} has {len(effect.levels)} classes; ask about one of them: "
            f"attribute.level({effect.levels[0]!r})"
        )
    if soft or effect.kind == "continuous":
        return readings
    return effect.treated(readings).to(readings)


def _reading(effect: Attribute, latents: Tensor, generator: LatentGenerator | None) -> Tensor:
    if effect.space == "latent":
        return effect.read(latents)
    if generator is None:
        raise ScmError(f"{effect.name!r} reads data: give the generator=")
    return effect.read(generator.generate(latents))
