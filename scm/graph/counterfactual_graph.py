r"""Counterfactual graphs: several worlds of one model, with equal variables merged.

Each world has a copy of every node; the copies share the noise of the model. Two copies of
a node are one variable where all their parents agree: the same variables, or variables that
take the same value, by an act or by the events asked about.

References:
    Shpitser & Pearl (2008), Complete identification methods for the causal hierarchy, JMLR
    9, figure 12 (make-cg) and lemmas 24 and 25.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from scm.graph.expression import Symbol
from scm.graph.grammar import show_name
from scm.graph.structure import Pair, Structure

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = ["CounterfactualGraph", "Events", "Variable", "make_counterfactual_graph"]

World = frozenset[Symbol]


@dataclass(frozen=True)
class Variable:
    """A node in a world: what it would have been under the acts of that world.

    Example:
        >>> print(Variable("Y", frozenset({Symbol("X", level=1)})))
        Y[X=1]
    """

    name: str
    world: World = frozenset()

    @property
    def act(self) -> Symbol | None:
        """The value that this world sets the node to, if it does."""
        return next((symbol for symbol in self.world if symbol.name == self.name), None)

    def __str__(self) -> str:
        acts = ", ".join(sorted(map(str, self.world)))
        return show_name(self.name) + (f"[{acts}]" if acts else "")


Events = dict[Variable, Symbol]
"""A conjunction of events: variable -> its value."""


@dataclass(frozen=True)
class CounterfactualGraph:
    """The graph G' of some events, and the events gamma' with merged variables renamed.

    Args:
        graph: A graph over the texts of the variables; acts are not in it.
        variables: Text -> variable, of all nodes of ``graph``.
        parents: Variable -> for each parent in the causal graph, its variable and, where an
            act or an event fixes it, its value.
        asked: gamma.
        events: gamma', or None if the events contradict each other.
        renamed: Each variable asked about -> the variable that it was merged into.
    """

    graph: CausalGraph
    variables: Mapping[str, Variable]
    parents: Mapping[Variable, tuple[tuple[Variable, Symbol | None], ...]]
    asked: Events
    events: Events | None
    renamed: Mapping[Variable, Variable]


def make_counterfactual_graph(
    graph: CausalGraph, events: Events, known: Events | None = None
) -> CounterfactualGraph:
    """Return make-cg(G, gamma): the counterfactual graph of ``events``.

    Args:
        graph: A graph of observed nodes, with causal and bidirected edges.
        events: What is asked about.
        known: The events whose values may be used to merge; all of them by default.

    Example:
        >>> from scm.graph import CausalGraph
        >>> x = Symbol("X", level=1)
        >>> events = {Variable("Y", frozenset({x})): Symbol("Y", level=1), Variable("X"): x}
        >>> made = make_counterfactual_graph(CausalGraph("X -> Y; X <-> Y"), events)
        >>> print(made.graph)  # X is 1, so Y[X=1] is Y
        X -> Y; X <-> Y
    """
    worlds = sorted({v.world for v in events}, key=lambda w: (len(w), sorted(map(str, w))))
    into: dict[Variable, Variable] = {}
    found: Events | None = dict(events)
    fixed = dict(events if known is None else known)
    kept: dict[str, list[Variable]] = {}

    def at(variable: Variable) -> tuple[Variable, Symbol | None]:
        """Return what a variable was merged into, and its value if that is known."""
        rest = into.get(variable, variable)
        return rest, variable.act or fixed.get(rest)

    def parents(variable: Variable) -> tuple[tuple[Variable, Symbol | None], ...]:
        return tuple(at(Variable(p, variable.world)) for p in graph.parents(variable.name))

    def equal(a: Variable, b: Variable) -> bool:
        pairs = zip(parents(a), parents(b), strict=True)
        return all(p == q or (v is not None and v == w) for (p, v), (q, w) in pairs)

    for name in graph.topological_order():
        kept[name] = []
        for variable in (Variable(name, world) for world in worlds):
            if variable.act is not None:
                continue
            same = next((other for other in kept[name] if equal(variable, other)), None)
            if same is None:
                kept[name].append(variable)
                continue
            into[variable] = same
            if variable in fixed:
                fixed.setdefault(same, fixed[variable])
            if found is not None and variable in found:
                value = found.pop(variable)
                if found.setdefault(same, value) != value:
                    found = None
    nodes = [variable for of in kept.values() for variable in of]
    above = {v: parents(v) for v in nodes}
    drawn = _drawn(graph, kept, above)
    if found is not None:
        drawn = drawn.subgraph(drawn.ancestors(*map(str, found)))
    variables = {str(v): v for v in nodes if str(v) in drawn}
    renamed = {v: into.get(v, v) for v in events}
    return CounterfactualGraph(drawn, variables, above, events, found, renamed)


def _drawn(
    graph: CausalGraph,
    kept: Mapping[str, list[Variable]],
    above: Mapping[Variable, tuple[tuple[Variable, Symbol | None], ...]],
) -> CausalGraph:
    """Return the graph of the variables; copies of a node share its noise, and are confounded."""
    edges = tuple(
        (str(parent), str(v)) for v, found in above.items() for parent, _ in found
        if parent.act is None
    )  # fmt: skip
    return type(graph)(
        Structure(
            nodes=tuple(map(str, above)),
            edges=edges,
            bidirected=tuple(_confounded(graph, kept)),
        )
    )


def _confounded(graph: CausalGraph, kept: Mapping[str, list[Variable]]) -> Iterator[Pair]:
    for copies in kept.values():
        yield from _pairs(combinations(copies, 2))
    for a, b in graph.bidirected:
        yield from _pairs((v, w) for v in kept[a] for w in kept[b])


def _pairs(pairs: Iterable[tuple[Variable, Variable]]) -> Iterator[Pair]:
    return ((str(a), str(b)) for a, b in pairs)
