"""The programs that stand side by side run, each in the library that it is written for."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

import scm

PAGES = Path(__file__).parents[2] / "docs" / "coming-from"
BLOCK = re.compile(r"```python\n# (?P<library>\w+)\n(?P<body>.*?)```", re.DOTALL)


def programs(page: str) -> dict[str, str]:
    """The programs of a page, by their library."""
    found = BLOCK.findall((PAGES / f"{page}.md").read_text(encoding="utf-8"))
    assert len(found) == 2
    return dict(found)


def run(program: str, **given: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what other libraries say of themselves
        exec(program, given)
    return given


@pytest.mark.slow
def test_dowhy_estimates_the_same_effect(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("dowhy")
    both = programs("dowhy")
    model = scm.SCM(
        "W -> X, Y; X -> Y",
        W=scm.Root.bernoulli(0.5),
        X=scm.Tabular([[0.8, 0.2], [0.3, 0.7]]),
        Y=scm.Additive(lambda W, X: 3.0 * W + 2.0 * X),
    )
    data = model.sample(2_000, seed=0).to_pandas()
    theirs = run(both["dowhy"], data=data)["estimate"].value
    ours = run(both["scm"], data=data)["effect"]
    assert float(theirs) == pytest.approx(2.0, abs=0.1)
    assert abs(ours.value - 2.0) < 4 * ours.stderr
    capsys.readouterr()


@pytest.mark.slow
def test_chirho_has_both_worlds() -> None:
    pytest.importorskip("chirho")
    both = programs("chirho")
    assert run(both["chirho"])["factual"].numel() == 1
    ours = run(both["scm"])
    assert ours["y"].shape == (2, 1)
    assert ours["factual"].shape == (1,)


@pytest.mark.slow
def test_pgmpy_gives_the_same_probability() -> None:
    pytest.importorskip("pgmpy")
    both = programs("pgmpy")
    last = both["pgmpy"].rstrip().rpartition("\n")[2]
    theirs = run(both["pgmpy"].replace(last, f"answer = {last}"))["answer"]
    last = both["scm"].rstrip().rpartition("\n")[2]
    ours = run(both["scm"].replace(last, f"answer = {last}"))["answer"]
    assert float(theirs.values[1]) == pytest.approx(float(ours))
