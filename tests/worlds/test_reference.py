"""The engine against a naive interpreter, on random models, acts and sweeps."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .reference import Call, Description, build, carry_out, interpret, merged
from .strategies import calls, descriptions, drawn_by_engine, seeds

N = 4
slow = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def check(description: Description, made: list[Call], split: int, seed: int) -> None:
    """Acts before `split` are made on the model, the others on its samples."""
    units = carry_out(build(description), description, made[:split]).sample(N, seed)
    units = carry_out(units, description, made[split:])
    noise = {name: u.numpy() for name, u in units.noise.items()}
    drawn = drawn_by_engine(description, N, seed)
    expected = interpret(description, made, noise, N, drawn)
    _, dimensions = merged(made)
    assert [s.size for s in units.worlds] == [made[k].size for k in dimensions]
    for node in description:
        found = units[node.name].numpy()
        assert found.shape == expected[node.name].shape
        np.testing.assert_allclose(found, expected[node.name], rtol=1e-9, atol=1e-9)


@slow
@given(st.data(), descriptions(), seeds)
def test_samples_under_acts(data: st.DataObject, description: Description, seed: int) -> None:
    made = data.draw(calls(description, N))
    check(description, made, len(made), seed)


@slow
@given(st.data(), descriptions(), seeds)
def test_counterfactuals(data: st.DataObject, description: Description, seed: int) -> None:
    made = data.draw(calls(description, N))
    check(description, made, data.draw(st.integers(0, len(made))), seed)


@slow
@given(st.data(), descriptions(most=4), seeds)
def test_every_counterfactual_of_a_chain(
    data: st.DataObject, description: Description, seed: int
) -> None:
    """Samples after each call, values asked for in between, agree with one program."""
    made = data.draw(calls(description, N))
    units = build(description).sample(N, seed)
    noise = {name: u.numpy() for name, u in units.noise.items()}
    drawn = drawn_by_engine(description, N, seed)
    for k, call in enumerate(made):
        units = carry_out(units, description, [call])
        expected = interpret(description, made[: k + 1], noise, N, drawn)
        asked = data.draw(st.lists(st.sampled_from(description), max_size=2, unique_by=id))
        for node in asked:
            found = units[node.name].numpy()
            np.testing.assert_allclose(found, expected[node.name], rtol=1e-9, atol=1e-9)
