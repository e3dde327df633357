"""Counterfactuals of `Joint` against enumeration, Monte Carlo and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scm.errors import InterventionError
from scm.exact import Joint
from scm.graph import CausalGraph

from .brute import Network, networks

quick = settings(max_examples=30, deadline=None)


def draw_event(data: st.DataObject, network: Network, least: int = 0) -> dict[str, int]:
    names = st.lists(st.sampled_from(list(network.parents)), min_size=least, max_size=2)
    return {n: data.draw(st.integers(0, network.card(n) - 1)) for n in data.draw(names)}


def joint_of(network: Network, name: str) -> Joint:
    return Joint(
        CausalGraph(network.spec), network.tables, couplings=dict.fromkeys(network.parents, name)
    )


@given(data=st.data())
@quick
def test_monotone_counterfactuals_by_enumeration(data: st.DataObject):
    network = data.draw(networks(most=4, zeros=True))
    joint = joint_of(network, "monotone")
    outcome, do, seen = (draw_event(data, network) for _ in range(3))
    if network.chance(seen) == 0:
        with pytest.raises(InterventionError, match="probability zero"):
            joint.counterfactual(outcome, do, seen)
        return
    expected = network.monotone_counterfactual(outcome, do, seen)
    assert joint.counterfactual(outcome, do, seen).item() == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("seed", range(3))
def test_gumbel_counterfactuals_by_monte_carlo(seed: int):
    parents = {"Z": [], "X": ["Z"], "M": ["X", "Z"], "W": ["X"], "Y": ["M", "W", "Z"]}
    rng, n = np.random.default_rng(seed), 400_000
    cards = {name: int(rng.integers(2, 4)) for name in parents}
    tables = {
        name: rng.dirichlet(np.ones(cards[name]), size=tuple(cards[p] for p in chosen))
        for name, chosen in parents.items()
    }
    network = Network(parents, tables)
    first: dict[str, np.ndarray] = {}
    second: dict[str, np.ndarray] = {}
    for node, chosen in parents.items():
        gumbels = rng.gumbel(size=(n, cards[node]))
        for world in (first, second):
            rows = tables[node][tuple(world[p] for p in chosen)]
            world[node] = (np.log(rows) + gumbels).argmax(-1)
        if node == "X":
            second[node] = np.zeros(n, dtype=int)
    joint = joint_of(network, "gumbel")
    kept = (first["X"] == 1) & (first["Y"] == 0)
    for y in range(cards["Y"]):
        expected = joint.counterfactual({"Y": y}, do={"X": 0}, given={"X": 1, "Y": 0}).item()
        share = (second["Y"][kept] == y).mean()
        assert abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / kept.sum()) + 1e-12
    both = joint.counterfactual({"Y": 1, "W": 0, "Z": 1}, do={"X": 0}, given={"M": 1, "Y": 0})
    kept = (first["M"] == 1) & (first["Y"] == 0)
    share = ((second["Y"] == 1) & (second["W"] == 0) & (second["Z"] == 1))[kept].mean()
    spread = np.sqrt(both.item() * (1 - both.item()) / kept.sum())
    assert abs(share - both.item()) <= 4 * spread + 1e-12


@pytest.mark.parametrize("name", ["gumbel", "monotone"])
@given(data=st.data())
@quick
def test_laws(name: str, data: st.DataObject):
    network = data.draw(networks(zeros=True))
    joint = joint_of(network, name)
    outcome, do, seen = (draw_event(data, network, least=1) for _ in range(3))
    # no evidence: a counterfactual is an intervention
    done = joint.prob(outcome, do)
    torch.testing.assert_close(joint.counterfactual(outcome, do), done, rtol=0, atol=1e-12)
    if network.chance(seen) == 0:
        return
    # nothing done: it is conditioning
    conditional = joint.prob(outcome, given=seen)
    torch.testing.assert_close(
        joint.counterfactual(outcome, given=seen), conditional, rtol=0, atol=1e-12
    )
    # consistency: what is done is what was
    if network.chance({**seen, **do}) > 0 and all(seen.get(n, k) == k for n, k in do.items()):
        kept = {**seen, **do}
        same = joint.counterfactual(outcome, do, kept)
        torch.testing.assert_close(same, joint.prob(outcome, given=kept), rtol=0, atol=1e-11)
    # averaging over the evidence gives the effect back
    node = next(iter(seen))
    total = sum(
        joint.counterfactual(outcome, do, {node: k}) * network.chance({node: k})
        for k in range(network.card(node))
        if network.chance({node: k}) > 0
    )
    assert float(total) == pytest.approx(done.item(), abs=1e-11)


def test_probabilities_of_necessity_and_sufficiency_under_monotonicity():
    # Pearl 2009, section 9.3.2: PN = (P(y|x) - P(y|x')) / P(y|x), PS = ... / P(y'|x')
    tables = {"X": [0.4, 0.6], "Y": [[0.7, 0.3], [0.2, 0.8]]}
    joint = Joint(CausalGraph("X -> Y"), tables, couplings={"Y": "monotone"})
    necessity = joint.counterfactual({"Y": 0}, do={"X": 0}, given={"X": 1, "Y": 1})
    sufficiency = joint.counterfactual({"Y": 1}, do={"X": 1}, given={"X": 0, "Y": 0})
    assert necessity.item() == pytest.approx(0.5 / 0.8)
    assert sufficiency.item() == pytest.approx(0.5 / 0.7)


def test_shared_nodes_keep_their_value():
    tables = {"Z": [0.5, 0.5], "X": [[0.5, 0.5]] * 2, "Y": [[0.9, 0.1], [0.3, 0.7]]}
    joint = Joint(CausalGraph("Z -> X -> Y"), tables)
    assert joint.counterfactual({"Z": 1}, do={"X": 1}, given={"Z": 1}) == 1
    assert joint.counterfactual({"Z": 0}, do={"X": 1}, given={"Z": 1}) == 0
    assert joint.counterfactual({"X": 1}, do={"X": 1}, given={"X": 0}) == 1
    assert joint.counterfactual({"X": 0}, do={"X": 1}, given={"X": 0}) == 0
