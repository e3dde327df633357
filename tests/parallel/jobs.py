"""Jobs for workers to import."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from scm.errors import ScmError


def square(k: int) -> int:
    return k * k


def refuse(k: int) -> int:
    if k == 2:
        raise ScmError("two was given; expected another number")
    return k


def kill_once(job: tuple[str, int]) -> tuple[int, int]:
    """Kills its process where `flag` holds the number of the job, and takes the flag down."""
    flag, k = Path(job[0]), job[1]
    if flag.exists() and flag.read_text() == str(k):
        flag.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return k, os.getpid()


def kill_always(k: int) -> int:
    if k == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return k


def surroundings(_: int) -> tuple[str, str | None]:
    return os.getcwd(), os.environ.get("SCM_TEST")
