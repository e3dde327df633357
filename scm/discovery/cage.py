r"""The estimator of CAGE, as the paper has it, with what decides its sign beside it.

Two linear heads of the latent are each treated in turn: units move by alpha along one head's unit
normal, and the other head says how much its attribute changed. The paper takes the sign of
:math:`\Delta\tau = |\tau_{c \to e}| - |\tau_{e \to c}|` for the direction of causation. Under a
standard normal prior both terms are functions of the heads' steepness, bias and angle alone (see
`scm.discovery.steepness`): what is fitted steeper is called the effect. Use
`scm.discovery.direction` for an answer that does not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from scm.discovery.attributes import Attribute
from scm.discovery.gate import unit_effects
from scm.discovery.gauge import standard_normal
from scm.discovery.mmd import mmd_curve
from scm.discovery.nulls import Null, direction_null, permutation_null
from scm.discovery.readings import readings, units
from scm.discovery.steepness import Steepness
from scm.errors import ScmError
from scm.estimate import Estimate
from scm.mechanisms.latent import LatentGenerator

__all__ = ["CageAudit", "baseline_columns", "cage_paper"]

_ALPHAS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
_COLLINEAR = 1 - 1e-6


@dataclass(frozen=True, eq=False)
class CageAudit:
    """What the paper's estimator found of a pair.

    Attributes:
        cause: Name of the attribute that was taken for the cause.
        effect: Name of the other.
        alpha: Distance of the moves.
        soft: Whether outcomes are probabilities.
        forward: GATE of the cause on the effect.
        backward: GATE of the effect on the cause.
        delta_tau: Equation 7.
        alphas: Distances of the curves, `(k,)`.
        curve: Delta-tau at each of them, `(k,)`.
        predicted: What the heads' steepness, bias and angle alone predict of it, `(k,)`; None
            where the prior is not standard normal.
        mmd: Squared MMD of appendix E at each distance, `(k,)`.
        permuted: The null of permuted labels.
        random: The null of random directions.
        steepness: The five numbers.

    Example:
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(lambda z: z, 2, Real((2,)))
        >>> z = generator.draw(500)
        >>> a = Attribute.from_labels("A", generator, z[:, 0] > 0, latents=z)
        >>> b = Attribute.from_labels("B", generator, z[:, 0] + z[:, 1] > 0, latents=z)

        >>> few = {"n": 200, "permutations": 19, "directions": 9}
        >>> found = cage_paper(generator, a, b, progress=False, **few)
        >>> found.arrow() in ("c->e", "e->c", "none"), len(found.curve) == len(found.alphas)
        (True, True)
    """

    cause: str
    effect: str
    alpha: float
    soft: bool
    forward: Estimate
    backward: Estimate
    delta_tau: Estimate
    alphas: Tensor
    curve: Tensor
    predicted: Tensor | None
    mmd: Tensor
    permuted: Null
    random: Null
    steepness: Steepness

    @property
    def p_gate(self) -> float:
        """Of the forward GATE, against permuted labels."""
        return Null.p(self.permuted.forward, self.forward.value)

    @property
    def p_permuted(self) -> float:
        """Of delta-tau, against permuted labels."""
        return Null.p(self.permuted.delta, self.delta_tau.value)

    @property
    def p_random(self) -> float:
        """Of delta-tau, against random directions: the p-value of the paper's table 1."""
        return Null.p(self.random.delta, self.delta_tau.value)

    def arrow(self, level: float = 0.05) -> Literal["c->e", "e->c", "none"]:
        """The paper's verdict: the sign of delta-tau, where it is significant.

        Args:
            level: Largest `p_random` that is.
        """
        if self.p_random > level:
            return "none"
        return "c->e" if self.delta_tau.value > 0 else "e->c"

    @property
    def explained_by_steepness(self) -> bool | None:
        """Whether the five numbers give delta-tau's sign, or its value within two standard errors.

        None where the prior is not standard normal.
        """
        if self.predicted is None:
            return None
        at, found = self.steepness.delta_tau(self.alpha, self.soft), self.delta_tau
        return (at > 0) == (found.value > 0) or abs(at - found.value) <= 2 * found.stderr

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know of the verdict, in plain words."""
        flatter = self.cause if self.steepness.flatter == "cause" else self.effect
        said: tuple[str, ...] = (
            f"delta-tau compares how steep two heads are, and {flatter!r} has the flatter or more "
            "imbalanced one; other regularisation, balance or label noise can turn its sign",
            "the permutation null asks whether the head points somewhere in particular, and a "
            "common cause of both attributes makes it do so",
        )
        if self.explained_by_steepness:
            at = self.steepness.delta_tau(self.alpha, self.soft)
            said += (
                f"steepness, bias and angle alone predict {at:.3g}: that is what delta-tau shows",
            )
        if (self.curve.sign() != self.curve[0].sign()).any():
            said += ("delta-tau changes its sign with alpha",)
        return said

    def __str__(self) -> str:
        lines = [
            f"CAGE, {self.cause!r} and {self.effect!r} at alpha = {self.alpha:g}",
            f"  GATE of {self.cause!r} on {self.effect!r}: {self.forward} (p = {self.p_gate:.3g})",
            f"  GATE of {self.effect!r} on {self.cause!r}: {self.backward}",
            f"  delta-tau: {self.delta_tau} (p = {self.p_random:.3g} against random directions, "
            f"{self.p_permuted:.3g} against permuted labels)",
            f"  heads: {self.steepness}",
            *(f"  note: {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)


def cage_paper(
    generator: LatentGenerator,
    cause: Attribute,
    effect: Attribute,
    *,
    alpha: float = 1.0,
    alphas: Sequence[float] = _ALPHAS,
    n: int = 5000,
    soft: bool = True,
    permutations: int = 1000,
    directions: int = 100,
    seed: int = 0,
    progress: bool = True,
) -> CageAudit:
    """Run the paper's estimator on a pair of binary attributes, its nulls and its curves.

    Outcomes are read by the latent heads (equation 3), as the paper does; for a classifier of
    images (equation 4) see `scm.discovery.gate.gate`. Units are those of an audit model of the
    generator with this seed. The paper does not say how many units it drew, nor with what alpha
    or regularisation; those here are choices.

    Args:
        generator: The generator; its prior gives the units.
        cause: A binary attribute with a linear latent head, trained on labels.
        effect: Another.
        alpha: Distance of the moves.
        alphas: Distances of the curves.
        n: Number of units.
        soft: Whether outcomes are probabilities, or hard labels (appendix C).
        permutations: Refits of the permutation null.
        directions: Draws of the random-direction null.
        seed: Seed of the units, the permutations and the directions.
        progress: Show a progress bar, on a terminal or in a notebook.

    Raises:
        ScmError: If an attribute is not binary, no linear latent head, constant or rare in the
            units, or the two are collinear; or a number is out of range.

    Source: CAGE, sections 3.2, 3.3 and 4.2, appendices C and E.

    Example:
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(torch.nn.Linear(8, 3), 8, Real((3,)))
        >>> z = generator.draw(2000)
        >>> a = Attribute.from_labels("A", generator, z[:, 0] > 0, latents=z, C=0.01)
        >>> b = Attribute.from_labels("B", generator, z[:, 0] + z[:, 1] > 0, latents=z)
        >>> audit = cage_paper(generator, a, b, n=1000, permutations=99, progress=False)
        >>> audit.p_gate < 0.05, audit.explained_by_steepness
        (True, True)
    """
    distances = tuple(float(a) for a in alphas)
    if not (alpha > 0 and distances and min(distances) > 0 and permutations > 0 and directions > 0):
        raise ScmError(
            f"alpha={alpha}, alphas={distances}, permutations={permutations}, directions="
            f"{directions} were given; expected positive numbers"
        )
    for attribute in (cause, effect):
        if attribute.kind != "binary":
            raise ScmError(
                f"{attribute.name!r} is {attribute.kind}, and the paper's estimator knows binary "
                "attributes: take one class, .level(...), or cut at a threshold, .binary(); then "
                ".in_latent(generator)"
            )
    steepness = Steepness.of(cause, effect)
    if abs(steepness.cosine) > _COLLINEAR:
        raise ScmError(
            f"the heads of {cause.name!r} and {effect.name!r} are perfectly collinear "
            f"(cosine {steepness.cosine:.8f}): a move along one is a move along the other"
        )
    latents = units(generator, n, seed)
    readings(generator, [cause, effect], latents)
    ways = ((cause, effect), (effect, cause))
    forward, backward = (
        unit_effects(*way, latents, (alpha, *distances), soft=soft) for way in ways
    )
    means = [each.double().mean(1) for each in (forward, backward)]
    signs = [float(mean[0].sign()) for mean in means]
    normal = standard_normal(generator)
    curve = means[0][1:].abs() - means[1][1:].abs()
    predicted = [steepness.delta_tau(distance, soft) for distance in distances]
    return CageAudit(
        cause.name,
        effect.name,
        float(alpha),
        soft,
        Estimate.mean(forward[0]),
        Estimate.mean(backward[0]),
        Estimate.mean(signs[0] * forward[0].double() - signs[1] * backward[0].double()),
        torch.tensor(distances, dtype=torch.float64),
        curve.cpu(),
        torch.tensor(predicted, dtype=torch.float64) if normal else None,
        mmd_curve(cause, latents, distances),
        permutation_null(
            cause, effect, latents, alpha, permutations, progress=progress, soft=soft, seed=seed
        ),
        direction_null(cause, effect, latents, alpha, directions, soft=soft, seed=seed),
        steepness,
    )


def baseline_columns(
    cause: Attribute,
    effect: Attribute,
    latents: Tensor,
    *,
    alpha: float = 1.0,
    counterfactuals: bool = True,
    soft: bool = True,
) -> tuple[Tensor, Tensor]:
    """The two columns that the paper hands to ANM, LiNGAM and NOTEARS.

    Args:
        cause: A binary attribute with a linear latent head.
        effect: Another.
        latents: Latents of the units, `(n, *latent)`: of the prior, or of the observed data.
        alpha: Distance of the moves.
        counterfactuals: Readings of the counterfactuals of both treatments, as in table 1; or of
            the units as they are, as in the second table of appendix C.
        soft: Probabilities, or hard labels.

    Returns:
        Readings of cause and effect, `(2n,)` each; `(n,)` without counterfactuals.

    Source: CAGE, section 4.2 and appendix C. The paper does not say which counterfactuals it
    pooled; both treatments' are taken here.

    Example:
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(lambda z: z, 2, Real((2,)))
        >>> z = generator.draw(500)
        >>> a = Attribute.from_labels("A", generator, z[:, 0] > 0, latents=z)
        >>> b = Attribute.from_labels("B", generator, z[:, 0] + z[:, 1] > 0, latents=z)

        >>> c, e = baseline_columns(a, b, z)
        >>> c.shape, e.shape
        (torch.Size([1000]), torch.Size([1000]))
    """
    rows = latents.flatten(1)
    with torch.no_grad():
        if counterfactuals:
            moved = []
            for head in (cause, effect):
                sign = 1 - 2 * head.treated(head.read(latents)).to(rows)
                moved.append(rows + alpha * sign.unsqueeze(1) * head.direction.to(rows))
            rows = torch.cat(moved)
        found = [head.read(rows.reshape(-1, *latents.shape[1:])) for head in (cause, effect)]
    if not soft:
        pairs = zip((cause, effect), found, strict=True)
        found = [head.treated(each).to(rows) for head, each in pairs]
    return found[0], found[1]
