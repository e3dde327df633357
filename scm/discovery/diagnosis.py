"""What delta-tau of a pair is, and what the steepness of its heads alone says that it would be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scm.discovery.attributes import Attribute
from scm.discovery.gate import unit_effects
from scm.discovery.logistic import fit_logistic
from scm.discovery.readings import readings, units
from scm.discovery.steepness import Steepness
from scm.errors import ScmError
from scm.mechanisms.latent import LatentGenerator

__all__ = ["Diagnosis", "diagnose", "latent_heads", "penalised"]

_PENALTIES = (1e-4, 1e-2, 1.0)


@dataclass(frozen=True)
class Diagnosis:
    """Delta-tau beside the five numbers that decide it.

    Attributes:
        alphas: Distances of the moves.
        measured: Delta-tau at each.
        predicted: What `steepness` alone predicts at each, of any generator whatever.
        steepness: The five numbers of the two linear latent heads.
        Cs: Inverse strengths of a penalty that the heads were given instead.
        penalised: Delta-tau at alpha = 1 with c's head of each C (rows) and e's (columns); empty
            where a head was not trained here.

    Example:
        >>> steepness = Steepness(2.0, 0.0, 1.0, 0.0, 0.5)
        >>> Diagnosis((1.0,), (0.12,), (0.1,), steepness).explained
        True
    """

    alphas: tuple[float, ...]
    measured: tuple[float, ...]
    predicted: tuple[float, ...]
    steepness: Steepness
    Cs: tuple[float, ...] = ()
    penalised: tuple[tuple[float, ...], ...] = ()

    @property
    def explained(self) -> bool:
        """Whether steepness predicts the sign of delta-tau at every alpha."""
        pairs = zip(self.measured, self.predicted, strict=True)
        return all(measured * predicted > 0 for measured, predicted in pairs)

    @property
    def turns(self) -> bool:
        """Whether regularisation of the heads alone gives delta-tau both signs."""
        values = [value for row in self.penalised for value in row]
        return any(value > 0 for value in values) and any(value < 0 for value in values)

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
    variants: tuple[Sequence[Attribute], Sequence[Attribute]] | None = None,
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
        variants: What `penalised` makes of both heads, if it was asked before.
        seed: Seed of the samples.

    Raises:
        ScmError: If a head cannot see its attribute, or an attribute has more than two classes.

    Source: CAGE, equation 7; `scm.discovery.steepness`.

    Example:
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(lambda z: z, 2, Real((2,)))
        >>> z = generator.draw(500)
        >>> a = Attribute.from_labels("A", generator, z[:, 0] > 0, latents=z)
        >>> b = Attribute.from_labels("B", generator, z[:, 0] + z[:, 1] > 0, latents=z)

        >>> found = diagnose(generator, a, b, n=300)
        >>> len(found.measured) == len(found.predicted) == len(found.alphas)
        True
    """
    known = latent_heads(generator, [cause, effect], n, C, seed)
    heads = [_head(known[a.name]) for a in (cause, effect)]
    latents = units(generator, n, seed + 1)
    steepness = Steepness.of(*heads)
    causes, effects = variants or [penalised(head) for head in heads]
    return Diagnosis(
        tuple(alphas),
        _delta_tau(heads[0], heads[1], latents, alphas),
        tuple(steepness.delta_tau(alpha) for alpha in alphas),
        steepness,
        _PENALTIES,
        tuple(
            tuple(_delta_tau(a, b, latents, (1.0,))[0] for b in effects) for a in causes if effects
        ),
    )


def _delta_tau(
    cause: Attribute, effect: Attribute, latents: Tensor, alphas: Sequence[float]
) -> tuple[float, ...]:
    ways = ((cause, effect), (effect, cause))
    forward, backward = (unit_effects(*way, latents, alphas).mean(1).abs() for way in ways)
    return tuple((forward - backward).tolist())


def penalised(head: Attribute) -> list[Attribute]:
    """A linear latent head as it would be with other penalties; none if it was not trained here."""
    if head.examples is None:
        return []
    rows, labels = head.examples.latents, head.examples.labels
    return [_line(head, *fit_logistic(rows, labels, C)) for C in _PENALTIES]


def _line(head: Attribute, weights: Tensor, bias: Tensor) -> Attribute:
    def read(latents: Tensor) -> Tensor:
        return (latents.flatten(1) @ weights + bias).sigmoid()

    return replace(head, read=read, weights=weights, bias=bias, examples=None)


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
