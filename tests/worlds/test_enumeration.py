"""Hidden discrete nodes are drawn from their exact posterior."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal

import scm
from scm import InterventionError, Linear, Root, Structural, Tabular

N = 40_000


def confounded() -> scm.SCM:
    return scm.SCM(
        "C -> A, B; A -> B",
        latent=["C"],
        C=Root.categorical([0.2, 0.3, 0.5]),
        A=Tabular([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]),
        B=Tabular([[[0.9, 0.1], [0.3, 0.7]], [[0.6, 0.4], [0.5, 0.5]], [[0.2, 0.8], [0.1, 0.9]]]),
    )


def near(share: torch.Tensor, exact: float) -> bool:
    """Within 4.5 standard errors: a false alarm in 150,000."""
    return abs(float(share) - exact) < 4.5 * math.sqrt(exact * (1 - exact) / N)


def test_posterior_of_a_hidden_cause_is_exact() -> None:
    model = confounded()
    rows = {"A": torch.ones(N, dtype=torch.int64), "B": torch.zeros(N, dtype=torch.int64)}
    units = model.abduct(rows, seed=0)
    joint = model.exact()
    for level in range(3):
        exact = float(joint.prob({"C": level}, given={"A": 1, "B": 0}))
        assert near((units["C"] == level).double().mean(), exact)
    assert units.status == {"C": "posterior", "A": "posterior", "B": "posterior"}


def test_counterfactual_with_a_hidden_cause_agrees_with_the_exact_one() -> None:
    model = confounded()
    rows = {"A": torch.ones(N, dtype=torch.int64), "B": torch.ones(N, dtype=torch.int64)}
    share = model.abduct(rows, seed=1).do(A=0)["B"].double().mean()
    exact = float(model.exact().counterfactual({"B": 1}, do={"A": 0}, given={"A": 1, "B": 1}))
    assert 0.1 < exact < 0.9
    assert near(share, exact)


def test_draws_have_their_axis() -> None:
    units = confounded().abduct({"A": [1, 0], "B": [0, 1]}, draws=5, seed=0)
    assert units["C"].shape == (5, 2)
    assert units.do(A=1)["B"].shape == (5, 2)


def test_two_hidden_nodes_and_a_deterministic_one_between() -> None:
    model = scm.SCM(
        "P, Q -> S; S -> X",
        P=Root.bernoulli(0.3),
        Q=Root.bernoulli(0.6),
        S=Structural(lambda P, Q: P + Q, type=scm.Categorical(3)),
        X=Linear({"S": [0.0, 1.0, 2.0]}, noise=Normal(0.0, 0.5)),
    )
    units = model.abduct({"X": torch.full((N,), 1.2)}, seed=0)

    def density(s: int) -> float:
        return math.exp(-0.5 * ((1.2 - s) / 0.5) ** 2)

    weight = {
        (p, q): (0.3 if p else 0.7) * (0.6 if q else 0.4) * density(p + q)
        for p in (0, 1)
        for q in (0, 1)
    }
    exact = (weight[1, 0] + weight[1, 1]) / sum(weight.values())
    assert near(units["P"].double().mean(), exact)
    assert bool((units["S"] == units["P"] + units["Q"]).all())
    torch.testing.assert_close(units.do(P=units["P"])["X"], units["X"])


def test_a_row_of_probability_zero_is_refused() -> None:
    model = scm.SCM("C -> A", C=Root.bernoulli(0.0), A=Tabular([[1.0, 0.0], [0.0, 1.0]]))
    with pytest.raises(InterventionError, match=r"row 1 has probability zero"):
        model.abduct({"A": [0, 1]})
