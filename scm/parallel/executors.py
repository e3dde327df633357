"""Where jobs run: here, or in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Protocol, TypeVar

from scm.errors import ScmError

__all__ = ["RETRIES", "Executor", "available_cores", "here", "processes"]

RETRIES = 3
"""How often a job runs again after a worker died while it ran."""

Job = TypeVar("Job")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs a function on each job, and yields the results as they come.

    Example:
        >>> executor: Executor = here
        >>> sorted(executor(abs, [-3, 2]))
        [2, 3]
    """

    def __call__(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """Yield `function(job)` of every job, in any order; what it raises is raised."""
        ...


def available_cores() -> int:
    """Number of cores that this process may use.

    Example:
        >>> available_cores() >= 1
        True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def here(function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
    """Run the jobs one after the other in this process.

    Example:
        >>> list(here(abs, [-3, 2]))
        [3, 2]
    """
    return map(function, jobs)


def processes(workers: int) -> Executor:
    """Run the jobs in new processes of this machine, which end when this one does.

    Where the system can, they are copies of a process that has imported torch, which takes its
    time once, at the first call.

    After a worker died, the jobs that were begun run again in new ones, with a warning.

    Raises:
        ScmError: If workers died while a job ran more than `RETRIES` times.

    Example:
        >>> sorted(processes(1)(abs, [-3, 2]))
        [2, 3]
    """

    def run(function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        todo, deaths = deque(range(len(jobs))), [0] * len(jobs)
        while todo:
            begun: dict[Future[Result], int] = {}
            pool = _pool(workers)
            try:
                while todo or begun:
                    while todo and len(begun) < 2 * workers:
                        future = pool.submit(function, jobs[todo[0]])
                        begun[future] = todo.popleft()
                    for done in wait(begun, return_when=FIRST_COMPLETED).done:
                        result = done.result()
                        del begun[done]
                        yield result
            except BrokenProcessPool as error:
                _count_deaths(deaths, list(begun.values()), error)
                todo.extendleft(reversed(begun.values()))
            finally:
                pool.shutdown(cancel_futures=True)

    return run


def _pool(workers: int) -> ProcessPoolExecutor:
    method = "spawn"
    if "forkserver" in multiprocessing.get_all_start_methods():
        method = "forkserver"
        multiprocessing.set_forkserver_preload(["scm.model"])
    context = multiprocessing.get_context(method)
    threads = max(1, available_cores() // workers)
    begin = (dict(os.environ), threads)
    return ProcessPoolExecutor(workers, context, initializer=_begin, initargs=begin)


def _count_deaths(deaths: list[int], begun: list[int], error: BrokenProcessPool) -> None:
    for job in begun:
        deaths[job] += 1
    if begun and max(deaths[job] for job in begun) <= RETRIES:
        warnings.warn(
            f"a worker process died; {len(begun)} jobs that were begun run again",
            RuntimeWarning,
            stacklevel=4,
        )
        return
    raise ScmError(
        f"a worker process died, {RETRIES + 1} times at the same work: it was killed, the machine "
        "ran out of memory (take fewer workers, or smaller pieces: more shards), or the script "
        "that called this lacks `if __name__ == '__main__':`, which new processes need. What is "
        "finished is kept: run the same again"
    ) from error


def _begin(environment: dict[str, str], threads: int) -> None:
    """Take the parent's settings, share its cores unless told otherwise, and end when it does."""
    os.environ.clear()
    os.environ.update(environment)
    if "OMP_NUM_THREADS" not in environment:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read when torch starts
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def watch() -> None:
        connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
