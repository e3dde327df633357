"""What the site is made of: its pictures, its manual, its reference, its tables."""

from __future__ import annotations

import ast
import importlib
import json
import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGES = [
    line.split()[-1]
    for page in sorted((DOCS / "reference").glob("*.rst"))
    for line in page.read_text(encoding="utf-8").splitlines()
    if line.startswith(".. automodule::")
]


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("sphinx", reason="the extra docs is not installed")
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    return importlib.import_module


def test_pictures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = runpy.run_path(str(DOCS / "pictures.py"))
    drawn["draw_all"](tmp_path)
    names = {path.stem for path in tmp_path.glob("*.png")}
    text = (DOCS / "idea.md").read_text(encoding="utf-8")
    assert names == set(re.findall(r"_pictures/(\w+)\.png", text))


def test_every_public_package_has_a_page() -> None:
    assert {f"scm.{name}" for name in importlib.import_module("scm")._PACKAGES} <= {*PACKAGES}


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for public in getattr(module, "__all__", ()):
        found = getattr(module, public)
        if isinstance(found, type) or callable(found):
            assert (found.__doc__ or "").strip(), f"{name}.{public} has no docstring"


def test_the_manual_names_every_command_and_option(extension) -> None:
    from typer.main import get_command

    from scm.cli import app

    text = extension("manual").manual()
    for name, command in get_command(app).commands.items():
        assert f"# scm {name}\n" in text
        for parameter in command.params:
            if not getattr(parameter, "hidden", False) and parameter.name != "help":
                assert (parameter.help or "").strip(), f"scm {name}: {parameter.name} has no help"
                assert parameter.param_type_name == "argument" or parameter.opts[0] in text


