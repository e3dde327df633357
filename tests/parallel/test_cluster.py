"""Jobs on a small Ray cluster that these tests start and stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from scm.cli import app
from scm.errors import ScmError
from scm.generation import generate
from scm.parallel import on_ray
from tests.generation.models import PICTURES
from tests.testing.test_auditing import MODEL

from . import jobs

ray = pytest.importorskip("ray")
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("default::ResourceWarning", "default::FutureWarning")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a cluster of one machine with two cores, without dashboard or statistics."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_worker_niceness", "0")  # 15 by default: starved by what else runs
        head = {
            "num_cpus": 2,
            "include_dashboard": False,
            "include_log_monitor": False,
            "object_store_memory": 80 * 2**20,
        }
        started = Cluster(initialize_head=True, head_node_args=head)
        yield started.address
        started.shutdown()


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    (tmp_path / "pictures.py").write_text(PICTURES)
    return f"{tmp_path / 'pictures.py'}:model"


def test_every_job_once(
    cluster: str, pictures: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set, jobs whose worker dies, and what jobs raise, on one connection."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCM_TEST", "here")
    generate(pictures, "alone", 9, shards=4, workers=1)
    ray.init(cluster, log_to_driver=False)
    try:
        generate(pictures, "far", 9, shards=4, ray=cluster)
        assert content(tmp_path / "far") == content(tmp_path / "alone")
        run = on_ray("auto", workers=2)
        assert sorted(run(jobs.square, range(7))) == [k * k for k in range(7)]
        assert set(run(jobs.surroundings, range(2))) == {(str(tmp_path), "here")}
        flag = tmp_path / "flag"
        flag.write_text("3")
        found = list(run(jobs.kill_once, [(str(flag), k) for k in range(8)]))
        assert sorted(k for k, _ in found) == list(range(8))
        assert not flag.exists()
        with pytest.raises(ScmError, match=r"^two was given"):
            list(run(jobs.refuse, range(7)))
        assert ray.is_initialized()
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_a_deadly_job_is_given_up(cluster: str) -> None:
    with pytest.raises(ScmError, match="gave up on a piece of work after 4 tries"):
        list(on_ray(cluster)(jobs.kill_always, range(5)))
    assert not ray.is_initialized()


DEADLY = """
import os, pathlib, signal

def deadly(X):
    flag = pathlib.Path(__file__).with_name("deadly")
    if flag.exists() and flag.read_text() != str(os.getpid()) and len(X) > 2:
        flag.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return X
"""


@pytest.mark.slow
def test_a_worker_that_dies_on_its_shard(cluster: str, tmp_path: Path) -> None:
    file = tmp_path / "pictures.py"
    file.write_text(DEADLY + PICTURES.replace("sigmoid(X + Z)", "sigmoid(deadly(X) + Z)"))
    where = f"{file}:model"
    generate(where, tmp_path / "alone", 40, shards=10, workers=1)
    (tmp_path / "deadly").write_text(str(os.getpid()))
    generate(where, tmp_path / "far", 40, shards=10, ray=cluster)
    assert not (tmp_path / "deadly").exists()
    assert content(tmp_path / "far") == content(tmp_path / "alone")


@pytest.mark.slow
def test_workers_killed_from_outside(cluster: str, pictures: str, tmp_path: Path) -> None:
    """Five workers are killed at moments that the shards' journal gives."""
    generate(pictures, tmp_path / "alone", 6000, shards=60, workers=1)
    killed = []

    def kill() -> None:
        journal = tmp_path / "far" / "unfinished.jsonl"
        for moment in (2, 10, 20, 30, 40):
            while not journal.exists() or journal.read_bytes().count(b"\n") - 1 < moment:
                time.sleep(0.01)
                if (tmp_path / "far" / "manifest.json").exists():
                    return
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    words = (process / "cmdline").read_bytes()
                    if words.startswith(b"ray::_call"):
                        os.kill(int(process.name), signal.SIGKILL)
                        killed.append(process.name)
                        break
                except OSError:
                    continue

    killer = threading.Thread(target=kill)
    killer.start()
    generate(pictures, tmp_path / "far", 6000, shards=60, ray=cluster)
    killer.join()
    print(f"{len(killed)} workers killed")
    assert killed
    assert content(tmp_path / "far") == content(tmp_path / "alone")


