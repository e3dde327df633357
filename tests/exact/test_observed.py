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


def test_effects_that_parents_do_not_identify_are_refused(joint: Joint):
    seen = joint.observed()
    with pytest.raises(NotIdentifiedError, match=r"do\(Z\): C is latent.*graph\.identify"):
        seen.prob({"Y": 1}, do={"Z": 1})
    with pytest.raises(NotIdentifiedError, match="coupling"):
        seen.counterfactual({"Y": 1}, do={"X": 1}, given={"X": 0})


def test_a_level_that_never_occurs_is_not_identified():
    joint = Joint(
        CausalGraph("Z -> X -> Y"),
        {"Z": [0.5, 0.5], "X": [[1.0, 0.0], [0.5, 0.5]], "Y": [[0.9, 0.1], [0.3, 0.7]]},
    )
    seen = joint.observed()
    assert seen.prob({"Y": 1}, do={"X": 0}) == joint.prob({"Y": 1}, do={"X": 0})
    for do in ({"X": 1}, {"X": None}):
        with pytest.raises(NotIdentifiedError, match="never occurs under some values of Z"):
            seen.table("Y", do=do)
