from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings

from scm.errors import GraphError
from scm.graph import CausalGraph

from .strategies import graphs, letters, same_order


@given(graphs())
def test_networkx_round_trip(graph):
    exported = graph.to_networkx()
    count = len(graph.edges) + len(graph.bidirected) + len(graph.constitutive)
    assert exported.number_of_edges() == count
    assert same_order(CausalGraph.from_networkx(exported), graph)


@given(graphs())
def test_dot_round_trip(graph):
    assert CausalGraph.from_dot(graph.to_dot()).structure == graph.structure


@given(graphs(constitutive=False))
def test_dagitty_round_trip(graph):
    assert CausalGraph.from_dagitty(graph.to_dagitty()).structure == graph.structure


@settings(max_examples=20, deadline=None)
@given(letters(max_nodes=5))
def test_latex_has_every_node_and_edge(graph):
    text = graph.to_latex()
    assert text.count(r"\node[") == len(graph)
    assert text.count(r"\draw[causal]") == len(graph.edges)
    assert text.count(r"\draw[confounded]") == len(graph.bidirected)
    assert text.count(r"\draw[constitutive]") == len(graph.constitutive)
    assert text.count(r"\node[latent]") == len(graph.latent)


def test_latex_escapes_names():
    text = CausalGraph(r'"50% of_a & b" -> "{\\x}"').to_latex()
    assert r"{50\% of\_a \& b}" in text
    assert r"{\{\textbackslash{}x\}}" in text


@pytest.mark.parametrize("kind", [nx.DiGraph, nx.MultiDiGraph])
def test_plain_networkx(kind):
    graph = kind([("A", "B"), ("C", "B")])
    graph.nodes["C"]["latent"] = True
    assert CausalGraph.from_networkx(graph) == CausalGraph("A, C -> B", latent=["C"])


@pytest.mark.parametrize(
    ("graph", "fragment"),
    [
        (nx.Graph([("A", "B")]), "undirected"),
        (nx.DiGraph([("A", "B"), ("B", "A")]), "cycle: A -> B -> A"),
        (nx.DiGraph([(0, 1)]), "relabel_nodes"),
    ],
)
def test_networkx_errors(graph, fragment):
    with pytest.raises(GraphError, match=fragment):
        CausalGraph.from_networkx(graph)


def test_networkx_unknown_kind():
    graph = nx.DiGraph()
    graph.add_edge("A", "B", kind="confound")
    with pytest.raises(GraphError, match="did you mean 'confounded'"):
        CausalGraph.from_networkx(graph)


DOT = """
strict digraph "a graph" { // comment
    rankdir=LR; node [shape=circle]; graph [label="x -> y"];
    A -> B;
    "x y" -> C [dir=both, style=dashed]; A [style=filled]
    A -> {D; E} -> F /* comment */
    subgraph cluster_0 { node [latent=true]; edge [dir=both]; U; A -> U:port:n; }
    V [observed=no]; V -> B; C -> V [dir=back]; V [color=red]
}
"""


def test_dot_written_by_others():
    expected = CausalGraph(
        'A -> B; "x y" <-> C; A -> D, E; D, E -> F; A <-> U; V -> B, C', latent=["U", "V"]
    )
    assert CausalGraph.from_dot(DOT) == expected


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("graph { A -- B }", "got 'graph'"),
        ("digraph { A -- B }", "A -- B: expected"),
        ("digraph { A -> ", "column 16: expected a name"),
        ("digraph { A", r"expected '}'"),
        ("digraph { A } B", "the end of the graph"),
        ("digraph { A $ }", "column 13"),
        ("digraph { A -> B [kind=causa] }", "did you mean 'causal'"),
        ("digraph { A -> B -> A }", "cycle"),
        ("digraph A -> B", "expected '{'"),
    ],
)
def test_dot_errors(text, fragment):
    with pytest.raises(GraphError, match=fragment):
        CausalGraph.from_dot(text)


DAGITTY = """
dag {
bb="-2.2,-1.5,2.1,1.4"
"age (y)" [adjusted,pos="0.1,-0.9"]
U [latent,pos="-1,0"]
X [exposure,pos="-1.5,0.4"]
Y [outcome,pos="1.5,0.4"]
"age (y)" -> { X Y }
U -> X -> Y [beta=".3"]
X <-> Y
}
"""


def test_dagitty_written_by_others():
    expected = CausalGraph('"age (y)", U -> X; "age (y)" -> Y; X -> Y; X <-> Y', latent=["U"])
    assert CausalGraph.from_dagitty(DAGITTY) == expected


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("pdag { A -> B }", "got 'pdag'"),
        ("dag { A -- B }", "A -- B: expected"),
        ("dag { A @-> B }", "A @-> B: expected"),
        ("dag { A -> B -> A }", "cycle"),
        ("A -> B", "expected '{'"),
    ],
)
def test_dagitty_errors(text, fragment):
    with pytest.raises(GraphError, match=fragment):
        CausalGraph.from_dagitty(text)


def test_dagitty_refuses_constitutive_edges():
    graph = CausalGraph("H -> I => C")
    with pytest.raises(GraphError, match=r"I => C.*subgraph"):
        graph.to_dagitty()
    plain = graph.subgraph(n for n in graph if not graph.is_constitutive(n))
    assert CausalGraph.from_dagitty(plain.to_dagitty()) == CausalGraph("H -> I")
