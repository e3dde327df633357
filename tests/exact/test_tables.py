"""`Joint.tables`, which shares one elimination, against enumeration and against `Joint.table`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scm.exact.joint
from scm.errors import GraphError, InterventionError
from scm.exact import Joint, Table
from scm.exact.elimination import Factor, Plan
from scm.exact.tree import Tree
from scm.graph import CausalGraph

from .brute import Network, networks, random_network

ATOL = 1e-12


def joint_of(network: Network) -> Joint:
    return Joint(CausalGraph(network.spec), network.tables)


def check(joint: Joint, names: list[str], do: object = None, given: object = None) -> None:
    found = joint.tables(*names, do=do, given=given)
    assert list(found) == names
    for name, table in found.items():
        alone = joint.table(name, do=do, given=given)
        assert (table.names, table.do, table.given) == (alone.names, alone.do, alone.given)
        assert table.levels == alone.levels
        assert table.values.dtype == torch.float64
        torch.testing.assert_close(table.values, alone.values, rtol=0, atol=ATOL, equal_nan=True)


def draw_roles(data: st.DataObject, network: Network) -> list[dict[str, int | None]]:
    """Up to two acts and two conditions: with a level, or with every level."""
    names = data.draw(st.permutations(list(network.parents)))
    roles: list[dict[str, int | None]] = []
    for _ in range(2):
        few = [names.pop() for _ in range(data.draw(st.integers(0, min(2, len(names) - 2))))]
        codes = {n: st.none() | st.integers(0, network.card(n) - 1) for n in few}
        roles.append({n: data.draw(code) for n, code in codes.items()})
    return roles


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_margins_are_truncated_factorisation(data: st.DataObject):
    network = data.draw(networks(zeros=True, least=4))
    do, seen = draw_roles(data, network)
    free = [n for n, code in (*do.items(), *seen.items()) if code is None]
    names = [n for n in network.parents if n not in free]
    for name, table in joint_of(network).tables(*names, do=do, given=seen).items():
        assert table.names == (*free, name)
        for codes in np.ndindex(*table.values.shape):
            at = dict(zip(table.names, codes, strict=True))
            act = {n: at[n] if code is None else code for n, code in do.items()}
            condition = {n: at[n] if code is None else code for n, code in seen.items()}
            within = network.chance(condition, act)
            got = table.values[codes].item()
            if within == 0:
                assert np.isnan(got)
                continue
            clash = condition.get(name, at[name]) != at[name]
            both = 0.0 if clash else network.chance({**condition, name: at[name]}, act)
            assert got == pytest.approx(both / within, abs=ATOL)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_together_is_one_by_one(data: st.DataObject):
    network = data.draw(networks(zeros=True, least=4))
    do, seen = draw_roles(data, network)
    some = data.draw(st.sets(st.sampled_from(list(network.parents)), min_size=1))
    names = [n for n in network.parents if n in some and None not in (do.get(n, 0), seen.get(n, 0))]
    joint = joint_of(network)
    for _ in range(2):  # planned, then kept
        check(joint, names, do, seen)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("do", "given"),
    [(None, None), ("V5", None), ({"V5": 1}, {"V20": 1}), (("V5", "V31"), {"V20": None, "V39": 0})],
)
def test_large_networks(seed: int, do: object, given: object):
    network = random_network(40, seed)
    taken = {"V5", "V31", "V20", "V39"}
    check(joint_of(network), [n for n in network.parents if n not in taken], do, given)


def test_kept_trees_serve_other_codes():
    network = random_network(12, 3)
    joint = joint_of(network)
    for code in range(network.card("V4")):
        found = joint.tables("V8", "V11", "V2", do={"V4": code}, given={"V9": 0})
        fresh = joint_of(network).tables("V8", "V11", "V2", do={"V4": code}, given={"V9": 0})
        for name, table in found.items():
            assert torch.equal(table.values, fresh[name].values)
        check(joint, ["V8", "V11", "V2"], {"V4": code}, {"V9": 0})
    assert len([key for key in joint._plans if key[0] == "tree"]) == 1


def test_deterministic_tables_and_impossible_conditions():
    not_, same = [[0, 1], [1, 0]], np.eye(2)
    joint = Joint(
        CausalGraph("A -> B -> C -> D; A, C -> E"),
        {"A": [0.3, 0.7], "B": not_, "C": same, "D": not_, "E": [same, 1 - same]},
    )
    names = ["A", "B", "C", "D", "E"]
    assert joint.tables(*names)["E"].values.tolist() == [0.0, 1.0]
    check(joint, names)
    check(joint, ["A", "B", "D", "E"], do="C")
    check(joint, names, given={"E": 0})
    for table in joint.tables(*names, given={"E": 0}).values():
        assert table.values.isnan().all()
    seen = joint.tables("A", "D", do="B", given="C")
    assert seen["A"].values.isnan().any(-1).tolist() == [[False, True], [True, False]]
    check(joint, ["A", "D", "E"], do="B", given="C")


def test_one_level_no_effect_parts_apart_and_outcomes_that_are_set():
    joint = Joint(
        CausalGraph("X -> Y; U -> V; One -> W"),
        {
            "X": [0.5, 0.5],
            "Y": [[0.9, 0.1], [0.3, 0.7]],
            "U": [0.2, 0.8],
            "V": [[0.5, 0.5], [0.1, 0.9]],
            "One": [1.0],
            "W": [[0.25, 0.75]],
        },
    )
    check(joint, ["Y", "U", "V", "One", "W"], do="X")
    check(joint, ["X", "U", "V", "W"], do="Y")  # reaches nothing
    check(joint, ["X", "Y", "U", "V", "W"], do="One")
    check(joint, ["X", "Y", "V", "U", "One"], do={"X": 1}, given={"V": 0})
    check(joint, ["X", "Y", "V"], do={"X": 1}, given={"X": 0})  # never happens
    check(joint, ["Y"], do="X")
    check(joint, ["One"])
    check(joint, ["X"], do={"X": 1})
    assert joint.tables() == {}
    assert list(joint.tables("Y", "U", "Y")) == ["Y", "U"]


def test_acts_may_be_an_iterator():
    joint = joint_of(random_network(6, 0))
    found = joint.tables("V4", "V5", do=iter(["V1"]))
    assert found["V5"].names == ("V1", "V5")


def test_level_names_that_look_like_codes():
    joint = Joint(
        CausalGraph("X -> Y -> Z"),
        {"X": [0.5, 0.5], "Y": [[0.9, 0.1], [0.3, 0.7]], "Z": [[0.8, 0.2], [0.4, 0.6]]},
        levels={"X": (1, 0)},
    )
    found: dict[str, Table] = joint.tables("X", "Y", "Z", do={"X": 0})
    assert found["X"].values.tolist() == [0.0, 1.0]
    assert found["Y"].values.tolist() == [0.3, 0.7]


def test_a_node_of_many_children():
    names = [f"V{i}" for i in range(60)]
    laws = {n: [[0.9, 0.1], [0.8 - i / 100, 0.2 + i / 100]] for i, n in enumerate(names)}
    joint = Joint(CausalGraph(f"H -> {', '.join(names)}"), {"H": [0.5, 0.5], **laws})
    check(joint, ["H", *names[1:]], given={names[0]: 0})
    check(joint, names, do="H")


def test_no_tree_where_each_alone_is_less_work(monkeypatch: pytest.MonkeyPatch):
    """Diseases and symptoms: one disease is easy, and all at once are not."""
    causes = [f"D{i}" for i in range(30)]
    tables: dict[str, object] = {d: [0.9 - i / 100, 0.1 + i / 100] for i, d in enumerate(causes)}
    rng, spec = np.random.default_rng(0), []
    for j in range(8):
        spec.append(f"{', '.join(rng.choice(causes, 10, replace=False))} -> S{j}")
        tables[f"S{j}"] = rng.dirichlet([1, 1], [2] * 10)
    joint = Joint(CausalGraph("; ".join([*causes, *spec])), tables)
    names = [*causes, *(f"S{j}" for j in range(8))]
    made: list[object] = []
    monkeypatch.setattr(scm.exact.joint, "Plan", lambda *a: made.append(a) or Plan(*a))
    found = joint.tables(*names)
    assert len(made) == len(names)
    assert found["D3"].values.numpy() == pytest.approx(tables["D3"])
    check(joint, names)


def test_margins_of_any_product():
    rng = np.random.default_rng(0)
    cards = {"A": 2, "B": 3, "C": 1, "D": 2, "E": 2}
    factors = [
        Factor(of, rng.random([cards[v] for v in of])) for of in (("A", "B"), ("B", "D", "C"))
    ]
    found = Tree(factors, cards, ("A", "E"), ("B", "C"), ("D",))([1])
    product = np.einsum("ab,bc->abc", factors[0].values, factors[1].values[:, 1])
    both = np.broadcast_to(product[:, None], (2, 2, 3, 1))
    np.testing.assert_allclose(found[0], both.sum(3), rtol=1e-14)
    np.testing.assert_allclose(found[1], both.sum(2), rtol=1e-14)
    assert [np.shape(x) for x in Tree([], cards, ("E",), ("C",), ())([])] == [(2, 1)]


def test_names_and_roles_are_checked():
    joint = Joint(
        CausalGraph("Colour -> Y; Y => M"),
        {"Colour": [0.5, 0.5], "Y": [[0.5, 0.5]] * 2, "M": np.eye(2)},
    )
    for ask in (lambda: joint.tables("Y", "colour"), lambda: joint.tables("Y", do="colour")):
        with pytest.raises(GraphError, match="did you mean 'Colour'"):
            ask()
    with pytest.raises(InterventionError, match="Colour cannot stand in two places"):
        joint.tables("Y", "Colour", do="Colour")
    with pytest.raises(InterventionError, match="macro-variable"):
        joint.tables("Y", "Colour", do="M")


def test_results_belong_to_the_caller():
    joint = Joint(CausalGraph("X; Y"), {"X": [0.25, 0.75], "Y": [0.5, 0.5]})
    for table in joint.tables("X", "Y").values():
        table.values.zero_()
    assert joint.tables("X", "Y")["X"].values.tolist() == [0.25, 0.75]
