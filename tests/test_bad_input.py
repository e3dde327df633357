"""What bad input gets: the right error, with the given, the expected and the next step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import MixtureSameFamily, Normal

import scm
from scm import (
    Additive,
    GraphError,
    InterventionError,
    Linear,
    Macro,
    MechanismError,
    Move,
    Root,
    ScmError,
    Structural,
    Tabular,
)


def chain() -> scm.SCM:
    """A mixed model: discrete A, continuous B and C, a macro-variable of C without a writer."""
    return scm.SCM(
        "A -> B -> C; C => M",
        A=Root.bernoulli(0.5),
        B=Linear({"A": [0.0, 1.0]}),
        C=Additive(lambda B: torch.stack([B[..., 0], B[..., 0]], -1), Normal(torch.zeros(2), 1.0)),
        M=Macro(lambda c: c.mean(-1)),
    )


def tables(p: float = 0.5) -> scm.SCM:
    return scm.SCM("A -> B", A=Root.bernoulli(p), B=Tabular([[0.9, 0.1], [0.2, 0.8]]))


def mixture() -> Any:
    parts = Normal(torch.tensor([-1.0, 1.0]), torch.ones(2))
    return MixtureSameFamily(torch.distributions.Categorical(torch.ones(2) / 2), parts)


@dataclass
class Case:
    """A call, its error, and what the message must say."""

    name: str
    call: Callable[[], Any]
    error: type[ScmError]
    says: tuple[str, ...]


def observed() -> dict[str, torch.Tensor]:
    return {"A": torch.tensor([0, 1]), "B": torch.tensor([0.5, 1.0]), "C": torch.zeros(2, 2)}


CASES = [
    Case("cycle", lambda: scm.CausalGraph("A -> B -> C -> A"), GraphError, ("A -> B -> C -> A",)),
    Case("grammar", lambda: scm.CausalGraph("A -> -> B"), GraphError, ("A -> -> B", "^")),
    Case(
        "node without a mechanism",
        lambda: scm.SCM("A -> B", A=Root.normal()),
        MechanismError,
        ("['B']", "no mechanism", "give one"),
    ),
    Case(
        "mechanism without a node",
        lambda: scm.SCM("A -> B", A=Root.normal(), B=Linear({"A": 1.0}), a2=Root.normal()),
        MechanismError,
        ("'a2'", "no node", "Known: 'A', 'B'"),
    ),
    Case(
        "no mechanism at all",
        lambda: scm.SCM("A -> B", A=Root.normal(), B=lambda A: A),
        MechanismError,
        ("expected a mechanism", "Additive(f)"),
    ),
    Case(
        "bidirected edge in a model",
        lambda: scm.SCM("A <-> B", A=Root.normal(), B=Root.normal()),
        GraphError,
        ("A <-> B", "latent="),
    ),
    Case(
        "parent names that do not match",
        lambda: scm.SCM("A -> B", A=Root.normal(), B=Additive(lambda Z: Z)),
        MechanismError,
        ("['Z']", "['A']"),
    ),
    Case(
        "one weight for all levels of a category",
        lambda: scm.SCM("A -> B", A=Root.bernoulli(0.5), B=Linear({"A": 3.0})),
        MechanismError,
        ("weight of 'A'", "expected (2,)", "the levels of Categorical(2)"),
    ),
    Case(
        "a Root with parents",
        lambda: scm.SCM("A -> B", A=Root.normal(), B=Root.normal()),
        MechanismError,
        ("'B' has parents ['A']", "Linear"),
    ),
    Case(
        "a macro-variable without a Macro",
        lambda: scm.SCM("A => B", A=Root.normal(), B=Linear({"A": 1.0})),
        MechanismError,
        ("constitutive", "needs a Macro"),
    ),
    Case(
        "deterministic root",
        lambda: scm.SCM("A", A=Structural(lambda: torch.zeros(()))),
        MechanismError,
        ("neither parents nor noise", "Root.empirical"),
    ),
    Case(
        "a module that mixes rows",
        lambda: scm.SCM("A -> B", A=Root.normal(), B=Additive(lambda A: A - A.mean())),
        MechanismError,
        ("'B'", "rows talk"),
    ),
    Case(
        "batch norm in training mode",
        lambda: scm.SCM(
            "A -> B",
            A=Root.normal(torch.zeros(2)),
            B=Additive(nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))),
        ),
        MechanismError,
        ("BatchNorm1d", "training mode", "eval()"),
    ),
    Case(
        "a function that returns a constant",
        lambda: scm.SCM("A -> B", A=Root.normal(), B=Additive(lambda A: torch.zeros(()))),
        MechanismError,
        ("returned shape ()", "expected (4,)", "full_like"),
    ),
    Case(
        "a function that fails",
        lambda: scm.SCM("A -> B", A=Root.normal(), B=Additive(lambda A: A @ torch.zeros(7, 7))),
        MechanismError,
        ("computing 'B'", "failed"),
    ),
    Case(
        "noise without an inverse",
        lambda: Additive(lambda A: A, noise=mixture()),
        MechanismError,
        ("inverse distribution function", "Flow()"),
    ),
    Case(
        "unknown node in do",
        lambda: chain().do(a=1),
        InterventionError,
        ("'a'", "did you mean 'A'"),
    ),
    Case(
        "unknown node in sweep",
        lambda: chain().sweep(BB=[1.0]),
        InterventionError,
        ("'BB'", "did you mean 'B'"),
    ),
    Case(
        "unknown node in abduct",
        lambda: chain().abduct({"Bee": [1.0]}),
        InterventionError,
        ("'Bee'", "Known: 'A', 'B', 'C', 'M'"),
    ),
    Case(
        "unknown node in given",
        lambda: chain().given(D=1),
        InterventionError,
        ("'D'", "no node"),
    ),
    Case(
        "unknown node in samples",
        lambda: chain().sample(2, seed=0)["D"],
        InterventionError,
        ("'D'", "no node"),
    ),
    Case(
        "wrong event shape",
        lambda: chain().do(C=torch.zeros(3)),
        InterventionError,
        ("'C'", "(3,)", "(2,)"),
    ),
    Case(
        "wrong number of units",
        lambda: chain().do(B=torch.zeros(5)).sample(10),
        InterventionError,
        ("'B'", "(5,)", "(10,) (by unit)", "sweep"),
    ),
    Case("a string", lambda: chain().do(B="high"), InterventionError, ("'B'", "expected")),
    Case("None", lambda: chain().do(B=None), InterventionError, ("None", "NATURAL")),
    Case("no level", lambda: chain().do(A=2), InterventionError, ("[2]", "Categorical(2)")),
    Case(
        "a bare module as an act",
        lambda: chain().do(B=nn.Linear(2, 1)),
        InterventionError,
        ("Linear", "Structural(module)"),
    ),
    Case(
        "an act that reads a non-parent",
        lambda: chain().do(C=lambda A: A),
        InterventionError,
        ("['A']", "['B', 'natural']"),
    ),
    Case(
        "sweep of one number",
        lambda: chain().sweep(B=1.0),
        InterventionError,
        ("non-empty list", "NATURAL"),
    ),
    Case(
        "zipped lists of different lengths",
        lambda: chain().sweep(A=[0, 1], B=[0.0, 1.0, 2.0]),
        InterventionError,
        ("'A': 2", "'B': 3", "chain"),
    ),
    Case(
        "man of a node without macro-variables",
        lambda: chain().man(B=1.0),
        InterventionError,
        ("constitutes no macro-variable", "use do"),
    ),
    Case(
        "a Move in do",
        lambda: chain().do(C=Move(torch.ones(2), 1.0)),
        InterventionError,
        ("man(C=Move(...))",),
    ),
    Case(
        "do on a macro-variable without a writer",
        lambda: chain().do(M=1.0),
        InterventionError,
        ("'M'", "no writer", "man(C=...)"),
    ),
    Case("NaN given", lambda: chain().do(B=float("nan")), InterventionError, ("NaN",)),
    Case(
        "NaN in data",
        lambda: chain().abduct({**observed(), "B": [0.0, float("nan")]}),
        InterventionError,
        ("column 'B'", "NaN", "impute"),
    ),
    Case(
        "infinite in data",
        lambda: chain().fit({**observed(), "B": [0.0, np.inf]}),
        InterventionError,
        ("column 'B'", "infinite"),
    ),
    Case(
        "columns of different lengths",
        lambda: chain().abduct({**observed(), "A": [0, 1, 1]}),
        InterventionError,
        ("different lengths", "'A': 3"),
    ),
    Case(
        "evidence that leaves nodes open",
        lambda: chain().abduct({"C": torch.zeros(2, 2)}),
        InterventionError,
        ("['A', 'B']", "Encoder", "importance"),
    ),
    Case(
        "a table that does not sum to one",
        lambda: Tabular([[0.5, 0.6], [0.5, 0.5]]),
        MechanismError,
        ("[0]", "1.1", "sum"),
    ),
    Case("a negative table", lambda: Tabular([1.5, -0.5]), MechanismError, ("non-negative",)),
    Case(
        "a table of the wrong shape",
        lambda: scm.SCM("A -> B", A=Root.categorical([0.2, 0.3, 0.5]), B=Tabular(np.eye(2))),
        MechanismError,
        ("(2, 2)", "(3, 2)", "(A, B)"),
    ),
    Case(
        "a table with a continuous parent",
        lambda: scm.SCM("A -> B", A=Root.normal(), B=Tabular(np.eye(2))),
        MechanismError,
        ("'A'", "not Categorical"),
    ),
    Case(
        "an event of probability zero, exactly",
        lambda: tables(0.0).exact().prob({"B": 1}, given={"A": 1}),
        InterventionError,
        ("probability zero", "A"),
    ),
    Case(
        "an event of probability zero, sampled",
        lambda: tables(0.0).given(A=1).sample(10, seed=0),
        InterventionError,
        ("0 of", "probability is zero"),
    ),
    Case(
        "a value of a continuous node as condition",
        lambda: chain().given(B=1.0),
        InterventionError,
        ("probability zero", "lambda"),
    ),
    Case(
        "a row that the table makes impossible",
        lambda: scm.SCM("A -> B", A=Root.bernoulli(0.5), B=Tabular(np.eye(2))).abduct(
            {"A": [0, 1], "B": [0, 0]}
        ),
        ScmError,
        ("row 1", "probability zero"),
    ),
    Case(
        "a row that a deterministic node contradicts",
        lambda: scm.SCM("A -> B", A=Root.normal(), B=Structural(lambda A: 2 * A)).abduct(
            {"A": [1.0], "B": [3.0]}
        ),
        InterventionError,
        ("row 0", "'B'", "deterministic"),
    ),
    Case(
        "a node that cannot be abducted",
        lambda: scm.SCM(
            "A -> B",
            A=Root.normal(),
            B=Structural(lambda A, noise: A * noise.abs(), noise=Normal(0.0, 1.0)),
        ).abduct({"A": [1.0], "B": [1.0]}),
        MechanismError,
        ("'B'", "cannot be abducted", "inverse=g"),
    ),
    Case(
        "exact() of a continuous model",
        lambda: chain().exact(),
        MechanismError,
        ("'B'", "Real", "sample instead"),
    ),
    Case(
        "log_prob with a node missing",
        lambda: chain().log_prob({"A": [0]}),
        InterventionError,
        ("['B', 'C']",),
    ),
    Case(
        "log_prob of a deterministic node",
        lambda: scm.SCM("A -> B", A=Root.normal(), B=Structural(lambda A: A)).log_prob(
            {"A": [0.0], "B": [0.0]}
        ),
        MechanismError,
        ("'B'", "no density"),
    ),
    Case(
        "fit with an unobserved parent",
        lambda: chain().fit({"B": [0.0, 1.0]}),
        MechanismError,
        ("unobserved", "nodes="),
    ),
    Case("no units", lambda: chain().sample(0), ScmError, ("sample(0", "positive")),
    Case("a seed that is none", lambda: chain().sample(2, seed=0.5), ScmError, ("0.5", "integer")),  # type: ignore[arg-type]
    Case(
        "a world that was not swept",
        lambda: chain().sweep(A=[0, 1]).sample(2, seed=0).world(A=3),
        InterventionError,
        ("{'A': 3}", "[0, 1]"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_error_says_what_was_given_expected_and_next(case: Case) -> None:
    with pytest.raises(case.error) as caught:
        case.call()
    message = str(caught.value)
    for part in case.says:
        assert part in message, message
    assert len(message) > 40


def test_model_is_unchanged_after_a_refusal() -> None:
    model = chain()
    before = model.sample(20, seed=0)
    for bad in ({"B": "x"}, {"C": torch.zeros(3)}, {"M": 1.0}, {"Q": 0}):
        with pytest.raises(InterventionError):
            model.do(bad)
    with pytest.raises(InterventionError):
        model.fit({"A": [0, 1], "B": [0.0, float("nan")], "C": torch.zeros(2, 2)})
    after = model.sample(20, seed=0)
    assert all(torch.equal(before[node], after[node]) for node in model.graph.nodes)
    assert before.do(A=1)["B"].shape == (20,)


def test_a_checkpoint_that_needs_unpickling_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(2)}, tmp_path / "model.pt")
    with pytest.raises(ScmError, match="unpickling"):
        scm.load(tmp_path / "model.pt")


def test_a_truncated_or_altered_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.scm"
    tables().save(path)
    data = path.read_bytes()
    path.write_bytes(data[:-3])
    with pytest.raises(ScmError, match=r"truncated|altered"):
        scm.load(path)
    path.write_bytes(data[:-3] + b"\x01\x02\x03")
    with pytest.raises(ScmError, match=r"truncated|altered"):
        scm.load(path)
