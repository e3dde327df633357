"""The laws that hold in every structural causal model, on random ones."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import scm

from .reference import Call, Description, build, carry_out
from .strategies import calls, descriptions, seeds

N = 5
INVERTIBLE = ("linear", "tanh", "vector", "sum")
few = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])


def same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)


def close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-9, atol=1e-9)


def below(model: scm.SCM, names: list[str]) -> set[str]:
    return set(names) | {d for name in names for d in model.graph.descendants(name)}


@few
@given(st.data(), descriptions(), seeds)
def test_effectiveness(data: st.DataObject, description: Description, seed: int) -> None:
    """Under do(X = x), X is x."""
    made = data.draw(calls(description, N, verbs=("do",)))
    units = carry_out(build(description), description, made).sample(N, seed)
    last = {name: rules[0] for call in made for name, rules in call.rules.items()}
    for name, rule in last.items():
        if rule.kind in ("value", "unit"):
            wanted = torch.tensor(rule.value).to(units[name].dtype)
            assert torch.equal(units[name], wanted.expand_as(units[name]))


@few
@given(st.data(), descriptions(), seeds)
def test_composition(data: st.DataObject, description: Description, seed: int) -> None:
    """If W is w under do(X = x), then do(X = x, W = w) changes no other node."""
    made = data.draw(calls(description, N, verbs=("do",)))
    units = carry_out(build(description).sample(N, seed), description, made)
    node = data.draw(st.sampled_from(description)).name
    again = units.do({node: units[node]})
    assert all(close(again[v], units[v]) for v in units)


@few
@given(st.data(), descriptions(), seeds)
def test_consistency(data: st.DataObject, description: Description, seed: int) -> None:
    """do(X = X's own values) changes nothing, in samples and as values by unit."""
    model = build(description)
    units = model.sample(N, seed)
    node = data.draw(st.sampled_from(description)).name
    for other in (
        units.do({node: units[node]}),
        units.do({node: units[node].clone()}),
        model.do({node: units[node].clone()}).sample(N, seed),
    ):
        assert all(same(other[v], units[v]) for v in units)


@few
@given(st.data(), descriptions(), seeds)
def test_non_descendants_are_bitwise_unchanged(
    data: st.DataObject, description: Description, seed: int
) -> None:
    made = data.draw(calls(description, N, most=2))
    model = build(description)
    plain = model.sample(N, seed)
    reached = below(model, [name for call in made for name in call.rules])
    for acted in (
        carry_out(model, description, made).sample(N, seed),
        carry_out(plain, description, made),
    ):
        for v in set(plain) - reached:
            assert torch.equal(acted[v], plain[v].expand_as(acted[v]))


@few
@given(st.data(), descriptions(), seeds)
def test_disjoint_interventions_commute(
    data: st.DataObject, description: Description, seed: int
) -> None:
    one = data.draw(calls(description[::2], N, 1, ("do",), least=1))
    two = data.draw(calls(description[1::2], N, 1, ("do",), least=1))
    model = build(description)
    a = carry_out(model, description, one + two).sample(N, seed)
    b = carry_out(model, description, two + one).sample(N, seed)
    both = [Call("do", {**one[0].rules, **two[0].rules})]
    c = carry_out(model.sample(N, seed), description, both)
    assert all(same(a[v], b[v]) and same(a[v], c[v]) for v in a)


@few
@given(st.data(), descriptions(), seeds)
def test_the_last_act_wins(data: st.DataObject, description: Description, seed: int) -> None:
    first = data.draw(calls(description, N, most=2))
    last = data.draw(calls(description, N, 1, ("do",), least=1))
    kept = [
        Call(c.verb, {k: r for k, r in c.rules.items() if k not in last[0].rules}) for c in first
    ]
    kept = [c for c in kept if c.rules]
    model = build(description)
    a = carry_out(model, description, first + last).sample(N, seed)
    b = carry_out(model, description, kept + last).sample(N, seed)
    assert all(same(a[v], b[v]) for v in a)


@few
@given(st.data(), descriptions(), seeds)
def test_a_sweep_equals_its_loop(data: st.DataObject, description: Description, seed: int) -> None:
    made = data.draw(calls(description, N, 1, ("sweep",), least=1))
    model = build(description)
    swept = carry_out(model, description, made).sample(N, seed)
    for k in range(made[0].size):
        here = {name: [rules[k]] for name, rules in made[0].rules.items()}
        real = {name: rules for name, rules in here.items() if rules[0].kind != "NATURAL"}
        single = carry_out(model, description, [Call("do", real)] if real else []).sample(N, seed)
        for v in single:
            assert close(swept[v][k], single[v])


@few
@given(st.data(), descriptions(), seeds, st.integers(0, 10**9), st.integers(1, 40))
def test_units_do_not_depend_on_the_number_of_units(
    data: st.DataObject, description: Description, seed: int, start: int, n: int
) -> None:
    """Units a to b are the same however they are drawn: noise bitwise, values to rounding."""
    made = data.draw(calls(description, None, most=2))
    view = carry_out(build(description), description, made)
    whole = view.sample(n, seed, start=start)
    a = data.draw(st.integers(0, n - 1))
    b = data.draw(st.integers(a + 1, n))
    part = view.sample(b - a, seed, start=start + a)
    assert part.ids.tolist() == list(range(start + a, start + b))
    for v in whole:
        axis = len(whole.worlds)
        assert close(part[v], whole[v].narrow(axis, a, b - a))
    assert all(same(part.noise[v], whole.noise[v][a:b]) for v in whole.noise)


@few
@given(st.data(), descriptions(kinds=INVERTIBLE), seeds)
def test_counterfactuals_of_abducted_units_are_those_of_sampled_ones(
    data: st.DataObject, description: Description, seed: int
) -> None:
    """Where every mechanism is invertible, the data tell the units."""
    model = build(description)
    units = model.sample(N, seed)
    found = model.abduct(dict(units))
    assert set(found.status.values()) == {"exact"}
    for v in units.noise:
        assert close(found.noise[v], units.noise[v])
    made = data.draw(calls(description, N, most=2))
    made = [c for c in made if not _draws(c)]
    a, b = carry_out(units, description, made), carry_out(found, description, made)
    for v in units:
        assert torch.allclose(a[v], b[v], rtol=1e-6, atol=1e-6)


def _draws(call: Call) -> bool:
    return any(r.kind in ("distribution", "other noise") for rs in call.rules.values() for r in rs)


@few
@given(descriptions(), seeds, st.sampled_from([None, 3]))
def test_abduct_then_sample_returns_the_data(
    description: Description, seed: int, draws: int | None
) -> None:
    """The noise found makes the rows again, for every mechanism that can be abducted."""
    model = build(description)
    rows = dict(model.sample(N, seed))
    found = model.abduct(rows, draws=draws, seed=seed)
    # Every node set to what its own mechanism gives: nothing stored is left to look at.
    again = found.do({v.name: lambda natural: natural for v in description})
    for v in rows:
        assert same(found[v], rows[v].expand_as(found[v]))
        assert torch.allclose(again[v].double(), rows[v].double().expand_as(again[v]), atol=1e-9)


@few
@given(st.data(), descriptions(), seeds)
def test_reversibility(data: st.DataObject, description: Description, seed: int) -> None:
    """If do(X = x) gives Y = y and do(Y = y) gives X = x with the rest alike, both hold."""
    made = data.draw(calls(description, N, most=1, verbs=("do",)))
    units = carry_out(build(description).sample(N, seed), description, made)
    x, y = (v.name for v in data.draw(st.permutations(description))[:2])
    both = units.do({x: units[x], y: units[y]})
    assert all(close(both[v], units[v]) for v in units)
    assert all(close(both.do({x: units[x]})[v], units[v]) for v in units)


@few
@given(st.data(), descriptions(), seeds)
def test_worlds_are_lazy(data: st.DataObject, description: Description, seed: int) -> None:
    """A node is of size 1 along each world dimension whose acts are not above it."""
    made = data.draw(calls(description, N, 3, ("sweep",), least=1))
    model = build(description)
    for units in (
        carry_out(model, description, made).sample(N, seed),
        carry_out(model.sample(N, seed), description, made),
    ):
        for axis, sweep in enumerate(units.worlds):
            acts = [n for n, act in units.program.acts.items() if act.sweep is sweep]
            for v in units:
                reached = v in below(model, acts)
                assert units.compact[v].shape[axis] in ((1, sweep.size) if reached else (1,))
                assert units[v].shape[axis] == sweep.size
                assert torch.equal(units[v], units.compact[v].expand_as(units[v]))
