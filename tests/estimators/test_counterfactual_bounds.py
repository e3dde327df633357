"""Bounds of counterfactuals: Tian and Pearl's closed forms, and every coupling inside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scm.errors import GraphError, ScmError
from scm.estimators.bounds import counterfactual_bounds
from scm.exact import Joint
from scm.graph import CausalGraph
from tests.estimators.brute_types import Types, random_joint, sample

SEEDS = st.integers(0, 2**32 - 1)
SLACK = 1e-7
ALWAYS = {"outcome": [{"Y": 1}, {"Y": 0}], "do": [{"X": 1}, {"X": 0}]}
NECESSITY = {"outcome": {"Y": 0}, "do": {"X": 0}, "given": {"X": 1, "Y": 1}}
SUFFICIENCY = {"outcome": {"Y": 1}, "do": {"X": 1}, "given": {"X": 0, "Y": 0}}


@given(SEEDS)
@settings(max_examples=12)
def test_tian_and_pearl_without_confounding(seed):
    joint = random_joint(CausalGraph("X -> Y"), np.random.default_rng(seed))
    p1, p0 = (float(joint.prob({"Y": 1}, given={"X": x})) for x in (1, 0))
    pns = counterfactual_bounds(joint, **ALWAYS)
    assert pns.lower == pytest.approx(max(0, p1 - p0), abs=SLACK)
    assert pns.upper == pytest.approx(min(p1, 1 - p0), abs=SLACK)
    pn = counterfactual_bounds(joint, **NECESSITY)
    assert pn.lower == pytest.approx(max(0, (p1 - p0) / p1), abs=SLACK)
    assert pn.upper == pytest.approx(min(1, (1 - p0) / p1), abs=SLACK)
    ps = counterfactual_bounds(joint, **SUFFICIENCY)
    assert ps.lower == pytest.approx(max(0, (p1 - p0) / (1 - p0)), abs=SLACK)
    assert ps.upper == pytest.approx(min(1, p1 / (1 - p0)), abs=SLACK)


@given(SEEDS)
@settings(max_examples=12)
def test_tian_and_pearl_with_confounding(seed):
    """From the observed joint alone, PNS is in [0, P(x, y) + P(x', y')], and PN in [0, 1]."""
    graph = CausalGraph("X -> Y; U -> X, Y", latent="U")
    joint = random_joint(graph, np.random.default_rng(seed))
    bow = CausalGraph("X -> Y; X <-> Y")
    pns = counterfactual_bounds(bow, joint.observed(), **ALWAYS)
    most = float(joint.prob({"X": 1, "Y": 1}) + joint.prob({"X": 0, "Y": 0}))
    assert pns.lower == pytest.approx(0, abs=SLACK)
    assert pns.upper == pytest.approx(most, abs=SLACK)
    pn = counterfactual_bounds(bow, joint.observed(), **NECESSITY)
    assert (pn.lower, pn.upper) == pytest.approx((0, 1), abs=SLACK)


@pytest.mark.parametrize(
    "spec",
    ["X -> Y", "W -> X; W, X -> Y", "X -> M -> Y; X -> Y", "W -> X, M; X -> M -> Y; W -> Y"],
)
@given(seed=SEEDS)
@settings(max_examples=4)
def test_couplings_are_inside(spec, seed):
    rng = np.random.default_rng(seed)
    graph = CausalGraph(spec)
    tables = {}
    for node in graph.nodes:
        tables[node] = rng.dirichlet(np.ones(2), size=(2,) * len(graph.parents(node)))
    for query in (NECESSITY, SUFFICIENCY):
        bounds = counterfactual_bounds(Joint(graph, tables), **query)
        for name in ("gumbel", "monotone"):
            joint = Joint(graph, tables, couplings=dict.fromkeys(graph.nodes, name))
            value = float(joint.counterfactual(**query))
            assert bounds.lower - SLACK <= value <= bounds.upper + SLACK


@given(SEEDS)
@settings(max_examples=8)
def test_three_levels_are_frechet_bounds(seed):
    """P(Y_x = j | x', y = i) of one node: between max(0, p + q - 1) / p and min(p, q) / p."""
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.ones(3), size=2)
    joint = Joint(CausalGraph("X -> Y"), {"X": [0.5, 0.5], "Y": table})
    for i, j in ((0, 1), (2, 2)):
        p, q = table[0, i], table[1, j]
        query = {"outcome": {"Y": j}, "do": {"X": 1}, "given": {"X": 0, "Y": i}}
        bounds = counterfactual_bounds(joint, **query)
        assert bounds.lower == pytest.approx(max(0, p + q - 1) / p, abs=SLACK)
        assert bounds.upper == pytest.approx(min(p, q) / p, abs=SLACK)


