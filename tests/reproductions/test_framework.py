from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from scm.cli import app
from scm.errors import ScmError
from scm.reproductions import CATALOGUE, Reproduction, Study, collect
from scm.reproductions.study import _code_of

HERE = Path(__file__).parent
TINY = Reproduction("tiny", "Nobody 2024", "three sums", seeds=2, module="tiny_reproduction")
ENTRY = {"row", "metric", "paper", "reproduced", "mean", "sd", "seeds", "note"}
PROGRAM = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from test_framework import TINY
from scm.cli import app
from scm.reproductions import CATALOGUE
CATALOGUE.append(TINY)
app()
"""


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    monkeypatch.syspath_prepend(str(HERE))
    CATALOGUE.append(TINY)
    yield CliRunner()
    CATALOGUE.remove(TINY)


def study(out: Path, **options: Any) -> Study:
    return Study("study", out, console=Console(quiet=True), **options)


def results(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def test_a_run_leaves_what_the_design_says(tiny: CliRunner, tmp_path: Path) -> None:
    done = tiny.invoke(app, ["reproduce", "tiny", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    found = results(tmp_path)
    assert set(found) == {"name", "command", "seconds", "machine", "rows"}
    assert found["command"] == "scm reproduce tiny --seeds 2"
    assert isinstance(found["seconds"], float)
    assert str(os.cpu_count()) in found["machine"]
    assert os.uname().nodename not in found["machine"]
    first, second = found["rows"]
    assert set(first) == ENTRY
    assert (first["row"], first["paper"], first["reproduced"]) == ("tiny", 15.0, None)
    assert (first["mean"], first["sd"], first["seeds"]) == (15.0, 0.0, [0, 1])
    assert first["note"] == "goal >= 1000: MISSED; it is | what it is"
    assert second["note"] == "goal > 0: met"
    text = (tmp_path / "table.md").read_text()
    assert "| tiny | sum | 15 | – | 15 ± 0 | 0, 1 |" in text
    assert "![The sums](sums.png)" in text
    assert all(line.count("|") == 8 for line in text.splitlines() if line.startswith("|"))
    assert (tmp_path / "sums.png").stat().st_size > 1000
    assert "MISSED: tiny, sum: 15" in done.output


def test_an_exception_loses_nothing(
    tiny: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_CELLS", "4")
    done = tiny.invoke(app, ["reproduce", "tiny", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "RuntimeError" in done.stderr
    assert not (tmp_path / "results.json").exists()
    monkeypatch.delenv("TINY_CELLS")
    done = tiny.invoke(app, ["reproduce", "tiny", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert done.output.count("kept from before") == 4
    assert len((tmp_path / "log").read_text().splitlines()) == 6


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    call = [sys.executable, "-c", PROGRAM, str(HERE), "reproduce", "tiny", "--out", str(tmp_path)]
    env = {**os.environ, "TINY_CELLS": "2", "TINY_KILL": "1"}
    options: dict[str, Any] = {"capture_output": True, "text": True, "check": False}
    killed = subprocess.run(call, env=env, **options)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    del env["TINY_CELLS"]
    done = subprocess.run(call, env=env, **options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "log").read_text().splitlines() == ["0 5", "1 5", "2 5"] * 2
    assert done.stdout.count("kept from before") == 2


def test_quick_is_another_run(tiny: CliRunner, tmp_path: Path) -> None:
    for arguments in ([], ["--quick"], []):
        done = tiny.invoke(app, ["reproduce", "tiny", "--out", str(tmp_path), *arguments])
        assert done.exit_code == 0, done.output
        found = results(tmp_path)
        assert ("--quick" in found["command"]) == bool(arguments)
        assert found["rows"][0]["mean"] == (6.0 if arguments else 15.0)
    assert len((tmp_path / "log").read_text().splitlines()) == 6 + 3


def test_default_folders(tiny: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tiny.invoke(app, ["reproduce", "tiny"]).exit_code == 0
    assert tiny.invoke(app, ["reproduce", "tiny", "--quick"]).exit_code == 0
    assert (tmp_path / "out/reproduce/tiny/table.md").exists()
    assert (tmp_path / "out/reproduce/tiny-quick/table.md").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["vcfl-gratings"], ["vcfl-gratings", "did you mean 'vcfl-grating'"]),
        ([], ["--list"]),
        (["tiny", "--option", "colour=red"], ["no option 'colour'"]),
        (["tiny", "--option", "colour"], ["KEY=VALUE"]),
    ],
)
def test_bad_names(tiny: CliRunner, arguments: list[str], words: list[str]) -> None:
    done = tiny.invoke(app, ["reproduce", *arguments])
    assert done.exit_code == 1
    for word in words:
        assert word in done.stderr
    assert done.stderr.count("\n") == 1


def test_list(tiny: CliRunner) -> None:
    done = tiny.invoke(app, ["reproduce", "--list"])
    assert done.exit_code == 0
    for known in CATALOGUE:
        assert known.name in done.output


def test_a_folder_that_cannot_be_written(tiny: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        done = tiny.invoke(app, ["reproduce", "tiny", "--out", str(out)])
        assert done.exit_code == 1
        assert "cannot be written" in done.stderr
    assert (tmp_path / "file").read_text() == "precious"


def test_every_reproduction_has_its_module() -> None:
    from importlib.util import find_spec

    for known in CATALOGUE:
        assert find_spec(known.path) is not None, known.name


def test_changed_settings_are_not_reused(tmp_path: Path) -> None:
    calls = []

    def work(**settings: Any) -> dict[str, Any]:
        calls.append(settings)
        return settings

    for _ in range(2):
        s = study(tmp_path)
        assert s.cell("a", work, n=1) == {"n": 1}
        assert s.cell("a", work, n=2) == {"n": 2}
    assert calls == [{"n": 1}, {"n": 2}]
    study(tmp_path, quick=True).cell("a", work, n=1)
    assert len(calls) == 3


def test_changed_code_is_not_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for value in (1, 22):
        (tmp_path / "changing_reproduction.py").write_text(
            f"def work() -> int:\n    return {value}"
        )
        importlib.invalidate_caches()
        module = importlib.reload(importlib.import_module("changing_reproduction"))
        _code_of.cache_clear()  # as in another process
        assert study(tmp_path / "out").cell("a", module.work) == value
    monkeypatch.delitem(sys.modules, "changing_reproduction")


def test_seconds_count_the_work_of_runs_before(tmp_path: Path) -> None:
    def inner() -> int:
        return 1

    study(tmp_path).cell("a", inner)
    (file,) = tmp_path.glob("cells/a.*/result.json")
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "seconds": 1000.0}))
    again = study(tmp_path)

    def outer() -> int:
        return 1 + again.cell("a", inner)

    assert again.cell("b", outer) == 2
    assert 1000.0 < again.seconds < 1100.0
    third = study(tmp_path)
    third.cell("b", outer)
    assert 1000.0 < third.seconds < 1100.0


def test_files_of_a_cell(tmp_path: Path) -> None:
    s = study(tmp_path / "first")

    def train(steps: int) -> int:
        s.path("net", "weights.txt").write_text(str(steps))
        return steps

    s.cell("net", train, steps=3)
    three = s.path("net", "weights.txt")
    s.cell("net", train, steps=4)
    assert three.read_text() == "3"
    assert s.path("net", "weights.txt").read_text() == "4"
    # A path among the settings makes a cell depend on the settings of that path's cell,
    # wherever the folder is.
    reads = s.cell("reads", lambda weights: 0, weights=three)
    (tmp_path / "first").rename(tmp_path / "moved")
    s = study(tmp_path / "moved")
    s.cell("net", train, steps=3)
    assert s.cell("reads", lambda weights: 1, weights=s.path("net", "weights.txt")) == reads
    with pytest.raises(ScmError, match=r"'other'.*'net'"):
        s.path("other")


def test_a_damaged_cell_is_computed_again(tmp_path: Path) -> None:
    study(tmp_path).cell("a", lambda: 1)
    (file,) = tmp_path.glob("cells/a.*/result.json")
    file.write_text("")
    assert study(tmp_path).cell("a", lambda: 1) == 1
    assert json.loads(file.read_text())["result"] == 1


def test_what_json_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"settings of cell 'a'.*a type"):
        study(tmp_path).cell("a", lambda kind: 1, kind=int)
    with pytest.raises(ScmError, match=r"result of cell 'a'.*a set"):
        study(tmp_path).cell("a", lambda: {1})


def test_rows(tmp_path: Path) -> None:
    s = study(tmp_path, seeds=(3, 4, 5))
    row = s.row("r", "m", [1.0, float("nan"), 3.0], goal="<= 2", note="why")
    assert (row.mean, row.met, row.as_json()["seeds"]) == (2.0, True, [3, 4, 5])
    assert row.sd == pytest.approx(2**0.5)
    assert row.remarks == "goal <= 2: met; no finite number from seed 4; why"
    nothing = s.row("r", "m", {3: float("inf")}, goal="< 1")
    assert (nothing.mean, nothing.sd, nothing.met) == (None, None, False)
    with pytest.raises(ScmError, match="2 values for the 3 seeds"):
        s.row("r", "m", [1.0, 2.0])
    for goal in ("2", "about 2", "<=2", ">= many"):
        with pytest.raises(ScmError, match="goal"):
            s.row("r", "m", [1.0, 2.0, 3.0], goal=goal)


def test_collect(tiny: CliRunner, tmp_path: Path) -> None:
    full, quick, papers = tmp_path / "full", tmp_path / "quick", tmp_path / "papers"
    tiny.invoke(app, ["reproduce", "tiny", "--out", str(full)])
    tiny.invoke(app, ["reproduce", "tiny", "--quick", "--out", str(quick)])
    text = collect(papers, [full]).read_text()
    assert "## [tiny](tiny/table.md)" in text
    assert "| tiny | sum | 15 | – | 15 ± 0 | 0, 1 |" in text
    assert {p.name for p in (papers / "tiny").iterdir()} == {"results.json", "table.md", "sums.png"}
    assert collect(papers).read_text() == text
    with pytest.raises(ScmError, match="quick run"):
        collect(papers, [quick])
    with pytest.raises(ScmError, match=r"no results\.json"):
        collect(papers, [tmp_path])
