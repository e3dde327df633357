"""Causal graphs to and from networkx, dagitty and DOT, and to LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from scm.errors import GraphError, nearest
from scm.graph.dot_syntax import Statement, read
from scm.graph.grammar import quoted
from scm.graph.layout import layout
from scm.graph.routing import routes, segments
from scm.graph.structure import Pair, Structure

if TYPE_CHECKING:
    import networkx as nx

    from scm.graph.causal_graph import CausalGraph

__all__ = [
    "from_dagitty",
    "from_dot",
    "from_networkx",
    "to_dagitty",
    "to_dot",
    "to_latex",
    "to_networkx",
]

KINDS = ("causal", "confounded", "constitutive")
YES = frozenset({"true", "yes", "1"})


def to_networkx(graph: CausalGraph) -> nx.MultiDiGraph:
    """Return a `networkx.MultiDiGraph`.

    Each edge has ``kind``: ``"causal"``, ``"confounded"`` or ``"constitutive"``. A
    confounded pair is one edge, from the node declared first. Each node has ``latent``.

    Example:
        >>> from scm.graph import CausalGraph
        >>> list(CausalGraph("X -> Y; Y <-> X").to_networkx().edges(data="kind"))
        [('X', 'Y', 'causal'), ('X', 'Y', 'confounded')]
    """
    import networkx as nx

    result = nx.MultiDiGraph()
    for node in graph.nodes:
        result.add_node(node, latent=node in graph.latent)
    result.add_edges_from(graph.edges, kind="causal")
    result.add_edges_from(graph.bidirected, kind="confounded")
    result.add_edges_from(graph.constitutive, kind="constitutive")
    return result


def from_networkx(cls: type[CausalGraph], graph: nx.DiGraph) -> CausalGraph:
    """Read a directed networkx graph: the attributes of `to_networkx`, all of them optional.

    Edges without ``kind`` are causal; nodes without ``latent`` are observed.

    Raises:
        GraphError: If the graph is undirected or has a cycle, a node is not a string, or a
            kind is unknown.

    Example:
        >>> import networkx as nx
        >>> from scm.graph import CausalGraph
        >>> CausalGraph.from_networkx(nx.DiGraph([("A", "B"), ("B", "C")]))
        CausalGraph('A -> B; B -> C')
    """
    if not graph.is_directed():
        raise GraphError(
            "expected a directed networkx graph, got an undirected one; "
            "say which way each edge points (networkx.DiGraph)"
        )
    for node in graph:
        if not isinstance(node, str):
            raise GraphError(
                f"a node is named by a string, not {node!r}; "
                "rename the nodes first: networkx.relabel_nodes(graph, str)"
            )
    pairs: dict[str, list[Pair]] = {kind: [] for kind in KINDS}
    for a, b, kind in graph.in_edges(data="kind", default="causal"):
        pairs[_kind(kind)].append((a, b))
    latent = tuple(node for node, hidden in graph.nodes(data="latent", default=False) if hidden)
    return cls(_structure(list(graph), pairs, latent))


def to_dagitty(graph: CausalGraph) -> str:
    """Return the text that dagitty.net and the R package dagitty read.

    Raises:
        GraphError: If the graph has constitutive edges, which dagitty cannot express.

    References:
        Textor et al. (2016), Robust causal inference using directed acyclic graphs: the R
        package dagitty.

    Example:
        >>> from scm.graph import CausalGraph
        >>> print(CausalGraph("C -> X, Y; X -> Y", latent=["C"]).to_dagitty())
        dag {
        "C" [latent]
        "X"
        "Y"
        "C" -> "X"
        "C" -> "Y"
        "X" -> "Y"
        }
    """
    if graph.constitutive:
        i, macro = graph.constitutive[0]
        raise GraphError(
            f"dagitty has no constitutive edges, and the graph has {i} => {macro}. Leave the "
            "macro-variables out first: graph.subgraph(n for n in graph if not "
            "graph.is_constitutive(n)).to_dagitty(); or write to_dot(), which keeps them."
        )
    lines = [quoted(node) + " [latent]" * (node in graph.latent) for node in graph.nodes]
    lines += [f"{quoted(a)} -> {quoted(b)}" for a, b in graph.edges]
    lines += [f"{quoted(a)} <-> {quoted(b)}" for a, b in graph.bidirected]
    return "\n".join(["dag {", *lines, "}"])


def from_dagitty(cls: type[CausalGraph], text: str) -> CausalGraph:
    """Read dagitty's text. Positions, exposures, outcomes and coefficients are left out.

    Raises:
        GraphError: If the text is not dagitty's, or is not a DAG (a MAG, PDAG or PAG).

    Example:
        >>> from scm.graph import CausalGraph
        >>> CausalGraph.from_dagitty('dag { U [latent, pos="0,1"] X [exposure] U -> X <-> Y }')
        CausalGraph('U -> X; X <-> Y', latent=('U',))
    """
    document = read(text)
    kind = document.head[0] if document.head else "nothing"
    if kind != "dag":
        raise GraphError(f"expected dagitty text 'dag {{ ... }}', got {kind!r} before the brace")
    nodes: list[str] = []
    pairs: dict[str, list[Pair]] = {kind: [] for kind in KINDS}
    latent: list[str] = []
    for statement in document.statements:
        nodes += [name for group in statement.groups for name in group]
        for arrow, a, b in _steps(statement):
            pairs["confounded" if arrow == "<->" else "causal"].append((a, b))
        if not statement.arrows and not {"latent", "l", "unobserved", "u"}.isdisjoint(
            statement.attributes
        ):
            latent += statement.groups[0]
    return cls(_structure(nodes, pairs, latent))


def to_dot(graph: CausalGraph) -> str:
    """Return DOT text for Graphviz; `from_dot` reads it back.

    Example:
        >>> from scm.graph import CausalGraph
        >>> print(CausalGraph("X -> Y; X <-> Y", latent=["X"]).to_dot())
        digraph {
          rankdir=LR;
          "X" [latent=true, style="filled,dashed", fillcolor=lightgrey];
          "Y";
          "X" -> "Y";
          "X" -> "Y" [kind=confounded, dir=both, style=dashed, constraint=false];
        }
    """
    grey = ' [latent=true, style="filled,dashed", fillcolor=lightgrey]'
    looks = (
        (graph.edges, ""),
        (graph.constitutive, ' [kind=constitutive, color="black:invis:black"]'),
        (graph.bidirected, " [kind=confounded, dir=both, style=dashed, constraint=false]"),
    )
    lines = ["rankdir=LR"]
    lines += [quoted(node) + grey * (node in graph.latent) for node in graph.nodes]
    lines += [f"{quoted(a)} -> {quoted(b)}{look}" for pairs, look in looks for a, b in pairs]
    return "\n".join(["digraph {", *(f"  {line};" for line in lines), "}"])


def from_dot(cls: type[CausalGraph], text: str) -> CausalGraph:
    """Read a DOT digraph; subgraphs are taken apart, looks and labels left out.

    An edge is what ``kind=`` says, or confounded where ``dir=both``, or causal. A node is
    latent where it says ``latent=true`` or ``observed=no``.

    Raises:
        GraphError: If the text is not DOT, or is an undirected graph.

    Example:
        >>> from scm.graph import CausalGraph
        >>> CausalGraph.from_dot('digraph { A -> B; "x y" -> B [dir=both, style=dashed] }')
        CausalGraph('A -> B; B <-> "x y"')
    """
    document = read(text, keywords=("node", "edge", "graph"))
    if "digraph" not in [word.lower() for word in document.head[:2]]:
        raise GraphError(
            f"expected DOT text 'digraph {{ ... }}', got {' '.join(document.head)!r} before the "
            "brace"
        )
    nodes: list[str] = []
    pairs: dict[str, list[Pair]] = {kind: [] for kind in KINDS}
    hidden: dict[str, bool] = {}
    for statement in document.statements:
        look = statement.attributes
        for name in (name for group in statement.groups for name in group):
            nodes.append(name)
            hidden.setdefault(name, _is_latent(statement.node_defaults))
            if not statement.arrows and not look.keys().isdisjoint({"latent", "observed"}):
                hidden[name] = _is_latent(look)
        direction = look.get("dir", "forward")
        kind = _kind(look.get("kind", "confounded" if direction == "both" else "causal"))
        for _, a, b in _steps(statement):
            pairs[kind].append((b, a) if direction == "back" else (a, b))
    return cls(_structure(nodes, pairs, [node for node in nodes if hidden[node]]))


def to_latex(graph: CausalGraph) -> str:
    r"""Return a TikZ picture, placed like `CausalGraph.draw`.

    The document needs ``\usepackage{tikz}`` and ``\usetikzlibrary{arrows.meta, shapes}``.

    Example:
        >>> from scm.graph import CausalGraph
        >>> print(CausalGraph("X1 -> Y", latent=["X1"]).to_latex())
        \begin{tikzpicture}[
          node/.style={draw, ellipse, minimum size=0.56cm, inner sep=1.5pt},
          latent/.style={node, dashed, fill=black!15},
          causal/.style={-{Latex}},
          constitutive/.style={double, double distance=1.5pt, -{Implies}},
          confounded/.style={dashed, {Latex}-{Latex}},
        ]
          \node[latent] (n0) at (0.0, 0.0) {$X_{1}$};
          \node[node] (n1) at (1.77, 0.0) {$Y$};
          \draw[causal] (n0) -- (n1);
        \end{tikzpicture}
    """
    place = layout(graph)
    name = {node: f"n{i}" for i, node in enumerate(graph.nodes)}
    lines = [
        rf"\node[{'latent' if node in graph.latent else 'node'}] ({name[node]}) "
        f"at ({x}, {y}) {{{_label(node)}}};"
        for node, (x, y) in place.positions.items()
    ]
    for (kind, a, b), route in routes(graph, place).items():
        path = f"({name[a]}) -- ({name[b]})"
        if len(route) > 2:
            path = f"({name[a]})"
            for start, control, end in segments(route):
                first, second = _towards(start, control), _towards(end, control)
                stop = f"({name[b]})" if end == route[-1] else f"({end[0]:.3f}, {end[1]:.3f})"
                path += f" .. controls {first} and {second} .. {stop}"
        lines.append(rf"\draw[{kind}] {path};")
    return "\n".join([*TIKZ, *(f"  {line}" for line in lines), r"\end{tikzpicture}"])


TIKZ = (
    r"\begin{tikzpicture}[",
    "  node/.style={draw, ellipse, minimum size=0.56cm, inner sep=1.5pt},",
    "  latent/.style={node, dashed, fill=black!15},",
    "  causal/.style={-{Latex}},",
    "  constitutive/.style={double, double distance=1.5pt, -{Implies}},",
    "  confounded/.style={dashed, {Latex}-{Latex}},",
    "]",
)


def _structure(
    nodes: Sequence[str], pairs: dict[str, list[Pair]], latent: Sequence[str]
) -> Structure:
    return Structure(
        nodes=tuple(nodes),
        edges=tuple(pairs["causal"]),
        bidirected=tuple(pairs["confounded"]),
        constitutive=tuple(pairs["constitutive"]),
        latent=tuple(latent),
    )


def _kind(kind: Any) -> str:
    if kind not in KINDS:
        raise GraphError(f"unknown kind of edge {kind!r}; {nearest(kind, KINDS)}")
    return str(kind)


def _steps(statement: Statement) -> list[tuple[str, str, str]]:
    """Return (arrow, cause, effect) for every pair that a statement joins."""
    steps = []
    for arrow, left, right in zip(
        statement.arrows, statement.groups[:-1], statement.groups[1:], strict=True
    ):
        if arrow not in ("->", "<-", "<->"):
            raise GraphError(
                f"{left[0]} {arrow} {right[0]}: expected ->, <- or <->; the edges of a causal "
                "graph have arrowheads"
            )
        steps += [
            (arrow, b, a) if arrow == "<-" else (arrow, a, b) for a, b in product(left, right)
        ]
    return steps


def _is_latent(look: dict[str, str]) -> bool:
    return look.get("latent", "").lower() in YES or look.get("observed", "yes").lower() not in YES


def _label(node: str) -> str:
    if symbol := re.fullmatch(r"([A-Za-z])(\d*)", node):
        return f"${symbol[1]}_{{{symbol[2]}}}$" if symbol[2] else f"${node}$"
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {mark: f"\\{mark}" for mark in "&%$#_{}"}
    return "".join(special.get(mark, mark) for mark in node)


def _towards(end: tuple[float, float], control: tuple[float, float]) -> str:
    """Raise a quadratic Bezier control point to a cubic one."""
    x, y = (e + 2 * (c - e) / 3 for e, c in zip(end, control, strict=True))
    return f"({x:.3f}, {y:.3f})"
