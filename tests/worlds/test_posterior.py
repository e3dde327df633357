"""Posteriors of nodes that no mechanism alone can find: weights, and joint encoders."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

import scm
from scm import Additive, Encoder, Linear, Root, Structural, Tabular


def chain() -> scm.SCM:
    return scm.SCM(
        "A -> B -> C",
        A=Root.normal(),
        B=Linear({"A": 2.0}),
        C=Additive(lambda B: B**2, Normal(0.0, 0.5)),
    )


def collider(encoders: tuple[Encoder, ...] = ()) -> scm.SCM:
    return scm.SCM(
        "Z, F -> X",
        Z=Root.normal(),
        F=Root.normal(0.0, 2.0),
        X=Structural(lambda Z, F: Z + F),
        encoders=encoders,
    )


def test_importance_against_the_closed_form_of_a_linear_gaussian_model() -> None:
    """Z ~ N(0, 1), X = 2 Z + N(0, 0.5^2): Z | x is N(2x / (4 + 0.25), 0.25 / (4 + 0.25))."""
    m = scm.SCM(
        "Z -> X; Z -> Y",
        Z=Root.normal(),
        X=Linear({"Z": 2.0}, noise=Normal(0.0, 0.5)),
        Y=Linear({"Z": 3.0}),
    )
    xs, draws = torch.tensor([-1.0, 0.0, 2.0]), 20_000
    units = m.abduct({"X": xs}, method="importance", draws=draws, seed=1)
    weights = units.log_weights.exp()
    torch.testing.assert_close(weights.sum(0), torch.ones(3))
    assert weights.shape == (draws, 3)
    mean, var = 2 * xs / 4.25, 0.25 / 4.25
    effective = 1 / weights.square().sum(0)
    error = 5 * (var / effective).sqrt()
    for node, scale in (("Z", 1.0), ("Y", 3.0)):
        found = (weights * units[node]).sum(0)
        spread = error if node == "Z" else 5 * ((9 * var + 1) / effective).sqrt()
        assert ((found - scale * mean).abs() < spread).all()
    found_var = (weights * (units["Z"] - mean).square()).sum(0)
    assert ((found_var - var).abs() < 5 * var * (2 / effective).sqrt()).all()
    assert units.status == {"Z": "approximate", "X": "approximate", "Y": "prior"}
    assert (units["X"] == xs).all()
    torch.testing.assert_close(2 * units["Z"] + 0.5 * units.noise["X"], units["X"])
    # ETT-like: had Z been one higher, X would have been two higher for every draw.
    torch.testing.assert_close(units.do(Z=lambda natural: natural + 1)["X"], units["X"] + 2)
    assert torch.equal(units[1:].log_weights, units.log_weights[:, 1:])
    assert torch.equal(units.do(Z=0.0).log_weights, units.log_weights)


def test_importance_with_a_discrete_latent() -> None:
    """P(C | X) by Bayes' rule, in closed form."""
    m = scm.SCM(
        "C -> X",
        latent=("C",),
        C=Tabular([0.5, 0.5]),
        X=Additive(lambda C: 2.0 * C, Normal(0.0, 1.0)),
    )
    xs = torch.tensor([0.0, 1.0, 1.5])
    draws = 20_000
    units = m.abduct({"X": xs}, method="importance", draws=draws, seed=2)
    found = (units.log_weights.exp() * units["C"]).sum(0)
    wanted = 1 / (1 + (2.0 - 2.0 * xs).exp())
    effective = 1 / units.log_weights.exp().square().sum(0)
    assert ((found - wanted).abs() < 4 * (wanted * (1 - wanted) / effective).sqrt()).all()


def test_importance_needs_draws_and_a_bandwidth_where_there_is_no_density() -> None:
    with pytest.raises(scm.InterventionError, match="draws"):
        chain().abduct({"B": [1.0]}, method="importance")
    with pytest.raises(scm.InterventionError, match="importance"):
        chain().abduct({"B": [1.0]}, method="smc", draws=3)  # type: ignore[arg-type]
    with pytest.raises(scm.MechanismError, match="bandwidth"):
        collider().abduct({"X": [1.0]}, method="importance", draws=10)
    units = collider().abduct(
        {"X": [3.0]}, method="importance", draws=20_000, bandwidth=0.1, seed=0
    )
    weights = units.log_weights.exp()
    effective = float(1 / weights.square().sum())
    # Z + F = 3 with variances 1 and 4 (and h^2): Z | X is N(3 / 5.01, 4.01 / 5.01).
    found = float((weights * units["Z"]).sum())
    assert abs(found - 3 / 5.01) < 4 * math.sqrt(4.01 / 5.01 / effective)
    assert units.status["Z"] == "approximate"


