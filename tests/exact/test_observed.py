"""`Observed`: latent names are refused, and so is what parents do not identify."""

from __future__ import annotations

import numpy as np
import pytest

from scm.errors import GraphError, InterventionError, NotIdentifiedError
from scm.exact import Joint
from scm.graph import CausalGraph


@pytest.fixture
def joint() -> Joint:
    rng = np.random.default_rng(0)
    graph = CausalGraph("C -> Z, Y; Z -> X; X -> Y", latent=["C"])
    shapes = {"C": (), "Z": (2,), "X": (2,), "Y": (2, 2)}
    return Joint(graph, {n: rng.dirichlet(np.ones(2), size=shape) for n, shape in shapes.items()})


def test_the_margin_agrees_with_the_joint(joint: Joint):
    seen = joint.observed()
    assert seen.names == ("Z", "Y", "X")
    assert set(seen.levels) == {"Z", "X", "Y"}
    assert seen.graph == joint.graph
    assert repr(seen) == "Observed(Z, Y, X)"
    assert seen.prob({"Y": 1}, given={"X": 1}) == joint.prob({"Y": 1}, given={"X": 1})
    assert (seen.table("Y", "Z").values == joint.table("Y", "Z").values).all()
    assert seen.counterfactual({"Y": 1}, given={"X": 1}) == joint.prob({"Y": 1}, given={"X": 1})


def test_observed_parents_identify(joint: Joint):
    seen = joint.observed()
    table = seen.table("X", "Y", "Z").values
    # P(y | do(x)) = sum over z of P(x, y, z) / P(x | z), from the margin alone
    by_hand = (table / (table.sum(1, keepdim=True) / table.sum((0, 1)))).sum(2)
    assert seen.prob({"Y": 1}, do={"X": 1}).item() == pytest.approx(by_hand[1, 1].item(), abs=1e-12)
    assert np.allclose(seen.table("Y", do="X").values, by_hand, atol=1e-12)


def test_latent_names_are_refused(joint: Joint):
    seen = joint.observed()
    for ask in (
        lambda: seen.prob({"C": 1}),
        lambda: seen.prob({"Y": 1}, do={"C": 1}),
        lambda: seen.prob({"Y": 1}, given={"C": 1}),
        lambda: seen.table("C"),
        lambda: seen.table("Y", do="C"),
        lambda: seen.table("Y", given=("C",)),
    ):
        with pytest.raises(InterventionError, match="'C' is latent"):
            ask()
    with pytest.raises(GraphError, match="did you mean 'Z'"):
        seen.prob({"Y": 1}, do={"z": 1})


def test_complete_identification(joint: Joint):
    # Z has a latent parent: adjusting for parents would not do
    seen = joint.observed()
    truth = joint.table("Y", do="X", given="Z").values
    assert np.allclose(seen.table("Y", do="X", given="Z").values, truth, atol=1e-12)
    truth = joint.table("X", "Y", do={"Z": 1}).values
    assert np.allclose(seen.table("X", "Y", do={"Z": 1}).values, truth, atol=1e-12)
    truth = joint.prob({"Y": 1}, do={"X": 1}, given={"Z": 0}).item()
    found = seen.prob({"Y": 1}, do={"X": 1}, given={"Z": 0}).item()
    assert found == pytest.approx(truth, abs=1e-12)
    assert seen.prob({"X": 1}, do={"X": 1}) == 1
    assert seen.prob({"X": 1, "Y": 1}, do={"X": 0}) == 0
    with pytest.raises(InterventionError, match="probability zero"):
        seen.prob({"Y": 1}, do={"X": 1}, given={"X": 0})
    with pytest.raises(InterventionError, match="cannot stand in two places"):
        seen.table("Y", do="X", given="X")


def test_front_door_from_the_margin():
    rng = np.random.default_rng(1)
    graph = CausalGraph("U -> X, Y; X -> M -> Y", latent=["U"])
    shapes = {"U": (), "X": (2,), "M": (2,), "Y": (2, 2)}
    joint = Joint(graph, {n: rng.dirichlet(np.ones(2), size=s) for n, s in shapes.items()})
    seen = joint.observed()
    assert np.allclose(seen.table("Y", do="X").values, joint.table("Y", do="X").values, atol=1e-12)
    table = seen.table("Y", "M", do={"X": 1})
    assert table.names == ("Y", "M")
    assert np.allclose(table.values, joint.table("Y", "M", do={"X": 1}).values, atol=1e-12)


def test_effects_that_are_not_identified_carry_the_hedge():
    joint = Joint(
        CausalGraph("C -> X, Y; X -> Y", latent=["C"]),
        {"C": [0.5, 0.5], "X": np.full((2, 2), 0.5), "Y": np.full((2, 2, 2), 0.5)},
    )
    seen = joint.observed()
    with pytest.raises(NotIdentifiedError, match=r"X <-> Y through C.*bounds") as raised:
        seen.prob({"Y": 1}, do={"X": 1})
    assert raised.value.hedge.roots == ("Y",)
    with pytest.raises(NotIdentifiedError, match="coupling"):
        seen.counterfactual({"Y": 1}, do={"X": 1}, given={"X": 0})


def test_a_cell_that_never_occurs_is_named():
    flat = [[0.9, 0.1], [0.3, 0.7]]
    joint = Joint(
        CausalGraph("Z -> X; Z, X -> Y"),
        {"Z": [0.5, 0.5], "X": [[1.0, 0.0], [0.5, 0.5]], "Y": [flat, flat]},
    )
    seen = joint.observed()
    truth = joint.prob({"Y": 1}, do={"X": 0}).item()
    assert seen.prob({"Y": 1}, do={"X": 0}).item() == pytest.approx(truth, abs=1e-12)
    with pytest.raises(NotIdentifiedError, match=r"X=1, Z=0, which never occurs") as raised:
        seen.prob({"Y": 1}, do={"X": 1})
    assert raised.value.hedge is None
    assert seen.table("Y", do={"X": 1}).values.isnan().all()
    with pytest.raises(NotIdentifiedError, match="never occurs"):
        seen.table("Y", do={"X": 1}).prob({"Y": 1})
