"""Graphs made from a graph: surgery, subgraphs, new names, latent nodes projected out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import combinations, product
from typing import TYPE_CHECKING

from scm.errors import GraphError
from scm.graph.structure import Pair, Structure

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = ["latent_projection", "rename", "subgraph", "without_incoming", "without_outgoing"]


def without_incoming(graph: CausalGraph, *nodes: str) -> CausalGraph:
    r"""Return :math:`G_{\overline X}`, the graph of do(X): nothing else reaches ``nodes``.

    Causal edges into the nodes and bidirected edges at them are removed. Constitutive
    edges stay: a macro-variable is a function of its micro nodes in every world.

    Raises:
        GraphError: If a node is unknown.

    Example:
        >>> from scm.graph import CausalGraph
        >>> CausalGraph("Z -> X -> Y; X <-> Y").without_incoming("X")
        CausalGraph('Z, X, Y; X -> Y')
    """
    cut = frozenset(graph.require(*nodes))
    return type(graph)(
        replace(
            graph.structure,
            edges=tuple((a, b) for a, b in graph.edges if b not in cut),
            bidirected=tuple(pair for pair in graph.bidirected if cut.isdisjoint(pair)),
        )
    )


def without_outgoing(graph: CausalGraph, *nodes: str) -> CausalGraph:
    r"""Return :math:`G_{\underline X}`: the graph without causal edges out of ``nodes``.

    Bidirected and constitutive edges stay.

    Raises:
        GraphError: If a node is unknown.

    Example:
        >>> from scm.graph import CausalGraph
        >>> CausalGraph("Z -> X -> Y; X <-> Y").without_outgoing("X")
        CausalGraph('Z -> X; X <-> Y')
    """
    cut = frozenset(graph.require(*nodes))
    edges = tuple((a, b) for a, b in graph.edges if a not in cut)
    return type(graph)(replace(graph.structure, edges=edges))


def subgraph(graph: CausalGraph, nodes: Iterable[str]) -> CausalGraph:
    """Return the induced subgraph: ``nodes``, in declared order, and the edges among them.

    A macro-variable kept without any of its micro nodes is an ordinary node there.

    Raises:
        GraphError: If a node is unknown.

    Example:
        >>> from scm.graph import CausalGraph
        >>> CausalGraph("Z -> X -> Y; X <-> Y").subgraph({"X", "Y"})
        CausalGraph('X -> Y; X <-> Y')
    """
    keep = frozenset(graph.require(*([nodes] if isinstance(nodes, str) else nodes)))

    def among(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
        return tuple(pair for pair in pairs if keep.issuperset(pair))

    return type(graph)(
        Structure(
            nodes=tuple(node for node in graph.nodes if node in keep),
            edges=among(graph.edges),
            bidirected=among(graph.bidirected),
            constitutive=among(graph.constitutive),
            latent=tuple(node for node in graph.latent if node in keep),
        )
    )


def rename(graph: CausalGraph, mapping: Mapping[str, str]) -> CausalGraph:
    """Return the same graph with nodes called ``mapping[node]`` where that is given.

    Raises:
        GraphError: If a node is unknown, or two nodes would have one name.

    Example:
        >>> from scm.graph import CausalGraph
        >>> CausalGraph("X -> Y", latent=["X"]).rename({"X": "age (y)"})
        CausalGraph('"age (y)" -> Y', latent=('age (y)',))
    """
    graph.require(*mapping)
    names = {node: mapping.get(node, node) for node in graph.nodes}
    owner: dict[str, str] = {}
    for node, name in names.items():
        if name in owner:
            raise GraphError(
                f"{owner[name]!r} and {node!r} would both be called {name!r}; "
                "give each node a name of its own"
            )
        owner[name] = node

    def renamed(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
        return tuple((names[a], names[b]) for a, b in pairs)

    return type(graph)(
        Structure(
            nodes=tuple(names.values()),
            edges=renamed(graph.edges),
            bidirected=renamed(graph.bidirected),
            constitutive=renamed(graph.constitutive),
            latent=tuple(names[node] for node in graph.latent),
        )
    )


def latent_projection(graph: CausalGraph) -> CausalGraph:
    """Return the graph over the observed nodes: latent ones become arrows and ``<->``.

    ``A -> B`` stays or appears where a directed path leads from A to B through latent
    nodes alone. ``A <-> B`` stays or appears where a path between them, with arrowheads
    at both ends, has only latent nodes inside and no collider: a latent common cause, or
    a bidirected edge, that reaches both through latent nodes. A macro-variable stays
    constitutive if all its micro nodes are observed; otherwise its parents are causes.

    References:
        Verma (1993), Graphical aspects of causal models; Tian & Pearl (2002), On the
        testable implications of causal models with hidden variables, definition 5.

    Example:
        >>> from scm.graph import CausalGraph
        >>> CausalGraph("C -> Z, Y; Z, F -> X; X -> Y", latent=["C"]).latent_projection()
        CausalGraph('Z, Y, F, X; X -> Y; Z, F -> X; Z <-> Y')
        >>> CausalGraph("A -> L -> B, C", latent=["L"]).latent_projection()
        CausalGraph('A -> B, C; B <-> C')
    """
    latent = frozenset(graph.latent)
    order = graph.topological_order()
    sources: dict[str, dict[str, None]] = {}
    for node in order:
        sources[node] = {}
        for parent in graph.parents(node):
            sources[node] |= sources[parent] if parent in latent else {parent: None}
    reached: dict[str, frozenset[str]] = {}
    for node in reversed(order):
        below = (reached[child] for child in graph.children(node))
        reached[node] = frozenset().union(*below) if node in latent else frozenset({node})

    confounded = [pair for node in graph.latent for pair in combinations(reached[node], 2)]
    for a, b in graph.bidirected:
        confounded += [pair for pair in product(reached[a], reached[b]) if pair[0] != pair[1]]
    constitutive = tuple(
        (i, macro)
        for i, macro in graph.constitutive
        if macro not in latent and latent.isdisjoint(graph.micro(macro))
    )
    edges = [(cause, node) for node in graph.observed for cause in sources[node]]
    return type(graph)(
        Structure(
            nodes=graph.observed,
            edges=tuple(edge for edge in edges if edge not in frozenset(constitutive)),
            bidirected=tuple(confounded),
            constitutive=constitutive,
        )
    )
