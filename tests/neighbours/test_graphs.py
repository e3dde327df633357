"""Graphs of causal-learn, lingam and dowhy: read, refused where undirected, and written."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

import scm
from scm.errors import GraphError, ScmError
from scm.neighbours.graphs import (
    from_causallearn,
    from_dowhy,
    from_lingam,
    to_causallearn,
    to_dowhy,
    to_lingam,
)

GRAPH = scm.CausalGraph("L -> A, B; A -> B -> C; A <-> B; B <-> C; D", latent=["L"])


class Named:
    """An endpoint or node type of causal-learn: it has a name."""

    def __init__(self, name: str) -> None:
        self.name = name


class Node:
    def __init__(self, name: str, kind: str = "MEASURED") -> None:
        self._name, self._kind = name, kind

    def get_name(self) -> str:
        return self._name

    def get_node_type(self) -> Named:
        return Named(self._kind)


class Edge:
    def __init__(self, a: Node, b: Node, ends: tuple[str, str]) -> None:
        self._nodes, self._ends = (a, b), ends

    def get_node1(self) -> Node:
        return self._nodes[0]

    def get_node2(self) -> Node:
        return self._nodes[1]

    def get_endpoint1(self) -> Named:
        return Named(self._ends[0])

    def get_endpoint2(self) -> Named:
        return Named(self._ends[1])


class General:
    def __init__(self, edges: dict[tuple[str, str], tuple[str, str]], latent: str = "") -> None:
        names = dict.fromkeys(name for pair in edges for name in pair)
        self.nodes = {n: Node(n, "LATENT" if n in latent else "MEASURED") for n in names}
        self.edges = [Edge(self.nodes[a], self.nodes[b], ends) for (a, b), ends in edges.items()]

    def get_nodes(self) -> list[Node]:
        return list(self.nodes.values())

    def get_graph_edges(self) -> list[Edge]:
        return self.edges


def test_causallearn_edges() -> None:
    arrows = {
        ("U", "A"): ("TAIL", "ARROW"),
        ("B", "A"): ("ARROW", "TAIL"),
        ("B", "C"): ("ARROW", "ARROW"),
    }
    general = General(arrows, latent="U")
    expected = scm.CausalGraph("U -> A -> B; B <-> C", latent=["U"])
    holder = type("Result", (), {"G": general})()
    for form in (general, holder, {"G": general}, (general, [])):
        assert from_causallearn(form) == expected


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (("TAIL", "TAIL"), r"A -- B\. This is a CPDAG"),
        (("CIRCLE", "ARROW"), r"A o-> B\. This is a PAG"),
        (("CIRCLE", "CIRCLE"), r"A o-o B\. This is a PAG"),
    ],
)
def test_undirected_edges_are_refused(ends: tuple[str, str], words: str) -> None:
    with pytest.raises(GraphError, match=words.replace("A -- B", "A --- B")):
        from_causallearn(General({("A", "B"): ends}))


def test_what_is_no_graph_of_causallearn() -> None:
    with pytest.raises(ScmError, match="expected a GeneralGraph"):
        from_causallearn(nx.DiGraph())


def test_causallearn_itself() -> None:
    pytest.importorskip("causallearn")
    written = to_causallearn(GRAPH)
    assert from_causallearn(written) == GRAPH
    directed = scm.CausalGraph("A -> B -> C; A -> C")
    edges = {(e.get_node1().get_name(), e.get_node2().get_name()) for e in
             to_causallearn(directed).get_graph_edges()}  # fmt: skip
    assert edges == set(directed.edges)


def test_causallearn_search() -> None:
    search = pytest.importorskip("causallearn.search.ConstraintBased.PC")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 500))
    data = np.stack([x, y, x + y + 0.1 * rng.normal(size=500)], 1)
    collider = search.pc(data, show_progress=False)
    assert set(from_causallearn(collider).edges) == {("X1", "X3"), ("X2", "X3")}
    chain = np.stack([x, x + 0.3 * y], 1)
    with pytest.raises(GraphError, match="CPDAG"):
        from_causallearn(search.pc(chain, show_progress=False))


def test_lingam_matrices() -> None:
    matrix = np.array([[0, 0, 0], [1.5, 0, np.nan], [0, np.nan, 0]])
    graph = from_lingam(matrix, names=["A", "B", "C"])
    assert graph == scm.CausalGraph("A -> B; B <-> C")
    again = to_lingam(graph, weights={("A", "B"): 1.5})
    np.testing.assert_array_equal(again, matrix)
    fitted = type("Fitted", (), {"adjacency_matrix_": matrix[:2, :2]})()
    assert from_lingam(fitted) == scm.CausalGraph("X0 -> X1")


def test_lingam_itself() -> None:
    lingam: Any = pytest.importorskip("lingam")
    rng = np.random.default_rng(0)
    x = rng.uniform(size=500)
    y = 2 * x + rng.uniform(size=500)
    found = lingam.DirectLiNGAM()
    found.fit(np.stack([y, x], 1))
    assert from_lingam(found, names=["Y", "X"]) == scm.CausalGraph("X -> Y")


BAD_MATRICES: list[tuple[Any, dict[str, Any], str]] = [
    (np.zeros((2, 3)), {}, "square"),
    ([["a", "b"], ["c", "d"]], {}, "matrix of numbers"),
    ([[0, 1], [1, 0]], {}, "cycle"),
    ([[0, 0], [1, 0]], {"names": ["A"]}, "1 names"),
    ([[0, 0], [1, 0]], {"names": ["A", "A"]}, "all different"),
    ([[0, np.nan], [0, 0]], {}, r"B\[0, 1\] is NaN"),
    ([[1.0]], {}, "self loop"),
]


@pytest.mark.parametrize(("matrix", "options", "words"), BAD_MATRICES)
def test_bad_matrices(matrix: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(GraphError, match=words):
        from_lingam(matrix, **options)


def test_what_a_matrix_cannot_hold() -> None:
    with pytest.raises(GraphError, match="'U_AB -> A, B'"):
        to_lingam(scm.CausalGraph("A -> B; A <-> B"))
    with pytest.raises(GraphError, match="no edge"):
        to_lingam(scm.CausalGraph("A -> B"), weights={("B", "A"): 1.0})
    for write in (to_lingam, to_causallearn, to_dowhy):
        with pytest.raises(GraphError, match=r"subgraph\(\['H', 'I'\]\)"):
            write(scm.CausalGraph("H -> I; I => C"))


GML = """graph [
  directed 1
  node [ id "X" label "X" ]
  node [ id "Y" label "Y" ]
  edge [ source "X" target "Y" ]
]"""


def test_dowhy_forms() -> None:
    graph = nx.DiGraph([("U", "X"), ("U", "Y"), ("X", "Y")])
    graph.nodes["U"]["observed"] = "no"
    expected = scm.CausalGraph("U -> X, Y; X -> Y", latent=["U"])
    inner = type("Inner", (), {"_graph": graph})()
    for form in (
        graph,
        type("CausalModel", (), {"_graph": inner})(),
        type("StructuralCausalModel", (), {"graph": graph})(),
    ):
        assert from_dowhy(form) == expected
    assert "latent" not in graph.nodes["U"]
    assert from_dowhy(GML) == scm.CausalGraph("X -> Y")
    written = to_dowhy(scm.CausalGraph("X -> Y; X <-> Y; U_XY"))
    assert from_dowhy(written) == scm.CausalGraph("U_XY; U_XY_ -> X, Y; X -> Y", latent=["U_XY_"])


@pytest.mark.filterwarnings("ignore:1 variables are assumed unobserved:UserWarning")
def test_dowhy_itself() -> None:
    dowhy: Any = pytest.importorskip("dowhy")
    import pandas as pd

    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.normal(size=(50, 2)), columns=["X", "Y"])
    written = to_dowhy(scm.CausalGraph("X -> Y; X <-> Y"))
    model = dowhy.CausalModel(data, "X", "Y", graph=written)
    read = from_dowhy(model)
    assert set(read.edges) == set(written.edges)
    assert not model.identify_effect().estimands["backdoor"]
    from dowhy import gcm

    causal = gcm.StructuralCausalModel(nx.DiGraph([("A", "B")]))
    assert from_dowhy(causal) == scm.CausalGraph("A -> B")


def test_bad_dowhy_graphs() -> None:
    with pytest.raises(ScmError, match="expected a dowhy"):
        from_dowhy(3)
    with pytest.raises(GraphError, match="no GML"):
        from_dowhy("digraph { X -> Y }")
    with pytest.raises(GraphError, match="undirected"):
        from_dowhy(nx.Graph([("A", "B")]))
    with pytest.raises(GraphError, match="cycle"):
        from_dowhy(nx.DiGraph([("A", "B"), ("B", "A")]))
