"""Conditional probability tables."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scm.errors import MechanismError
from scm.mechanisms import Categorical, Tabular
from tests.mechanisms.contract import LEVELS, REAL, Case, MechanismContract, draw, generator, run

BINARY = Categorical(2)
ROWS = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0], [0.3, 0.3, 0.4]])
CUBE = np.random.default_rng(0).dirichlet([1.0, 1.0], (3, 2))


def _log(p: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(p)


class TestTabular(MechanismContract):
    cases: ClassVar = {
        f"{coupling}, {len(parents)} parents": Case(
            lambda table=table, coupling=coupling: Tabular(table, coupling),
            parents,
            log_prob=lambda x, table=table, **pa: _log(table[(*pa.values(), x)]),
        )
        for coupling in ("gumbel", "monotone")
        for table, parents in (
            (np.array([0.2, 0.0, 0.8]), {}),
            (ROWS, {"A": LEVELS}),
            (CUBE, {"A": LEVELS, "B": BINARY}),
        )
    }


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([0.5, 0.6], r"row \[\] of the table sums to 1.1, not 1; .*divide by"),
        ([[0.5, 0.5], [0.2, 0.7]], r"row \[1\] of the table sums to 0.9"),
        ([1.5, -0.5], "from -0.5 to 1.5 .* non-negative"),
        ([float("nan"), 1.0], "must be finite"),
        (1.0, r"shape \(\)"),
        ([], r"shape \(0,\).*at least one level"),
        ("table", "'table' was given as a table; expected probabilities"),
        ([[0.5, 0.5], [1.0]], "expected probabilities"),
    ],
)
def test_bad_tables(table, message: str) -> None:
    with pytest.raises(MechanismError, match=message):
        Tabular(table)


def test_shape_that_the_parents_do_not_have() -> None:
    table = Tabular(ROWS)
    message = r"\(3, 3\); expected \(3, 2, 3\), the levels of \(A, B, S\)"
    with pytest.raises(MechanismError, match=message):
        table.bind("S", {"A": LEVELS, "B": BINARY})


def test_parents_that_have_no_levels() -> None:
    with pytest.raises(MechanismError, match="'A' .*is Real, not Categorical; use Additive"):
        Tabular(ROWS).bind("S", {"A": REAL})


def test_levels() -> None:
    assert Tabular([0.5, 0.5], levels=("no", "yes")).type.names == ("no", "yes")
    with pytest.raises(MechanismError, match="2 levels was given with levels=3"):
        Tabular([0.5, 0.5], levels=3)
    with pytest.raises(MechanismError, match="needs a table, or levels="):
        Tabular()
    with pytest.raises(MechanismError, match="did you mean 'gumbel'"):
        Tabular([0.5, 0.5], coupling="gumble")


@pytest.mark.parametrize("coupling", ["gumbel", "monotone"])
def test_a_value_of_probability_zero(coupling: str) -> None:
    table = Tabular(ROWS, coupling)
    table.bind("S", {"A": LEVELS})
    rows = {"A": torch.tensor([0, 1])}
    value = torch.tensor([2, 2])
    assert table.log_prob(value, rows)[1] == -torch.inf
    assert table.distribution(rows).log_prob(value)[1] == -torch.inf
    with pytest.raises(MechanismError, match="row 1 has S = 2.*probability zero.*correct"):
        table.abduct(value, rows, draw(table.noise, (2,), generator()))


def test_abduction_with_draws() -> None:
    table = Tabular(ROWS)
    table.bind("S", {"A": LEVELS})
    parents = {"A": torch.tensor([0, 1, 2, 0]).expand(3, 1, 4)}
    value = torch.tensor([2, 0, 1, 1]).expand(1, 1, 4)
    found = table.abduct(value, parents, draw(table.noise, (3, 1, 4), generator()))
    assert torch.equal(run(table, parents, found), value.expand(3, 1, 4))


def test_the_table_stays_float64() -> None:
    table = Tabular(ROWS).to(torch.float32)
    assert table.table().dtype == torch.float64
    np.testing.assert_allclose(table.half().table().numpy(), ROWS, rtol=1e-15)


def test_fit_recovers_the_table() -> None:
    """Relative frequencies within 4 standard errors, sqrt(p (1 - p) / n(pa))."""
    truth, table = Tabular(ROWS), Tabular(levels=3)
    for mechanism in (truth, table):
        mechanism.bind("S", {"A": LEVELS})
    n = 6000
    parents = {"A": torch.arange(n) % 3}
    table.fit(run(truth, parents, draw(truth.noise, (n,), generator())), parents)
    stderr = np.sqrt(ROWS * (1 - ROWS) / (n / 3))
    assert (np.abs(table.table().numpy() - ROWS) <= 4 * stderr).all()


def test_fit_warns_of_combinations_that_never_occur() -> None:
    table = Tabular(ROWS)
    table.bind("S", {"A": LEVELS})
    rows = torch.tensor([0, 0, 1, 1])
    with pytest.warns(UserWarning, match="1 of 3 combinations .*'S'.*uniform"):
        table.fit(torch.tensor([0, 1, 2, 2]), {"A": rows})
    expected = [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [1 / 3] * 3]
    np.testing.assert_allclose(table.table().numpy(), expected)
    table.fit(torch.tensor([0, 1, 2, 2]), {"A": rows}, smoothing=1.0)
    np.testing.assert_allclose(table.table()[0].numpy(), [0.4, 0.4, 0.2])


@given(
    st.integers(2, 6).flatmap(
        lambda k: st.lists(st.floats(0.0, 1.0), min_size=k, max_size=k).filter(
            lambda p: sum(p) > 0.1
        )
    ),
    st.sampled_from(["gumbel", "monotone"]),
    st.integers(0, 1000),
)
def test_abduction_is_consistent_for_any_table(p: list[float], coupling: str, seed: int) -> None:
    table = Tabular(np.array(p) / sum(p), coupling)
    g = generator(seed)
    value = run(table, {}, draw(table.noise, (50,), g))
    found = table.abduct(value, {}, draw(table.noise, (50,), g))
    assert torch.equal(run(table, {}, found), value)