def test_few_effective_draws_are_a_warning_and_none_an_error() -> None:
    m = scm.SCM("Z -> X", Z=Root.normal(), X=Linear({"Z": 1.0}, noise=Normal(0.0, 1e-3)))
    with pytest.warns(UserWarning, match="effective draws"):
        m.abduct({"X": [0.3]}, method="importance", draws=20, seed=0)
    t = scm.SCM("A -> B", A=Tabular([1.0, 0.0]), B=Tabular([[1.0, 0.0], [0.0, 1.0]]))
    with pytest.raises(scm.ScmError, match="row 0"):
        t.abduct({"B": [1]}, method="importance", draws=20, seed=0)


class Knows(nn.Module):
    """Z + F = X: hands half of X to each, in units of their base noise."""

    def __init__(self, off: float = 0.0) -> None:
        super().__init__()
        self.off = off

    def forward(self, features: Tensor) -> Tensor:
        assert features.shape[-1] == 1
        return torch.cat([features / 2 + self.off, features / 4], -1)


def test_a_joint_encoder_finds_what_no_mechanism_can() -> None:
    encoder = Encoder(nodes=("Z", "F"), given=("X",), net=Knows())
    units = collider((encoder,)).abduct({"X": [4.0, -2.0]})
    assert units["Z"].tolist() == [2.0, -1.0]
    assert units["F"].tolist() == [2.0, -1.0]
    assert units.status == {"Z": "approximate", "F": "approximate", "X": "approximate"}
    torch.testing.assert_close(units.residual["X"], torch.zeros(2))
    torch.testing.assert_close(units.do(Z=0.0)["X"], torch.tensor([2.0, -1.0]))
    assert units.do(Z=0.0).status["X"] == "approximate"
    assert torch.equal(units[1:].residual["X"], units.residual["X"][1:])


def test_an_encoder_reports_its_residual() -> None:
    encoder = Encoder(nodes=("Z", "F"), given=("X",), net=Knows(off=0.5))
    units = collider((encoder,)).abduct({"X": [4.0, -2.0]})
    torch.testing.assert_close(units.residual["X"], torch.full((2,), 0.5))
    assert units["X"].tolist() == [4.0, -2.0]  # the observed value stays


def test_an_encoder_may_be_a_posterior_with_draws() -> None:
    """Exact: Z | X is N(X / 5, 4 / 5), F = X - Z; given as means and log scales of the noise."""

    def net(X: Tensor) -> torch.distributions.Distribution:
        mean = torch.stack([X / 5], -1)
        return torch.distributions.Independent(Normal(mean, math.sqrt(0.8)), 1)

    m = scm.SCM(
        "Z -> X",
        Z=Root.normal(),
        X=Linear({"Z": 1.0}, noise=Normal(0.0, 2.0)),
        encoders=[Encoder(nodes="Z", given="X", net=net)],
    )
    units = m.abduct({"X": [5.0, 0.0]}, draws=10_000, seed=0)
    error = 4 * math.sqrt(0.8 / 10_000)
    assert (units["Z"].mean(0) - torch.tensor([1.0, 0.0])).abs().max() < error
    torch.testing.assert_close(units["Z"] + 2 * units.noise["X"], units["X"], atol=1e-4, rtol=1e-4)
    assert units.status["X"] == "approximate"


def test_encoders_are_checked() -> None:
    with pytest.raises(scm.MechanismError, match="both"):
        Encoder(nodes="X", given="X", net=Knows())
    with pytest.raises(scm.MechanismError, match="have none"):
        collider((Encoder(nodes="X", given="Z", net=Knows()),))
    with pytest.raises(scm.MechanismError, match="'Q'"):
        collider((Encoder(nodes="Q", given="Z", net=Knows()),))
    wrong = Encoder(nodes=("Z", "F"), given="X", net=nn.Linear(1, 3))
    with pytest.raises(scm.MechanismError, match=r"\(units, 2\)"):
        collider((wrong,)).abduct({"X": [1.0]})
