"""What delta-tau of a pair is, and what the steepness of its heads alone says that it would be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from scm.discovery.attributes import Attribute
from scm.discovery.gate import unit_effects
from scm.discovery.readings import readings, units
from scm.discovery.steepness import Steepness
from scm.errors import ScmError
from scm.mechanisms.latent import LatentGenerator

__all__ = ["Diagnosis", "diagnose", "latent_heads"]


@dataclass(frozen=True)
class Diagnosis:
    """Delta-tau beside the five numbers that decide it.

    Attributes:
        alphas: Distances of the moves.
        measured: Delta-tau at each.
        predicted: What `steepness` alone predicts at each, of any generator whatever.
        steepness: The five numbers of the two linear latent heads.
    """

    alphas: tuple[float, ...]
    measured: tuple[float, ...]
    predicted: tuple[float, ...]
    steepness: Steepness

    @property
    def explained(self) -> bool:
        """Whether steepness predicts the sign of delta-tau at every alpha."""
        pairs = zip(self.measured, self.predicted, strict=True)
        return all(measured * predicted > 0 for measured, predicted in pairs)

    def __str__(self) -> str:
        says = "explains" if self.explained else "does not explain"
        return (
            f"delta-tau {self.measured[0]:.3g}, {self.predicted[0]:.3g} predicted from steepness "
            f"({self.steepness}), which {says} its sign"
        )


def diagnose(
    generator: LatentGenerator,
    cause: Attribute,
    effect: Attribute,
    *,
    alphas: tuple[float, ...] = (0.5, 1.0, 2.0),
    n: int = 5_000,
    C: float = 1.0,
    seed: int = 0,
) -> Diagnosis:
    """Train linear latent heads of both attributes, and hold delta-tau against its prediction.

    A number is cut at its median first, as the paper binarises.

    Args:
        generator: The generator.
        cause: One attribute, c.
        effect: The other, e.
        alphas: Distances of the moves.
        n: Samples that the heads are trained on, and units that are moved.
        C: Inverse strength of the heads' penalty.
        seed: Seed of the samples.

    Raises:
        ScmError: If a head cannot see its attribute, or an attribute has more than two classes.

    Source: CAGE, equation 7; `scm.discovery.steepness`.
    """
    known = latent_heads(generator, [cause, effect], n, C, seed)
    heads = [_head(known[a.name]) for a in (cause, effect)]
    latents = units(generator, n, seed + 1)
    gates = [
        unit_effects(a, b, latents, alphas, generator=generator).mean(1).abs()
        for a, b in (heads, heads[::-1])
    ]
    steepness = Steepness.of(*heads)
    return Diagnosis(
        tuple(alphas),
        tuple((gates[0] - gates[1]).tolist()),
        tuple(steepness.delta_tau(alpha) for alpha in alphas),
        steepness,
    )


def _head(found: Attribute | str) -> Attribute:
    if isinstance(found, str):
        raise ScmError(found)
    return found


def latent_heads(
    generator: LatentGenerator,
    attributes: Sequence[Attribute],
    n: int = 5_000,
    C: float = 1.0,
    seed: int = 0,
) -> dict[str, Attribute | str]:
    """Each attribute as a binary linear head of the latent; a number is cut at its median.

    Args:
        generator: The generator.
        attributes: Its attributes.
        n: Samples that the heads are trained on.
        C: Inverse strength of their penalty.
        seed: Seed of the samples.

    Returns:
        The heads by name; or why there is none: it cannot see its attribute, or that has more than
        two classes.

    Raises:
        ScmError: As `scm.discovery.readings.readings`.
    """
    found: dict[str, Attribute | str] = {}
    wanted = []
    for a in attributes:
        if a.weights is not None and a.kind == "binary":
            found[a.name] = a
        elif a.kind == "multiclass":
            found[a.name] = (
                f"{a.name!r} has {len(a.levels)} classes, and delta-tau is of two: "
                f"attribute.level({a.levels[0]!r})"
            )
        else:
            wanted.append(a)
    if not wanted:
        return found
    latents = units(generator, n, seed)
    read = readings(generator, wanted, latents)
    for a in wanted:
        numbers = read[a.name]
        cut = numbers.median() if a.kind == "continuous" else torch.tensor(a.threshold)
        labels = (numbers > cut.to(numbers)).long()
        try:
            found[a.name] = Attribute.from_labels(
                a.name, generator, labels, latents=latents, C=C, seed=seed
            )
        except ScmError as error:
            found[a.name] = str(error)
    return found
