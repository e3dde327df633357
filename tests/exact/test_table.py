"""`Table`: axes by name, conditions that must agree, printing, pandas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scm.errors import GraphError, InterventionError, ScmError
from scm.exact import Joint, Table
from scm.graph import CausalGraph


@pytest.fixture
def joint() -> Joint:
    rng = np.random.default_rng(1)
    tables = {
        "Z": rng.dirichlet(np.ones(2)),
        "X": rng.dirichlet(np.ones(3), size=2),
        "Y": rng.dirichlet(np.ones(2), size=(2, 3)),
    }
    return Joint(CausalGraph("Z -> X; Z, X -> Y"), tables, levels={"Y": ("no", "yes")})


def test_prob_sums_and_conditions(joint: Joint):
    table = joint.table("Y", "Z", do="X")
    for x in range(3):
        for query in (({"Y": "yes"}, {"X": x}), ({"Y": 1, "Z": 0}, {"X": x}, {"Z": 0})):
            expected = joint.prob(*query).item()
            assert table.prob(*query).item() == pytest.approx(expected, abs=1e-12)
    assert table.prob({"Z": 1}, {"X": 0}, {"Z": 0}) == 0
    fixed = joint.table("Y", do={"X": 2}, given={"Z": 0})
    assert fixed.names == ("Y",)
    for do, given in (({"X": 2}, {"Z": 0}), (None, None), ({"X": 2}, None)):
        assert fixed.prob({"Y": 1}, do, given).item() == pytest.approx(
            joint.prob({"Y": 1}, {"X": 2}, {"Z": 0}).item(), abs=1e-12
        )


def test_prob_refuses_what_does_not_fit(joint: Joint):
    table, fixed = joint.table("Y", do="X"), joint.table("Y", do={"X": 2}, given={"Z": 0})
    with pytest.raises(InterventionError, match="every level of X: give one in do="):
        table.prob({"Y": 1})
    with pytest.raises(InterventionError, match=r"do X=1 does not fit P\(Y | do\(X=2\), Z=0\)"):
        fixed.prob({"Y": 1}, do={"X": 1})
    with pytest.raises(InterventionError, match="given Z=1 does not fit"):
        fixed.prob({"Y": 1}, given={"Z": 1})
    with pytest.raises(InterventionError, match="'X' is a condition"):
        table.prob({"X": 1}, do={"X": 1})
    with pytest.raises(InterventionError, match="'X' is a condition"):
        table.prob({"Y": 1}, do={"X": 1}, given={"X": 1})
    with pytest.raises(GraphError, match="did you mean 'Y'"):
        table.prob({"y": 1}, do={"X": 1})
    empty = Table(("Z", "Y"), {"Z": (0, 1), "Y": (0, 1)}, torch.eye(2).double() * torch.nan,
                  given={"Z": None})  # fmt: skip
    with pytest.raises(InterventionError, match="Z=0 has probability zero"):
        empty.prob({"Y": 1}, given={"Z": 0})
    with pytest.raises(ScmError, match=r"shape \(2, 2\), the levels of Z, Y; got \(2,\)"):
        Table(("Z", "Y"), {"Z": (0, 1), "Y": (0, 1)}, torch.ones(2))


def test_indexing(joint: Joint):
    table = joint.table("Y", "Z", do="X")
    assert table[2, 1, 0] == table.values[2, 1, 0]
    assert torch.equal(table[{"Y": "yes"}], table.values[:, 1])
    assert torch.equal(table[{"Z": 0, "X": 1}], table.values[1, :, 0])
    with pytest.raises(InterventionError, match="no axis"):
        joint.table("Y", do={"X": 2})[{"X": 2}]


def test_repr_names_the_distribution_and_stays_short(joint: Joint):
    table = joint.table("Y", "Z", do="X")
    lines = repr(table).splitlines()
    assert lines[0] == "P(Y, Z | do(X))"
    assert lines[1].split() == ["X", "Y", "Z", "P"]
    assert len(lines) == 2 + 12
    many = Joint(CausalGraph("X"), {"X": np.full(50, 0.02)}).table("X")
    assert repr(many).splitlines()[0] == "P(X)"
    assert repr(many).splitlines()[-1] == "... and 34 more"


def test_to_pandas(joint: Joint):
    pytest.importorskip("pandas")
    series = joint.table("Y", do="X").to_pandas()
    assert series.index.names == ["X", "Y"]
    assert series[(1, "yes")] == joint.prob({"Y": 1}, do={"X": 1}).item()
    single = joint.table("Y").to_pandas()
    assert list(single.index) == ["no", "yes"]
    assert single.index.name == "Y"
