"""Where shards are made: here, or in processes of this machine.

An executor is a function of a job's function and the jobs, that yields the results as they
come, in any order. That is the whole interface: a cluster's is one more function.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Protocol, TypeVar

from scm.errors import ScmError

__all__ = ["Executor", "available_cores", "here", "processes"]

Job = TypeVar("Job")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs a function on each job, and yields the results as they come."""

    def __call__(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """Yield `function(job)` of every job, in any order; what it raises is raised."""
        ...


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def here(function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
    """Run the jobs one after the other in this process."""
    return map(function, jobs)


def processes(workers: int) -> Executor:
    """Run the jobs in new processes of this machine, which end when this one does."""

    def run(function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, context, initializer=_end_with_parent)
        try:
            for done in as_completed([pool.submit(function, job) for job in jobs]):
                yield done.result()
        except BrokenProcessPool as error:
            raise ScmError(
                "a worker process died: it was killed, the machine ran out of memory (take fewer "
                "workers or more shards), or the script that called generate lacks "
                "`if __name__ == '__main__':`, which new processes need. What is finished is kept: "
                "run the same again"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)

    return run


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