@pytest.mark.slow
def test_a_driver_killed(cluster: str, pictures: str, tmp_path: Path) -> None:
    """The cluster stays; the same command, given to it again, makes what is missing."""
    generate(pictures, tmp_path / "alone", 6000, shards=60, workers=1)
    out, journal = tmp_path / "far", tmp_path / "far" / "unfinished.jsonl"
    words = f"generate {pictures} --out {out} --units 6000 --shards 60 --ray {cluster}".split()
    command = [sys.executable, "-c", "from scm.cli import app; app()", *words]
    for moment in (2, 20, 40):
        driver = subprocess.Popen(command, cwd=ROOT)
        while not journal.exists() or journal.read_bytes().count(b"\n") - 1 < moment:
            assert driver.poll() is None
            time.sleep(0.01)
        driver.kill()
        assert driver.wait() == -9
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("shard-*")}
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    assert content(out) == content(tmp_path / "alone")
    redone = [name for name, when in kept.items() if (out / name).stat().st_mtime_ns != when]
    assert len(redone) <= 4  # those that were written, but not yet in the journal


@pytest.mark.slow
def test_audits_and_seeds(cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nulls of an audit and the seeds of a reproduction, on the cluster and alone."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "mine.py").write_text(MODEL)
    made, told = f"{tmp_path / 'mine.py'}:made", f"{tmp_path / 'mine.py'}:attributes"
    cases = {
        "audit.json": ["audit", made, "--attributes", told, "--quick"],
        "results.json": ["reproduce", "genint-linear", "--quick", "--seeds", "2"],
    }
    for name, words in cases.items():
        found = []
        for more in (["--ray", cluster], []):
            out = tmp_path / f"{words[0]}{len(more)}"
            done = CliRunner().invoke(app, [*words, "--out", str(out), *more])
            assert done.exit_code == 0, done.output
            found.append(json.loads((out / name).read_text()))
        assert found[0].get("rows", found[0]) == found[1].get("rows", found[1])


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at '127.0.0.1:1'"),
        ("ray://127.0.0.1:1", "ray start --head"),
        ("nowhere.invalid:6379", "no Ray cluster answers"),
        ("local", "expected 'auto', 'HOST:PORT'"),
        ("127.0.0.1:70000", "expected 'auto', 'HOST:PORT'"),
    ],
)
def test_no_answer(address: str, message: str) -> None:
    start = time.monotonic()
    with pytest.raises(ScmError, match=message):
        on_ray(address)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_an_answer_of_something_else(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scm.parallel.cluster._SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reply() -> None:
            with listening.accept()[0] as connection:
                connection.sendall(answer)
                connection.recv(1000)
                time.sleep(1)

        other = threading.Thread(target=reply)
        other.start()
        with pytest.raises(ScmError, match="no Ray cluster answers at .*(timed out|is not Ray)"):
            on_ray(f"127.0.0.1:{listening.getsockname()[1]}")
        other.join()


def test_no_answer_to_auto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither where no cluster runs, nor where one that has ended left its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        gone = f"127.0.0.1:{listening.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", gone)
    with pytest.raises(ScmError, match=f"no Ray cluster answers at '{gone}'"):
        generate("nothing.py:model", tmp_path / "out", 3, ray="auto")
    assert not (tmp_path / "out").exists()
    monkeypatch.delenv("RAY_ADDRESS")
    services: Any = sys.modules["ray._private.services"]
    monkeypatch.setattr(services, "find_gcs_addresses", lambda: set())
    monkeypatch.setattr(services, "find_bootstrap_address", lambda folder: None)
    with pytest.raises(ScmError, match="no Ray cluster answers at 'auto'"):
        on_ray("auto")


def test_ray_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ScmError, match=r"pip install 'neural-scm\[ray\]'"):
        on_ray("auto")
