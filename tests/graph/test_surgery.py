from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scm.errors import GraphError
from scm.graph import CausalGraph

from .strategies import graphs, letters, same_order


def chosen(graph, data):
    return data.draw(st.sets(st.sampled_from(graph.nodes))) if graph.nodes else set()


@given(letters(), st.data())
def test_without_incoming(graph, data):
    cut = chosen(graph, data)
    result = graph.without_incoming(*cut)
    assert result.nodes == graph.nodes
    assert result.latent == graph.latent
    assert result.constitutive == graph.constitutive
    assert result.edges == tuple((a, b) for a, b in graph.edges if b not in cut)
    assert result.bidirected == tuple(p for p in graph.bidirected if not cut & set(p))


@given(letters(), st.data())
def test_without_outgoing(graph, data):
    cut = chosen(graph, data)
    result = graph.without_outgoing(*cut)
    assert result.edges == tuple((a, b) for a, b in graph.edges if a not in cut)
    assert result.bidirected == graph.bidirected
    assert result.constitutive == graph.constitutive


@given(letters(), st.data())
def test_subgraph(graph, data):
    keep = chosen(graph, data)
    result = graph.subgraph(keep)
    assert result.nodes == tuple(node for node in graph if node in keep)
    for name in ("edges", "bidirected", "constitutive"):
        assert getattr(result, name) == tuple(p for p in getattr(graph, name) if keep >= set(p))
    assert set(result.latent) == keep & set(graph.latent)
    assert graph.subgraph(graph) == graph


@given(graphs())
def test_rename_there_and_back(graph):
    there = {node: f"{i} {node}" for i, node in enumerate(graph)}
    back = {new: old for old, new in there.items()}
    assert same_order(graph.rename(there).rename(back), graph)


def test_rename_may_swap_and_may_not_collide():
    graph = CausalGraph("A -> B -> C", latent=["A"])
    assert graph.rename({"A": "B", "B": "A"}) == CausalGraph("B -> A -> C", latent=["B"])
    with pytest.raises(GraphError, match="'A' and 'B' would both be called 'B'"):
        graph.rename({"A": "B"})
    with pytest.raises(GraphError, match="non-empty string"):
        graph.rename({"A": ""})


def paths(graph, start, end):
    """All simple paths, as lists of (node, arrowhead at node, arrowhead at next, next)."""
    steps = {node: [] for node in graph}
    for a, b in (*graph.edges, *graph.constitutive):
        steps[a].append((a, False, True, b))
        steps[b].append((b, True, False, a))
    for a, b in graph.bidirected:
        steps[a].append((a, True, True, b))
        steps[b].append((b, True, True, a))

    def extend(path, seen):
        last = path[-1][3] if path else start
        if last == end:
            yield path
            return
        for step in steps[last]:
            if step[3] not in seen:
                yield from extend([*path, step], seen | {step[3]})

    return list(extend([], {start}))


def projects(path, latent):
    """Whether only latent non-colliders stand inside, and the marks at both ends of the path."""
    inside = all(
        before[3] in latent and not (before[2] and after[1]) for before, after in pairwise(path)
    )
    return inside, path[0][1], path[-1][2]


@given(letters(max_nodes=6))
def test_latent_projection_is_what_the_definition_says(graph):
    latent = set(graph.latent)
    directed, confounded = set(), set()
    for a, b in combinations(graph.observed, 2):
        for path in paths(graph, a, b):
            inside, at_a, at_b = projects(path, latent)
            if inside and at_a and at_b:
                confounded.add(frozenset({a, b}))
            elif inside and (at_a or at_b):
                directed.add((a, b) if at_b else (b, a))
    result = graph.latent_projection()
    assert result.nodes == graph.observed
    assert result.latent == ()
    assert {*result.edges, *result.constitutive} == directed
    assert set(map(frozenset, result.bidirected)) == confounded
    assert set(result.constitutive) == {
        (i, c) for i, c in graph.constitutive if not latent & {c, *graph.micro(c)}
    }


@given(letters(constitutive=False), st.data())
def test_latent_projection_in_two_steps(graph, data):
    latent = graph.latent
    later = data.draw(st.sets(st.sampled_from(latent))) if latent else set()
    first = CausalGraph(
        CausalGraph(str(graph)), latent=[node for node in latent if node not in later]
    )
    second = CausalGraph(first.latent_projection(), latent=later)
    assert second.latent_projection() == graph.latent_projection()


@pytest.mark.parametrize(
    ("spec", "latent", "expected"),
    [
        ("U -> X, Y; X -> Y", "U", "X -> Y; X <-> Y"),
        ("A -> L -> B", "L", "A -> B"),
        ("A -> L <- B", "L", "A; B"),
        ("A <-> L -> B", "L", "A <-> B"),
        ("A <-> L <-> B", "L", "A; B"),
        ("A <- K <-> L -> B", "KL", "A <-> B"),
        ("H -> I => C, S", "I", "H -> C, S; C <-> S"),
        ("H -> I => C, S", "H", "I => C, S"),
        ("I, J => C; H -> I", "I", "J, H -> C"),
        ("I => C", "C", "I"),
    ],
)
def test_latent_projection_by_hand(spec, latent, expected):
    assert CausalGraph(spec, latent=[*latent]).latent_projection() == CausalGraph(expected)


def test_latent_projection_keeps_the_order_of_parents():
    graph = CausalGraph("A; B; L; D; D -> X; L -> X; A -> X; B -> L", latent=["L"])
    assert graph.latent_projection().parents("X") == ("D", "B", "A")
