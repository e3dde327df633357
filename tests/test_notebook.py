"""What a notebook shows: pictures, tables that escape what is in them, and a bar that moves."""

from __future__ import annotations

import sys
import types
from html.parser import HTMLParser
from typing import Any

import pytest
import rich.console
import torch

import scm
from scm.discovery import Audit, Direction
from scm.estimators import Partition
from scm.html import Markup, table
from scm.progress import progress_bar

VOID = {"img", "path", "use", "rect", "metadata"}


class Shown(HTMLParser):
    """Text of the cells of each row; fails where a tag is left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs))
            return
        self.open.append(tag)
        if tag in ("tr", "caption"):
            self.rows.append([])
        if tag in ("th", "td", "caption"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("th", "td", "caption"):
            self.rows[-1][-1] += data


def shown(value: Any) -> Shown:
    return Shown(value._repr_html_())


def test_a_table_escapes_all_but_markup() -> None:
    found = Shown(table("<b>", ["a", "b"], [["<i>", "&"], ["x", Markup("<img src='y'>")]], more=3))
    assert found.rows == [["<b>"], ["a", "b"], ["<i>", "&"], ["x", ""], ["... and 3 more"]]
    assert found.images == [{"src": "y"}]


def test_estimates_and_intervals() -> None:
    assert shown(scm.Estimate(0.912, 0.0127, 5000)).rows[1:] == [
        ["value", "standard error", "95% interval", "units"],
        ["0.912", "0.013", "0.8871 to 0.9369", "5,000"],
    ]
    assert shown(scm.Estimate(1.0, float("nan"), 1)).rows[2] == ["1", "nan", "unknown", "1"]
    assert shown(scm.Estimate(0.25)).rows[2] == ["0.25 (exact)"]
    bound = scm.Interval(0.2, 0.45, "natural bounds", 0.15, 0.5, level=0.95, n=400)
    assert shown(bound).rows[1:] == [
        ["lower", "upper", "from", "95% limits", "units"],
        ["0.2", "0.45", "natural bounds", "0.15 to 0.5", "400"],
    ]


def test_partitions_leave_out_what_is_too_long() -> None:
    found = shown(Partition((tuple(range(50)), *((k,) for k in range(50, 80)))))
    assert found.rows[0] == ["Partition of 80 levels into 31 cells"]
    assert found.rows[2][:2] == ["0", "50"]
    assert found.rows[2][2].endswith("18, 19, ...")
    assert found.rows[-1] == ["... and 11 more"]


def test_a_model_is_its_picture_and_its_mechanisms() -> None:
    model = scm.SCM("A -> B", A=scm.Root.bernoulli(0.5), B=scm.Linear({"A": [0.0, 1.0]}))
    text = model._repr_html_()
    assert text.startswith("<svg")
    rows = Shown(text[text.index("<table") :]).rows
    assert rows[2:] == [["A", "Tabular()", "Categorical(2)"], ["B", "Linear(A)", "Real"]]


def test_samples_show_values_and_compute_none() -> None:
    calls = []

    def paint(A: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return A.expand(*A.shape[:-3], 1, 4, 4)

    model = scm.SCM(
        "A -> I; A -> B",
        A=scm.Root.bernoulli(0.5),
        I=scm.Structural(paint, type=scm.Image((1, 4, 4))),
        B=scm.Linear({"A": [0.0, 1.0]}),
    )
    units = model.sample(64, seed=0)
    found = shown(units)
    share = units["A"].double().mean()
    assert found.rows[0] == ["Samples: 64 units, seed 0"]
    assert f"1 {share:.0%}" in found.rows[2][3]
    assert found.rows[4][3].startswith(f"mean {units['B'].double().mean():.3g}, sd ")
    (image,) = found.images
    assert image["alt"] == "the first 8"
    done = len(calls)
    other = units.do(A=1)
    assert shown(other).rows[3][3] == "computed when asked for"
    assert len(calls) == done
    assert "2 worlds of A" in shown(model.sweep(A=[0, 1]).sample(2, seed=0)).rows[0][0]


def test_probability_tables() -> None:
    model = scm.SCM("A -> B", A=scm.Tabular([0.5, 0.5]), B=scm.Tabular([[0.9, 0.1], [0.2, 0.8]]))
    found = shown(model.exact().table("B", given="A"))
    assert found.rows[:3] == [["P(B | A)"], ["A", "B", "P"], ["0", "0", "0.9000"]]


def test_reports_of_laws() -> None:
    model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
    report = scm.testing.check(model, laws=["effectiveness", "back door"], trials=2)
    found = shown(report)
    assert "1 passed, 0 failed, 1 not applicable" in found.rows[0][0]
    assert [row[:2] for row in found.rows[2:]] == [
        ["effectiveness", "passed"],
        ["back door", "not applicable"],
    ]


def test_audits_are_a_matrix_and_warnings() -> None:
    pair = Direction(
        "a", "b", "c->e", 0.001, 0.002, None, None, None, (None, None), warnings=("few <units>",)
    )  # fmt: skip
    found = shown(Audit(("a", "b"), {("a", "b"): pair}, "holm", 0, ("look",)))
    assert found.rows[1:4] == [["", "a", "b"], ["a", "", "->"], ["b", "<-", ""]]
    assert found.rows[6:] == [["", "look"], ["a -> b", "few <units>"]]


def test_a_bar_in_a_notebook_needs_no_widgets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    handle = types.SimpleNamespace(update=seen.append)

    def display(first: str, display_id: bool) -> Any:
        assert display_id
        seen.append(first)
        return handle

    package, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    module.HTML, module.display = str, display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setattr("scm.progress._PAUSE", 0.0)
    with progress_bar("fit <X>", 2, "epochs") as advance:
        advance()
        advance("loss 0.5")
    assert 'value="0"' in seen[0]
    assert "fit &lt;X&gt;  1/2 epochs" in seen[1]
    assert "2/2 epochs  loss 0.5" in seen[2]
    assert seen[3] == ""
    with progress_bar("quiet", 2, "epochs", show=False) as advance:
        advance()
    assert len(seen) == 4
    assert capsys.readouterr() == ("", "")
