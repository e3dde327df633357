from __future__ import annotations

import copy
import pickle

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scm.errors import GraphError
from scm.graph import CausalGraph

from .strategies import graphs, letters


def directed(graph: CausalGraph) -> nx.DiGraph:
    result = nx.DiGraph([*graph.edges, *graph.constitutive])
    result.add_nodes_from(graph.nodes)
    return result


@given(graphs())
def test_ancestors_and_descendants(graph):
    reference = directed(graph)
    for node in graph:
        assert graph.ancestors(node) == nx.ancestors(reference, node) | {node}
        assert graph.descendants(node) == nx.descendants(reference, node) | {node}
    union = frozenset().union(*(graph.ancestors(node) for node in graph))
    assert graph.ancestors(*graph) == union


def test_of_no_nodes():
    graph = CausalGraph("A -> B")
    assert graph.ancestors() == graph.descendants() == frozenset()
    assert graph.without_incoming() == graph.without_outgoing() == graph


@given(graphs())
def test_parents_children_micro_macros(graph):
    edges = {*graph.edges, *graph.constitutive}
    assert {(a, b) for b in graph for a in graph.parents(b)} == edges
    assert {(a, b) for a in graph for b in graph.children(a)} == edges
    assert {(i, c) for c in graph for i in graph.micro(c)} == set(graph.constitutive)
    assert {(i, c) for i in graph for c in graph.macros(i)} == set(graph.constitutive)
    assert {c for c in graph if graph.is_constitutive(c)} == {c for _, c in graph.constitutive}
    for node in graph:
        assert list(graph.children(node)) == sorted(graph.children(node), key=graph.nodes.index)


@given(graphs())
def test_topological_order(graph):
    order = graph.topological_order()
    assert sorted(order) == sorted(graph.nodes)
    reference = nx.lexicographical_topological_sort(directed(graph), key=graph.nodes.index)
    assert order == tuple(reference)


@given(graphs())
def test_districts(graph):
    reference = nx.Graph(graph.bidirected)
    reference.add_nodes_from(node for node in graph if not graph.is_constitutive(node))
    assert set(graph.districts()) == set(map(frozenset, nx.connected_components(reference)))
    for node in graph:
        assert set(graph.siblings(node)) == set(reference.adj.get(node, ()))
    firsts = [min(map(graph.nodes.index, district)) for district in graph.districts()]
    assert firsts == sorted(firsts)


@given(letters(), st.data())
def test_equality_ignores_order_alone(graph, data):
    nodes = data.draw(st.permutations(graph.nodes))
    names = ", ".join(nodes)
    other = CausalGraph([names, graph])
    assert other == graph
    assert hash(other) == hash(graph)
    assert other.nodes == tuple(nodes)
    assert CausalGraph([graph, "another"]) != graph
    if graph.observed:
        assert CausalGraph(graph, latent=graph.observed[0]) != graph
    assert graph != str(graph)


def test_kinds_of_spec():
    graph = CausalGraph("A -> B; B <-> C", latent="A")
    assert CausalGraph(graph) == graph
    assert CausalGraph(["A -> B", "B <-> C"], latent=["A"]) == graph
    assert CausalGraph(graph.structure) == graph
    assert CausalGraph([]).nodes == ()
    assert CausalGraph(graph, latent=["C"]).latent == ("A", "C")


def test_bidirected_edges_at_latent_nodes():
    assert CausalGraph("A <-> B", latent=["A"]).bidirected == (("A", "B"),)


def test_collection():
    graph = CausalGraph("A -> B; C")
    assert list(graph) == ["A", "B", "C"]
    assert len(graph) == 3
    assert "A" in graph
    assert "a" not in graph
    assert ["A"] not in graph
    assert {graph: 1}[CausalGraph("C; A -> B")] == 1


@given(graphs())
def test_immutable_and_copied(graph):
    with pytest.raises(AttributeError, match="immutable"):
        graph.nodes = ()
    with pytest.raises(AttributeError, match="immutable"):
        graph._structure = None
    with pytest.raises(AttributeError, match="immutable"):
        del graph._structure
    assert copy.deepcopy(graph) == graph
    assert pickle.loads(pickle.dumps(graph)).structure == graph.structure


@pytest.mark.parametrize(
    "ask",
    [
        lambda g: g.parents("colour"),
        lambda g: g.children("colour"),
        lambda g: g.siblings("colour"),
        lambda g: g.ancestors("X", "colour"),
        lambda g: g.descendants("colour"),
        lambda g: g.micro("colour"),
        lambda g: g.macros("colour"),
        lambda g: g.is_constitutive("colour"),
        lambda g: g.without_incoming("colour"),
        lambda g: g.without_outgoing("colour"),
        lambda g: g.subgraph(["colour"]),
        lambda g: g.subgraph("colour"),
        lambda g: g.rename({"colour": "X2"}),
        lambda g: CausalGraph(g, latent=["colour"]),
    ],
)
def test_unknown_names(ask):
    with pytest.raises(GraphError, match="no node 'colour'; did you mean 'Colour'"):
        ask(CausalGraph("Colour -> X"))


@pytest.mark.parametrize(
    ("spec", "fragment"),
    [
        (3, "not int"),
        (None, "not NoneType"),
        (["A", 3], "not int"),
        (nx.DiGraph(), "from_networkx"),
    ],
)
def test_specs_that_are_no_graph(spec, fragment):
    with pytest.raises(GraphError, match=fragment):
        CausalGraph(spec)
