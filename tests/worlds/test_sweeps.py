"""World dimensions: what they hold, when they go, and how often mechanisms run."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

import scm
from scm import NATURAL, Additive, Linear, Root, Structural, Tabular
from scm.mechanisms import Image


def chain() -> scm.SCM:
    return scm.SCM(
        "A -> B -> C; D",
        A=Root.normal(),
        B=Linear({"A": 2.0}),
        C=Linear({"B": 1.0}),
        D=Root.normal(),
    )


class Counted(nn.Module):
    """A module that remembers the rows of each call."""

    def __init__(self, f: object = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.rows: list[int] = []

    def forward(self, features: Tensor) -> Tensor:
        assert features.ndim == 2
        self.rows.append(len(features))
        return features.sum(-1, keepdim=True).expand(-1, 12).reshape(-1, 3, 2, 2) * self.weight


def generators() -> tuple[scm.SCM, dict[str, Counted]]:
    """CGN: shape, texture and background labels, a generator each, cheap composition."""
    nets = {name: Counted() for name in "MFB"}
    nodes = {
        v: Structural(nets[v], noise=Normal(torch.zeros(2), 1.0), type=Image((3, 2, 2)))
        for v in nets
    }
    model = scm.SCM(
        "Y -> Y1, Y2, Y3; Y1 -> M; Y2 -> F; Y3 -> B; M, F, B -> X",
        Y=Root.categorical(torch.full((10,), 0.1)),
        **{f"Y{k}": Tabular(torch.eye(10)) for k in (1, 2, 3)},
        **nodes,
        X=Structural(lambda M, F, B: M * F + (1 - M) * B, type=Image((3, 2, 2))),
    )
    for net in nets.values():
        net.rows.clear()
    return model, nets


def test_chained_sweeps_multiply_and_zipped_ones_do_not() -> None:
    m = chain()
    assert m.sweep(A=[1.0, 2.0]).sweep(B=[1.0, 2.0, 3.0]).sample(4, 0)["C"].shape == (2, 3, 4)
    assert m.sweep(A=[1.0, 2.0], B=[3.0, 4.0]).sample(4, 0)["C"].shape == (2, 4)
    both = m.sweep(A=[1.0, 2.0], D=[3.0, 4.0]).sample(4, 0)
    assert torch.equal(both["A"][:, 0], torch.tensor([1.0, 2.0]))
    assert torch.equal(both["D"][:, 0], torch.tensor([3.0, 4.0]))
    with pytest.raises(scm.InterventionError, match="'A': 2, 'B': 3"):
        m.sweep(A=[1.0, 2.0], B=[1.0, 2.0, 3.0])


@pytest.mark.parametrize("values", [[], 3.0, torch.tensor(1.0), "ab", None])
def test_a_sweep_takes_a_list(values: object) -> None:
    with pytest.raises(scm.InterventionError, match="A"):
        chain().sweep(A=values)


def test_the_natural_entry_is_the_factual_world() -> None:
    m = chain()
    plain = m.sample(6, seed=0)
    for units in (m.sweep(A=[1.0, NATURAL]).sample(6, 0), plain.sweep(A=[1.0, NATURAL])):
        for v in plain:
            torch.testing.assert_close(units[v][1], plain[v])
        assert torch.equal(units.world(A=NATURAL)["A"], plain["A"])


def test_natural_in_one_of_two_zipped_nodes() -> None:
    m = chain()
    units = m.sweep(A=[NATURAL, 1.0], D=[5.0, NATURAL]).sample(6, seed=0)
    plain = m.sample(6, seed=0)
    assert torch.equal(units["A"][0], plain["A"])
    assert (units["A"][1] == 1).all()
    assert torch.equal(units["D"][1], plain["D"])
    assert (units["D"][0] == 5).all()


def test_a_sweep_takes_any_value_of_an_act() -> None:
    m = chain()
    by_unit = torch.arange(4.0)
    listed = [
        1.0,
        by_unit,
        lambda A: A,
        lambda natural: -natural,
        Normal(0.0, 1.0),
        NATURAL,
        Linear({"A": 3.0}),
    ]
    swept = m.sweep(B=listed).sample(4, seed=0)
    for k, value in enumerate(listed):
        single = (m if value is NATURAL else m.do(B=value)).sample(4, seed=0)
        for v in single:
            torch.testing.assert_close(swept[v][k], single[v])


def test_a_dimension_with_no_act_left_disappears() -> None:
    m = chain()
    two = m.sweep(A=[1.0, 2.0]).sweep(B=[1.0, 2.0, 3.0])
    assert two.do(B=0.0).sample(4, 0)["C"].shape == (2, 4)
    assert two.do(A=0.0).sample(4, 0)["C"].shape == (3, 4)
    assert two.do(A=0.0, B=1.0).sample(4, 0)["C"].shape == (4,)
    units = two.sample(4, seed=0)
    assert units.do(A=0.0)["C"].shape == (3, 4)
    assert torch.equal(units.do(A=0.0)["C"], two.do(A=0.0).sample(4, seed=0)["C"])
    assert [s.size for s in two.do(A=0.0).sample(4, 0).worlds] == [3]
    again = m.sweep(A=[1.0, 2.0]).sweep(A=[5.0, 6.0, 7.0]).sample(4, seed=0)
    assert again["A"][:, 0].tolist() == [5.0, 6.0, 7.0]


def test_a_zipped_dimension_stays_while_one_of_its_acts_does() -> None:
    m = chain()
    zipped = m.sweep(A=[1.0, 2.0], D=[3.0, 4.0])
    for units in (zipped.do(A=0.0).sample(4, 0), zipped.sample(4, 0).do(A=0.0)):
        assert units["D"].shape == (2, 4)
        assert units["D"][:, 0].tolist() == [3.0, 4.0]
        assert (units["A"] == 0).all()
        assert units.compact["A"].shape == (1, 4)
        assert units.do(D=0.0)["D"].shape == (4,)


def test_a_node_has_size_one_along_worlds_that_do_not_reach_it() -> None:
    units = chain().sweep(A=[1.0, 2.0]).sweep(B=[3.0, 4.0, 5.0]).sample(7, seed=0)
    shapes = {v: tuple(t.shape) for v, t in units.compact.items()}
    assert shapes == {"A": (2, 1, 7), "B": (1, 3, 7), "C": (1, 3, 7), "D": (1, 1, 7)}
    assert all(units[v].shape == (2, 3, 7) for v in units)
    assert units["D"].stride()[:2] == (0, 0)  # a view, not a copy


def test_each_generator_runs_once_for_each_of_its_own_inputs() -> None:
    """10 x 10 x 10 images of 4 units: 10 passes' worth of rows of each generator."""
    model, nets = generators()
    labels = list(range(10))
    n = 4
    units = model.sample(n, seed=0)
    for net in nets.values():
        net.rows.clear()
    images = units.sweep(Y1=labels).sweep(Y2=labels).sweep(Y3=labels)
    assert images["X"].shape == (10, 10, 10, n, 3, 2, 2)
    assert {v: sum(net.rows) for v, net in nets.items()} == dict.fromkeys(nets, 10 * n)
    assert all(len(net.rows) == 1 for net in nets.values())
    for _ in range(2):
        images["X"]
    assert all(len(net.rows) == 1 for net in nets.values())
    one = units.do(Y1=3, Y2=7, Y3=1)["X"]
    torch.testing.assert_close(images["X"][3, 7, 1], one)


