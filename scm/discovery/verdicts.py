r"""The honest default: which way an arrow goes, or that it cannot be told.

Well defined is what a *declared* latent move does to a *declared* score. The direction is not in
the latent: the generator behind a turn of its latent has the same p(x) and other responses. So
an arrow is earned from p(c, e) alone, under the assumption that noise is additive and no cause is
hidden, where one direction passes and the other fails clearly; else the verdict says less.

Source: the project's PAPERS.md, "CAGE, calibrated"; Hoyer et al. (2009) for the assumption.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from scm.discovery.asymmetry import Asymmetry
from scm.discovery.diagnosis import Diagnosis
from scm.estimate import Estimate

__all__ = ["ARROWS", "Direction", "Rules", "Verdict", "first_opinion", "of_scales", "verdict"]

Verdict = Literal["c->e", "e->c", "both respond (direction not identified)", "none", "abstain"]

ARROWS: tuple[Verdict, ...] = ("c->e", "e->c")
"""The verdicts that claim a direction."""


@dataclass(frozen=True)
class Rules:
    """When which verdict is given; frozen before the models that they were tried on were made.

    Attributes:
        dependent: Association p below which a direction is looked for.
        independent: Association p from which "none" is possible.
        fits: p-value from which a direction's additive-noise model is kept; both kept with normal
            margins earn no arrow.
        fails: p-value below which it is rejected.
        times: How many times the HSIC of the one that is kept the other's must be. That of what is
            independent falls as 1/n, so this goes with the size of a block.
        small: "none" needs all |R| + z se below this.
        large: "both respond" needs all |R| - z se above this.
        z: Normal quantile of the limits of R.

    Example:
        >>> none = Estimate(0.0, 0.01, 100)
        >>> strict, both = Rules(independent=0.01), (none, none)
        >>> verdict(0.04, None, both), verdict(0.04, None, both, strict)
        ('abstain', 'none')
    """

    dependent: float = 0.01
    independent: float = 0.05
    fits: float = 0.01
    fails: float = 0.001
    times: float = 10.0
    small: float = 0.2
    large: float = 0.1
    z: float = 1.96


@dataclass(frozen=True)
class Direction:
    """What an audit found of one pair of attributes.

    Attributes:
        cause: Name of c.
        effect: Name of e.
        verdict: "c->e", "e->c", "both respond (direction not identified)", "none" or "abstain".
        association: p-value of independence, by permutation.
        adjusted: The same, adjusted for the number of pairs.
        asymmetry: The test of both additive-noise models; None where it was not called for.
        forward: R(c -> e), the response of e to the move of c; None where nothing moved.
        backward: R(e -> c).
        doses: Change of c, and of e, that their own moves achieved, in standard deviations.
        diagnosis: Delta-tau, and what steepness alone predicts; None where it was left out.
        gauges: Verdicts with the latent turned: p(x) is the same.
        warnings: What a reader should know, in words.

    Example:
        >>> doses = Estimate(0.5), Estimate(0.5)
        >>> found = Direction("age", "grey", "c->e", 0.001, 0.002, None, None, None, doses)
        >>> found.arrow, found.words
        (('age', 'grey'), 'age -> grey')
    """

    cause: str
    effect: str
    verdict: Verdict
    association: float
    adjusted: float
    asymmetry: Asymmetry | None
    forward: Estimate | None
    backward: Estimate | None
    doses: tuple[Estimate, Estimate]
    diagnosis: Diagnosis | None = None
    gauges: tuple[Verdict, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def arrow(self) -> tuple[str, str] | None:
        """Cause and effect by name, if an arrow was earned."""
        if self.verdict not in ARROWS:
            return None
        pair = (self.cause, self.effect)
        return pair if self.verdict == "c->e" else pair[::-1]

    @property
    def flips(self) -> bool:
        """Whether a turn of the latent changes the verdict."""
        return any(other != self.verdict for other in self.gauges)

    @property
    def words(self) -> str:
        """The verdict with the attributes' names."""
        if self.arrow is not None:
            return f"{self.arrow[0]} -> {self.arrow[1]}"
        return f"{self.cause}, {self.effect}: {self.verdict}"

    def as_json(self) -> dict[str, Any]:
        """Everything in what JSON can hold."""
        numbers = {
            "R(c->e)": self.forward,
            "R(e->c)": self.backward,
            "dose(c)": self.doses[0],
            "dose(e)": self.doses[1],
        }
        told = self.diagnosis
        return {
            "c": self.cause,
            "e": self.effect,
            "verdict": self.verdict,
            "association_p": self.association,
            "association_p_adjusted": self.adjusted,
            "additive_noise": None if self.asymmetry is None else vars(self.asymmetry),
            **{
                name: None if each is None else {"value": each.value, "stderr": each.stderr}
                for name, each in numbers.items()
            },
            "delta_tau": None
            if told is None
            else {
                "alphas": list(told.alphas),
                "measured": list(told.measured),
                "predicted_from_steepness": list(told.predicted),
                "steepness": vars(told.steepness),
                "explained": told.explained,
                "Cs": list(told.Cs),
                "penalised": [list(row) for row in told.penalised],
            },
            "gauges": list(self.gauges),
            "warnings": list(self.warnings),
        }

    def __str__(self) -> str:
        adjusted = f" ({self.adjusted:.3g} adjusted)" * (self.adjusted != self.association)
        lines = [self.words, f"  association p = {self.association:.3g}{adjusted}"]
        if self.asymmetry is not None:
            a = self.asymmetry
            lines.append(
                f"  additive noise: c->e p = {a.p_forward:.3g}, e->c p = {a.p_backward:.3g}, HSIC "
                f"{a.hsic_forward:.2g} and {a.hsic_backward:.2g}"
            )
        lines.append(f"  R(c->e) = {self.forward}, R(e->c) = {self.backward}")
        if self.diagnosis is not None:
            lines.append(f"  {self.diagnosis}")
        return "\n".join([*lines, *(f"  ! {warning}" for warning in self.warnings)])


