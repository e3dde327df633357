"""Interventions as text: what each form means, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Normal

import scm
from scm.errors import InterventionError
from scm.generation import Interventions


@pytest.fixture(scope="module")
def model() -> scm.SCM:
    return scm.SCM(
        "C, K -> X; V; N",
        C=scm.Root.categorical([0.5, 0.5]),
        K=scm.Tabular(torch.tensor([0.2, 0.3, 0.5]), levels=["red", "blue", "NATURAL"]),
        X=scm.Structural(lambda C, K: C + 10.0 * K),
        V=scm.Root(Normal(torch.zeros(3), 1.0)),
        N=scm.Tabular(torch.tensor([0.5, 0.5]), levels=[10, 20]),
    )


@pytest.mark.parametrize(
    ("do", "kept"),
    [
        ("X=1", {"X": 1.0}),
        (" X = -1.5e1 ", {"X": -15.0}),
        ({"X": torch.tensor(1)}, {"X": 1.0}),
        ({"X": np.float32(0.5)}, {"X": 0.5}),
        (["X=1", "C=0"], {"C": 0, "X": 1.0}),
        ({"C": True}, {"C": 1}),
        ("C=1.0", {"C": 1}),
        ("K=blue", {"K": "blue"}),
        ("K=1", {"K": "blue"}),
        ({"K": 0}, {"K": "red"}),
        ("K=NATURAL", {"K": "NATURAL"}),
        ("N=20", {"N": 1}),
        ({"N": 20}, {"N": 1}),
        ("X=NATURAL", {"X": "NATURAL"}),
        ({"X": scm.NATURAL}, {"X": "NATURAL"}),
        ("X=Normal(0, 1)", {"X": "Normal(0.0, 1.0)"}),
        ("K=Categorical(1,1,2)", {"K": "Categorical(1.0, 1.0, 2.0)"}),
        (None, {}),
    ],
)
def test_do(model: scm.SCM, do: Any, kept: dict[str, Any]) -> None:
    assert Interventions.read(model, do).do == kept


@pytest.mark.parametrize(
    ("sweep", "kept"),
    [
        ("X=0,1,NATURAL", ({"X": (0.0, 1.0, "NATURAL")},)),
        ("X=-2:2:5", ({"X": (-2.0, -1.0, 0.0, 1.0, 2.0)},)),
        ("X=0,1; K=red,blue", ({"K": ("red", "blue"), "X": (0.0, 1.0)},)),
        (["C=0,1", {"X": [3]}], ({"C": (0, 1)}, {"X": (3.0,)})),
        ("X=Normal(0, 1), 5", ({"X": ("Normal(0.0, 1.0)", 5.0)},)),
        ({"X": torch.tensor([1.0, 2.0])}, ({"X": (1.0, 2.0)},)),
        (None, ()),
    ],
)
def test_sweep(model: scm.SCM, sweep: Any, kept: tuple[Any, ...]) -> None:
    assert Interventions.read(model, None, sweep).sweeps == kept


def test_what_they_do(model: scm.SCM) -> None:
    def drawn(do: Any = None, sweep: Any = None) -> Any:
        return Interventions.read(model, do, sweep).on(model).sample(50, 0)

    assert torch.equal(drawn("K=blue")["X"], model.do(K="blue").sample(50, 0)["X"])
    assert torch.equal(drawn("N=20")["N"], model.do(N=20).sample(50, 0)["N"])
    assert (drawn("K=NATURAL")["K"] == 2).all()  # the level of that name
    swept = drawn(None, "X=7,NATURAL")["X"]
    assert torch.equal(swept[1], model.sample(50, 0)["X"])
    assert (swept[0] == 7).all()
    random = model.do(V=Normal(torch.ones(3), 0.5)).sample(50, 0)["V"]
    assert torch.equal(drawn("V=Normal(1, 0.5)")["V"], random)


@pytest.mark.parametrize(
    ("do", "sweep", "message"),
    [
        ("X", None, "expected NODE=VALUE, as X=1"),
        ("=1", None, "expected NODE=VALUE"),
        (None, "X=", "expected NODE=VALUE, as X=0,1"),
        (None, "X=0:1:1", "at least 2 values"),
        (None, "X=0:inf:3", "FIRST:LAST:NUMBER"),
        (None, "X=0,,1", "expected a number"),
        (None, {"X": []}, "expected a list of values"),
        (None, {"X": 1.0}, "expected a list of values"),
        (None, "X=0,1; K=red", "one length"),
        (None, ["X=0,1", "X=2,3"], "given twice"),
        ("X=1", "X=2,3", "given twice"),
        (["X=1", "X=2"], None, "more than one value"),
        ("x=1", None, "did you mean 'X'"),
        ("X=red", None, "expected a number"),
        ("X=nan", None, "finite"),
        ("K=green", None, "no level"),
        ("C=2", None, "no level"),
        ("C=0.5", None, "no level"),
        ("X=Normal(0, -1)", None, "no distribution"),
        ("X=Normal(0)", None, "no distribution"),
        ("X=Normal(0, x)", None, "expected a number"),
        ("X=Poisson(3)", None, "expected a number"),
        ("X=Categorical(1, 1)", None, "X"),
        ({"X": lambda C: C}, None, "write a model"),
        ({"X": Normal(0.0, 1.0)}, None, "laws as text"),
        ({"X": torch.zeros(4)}, None, "keeps numbers"),
        ({"X": None}, None, "keeps numbers"),
    ],
)
def test_bad_input(model: scm.SCM, do: Any, sweep: Any, message: str) -> None:
    with pytest.raises(InterventionError, match=message):
        Interventions.read(model, do, sweep)
