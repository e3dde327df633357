from __future__ import annotations

import pytest
from hypothesis import given

from scm import errors
from scm.graph import CausalGraph

from .strategies import graphs, same_order


@given(graphs())
def test_text_round_trip(graph):
    again = CausalGraph(str(graph), latent=graph.latent)
    assert same_order(again, graph)
    assert again.structure == graph.structure


@given(graphs())
def test_repr_round_trip(graph):
    assert eval(repr(graph), {"CausalGraph": CausalGraph}).structure == graph.structure


@pytest.mark.parametrize(
    ("text", "nodes", "edges"),
    [
        ("", "", ""),
        ("A", "A", ""),
        ("A, B ; C", "ABC", ""),
        ("A -> B -> C", "ABC", "AB BC"),
        ("A, B -> C, D -> E", "ABCDE", "AC AD BC BD CE DE"),
        ("A <- B, C", "ABC", "BA CA"),
        ("A <- B -> C", "ABC", "BA BC"),
        ("A->B\n;;\n  # nothing; A -> Q\nB->C # end", "ABC", "AB BC"),
        ("A -> B; A -> B", "AB", "AB"),
    ],
)
def test_statements(text, nodes, edges):
    graph = CausalGraph(text)
    assert graph.nodes == tuple(nodes)
    assert graph.edges == tuple((a, b) for a, b in edges.split())


def test_kinds_of_edge_in_one_chain():
    graph = CausalGraph("A <-> B -> C => D")
    assert graph.bidirected == (("A", "B"),)
    assert graph.edges == (("B", "C"),)
    assert graph.constitutive == (("C", "D"),)


def test_names():
    text = r'''"age (y)" -> "a \"b\" # ; ->", x.y, _1, größe, "A"'''
    assert CausalGraph(text).nodes == ("age (y)", 'a "b" # ; ->', "x.y", "_1", "größe", "A")


def test_parents_keep_declared_order():
    graph = CausalGraph("A; B; C; C -> X; B, A -> X")
    assert graph.parents("X") == ("C", "B", "A")
    assert CausalGraph(str(graph)).parents("X") == ("C", "B", "A")


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("A ->", ["line 1, column 5", "a node name", "the end of the statement"]),
        ("A -> B\nC -> -> D", ["line 2, column 6", "    C -> -> D\n         ^", "a node name"]),
        ("age y -> B", ["column 5", "an arrow (->, <-, <->, =>)", "found 'y'", "double quotes"]),
        ("1A -> B", ["column 1", "double quotes"]),
        ("A -- B", ["column 3", "an arrow", "found '-'"]),
        ("A, , B", ["column 4", "a node name", "found ','"]),
        ("A, -> B", ["column 4", "a node name", "found '->'"]),
        ("A,", ["column 3", "a node name"]),
        ("-> B", ["column 1", "a node name"]),
        ('"open -> B', ["column 1", "a node name"]),
        ('"" -> B', ["column 1", "a node name"]),
        ("A -> A", ["self loop A -> A"]),
        ("A <-> A", ["self loop A <-> A"]),
        ("A => A", ["self loop A => A"]),
        ("D; C -> A -> B -> C; B -> D", ["cycle: C -> A -> B -> C."]),
        ("A -> B; B => A", ["cycle: A -> B => A"]),
        ("A -> B; A => B", ["both A -> B and A => B"]),
        ("I => C; A -> C", ["C is constitutive (I => C)", "Write A -> I"]),
        ("I => C -> A", ["C is constitutive (I => C)", "Write I -> A"]),
        ("I => C <-> A", ["C <-> A", "only I can be confounded"]),
        ("I => C => D", ["C is itself constitutive (I => C)", "write I => D"]),
    ],
)
def test_errors(text, fragments):
    with pytest.raises(errors.GraphError) as caught:
        CausalGraph(text)
    for fragment in fragments:
        assert fragment in str(caught.value)
