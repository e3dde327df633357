r"""Events in several worlds of one unit, as functions of the response types of districts.

World 0 is the factual one. A node that an act does not reach is the same there and in the
world of the act; one that it reaches has a *copy*. Given the copies of its parents, a copy is
decided by the unit's response type, the same in every world. So the probability of an event
is a sum over copies of a product with one factor for each district (Balke and Pearl 1994;
Shpitser and Pearl 2007, on parallel worlds), and each factor is either identified, a c-factor
:math:`Q[C] = P(c \mid do(pa(C)))`, or linear in the unknown distribution of response types.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scm.errors import NotIdentifiedError
from scm.estimators.response_functions import District
from scm.estimators.source import Array
from scm.exact.elimination import Factor, Plan
from scm.graph import CausalGraph
from scm.graph.estimand import Estimand

__all__ = ["CFactors", "Component", "Copy", "CrossWorld", "Numbers", "World"]

Copy = tuple[str, int]
"""A node, and the number of the world that it is in."""


@dataclass(frozen=True)
class World:
    """What is set in a world, and what is then the case: node -> code."""

    do: Mapping[str, int]
    event: Mapping[str, int]


@dataclass(frozen=True)
class Component:
    """Copies of confounded nodes: one factor of the product.

    Attributes:
        district: the district of the graph that they belong to.
        copies: copy -> parent -> the copy of that parent.
    """

    district: frozenset[str]
    copies: Mapping[Copy, Mapping[str, Copy]]

    @property
    def nodes(self) -> frozenset[str]:
        """The nodes that the copies are of."""
        return frozenset(node for node, _ in self.copies)

    def single_world(self) -> dict[str, Copy] | None:
        """Return node -> copy if each node and each parent occurs in one world; else None."""
        found: dict[str, Copy] = {}
        for copy, parents in self.copies.items():
            for node, where in ((copy[0], copy), *parents.items()):
                if found.setdefault(node, where) != where:
                    return None
        return found


class CFactors:
    """The formulas of the c-factors of a graph, found once: for all bootstrap samples.

    Args:
        graph: a graph without latent and constitutive nodes.
    """

    def __init__(self, graph: CausalGraph) -> None:
        self.graph = graph
        self._found: dict[frozenset[str], Estimand | None] = {}

    def estimand(self, nodes: frozenset[str]) -> Estimand | None:
        """Return the formula of Q[nodes] in what is observed, or None if there is none."""
        if nodes not in self._found:
            outer = {p for node in nodes for p in self.graph.parents(node)} - nodes
            needed = self.graph.subgraph(self.graph.ancestors(*nodes))
            try:
                self._found[nodes] = needed.identify(nodes, do=outer)
            except NotIdentifiedError:
                self._found[nodes] = None
        return self._found[nodes]


class Numbers:
    """The c-factors of one law, or of one sample.

    Args:
        factors: the formulas.
        law: what they are evaluated on.
    """

    def __init__(self, factors: CFactors, law: Any) -> None:
        self.factors, self.law = factors, law
        self._found: dict[frozenset[str], tuple[tuple[str, ...], Array] | None] = {}

    def table(self, nodes: Iterable[str]) -> tuple[tuple[str, ...], Array] | None:
        """Return the names of the axes of Q[nodes], and it; None if it is not identified.

        Entries that rest on an empty cell are NaN.
        """
        key = frozenset(nodes)
        if key not in self._found:
            estimand = self.factors.estimand(key)
            if estimand is None:
                self._found[key] = None
            else:
                table = estimand.evaluate(self.law, check=False)
                self._found[key] = table.names, np.asarray(table.values, dtype=np.float64)
        return self._found[key]

    def known(self, component: Component) -> bool:
        """Return whether a component's factor is identified, and no empty cell in it."""
        if component.single_world() is None:
            return False
        found = self.table(component.nodes)
        return found is not None and not bool(np.isnan(found[1]).any())