@given(SEEDS)
@settings(max_examples=8)
def test_with_an_instrument_against_enumeration(seed):
    """The effect of treatment on the treated, and PNS, from enumerated response types."""
    graph = CausalGraph("Z -> X -> Y; U -> X, Y", latent="U")
    joint = random_joint(graph, np.random.default_rng(seed))
    types = Types(graph, joint)
    pns = np.array([float(t[1][(1,)] == 1 and t[1][(0,)] == 0) for t in types.types])
    found = counterfactual_bounds(graph, joint.observed(), **ALWAYS)
    assert found.lower == pytest.approx(pns @ types.optimum(pns), abs=1e-6)
    assert found.upper == pytest.approx(pns @ types.optimum(-pns), abs=1e-6)
    z = joint.table("Z").values.numpy()
    treated = np.array(
        [sum(z[k] * (t[0][(k,)] == 1) for k in (0, 1)) * t[1][(0,)] for t in types.types]
    ) / float(joint.prob({"X": 1}))
    found = counterfactual_bounds(
        graph, joint.observed(), outcome={"Y": 1}, do={"X": 0}, given={"X": 1}
    )
    assert found.lower == pytest.approx(treated @ types.optimum(treated), abs=1e-6)
    assert found.upper == pytest.approx(treated @ types.optimum(-treated), abs=1e-6)
    truth = float(joint.counterfactual({"Y": 1}, do={"X": 0}, given={"X": 1}))
    assert found.lower - SLACK <= truth <= found.upper + SLACK


def test_what_consistency_settles_is_a_point():
    joint = random_joint(CausalGraph("X -> Y"), np.random.default_rng(0))
    same = counterfactual_bounds(joint, outcome={"Y": 1}, do={"X": 1}, given={"X": 1, "Y": 1})
    assert (same.lower, same.upper) == pytest.approx((1, 1), abs=SLACK)
    effect = counterfactual_bounds(joint, outcome={"Y": 1}, do={"X": 1})
    assert effect.method == "identified"
    assert effect.lower == pytest.approx(float(joint.prob({"Y": 1}, do={"X": 1})))


def test_limits_from_data():
    joint = random_joint(CausalGraph("X -> Y"), np.random.default_rng(0))
    data = sample(joint, 300, np.random.default_rng(1))
    found = counterfactual_bounds(joint.graph, data, **ALWAYS, bootstrap=50, seed=0)
    exact = counterfactual_bounds(joint, **ALWAYS)
    assert found.lower_limit <= exact.lower
    assert exact.upper <= found.upper_limit
    several = CausalGraph("X -> M -> Y; X -> Y")
    law = random_joint(several, np.random.default_rng(2))
    data = sample(law, 300, np.random.default_rng(1))
    found = counterfactual_bounds(several, data, **ALWAYS, bootstrap=2, seed=0)
    assert found.lower_limit <= found.lower <= found.upper <= found.upper_limit


def test_bad_questions():
    joint = random_joint(CausalGraph("X -> Y"), np.random.default_rng(0))
    with pytest.raises(GraphError, match="2 outcomes and 1 acts"):
        counterfactual_bounds(joint, outcome=[{"Y": 1}, {"Y": 0}], do={"X": 1})
    with pytest.raises(ScmError, match="takes a model of tables"):
        counterfactual_bounds(joint.graph, outcome={"Y": 1}, do={"X": 1})
    with pytest.raises(GraphError, match="no node 'W'"):
        counterfactual_bounds(joint, outcome={"Y": 1}, do={"X": 1}, given={"W": 1})
