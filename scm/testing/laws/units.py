"""Laws about units: what a unit would have been, in one world and in another."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from scm.testing.case import Case, Value, actable, draw_acts
from scm.testing.law import Law, Subject, difference
from scm.worlds.samples import Samples

__all__ = [
    "Commutation",
    "Composition",
    "Consistency",
    "Effectiveness",
    "NonDescendants",
    "OwnNoise",
    "Repeatable",
    "Reversibility",
]


class _UnitLaw(Law):
    """A law that samples units under acts."""

    least, most = 1, 2

    def _applies(self, subject: Subject) -> str | None:
        return None if actable(subject.model) else "no node of the model can be acted on"

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        acts = draw_acts(subject.model, subject.pilot, rng, self.most, self.least)
        return Case(acts, n=rng.choice((2, 8)), seed=rng.randrange(1000))


class Repeatable(_UnitLaw):
    r"""The seed names the population: :math:`V(u)` is a function of u, under every act."""

    name = "a seed is a population"
    statement = "a unit's values are a function of its noise: the same seed gives the same V(u)"
    source = "Pearl (2009), 7.1.1"
    least = 0

    def _violation(self, subject: Subject, case: Case) -> str | None:
        first, again = (acted(subject.model, case.acts).sample(case.n, case.seed) for _ in "ab")
        return bitwise(first, again, first, "the second time it was sampled")


class OwnNoise(_UnitLaw):
    r"""Noise does not depend on the act: :math:`U_x = U`, bitwise."""

    name = "noise ignores acts"
    statement = "a unit keeps its noise in every world: U under do(X = x) is U, bitwise"
    source = "Pearl (2009), 7.1.1"

    def _violation(self, subject: Subject, case: Case) -> str | None:
        plain = subject.model.sample(case.n, case.seed).noise
        under = acted(subject.model, case.acts).sample(case.n, case.seed).noise
        return bitwise(under, plain, plain, "the noise without the act")


class Effectiveness(_UnitLaw):
    r"""Under do(X = x), X is x: :math:`X_x(u) = x`."""

    name = "effectiveness"
    statement = "under do(X = x), X is x: X_x(u) = x"
    source = "Galles and Pearl (1998); Pearl (2009), 7.3.1, property 2"

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        acts = draw_acts(
            subject.model, subject.pilot, rng, self.most, self.least, constant=True, macros=False
        )
        return Case(acts, n=rng.choice((2, 8)), seed=rng.randrange(1000))

    def _violation(self, subject: Subject, case: Case) -> str | None:
        for units in (
            acted(subject.model, case.acts).sample(case.n, case.seed),
            acted(subject.model.sample(case.n, case.seed), case.acts),
        ):
            for value in case.acts:
                found = units[value.node]
                if value.kind != "constant":
                    continue
                wanted = torch.as_tensor(value.number).to(found).expand_as(found)
                if not torch.equal(found, wanted):
                    return difference(
                        value.node, found == wanted, found, wanted, "the value it was set to"
                    )
        return None


class Composition(_UnitLaw):
    r"""If W is w under do(x), do(x, w) changes nothing else: :math:`Y_{x, W_x(u)}(u) = Y_x(u)`."""

    name = "composition"
    statement = "setting W to what it is under do(X = x) changes nothing: Y_{x, W_x(u)}(u) = Y_x(u)"
    source = "Galles and Pearl (1998); Pearl (2009), 7.3.1, property 1"
    least = 0

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        case = super()._draw(subject, rng)
        assert case is not None
        return _with(case, "W", subject, rng, 1)

    def _violation(self, subject: Subject, case: Case) -> str | None:
        model = subject.model
        under = acted(model, case.acts).sample(case.n, case.seed)
        held = {w: under[w].clone() for w in case.sets.get("W", ())}
        if not held:
            return None
        own = "its value before " + ", ".join(held) + " was set to its own value there"
        again = acted(model, case.acts).do(held).sample(case.n, case.seed)
        return nearly(subject, again, under, under, own) or nearly(
            subject, under.do(held), under, under, own
        )


class Consistency(_UnitLaw):
    r"""A unit whose X is x is itself under do(X = x): :math:`X(u) = x \Rightarrow Y_x(u) = Y(u)`.

    Tried twice: every unit set to its own value, and all units set to the value of one.
    """

    name = "consistency"
    statement = "do(X = x) at X's own value changes nothing: X(u) = x implies Y_x(u) = Y(u)"
    source = "Robins (1987); Pearl (2009), corollary 7.3.2"
    least = most = 0

    def _applies(self, subject: Subject) -> str | None:
        nodes = actable(subject.model, macros=False)
        return None if nodes else "no node of the model can be acted on"

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        case = super()._draw(subject, rng)
        assert case is not None
        return _with(case, "X", subject, rng, 1)

    def _violation(self, subject: Subject, case: Case) -> str | None:
        model, nodes = subject.model, case.sets.get("X", ())
        if not nodes:
            return None
        plain = model.sample(case.n, case.seed)
        own = {x: plain[x].clone() for x in nodes}
        where = f"its value without do({', '.join(nodes)} = the unit's own)"
        each = model.do(own).sample(case.n, case.seed)
        found = nearly(subject, each, plain, plain, where)
        if found is None:
            k = case.n - 1
            where = f"its value without do({', '.join(nodes)} = that of unit {case.start + k})"
            one = model.do({x: v[k] for x, v in own.items()}).sample(case.n, case.seed)
            found = nearly(subject, one[[k]], plain[[k]], plain, where)
        return found


class NonDescendants(_UnitLaw):
    r"""What X does not cause stays as it is: :math:`V_x(u) = V(u)` bitwise off X's descendants."""

    name = "non-descendants unchanged"
    statement = "do(X = x) leaves what X does not cause: V_x(u) = V(u), bitwise, off de(X)"
    source = "Pearl (2009), definition 7.1.2; Galles and Pearl (1998), exclusion restrictions"

    def _violation(self, subject: Subject, case: Case) -> str | None:
        model = subject.model
        plain = model.sample(case.n, case.seed)
        touched = {m for x in case.nodes for m in (model.graph.micro(x) or (x,))}
        rest = [v for v in model.graph.nodes if not touched & model.graph.ancestors(v)]
        why = f"its value without the act; {', '.join(sorted(case.nodes))} is no cause of it"
        fresh = acted(model, case.acts).sample(case.n, case.seed)
        return bitwise(fresh, plain, rest, why) or bitwise(
            acted(plain, case.acts), plain, rest, why
        )


