"""Minimal separating sets, all of them, from the moral graph of the ancestors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = ["minimal_separators"]

_Neighbours = dict[str, set[str]]

_X, _Y = "\0x", "\0y"  # both ends of the separation, each contracted to one node


def minimal_separators(
    graph: CausalGraph, xs: Iterable[str], ys: Iterable[str], allowed: Iterable[str]
) -> Iterator[frozenset[str]]:
    """Yield every inclusion-minimal subset of ``allowed`` that d-separates ``xs`` and ``ys``.

    A minimal separator lies among the ancestors of the two sets, where d-separation is
    separation in the moral graph (Lauritzen et al. 1990). There, nodes that may not be used
    are eliminated, their neighbours being joined; and from the minimal separator next to one
    end all others follow, each in polynomial time (Kloks & Kratsch 1998).

    Args:
        graph: The graph.
        xs: One side.
        ys: The other side; disjoint from it.
        allowed: The nodes that may stand in a separator.

    Example:
        >>> from scm.graph import CausalGraph
        >>> graph = CausalGraph("X <- A -> B -> Y; X <- C -> Y")
        >>> for found in minimal_separators(graph, ["X"], ["Y"], ["A", "B", "C"]):
        ...     print(sorted(found))
        ['A', 'C']
        ['B', 'C']
    """
    near = _contracted(_moral(graph, {*xs, *ys}), set(xs), set(ys))
    _eliminate(near, set(near) - {_X, _Y} - set(allowed))
    if _Y in near[_X]:
        return
    first = _close_to(near, _Y, near[_X])
    todo, seen = [first], {first}
    while todo:
        separator = todo.pop()
        yield separator
        for node in sorted(separator):
            if node in near[_Y]:
                continue
            following = _close_to(near, _Y, separator | near[node])
            if following not in seen:
                seen.add(following)
                todo.append(following)


def _close_to(near: _Neighbours, end: str, cut: Iterable[str]) -> frozenset[str]:
    """Return the nodes of ``cut`` next to the component of ``end`` that is left without it."""
    cut = set(cut)
    found, todo, border = {end}, [end], set[str]()
    while todo:
        for node in near[todo.pop()]:
            if node in cut:
                border.add(node)
            elif node not in found:
                found.add(node)
                todo.append(node)
    return frozenset(border - {_X, _Y})


def _moral(graph: CausalGraph, ends: set[str]) -> _Neighbours:
    """Return the moral graph of the ancestors: each district and its parents are a clique."""
    ancestral = graph.subgraph(graph.ancestors(*ends))
    near: _Neighbours = {node: set() for node in ancestral}
    macros = [frozenset({node}) for node in ancestral if ancestral.is_constitutive(node)]
    for district in (*ancestral.districts(), *macros):
        clique = district.union(*(ancestral.parents(node) for node in district))
        for a, b in combinations(clique, 2):
            near[a].add(b)
            near[b].add(a)
    return near


def _contracted(near: _Neighbours, xs: set[str], ys: set[str]) -> _Neighbours:
    name = dict.fromkeys(xs, _X) | dict.fromkeys(ys, _Y)
    result: _Neighbours = {_X: set(), _Y: set()}
    for node, others in near.items():
        result.setdefault(name.get(node, node), set()).update(name.get(n, n) for n in others)
    for node, others in result.items():
        others.discard(node)
    return result


def _eliminate(near: _Neighbours, nodes: Iterable[str]) -> None:
    """Remove nodes and join their neighbours: what separates without them stays the same."""
    for node in nodes:
        others = near.pop(node)
        for other in others:
            near[other] |= others - {other}
            near[other].discard(node)
