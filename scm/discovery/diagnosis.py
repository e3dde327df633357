"""What delta-tau of a pair is, and what the steepness of its heads alone says that it would be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from scm.discovery.attributes import Attribute
from scm.discovery.gate import unit_effects
from scm.discovery.readings import readings, units
from scm.discovery.steepness import Steepness
from scm.errors import ScmError
from scm.mechanisms.latent import LatentGenerator

__all__ = ["Diagnosis", "diagnose", "latent_head"]


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
    heads = [latent_head(generator, a, n, C, seed) for a in (cause, effect)]
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


def latent_head(
    generator: LatentGenerator,
    attribute: Attribute,
    n: int = 5_000,
    C: float = 1.0,
    seed: int = 0,
) -> Attribute:
    """The attribute as a binary linear head of the latent; a number is cut at its median.

    Args:
        generator: The generator.
        attribute: One of its attributes.
        n: Samples that the head is trained on.
        C: Inverse strength of its penalty.
        seed: Seed of the samples.

    Raises:
        ScmError: If the head cannot see its attribute, or that has more than two classes.
    """
    if attribute.weights is not None and attribute.kind == "binary":
        return attribute
    if attribute.kind == "multiclass":
        raise ScmError(
            f"{attribute.name!r} has {len(attribute.levels)} classes, and delta-tau is of two: "
            f"attribute.level({attribute.levels[0]!r})"
        )
    latents = units(generator, n, seed)
    found = readings(generator, [attribute], latents)[attribute.name]
    cut = found.median() if attribute.kind == "continuous" else torch.tensor(attribute.threshold)
    plain = replace(attribute, weights=None, bias=None)
    labels = (found > cut.to(found)).long()
    return Attribute.from_labels(plain.name, generator, labels, latents=latents, C=C, seed=seed)
