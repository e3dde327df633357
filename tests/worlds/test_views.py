"""Views: given, stream, log_prob and fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, Poisson

import scm
from scm import Additive, Linear, Macro, Root, Structural, Tabular


def tables(coupling: str = "gumbel") -> scm.SCM:
    return scm.SCM(
        "Z -> X; Z, X -> Y",
        Z=Root.categorical([0.4, 0.6], coupling=coupling),
        X=Tabular([[0.8, 0.2], [0.3, 0.7]], coupling),
        Y=Tabular(
            [[[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], [[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]]], coupling
        ),
    )


def line() -> scm.SCM:
    return scm.SCM("A -> B", A=Root.normal(), B=Linear({"A": 2.0}, 1.0, Normal(0.0, 0.5)))


def within(found: float, wanted: float, n: int) -> bool:
    """Whether a frequency is within 4 standard errors of a probability."""
    return abs(found - wanted) <= 4 * math.sqrt(wanted * (1 - wanted) / n) + 1e-12


# ---------------------------------------------------------------- exact against sampled


@pytest.mark.parametrize("coupling", ["gumbel", "monotone"])
@pytest.mark.parametrize("do", [None, {"X": 1}, {"Z": 0}, {"X": 0, "Z": 1}])
def test_frequencies_are_the_exact_probabilities(coupling: str, do: dict[str, int] | None) -> None:
    m, n = tables(coupling), 40_000
    units = (m.do(do) if do else m).sample(n, seed=5)
    joint = m.exact()
    for z in range(2):
        for y in range(3):
            found = float(((units["Z"] == z) & (units["Y"] == y)).double().mean())
            assert within(found, float(joint.prob({"Z": z, "Y": y}, do=do)), n)


@pytest.mark.parametrize("coupling", ["gumbel", "monotone"])
def test_counterfactual_frequencies_are_the_exact_ones(coupling: str) -> None:
    m, n = tables(coupling), 40_000
    joint = m.exact()
    rows = {"Z": [0, 1], "X": [0, 1], "Y": [1, 2]}
    units = m.abduct(rows, draws=n, seed=6).sweep(X=[0, 1])
    for row in range(2):
        given = {v: r[row] for v, r in rows.items()}
        for x in range(2):
            for y in range(3):
                found = float((units["Y"][x, :, row] == y).double().mean())
                wanted = float(joint.counterfactual({"Y": y}, do={"X": x}, given=given))
                assert within(found, wanted, n)


@pytest.mark.parametrize("coupling", ["gumbel", "monotone"])
def test_counterfactuals_of_a_conditioned_population_are_the_exact_ones(coupling: str) -> None:
    m, n = tables(coupling), 20_000
    units = m.given(X=0, Y=2).do(X=1).sample(n, seed=7)
    for y in range(3):
        wanted = float(m.exact().counterfactual({"Y": y}, do={"X": 1}, given={"X": 0, "Y": 2}))
        assert within(float((units["Y"] == y).double().mean()), wanted, n)


# ----------------------------------------------------------------------------- given


def test_given_keeps_units_of_the_population() -> None:
    m = tables()
    units = m.given(Y=1, Z=0).sample(50, seed=1)
    assert (units["Y"] == 1).all()
    assert (units["Z"] == 0).all()
    assert units.n == 50
    whole = m.sample(int(units.ids.max()) + 1, seed=1)
    kept = ((whole["Y"] == 1) & (whole["Z"] == 0)).nonzero().squeeze(-1)
    assert units.ids.tolist() == kept.tolist()  # the first fifty that met it, in order
    assert torch.equal(units["X"], whole["X"][kept])
    assert torch.equal(m.given(Y=1, Z=0).sample(20, seed=1).ids, units.ids[:20])


def test_the_share_accepted_is_near_the_exact_probability() -> None:
    m = tables()
    for condition in ({"Y": 1}, {"Y": 2, "X": 0}):
        units = m.given(condition).sample(5000, seed=2)
        p = float(m.exact().prob(condition))
        drawn = 5000 / p
        assert abs(units.accepted - p) < 4 * math.sqrt(p * (1 - p) / drawn)
    assert m.sample(5, seed=0).accepted is None


def test_a_condition_may_be_a_function() -> None:
    units = line().given(A=lambda a: a > 1, B=lambda b: b < 3).sample(100, seed=0)
    assert (units["A"] > 1).all()
    assert (units["B"] < 3).all()
    for wrong in (lambda a: a, lambda a: (a > 0).any(), lambda a: True):
        with pytest.raises(scm.InterventionError, match="condition"):
            line().given(A=wrong).sample(3, seed=0)
    with pytest.raises(scm.InterventionError, match="one value"):
        line().given(A=lambda a, b: a > b)


def test_conditions_are_met_under_the_view_and_later_acts_are_counterfactual() -> None:
    m = tables()
    units = m.do(X=1).given(Y=2).sample(200, seed=3)
    assert (units["X"] == 1).all()
    assert (units["Y"] == 2).all()
    m2 = line()
    chosen = m2.given(B=lambda b: b > 2).sample(100, seed=3)
    later = m2.given(B=lambda b: b > 2).do(A=0.0).sample(100, seed=3)
    assert torch.equal(later.ids, chosen.ids)
    assert torch.equal(later["B"], chosen.do(A=0.0)["B"])
    assert later["B"].min() < 2
    assert later.accepted == chosen.accepted
    worlds = m2.given(B=lambda b: b > 2).sweep(A=[0.0, scm.NATURAL]).sample(100, seed=3)
    torch.testing.assert_close(worlds["B"][1], chosen["B"])
    values = torch.arange(100.0)
    by_unit = m2.given(B=lambda b: b > 2).do(A=values).sample(100, seed=3)
    assert torch.equal(by_unit["A"], values)


def test_level_names_in_conditions() -> None:
    m = scm.SCM("T", T=Tabular([0.5, 0.5], levels=("low", "high")))
    assert (m.given(T="high").sample(5, seed=0)["T"] == 1).all()
    for wrong in ("hihg", ["low", "high"], 2):
        with pytest.raises(scm.InterventionError, match="level"):
            m.given(T=wrong)


def test_conditions_of_probability_zero_are_errors() -> None:
    with pytest.raises(scm.InterventionError, match="probability zero"):
        line().given(A=1.0)
    impossible = scm.SCM("T", T=Tabular([1.0, 0.0]))
    with pytest.raises(scm.InterventionError, match="units met the condition"):
        impossible.given(T=1).sample(3, seed=0)


def test_given_is_called_once_in_one_world() -> None:
    m = line()
    for wrong in (
        lambda: m.sweep(A=[1.0, 2.0]).given(B=lambda b: b > 0),
        lambda: m.given(A=lambda a: a > 0).given(B=lambda b: b > 0),
        lambda: m.given(A=lambda a: a > 0).abduct({"A": [1.0]}),
        lambda: list(m.given(A=lambda a: a > 0).stream(10, 5)),
        lambda: m.given(A=lambda a: a > 0).log_prob({"A": [1.0], "B": [1.0]}),
    ):
        with pytest.raises(scm.InterventionError):
            wrong()


# ---------------------------------------------------------------------------- stream


@pytest.mark.parametrize("batch", [1, 3, 10, 100])
def test_the_batches_of_a_stream_are_the_sample(batch: int) -> None:
    view = line().sweep(A=[0.0, 1.0, torch.arange(10.0), Normal(0.0, 1.0)])
    whole = view.sample(10, seed=8)
    parts = list(view.stream(10, batch, seed=8))
    assert [p.n for p in parts][:-1] == [batch] * (len(parts) - 1)
    assert torch.cat([p.ids for p in parts]).tolist() == list(range(10))
    for v in whole:
        torch.testing.assert_close(torch.cat([p[v] for p in parts], -1), whole[v])
    seeds = {p.seed for p in line().stream(10, 4)}
    assert len(seeds) == 1


def test_shards_are_parts_of_one_population() -> None:
    m = line()
    shards = [m.sample(250, seed=9, start=250 * k)["B"] for k in range(4)]
    torch.testing.assert_close(torch.cat(shards), m.sample(1000, seed=9)["B"])


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3"])
def test_the_number_of_units_is_positive(n: object) -> None:
    with pytest.raises(scm.ScmError, match="expected"):
        line().sample(n, seed=0)
    with pytest.raises(scm.ScmError):
        line().stream(n, 2, seed=0)  # at the call, not at the first batch
    with pytest.raises(scm.ScmError):
        line().stream(2, n, seed=0)


# -------------------------------------------------------------------------- log_prob


def test_log_prob_is_the_sum_over_nodes() -> None:
    a, b = torch.tensor([0.3, -1.0]), torch.tensor([2.0, 0.0])
    wanted = Normal(0.0, 1.0).log_prob(a) + Normal(2 * a + 1, 0.5).log_prob(b)
    found = line().log_prob({"A": a, "B": b})
    assert found.shape == (2,)
    torch.testing.assert_close(found, wanted)


def test_log_prob_of_tables_is_the_exact_probability() -> None:
    m = tables()
    found = m.log_prob({"Z": [0, 1], "X": [1, 1], "Y": [2, 0]}).exp()
    wanted = [float(m.exact().prob({"Z": z, "X": 1, "Y": y})) for z, y in [(0, 2), (1, 0)]]
    torch.testing.assert_close(found, torch.tensor(wanted))


def test_log_prob_under_acts_is_truncated() -> None:
    m, rows = line(), {"A": [0.3], "B": [2.0]}
    a, b = torch.tensor([0.3]), torch.tensor([2.0])
    torch.testing.assert_close(m.do(A=0.3).log_prob(rows), Normal(1.6, 0.5).log_prob(b))
    replaced = m.do(B=Linear({"A": 0.0})).log_prob(rows)
    torch.testing.assert_close(
        replaced, Normal(0.0, 1.0).log_prob(a) + Normal(0.0, 1.0).log_prob(b)
    )
    with pytest.raises(scm.InterventionError, match="no density"):
        m.do(B=lambda A: A).log_prob(rows)


def test_log_prob_integrates_to_one() -> None:
    m = scm.SCM("A", A=Root(torch.distributions.LogNormal(0.2, 0.5)))
    grid = torch.linspace(1e-3, 20.0, 40_000)
    total = torch.trapezoid(m.log_prob({"A": grid}).exp(), grid)
    assert abs(float(total) - 1) < 1e-3


def test_log_prob_refuses_missing_nodes_and_deterministic_densities() -> None:
    with pytest.raises(scm.InterventionError, match=r"\['A'\]"):
        line().log_prob({"B": [1.0]})
    m = scm.SCM("A -> B", A=Root.normal(), B=Structural(lambda A: 2 * A))
    with pytest.raises(scm.MechanismError, match="no density"):
        m.log_prob({"A": [1.0], "B": [2.0]})
    with pytest.raises(scm.InterventionError):
        line().sweep(A=[1.0, 2.0]).log_prob({"A": [1.0], "B": [2.0]})


def test_macro_variables_add_no_density() -> None:
    m = scm.SCM("H => C", H=Root.normal(torch.zeros(2)), C=Macro(lambda h: h[..., 0]))
    units = m.sample(3, seed=0)
    wanted = Normal(0.0, 1.0).log_prob(units["H"]).sum(-1)
    torch.testing.assert_close(m.log_prob({"H": units["H"]}), wanted)
    torch.testing.assert_close(m.log_prob(units), wanted)


# ------------------------------------------------------------------------------- fit


def test_fit_finds_the_parameters_within_their_errors() -> None:
    n = 20_000
    rows = line().sample(n, seed=1)
    m = scm.SCM("A -> B", A=Root.normal(5.0, 5.0), B=Linear())
    assert m.fit(rows) is m
    b = m.mechanisms["B"]
    assert abs(float(b.weights[0].detach()) - 2) < 4 * 0.5 / math.sqrt(n)
    assert abs(float(b.bias.detach()) - 1) < 4 * 0.5 / math.sqrt(n)
    assert abs(float(b.law.scale) - 0.5) < 4 * 0.5 / math.sqrt(2 * n)
    assert abs(float(m.mechanisms["A"].law.loc)) < 4 / math.sqrt(n)


def test_fit_fills_tables_with_relative_frequencies() -> None:
    m = scm.SCM("Z -> X", Z=Root.bernoulli(0.5), X=Tabular([[0.5, 0.5], [0.5, 0.5]]))
    m.fit({"Z": [0, 0, 0, 1], "X": [0, 0, 1, 1]})
    assert m.mechanisms["Z"].table().tolist() == [0.75, 0.25]
    np.testing.assert_allclose(m.mechanisms["X"].table(), [[2 / 3, 1 / 3], [0.0, 1.0]])


def test_fit_refuses_nodes_with_unobserved_parents() -> None:
    m = scm.SCM("U -> A; A -> B", latent=("U",), U=Root.normal(), A=Linear(), B=Linear())
    rows = line().sample(100, seed=0)
    data = {"A": rows["A"], "B": rows["B"]}
    with pytest.raises(scm.MechanismError, match=r"nodes=\['B'\]"):
        m.fit(data)
    with pytest.raises(scm.MechanismError, match="'A' cannot be fitted"):
        m.fit(data, nodes=["A"])
    m.fit(data, nodes=["B"])
    assert abs(float(m.mechanisms["B"].weights[0].detach()) - 2) < 0.5


def test_fit_of_a_module_is_repeatable() -> None:
    def fitted() -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = nn.Linear(1, 1)
        m = scm.SCM("A -> B", A=Root.normal(), B=Additive(net))
        m.fit(line().sample(200, seed=0), nodes=["B"], epochs=3, seed=4, progress=False)
        return net.weight.detach().clone()

    assert torch.equal(fitted(), fitted())


# ----------------------------------------------------------------------- the model


def test_confounded_edges_are_refused_with_the_way_out() -> None:
    with pytest.raises(scm.GraphError, match="U_AB"):
        scm.SCM("A <-> B", A=Root.normal(), B=Root.normal())


def test_latent_nodes_are_sampled_and_known_to_exact() -> None:
    m = scm.SCM(
        "C -> A, B",
        latent=("C",),
        C=Root.bernoulli(0.5),
        A=Tabular([[0.9, 0.1], [0.1, 0.9]]),
        B=Tabular([[0.9, 0.1], [0.1, 0.9]]),
    )
    assert m.sample(5, seed=0)["C"].shape == (5,)
    assert float(m.exact().prob({"A": 1, "B": 1})) == pytest.approx(0.5 * 0.01 + 0.5 * 0.81)


def test_nodes_and_mechanisms_must_match() -> None:
    with pytest.raises(scm.MechanismError, match=r"\['B'\]"):
        scm.SCM("A -> B", A=Root.normal())
    with pytest.raises(scm.MechanismError, match="'C'"):
        scm.SCM("A", A=Root.normal(), C=Root.normal())
    with pytest.raises(scm.MechanismError, match="expected a mechanism"):
        scm.SCM("A", A=3.0)
    with pytest.raises(scm.MechanismError, match="neither parents nor noise"):
        scm.SCM("A", A=Structural(lambda: torch.ones(())))
    assert scm.SCM("A", A=Root(Poisson(2.0))).sample(3, seed=0)["A"].shape == (3,)


def test_replace_changes_a_mechanism_and_no_other_noise() -> None:
    model = scm.SCM("A -> B", A=Root.normal(), B=Additive(lambda A: A, Normal(0.0, 1.0)))
    other = model.replace(B=Additive(lambda A: 2 * A, Normal(0.0, 1.0)))
    units, changed = model.sample(50, seed=0), other.sample(50, seed=0)
    assert torch.equal(units["A"], changed["A"])
    torch.testing.assert_close(changed["B"], units["B"] + units["A"])
    wider = model.replace({"C": Linear({"B": 1.0})}, graph="A -> B -> C")
    assert torch.equal(wider.sample(50, seed=0)["B"], units["B"])
    with pytest.raises(scm.MechanismError, match="no node of the graph"):
        model.replace(C=Root.normal())
