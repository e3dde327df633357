r"""Causal graphs of other libraries: causal-learn, lingam and dowhy.

| library | its form | edges |
|---|---|---|
| causal-learn | `GeneralGraph` | `-->`, `<->`; `---` and `o` say that a direction is unknown |
| lingam | adjacency matrix | `B[i, j] != 0`: j causes i; NaN: confounded |
| dowhy | `CausalModel`, networkx, GML | directed; `observed="no"` marks latent nodes |

What a library found is an equivalence class as often as a graph. An edge whose direction it
does not know is refused, with its name: a `CausalGraph` is one graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scm.errors import GraphError, ScmError
from scm.graph import CausalGraph
from scm.graph.structure import Structure

__all__ = [
    "from_causallearn",
    "from_dowhy",
    "from_lingam",
    "to_causallearn",
    "to_dowhy",
    "to_lingam",
]

Array = NDArray[np.float64]


def from_causallearn(graph: Any) -> CausalGraph:
    """Read a `GeneralGraph` of causal-learn, or what its search methods return.

    Edges `-->` are causal and `<->` confounded; nodes of the type LATENT are latent.

    Args:
        graph: A `GeneralGraph` or `Dag`, or the result of ``pc`` (its ``G``), ``ges`` (its
            ``"G"``) or ``fci`` (its first part).

    Raises:
        ScmError: If it is none of these.
        GraphError: If an edge has no direction (`---`, in a CPDAG) or a circle (`o->`, in a
            PAG), or the graph has a cycle.

    Example:
        >>> from causallearn.search.ConstraintBased.PC import pc  # doctest: +SKIP
        >>> from_causallearn(pc(data, node_names=["A", "B", "C"]))  # doctest: +SKIP
        CausalGraph('A -> C; B -> C')
        >>> from_causallearn([[0, 1], [0, 0]])
        Traceback (most recent call last):
        scm.errors.ScmError: ...GeneralGraph...
    """
    found = _general(graph)
    edges: list[tuple[str, str]] = []
    confounded: list[tuple[str, str]] = []
    open_edges: list[str] = []
    for edge in found.get_graph_edges():
        a, b = edge.get_node1().get_name(), edge.get_node2().get_name()
        ends = (edge.get_endpoint1().name, edge.get_endpoint2().name)
        if ends == ("TAIL", "ARROW"):
            edges.append((a, b))
        elif ends == ("ARROW", "TAIL"):
            edges.append((b, a))
        elif ends == ("ARROW", "ARROW"):
            confounded.append((a, b))
        else:
            open_edges.append(f"{a} {_mark(ends[0], '<')}-{_mark(ends[1], '>')} {b}")
    if open_edges:
        circles = any("o" in edge.split(" ")[1] for edge in open_edges)
        kind, why = (
            ("PAG", "o stands for a head or a tail that the data do not tell")
            if circles
            else ("CPDAG", "the data do not tell its direction")
        )
        raise GraphError(
            f"{len(open_edges)} edges are not directed: {', '.join(open_edges[:5])}. This is a "
            f"{kind}, a class of graphs, where {why}. Direct them by what you know "
            "(BackgroundKnowledge of causal-learn, or graph.add_directed_edge) and read one graph"
        )
    nodes = found.get_nodes()
    latent = tuple(n.get_name() for n in nodes if n.get_node_type().name == "LATENT")
    names = tuple(n.get_name() for n in nodes)
    return CausalGraph(Structure(names, tuple(edges), tuple(confounded), latent=latent))


def to_causallearn(graph: CausalGraph) -> Any:
    """Return a `GeneralGraph` of causal-learn, with `<->` where the graph has it.

    Raises:
        ScmError: If causal-learn is not installed.
        GraphError: If the graph has constitutive edges.

    Example:
        >>> graph = to_causallearn(CausalGraph("A -> B; A <-> B"))  # doctest: +SKIP
        >>> to_causallearn(CausalGraph("I => C"))
        Traceback (most recent call last):
        scm.errors.GraphError: ...I => C...
    """
    _refuse_constitutive(graph, "causal-learn")
    try:
        from causallearn.graph.Edge import Edge
        from causallearn.graph.Endpoint import Endpoint
        from causallearn.graph.GeneralGraph import GeneralGraph
        from causallearn.graph.GraphNode import GraphNode
        from causallearn.graph.NodeType import NodeType
    except ImportError as error:
        raise ScmError(
            "to_causallearn needs causal-learn, which is not installed: pip install causal-learn"
        ) from error
    nodes = {name: GraphNode(name) for name in graph.nodes}
    for name in graph.latent:
        nodes[name].set_node_type(NodeType.LATENT)
    result = GeneralGraph(list(nodes.values()))
    for a, b in graph.bidirected:  # causal-learn adds a --> b beside a <-> b, and not after it
        result.add_edge(Edge(nodes[a], nodes[b], Endpoint.ARROW, Endpoint.ARROW))
    for a, b in graph.edges:
        result.add_edge(Edge(nodes[a], nodes[b], Endpoint.TAIL, Endpoint.ARROW))
    return result


def from_lingam(adjacency: Any, names: Sequence[str] | None = None) -> CausalGraph:
    """Read an adjacency matrix of lingam: `B[i, j] != 0` where j causes i.

    A pair of NaN, as RCD and BottomUpParceLiNGAM give it, is confounded.

    Args:
        adjacency: The matrix ``(d, d)``, or a fitted model with ``adjacency_matrix_``.
        names: Names of the variables; ``X0, X1, ...`` by default.

    Raises:
        GraphError: If it is not a square matrix, the names do not fit, a NaN stands alone, or
            there is a cycle.

    Example:
        >>> from_lingam([[0.0, 0.0], [1.5, 0.0]], names=["cause", "effect"])
        CausalGraph('cause -> effect')
    """
    matrix = _matrix(getattr(adjacency, "adjacency_matrix_", adjacency))
    labels = [f"X{i}" for i in range(len(matrix))] if names is None else list(names)
    if len(labels) != len(matrix) or len(set(labels)) != len(labels):
        raise GraphError(
            f"{len(labels)} names were given for a matrix of {len(matrix)} variables, "
            f"{labels[:10]}; expected one for each, all different"
        )
    open_pairs = np.isnan(matrix)
    if (open_pairs != open_pairs.T).any():
        i, j = np.argwhere(open_pairs & ~open_pairs.T)[0]
        raise GraphError(
            f"B[{i}, {j}] is NaN and B[{j}, {i}] is not; lingam marks a confounded pair with NaN "
            "at both"
        )
    confounded = [(labels[j], labels[i]) for i, j in np.argwhere(open_pairs) if j < i]
    edges = [(labels[j], labels[i]) for i, j in np.argwhere((matrix != 0) & ~open_pairs)]
    return CausalGraph(Structure(tuple(labels), tuple(edges), tuple(confounded)))


def to_lingam(graph: CausalGraph, weights: Any = None) -> Array:
    """Return the adjacency matrix ``(d, d)`` of lingam: `B[i, j]` is the weight of j -> i.

    Args:
        graph: The graph; a confounded pair is NaN at both places.
        weights: ``(cause, effect)`` -> weight; 1 by default.

    Raises:
        GraphError: If the graph has constitutive edges, or an edge beside a `<->`; or weights
            are given for what is no edge.

    Example:
        >>> to_lingam(CausalGraph("A -> B"), weights={("A", "B"): 0.5})
        array([[0. , 0. ],
               [0.5, 0. ]])
    """
    _refuse_constitutive(graph, "lingam")
    given = dict(weights or {})
    unknown = [pair for pair in given if pair not in graph.edges]
    if unknown:
        raise GraphError(f"a weight was given for {unknown[0]}, which is no edge of the graph")
    place = {node: i for i, node in enumerate(graph.nodes)}
    matrix = np.zeros((len(place), len(place)))
    for a, b in graph.edges:
        matrix[place[b], place[a]] = given.get((a, b), 1.0)
    for a, b in graph.bidirected:
        if matrix[place[a], place[b]] or matrix[place[b], place[a]]:
            raise GraphError(
                f"{a} and {b} have an edge and are confounded, and a matrix holds one of the two; "
                f"name the common cause: '{_cause(graph, a, b)} -> {a}, {b}'"
            )
        matrix[place[a], place[b]] = matrix[place[b], place[a]] = np.nan
    return matrix


def from_dowhy(graph: Any) -> CausalGraph:
    """Read the graph of dowhy: a `CausalModel`, a model of ``dowhy.gcm``, networkx, or GML text.

    A node with ``observed="no"`` is latent.

    Raises:
        ScmError: If it is none of these.
        GraphError: If the text is no GML, or the graph is undirected or has a cycle.

    Example:
        >>> from_dowhy('graph [directed 1 node [id 0 label "X"] node [id 1 label "Y"] '
        ...            'edge [source 0 target 1]]')
        CausalGraph('X -> Y')
    """
    import networkx as nx

    if isinstance(graph, str):
        try:
            # As dowhy writes it, a node's id may be its label.
            found = nx.parse_gml(graph.replace("\n", " "))
        except nx.NetworkXError as error:
            raise GraphError(
                f"this is no GML: {error}; dowhy's text begins with 'graph [directed 1 ...'. For "
                "DOT there is CausalGraph.from_dot"
            ) from error
    else:
        found = graph
        for attribute in ("_graph", "_graph", "graph"):  # CausalModel -> CausalGraph -> networkx
            if not isinstance(found, nx.Graph):
                found = getattr(found, attribute, found)
    if not isinstance(found, nx.Graph):
        raise ScmError(
            f"a {type(graph).__name__} was given; expected a dowhy CausalModel, a model of "
            "dowhy.gcm, a networkx graph, or GML text"
        )
    plain = found.copy()
    for _, look in plain.nodes(data=True):
        if str(look.get("observed", "yes")).strip('"').lower() == "no":
            look["latent"] = True
    return CausalGraph.from_networkx(plain)


def to_dowhy(graph: CausalGraph) -> Any:
    """Return a `networkx.DiGraph` for ``dowhy.CausalModel(..., graph=)`` and ``dowhy.gcm``.

    A confounded pair becomes a latent node, `U_AB -> A, B`, which dowhy understands by its
    absence from the data.

    Raises:
        GraphError: If the graph has constitutive edges.

    Example:
        >>> list(to_dowhy(CausalGraph("X -> Y; X <-> Y")).edges)
        [('X', 'Y'), ('U_XY', 'X'), ('U_XY', 'Y')]
    """
    import networkx as nx

    _refuse_constitutive(graph, "dowhy")
    result = nx.DiGraph()
    for node in graph.nodes:
        result.add_node(node, observed="no" if node in graph.latent else "yes")
    result.add_edges_from(graph.edges)
    for a, b in graph.bidirected:
        cause = _cause(graph, a, b)
        result.add_node(cause, observed="no")
        result.add_edges_from([(cause, a), (cause, b)])
    return result


def _general(graph: Any) -> Any:
    """Find the `GeneralGraph` in a result of causal-learn's search methods."""
    if isinstance(graph, dict):
        graph = graph.get("G", graph)
    elif isinstance(graph, tuple) and graph:
        graph = graph[0]
    graph = getattr(graph, "G", graph)
    if not (hasattr(graph, "get_graph_edges") and hasattr(graph, "get_nodes")):
        raise ScmError(
            f"a {type(graph).__name__} was given; expected a GeneralGraph of causal-learn, or what "
            "pc, ges or fci return"
        )
    return graph


def _mark(end: str, arrow: str) -> str:
    return {"TAIL": "-", "ARROW": arrow, "CIRCLE": "o"}.get(end, "*")


def _matrix(adjacency: Any) -> Array:
    try:
        matrix = np.asarray(adjacency, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise GraphError(
            f"{adjacency!r:.60} was given; expected an adjacency matrix of numbers, (d, d)"
        ) from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise GraphError(
            f"a matrix of shape {matrix.shape} was given; expected a square one, (d, d)"
        )
    return matrix


def _cause(graph: CausalGraph, a: str, b: str) -> str:
    """Return a name for the common cause of a pair that the graph does not have yet."""
    name = f"U_{a}{b}"
    while name in graph:
        name += "_"
    return name


def _refuse_constitutive(graph: CausalGraph, library: str) -> None:
    if graph.constitutive:
        i, macro = graph.constitutive[0]
        kept: Iterable[str] = (n for n in graph if not graph.is_constitutive(n))
        raise GraphError(
            f"{library} has no constitutive edges, and the graph has {i} => {macro}; leave the "
            f"macro-variables out first: graph.subgraph({list(kept)})"
        )
