"""Macro-variables: readers, writers, what they keep, and moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

import scm
from scm import Linear, Macro, Move, Root, Structural
from scm.mechanisms import Categorical, Mechanism

N = 6


def coordinate(k: int, keeps: tuple[str, ...] = (), also: float = 0.0) -> Macro:
    """Reads coordinate k; its writer sets it and shifts the next one by `also`."""

    def write(h: Tensor, c: Tensor) -> Tensor:
        out = h.clone()
        out[..., k] = c.squeeze(-1)
        out[..., (k + 1) % 3] += also
        return out

    return Macro(lambda h: h[..., k], write, keeps=keeps)


def model(p: Macro | None = None, q: Macro | None = None) -> scm.SCM:
    return scm.SCM(
        "A -> H; H => P, Q; H -> X",
        A=Root.normal(),
        H=Linear({"A": torch.ones(3)}, noise=Normal(torch.zeros(3), 1.0)),
        P=p or coordinate(0),
        Q=q or coordinate(1),
        X=Structural(lambda H: H.sum(-1)),
    )


def test_a_writer_sets_and_the_reader_returns_it() -> None:
    plain, units = model().sample(N, seed=0), model().do(P=2.0).sample(N, seed=0)
    assert (units["P"] == 2).all()
    assert (units["H"][:, 0] == 2).all()
    assert torch.equal(units["H"][:, 1:], plain["H"][:, 1:])
    assert torch.equal(units["Q"], plain["Q"])
    assert torch.equal(units["A"], plain["A"])
    torch.testing.assert_close(units["X"], units["H"].sum(-1))
    assert set(units.written) == {"P"}
    assert units.written["P"].all()
    assert units.written["P"].shape == (N,)
    assert plain.written == {}


def test_the_value_of_a_macro_variable_may_be_any_but_a_mechanism() -> None:
    m, plain = model(), model().sample(N, seed=0)
    by_unit = torch.arange(float(N))
    assert torch.equal(m.do(P=by_unit).sample(N, 0)["P"], by_unit)
    natural = m.do(P=lambda natural: natural + 1).sample(N, 0)
    torch.testing.assert_close(natural["P"], plain["P"] + 1)
    of_micro = m.do(P=lambda H: H.sum(-1)).sample(N, 0)
    torch.testing.assert_close(of_micro["P"], plain["H"].sum(-1))
    drawn = m.do(P=Normal(0.0, 1.0)).sample(4000, 0)
    noise = m.sample(4000, 0).noise["H"]
    for k in range(3):
        assert abs(np.corrcoef(drawn["P"].numpy(), noise[:, k].numpy())[0, 1]) < 4 / np.sqrt(4000)
    assert torch.equal(m.do(P=Normal(0.0, 1.0)).sample(3, 0)["P"], drawn["P"][:3])
    with pytest.raises(scm.InterventionError, match="mechanism"):
        m.do(P=Linear({"H": torch.ones(3)})).sample(N, 0)


def test_sweeping_a_macro_variable() -> None:
    plain = model().sample(N, seed=0)
    units = plain.sweep(P=[1.0, scm.NATURAL, lambda natural: -natural]).sweep(Q=[5.0, 6.0])
    assert units["P"].shape == (3, 2, N)
    assert (units["P"][0] == 1).all()
    assert torch.equal(units["P"][1, 0], plain["P"])
    assert torch.equal(units["P"][2, 1], -plain["P"])
    assert (units["Q"][:, 1] == 6).all()
    assert units.written["P"].shape == (3, 2, N)
    assert units.written["P"].all()
    assert units.compact["A"].shape == (1, 1, N)
    assert units.world(P=1.0, Q=5.0).written["P"].shape == (N,)


def test_the_micro_node_takes_its_replacement_first_then_its_writers() -> None:
    m = model()
    value = torch.tensor([7.0, 8.0, 9.0])
    for acted in (m.man(H=value).do(P=1.0), m.do(P=1.0).man(H=value), m.do(P=1.0, H=value)):
        units = acted.sample(N, seed=0)
        assert torch.equal(units["H"], torch.tensor([1.0, 8.0, 9.0]).expand(N, 3))
    replaced = m.do(P=1.0).do(H=Root.normal(torch.zeros(3))).sample(N, seed=0)
    assert torch.equal(replaced["H"][:, 1:], replaced.noise["H"][:, 1:])
    assert (replaced["P"] == 1).all()


def test_writers_run_in_declared_order_whatever_the_order_of_the_acts() -> None:
    """P's writer shifts Q's coordinate; Q is written after it, and wins."""
    p = coordinate(0, also=100.0)
    for acted in (
        model(p).do(P=1.0).do(Q=2.0),
        model(p).do(Q=2.0).do(P=1.0),
        model(p).do(Q=2.0, P=1.0),
    ):
        units = acted.sample(N, seed=0)
        assert (units["P"] == 1).all()
        assert (units["Q"] == 2).all()
        assert units.written["P"].all()
        assert units.written["Q"].all()


def test_a_writer_undone_by_a_later_one_says_so() -> None:
    """Q's writer shifts coordinate 2, where P's macro-variable now lives."""
    units = model(coordinate(2), coordinate(1, also=1.0)).do(P=5.0, Q=2.0).sample(N, seed=0)
    assert (units["P"] == 6).all()
    assert not units.written["P"].any()
    assert units.written["Q"].all()


def test_keeps_is_checked_for_every_unit() -> None:
    honest = model(coordinate(0, keeps=("Q",))).do(P=1.0).sample(N, seed=0)
    assert honest.written["P"].all()

    def write(h: Tensor, c: Tensor) -> Tensor:
        out = h.clone()
        out[..., 0] = c.squeeze(-1)
        out[..., 1] += (h[..., 1] > 0).float()
        return out

    plain = model().sample(50, seed=0)
    units = model(Macro(lambda h: h[..., 0], write, keeps="Q")).do(P=1.0).sample(50, seed=0)
    assert torch.equal(units.written["P"], plain["Q"] <= 0)
    assert not units.written["P"].all()
    assert units.written["P"].any()
    with pytest.raises(scm.MechanismError, match="keeps 'R'"):
        model(coordinate(0, keeps=("R",)))


def test_a_constitutive_node_holds_what_is_read_even_when_writing_failed() -> None:
    stubborn = Macro(lambda h: h[..., 0], lambda h, c: torch.where(h > 0, h, c + 0 * h))
    plain = model(stubborn).sample(50, seed=0)
    units = model(stubborn).do(P=-3.0).sample(50, seed=0)
    assert torch.equal(units["P"], units["H"][..., 0])
    failed = plain["P"] > 0
    assert torch.equal(units.written["P"], ~failed)
    assert failed.any()
    assert (units["P"][~failed] == -3).all()
    assert torch.equal(units["P"][failed], plain["P"][failed])


def test_man_is_do_restricted_to_micro_nodes() -> None:
    m = model()
    value = torch.ones(3)
    a, b = m.man(H=value).sample(N, seed=0), m.do(H=value).sample(N, seed=0)
    assert all(torch.equal(a[v], b[v]) for v in a)
    assert (a["P"] == 1).all()
    for name in ("A", "P", "X"):
        with pytest.raises(scm.InterventionError, match="constitutes no macro-variable"):
            m.man({name: 1.0})


def test_man_leaves_every_other_variable_alone() -> None:
    m = model()
    plain = m.sample(N, seed=0)
    units = plain.man(H=Move([1.0, 0.0, 0.0], 2.0))
    assert torch.equal(units["A"], plain["A"])
    assert torch.equal(units["Q"], plain["Q"])


def test_a_move_shifts_by_dose_times_direction() -> None:
    m, plain = model(), model().sample(N, seed=0)
    r = torch.tensor([1.0, 0.0, -2.0])
    for dose in (3.0, torch.arange(float(N))):
        units = m.man(H=Move(r, dose)).sample(N, seed=0)
        shift = torch.as_tensor(dose).expand(N)[:, None] * r
        torch.testing.assert_close(units["H"], plain["H"] + shift)
        assert units.written == {}
    drawn = m.man(H=Move(r, Normal(0.0, 1.0))).sample(2000, seed=0)
    first = m.sample(2000, seed=0)
    dose = drawn["H"][:, 0] - first["H"][:, 0]
    torch.testing.assert_close(drawn["H"][:, 2] - first["H"][:, 2], -2 * dose)
    assert abs(float(dose.mean())) < 4 / np.sqrt(2000)
    again = m.man(H=Move(r, Normal(0.0, 1.0))).sample(3, seed=0, start=10)
    torch.testing.assert_close(again["H"], drawn["H"][10:13])


def test_a_move_is_no_do_and_its_direction_fits() -> None:
    with pytest.raises(scm.InterventionError, match=r"man\(H=Move"):
        model().do(H=Move([1.0, 0.0, 0.0]))
    with pytest.raises(scm.InterventionError, match="direction|shape"):
        model().man(H=Move([1.0, 0.0]))
    with pytest.raises(scm.InterventionError, match="'H'"):
        model().man(H=Move([1.0, 0.0, 0.0], torch.ones(N + 1))).sample(N, seed=0)


def test_doses_are_swept_as_moves() -> None:
    plain = model().sample(N, seed=0)
    moves = [Move([1.0, 0.0, 0.0], s) for s in (0.0, 1.0, 2.0)]
    units = plain.sweep(H=moves)
    torch.testing.assert_close(units["P"][2], plain["P"] + 2)
    assert torch.equal(units["H"][0], plain["H"])


def test_a_move_then_a_writer() -> None:
    units = model().man(H=Move([0.0, 1.0, 0.0], 4.0)).do(P=0.0).sample(N, seed=0)
    plain = model().sample(N, seed=0)
    torch.testing.assert_close(units["Q"], plain["Q"] + 4)
    assert (units["P"] == 0).all()


def test_counterfactuals_keep_the_other_writers() -> None:
    units = model().do(P=1.0).sample(N, seed=0)
    later = units.do(Q=2.0)
    assert (later["P"] == 1).all()
    assert (later["Q"] == 2).all()
    assert set(later.written) == {"P", "Q"}
    above = units.do(A=10.0)
    assert (above["P"] == 1).all()
    assert above["Q"].mean() > 5
    assert (units.do(P=3.0)["P"] == 3).all()


def test_written_survives_acts_elsewhere_and_slicing() -> None:
    stubborn = Macro(lambda h: h[..., 0], lambda h, c: torch.where(h > 0, h, c + 0 * h))
    units = model(stubborn).do(P=-3.0).sample(20, seed=0)
    flags = units.written["P"]
    assert torch.equal(units.do(X=0.0).written["P"], flags)
    assert torch.equal(units.sweep(X=[0.0, 1.0]).written["P"], flags.expand(2, 20))
    assert torch.equal(units[5:9].written["P"], flags[5:9])


def test_a_macro_variable_without_a_writer_cannot_be_set() -> None:
    m = model(Macro(lambda h: h[..., 0]))
    for act in (lambda: m.do(P=1.0), lambda: m.sweep(P=[1.0, 2.0])):
        with pytest.raises(scm.InterventionError, match="no writer"):
            act()
    m.do(Q=1.0)


def test_a_macro_variable_of_two_micro_nodes_is_read_only() -> None:
    def write(**h: Tensor) -> Tensor:
        raise AssertionError

    m = scm.SCM("H, K => D", H=Root.normal(), K=Root.normal(), D=Macro(lambda H, K: H - K, write))
    units = m.do(H=3.0).sample(N, seed=0)
    torch.testing.assert_close(units["D"], 3 - units["K"])
    with pytest.raises(scm.InterventionError, match="together"):
        m.do(D=1.0)


def test_categorical_macro_variables() -> None:
    sign = Macro(
        lambda h: h > 0,
        lambda h, c: torch.where(c > 0, h.abs() + 1, -h.abs() - 1),
        type=Categorical(("down", "up")),
    )
    m = scm.SCM("H => S", H=Root.normal(), S=sign)
    assert (m.do(S="up").sample(N, 0)["H"] >= 1).all()
    drawn = m.do(S=Bernoulli(0.5)).sample(1000, seed=0)
    assert drawn.written["S"].all()
    assert abs(float(drawn["S"].double().mean()) - 0.5) < 4 * 0.5 / np.sqrt(1000)
    assert m.do(S=lambda natural: 1 - natural).sample(N, 0).written["S"].all()


def test_the_graph_and_the_mechanism_must_agree_on_what_is_constitutive() -> None:
    with pytest.raises(scm.MechanismError, match="constitutive"):
        scm.SCM("H => C", H=Root.normal(), C=Linear({"H": 1.0}))
    with pytest.raises(scm.MechanismError, match="causal"):
        scm.SCM("H -> C", H=Root.normal(), C=Macro(lambda h: h))


@pytest.mark.parametrize("spec", ["H => C; C -> D", "H => C; B -> C"])
def test_a_constitutive_node_has_constitutive_parents_and_no_causal_children(spec: str) -> None:
    names = "HCDB"
    nodes: dict[str, Mechanism] = {v: Root.normal() for v in names if v in spec}
    with pytest.raises(scm.ScmError, match="C"):
        scm.SCM(spec, {**nodes, "C": Macro(lambda h: h)})


def test_gan_nuisance_set_and_moved() -> None:
    """GenInt 4.2: set = remove the component along r, add s r; the paper's is a move."""
    r = torch.tensor([0.6, 0.8, 0.0])

    def write(h: Tensor, s: Tensor) -> Tensor:
        return h - (h @ r)[..., None] * r + s * r

    m = model(Macro(lambda h: h @ r, write))
    plain = m.sample(N, seed=0)
    drawn = m.do(P=Normal(0.0, 2.0)).sample(N, seed=0)
    assert drawn.written["P"].all()
    across = plain["H"] - (plain["H"] @ r)[:, None] * r
    torch.testing.assert_close(drawn["H"] - drawn["P"][:, None] * r, across)
    moved = m.man(H=Move(r, 1.5)).sample(N, seed=0)
    torch.testing.assert_close(moved["P"], plain["P"] + 1.5)


def test_a_reader_is_a_function_of_one_value() -> None:
    with pytest.raises(scm.ScmError, match="reader of 'P'"):
        model(Macro(lambda h: h[..., :2]))
    with pytest.raises(scm.ScmError, match="writer of 'P'"):
        model(Macro(lambda h: h[..., 0], lambda h, c: h[..., 0])).do(P=1.0).sample(N, 0)
