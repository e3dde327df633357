"""Laws about what can be said of an effect where it is not identified (GenInt)."""

from __future__ import annotations

import random
from typing import Any

from torch.distributions import Normal

from scm.errors import NotIdentifiedError, ScmError
from scm.testing.case import Case
from scm.testing.law import Law, Subject
from scm.testing.laws.factorisation import TOLERANCE, ExactLaw, gaussian_reason

__all__ = ["NaturalBounds", "Nesting", "RandomisedBound", "SharpBounds", "Theorem4"]

_SOLVER = 1e-6


class NaturalBounds(ExactLaw):
    r"""Without any assumption: :math:`P(x, y) \le P(y \mid do(x)) \le P(x, y) + 1 - P(x)`."""

    name = "natural bounds"
    statement = "P(x, y) <= P(y | do(x)) <= P(x, y) + 1 - P(x)"
    source = "Manski (1990); Tian and Pearl (2000); GenInt, lemma 1"

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        return _event(subject, rng, 2, list(subject.graph.nodes))

    def _violation(self, subject: Subject, case: Case) -> str | None:
        if len(case.levels) < 2:
            return None
        x, y = case.levels
        joint, event = subject.joint, case.levels
        lower = float(joint.prob(event))
        upper = lower + 1 - float(joint.prob({x: event[x]}))
        effect = float(joint.prob({y: event[y]}, do={x: event[x]}))
        return _outside(effect, lower, upper, f"P({y} | do({x}))")


class _Randomised(ExactLaw):
    """A law about an act on Z that reaches Y through X alone."""

    def _applies(self, subject: Subject) -> str | None:
        reason = super()._applies(subject)
        if reason is None and not _strategies(subject):
            reason = "no node z reaches an outcome y through a treatment x alone (GenInt, figure 4)"
        return reason

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        levels = subject.joint.levels
        x, y, z = rng.choice(_strategies(subject))
        return Case(levels={v: rng.choice(levels[v]) for v in (x, y, z)})


class RandomisedBound(_Randomised):
    r"""Under a randomised z: :math:`P(x, y \mid z) \le P(y \mid do(x)) \le P(x, y \mid z) + 1 - P(x \mid z)`."""  # noqa: E501

    name = "bound under a randomised z"
    statement = "with z set, P(x, y | z) <= P(y | do(x)) <= P(x, y | z) + 1 - P(x | z)"
    source = "GenInt, theorem 3 (its bound), for z that reaches y through x alone"

    def _violation(self, subject: Subject, case: Case) -> str | None:
        if len(case.levels) < 3:
            return None
        x, y, z = case.levels
        effect = float(subject.joint.prob({y: case.levels[y]}, do={x: case.levels[x]}))
        lower, upper = _strategy(subject, case.levels, z)
        chance = float(subject.joint.prob({x: case.levels[x]}, do={z: case.levels[z]}))
        if abs((upper - lower) - (1 - chance)) > TOLERANCE:
            return f"its width is {upper - lower:.10g}, not 1 - P(x | z) = {1 - chance:.10g}"
        return _outside(effect, lower, upper, f"P({y} | do({x}))")


class Nesting(_Randomised):
    r"""Strategy :math:`z_1`'s interval lies in :math:`z_2`'s iff
    :math:`0 \le P(x, y \mid z_1) - P(x, y \mid z_2) \le P(x \mid z_1) - P(x \mid z_2)`.

    GenInt's theorem claims it of every larger :math:`P(x \mid z)`; that gives the narrower
    interval, which need not be nested, since X is a collider.
    """  # noqa: D205

    name = "nesting of intervals"
    statement = (
        "z1's interval lies in z2's iff 0 <= P(x, y | z1) - P(x, y | z2) <= P(x | z1) - P(x | z2)"
    )
    source = "GenInt, theorem 3, corrected (PAPERS.md)"

    def _violation(self, subject: Subject, case: Case) -> str | None:
        if len(case.levels) < 3:
            return None
        x, y, z = case.levels
        joint, event = subject.joint, case.levels
        here = _strategy(subject, event, z)
        for level in joint.levels[z]:
            other = _strategy(subject, {**event, z: level}, z)
            gain = [
                float(joint.prob(e, do={z: event[z]})) - float(joint.prob(e, do={z: level}))
                for e in ({x: event[x], y: event[y]}, {x: event[x]})
            ]
            nested = other[0] <= here[0] and here[1] <= other[1]
            margin = min(abs(gain[0]), abs(gain[1] - gain[0]))
            if margin > TOLERANCE and nested != (0 <= gain[0] <= gain[1]):
                return f"{z}={level!r}: nested is {nested}, the changes are {gain}"
            narrower = here[1] - here[0] < other[1] - other[0]
            if abs(gain[1]) > TOLERANCE and narrower != (gain[1] > 0):
                return f"{z}={level!r}: narrower is {narrower}, P(x | z) changes by {gain[1]}"
        return None


