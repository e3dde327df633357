"""Samples: a mapping, its slices, tables, freshness, and values passed between worlds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.distributions import Normal

import scm
from scm import NATURAL, Additive, Linear, Root, Structural, Tabular


def model() -> scm.SCM:
    return scm.SCM(
        "X -> M; X, M -> Y; T; V",
        X=Root.normal(),
        M=Linear({"X": 2.0}),
        Y=Additive(lambda X, M: X * M),
        T=Tabular([0.5, 0.5], levels=("low", "high")),
        V=Root.normal(torch.zeros(2)),
    )


def test_samples_are_a_mapping_in_the_order_of_the_graph() -> None:
    units = model().sample(4, seed=0)
    assert list(units) == ["X", "M", "Y", "T", "V"]
    assert len(units) == 5
    assert units.n == 4
    assert units.ids.tolist() == [0, 1, 2, 3]
    assert units.draws is None
    assert {v: tuple(t.shape) for v, t in units.items()} == {
        "X": (4,),
        "M": (4,),
        "Y": (4,),
        "T": (4,),
        "V": (4, 2),
    }
    assert "Q" not in units
    assert set(units.noise) == set(units)
    assert units.noise["V"].shape == (4, 2)
    with pytest.raises(KeyError):
        units.noise["Q"]
    assert "Samples" in repr(units)
    assert "seed 0" in repr(units)


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        slice(2, 7),
        slice(None, None, 3),
        [5, 1, 1],
        torch.tensor([0, 9]),
        torch.arange(10) % 2 == 0,
    ],
)
def test_ids_survive_slicing(key: object) -> None:
    units = model().sample(10, seed=0, start=100)
    part = units[key]
    kept = torch.arange(10)[key].reshape(-1)
    assert part.ids.tolist() == (kept + 100).tolist()
    assert part.n == len(kept)
    for v in units:
        assert torch.equal(part[v], units[v][kept])
        assert torch.equal(part.noise[v], units.noise[v][kept])
    assert torch.equal(part.do(X=1.0)["Y"], units.do(X=1.0)["Y"][kept])
    again = part.do(M=Normal(0.0, 1.0))["M"]
    assert torch.equal(again, units.do(M=Normal(0.0, 1.0))["M"][kept])
    assert torch.equal(part[:1].ids, part.ids[:1])
    by_unit = torch.arange(float(len(kept)))
    assert torch.equal(part.do(X=by_unit)["X"], by_unit)


def test_slices_of_worlds_and_of_abducted_units() -> None:
    m = model()
    units = m.sample(6, seed=0)
    swept = units.sweep(X=[0.0, 1.0])
    assert torch.equal(swept[2:4]["Y"], swept["Y"][:, 2:4])
    assert torch.equal(units[2:4].sweep(X=[0.0, 1.0])["Y"], swept["Y"][:, 2:4])
    found = m.abduct(units, draws=3, seed=1)
    part = found[[4, 0]]
    assert torch.equal(part["T"], found["T"][:, [4, 0]])
    assert part.ids.tolist() == [4, 0]
    assert torch.equal(part.noise["T"], found.noise["T"][:, [4, 0]])
    assert torch.equal(part.do(X=1.0)["Y"], found.do(X=1.0)["Y"][:, [4, 0]])


def test_an_empty_or_impossible_slice() -> None:
    units = model().sample(3, seed=0)
    with pytest.raises(IndexError):
        units[7]
    assert units[torch.zeros(3, dtype=torch.bool)].n == 0


def test_to_pandas_and_back() -> None:
    pytest.importorskip("pandas")
    m = model()
    units = m.sample(5, seed=0, start=2)
    frame = units.to_pandas()
    assert list(frame.columns) == list(units)
    assert frame.index.tolist() == [2, 3, 4, 5, 6]
    assert set(frame["T"]) <= {"low", "high"}  # level names are shown
    found = m.abduct(frame, seed=0)
    for v in units:
        torch.testing.assert_close(found[v], units[v])
    swept = units.sweep(T=["low", "high"]).sweep(X=[0.0, 1.0, NATURAL]).to_pandas()
    assert len(swept) == 2 * 3 * 5
    assert swept.index.names == ["T", "X", "unit"]
    assert swept.loc["high"]["T"].unique().tolist() == ["high"]
    assert (swept.xs(1.0, level="X")["X"] == 1).all()
    zipped = units.sweep(X=[0.0, 1.0], M=[2.0, 3.0]).to_pandas()
    assert (zipped["M"] == zipped["X"] + 2).all()
    assert zipped.index[-1] == (1.0, 3.0, 6)
    drawn = m.abduct(frame, draws=3, seed=0).to_pandas()
    assert drawn.index.names == ["draw", "unit"]
    assert len(drawn) == 15


def test_nested_counterfactuals_are_aligned_by_unit_and_world() -> None:
    m = model()
    units = m.sample(6, seed=0)
    low = units.do(X=0.0)
    nested = units.do(M=low["M"], X=1.0)  # Y(X = 1, M(X = 0)): the natural direct effect
    assert torch.equal(nested["M"], units.noise["M"])
    torch.testing.assert_close(nested["Y"], units.noise["M"] + units.noise["Y"])
    assert torch.equal(m.do(M=low["M"], X=1.0).sample(6, seed=0)["Y"], nested["Y"])


def test_nested_values_keep_their_worlds() -> None:
    units = model().sample(3, seed=0)
    swept = units.sweep(X=[0.0, 1.0, 2.0])  # three worlds, and three units
    with pytest.raises(scm.InterventionError, match="worlds"):
        swept.do(M=swept["M"], X=5.0)  # X is swept no more
    same = swept.do(M=swept["M"])
    assert torch.equal(same["Y"], swept["Y"])
    more = swept.sweep(T=["low", "high"]).do(M=swept["M"])
    assert torch.equal(more["Y"][:, 1], swept["Y"])
    with pytest.raises(scm.InterventionError, match="worlds"):
        units.do(M=swept["M"])
    one = units.do(M=swept.world(X=2.0)["M"])
    torch.testing.assert_close(one["M"], 4 + units.noise["M"])


def test_equal_sizes_are_no_alignment() -> None:
    """Other worlds of as many entries, or other units of as many rows, are errors."""
    m = model()
    units = m.sample(3, seed=0)
    one, two = units.sweep(X=[0.0, 1.0]), units.sweep(X=[0.0, 1.0])
    with pytest.raises(scm.InterventionError, match="worlds"):
        two.do(M=one["M"])
    with pytest.raises(scm.InterventionError, match="units"):
        units.do(M=m.sample(3, seed=0, start=3)["M"])
    with pytest.raises(scm.InterventionError, match="units"):
        units[[0, 1]].do(M=units[[1, 2]]["M"])
    with pytest.raises(scm.InterventionError, match="units"):
        m.do(M=units["M"]).sample(3, seed=0, start=1)
    assert torch.equal(
        units.do(M=m.sample(3, seed=0, start=3)["M"].clone())["M"], m.sample(6, 0)["M"][3:]
    )


def test_nested_values_have_the_event_of_the_node() -> None:
    units = model().sample(2, seed=0)
    with pytest.raises(scm.InterventionError, match="event"):
        units.do(M=units["V"])
    assert torch.equal(units.do(M=units["V"][:, 0])["M"], units["V"][:, 0])
    assert torch.equal(units.sweep(M=[units["X"], 1.0])["M"][0], units["X"])


def test_units_of_another_seed_are_other_units() -> None:
    m = model()
    with pytest.raises(scm.InterventionError, match="units"):
        m.sample(3, seed=0).do(M=m.sample(3, seed=1)["M"])
    rows = dict(m.sample(3, seed=0))
    one, two = m.abduct(rows), m.abduct(rows)
    with pytest.raises(scm.InterventionError, match="units"):
        one.do(M=two["M"])
    assert torch.equal(one.do(M=one.do(X=0.0)["M"])["M"], one.do(X=0.0)["M"])


def test_abducted_samples_are_the_same_units() -> None:
    m = model()
    units = m.sample(3, seed=0)
    found = m.abduct(units)
    assert torch.equal(found.do(M=units["M"])["M"], units["M"])
    assert torch.equal(units.do(M=found.do(X=0.0)["M"])["M"], found.do(X=0.0)["M"])


def test_nested_values_with_draws() -> None:
    m = model()
    units = m.abduct(m.sample(3, seed=0), draws=3, seed=0)
    nested = units.do(M=units.do(X=0.0)["M"], X=1.0)
    assert nested["Y"].shape == (3, 3)
    torch.testing.assert_close(nested["M"], units.do(X=0.0)["M"])


def _optimise(m: scm.SCM) -> None:
    optimiser = torch.optim.SGD(m.parameters(), lr=0.1)
    for p in m.parameters():
        p.grad = torch.ones_like(p)
    optimiser.step()


def _edit(m: scm.SCM) -> None:
    with torch.no_grad():
        next(m.parameters()).add_(1.0)


def _data(m: scm.SCM) -> None:
    next(m.parameters()).data = torch.full(next(iter(m.parameters())).shape, 3.0)


CHANGES: dict[str, Callable[[scm.SCM], object]] = {
    "optimiser": _optimise,
    "fit": lambda m: m.fit(m.sample(50, seed=1)),
    "fit a table": lambda m: m.fit({"T": [0, 1, 1]}, nodes=["T"]),
    "load_state_dict": lambda m: m.load_state_dict(model().state_dict()),
    "in place": _edit,
    "new data": _data,
    "dtype": lambda m: m.to(torch.float64),
}


@pytest.mark.parametrize("change", CHANGES)
def test_samples_made_before_a_change_refuse_counterfactuals(change: str) -> None:
    m = model()
    units = m.sample(4, seed=0)
    lazy = units.do(X=1.0)
    swept = units.sweep(X=[0.0, 1.0])
    values = units["Y"].clone()
    CHANGES[change](m)
    for act in (
        lambda: units.do(X=1.0),
        lambda: units.sweep(X=[1.0, 2.0]),
        lambda: lazy["Y"],
        lambda: lazy.do(M=1.0),
        lambda: swept.world(X=0.0)["Y"],
        lambda: swept[:2],
    ):
        with pytest.raises(scm.InterventionError, match="changed since"):
            act()
    assert torch.equal(units["Y"], values)  # what was computed is still there
    assert m.sample(4, seed=0).do(X=1.0)["Y"].shape == (4,)


def test_reading_changes_nothing() -> None:
    m = model()
    units = m.sample(4, seed=0)
    m.log_prob(units)
    m.state_dict()
    m.eval()
    m.do(X=1.0).sample(3, seed=0)
    m.abduct(units)
    assert units.do(X=1.0)["Y"].shape == (4,)


def test_gradients_are_off_by_default_and_on_when_asked() -> None:
    net = nn.Linear(1, 1)
    m = scm.SCM("X -> Y", X=Root.normal(), Y=Additive(net))
    assert not m.sample(4, seed=0)["Y"].requires_grad
    assert not m.abduct({"X": [1.0], "Y": [2.0]}).do(X=0.0)["Y"].requires_grad
    units = m.sample(4, seed=0, grad=True)
    units.do(X=3.0)["Y"].sum().backward()
    torch.testing.assert_close(net.weight.grad, torch.tensor([[12.0]]))
    net.weight.grad = None
    found = m.abduct({"X": [1.0], "Y": [2.0]}, grad=True)
    found.do(X=3.0)["Y"].sum().backward()
    torch.testing.assert_close(net.weight.grad, torch.tensor([[2.0]]))  # 3 w - 1 w
    dose = torch.tensor(2.0, requires_grad=True)
    m.do(X=dose).sample(3, seed=0, grad=True)["Y"].sum().backward()
    torch.testing.assert_close(dose.grad, 3 * net.weight.detach().squeeze())


def test_float64_models() -> None:
    m = model().to(torch.float64)
    units = m.do(M=Normal(0.0, 1.0)).sample(4, seed=0)
    assert all(units[v].dtype == torch.float64 for v in ("X", "M", "Y", "V"))
    assert units.noise["X"].dtype == torch.float64
    assert units["T"].dtype == torch.int64
    assert units.sweep(X=[0, 1.5, lambda natural: natural])["Y"].dtype == torch.float64
    assert m.abduct(units).do(X=1.0)["Y"].dtype == torch.float64
    assert m.log_prob(units).dtype == torch.float64
    given = scm.SCM("A -> B", A=Root.normal(), B=Additive(nn.Linear(1, 1).double()))
    assert given.sample(2, seed=0)["A"].dtype == torch.float64
    with torch.random.fork_rng(devices=[]):
        net = nn.Linear(2, 1).double()
    mixed = scm.SCM("T -> B", T=Tabular([0.5, 0.5]), B=Structural(net)).to(torch.float64)
    assert mixed.sample(2, seed=0)["B"].dtype == torch.float64
