"""Seeds of a reproduction in processes of their own: the same results, each cell computed once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from scm.cli import app
from scm.errors import ScmError
from scm.parallel import here
from scm.reproductions import CATALOGUE, Reproduction, reproduce
from scm.reproductions.seeds import SeedJob, run_seeds

MODULE = """
import os, pathlib, signal, time

def run(study):
    log = str(study.out.parent / "log")
    base = study.cell("shared", shared, log=log)
    if study.first in study.seeds:
        study.cell("once", once, log=log)
    found = [study.cell(f"seed-{s}/work", work, seed=s, base=base, log=log) for s in study.seeds]
    study.row("tiny", "sum", found)

def once(log):
    note(log, "once")

def shared(log):
    time.sleep(0.2)
    note(log, "shared")
    return 10

def work(seed, base, log):
    flag = pathlib.Path(log) / "kill"
    if seed == 1 and flag.exists():
        flag.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    note(log, f"work{seed}")
    if seed == 7:
        raise ValueError("seven")
    return base + seed

def note(log, name):
    (pathlib.Path(log) / f"{name}.{os.getpid()}.{time.monotonic_ns()}").touch()
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reproduction]:
    (tmp_path / "tiny_seeds.py").write_text(MODULE)
    (tmp_path / "log").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Reproduction("tiny-seeds", "Nobody 2024", "sums", seeds=3, module="tiny_seeds")
    CATALOGUE.append(made)
    yield made
    CATALOGUE.remove(made)


def computed(tmp_path: Path) -> list[str]:
    return sorted(path.name.split(".")[0] for path in (tmp_path / "log").iterdir())


@pytest.mark.filterwarnings("ignore:a worker process died:RuntimeWarning")
def test_two_workers_one_of_which_is_killed(tiny: Reproduction, tmp_path: Path) -> None:
    (tmp_path / "log" / "kill").touch()
    words = ["reproduce", tiny.name, "--out", str(tmp_path / "out"), "--workers", "2"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert (rows[0]["mean"], rows[0]["sd"], rows[0]["seeds"]) == (11.0, 1.0, [0, 1, 2])
    assert computed(tmp_path) == ["once", "shared", "work0", "work1", "work2"]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"cells", "results.json", "table.md"}
    again = reproduce(tiny.name, tmp_path / "out", console=Console(quiet=True))
    assert again.rows[0].found == [10.0, 11.0, 12.0]
    assert len(computed(tmp_path)) == 5


def test_what_a_seed_raises(tiny: Reproduction, tmp_path: Path) -> None:
    job, quiet = SeedJob("tiny_seeds", tiny.name, tmp_path / "out"), Console(quiet=True)
    with pytest.raises(ValueError, match="seven"):
        run_seeds(job, [0, 7, 1], here, quiet, progress=False)
    assert computed(tmp_path) == ["once", "shared", "work0", "work7"]
    run_seeds(job, [0, 1], here, quiet, progress=False)
    assert computed(tmp_path) == ["once", "shared", "work0", "work1", "work7"]


def test_no_cluster(tiny: Reproduction, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"out": tmp_path / "out", "ray": "127.0.0.1:1"}
    with pytest.raises(ScmError, match="no Ray cluster answers"):
        reproduce(tiny.name, **arguments)
    assert not (tmp_path / "out").exists()