def test_a_sweep_of_the_common_cause_runs_each_generator_once_a_world() -> None:
    model, nets = generators()
    model.sweep(Y=[0, 1, 2]).sample(5, seed=0)
    assert {sum(net.rows) for net in nets.values()} == {15}


def test_a_counterfactual_runs_only_what_is_below_it_and_asked_for() -> None:
    model, nets = generators()
    units = model.sample(4, seed=0)
    for net in nets.values():
        net.rows.clear()
    other = units.do(Y1=3)
    assert not any(net.rows for net in nets.values())  # nothing yet
    other["F"]
    assert not any(net.rows for net in nets.values())  # not below Y1
    other["X"]
    assert {v: net.rows for v, net in nets.items()} == {"M": [4], "F": [], "B": []}


def test_functions_that_share_a_rule_run_in_one_pass() -> None:
    seen = []

    def double(A: Tensor) -> Tensor:
        seen.append(A.shape)
        return 2 * A

    m = chain()
    swept = m.sweep(B=[double, 0.0, double, double]).sample(5, seed=0)
    assert len(seen) == 1
    assert torch.equal(swept["B"][0], swept["B"][2])


def test_rules_in_any_order_keep_their_places() -> None:
    m = chain()
    f, g = lambda A: A + 100, lambda A: A - 100
    swept = m.sweep(A=[1.0, 2.0, 3.0, 4.0], B=[f, g, f, 7.0]).sample(2, seed=0)
    assert swept["B"][:, 0].tolist() == [101.0, -98.0, 103.0, 7.0]


def test_two_swept_parents_meet_in_their_child() -> None:
    m = scm.SCM(
        "A, B -> C",
        A=Root.normal(),
        B=Root.normal(),
        C=Additive(lambda A, B: A * B, Normal(0.0, 1e-6)),
    )
    units = m.sweep(A=[1.0, 2.0]).sweep(B=[3.0, 4.0, 5.0]).sample(3, seed=0)
    wanted = torch.tensor([1.0, 2.0])[:, None] * torch.tensor([3.0, 4.0, 5.0])
    torch.testing.assert_close(units["C"][..., 0], wanted, atol=1e-4, rtol=0)


def test_world_picks_one() -> None:
    m = chain()
    listed = [1.0, NATURAL, torch.tensor(0.1)]
    units = m.sweep(A=listed, D=[1, 1, 2]).sweep(B=[3.0, 4.0]).sample(5, seed=0)
    one = units.world(A=1.0, B=4.0)
    assert one.worlds == ()
    assert torch.equal(one["C"], units["C"][0, 1])
    assert [s.size for s in units.world(B=3.0).worlds] == [3]
    assert torch.equal(units.world(D=2)["A"], units["A"][2])
    assert torch.equal(units.world(A=0.1)["A"], units["A"][2])
    assert torch.equal(units.world({"A": NATURAL, "B": 3.0})["C"], units["C"][1, 0])
    for wrong in ({"A": 9.0}, {"C": 1.0}, {"A": 1.0, "D": 2}):
        with pytest.raises(scm.InterventionError, match=r"world|swept"):
            units.world(wrong)
    later = one.do(D=0.0)
    assert torch.equal(later["C"], one["C"])
    again = one.do(B=lambda natural: natural)["B"]
    assert torch.equal(again, 2 * one["A"] + one.noise["B"])


def test_level_names_in_sweeps() -> None:
    m = scm.SCM("T", T=Tabular([0.5, 0.5], levels=("low", "high")))
    units = m.sweep(T=["low", "high", NATURAL]).sample(4, seed=0)
    assert units["T"][:2, 0].tolist() == [0, 1]
    assert (units.world(T="high")["T"] == 1).all()
    assert units.to_pandas().loc["high"]["T"].tolist() == ["high"] * 4
