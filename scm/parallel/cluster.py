"""Jobs on a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from typing import Any, TypeVar

from scm.errors import ScmError
from scm.parallel.executors import RETRIES, Executor

__all__ = ["on_ray"]

_AT_ONCE = 1000  # jobs that Ray knows of; more make each question about them slower
_SECONDS = 5.0

Job = TypeVar("Job")
Result = TypeVar("Result")


def on_ray(address: str, workers: int | None = None, *, gpus: float = 0) -> Executor:
    """Run the jobs on the Ray cluster at an address, one core each.

    Ray runs a job again whose worker, or machine, died. Workers need this version of scm, and
    see the folders that jobs write to under the same path. Where this process is connected to
    Ray already, that connection is used, and kept.

    Args:
        address: "auto" for the cluster that was started on this machine, or that the environment
            variable RAY_ADDRESS names; "HOST:PORT"; or "ray://HOST:PORT" for a Ray client.
        workers: Jobs that run at once at most; by default as many as the cluster has room for.
        gpus: GPUs of each job.

    Raises:
        ScmError: If ray is missing, or there is no cluster that answers; and, from the executor,
            if a job's worker died more than `RETRIES` times.

    Example:
        >>> sorted(on_ray("auto", workers=4)(abs, [-3, 2]))  # doctest: +SKIP
        [2, 3]
        >>> on_ray("127.0.0.1:1")
        Traceback (most recent call last):
        scm.errors.ScmError: no Ray cluster answers at '127.0.0.1:1'...
    """
    ray = _ray()
    if not ray.is_initialized():
        address = _answering(address)

    def run(function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        waiting = iter(jobs)
        with _connected(ray, address):
            task = ray.remote(num_cpus=1, num_gpus=float(gpus), max_retries=RETRIES)(_call)
            settings = {k: v for k, v in os.environ.items() if k.startswith("SCM_")}
            sent = ray.put(_AsHere(function, os.getcwd(), settings))
            begun = [task.remote(sent, job) for job in islice(waiting, workers or _AT_ONCE)]
            try:
                while begun:
                    done, begun = ray.wait(begun)
                    results = [_result(ray, ref) for ref in done]
                    begun += [task.remote(sent, job) for job in islice(waiting, len(done))]
                    yield from results
            finally:
                for ref in begun:
                    ray.cancel(ref, force=True)

    return run


@dataclass(frozen=True)
class _AsHere:
    """A function that a worker calls as this process would: in its folder, with its settings."""

    function: Callable[[Any], Any]
    folder: str
    settings: dict[str, str]

    def __call__(self, job: Any) -> Any:
        os.environ.update(self.settings)
        with chdir(self.folder) if os.path.isdir(self.folder) else nullcontext():
            return self.function(job)


def _call(function: Callable[[Job], Result], job: Job) -> Result:
    return function(job)


def _result(ray: Any, ref: Any) -> Any:
    try:
        return ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ScmError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())
        raise ScmError(
            f"the Ray cluster gave up on a piece of work after {RETRIES + 1} tries "
            f"({type(error).__name__}: {reason:.300}). What is finished is kept: see to the "
            "cluster (ray status), and run the same again"
        ) from error


def _ray() -> Any:
    try:
        return import_module("ray")
    except ImportError as error:
        raise ScmError(
            "work on a cluster is spread by ray, which is not installed: "
            "pip install 'neural-scm[ray]'"
        ) from error


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError) as error:
        raise _unanswered(address, error) from error
    try:
        yield
    finally:
        ray.shutdown()


def _answering(address: str) -> str:
    """The address, with "auto" replaced by what it stands for, once something answers there.

    Ray itself would try for minutes.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or "auto"
    if address == "auto":
        try:
            services = import_module("ray._private.services")
            address = services.canonicalize_bootstrap_address("auto")
        except (OSError, ValueError) as error:
            raise _unanswered("auto", error) from error
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) < 2**16):
        raise ScmError(
            f"the Ray address {address!r} was given; expected 'auto', 'HOST:PORT' or "
            "'ray://HOST:PORT'. Processes of this machine need no Ray: give workers"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS) as found:
            if os.environ.get("RAY_USE_TLS", "0") != "1" and not _speaks_http2(found):
                raise OSError("what listens there is not Ray")
    except OSError as error:
        raise _unanswered(address, error) from error
    return address


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether the other side answers as gRPC does, with a settings frame.

    Source: RFC 9113, sections 3.4 and 6.5.
    """
    settings = b"\0\0\0\4\0\0\0\0\0"
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
    return connection.recv(9)[3:4] == settings[3:4]


def _unanswered(address: str, error: Exception) -> ScmError:
    reason = " ".join(str(error).split())
    return ScmError(
        f"no Ray cluster answers at {address!r} ({reason:.300}). Start one with `ray start --head` "
        "and give the address that it prints, or 'auto' on that machine; `ray status --address "
        "HOST:PORT` asks it. Without a cluster, give workers instead"
    )