class Commutation(_UnitLaw):
    r"""Acts on different nodes commute: :math:`do(x) do(w) = do(w) do(x) = do(x, w)`."""

    name = "disjoint interventions commute"
    statement = "acts on different nodes commute: do(x) do(w) = do(w) do(x) = do(x, w)"
    source = "Pearl (2009), definition 7.1.3"

    def _applies(self, subject: Subject) -> str | None:
        two = len(actable(subject.model)) > 1
        return None if two else "fewer than two nodes of the model can be acted on"

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        acts = draw_acts(subject.model, subject.pilot, rng, most=1, least=1)
        more = draw_acts(
            subject.model, subject.pilot, rng, most=2, least=1, avoid={v.node for v in acts}
        )
        return Case(acts, more, n=rng.choice((2, 8)), seed=rng.randrange(1000))

    def _violation(self, subject: Subject, case: Case) -> str | None:
        model, n, seed = subject.model, case.n, case.seed
        both = acted(model, (*case.acts, *case.more)).sample(n, seed)
        for orders in ((case.acts, case.more), (case.more, case.acts)):
            for start in (model, model.sample(n, seed)):
                units = acted(acted(start, orders[0]), orders[1])
                units = units if isinstance(units, Samples) else units.sample(n, seed)
                order = " then ".join(", ".join(v.node for v in acts) for acts in orders)
                found = nearly(subject, units, both, both, f"set {order}, against both at once")
                if found:
                    return found
        return None


class Reversibility(_UnitLaw):
    r"""Two effects that agree hold: :math:`Y_{xw} = y,\ W_{xy} = w \Rightarrow Y_x = y`."""

    name = "reversibility"
    statement = "if do(x, w) gives y and do(x, y) gives w, then do(x) gives y: no feedback"
    source = "Galles and Pearl (1998); Pearl (2009), 7.3.1, property 3"
    least, most = 0, 1

    def _applies(self, subject: Subject) -> str | None:
        two = len(actable(subject.model, macros=False)) > 1
        return None if two else "fewer than two nodes of the model can be acted on"

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        case = super()._draw(subject, rng)
        assert case is not None
        return _with(case, "Y, W", subject, rng, 2)

    def _violation(self, subject: Subject, case: Case) -> str | None:
        pair = case.sets.get("Y, W", ())
        if len(pair) < 2:
            return None
        y, w = pair
        view, n, seed = acted(subject.model, case.acts), case.n, case.seed
        under = view.sample(n, seed)
        # Half of the units take their own w, the others that of another unit.
        own = torch.arange(n, device=under[w].device) % 2 == 0
        wanted = torch.where(_over(own, under[w]), under[w], under[w].roll(1, 0))
        made = view.do({w: wanted}).sample(n, seed)[y]
        back = view.do({y: made.clone()}).sample(n, seed)[w]
        good = subject.close(under[y], made, 10.0)
        premise = subject.close(back, wanted)
        met = premise.flatten(1).all(-1) if premise.ndim > 1 else premise
        good = good | ~_over(met, good)
        if bool(good.all()):
            return None
        return difference(y, good, under[y], made, f"its value under do({w}), where {y} gives {w}")


def acted(model: Any, acts: Iterable[Value]) -> Any:
    """The model, view or samples under the acts, made in one call."""
    given = {v.node: v.act for v in acts}
    if given:
        return model.do(given)
    return model if isinstance(model, Samples) else getattr(model, "view", model)


def bitwise(
    found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], nodes: Iterable[str], how: str
) -> str | None:
    """Say where values differ in a single bit."""
    for node in nodes:
        a, b = found[node], wanted[node].expand_as(found[node])
        good = (a == b) | ((a != a) & (b != b))
        if not bool(good.all()):
            return difference(node, good, a, b, how)
    return None


def nearly(
    subject: Subject,
    found: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    nodes: Iterable[str],
    how: str,
) -> str | None:
    """Say where values differ by more than the rounding of the dtype."""
    for node in nodes:
        a, b = found[node], wanted[node]
        if a.shape != b.shape:
            return f"{node} has shape {tuple(a.shape)}, not {tuple(b.shape)}: {how}"
        good = subject.close(a, b)
        if not bool(good.all()):
            return difference(node, good, a, b, how)
    return None


def _with(case: Case, role: str, subject: Subject, rng: random.Random, k: int) -> Case | None:
    free = [v for v in actable(subject.model, macros=False) if v not in case.nodes]
    # A micro node whose macro-variable was set is not free either.
    taken = {m for v in case.nodes for m in subject.graph.micro(v)}
    free = [v for v in free if v not in taken]
    if len(free) < k:
        return None
    return Case(case.acts, sets={role: tuple(rng.sample(free, k))}, n=case.n, seed=case.seed)


def _over(flags: Tensor, like: Tensor) -> Tensor:
    return flags.reshape(-1, *(1,) * (like.ndim - 1))
