"""Abduction: the noise of observed rows, exactly, by posterior draws, or by weights."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, Poisson

import scm
from scm import NATURAL, Additive, Linear, Root, Structural, Tabular


def chain() -> scm.SCM:
    return scm.SCM(
        "A -> B -> C",
        A=Root.normal(),
        B=Linear({"A": 2.0}),
        C=Additive(lambda B: B**2, Normal(0.0, 0.5)),
    )


def collider() -> scm.SCM:
    return scm.SCM(
        "Z, F -> X",
        Z=Root.normal(),
        F=Root.normal(0.0, 2.0),
        X=Structural(lambda Z, F: Z + F),
    )


ROWS = {"A": [1.0, -1.0], "B": [2.5, 0.0], "C": [6.0, 1.0]}


def test_exact_abduction_and_counterfactual() -> None:
    units = chain().abduct(ROWS)
    assert units.status == {"A": "exact", "B": "exact", "C": "exact"}
    torch.testing.assert_close(units.noise["B"], torch.tensor([0.5, 2.0]))
    other = units.do(A=0.0)
    torch.testing.assert_close(other["B"], torch.tensor([0.5, 2.0]))
    torch.testing.assert_close(other["C"], torch.tensor([0.25 + 6 - 6.25, 4.0 + 1.0]))
    assert other.status["C"] == "exact"


def test_observed_values_are_stored_and_recomputed_only_below_a_change() -> None:
    """do(B = ...) leaves A's given bits; what was observed is what is shown."""
    odd = torch.tensor([0.1, 1 / 3]), torch.tensor([1e-3, 7.7])
    units = chain().abduct({"A": odd[0], "B": odd[1], "C": [6.0, 1.0]})
    assert torch.equal(units["A"], odd[0])
    assert torch.equal(units["B"], odd[1])
    assert torch.equal(units.do(C=0.0)["B"], odd[1])
    assert torch.equal(units.do(B=0.0)["A"], odd[0])
    swept = units.sweep(B=[0.0, NATURAL])
    assert torch.equal(swept["A"][1], odd[0])


def test_data_may_be_mappings_frames_or_samples() -> None:
    pandas = pytest.importorskip("pandas")
    m = chain()
    units = m.sample(5, seed=0, start=3)
    frame = pandas.DataFrame({v: units[v].numpy() for v in units})
    for data in (dict(units), frame, units, units.to_pandas()):
        found = m.abduct(data)
        assert torch.equal(found["C"], units["C"])
        torch.testing.assert_close(found.noise["C"], units.noise["C"], atol=1e-4, rtol=1e-4)
    assert m.abduct(units).ids.tolist() == [3, 4, 5, 6, 7]
    assert m.abduct(frame).ids.tolist() == [0, 1, 2, 3, 4]


def test_level_names_are_read() -> None:
    m = scm.SCM(
        "T -> Y", T=Tabular([0.5, 0.5], levels=("no", "yes")), Y=Additive(lambda T: T * 1.0)
    )
    found = m.abduct({"T": ["yes", "no"], "Y": [1.0, 1.0]}, seed=0)
    assert found["T"].tolist() == [1, 0]
    assert found.status["T"] == "posterior"


def test_an_absent_column_is_unobserved_and_nan_is_refused() -> None:
    m = chain()
    units = m.abduct({"A": [1.0, 2.0]}, seed=0)
    assert units.status == {"A": "exact", "B": "prior", "C": "prior"}
    assert units["C"].shape == (2,)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(scm.InterventionError, match="column 'B'.*NaN or infinite"):
            m.abduct({"A": [1.0, 2.0], "B": [bad, 1.0]})


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ({}, "no columns"),
        ({"A": [1.0], "B": [1.0, 2.0]}, "different lengths"),
        ({"A": []}, "no rows"),
        ({"A": 1.0}, "rows"),
        ({"A": [[1.0, 2.0]]}, "shape"),
        ({"A": ["x"]}, "A"),
        (3, "mapping"),
        ([1, 2], "mapping"),
    ],
)
def test_data_that_do_not_fit_are_refused(data: object, match: str) -> None:
    with pytest.raises(scm.InterventionError, match=match):
        chain().abduct(data)


def test_unobserved_causes_are_an_error_that_says_which() -> None:
    with pytest.raises(scm.InterventionError, match=r"\['A'\].*importance"):
        chain().abduct({"B": [1.0]})
    with pytest.raises(scm.InterventionError, match="'Z', 'F'"):
        collider().abduct({"X": [1.0]})