def verdict(
    association: float,
    asymmetry: Asymmetry | None,
    responses: tuple[Estimate | None, Estimate | None],
    rules: Rules = Rules(),
) -> Verdict:
    """Step 5: what the evidence amounts to.

    Args:
        association: p-value of independence.
        asymmetry: Test of the additive-noise models; None where the association does not ask.
        responses: R(c -> e) and R(e -> c); None where nothing moved.
        rules: The thresholds.

    Example:
        >>> none = Estimate(0.01, 0.02, 100)
        >>> verdict(0.4, None, (none, none))
        'none'
        >>> verdict(0.001, Asymmetry(0.3, 0.0005, 1e-4, 2e-3), (none, none))
        'c->e'
    """
    known = [r for r in responses if r is not None]
    seen = len(known) == 2
    if association >= rules.independent:
        if seen and all(abs(r.value) + rules.z * r.stderr < rules.small for r in known):
            return "none"
    elif association < rules.dependent and asymmetry is not None:
        arrow = first_opinion(asymmetry, rules)
        if arrow is not None and not of_scales(asymmetry, rules):
            return arrow
    if seen and all(abs(r.value) - rules.z * r.stderr > rules.large for r in known):
        return "both respond (direction not identified)"
    return "abstain"


def first_opinion(a: Asymmetry, rules: Rules = Rules()) -> Verdict | None:
    """The arrow that the additive-noise models alone would earn."""
    if _earned(a.p_forward, a.p_backward, a.hsic_forward, a.hsic_backward, rules):
        return "c->e"
    if _earned(a.p_backward, a.p_forward, a.hsic_backward, a.hsic_forward, rules):
        return "e->c"
    return None


def of_scales(a: Asymmetry, rules: Rules = Rules()) -> bool:
    """Whether both models are kept once margins are normal, where that was asked."""
    return a.normal is not None and min(a.normal) >= rules.fits


def _earned(p_kept: float, p_other: float, hsic_kept: float, hsic_other: float, r: Rules) -> bool:
    return p_kept >= r.fits and p_other < r.fails and hsic_other > r.times * hsic_kept
