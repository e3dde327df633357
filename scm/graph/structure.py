"""What a causal graph is made of, as plain data, and the rules it has to obey."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from scm.errors import GraphError, nearest

__all__ = ["Pair", "Structure", "checked", "joined"]

Pair: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Structure:
    """Nodes and the three kinds of edge, in the order in which they were declared.

    Args:
        nodes: Every node, once.
        edges: Causal edges, (cause, effect).
        bidirected: Confounded pairs; the order within a pair means nothing.
        constitutive: Constitutive edges, (micro, macro).
        latent: The unobserved nodes.
    """

    nodes: tuple[str, ...] = ()
    edges: tuple[Pair, ...] = ()
    bidirected: tuple[Pair, ...] = ()
    constitutive: tuple[Pair, ...] = ()
    latent: tuple[str, ...] = ()


def joined(parts: Iterable[Structure]) -> Structure:
    """Return the union of ``parts``, in their order.

    Example:
        >>> joined([Structure(("A",)), Structure(("B",))]).nodes
        ('A', 'B')
    """
    parts = list(parts)
    return Structure(
        nodes=tuple(node for part in parts for node in part.nodes),
        edges=tuple(pair for part in parts for pair in part.edges),
        bidirected=tuple(pair for part in parts for pair in part.bidirected),
        constitutive=tuple(pair for part in parts for pair in part.constitutive),
        latent=tuple(node for part in parts for node in part.latent),
    )


def checked(structure: Structure) -> Structure:
    """Return ``structure`` without repetitions, or raise where it is not a causal graph.

    Raises:
        GraphError: At an unknown or empty name, a self loop, an edge of two kinds, a
            cycle, or a constitutive node with other parents, effects or confounders.

    Example:
        >>> checked(Structure(("A", "B"), bidirected=(("B", "A"), ("A", "B")))).bidirected
        (('A', 'B'),)
        >>> checked(Structure(("A", "B"), edges=(("A", "B"), ("B", "A"))))
        Traceback (most recent call last):
        scm.errors.GraphError: the graph has a cycle: A -> B -> A. ...
    """
    nodes = tuple(dict.fromkeys(structure.nodes))
    names: tuple[object, ...] = nodes
    for name in names:
        if not isinstance(name, str) or not name:
            raise GraphError(f"a node is named by a non-empty string, not {name!r}")
    place = {node: i for i, node in enumerate(nodes)}
    pairs = (*structure.edges, *structure.bidirected, *structure.constitutive)
    for node in (*structure.latent, *(end for pair in pairs for end in pair)):
        if node not in place:
            raise GraphError(f"the graph has no node {node!r}; {nearest(node, nodes)}")
    result = Structure(
        nodes=nodes,
        edges=tuple(dict.fromkeys(structure.edges)),
        bidirected=_undirected(structure.bidirected, place),
        constitutive=tuple(dict.fromkeys(structure.constitutive)),
        latent=tuple(sorted(set(structure.latent), key=place.__getitem__)),
    )
    _refuse_loops(result)
    _refuse_cycles(result)
    _refuse_causal_macros(result)
    return result


def _undirected(pairs: Iterable[Pair], place: dict[str, int]) -> tuple[Pair, ...]:
    """Order the ends of each pair, and the pairs, by the place of their nodes."""
    ordered = {(a, b) if place[a] <= place[b] else (b, a) for a, b in pairs}
    return tuple(sorted(ordered, key=lambda pair: (place[pair[0]], place[pair[1]])))


def _refuse_loops(structure: Structure) -> None:
    for arrow, pairs in (
        ("->", structure.edges),
        ("=>", structure.constitutive),
        ("<->", structure.bidirected),
    ):
        for a, b in pairs:
            if a == b:
                raise GraphError(
                    f"self loop {a} {arrow} {b}: an edge joins two different nodes. "
                    "For a process in time, name each step (X1 -> X2 -> X3)."
                )
    for a, b in structure.edges:
        if (a, b) in structure.constitutive:
            raise GraphError(
                f"both {a} -> {b} and {a} => {b} are declared. Keep {a} => {b} if {b} is a "
                f"function of {a}, or {a} -> {b} if {a} causes {b}."
            )


def _refuse_cycles(structure: Structure) -> None:
    arrow = dict.fromkeys(structure.edges, "->") | dict.fromkeys(structure.constitutive, "=>")
    parents: dict[str, list[str]] = {node: [] for node in structure.nodes}
    children: dict[str, list[str]] = {node: [] for node in structure.nodes}
    for a, b in arrow:
        parents[b].append(a)
        children[a].append(b)
    waiting = {node: len(parents[node]) for node in structure.nodes}
    ready = [node for node in structure.nodes if not waiting[node]]
    while ready:
        node = ready.pop()
        del waiting[node]
        for child in children[node]:
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    if not waiting:
        return
    walk = [next(iter(waiting))]
    while walk[-1] not in walk[:-1]:
        walk.append(next(p for p in parents[walk[-1]] if p in waiting))
    cycle = walk[walk.index(walk[-1]) : -1][::-1]
    first = cycle.index(min(cycle, key=structure.nodes.index))
    cycle = [*cycle[first:], *cycle[:first], cycle[first]]
    text = cycle[0] + "".join(f" {arrow[pair]} {pair[1]}" for pair in pairwise(cycle))
    raise GraphError(
        f"the graph has a cycle: {text}. Remove or turn one of its edges; "
        "for feedback in time, name each step (A1 -> B1 -> A2)."
    )


def _refuse_causal_macros(structure: Structure) -> None:
    micro = {macro: i for i, macro in reversed(structure.constitutive)}
    for i, macro in structure.constitutive:
        if i in micro:
            raise GraphError(
                f"{i} => {macro}, but {i} is itself constitutive ({micro[i]} => {i}). "
                f"A function of a function is a function: write {micro[i]} => {macro}."
            )
    for a, b in structure.edges:
        if b in micro:
            raise GraphError(
                f"{a} -> {b}, but {b} is constitutive ({micro[b]} => {b}): a function of "
                f"{micro[b]} has no other causes. Write {a} -> {micro[b]}, or {micro[b]} -> {b}."
            )
        if a in micro:
            raise GraphError(
                f"{a} -> {b}, but {a} is constitutive ({micro[a]} => {a}): it has no effects "
                f"of its own. Write {micro[a]} -> {b}, or {micro[a]} -> {a}."
            )
    for pair in structure.bidirected:
        for end in pair:
            if end in micro:
                raise GraphError(
                    f"{pair[0]} <-> {pair[1]}, but {end} is constitutive ({micro[end]} => {end}): "
                    f"only {micro[end]} can be confounded. Put the edge at {micro[end]}."
                )
