r"""d-separation: what a graph says is independent.

A path is blocked by a set of nodes Z if it has a *collider* (``-> M <-``) that is not in Z
and has no descendant in Z, or another node that is in Z. Two nodes are d-separated by Z if
all paths between them are blocked, and then independent given Z in every model of the
graph. A bidirected edge has an arrowhead at both ends: with them the same rule is called
m-separation. A constitutive edge is read as a directed one; since a macro-variable is a
*function* of its micro nodes, more may be independent than the paths say.

References:
    Pearl (1988), Probabilistic reasoning in intelligent systems; Shachter (1998),
    Bayes-ball; Richardson (2003), Markov properties for acyclic directed mixed graphs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from scm.errors import GraphError

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = ["connected", "d_separated", "role"]


def d_separated(
    graph: CausalGraph,
    xs: str | Iterable[str],
    ys: str | Iterable[str],
    given: str | Iterable[str] = (),
) -> bool:
    """Return whether ``given`` blocks every path between ``xs`` and ``ys``.

    Args:
        graph: The graph; any node may be asked about, latent ones too.
        xs: One node or several.
        ys: One node or several.
        given: The nodes conditioned on.

    Raises:
        GraphError: If a node is unknown, or in two of the sets.

    Example:
        >>> from scm.graph import CausalGraph
        >>> graph = CausalGraph("X -> M -> Y; X <-> Y; M -> D")
        >>> graph.d_separated("X", "D", given="M"), graph.d_separated("X", "Y", given="M")
        (True, False)
    """
    a, b, z = role(graph, xs), role(graph, ys), role(graph, given)
    pairs = ((a, b, "xs and ys"), (a, z, "xs and given"), (b, z, "ys and given"))
    for first, second, names in pairs:
        if not first.isdisjoint(second):
            raise GraphError(
                f"{', '.join(sorted(first & second))} is in both {names}: separation is between "
                "different nodes, given others"
            )
    return b.isdisjoint(connected(graph, a, z))


def role(graph: CausalGraph, nodes: str | Iterable[str]) -> frozenset[str]:
    """Return the set of ``nodes``, one or several, if all are in the graph.

    Raises:
        GraphError: If one is unknown.
    """
    return frozenset(graph.require(*([nodes] if isinstance(nodes, str) else nodes)))


def connected(graph: CausalGraph, start: frozenset[str], given: frozenset[str]) -> set[str]:
    """Return the nodes that an open path joins to ``start``: the Bayes ball's way.

    A state is a node and whether the path enters it by an arrowhead.
    """
    above = graph.ancestors(*given) if given else frozenset[str]()
    todo = [(node, False) for node in start]
    seen = set(todo)
    found = set[str]()
    while todo:
        node, by_head = todo.pop()
        if node not in given:
            found.add(node)
        next_states: list[tuple[str, bool]] = []
        if node not in given or node in start:  # on as a non-collider
            next_states += [(child, True) for child in graph.children(node)]
            if not by_head:
                next_states += [(parent, False) for parent in graph.parents(node)]
                next_states += [(sibling, True) for sibling in graph.siblings(node)]
        if by_head and node in above:  # on as a collider
            next_states += [(parent, False) for parent in graph.parents(node)]
            next_states += [(sibling, True) for sibling in graph.siblings(node)]
        for state in next_states:
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return found
