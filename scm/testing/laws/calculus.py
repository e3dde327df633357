"""The do-calculus and what follows from it, on exact models."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import torch

from scm.errors import NotIdentifiedError
from scm.exact import Joint
from scm.graph import CausalGraph
from scm.graph.counterexample import counterexample
from scm.testing.case import Case
from scm.testing.law import Law, Subject
from scm.testing.laws.factorisation import (
    MOST_CELLS,
    ExactLaw,
    draw_sets,
    numbers,
    show,
    unequal,
)

__all__ = ["BackDoor", "FrontDoor", "Identification", "Rule1", "Rule2", "Rule3", "Unidentified"]

_DRAWS = 60


class _Rule(ExactLaw):
    """A rule of do-calculus about disjoint sets X (done), Y, Z and W (seen)."""

    def _premise(self, graph: CausalGraph, z: tuple[str, ...], w: tuple[str, ...]) -> CausalGraph:
        """The graph in which Y and Z must be separated, from the graph of do(X)."""
        raise NotImplementedError

    def _holds(self, graph: CausalGraph, sets: Any) -> bool:
        x, y, z, w = (sets[k] for k in ("do X", "Y", self.third, "W"))
        if not y or not z:
            return False
        mutilated = self._premise(graph.without_incoming(*x), z, w)
        return mutilated.d_separated(y, z, (*x, *w))

    third = "do Z"

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        sizes = {"Y": (1, 2), self.third: (1, 2), "do X": (0, 2), "W": (0, 2)}
        for _ in range(_DRAWS):
            sets = draw_sets(subject, rng, sizes)
            if sets is not None and self._holds(subject.graph, sets):
                return Case(sets=sets)
        return None

    def _violation(self, subject: Subject, case: Case) -> str | None:
        if not self._holds(subject.graph, case.sets):
            return None
        x, y, z, w = (case.sets[k] for k in ("do X", "Y", self.third, "W"))
        left, right = self._sides(x, z, w)
        values, names = [], (*x, *z, *w)
        for do, given in (left, right):
            table = subject.joint.table(*y, do=do, given=given)
            values.append(_aligned(numbers(table), (*do, *given), names))
        said = [f"P({', '.join(y)} | {show(*side)})" for side in (left, right)]
        return unequal(values[0], values[1], *said)

    def _sides(
        self, x: tuple[str, ...], z: tuple[str, ...], w: tuple[str, ...]
    ) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], tuple[tuple[str, ...], tuple[str, ...]]]:
        """(do, given) on both sides of the equation."""
        raise NotImplementedError


class Rule1(_Rule):
    r"""Observations may be left out: :math:`P(y \mid do(x), z, w) = P(y \mid do(x), w)`."""

    name = "do-calculus, rule 1"
    statement = "P(y | do(x), z, w) = P(y | do(x), w) if Y _||_ Z | X, W without arrows into X"
    source = "Pearl (1995), theorem 3; Pearl (2009), theorem 3.4.1"
    third = "Z"

    def _premise(self, graph: CausalGraph, z: tuple[str, ...], w: tuple[str, ...]) -> CausalGraph:
        return graph

    def _sides(self, x: Any, z: Any, w: Any) -> Any:
        return (x, (*z, *w)), (x, w)


class Rule2(_Rule):
    r"""Doing is seeing: :math:`P(y \mid do(x), do(z), w) = P(y \mid do(x), z, w)`."""

    name = "do-calculus, rule 2"
    statement = (
        "P(y | do(x), do(z), w) = P(y | do(x), z, w) if Y _||_ Z | X, W without arrows out of Z"
    )
    source = "Pearl (1995), theorem 3; Pearl (2009), theorem 3.4.1"

    def _premise(self, graph: CausalGraph, z: tuple[str, ...], w: tuple[str, ...]) -> CausalGraph:
        return _cut_outgoing(graph, z)

    def _sides(self, x: Any, z: Any, w: Any) -> Any:
        return ((*x, *z), w), (x, (*z, *w))


class Rule3(_Rule):
    r"""Acts may be left out: :math:`P(y \mid do(x), do(z), w) = P(y \mid do(x), w)`."""

    name = "do-calculus, rule 3"
    statement = (
        "P(y | do(x), do(z), w) = P(y | do(x), w) if Y _||_ Z | X, W without arrows into Z(W)"
    )
    source = "Pearl (1995), theorem 3; Pearl (2009), theorem 3.4.1"

    def _premise(self, graph: CausalGraph, z: tuple[str, ...], w: tuple[str, ...]) -> CausalGraph:
        above = graph.ancestors(*w) if w else frozenset()
        return graph.without_incoming(*(v for v in z if v not in above))

    def _sides(self, x: Any, z: Any, w: Any) -> Any:
        return ((*x, *z), w), (x, w)


class BackDoor(ExactLaw):
    r"""Adjustment: :math:`P(y \mid do(x)) = \sum_z P(y \mid x, z) P(z)`."""

    name = "back door"
    statement = "P(y | do(x)) is the sum over z of P(y | x, z) P(z), if Z blocks the back doors"
    source = "Pearl (2009), theorem 3.3.2"

    def _holds(self, graph: CausalGraph, x: str, y: str, zs: tuple[str, ...]) -> bool:
        if graph.descendants(x) & set(zs):
            return False
        return _cut_outgoing(graph, (x,)).d_separated([x], [y], zs)

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        for _ in range(_DRAWS):
            sets = draw_sets(subject, rng, {"do X": (1, 1), "Y": (1, 1), "Z": (0, 3)})
            if sets is not None and self._holds(
                subject.graph, sets["do X"][0], sets["Y"][0], sets["Z"]
            ):
                return Case(sets=sets)
        return None

    def _violation(self, subject: Subject, case: Case) -> str | None:
        xs, ys, zs = (case.sets[k] for k in ("do X", "Y", "Z"))
        if not xs or not ys or not self._holds(subject.graph, xs[0], ys[0], zs):
            return None
        joint = subject.joint
        done = numbers(joint.table(*ys, do=xs))
        if not zs:
            return unequal(numbers(joint.table(*ys, given=xs)), done, "P(y | x)", "P(y | do(x))")
        within = numbers(joint.table(*ys, given=(*zs, *xs))).flatten(0, len(zs) - 1)
        weight = numbers(joint.table(*zs)).flatten()
        total = _mixed(within, weight)
        return unequal(
            total, done, f"the adjusted P({ys[0]} | {xs[0]})", f"P({ys[0]} | {show(xs)})"
        )


class FrontDoor(ExactLaw):
    r"""Through a mediator: :math:`P(y \mid do(x)) = \sum_m P(m \mid x) \sum_{x'} P(y \mid m, x') P(x')`."""  # noqa: E501

    name = "front door"
    statement = (
        "P(y | do(x)) = sum_m P(m | x) sum_x' P(y | m, x') P(x'), for M that meets the criterion"
    )
    source = "Pearl (2009), theorem 3.3.4"

    def _holds(self, graph: CausalGraph, x: str, y: str, ms: tuple[str, ...]) -> bool:
        if not ms or y not in graph.descendants(x):
            return False
        through = graph.subgraph([v for v in graph.nodes if v not in ms])
        if y in through.descendants(x):
            return False
        behind = _cut_outgoing(graph, (x,)).d_separated([x], ms)
        return behind and _cut_outgoing(graph, ms).d_separated(ms, [y], [x])

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        for _ in range(2 * _DRAWS):
            sets = draw_sets(subject, rng, {"do X": (1, 1), "Y": (1, 1), "M": (1, 2)})
            if sets is not None and self._holds(
                subject.graph, sets["do X"][0], sets["Y"][0], sets["M"]
            ):
                return Case(sets=sets)
        return None

    def _violation(self, subject: Subject, case: Case) -> str | None:
        xs, ys, ms = (case.sets[k] for k in ("do X", "Y", "M"))
        if not xs or not ys or not self._holds(subject.graph, xs[0], ys[0], ms):
            return None
        joint = subject.joint
        mediated = numbers(joint.table(*ms, given=xs)).flatten(1)
        within = numbers(joint.table(*ys, given=(*xs, *ms))).flatten(1, len(ms))
        inner = _mixed(within, numbers(joint.table(*xs)))
        chance = mediated.unsqueeze(-1)
        total = torch.where(chance == 0, torch.zeros_like(inner), chance * inner).sum(1)
        done = numbers(joint.table(*ys, do=xs))
        return unequal(
            total, done, f"the front door's P({ys[0]} | {xs[0]})", f"P({ys[0]} | {show(xs)})"
        )


class Identification(ExactLaw):
    r"""Where the graph identifies an effect, the estimand of what is observed equals it."""

    name = "identification"
    statement = "graph.identify's estimand, from the observed margin alone, is P(y | do(x))"
    source = "Shpitser and Pearl (2006), theorem 5"
    trials = 0.5

    def _applies(self, subject: Subject) -> str | None:
        if subject.graph.constitutive:
            return "the graph has macro-variables"
        return super()._applies(subject)

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        seen = set(subject.graph.observed)
        for _ in range(_DRAWS):
            sets = draw_sets(subject, rng, {"do X": (1, 2), "Y": (1, 1)})
            if sets is None or not seen.issuperset((*sets["do X"], *sets["Y"])):
                continue
            if self._estimand(subject, sets) is not None:
                return Case(sets=sets)
        return None

    def _estimand(self, subject: Subject, sets: Any) -> Any:
        try:
            return subject.graph.identify(list(sets["Y"]), do=list(sets["do X"]))
        except NotIdentifiedError:
            return None

    def _violation(self, subject: Subject, case: Case) -> str | None:
        xs, ys = case.sets["do X"], case.sets["Y"]
        if not xs or not ys:
            return None
        estimand = self._estimand(subject, case.sets)
        if estimand is None:
            return None
        table = estimand.evaluate(subject.joint.observed(), check=False)
        xs, ys = estimand.do, estimand.outcome
        found = numbers(table)
        done = numbers(subject.joint.table(*ys, do=xs))
        return unequal(found, done, f"the estimand {estimand}", f"P({ys[0]} | {show(xs)})")


class Unidentified(Law):
    r"""Where an effect is not identified, two models of the graph agree on what is observed.

    Nothing observed can tell them apart, and they differ on :math:`P(y \mid do(x))`.
    """

    name = "what is not identified"
    statement = "if P(y | do(x)) is refused, two models of the graph agree on P(v) and differ on it"
    source = "Shpitser and Pearl (2006), theorem 4"
    trials = 0.3

    def _applies(self, subject: Subject) -> str | None:
        if subject.graph.constitutive:
            return "the graph has macro-variables"
        return None if subject.graph.latent else "the graph has no latent node: all is identified"

    def _hedge(self, subject: Subject, sets: Any) -> Any:
        if not sets["do X"] or not sets["Y"]:
            return None
        try:
            subject.graph.identify(list(sets["Y"]), do=list(sets["do X"]))
        except NotIdentifiedError as error:
            return error.hedge
        return None

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        seen = list(subject.graph.observed)
        for _ in range(_DRAWS):
            if len(seen) < 2:
                break
            x, y = rng.sample(seen, 2)
            case = Case(sets={"do X": (x,), "Y": (y,)})
            if self._hedge(subject, case.sets) is not None:
                return case
        return None

    def _violation(self, subject: Subject, case: Case) -> str | None:
        hedge = self._hedge(subject, case.sets)
        if hedge is None:
            return None
        made = counterexample(hedge)
        first, second = Joint(made.graph, made.first), Joint(made.graph, made.second)
        seen = made.graph.observed
        if math.prod(len(first.levels[v]) for v in seen) <= MOST_CELLS:
            one, other = (numbers(joint.table(*seen)) for joint in (first, second))
            found = unequal(one, other, "the first model's P(v)", "the second's")
            if found:
                return found
        y, x = tuple(hedge.outcome), tuple(hedge.do)
        one, other = (numbers(joint.table(*y, do=x)) for joint in (first, second))
        if unequal(one, other, "", "") is None:
            return f"the two models also agree on P({', '.join(y)} | {show(x)})"
        return None


def _cut_outgoing(graph: CausalGraph, nodes: tuple[str, ...]) -> CausalGraph:
    """The graph without arrows out of the nodes, constitutive ones too."""
    cut = set(nodes)
    structure = graph.without_outgoing(*nodes).structure
    constitutive = tuple((i, c) for i, c in structure.constitutive if i not in cut)
    return CausalGraph(replace(structure, constitutive=constitutive))


def _aligned(values: torch.Tensor, have: tuple[str, ...], want: tuple[str, ...]) -> torch.Tensor:
    """Put the condition axes in the order of ``want``, of size 1 where there is none."""
    rest = list(range(len(have), values.ndim))
    values = values.permute(*(have.index(v) for v in want if v in have), *rest)
    for axis, name in enumerate(want):
        if name not in have:
            values = values.unsqueeze(axis)
    return values


def _mixed(within: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`sum_k weight_k within[k]`, NaN only where a cell of positive weight is undefined."""
    weight = weight.reshape(-1, *(1,) * (within.ndim - 1))
    return torch.where(weight > 0, weight * within, torch.zeros((), dtype=within.dtype)).sum(0)
