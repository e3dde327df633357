"""Each kind of broken model is caught by the law that is about it, and made small."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import scm
from scm.testing import LAWS, check

from .broken import chain
from .patched import KINDS

NAMED = {law.name: law for law in LAWS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_model_is_caught_by_the_law_about_it(kind: str) -> None:
    law, make = KINDS[kind]
    made = make()
    context: Any = contextlib.nullcontext(made) if isinstance(made, scm.SCM) else made
    with context as model:
        assert NAMED[law].applies(model) is None
        found = NAMED[law].check(model, seed=1, trials=20)
    assert found is not None
    assert found.law == law
    assert str(found.case) in str(found)


def test_without_the_defect_the_laws_hold() -> None:
    """What is caught is the defect, not the shape of the model."""
    laws = {law for law, make in KINDS.values() if not isinstance(make(), scm.SCM)}
    assert len(laws) > 4
    report = check(chain(), sorted(laws), seed=1, trials=20)
    assert len(report.passed) == len(laws), str(report)


def test_the_counterexample_is_small() -> None:
    law, make = KINDS["batch_statistics"]
    found = NAMED[law].check(make(), seed=0)
    assert found is not None
    assert (found.case.acts, found.case.n, found.case.start, found.case.seed) == ((), 5, 0, 0)
    assert "units 0 to 4 of seed 0" in str(found)

    law, make = KINDS["reads_a_non_parent"]
    found = NAMED[law].check(make(), seed=0)
    assert found is not None
    assert [v.node for v in found.case.acts] == ["A"]
    assert found.case.n == 1
    assert found.case.acts[0].number in (0.0, 1.0)


def test_the_search_is_repeated_by_its_seed() -> None:
    law, make = KINDS["noise_that_depends_on_the_act"]
    first, again = (str(NAMED[law].check(make(), seed=3)) for _ in range(2))
    assert first == again


def test_a_model_that_refuses_a_legal_act_is_reported() -> None:
    def fussy(A):
        if A.unique().numel() == 1 and A.numel() > 1:
            raise RuntimeError("all the same")
        return A

    report = check(chain(B=scm.Additive(fussy)), laws=["effectiveness"])
    assert not report
    assert "raised MechanismError" in report.failed[0].detail
