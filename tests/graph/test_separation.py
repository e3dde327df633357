"""d-separation: against networkx, against exact independence; explanations; implications."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given

from scm.errors import GraphError
from scm.graph import CausalGraph

from .models import named_latents, random_admg, random_joint
from .strategies import letters


def queries(graph: CausalGraph, rng: np.random.Generator, n: int):
    for _ in range(n):
        roles = rng.integers(0, 4, len(graph))
        sets = [[v for v, r in zip(graph.nodes, roles, strict=True) if r == k] for k in range(3)]
        if sets[0] and sets[1]:
            yield sets


@given(letters(max_nodes=8))
def test_agrees_with_networkx(graph):
    full = named_latents(graph)
    dag = nx.DiGraph(full.edges)
    dag.add_nodes_from(full.nodes)
    for xs, ys, zs in queries(graph, np.random.default_rng(0), 8):
        expected = nx.is_d_separator(dag, set(xs), set(ys), set(zs))
        assert graph.d_separated(xs, ys, zs) == expected
        assert graph.d_separated(ys, xs, zs) == expected


def information(joint, x, y, zs) -> float:
    p = joint.table(*zs, x, y).values.numpy().reshape(-1, 2, 2)
    q = p.sum(2, keepdims=True) * p.sum(1, keepdims=True) / p.sum((1, 2), keepdims=True)
    return float((p * np.log(p / q)).sum())


def test_separation_is_independence_in_random_models():
    rng = np.random.default_rng(1)
    for _ in range(15):
        graph = random_admg(rng, 4, confounded=0.2)
        joint = random_joint(graph, rng)
        for x, y in combinations(graph.nodes, 2):
            rest = [n for n in graph.nodes if n not in (x, y)]
            for zs in ([], rest[:1], rest[1:], rest):
                mutual = information(joint, x, y, zs)
                if graph.d_separated(x, y, zs):
                    assert mutual < 1e-12
                else:
                    assert mutual > 1e-12


def test_constitutive_edges_read_like_causal_ones():
    graph = CausalGraph("H -> I; H, I -> T; I => C, S")
    assert graph.d_separated("C", "S", given="I")
    assert not graph.d_separated("C", "S")
    assert not graph.d_separated("C", "T")


def test_bad_questions():
    graph = CausalGraph("X -> Y")
    with pytest.raises(GraphError, match="X is in both xs and given"):
        graph.d_separated("X", "Y", given="X")
    with pytest.raises(GraphError, match="X is in both xs and ys"):
        graph.d_separated("X", ["X", "Y"])
    with pytest.raises(GraphError, match="did you mean 'X'"):
        graph.explain("x", "Y")


@given(letters(max_nodes=6))
def test_separated_means_no_open_path(graph):
    for xs, ys, zs in queries(graph, np.random.default_rng(2), 4):
        explanation = graph.explain(xs[0], ys[0], zs)
        assert explanation.separated == (not explanation.open)
        for path in explanation.paths:
            assert len(set(path.nodes)) == len(path.nodes)
            assert path.nodes[0] == xs[0]
            assert path.nodes[-1] == ys[0]


def test_explanations_can_be_read():
    graph = CausalGraph("C -> X, Y; X -> M -> Y; M <-> Y; X -> I; I => A")
    assert str(graph.explain("X", "Y", given=["C", "M"])).splitlines() == [
        "X and Y are d-connected given C, M: 1 of 3 paths is open",
        "  open     X -> M <-> Y  the collider M is open: it is given",
        "  blocked  X -> M -> Y   M is given",
        "  blocked  X <- C -> Y   C is given",
    ]
    text = str(graph.explain("C", "A", given="I"))
    assert text.splitlines()[0] == "C and A are d-separated given I: 0 of 3 paths are open"
    assert "C -> X -> I => A" in text
    assert "I is given" in text
    collider = str(CausalGraph("X -> M <- Y").explain("X", "Y"))
    assert "neither the collider M nor a descendant is given" in collider
    opened = str(CausalGraph("X -> M <- Y").explain("X", "Y", given="M"))
    assert "open     X -> M <- Y  the collider M is open: it is given" in opened
    assert str(CausalGraph("X; Y").explain("X", "Y")).endswith("no path joins them")
    many = CausalGraph("; ".join(f"X -> V{i} -> Y" for i in range(9))).explain("X", "Y", limit=3)
    assert not many.complete
    assert str(many).endswith("there are more paths than the 3 listed")
    with pytest.raises(GraphError, match="separated"):
        bool(many)


def test_implied_independencies_are_minimal_and_complete():
    rng = np.random.default_rng(3)
    for _ in range(40):
        graph = random_admg(rng, 5, confounded=0.2)
        found = {(i.x, i.y): i.given for i in graph.implied_independencies()}
        for x, y in combinations(graph.nodes, 2):
            rest = [n for n in graph.nodes if n not in (x, y)]
            subsets = [z for k in range(4) for z in combinations(rest, k)]
            separating = [frozenset(z) for z in subsets if graph.d_separated(x, y, z)]
            assert ((x, y) in found) == bool(separating)
            if separating:
                own = frozenset(found[x, y])
                assert own in separating
                assert not any(other < own for other in separating)


def test_named_graphs_imply_what_the_literature_says():
    def implied(spec, latent=()):
        return [str(i) for i in CausalGraph(spec, latent).implied_independencies()]

    assert implied("X -> M -> Y; X <-> Y") == []
    assert implied("A -> X, M; B -> M, Y", ["A", "B"]) == ["X ⊥ Y"]  # M-bias
    assert implied("Z -> X -> Y; X <-> Y") == []
    assert implied("A -> B -> C -> D; B <-> D") == ["A ⊥ C | B"]  # Verma's own is no separation
