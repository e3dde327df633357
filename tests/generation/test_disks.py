"""Disks that fill up, turn read-only or lie, at any moment: an error, and nothing half-written."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scm.datasets import Generated
from scm.errors import ScmError
from scm.generation import folder, generate
from scm.generation.folder import JOURNAL
from scm.generation.manifest import MANIFEST

from .models import TABLE

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {"units": 30, "shards": 3, "workers": 1}


@pytest.fixture
def table(tmp_path: Path) -> str:
    (tmp_path / "table.py").write_text(TABLE)
    return f"{tmp_path / 'table.py'}:model"


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


@contextmanager
def refused(call: str, number: int, code: int) -> Iterator[list[int]]:
    """Inside, the disk refuses a call of the folder's code, counted from 0, and those after it."""
    calls = itertools.count()
    real = {"open": open, "fsync": os.fsync, "replace": os.replace}[call]
    hit: list[int] = []

    def refusing(*given: Any, **options: Any) -> Any:
        writes = call != "open" or set("xaw") & set(given[1])
        if writes and (at := next(calls)) >= number:
            hit.append(at)
            raise OSError(code, os.strerror(code))
        return real(*given, **options)

    with pytest.MonkeyPatch.context() as patch:
        if call == "open":
            patch.setattr(folder, "open", refusing, raising=False)
        else:
            patch.setattr(os, call, refusing)
        yield hit


@pytest.mark.parametrize(
    ("call", "code"), [("open", errno.EROFS), ("fsync", errno.ENOSPC), ("replace", errno.EIO)]
)
def test_a_disk_that_refuses_from_any_moment_on(
    call: str, code: int, table: str, tmp_path: Path
) -> None:
    generate(table, tmp_path / "whole", **SMALL)
    whole, out = content(tmp_path / "whole"), tmp_path / "out"
    for number in range(20):
        shutil.rmtree(out, ignore_errors=True)
        with refused(call, number, code) as hit:
            if (told := refusal(table, out)) is None:
                assert not hit
                break
        assert f"could not be written ([Errno {code}]" in told
        assert "Choose a folder that may be written and has room" in told
        left = content(out)
        assert all(whole[name] == found for name, found in left.items() if name != JOURNAL)
        assert MANIFEST not in left
        listed = left.get(JOURNAL, b"").count(b"\n") - 1
        assert listed <= sum(name.startswith("shard") for name in left)
        generate(table, out, **SMALL)
        assert content(out) == whole
    assert number == {"open": 8, "fsync": 8, "replace": 5}[call]  # plan, shards, records, manifest


def refusal(table: str, out: Path) -> str | None:
    try:
        generate(table, out, **SMALL)
    except ScmError as error:
        return str(error)
    return None


def test_a_disk_that_loses_bytes(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def losing(handle: int) -> None:
        real(handle)
        os.truncate(handle, os.fstat(handle).st_size - 1)

    monkeypatch.setattr(os, "fsync", losing)
    with pytest.raises(ScmError, match="the disk does not return what was written"):
        generate(table, tmp_path / "out", **SMALL)
    assert content(tmp_path / "out") == {}


def test_a_limit_on_the_size_of_files(table: str, tmp_path: Path) -> None:
    """The journal fits, a shard does not."""
    arguments: dict[str, Any] = {"units": 4000, "shards": 2, "workers": 1}
    generate(table, tmp_path / "whole", **arguments)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(ScmError, match=r"shard-000000.parquet could not be written"):
            generate(table, tmp_path / "out", **arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(content(tmp_path / "out")) == [JOURNAL]
    with pytest.raises(ScmError, match="run the same command again"):
        Generated(tmp_path / "out")
    generate(table, tmp_path / "out", **arguments)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


# In a mount namespace of its own: a disk of 160 KB, read-only at first; then it is read-only, full,
# and at last made larger, for the same command each time.
DISK = """
cd "$1"
mount -t tmpfs -o size=160k,ro tmpfs disk
"$2" -c "$3" $4; echo "ended: $?"
mount -o remount,rw disk
"$2" -c "$3" $4; echo "ended: $?"
mount -o remount,size=10m disk
"$2" -c "$3" $4; echo "ended: $?"
cp -r disk/out kept
"""


@pytest.mark.slow
def test_a_small_disk(table: str, tmp_path: Path) -> None:
    apart = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], check=False).returncode:
        pytest.skip("this system lets nobody mount a disk of their own")
    generate(table, tmp_path / "whole", 9000, shards=5, workers=1)
    assert sum(map(len, content(tmp_path / "whole").values())) > 160_000
    (tmp_path / "disk").mkdir()
    words = f"generate {table} --out {tmp_path}/disk/out --units 9000 --shards 5 --workers 2"
    given = [str(tmp_path), sys.executable, "from scm.cli import app; app()", words]
    done = subprocess.run(
        [*apart, "sh", "-c", DISK, "sh", *given],
        capture_output=True, text=True, cwd=ROOT, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert [line[7:] for line in done.stdout.splitlines() if line[:6] == "ended:"] == [
        "1",
        "1",
        "0",
    ]
    read_only, full = done.stderr.splitlines()[:2]
    assert "disk/out cannot be made or read ([Errno 30] Read-only file system" in read_only
    assert "could not be written ([Errno 28] No space left on device)" in full
    assert content(tmp_path / "kept") == content(tmp_path / "whole")
