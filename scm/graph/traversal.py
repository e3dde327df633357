"""Walks along the edges of a causal graph: ancestors, districts, an order of the nodes."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = ["ancestors", "descendants", "districts", "topological_order"]


def ancestors(graph: CausalGraph, *nodes: str) -> frozenset[str]:
    """Return ``nodes`` and everything with a directed path to one of them (inclusive).

    Raises:
        GraphError: If a node is unknown.

    Example:
        >>> from scm.graph import CausalGraph
        >>> sorted(CausalGraph("A -> B -> C; D").ancestors("B"))
        ['A', 'B']
    """
    return _reached(graph.require(*nodes), graph.parents)


def descendants(graph: CausalGraph, *nodes: str) -> frozenset[str]:
    """Return ``nodes`` and everything with a directed path from one of them (inclusive).

    Macro-variables are descendants of their micro nodes.

    Raises:
        GraphError: If a node is unknown.

    Example:
        >>> from scm.graph import CausalGraph
        >>> sorted(CausalGraph("A -> B -> C; B => M").descendants("B"))
        ['B', 'C', 'M']
    """
    return _reached(graph.require(*nodes), graph.children)


def topological_order(graph: CausalGraph) -> tuple[str, ...]:
    """Return all nodes, parents before children; declared order breaks ties.

    Example:
        >>> from scm.graph import CausalGraph
        >>> CausalGraph("Y; X -> Y; A").topological_order()
        ('X', 'Y', 'A')
    """
    place = {node: i for i, node in enumerate(graph.nodes)}
    waiting = {node: len(graph.parents(node)) for node in graph.nodes}
    ready = [i for i, node in enumerate(graph.nodes) if not waiting[node]]
    order: list[str] = []
    while ready:
        node = graph.nodes[heapq.heappop(ready)]
        order.append(node)
        for child in graph.children(node):
            waiting[child] -= 1
            if not waiting[child]:
                heapq.heappush(ready, place[child])
    return tuple(order)


def districts(graph: CausalGraph) -> tuple[frozenset[str], ...]:
    """Return the districts (c-components): the nodes that ``<->`` paths connect.

    They partition all nodes that are not constitutive, and come in the declared order
    of their first nodes.

    Example:
        >>> from scm.graph import CausalGraph
        >>> [sorted(d) for d in CausalGraph("X -> M -> Y; X <-> Y").districts()]
        [['X', 'Y'], ['M']]
    """
    found: dict[str, frozenset[str]] = {}
    for node in graph.nodes:
        if node not in found and not graph.is_constitutive(node):
            district = _reached((node,), graph.siblings)
            found |= dict.fromkeys(district, district)
    return tuple(dict.fromkeys(found.values()))


def _reached(start: Iterable[str], step: Callable[[str], Iterable[str]]) -> frozenset[str]:
    """Return ``start`` and all that ``step`` leads to from it."""
    found = set(start)
    todo = list(found)
    while todo:
        new = [node for node in step(todo.pop()) if node not in found]
        found.update(new)
        todo += new
    return frozenset(found)
