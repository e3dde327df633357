"""What may be done to a node, and what each kind of act means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import (
    Bernoulli,
    Binomial,
    Laplace,
    MultivariateNormal,
    Normal,
    Poisson,
    Uniform,
)
from torch.distributions import Categorical as Levels

import scm
from scm import Additive, Linear, Root, Structural, Tabular
from scm.mechanisms import Categorical

N = 4000
FOUR = 4 / np.sqrt(N)  # four standard errors of a correlation of independent columns


def model() -> scm.SCM:
    return scm.SCM(
        "Z -> X; Z, X -> Y; T",
        Z=Root.normal(),
        X=Linear({"Z": 2.0}, noise=Normal(0.0, 0.5)),
        Y=Additive(lambda Z, X: Z * X),
        T=Tabular([0.2, 0.3, 0.5], levels=("low", "mid", "high")),
    )


def correlation(a: Tensor, b: Tensor) -> float:
    return float(np.corrcoef(a.double().numpy(), b.double().numpy())[0, 1])


def test_a_view_shares_parameters_and_changes_nothing() -> None:
    m = model()
    before = m.sample(5, seed=0)
    text = repr(m.graph)
    view = m.do(X=1.0).sweep(Z=[1.0, 2.0])
    view.sample(5, seed=0)
    assert view.program.mechanisms["X"] is m.mechanisms["X"]
    assert repr(m.graph) == text
    after = m.sample(5, seed=0)
    assert all(torch.equal(before[v], after[v]) for v in before)
    with torch.no_grad():
        m.mechanisms["X"].bias.fill_(100.0)
    assert m.do(Z=0.0).sample(50, seed=0)["X"].mean() > 90  # made after the change
    assert view.sample(5, seed=0)["Y"].abs().sum() > 0


def test_one_act_a_node_the_last_wins() -> None:
    m = model()
    assert (m.do(X=1.0).do(X=2.0).sample(3, seed=0)["X"] == 2).all()
    swept = m.sweep(X=[1.0, 2.0]).do(X=3.0)
    assert swept.sample(3, seed=0)["X"].shape == (3,)
    units = m.do(X=lambda Z: Z).sample(3, seed=0).do(X=7.0)
    assert (units["X"] == 7).all()


def test_a_number_is_set_for_all_units_and_a_tensor_by_unit() -> None:
    m = model()
    assert (m.do(X=1).sample(3, seed=0)["X"] == 1.0).all()
    values = torch.tensor([1.0, 2.0, 3.0])
    for value in (values, values.numpy(), [1.0, 2.0, 3.0], (1, 2, 3)):
        assert torch.equal(m.do(X=value).sample(3, seed=0)["X"], values)
    assert m.do(T="mid").sample(3, seed=0)["T"].tolist() == [1, 1, 1]
    assert m.do(T=["low", "high", "mid"]).sample(3, seed=0)["T"].tolist() == [0, 2, 1]
    assert m.do(T=2).sample(2, seed=0)["T"].tolist() == [2, 2]


def test_an_act_keeps_the_value_it_was_given() -> None:
    mine = torch.tensor([1.0, 2.0, 3.0])
    view = model().do(X=mine)
    units = view.sample(3, seed=0)
    mine.zero_()
    assert units["X"].tolist() == [1.0, 2.0, 3.0]


def test_a_function_sees_the_parents_in_this_world() -> None:
    m = model()
    units = m.do(X=lambda Z: Z + 1, Z=5.0).sample(4, seed=0)
    assert (units["X"] == 6).all()
    swept = m.sweep(Z=[1.0, 2.0]).do(X=lambda Z: 10 * Z).sample(3, seed=0)
    assert torch.equal(swept["X"], torch.tensor([10.0, 20.0])[:, None].expand(2, 3))


def test_natural_is_the_value_in_this_world_after_the_other_acts() -> None:
    m = model()
    plain = m.do(Z=5.0).sample(6, seed=0)
    acted = m.do(X=lambda natural: natural + 1).do(Z=5.0).sample(6, seed=0)
    assert torch.equal(acted["X"], plain["X"] + 1)
    both = m.do(X=lambda natural, Z: natural * 0 + Z).sample(6, seed=0)
    assert torch.equal(both["X"], both["Z"])
    assert torch.equal(m.do(X=lambda **a: a["natural"]).sample(6, seed=0)["X"], m.sample(6, 0)["X"])


def test_a_function_of_other_names_is_refused_with_both_lists() -> None:
    with pytest.raises(scm.InterventionError, match=r"'Q'.*'Z', 'natural'"):
        model().do(X=lambda Z, Q: Z + Q)


@pytest.mark.parametrize("law", [Normal(1.0, 2.0), Laplace(0.0, 1.0)])
def test_a_distribution_is_drawn_apart_from_the_noise(
    law: torch.distributions.Distribution,
) -> None:
    m = model()
    drawn, plain = m.do(X=law).sample(N, seed=0), m.sample(N, seed=0)
    for v in ("Z", "X"):
        assert abs(correlation(drawn["X"], plain.noise[v])) < FOUR
    assert abs(float(drawn["X"].mean() - law.mean)) < 4 * float(law.stddev) / np.sqrt(N)
    assert torch.equal(m.do(X=law).sample(50, seed=0)["X"], drawn["X"][:50])
    assert torch.equal(m.do(X=law).sample(5, seed=0, start=20)["X"], drawn["X"][20:25])
    assert torch.equal(plain.do(X=law)["X"], drawn["X"])
    assert torch.equal(m.do(X=law, Z=0.0).sample(N, seed=0)["X"], drawn["X"])


def test_one_distribution_in_several_worlds_is_one_draw() -> None:
    """The stream is (seed, node, "do", unit): no world is in it."""
    swept = model().sweep(X=[Normal(0.0, 1.0), Normal(5.0, 1.0)]).sample(10, seed=0)["X"]
    torch.testing.assert_close(swept[0] + 5, swept[1])


@pytest.mark.parametrize(
    ("law", "p"),
    [
        (Levels(torch.tensor([0.1, 0.2, 0.7])), [0.1, 0.2, 0.7]),
        (Bernoulli(0.3), [0.7, 0.3, 0.0]),
        (Binomial(2, torch.tensor(0.5)), [0.25, 0.5, 0.25]),
    ],
)
def test_a_distribution_over_levels(law: torch.distributions.Distribution, p: list[float]) -> None:
    m = model()
    drawn = m.do(T=law).sample(N, seed=0)["T"]
    assert drawn.dtype == torch.int64
    found = torch.bincount(drawn, minlength=3).double() / N
    wanted = torch.tensor(p).double()
    assert ((found - wanted).abs() <= 4 * (wanted * (1 - wanted) / N).sqrt() + 1e-12).all()
    assert abs(correlation(drawn, m.sample(N, seed=0)["T"])) < FOUR
    assert torch.equal(m.do(T=law).sample(7, seed=0)["T"], drawn[:7])


@pytest.mark.parametrize("law", [Normal(0.0, 1.0), Poisson(3.0), Levels(torch.ones(4))])
def test_a_distribution_beyond_the_levels_is_refused(law: object) -> None:
    with pytest.raises(scm.InterventionError, match="'T'"):
        model().do(T=law)


def test_a_mechanism_keeps_the_noise_if_it_declares_the_same() -> None:
    m = model()
    units = m.sample(N, seed=0)
    kept = m.do(X=Additive(lambda Z: -Z, noise=Normal(0.0, 3.0))).sample(N, seed=0)
    torch.testing.assert_close(kept["X"], -units["Z"] + 3 * units.noise["X"])
    other = m.do(X=Additive(lambda Z: 0 * Z, noise=Uniform(0.0, 1.0))).sample(N, seed=0)
    for v in ("X", "Z"):
        assert abs(correlation(other["X"], units.noise[v])) < FOUR
    assert torch.equal(units.do(X=Additive(lambda Z: 0 * Z, Uniform(0.0, 1.0)))["X"], other["X"])
    assert (m.do(X=Structural(lambda Z: 3 * Z)).sample(3, seed=0)["X"] == 3 * units["Z"][:3]).all()


def test_a_root_may_replace_a_mechanism_with_parents() -> None:
    m = model()
    units = m.do(X=Root.normal(10.0, 0.1)).sample(N, seed=0)
    assert abs(correlation(units["X"], units["Z"])) < FOUR
    torch.testing.assert_close(units["X"], 10 + 0.1 * units.noise["X"])
    assert m.do(T=Root.categorical([0.0, 0.0, 1.0])).sample(5, seed=0)["T"].tolist() == [2] * 5


def test_a_mechanism_bound_to_another_node_is_refused() -> None:
    m = model()
    with pytest.raises(scm.InterventionError, match="make a new one"):
        m.do(X=m.mechanisms["Y"])
    with pytest.raises(scm.InterventionError, match="Categorical"):
        m.do(X=Tabular([0.5, 0.5]))
    with pytest.raises(scm.InterventionError, match="'X'"):
        m.do(X=Additive(lambda Q: Q))


@pytest.mark.parametrize(
    "value", [None, "one", object(), nn.Linear(1, 1), Additive, [], {"a": 1}, [[1.0], [2.0, 3.0]]]
)
def test_anything_else_is_an_error_that_names_the_options(value: object) -> None:
    with pytest.raises(
        scm.InterventionError, match="'X'.*expected|expected.*'X'|a number or tensor"
    ):
        model().do(X=value).sample(2, seed=0)


def test_numbers_that_are_not_finite_are_refused() -> None:
    for value in (float("nan"), torch.tensor([1.0, float("inf"), 0.0])):
        with pytest.raises(scm.InterventionError, match="NaN or infinite"):
            model().do(X=value)


def test_levels_that_do_not_exist_are_refused() -> None:
    for value in ("hgih", 3, -1, 0.5, ["low", "lowest", "mid"]):
        with pytest.raises(scm.InterventionError, match="level"):
            model().do(T=value)
    with pytest.raises(scm.InterventionError, match="did you mean 'high'"):
        model().do(T="hgih")


@pytest.mark.parametrize("verb", ["do", "sweep", "man", "given"])
def test_unknown_names_are_refused_with_the_nearest(verb: str) -> None:
    m = scm.SCM("alpha -> beta", alpha=Root.normal(), beta=Linear({"alpha": 1.0}))
    with pytest.raises(scm.InterventionError, match=f"{verb}.*'alpah'.*did you mean 'alpha'"):
        getattr(m, verb)(alpah=[1.0])
    with pytest.raises(scm.InterventionError, match="did you mean 'alpha'"):
        m.sample(2, seed=0)["alpah"]
    with pytest.raises(scm.InterventionError, match="did you mean 'alpha'"):
        m.abduct({"alpah": [1.0]})


@pytest.mark.parametrize("verb", ["do", "sweep", "given"])
def test_a_verb_needs_each_node_once(verb: str) -> None:
    act = getattr(model(), verb)
    for wrong in (
        lambda: act(),
        lambda: act({}),
        lambda: act({"X": [1.0]}, X=[2.0]),
        lambda: act(3),
    ):
        with pytest.raises(scm.InterventionError, match=verb):
            wrong()


def test_every_verb_takes_a_mapping_for_names_that_are_no_keywords() -> None:
    age, sex = "age (y)", "class"
    m = scm.SCM(
        scm.CausalGraph(f'"{age}" -> B; "{sex}"'),
        {age: Root.normal(), "B": Linear({age: 2.0}), sex: Root.bernoulli(0.5)},
    )
    units = m.sample(5, seed=0)
    assert (m.do({age: 1.0}).sample(5, seed=0)[age] == 1).all()
    assert (units.do({age: 1.0, "B": 0.0})["B"] == 0).all()
    swept = m.sweep({age: [1.0, 2.0]}).sample(5, seed=0)
    assert (swept.world({age: 2.0})[age] == 2).all()
    assert (m.given({age: lambda v: v > 0}).sample(5, seed=0)[age] > 0).all()
    assert (m.given({sex: 1}).sample(5, seed=0)[sex] == 1).all()
    found = m.abduct({age: [1.0], "B": [2.5]})
    torch.testing.assert_close(found.do({age: 0.0})["B"], torch.tensor([0.5]))
    assert m.log_prob({age: [1.0], "B": [2.5], sex: [0]}).shape == (1,)
    m.fit({age: units[age], "B": units["B"], sex: units[sex]}, nodes=[age])
    from scm.mechanisms import Macro, Move

    micro = scm.SCM(
        '"the h" => C', {"the h": Root.normal(torch.zeros(2)), "C": Macro(lambda h: h[..., 0])}
    )
    moved = micro.man({"the h": Move([1.0, 0.0], 2.0)}).sample(3, seed=0)
    torch.testing.assert_close(moved["C"] - micro.sample(3, seed=0)["C"], torch.full((3,), 2.0))


def test_what_a_function_returns_is_checked_and_never_broadcast() -> None:
    m = model()
    for wrong in (
        lambda Z: 1.0,
        lambda Z: torch.tensor(1.0),
        lambda Z: Z[..., :1],
        lambda Z: Z[..., None],
        lambda Z: Z.mean(),
    ):
        with pytest.raises(scm.MechanismError, match="function given for 'X'"):
            m.do(X=wrong).sample(3, seed=0)
    with pytest.raises(scm.MechanismError, match="int64 codes"):
        m.do(T=lambda natural: natural * 1.0).sample(3, seed=0)
    with pytest.raises(scm.MechanismError, match="codes from"):
        m.do(T=lambda natural: natural + 1).sample(50, seed=0)


def test_a_multivariate_distribution_fits_its_event() -> None:
    m = scm.SCM("V -> W", V=Root.normal(torch.zeros(2)), W=Additive(lambda V: V[..., 0]))
    cov = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    drawn = m.do(V=MultivariateNormal(torch.ones(2), cov)).sample(N, seed=0)["V"]
    assert abs(correlation(drawn[:, 0], drawn[:, 1]) - 0.8) < 4 * 0.36 / np.sqrt(N)
    with pytest.raises(scm.InterventionError, match="event"):
        m.do(V=Normal(0.0, 1.0))


def test_bool_functions_are_levels() -> None:
    m = scm.SCM("A -> B", A=Root.normal(), B=Structural(lambda A: A > 0, type=Categorical(2)))
    assert m.sample(9, seed=0)["B"].dtype == torch.int64
    assert m.do(B=lambda A: A < 0).sample(9, seed=0)["B"].dtype == torch.int64
