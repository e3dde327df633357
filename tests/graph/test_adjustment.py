"""Adjustment sets: the criterion against enumeration, both ways; front door; instruments."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from scm.errors import GraphError
from scm.graph import CausalGraph
from scm.graph.separators import minimal_separators

from .models import random_admg, random_joint


def subsets(nodes):
    return [z for k in range(len(nodes) + 1) for z in combinations(nodes, k)]


def adjusted(joint, x, y, z) -> np.ndarray:
    """Sum over z of P(y | x, z) P(z), by hand."""
    p = joint.table(*z, x, y).values.numpy()
    p = p.reshape(-1, 2, 2)
    return np.einsum("zxy,z->xy", p / p.sum(2, keepdims=True), p.sum((1, 2)))


def front(joint, x, y, m) -> np.ndarray:
    p = joint.table(*m, x, y).values.numpy().reshape(-1, 2, 2)
    inner = np.einsum("mxy,x->my", p / p.sum(2, keepdims=True), p.sum((0, 2)))
    return np.einsum("mx,my->xy", p.sum(2) / p.sum((0, 2)), inner)


def gap(formula, joints, x, y, z) -> float:
    return max(
        float(np.abs(formula(j, x, y, z) - j.table(y, do=x).values.numpy()).max()) for j in joints
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_criterion_is_sound_and_complete(seed):
    rng = np.random.default_rng(seed)
    graph = random_admg(rng, 4, edge=0.5, confounded=0.2)
    joints = [random_joint(graph, rng) for _ in range(3)]
    for x, y in combinations(graph.nodes, 2):
        rest = [n for n in graph.nodes if n not in (x, y)]
        valid = []
        for z in subsets(rest):
            error = gap(adjusted, joints, x, y, z)
            if graph.is_adjustment_set(x, y, z):
                assert error < 1e-9, (graph, x, y, z)
                valid.append(frozenset(z))
            else:
                assert error > 1e-7, (graph, x, y, z)
            if graph.is_backdoor_set(x, y, z):
                assert frozenset(z) in valid
        assert set(graph.adjustment_sets(x, y, minimal=False)) == set(valid)
        minimal = {z for z in valid if not any(other < z for other in valid)}
        assert set(graph.adjustment_sets(x, y)) == minimal


@pytest.mark.parametrize("seed", range(8))
def test_front_door_sets_give_the_effect(seed):
    rng = np.random.default_rng(seed)
    found = 0
    while found < 4:
        graph = random_admg(rng, 4, edge=0.5, confounded=0.25)
        for x, y in combinations(graph.nodes, 2):
            sets = graph.frontdoor_sets(x, y, minimal=False)
            joint = random_joint(graph, rng)
            for m in sets:
                found += 1
                assert gap(front, [joint], x, y, sorted(m)) < 1e-9, (graph, x, y, m)
            smallest = {m for m in sets if not any(other < m for other in sets)}
            assert set(graph.frontdoor_sets(x, y)) == smallest


def test_minimal_separators_are_all_found():
    rng = np.random.default_rng(9)
    for _ in range(60):
        graph = random_admg(rng, 7, edge=0.35, confounded=0.1)
        nodes = list(graph.nodes)
        allowed = [n for n in nodes[2:] if rng.random() < 0.8]
        x, y = nodes[0], nodes[1]
        valid = [frozenset(z) for z in subsets(allowed) if graph.d_separated(x, y, z)]
        minimal = {z for z in valid if not any(other < z for other in valid)}
        found = list(minimal_separators(graph, [x], [y], allowed))
        assert len(found) == len(set(found))
        assert set(found) == minimal


def test_sets_of_treatments_and_outcomes():
    graph = CausalGraph("Z -> X1, X2, Y; X1 -> X2 -> Y; X1 -> Y")
    assert graph.adjustment_sets(["X1", "X2"], "Y") == (frozenset({"Z"}),)
    assert graph.adjustment_sets("X1", ["X2", "Y"]) == (frozenset({"Z"}),)


def test_m_bias():
    graph = CausalGraph("A -> X, M; B -> M, Y; X -> Y", latent=["A", "B"])
    assert graph.adjustment_sets("X", "Y") == (frozenset(),)
    assert not graph.is_adjustment_set("X", "Y", "M")


def test_butterfly():
    graph = CausalGraph("A -> M, X; B -> M, Y; M -> X, Y; X -> Y", latent=["A"])
    assert graph.adjustment_sets("X", "Y") == (frozenset({"B", "M"}),)
    hidden = CausalGraph("A -> M, X; B -> M, Y; M -> X, Y; X -> Y", latent=["A", "B"])
    assert hidden.adjustment_sets("X", "Y") == ()


def test_beyond_the_back_door():
    # a descendant of the treatment that is off the causal path may be adjusted for
    graph = CausalGraph("X -> W <- Z; X -> Y; Z -> X, Y")
    assert graph.is_adjustment_set("X", "Y", ["Z", "W"])
    assert not graph.is_backdoor_set("X", "Y", ["Z", "W"])
    # Shpitser, VanderWeele & Robins, section 4: a mediator's descendant may not
    assert not CausalGraph("X -> M -> Y; M -> W").is_adjustment_set("X", "Y", "W")


def test_macros_are_descendants():
    graph = CausalGraph("H -> I, T; I -> T; I => C")
    assert graph.adjustment_sets("I", "T") == (frozenset({"H"}),)
    assert graph.is_adjustment_set("I", "T", ["H", "C"])  # C is no cause of T
    with pytest.raises(GraphError, match="'C' is a macro-variable, a function of I"):
        graph.adjustment_sets("C", "T")


def test_instruments():
    def found(spec, latent=()):
        return [str(i) for i in CausalGraph(spec, latent).instruments("X", "Y")]

    assert found("Z -> X -> Y; X <-> Y") == ["Z"]
    assert found("Z -> X -> Y; X <-> Y; Z -> Y") == []
    assert found("Z -> X -> Y; X <-> Y; Z <-> Y") == []
    assert found("W -> Z, Y; Z -> X -> Y; X <-> Y") == ["Z given W"]
    assert found("Z -> S, X; X -> Y; X <-> Y") == ["Z", "S"]  # a proxy of an instrument
    assert found("X -> Y; X -> Z; X <-> Y") == []
    graph = CausalGraph("Z -> X -> Y; X <-> Y; X -> D")
    assert not graph.is_instrument("Z", "X", "Y", given="D")


def test_bad_questions():
    graph = CausalGraph("H -> X; Z -> X -> Y", latent=["H"])
    with pytest.raises(GraphError, match="'X' is in x and in outcome"):
        graph.adjustment_sets("X", "X")
    with pytest.raises(GraphError, match="H is latent"):
        graph.is_adjustment_set("X", "Y", "H")
    with pytest.raises(GraphError, match="no treatment"):
        graph.adjustment_sets([], "Y")
    with pytest.raises(GraphError, match="did you mean 'Y'"):
        graph.instruments("X", "y")
    wide = CausalGraph("; ".join(f"V{i} -> X" for i in range(21)) + "; X -> Y")
    assert wide.adjustment_sets("X", "Y") == (frozenset(),)
    with pytest.raises(GraphError, match="21 nodes may stand in the set"):
        wide.adjustment_sets("X", "Y", minimal=False)