def test_a_node_whose_parents_are_determined_needs_no_column() -> None:
    m = scm.SCM("A -> B -> C", A=Root.normal(), B=Structural(lambda A: 2 * A), C=Linear({"B": 1.0}))
    units = m.abduct({"A": [1.0], "C": [5.0]})
    torch.testing.assert_close(units["B"], torch.tensor([2.0]))
    torch.testing.assert_close(units.do(A=0.0)["C"], torch.tensor([3.0]))
    assert units.status["B"] == "exact"


def test_under_a_view_an_intervened_node_keeps_its_prior_noise() -> None:
    m = chain()
    units = m.do(B=3.0).abduct({"A": [1.0, 2.0], "B": [3.0, 3.0], "C": [9.5, 9.0]}, seed=4)
    assert units.status["B"] == "prior"
    assert units.status["C"] == "exact"
    torch.testing.assert_close(units.noise["B"], m.sample(2, seed=4).noise["B"])
    torch.testing.assert_close(units.noise["C"], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(units.do(B=1.0)["C"], torch.tensor([1.5, 1.0]))
    assert (units.do(B=1.0).do(A=9.0)["B"] == 1).all()
    left_out = m.do(B=3.0).abduct({"A": [1.0], "C": [9.5]})
    assert (left_out["B"] == 3).all()
    torch.testing.assert_close(left_out.noise["C"], torch.tensor([1.0]))
    assert left_out.do(A=0.0)["B"].tolist() == [3.0]  # still under the act


def test_rows_that_contradict_the_act_are_refused() -> None:
    with pytest.raises(scm.InterventionError, match="row 1.*'B'"):
        chain().do(B=3.0).abduct({"A": [1.0, 2.0], "B": [3.0, 4.0], "C": [9.0, 9.0]})


def test_rows_that_contradict_a_deterministic_node_are_refused() -> None:
    with pytest.raises(scm.InterventionError, match="row 1.*'X'.*deterministic"):
        collider().abduct({"Z": [1.0, 1.0], "F": [1.0, 1.0], "X": [2.0, 2.5]})


def test_rows_of_probability_zero_are_refused() -> None:
    m = scm.SCM("A -> B", A=Root.uniform(0.0, 1.0), B=Linear({"A": 1.0}))
    with pytest.raises(scm.ScmError, match="row 1|support"):
        m.abduct({"A": [0.5, 2.0], "B": [0.0, 0.0]})
    t = scm.SCM("A -> B", A=Tabular([0.5, 0.5]), B=Tabular([[1.0, 0.0], [0.5, 0.5]]))
    with pytest.raises(scm.ScmError, match="row 1"):
        t.abduct({"A": [1, 0], "B": [1, 1]})


def test_abduction_is_of_one_world() -> None:
    with pytest.raises(scm.InterventionError, match="several worlds"):
        chain().sweep(A=[1.0, 2.0]).abduct(ROWS)
    with pytest.raises(scm.InterventionError, match="several worlds"):
        chain().abduct(chain().sweep(A=[1.0, 2.0]).sample(2, seed=0))


@pytest.mark.parametrize("coupling", ["gumbel", "monotone"])
def test_draws_are_an_axis_just_before_the_units(coupling: str) -> None:
    m = scm.SCM(
        "A -> B -> C; D",
        A=Tabular([0.3, 0.7], coupling),
        B=Tabular([[0.9, 0.1], [0.4, 0.6]], coupling),
        C=Additive(lambda B: 1.0 * B),
        D=Root.normal(torch.zeros(3)),
    )
    rows = {"A": [0, 1, 1], "B": [0, 0, 1], "C": [0.1, 0.2, 0.3], "D": torch.zeros(3, 3)}
    units = m.abduct(rows, draws=50, seed=0)
    assert units.draws == 50
    assert units["D"].shape == (50, 3, 3)
    assert units["B"].shape == (50, 3)
    assert (units["B"] == torch.tensor([0, 0, 1])).all()
    other = units.sweep(A=[0, 1, NATURAL])
    assert other["C"].shape == (3, 50, 3)
    assert other["D"].shape == (3, 50, 3, 3)
    assert other.worlds[0].size == 3
    assert len(other.worlds) == 1
    assert (other["B"][2] == units["B"]).all()
    assert other["B"][1, :, 0].double().std() > 0  # a posterior, not one value
    assert units[1:]["D"].shape == (50, 2, 3)
    assert units.log_weights is None
    with pytest.raises(scm.InterventionError, match="draws"):
        m.abduct(rows, draws=0)


def test_the_first_draws_do_not_depend_on_the_number_of_units() -> None:
    m = scm.SCM("A -> B", A=Tabular([0.3, 0.7]), B=Tabular([[0.9, 0.1], [0.4, 0.6]]))
    rows = {"A": [0, 1, 1, 0], "B": [0, 0, 1, 1]}
    whole = m.abduct(rows, draws=5, seed=3).do(A=1)
    part = m.abduct({v: r[:2] for v, r in rows.items()}, draws=5, seed=3).do(A=1)
    assert torch.equal(whole["B"][:, :2], part["B"])


def test_statuses_are_inherited_from_the_weakest() -> None:
    m = scm.SCM(
        "A -> B -> C; D -> C; C -> E",
        A=Root.normal(),
        B=Additive(lambda A: A),
        D=Root(Poisson(3.0)),
        C=Additive(lambda B, D: B + D),
        E=Structural(lambda C: C * 2),
    )
    units = m.abduct({"A": [1.0], "B": [1.0], "D": [2.0], "C": [3.0]}, seed=0)
    assert units.status == {
        "A": "exact",
        "B": "exact",
        "D": "posterior",
        "C": "exact",
        "E": "exact",
    }
    below = units.do(A=0.0)
    assert below.status["C"] == "exact"  # D's value is observed, its noise plays no part
    rerun = units.do(D=lambda natural: natural + 1)
    assert rerun.status["D"] == "posterior"
    assert rerun.status["E"] == "posterior"
    set_ = units.do(D=0.0)
    assert set_.status["D"] == "exact"
    assert set_.status["C"] == "exact"
    partial = m.abduct({"A": [1.0], "B": [1.0]}, seed=0)
    assert partial.status["C"] == "prior"
    assert partial.status["E"] == "prior"
    assert partial.do(A=0.0).status["B"] == "exact"
    sampled = m.sample(2, seed=0)
    assert set(sampled.status.values()) == {"prior"}


def test_no_warning_where_nothing_is_wrong() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chain().abduct(ROWS).do(A=0.0)["C"]
    assert np.isfinite(chain().abduct(ROWS)["C"].numpy()).all()


def written() -> scm.SCM:
    def write(h: Tensor, c: Tensor) -> Tensor:
        return torch.cat([c + 0 * h[..., :1], h[..., 1:]], -1)

    return scm.SCM(
        "A -> H; H => P; H -> X",
        A=Root.normal(),
        H=Linear({"A": torch.ones(2)}, noise=Normal(torch.zeros(2), 1.0)),
        P=scm.Macro(lambda h: h[..., 0], write),
        X=Linear({"H": torch.ones(2)}),
    )


def test_under_a_written_macro_variable_the_micro_node_keeps_its_prior_noise() -> None:
    m = written()
    rows = m.do(P=2.0).sample(3, seed=0)
    units = m.do(P=2.0).abduct(dict(rows), seed=5)
    assert torch.equal(units.noise["H"], m.sample(3, seed=5).noise["H"])
    assert units.status["H"] == "prior"
    assert units.status["X"] == "exact"
    assert torch.equal(units["H"], rows["H"])
    assert units.written["P"].all()
    later = units.do(A=1.0)
    assert (later["P"] == 2).all()
    assert later.written["P"].all()
    strange = m.do(P=3.0).abduct(dict(rows), seed=5)
    assert not strange.written["P"].any()
    assert (strange["P"] == 2).all()
    both = m.man(H=torch.ones(2)).do(P=2.0)
    assert both.abduct(both.sample(3, seed=0), seed=0).written["P"].all()


def test_an_observed_macro_variable_alone_leaves_its_micro_node_open() -> None:
    with pytest.raises(scm.InterventionError, match=r"\['H'\]"):
        written().abduct({"A": [1.0], "P": [1.0]})
    with pytest.raises(scm.InterventionError, match="row 0.*'P'"):
        written().abduct({"A": [1.0], "H": [[1.0, 1.0]], "P": [9.0]})
    with pytest.raises(scm.InterventionError, match="'H' is written"):
        written().do(P=1.0).log_prob(written().sample(2, seed=0))
