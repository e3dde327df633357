"""`Joint` against enumeration, and the rules that its answers must obey."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scm.errors import GraphError, InterventionError, MechanismError, ScmError
from scm.exact import Joint
from scm.graph import CausalGraph

from .brute import Network, networks, random_network

ATOL = 1e-12
quick = settings(max_examples=30, deadline=None)


def joint_of(network: Network) -> Joint:
    return Joint(CausalGraph(network.spec), network.tables)


def draw_event(data: st.DataObject, network: Network, most: int = 2) -> dict[str, int]:
    names = data.draw(st.lists(st.sampled_from(list(network.parents)), max_size=most, unique=True))
    return {n: data.draw(st.integers(0, network.card(n) - 1)) for n in names}


@given(data=st.data())
@quick
def test_prob_is_truncated_factorisation(data: st.DataObject):
    network = data.draw(networks(zeros=True))
    joint = joint_of(network)
    outcome, do, seen = (draw_event(data, network) for _ in range(3))
    within = network.chance(seen, do)
    if within == 0:
        with pytest.raises(InterventionError, match="probability zero"):
            joint.prob(outcome, do, seen)
        return
    both = network.chance({**seen, **outcome}, do)
    if any(outcome.get(n, k) != k for n, k in seen.items()):
        both = 0.0
    result = joint.prob(outcome, do, seen)
    assert result.dtype == torch.float64
    assert result.shape == ()
    assert result.item() == pytest.approx(both / within, abs=ATOL)


@given(data=st.data())
@quick
def test_table_is_prob_cell_by_cell(data: st.DataObject):
    network = data.draw(networks(zeros=True, least=4))
    joint = joint_of(network)
    a, b, c, d = data.draw(st.permutations(list(network.parents)))[:4]
    table = joint.table(a, b, do=c, given={d: None})
    assert table.names == (c, d, a, b)
    assert table.outcomes == (a, b)
    for code in np.ndindex(*table.values.shape):
        act, seen, out = {c: code[0]}, {d: code[1]}, {a: code[2], b: code[3]}
        within = network.chance(seen, act)
        if within == 0:
            assert torch.isnan(table.values[code])
            continue
        expected = network.chance({**seen, **out}, act) / within
        assert table.values[code].item() == pytest.approx(expected, abs=ATOL)
        assert joint.prob(out, act, seen).item() == pytest.approx(expected, abs=ATOL)
        assert table.prob(out, act, seen).item() == pytest.approx(expected, abs=ATOL)


@given(data=st.data())
@quick
def test_fixed_conditions_of_tables_may_be_outcomes_too(data: st.DataObject):
    network = data.draw(networks(least=3))
    joint = joint_of(network)
    a, b, c = data.draw(st.permutations(list(network.parents)))[:3]
    table = joint.table(a, b, c, do={b: 1}, given={c: 0})
    assert table.names == (a, b, c)
    for code in np.ndindex(*table.values.shape):
        out = dict(zip((a, b, c), code, strict=True))
        expected = joint.prob(out, do={b: 1}, given={c: 0})
        assert table.values[code].item() == pytest.approx(expected.item(), abs=ATOL)


@given(data=st.data())
@quick
def test_tables_sum_to_one_and_roots_are_conditioning(data: st.DataObject):
    network = data.draw(networks())
    joint = joint_of(network)
    root, *_, last = network.parents
    done = joint.table(last, do=root).values
    seen = joint.table(last, given=root).values
    torch.testing.assert_close(done, seen, rtol=0, atol=ATOL)
    torch.testing.assert_close(done.sum(1), torch.ones_like(done[:, 0]), rtol=0, atol=ATOL)
    everything = joint.table(*network.parents).values
    assert everything.sum().item() == pytest.approx(1.0, abs=ATOL)


@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_cached_plans_give_the_same_answers(data: st.DataObject):
    network = data.draw(networks(least=3))
    joint = joint_of(network)
    a, b, c = data.draw(st.permutations(list(network.parents)))[:3]
    for _ in range(2):
        for code in np.ndindex(*(network.card(n) for n in (a, b, c))):
            query = ({a: code[0]}, {b: code[1]}, {c: code[2]})
            fresh = joint_of(network)
            assert joint.prob(*query) == fresh.prob(*query)
            assert joint.counterfactual(*query) == fresh.counterfactual(*query)


def test_chain_by_hand():
    x, m, y = np.array([0.3, 0.7]), np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([[0.2, 0.8]] * 2)
    y[1] = 0.5
    joint = Joint(CausalGraph("X -> M -> Y"), {"X": x, "M": m, "Y": y})
    torch.testing.assert_close(joint.table("Y").values, torch.tensor(x @ m @ y))
    torch.testing.assert_close(joint.table("Y", do="X").values, torch.tensor(m @ y))
    torch.testing.assert_close(joint.table("Y", do="M").values, torch.tensor(y))
    torch.testing.assert_close(joint.table("X", do={"M": 1}).values, torch.tensor(x))


def test_acts_are_effective_and_axes_without_effect_are_constant():
    joint = joint_of(random_network(6, 0))
    assert joint.prob({"V3": 1}, do={"V3": 1}) == 1
    assert joint.prob({"V3": 0}, do={"V3": 1}) == 0
    assert joint.prob({"V3": 1}, do={"V3": 1}, given={"V3": 1}) == 1
    assert joint.prob({}) == 1
    with pytest.raises(InterventionError, match=r"V3=0 under do\(V3=1\) has probability zero"):
        joint.prob({"V0": 1}, do={"V3": 1}, given={"V3": 0})
    assert joint.table("V0", do={"V3": 1}, given={"V3": 0}).values.isnan().all()
    upstream = joint.table("V0", do="V5").values
    assert (upstream == upstream[0]).all()


def test_level_names_and_codes():
    joint = Joint(
        CausalGraph("X -> Y"),
        {"X": [0.25, 0.75], "Y": np.array([[0.9, 0.1], [0.3, 0.7]], dtype=np.float32)},
        levels={"X": ("low", "high"), "Y": (10, 20)},
    )
    expected = joint.prob({"Y": 20}, do={"X": "high"})
    assert expected == pytest.approx(0.7, abs=1e-7)
    for level in (1, np.int64(1), torch.tensor(1), np.array([1]), True):
        assert joint.prob({"Y": level}, do={"X": level}) == expected
    assert joint.levels == {"X": ("low", "high"), "Y": (10, 20)}
    assert joint.names == ("X", "Y")
    assert repr(joint) == "Joint(X: 2, Y: 2)"
    with pytest.raises(InterventionError, match="'X' has no level 'medium'.*'low', 'high'"):
        joint.prob({"Y": 20}, do={"X": "medium"})
    for level in (2, -1, 0.5, [0, 1], torch.tensor([0, 1]), float("nan")):
        with pytest.raises(InterventionError, match="no level"):
            joint.prob({"Y": 20}, do={"X": level})


def test_results_belong_to_the_caller():
    joint = Joint(CausalGraph("X"), {"X": [0.25, 0.75]})
    joint.table("X").values.zero_()
    assert joint.prob({"X": 1}) == 0.75


@pytest.mark.parametrize("seed", range(3))
def test_long_networks_never_make_their_joint(seed: int):
    network = random_network(40, seed)
    joint = joint_of(network)
    table = joint.table("V39", do="V5", given={"V20": 1})
    assert table.values.sum(-1).numpy() == pytest.approx(1.0, abs=ATOL)
    everyone = dict.fromkeys(network.parents, 0)
    assert 0 < joint.prob(everyone) < 1e-6
    assert joint.counterfactual({"V39": 1}, do={"V5": 1}, given={"V5": 0, "V39": 0}) >= 0


def test_long_networks_against_forward_sampling():
    network = random_network(12, 5)
    rng, n = np.random.default_rng(0), 100_000
    values: dict[str, np.ndarray] = {}
    for node, parents in network.parents.items():
        rows = network.tables[node][tuple(values[p] for p in parents)]
        rows = np.broadcast_to(rows, (n, network.card(node)))
        draw = (rng.random((n, 1)) > rows.cumsum(-1)).sum(-1).clip(max=network.card(node) - 1)
        values[node] = np.full(n, 1) if node == "V4" else draw
    joint = joint_of(network)
    expected = joint.table("V11", do={"V4": 1}).values.numpy()
    share = np.bincount(values["V11"], minlength=len(expected)) / n
    assert np.all(np.abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / n))


def test_too_large_a_table_is_refused_by_name():
    names = [f"V{i}" for i in range(30)]
    joint = Joint(CausalGraph("; ".join(names)), {n: [0.5, 0.5] for n in names})
    with pytest.raises(ScmError, match=r"1\.1e\+09 entries over 30 nodes \(V0, V1"):
        joint.table(*names)
    assert joint.prob(dict.fromkeys(names, 0)).item() == pytest.approx(0.5**30)


def test_many_factors_meet_in_one_node():
    names = [f"V{i}" for i in range(70)]
    joint = Joint(
        CausalGraph(f"H -> {', '.join(names)}"),
        {"H": [0.5, 0.5], **{n: [[0.9, 0.1], [0.8, 0.2]] for n in names}},
    )
    expected = (0.9**70 + 0.8**70) / 2
    assert joint.prob(dict.fromkeys(names, 0)).item() == pytest.approx(expected, rel=1e-12)


def test_names_and_roles_are_checked():
    joint = Joint(CausalGraph("Colour -> Y"), {"Colour": [0.5, 0.5], "Y": [[0.5, 0.5]] * 2})
    for ask in (
        lambda: joint.prob({"colour": 1}),
        lambda: joint.prob({"Y": 1}, do={"colour": 1}),
        lambda: joint.table("colour"),
        lambda: joint.table("Y", do="colour"),
        lambda: joint.counterfactual({"Y": 1}, do={"colour": 1}),
    ):
        with pytest.raises(GraphError, match="did you mean 'Colour'"):
            ask()
    with pytest.raises(InterventionError, match="outcome must map names to levels"):
        joint.prob("Y")
    with pytest.raises(InterventionError, match="do must map names to levels"):
        joint.prob({"Y": 1}, do="Colour")
    with pytest.raises(InterventionError, match="do must map names to levels, or name nodes"):
        joint.table("Y", do=3)
    with pytest.raises(InterventionError, match="do must map names to levels, or name nodes"):
        joint.table("Y", do=[1])
    with pytest.raises(InterventionError, match="needs a level for 'Colour'"):
        joint.prob({"Y": 1}, do={"Colour": None})
    for names, roles in (
        (("Y", "Y"), {}),
        (("Y", "Colour"), {"do": "Colour"}),
        (("Y",), {"do": {"Colour": 1}, "given": "Colour"}),
        (("Y",), {"do": "Colour", "given": {"Colour": 1}}),
    ):
        with pytest.raises(InterventionError, match="two places"):
            joint.table(*names, **roles)


def test_macro_variables_are_read_not_set():
    joint = Joint(
        CausalGraph("I -> T; I => C"),
        {"I": [0.2, 0.3, 0.5], "T": [[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]], "C": np.eye(3)[:, :2]
         + np.array([[0, 0], [0, 0], [0, 1]])},
    )  # fmt: skip
    assert joint.prob({"C": 1}).item() == pytest.approx(0.8)
    assert joint.prob({"T": 1}, given={"C": 1}).item() == pytest.approx((0.15 + 0.45) / 0.8)
    for ask in (joint.prob, joint.counterfactual):
        with pytest.raises(InterventionError, match=r"'C' is a macro-variable.*I instead \(man\)"):
            ask({"T": 1}, do={"C": 1})
    with pytest.raises(InterventionError, match="macro-variable"):
        joint.table("T", do="C")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"X": [0.5, 0.5]}, "no table: Y"),
        ({"X": [0.5, 0.5], "Y": [[0.5, 0.5]] * 2, "y": [1.0]}, "did you mean 'Y'"),
        ({"X": [0.5, 0.5], "Y": [0.5, 0.5]}, r"2 axes, one for each parent \(X\)"),
        ({"X": [0.5, 0.5], "Y": [[0.5, 0.5]] * 3}, r"must have shape \(2, 2\)"),
        ({"X": [0.5, 0.6], "Y": [[0.5, 0.5]] * 2}, "sum to one"),
        ({"X": [-0.5, 1.5], "Y": [[0.5, 0.5]] * 2}, "non-negative"),
        ({"X": [float("nan"), 1.0], "Y": [[0.5, 0.5]] * 2}, "non-negative"),
    ],
)
def test_tables_are_checked(tables: dict[str, object], message: str):
    with pytest.raises(MechanismError, match=message):
        Joint(CausalGraph("X -> Y"), tables)


def test_levels_couplings_and_graphs_are_checked():
    graph, tables = CausalGraph("X -> Y"), {"X": [0.5, 0.5], "Y": [[0.5, 0.5]] * 2}
    with pytest.raises(MechanismError, match="2 different levels"):
        Joint(graph, tables, levels={"X": ("a", "a")})
    with pytest.raises(MechanismError, match="did you mean 'X'"):
        Joint(graph, tables, levels={"x": ("a", "b")})
    with pytest.raises(MechanismError, match="gumbel"):
        Joint(graph, tables, couplings={"X": "gumble"})
    with pytest.raises(GraphError, match="did you mean 'X'"):
        Joint(graph, tables, couplings={"x": "gumbel"})
    with pytest.raises(MechanismError, match="name the common cause"):
        Joint(CausalGraph("X -> Y; X <-> Y"), tables)


@given(data=st.data())
@quick
def test_acting_on_nothing_downstream_changes_nothing(data: st.DataObject):
    network = data.draw(networks(least=3))
    first, *_, last = network.parents
    assume(first != last)
    joint = joint_of(network)
    assert joint.prob({first: 0}, do={last: 0}) == joint.prob({first: 0})