class Theorem4(Law):
    r"""In a linear Gaussian model, a randomised z tells the effect: :math:`b = \sigma_{zy} / \sigma_{zx}`.

    Sampled: Z is drawn apart from its causes, and the ratio compared with the effect that
    each unit shows under do(X). An error is a difference of more than six standard errors
    (one false alarm in 10^8) plus rounding.
    """  # noqa: E501

    name = "linear Gaussian ratio"
    statement = (
        "with z randomised, cov(z, y) / cov(z, x) is the effect of x on y, though confounded"
    )
    source = "GenInt, theorem 4; Wright (1928)"
    false_alarm = 1e-8
    trials = 0.3
    units = 4000

    def _applies(self, subject: Subject) -> str | None:
        reason = gaussian_reason(subject)
        if reason is None and not _strategies(subject):
            reason = "no node z reaches an outcome y through a treatment x alone (GenInt, figure 4)"
        return reason

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        x, y, z = rng.choice(_strategies(subject))
        sets = {"x": (x,), "y": (y,), "z": (z,)}
        return Case(sets=sets, n=self.units, seed=rng.randrange(10**6))

    def _violation(self, subject: Subject, case: Case) -> str | None:
        if case.n != self.units or any(len(of) != 1 for of in case.sets.values()):
            return None
        (x,), (y,), (z,) = (case.sets[k] for k in "xyz")
        model = subject.model
        low, high = (model.do({x: k}).sample(64, case.seed)[y].double() for k in (0.0, 1.0))
        effect = float((high - low).mean())
        units = model.do({z: Normal(0.0, 1.0)}).sample(case.n, case.seed)
        vz, vx, vy = (units[v].double() - units[v].double().mean() for v in (z, x, y))
        first = float((vz * vx).mean())
        error = float((vz * (vy - effect * vx)).std()) / case.n**0.5
        if abs(first) < 0.05 * float(vx.std()):
            return None  # z hardly moves x: the ratio says nothing
        ratio = float((vz * vy).mean()) / first
        limit = 6 * error / abs(first) + 1e-3 * max(1.0, abs(effect))
        if abs(ratio - effect) <= limit:
            return None
        return (
            f"do({x}) moves {y} by {effect:.4f} a unit, but the ratio is "
            f"{ratio:.4f}; chance explains {limit:.4f}"
        )


class SharpBounds(ExactLaw):
    r"""Sharp bounds contain the effect, lie inside the natural ones, and are attained.

    That they are attained is tried where the graph identifies the effect: both ends are it.
    """

    name = "sharp bounds"
    statement = (
        "natural lower <= sharp lower <= P(y | do(x)) <= sharp upper <= natural upper, "
        "and the ends meet where the effect is identified"
    )
    source = "Balke and Pearl (1997); Sachs et al. (2023)"
    trials = 0.3

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        seen = [v for v in subject.graph.observed if not subject.graph.is_constitutive(v)]
        return _event(subject, rng, 2, seen)

    def _violation(self, subject: Subject, case: Case) -> str | None:
        from scm.estimators.sharp_bounds import sharp_bounds

        if len(case.levels) < 2:
            return None
        x, y = case.levels
        joint, event = subject.joint, case.levels
        chance = float(joint.prob({x: event[x]}))
        if chance == 0:
            return None
        try:
            found = sharp_bounds(subject.graph, joint.observed(), {y: event[y]}, do={x: event[x]})
        except ScmError as error:
            if "response types" in str(error):
                return None  # more than fit
            raise
        low, high = found.lower, found.upper
        lower = float(joint.prob(event))
        upper = lower + 1 - chance
        if low < lower - _SOLVER or high > upper + _SOLVER:
            return f"[{low:.8g}, {high:.8g}] is not inside the natural [{lower:.8g}, {upper:.8g}]"
        effect = float(joint.prob({y: event[y]}, do={x: event[x]}))
        wrong = _outside(effect, low, high, f"P({y} | do({x}))", _SOLVER)
        if wrong or high - low <= _SOLVER:
            return wrong
        try:
            subject.graph.identify(y, do=x)
        except NotIdentifiedError:
            return None
        sharp = found.method.startswith("sharp")
        return f"identified, but the bounds are [{low:.8g}, {high:.8g}]" if sharp else None


def _event(subject: Subject, rng: random.Random, k: int, among: list[str]) -> Case | None:
    """Levels of k nodes, the first of which can be set."""
    able = [v for v in among if not subject.graph.is_constitutive(v)]
    if not able or len(among) < k:
        return None
    first = rng.choice(able)
    rest = rng.sample([v for v in among if v != first], k - 1)
    return Case(levels={v: rng.choice(subject.joint.levels[v]) for v in (first, *rest)})


def _strategies(subject: Subject) -> list[tuple[str, str, str]]:
    """(x, y, z) by role, or where z causes x and is separated from y once both are set."""
    graph = subject.graph
    plain = [v for v in graph.nodes if not graph.is_constitutive(v)]
    if {"treatment", "outcome", "randomised"} <= set(subject.roles):
        x, y, z = (subject.roles[k] for k in ("treatment", "outcome", "randomised"))
        graph.require(x, y, z)
        return [(x, y, z)]
    found = []
    for x in plain:
        above = graph.ancestors(x) - {x}
        for z in (v for v in plain if v in above):
            done = graph.without_incoming(x, z)
            for y in graph.nodes:
                if y not in (x, z) and y not in above and done.d_separated([z], [y], [x]):
                    found.append((x, y, z))
    return found


def _strategy(subject: Subject, event: Any, z: str) -> tuple[float, float]:
    """GenInt's interval under do(z)."""
    x, y, _ = event
    do = {z: event[z]}
    lower = float(subject.joint.prob({x: event[x], y: event[y]}, do=do))
    return lower, lower + 1 - float(subject.joint.prob({x: event[x]}, do=do))


def _outside(
    value: float, lower: float, upper: float, what: str, slack: float = TOLERANCE
) -> str | None:
    if lower - slack <= value <= upper + slack:
        return None
    return f"{what} is {value:.10g}, outside [{lower:.10g}, {upper:.10g}]"