class CrossWorld:
    """The probability of events in several worlds at once.

    Args:
        graph: a graph without latent and constitutive nodes.
        worlds: the worlds; the first is the factual one, and sets nothing.
        cards: the number of levels of each node.
    """

    def __init__(
        self, graph: CausalGraph, worlds: Sequence[World], cards: Mapping[str, int]
    ) -> None:
        self.graph, self.worlds, self.cards = graph, tuple(worlds), cards
        self._reached = [graph.descendants(*w.do) if w.do else frozenset() for w in self.worlds]
        self.fixed: dict[Copy, int] = {}
        self.possible = True
        for k, world in enumerate(self.worlds):
            for node, code in world.do.items():
                self.fixed[node, k] = code
        wanted = []
        for k, world in enumerate(self.worlds):
            for node, code in world.event.items():
                copy = self.copy(node, k)
                wanted.append(copy)
                self.possible &= self.fixed.setdefault(copy, code) == code
        self.components = self._components(self._needed(wanted))

    def copy(self, node: str, world: int) -> Copy:
        """Return the copy that stands for a node in a world."""
        return (node, world) if node in self._reached[world] else (node, 0)

    def free(self, numbers: Numbers) -> frozenset[frozenset[str]]:
        """Return the districts with a component whose factor is not identified."""
        if not self.possible:
            return frozenset()
        return frozenset(c.district for c in self.components if not numbers.known(c))

    def blocks(self, numbers: Numbers, district: frozenset[str]) -> frozenset[str]:
        """Return the outer parents of all of a district that are in one world throughout."""
        common = frozenset.intersection(*(frozenset(self.graph.parents(n)) for n in district))
        common -= district
        where: dict[str, set[Copy]] = {p: set() for p in common}
        for component in self.components:
            if component.district == district and not numbers.known(component):
                for parents in component.copies.values():
                    for p in common:
                        where[p].add(parents[p])
        return frozenset(p for p in common if len(where[p]) <= 1)

    def coefficients(self, numbers: Numbers, districts: Sequence[District]) -> Array:
        """Return the probability as a function of what is not known.

        Args:
            numbers: the c-factors.
            districts: the districts that are free here or elsewhere in the query; with blocks
                only if there is one.

        Returns:
            ``(*levels of the blocks, *types of each district)``, the types of a district on
            one axis. Its sum against the distributions of types is the probability. Where no
            district is free, a scalar: the probability.
        """
        free = self.free(numbers)
        mine = [d for d in districts if frozenset(d.nodes) in free]
        if not self.possible:
            return np.zeros(())
        cards: dict[Any, int] = {}
        factors = []
        for component in self.components:
            known = numbers.known(component)
            of = next((d for d in mine if frozenset(d.nodes) == component.district), None)
            scoped = self._table(component, numbers) if known else self._indicators(component, of)
            for scope, values in scoped:
                factors.append(self._sliced(scope, values, cards))
        blocks: list[Any] = []
        if mine and mine[0].blocks:
            blocks = [self._block(mine[0], numbers, name) for name in mine[0].blocks]
        keep: list[Any] = [copy for copy in blocks if copy not in self.fixed]
        for district in mine:
            keep += [("type", node) for node in district.nodes]
            cards |= {("type", n): s for n, s in zip(district.nodes, district.shape, strict=True)}
        cards |= {copy: self.cards[copy[0]] for copy in keep if copy[0] != "type"}
        values = Plan(factors, cards, keep, ())(())
        return self._shaped(values, blocks, mine, districts)

    def _shaped(
        self, values: Array, blocks: list[Copy], mine: Sequence[District], all_: Sequence[District]
    ) -> Array:
        """Put fixed blocks on an axis of their own, and an axis of size 1 for other districts."""
        if not mine:
            return values.reshape(())
        types = [d.size if d in mine else 1 for d in all_]
        open_ = [self.cards[name] for name, k in blocks if (name, k) not in self.fixed]
        values = values.reshape(*open_, *types)
        for axis, copy in enumerate(blocks):
            if copy in self.fixed:
                shape = [1] * (values.ndim + 1)
                shape[axis] = self.cards[copy[0]]
                at = (np.arange(self.cards[copy[0]]) == self.fixed[copy]).reshape(shape)
                values = np.expand_dims(values, axis) * at
        return values

    def _block(self, district: District, numbers: Numbers, name: str) -> Copy:
        for component in self.components:
            if component.district == frozenset(district.nodes) and not numbers.known(component):
                return next(iter(component.copies.values()))[name]
        raise AssertionError("a district with blocks is free")

    def _table(
        self, component: Component, numbers: Numbers
    ) -> Iterable[tuple[tuple[Any, ...], Array]]:
        where, found = component.single_world(), numbers.table(component.nodes)
        assert where is not None
        assert found is not None
        names, values = found
        yield tuple(where[name] for name in names), values

    def _indicators(
        self, component: Component, district: District | None
    ) -> Iterable[tuple[tuple[Any, ...], Array]]:
        assert district is not None
        for copy, parents in component.copies.items():
            node = copy[0]
            inputs = tuple(parents[p] for p in district.inputs(node))
            yield (("type", node), *inputs, copy), district.indicator(node)

    def _sliced(self, scope: tuple[Any, ...], values: Array, cards: dict[Any, int]) -> Factor:
        index = tuple(self.fixed.get(v, slice(None)) for v in scope)
        left = tuple(v for v in scope if v not in self.fixed)
        sliced = values[index]
        cards |= dict(zip(left, sliced.shape, strict=True))
        return Factor(left, sliced)

    def _needed(self, wanted: Collection[Copy]) -> dict[Copy, dict[str, Copy]]:
        """Return the copies that the events depend on, each with those of its parents."""
        found: dict[Copy, dict[str, Copy]] = {}
        todo = list(wanted)
        while todo:
            node, k = copy = todo.pop()
            if copy in found or node in self.worlds[k].do:
                continue
            found[copy] = {p: self.copy(p, k) for p in self.graph.parents(node)}
            todo += found[copy].values()
        return found

    def _components(self, needed: Mapping[Copy, Mapping[str, Copy]]) -> tuple[Component, ...]:
        components = []
        for district in self.graph.districts():
            inside = {copy[0] for copy in needed if copy[0] in district}
            if not inside:
                continue
            for part in self.graph.subgraph(inside).districts():
                copies = {copy: parents for copy, parents in needed.items() if copy[0] in part}
                components.append(Component(district, copies))
        return tuple(components)
