from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from scm.errors import ScmError
from scm.parallel import here, processes

from . import jobs


@pytest.mark.parametrize("run", [here, processes(2)])
def test_every_job_once(run: object) -> None:
    assert sorted(run(jobs.square, range(7))) == [k * k for k in range(7)]  # type: ignore[operator]
    with pytest.raises(ScmError, match="two was given"):
        list(run(jobs.refuse, range(7)))  # type: ignore[operator]


def test_a_dead_worker_is_replaced(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.write_text("3")
    with pytest.warns(RuntimeWarning, match="a worker process died"):
        found = list(processes(2)(jobs.kill_once, [(str(flag), k) for k in range(8)]))
    assert sorted(k for k, _ in found) == list(range(8))
    assert os.getpid() not in {pid for _, pid in found}
    assert not flag.exists()


def test_a_deadly_job_is_given_up(tmp_path: Path) -> None:
    found: list[int] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(ScmError, match="died, 4 times at the same work"):
            found.extend(processes(2)(jobs.kill_always, range(4)))
    assert len(warned) == 3
    assert set(found) <= {0, 1, 2}
    assert len(found) == len(set(found))


SCRIPT = """
from tests.parallel.jobs import square
from scm.parallel import processes
print(list(processes(2)(square, range(3))))
"""


@pytest.mark.slow
def test_a_script_without_a_guard(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert done.returncode == 1
    assert "lacks `if __name__ == '__main__':`" in done.stderr
