"""Nothing is lost: what was killed at any moment is completed by the same command."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from scm.errors import ScmError
from scm.generation import generate
from scm.generation.folder import JOURNAL

from .models import PICTURES, TABLE

ROOT = Path(__file__).parents[2]
COMMAND = "from scm.cli import app; app()"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def begin(model: str, out: Path, units: int, shards: int, workers: int) -> subprocess.Popen[bytes]:
    words = f"generate {model} --out {out} --units {units} --shards {shards} --workers {workers}"
    return subprocess.Popen([sys.executable, "-c", COMMAND, *words.split()], cwd=ROOT)


def finished(out: Path) -> int:
    """Number of shards that the journal lists."""
    journal = out / JOURNAL
    return journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0


def test_a_driver_killed(tmp_path: Path) -> None:
    file, out = tmp_path / "table.py", tmp_path / "out"
    file.write_text(TABLE)
    arguments: dict[str, Any] = {"units": 2000, "shards": 120, "workers": 1}
    generate(f"{file}:model", tmp_path / "whole", **arguments)
    moment = random.Random(os.urandom(8)).randint(1, 60)
    driver = begin(f"{file}:model", out, 2000, 120, 1)
    while finished(out) < moment and driver.poll() is None:
        time.sleep(0.002)
    driver.kill()
    assert driver.wait() == -9
    kept = finished(out)
    assert moment <= kept < 120, f"killed at shard {moment}"
    lines = (out / JOURNAL).read_text().splitlines()[1:]
    names = [f"shard-{k:06d}.parquet" for k in range(len(lines) - 1)]
    before = {name: (out / name).stat() for name in names}
    generate(f"{file}:model", out, **arguments)
    assert content(out) == content(tmp_path / "whole"), f"killed at shard {moment}"
    for name, stat in before.items():
        now = (out / name).stat()
        assert (now.st_ino, now.st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)


def test_a_journal_cut_off(tmp_path: Path) -> None:
    file, out = tmp_path / "table.py", tmp_path / "out"
    file.write_text(TABLE)
    where = f"{file}:model"
    generate(where, tmp_path / "whole", 30, shards=3, workers=1)
    out.mkdir()

    class StopError(Exception):
        pass

    def stop(folder: Any, manifest: Any) -> None:
        raise StopError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scm.generation.generating.Folder.finish", stop)
        with pytest.raises(StopError):
            generate(where, out, 30, shards=3, workers=1)
    whole = (out / JOURNAL).read_bytes()
    end = whole.rindex(b"\n", 0, -1) + 1
    for cut in (end, end + 1, len(whole) - 1, len(whole)):
        (out / JOURNAL).write_bytes(whole[:cut])
        (out / ".scm-0123.tmp").write_bytes(b"half a shard")
        generate(where, out, 30, shards=3, workers=1)
        assert content(out) == content(tmp_path / "whole")
        (out / "manifest.json").unlink()
    for damaged in (whole[5:], whole.replace(b"number", b"numbed"), b"", b"\xff" + whole):
        (out / JOURNAL).write_bytes(damaged)
        with pytest.raises(ScmError, match="unfinished.jsonl is damaged"):
            generate(where, out, 30, shards=3, workers=1)


DEADLY = """
import multiprocessing, os, pathlib, signal

def deadly(X):
    flag = pathlib.Path(__file__).with_name("deadly")
    if flag.exists() and multiprocessing.parent_process() is not None and len(X) > 5:
        if flag.read_text() == "once":
            flag.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return X
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:a worker process died:RuntimeWarning")
def test_a_worker_killed(tmp_path: Path) -> None:
    file, out = tmp_path / "table.py", tmp_path / "out"
    file.write_text(DEADLY + TABLE.replace("torch.tanh(X)", "deadly(X)"))
    where = f"{file}:model"
    generate(where, tmp_path / "whole", 40, shards=4, workers=1)
    (tmp_path / "deadly").write_text("always")
    with pytest.raises(ScmError, match="a worker process died"):
        generate(where, out, 40, shards=4, workers=2)
    (tmp_path / "deadly").write_text("once")
    generate(where, out, 40, shards=4, workers=2)
    assert not (tmp_path / "deadly").exists()
    assert content(out) == content(tmp_path / "whole")


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, bytes]]:
    """A model, and the data set that a run makes which nobody disturbs."""
    folder = tmp_path_factory.mktemp("soak")
    (folder / "pictures.py").write_text(PICTURES)
    where = f"{folder / 'pictures.py'}:model"
    generate(where, folder / "whole", UNITS, shards=SHARDS, workers=1)
    return where, content(folder / "whole")


def below(pid: int) -> list[int]:
    """The processes that a process began, and that they began."""
    try:
        own = list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return []
    return [*own, *(p for child in own for p in below(child))]


UNITS, SHARDS = 12_000, 400
VICTIMS = ("one process", "the driver", "the machine")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(50))
def test_fifty_kills(number: int, soaked: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    """Each data set is made with one kill: of a process below the driver, of it, or of them all.

    The moment is drawn: one in five while processes start, the others while shards are made.
    """
    where, whole = soaked
    out, chance = tmp_path / "out", random.Random(number)
    driver = begin(where, out, UNITS, SHARDS, 2)
    moment = chance.uniform(-0.2, 0.8)
    if moment < 0:
        time.sleep(-20 * moment)
    while finished(out) < moment * SHARDS and driver.poll() is None:
        time.sleep(0.002)
    victim, others = VICTIMS[number % 3], below(driver.pid)
    killed = {"one process": chance.sample(others, min(1, len(others))), "the driver": [driver.pid]}
    assert driver.poll() is None, "the run had ended"
    for pid in killed.get(victim, [driver.pid, *others]):
        os.kill(pid, signal.SIGKILL)
    kept = finished(out)
    code = driver.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in others):
        time.sleep(0.01)  # they end when the driver does
    assert code == (0 if victim == "one process" else -9)
    generate(where, out, UNITS, shards=SHARDS, workers=1)
    assert content(out) == whole
    print(f"{number}: {victim} killed when {kept} of {SHARDS} shards were made")
