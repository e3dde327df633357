"""Natural bounds, bounds under a randomised intervention, and when two of these nest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scm.errors import GraphError, InterventionError, NotIdentifiedError, ScmError
from scm.estimate import Interval
from scm.estimators.bounds import (
    collider_counterexample,
    compare_strategies,
    intervention_bounds,
    natural_bounds,
)
from scm.graph import CausalGraph
from tests.estimators.brute_types import random_joint, sample

SEEDS = st.integers(0, 2**32 - 1)
FIGURE_4C = CausalGraph("C -> U, Y; Z, U, F -> X; X -> Y", latent=["C", "U", "F"])


@given(SEEDS)
@settings(max_examples=40)
def test_natural_bounds_contain_the_effect(seed):
    joint = random_joint(FIGURE_4C, np.random.default_rng(seed), {"X": 3})
    for source in (joint, joint.observed()):
        bounds = natural_bounds(source, {"Y": 1}, do={"X": 2})
        assert float(joint.prob({"Y": 1}, do={"X": 2})) in bounds
        assert bounds.width == pytest.approx(1 - float(joint.prob({"X": 2})))


@given(SEEDS)
@settings(max_examples=40)
def test_bounds_under_an_intervention(seed):
    """They contain the effect, their width is 1 - P(x|z), and they nest iff the changes say so."""
    joint = random_joint(FIGURE_4C, np.random.default_rng(seed))
    first, second = (intervention_bounds(joint, {"Y": 1}, do={"X": 1}, z={"Z": z}) for z in (1, 0))
    truth = float(joint.prob({"Y": 1}, do={"X": 1}))
    for bounds, z in ((first, 1), (second, 0)):
        assert truth in bounds
        assert bounds.width == pytest.approx(1 - float(joint.prob({"X": 1}, do={"Z": z})))
    comparison = compare_strategies(first, second)
    assert truth in comparison.intersection
    inside = second.lower <= first.lower and first.upper <= second.upper
    around = first.lower <= second.lower and second.upper <= first.upper
    assert (comparison.nested == "first") == inside
    assert (comparison.nested == "second") == (around and not inside)
    dx = float(joint.prob({"X": 1}, do={"Z": 1}) - joint.prob({"X": 1}, do={"Z": 0}))
    assert comparison.change_of_treatment == pytest.approx(dx)


def test_the_counterexample_to_theorem_1():
    joint = collider_counterexample()
    first, second = (intervention_bounds(joint, {"Y": 1}, do={"X": 1}, z={"Z": z}) for z in (1, 0))
    comparison = compare_strategies(first, second)
    assert comparison.narrower == "first"
    assert comparison.nested is None
    assert compare_strategies(first, first).nested == "first"
    assert compare_strategies(first, first).narrower is None


def test_how_often_theorem_1_fails():
    """20,000 random binary models (uniform tables) of Figure 4c; PAPERS.md found 5.3%."""
    rng = np.random.default_rng(0)
    n = 20_000
    c, u, f = rng.random(n), rng.random((n, 2)), rng.random(n)
    x = rng.random((n, 2, 2, 2))  # P(X = 1 | z, u, f)
    y = rng.random((n, 2))  # P(Y = 1 | X = 1, c)
    weight_c = np.stack([1 - c, c], 1)
    weight_u = np.stack([1 - u, u], 2)  # (n, c, u)
    weight_f = np.stack([1 - f, f], 1)
    x_given = np.einsum("ncu,nzuf,nf->nzc", weight_u, x, weight_f)
    treated = np.einsum("nc,nzc->nz", weight_c, x_given)
    both = np.einsum("nc,nzc,nc->nz", weight_c, x_given, y)
    effect = (weight_c * y).sum(1)
    lower, upper = both, both + 1 - treated
    assert ((lower <= effect[:, None] + 1e-12) & (effect[:, None] <= upper + 1e-12)).all()
    dx, dxy = treated[:, 1] - treated[:, 0], both[:, 1] - both[:, 0]
    sign = np.sign(dx)
    nested = (sign * dxy >= 0) & (sign * dxy <= sign * dx)
    share = 1 - nested.mean()
    print(f"GenInt's nesting claim fails in {100 * share:.2f}% of {n} models")
    assert 0.03 < share < 0.08


def test_theorem_2():
    """Observing C or Z identifies the effect; observing neither does not."""
    spec = "C -> Z, Y; Z, F -> X; X -> Y"
    with pytest.raises(NotIdentifiedError):
        CausalGraph(spec, latent=["C", "Z", "F"]).identify("Y", do="X")
    rng = np.random.default_rng(0)
    for latent in (["C", "F"], ["Z", "F"]):
        graph = CausalGraph(spec, latent=latent)
        joint = random_joint(graph, rng)
        value = graph.identify("Y", do="X").evaluate(joint).prob({"Y": 1}, do={"X": 1})
        assert float(value) == pytest.approx(float(joint.prob({"Y": 1}, do={"X": 1})), abs=1e-9)


def test_data_of_every_kind_agree():
    import pandas as pd

    joint = random_joint(FIGURE_4C, np.random.default_rng(1))
    data = sample(joint, 300, np.random.default_rng(2))
    tensors = {name: torch.as_tensor(column) for name, column in data.items()}
    ends = {natural_bounds(d, {"Y": 1}, do={"X": 1}) for d in (data, tensors, pd.DataFrame(data))}
    assert len(ends) == 1
    (bounds,) = ends
    share = np.mean((data["X"] == 1) & (data["Y"] == 1))
    assert bounds.lower == pytest.approx(share)
    assert bounds.upper == pytest.approx(share + 1 - np.mean(data["X"] == 1))
    assert bounds.n == 300


def test_samples_of_a_model_and_of_an_act():
    import scm

    same = [[1.0, 0.0], [0.0, 1.0]]
    flat = [[[0.6, 0.4], [0.2, 0.8]], [[0.5, 0.5], [0.3, 0.7]]]
    model = scm.SCM(
        "C -> U, Y; Z, U -> X; X -> Y",
        latent=("C", "U"),
        C=scm.Root.bernoulli(0.5),
        U=scm.mechanisms.Tabular(same),
        Z=scm.Root.bernoulli(0.5),
        X=scm.mechanisms.Tabular(flat),
        Y=scm.mechanisms.Tabular(flat),
    )
    truth = float(model.exact().prob({"Y": 1}, do={"X": 1}))
    seen = natural_bounds(model.sample(2000, seed=0), {"Y": 1}, do={"X": 1})
    assert seen.lower_limit <= truth <= seen.upper_limit
    assert natural_bounds(model, {"Y": 1}, do={"X": 1}).level is None
    done = model.do(Z=1).sample(2000, seed=0)
    found = intervention_bounds(done, {"Y": 1}, do={"X": 1}, z={"Z": 1})
    exact = intervention_bounds(model, {"Y": 1}, do={"X": 1}, z={"Z": 1})
    assert found.n == 2000
    assert found.lower_limit <= exact.lower
    assert exact.upper <= found.upper_limit
    with pytest.raises(InterventionError, match="an act on Z"):
        natural_bounds(done, {"Y": 1}, do={"X": 1})


def test_binomial_limits_cover():
    """200 samples; exact limits miss in at most 5%: 21 or more misses have probability 0.1%."""
    joint = random_joint(FIGURE_4C, np.random.default_rng(3))
    truth = natural_bounds(joint.observed(), {"Y": 1}, do={"X": 1})
    rng = np.random.default_rng(4)
    missed = 0
    for _ in range(200):
        found = natural_bounds(sample(joint, 60, rng), {"Y": 1}, do={"X": 1})
        missed += not (found.lower_limit <= truth.lower and truth.upper <= found.upper_limit)
    assert missed <= 20


def test_named_levels_and_several_outcomes():
    data = {"X": ["a", "a", "b", "b"], "Y": [1, 0, 1, 1], "W": [0, 0, 1, 0]}
    bounds = natural_bounds(data, {"Y": 1, "W": 0}, do={"X": "b"})
    assert (bounds.lower, bounds.upper) == (0.25, 0.75)


def test_bad_questions():
    joint = collider_counterexample()
    data = {"X": [0, 1, 1], "Y": [0, 1, 0], "Z": [0, 0, 1]}
    with pytest.raises(GraphError, match="'X' is in outcome and in do"):
        natural_bounds(joint, {"X": 1}, do={"X": 1})
    with pytest.raises(GraphError, match="did you mean 'X'"):
        natural_bounds(data, {"Y": 1}, do={"x": 1})
    with pytest.raises(GraphError, match="outcome is empty"):
        natural_bounds(data, {}, do={"X": 1})
    with pytest.raises(InterventionError, match="'X' has no level 5"):
        natural_bounds(data, {"Y": 1}, do={"X": 5})
    with pytest.raises(InterventionError, match="do must map names to levels"):
        natural_bounds(data, {"Y": 1}, do="X")
    with pytest.raises(ScmError, match="'Y' is continuous"):
        natural_bounds({**data, "Y": [0.1, 0.7, 0.3]}, {"Y": 1}, do={"X": 1})
    with pytest.raises(GraphError, match="z is empty"):
        intervention_bounds(joint, {"Y": 1}, do={"X": 1}, z={})
    with pytest.raises(GraphError, match="reaches Y around X"):
        intervention_bounds(joint, {"Y": 1}, do={"X": 1}, z={"C": 1})
    with pytest.raises(ScmError, match="X=0 never occurs in the 1 rows"):
        intervention_bounds(data, {"Y": 1}, do={"X": 0}, z={"Z": 1})
    with pytest.raises(ScmError, match="disjoint"):
        _ = compare_strategies(Interval(0, 0.2, "a"), Interval(0.5, 0.6, "b")).intersection