def test_speed_tables_show_each_row_of_the_last_run(extension) -> None:
    last_runs = extension("last_runs")
    for path in sorted((ROOT / "benchmarks" / "speed" / "results").glob("*.json")):
        how, rows = last_runs.speed_rows(path.stem)
        stored = json.loads(path.read_text(encoding="utf-8"))
        assert [row[0] for row in rows] == [row["row"] for row in stored["rows"]]
        assert stored["command"] in how
    page = (DOCS / "speed.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"{last-speed} (\w+)", page))
    known = {path.stem for path in (ROOT / "benchmarks" / "speed").glob("[a-z]*.py")}
    assert shown == known


def test_scale_is_computed_from_what_was_measured(extension, tmp_path, monkeypatch) -> None:
    scaling = extension("scaling")
    page = (DOCS / "scale.md").read_text(encoding="utf-8")
    assert re.findall(r"{last-scaling} (\w+)", page) == list(scaling.PARTS)

    def row(name: str, seconds: float) -> dict[str, object]:
        return {"row": name, "reproduced": seconds}

    results = tmp_path / "speed" / "results"
    results.mkdir(parents=True)
    monkeypatch.setattr(scaling, "BENCHMARKS", tmp_path)
    work = "2x2x2 counterfactuals of 2 units on {}: {}"
    written = [
        row(work.format("cpu, float32", "one BigGAN pass per mechanism per image"), 96.0),
        row(work.format("cpu, float32", "scm: one sweep"), 36.0),
        row(work.format("cuda, float32", "one BigGAN pass per mechanism per image"), 0.48),
        row(work.format("cuda, float32", "scm: one sweep"), 0.12),
    ]
    (results / "imagenet_cgn.json").write_text(json.dumps({"rows": written}))
    assert next(iter(scaling.sweeps())) == ("cpu", "float32", 2, 2.0, 3.0)
    assert scaling.writing()[0] == pytest.approx(196608 * 24e-9 + 1e-3)
    assert "assumed" in scaling.hours()
    title = (
        "1,000 counterfactual images, 3x32x32, a CGN of train_cgn's networks: the cost of writing"
    )
    written = [row(f"{title}: sampling alone", 1.0), row(f"{title}: one plain file", 1.5)]
    (results / "generate.json").write_text(json.dumps({"rows": written}))
    assert scaling.writing()[0] == pytest.approx(0.5 / 1000 * 64)
    assert scaling.hours_of((2.0, 3.0), 3.0) == pytest.approx(1e7 * (6 + 0.032) / 3600)
    assert scaling.hours_of((2.0, 3.0), 0.75) == pytest.approx(1e7 * (2.25 + 0.032) / 3600)
    assert "one GPU, float32, measured: 100 passes/s" in scaling.hours()
    assert scaling.cluster().count("measured") == 3


def test_small_times_are_told_in_milliseconds(extension) -> None:
    quantity = extension("last_runs").quantity
    shown = [quantity(v, "s") for v in (12.34, 0.0123, 0.0000456, 1234.5)]
    assert [text.split("\N{NO-BREAK SPACE}") for text in shown] == [
        ["12.3", "s"],
        ["12.3", "ms"],
        ["45.6", "µs"],
        ["1,234", "s"],
    ]
    assert quantity(None, "s") == "–"
    assert quantity(1024.0, "MB").startswith("1,024")


def test_every_experiment_stands_on_a_paper_s_page() -> None:
    from scm.reproductions import CATALOGUE

    text = "".join(p.read_text(encoding="utf-8") for p in (DOCS / "papers").glob("*.md"))
    shown = re.findall(r"{last-run} ([\w-]+)", text)
    assert len(shown) == len(set(shown))
    names = {entry.name for entry in CATALOGUE}
    others = set(shown) - names  # a group of an experiment, run into a folder of its own
    assert names <= set(shown)
    assert all(any(other.startswith(f"{name}-") for name in names) for other in others)


def test_a_paper_s_table_keeps_its_rows_and_pictures(extension) -> None:
    last_runs = extension("last_runs")
    for path in sorted((ROOT / "benchmarks" / "papers").glob("*/table.md")):
        stored = path.read_text("utf-8")
        shown = last_runs.paper_run(path.parent.name)
        assert shown["about"] in stored
        assert [n for n in stored.splitlines() if n.startswith("|")] == [
            n for n in shown["table"].splitlines() if n.startswith("|")
        ]
        assert shown["figures"].count("```{figure}") == stored.count("![")
        assert "![" not in shown["table"]
    assert last_runs.paper_run("no-such-experiment") is None
    assert last_runs.paper_rows("no-such-experiment", "a") is None


def test_rows_of_an_audit_stand_on_its_page(extension) -> None:
    page = (DOCS / "audits.md").read_text(encoding="utf-8")
    for name, start in re.findall(r"{last-rows} ([\w-]+) (.+)", page):
        shown = extension("last_runs").paper_rows(name, start)
        stored = (ROOT / "benchmarks" / "papers" / name / "table.md").read_text("utf-8")
        assert shown.count("\n") - 1 == stored.count(f"\n| {start}") > 0


def test_a_long_table_is_led_by_published_figures_and_goals(extension, monkeypatch) -> None:
    last_runs = extension("last_runs")
    rows = [
        ["a", "acc, %", "90", "–", "91", "0", "tiny; goal >= 89: met"],
        ["b", "acc, %", "–", "–", "12", "0", "tiny; goal >= 20: MISSED"],
        ["c", "acc, %", "–", "–", "13", "0", ""],
        ["d", "time, s", "–", "–", "14", "0", "goal >= 10: met"],
    ]
    assert last_runs._main_rows(rows).splitlines() == [
        "Metric, unless a row names another: acc, %. Goals met: 2 of 3. Most rows: tiny.",
        "",
        "| row | paper | here | goal |",
        "|---|---:|---:|---|",
        "| a | 90 | 91 | >= 89: met |",
        "| b | – | 12 | >= 20: **missed** |",
        "| d: *time, s* | – | 14 | >= 10: met |",
    ]
    monkeypatch.setattr(last_runs, "MANY", 1)
    assert "| d |" not in last_runs._main_rows(rows)
    assert last_runs._main_rows([rows[2]]) == ""


def test_docstrings_become_restructured_text(extension) -> None:
    rewrite = extension("docstrings").rewrite
    assert rewrite(["Two lines:", "", "    cgn = train()"])[0] == "Two lines::"
    for kept in (
        ["A list:", "", "    - one"],
        ["Example:", "", "    >>> 1"],
        ["Args:", "    x: y"],
    ):
        assert rewrite(kept) == kept
    assert rewrite(["| a | b |", "|---|---|", "| 1 | 2 |"]) == [
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - a",
        "     - b",
        "   * - 1",
        "     - 2",
        "",
    ]


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples_have_a_title_that_the_gallery_reads(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text
    if path.stem != "audit_pretrained":  # not in the gallery
        title, rule = text.splitlines()[:2]
        assert set(rule) == {"="}
        assert len(rule) >= len(title)
        assert "plt.show()" in path.read_text(encoding="utf-8")


def test_the_gallery_has_a_place_for_every_example() -> None:
    conf = ast.parse((DOCS / "conf.py").read_text(encoding="utf-8"))
    (listed,) = (
        ast.literal_eval(node.value)
        for node in conf.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXAMPLES"
    )
    assert len(listed) >= 15
    assert sorted(listed) == [path.stem for path in EXAMPLES if path.stem != "audit_pretrained"]


def test_the_build_reads_nothing_remote() -> None:
    conf = (DOCS / "conf.py").read_text(encoding="utf-8")
    assert "intersphinx" not in conf
    assert "http" not in conf
    assert sys.version_info >= (3, 11)
