"""Noise streams: base noise that depends on (seed, stream, unit) and on nothing else.

A stream is cut into blocks of a fixed number of elements, and each block has a generator
of its own, seeded by a hash of (seed, stream, block). So any range of units can be drawn
anywhere, and blocks are drawn in parallel.
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from torch import Tensor

from scm.errors import ScmError
from scm.mechanisms.noise import Noise

__all__ = ["BLOCK", "Streams", "fresh_seed"]

BLOCK = 131_072
_WORDS = 624


def fresh_seed(seed: int | None) -> int:
    """The seed itself, or 63 bits of entropy for None.

    Raises:
        ScmError: If the seed is not an integer.
    """
    if seed is None:
        return secrets.randbits(63)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise ScmError(f"seed={seed!r} was given; an integer, or None for a fresh one, is expected")
    return int(seed)


class Streams:
    """Base noise of units `start, ..., stop - 1`, by stream name.

    Args:
        seed: Seed of the population.
        device: Where the noise is wanted.
        dtype: Its dtype.
        noise_device: Where it is drawn: numbers drawn on the CPU are the same on every
            machine, CUDA's are promised per GPU model. The wanted device by default.

    Example:
        >>> streams = Streams(0, torch.device("cpu"), torch.float32)
        >>> whole = streams.draw("X", Noise("normal"), 0, 100)
        >>> bool((streams.draw("X", Noise("normal"), 40, 45) == whole[40:45]).all())
        True
    """

    def __init__(
        self,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
        noise_device: torch.device | None = None,
    ) -> None:
        self.seed, self.device, self.dtype = seed, device, dtype
        self.source = noise_device or device

    def draw(self, stream: str, noise: Noise, start: int, stop: int) -> Tensor:
        """Base noise `(stop - start, *noise.shape)` of a range of units."""
        return self.start([(stream, noise)], start, stop)[0]()

    def start(self, wanted: Iterable[tuple[str, Noise]], start: int, stop: int) -> list[_Pending]:
        """Begin to draw several streams in parallel; call each result to wait for it."""
        return [_Pending(self, stream, noise, start, stop) for stream, noise in wanted]


class _Pending:
    """A stretch of one stream whose blocks are being drawn."""

    def __init__(self, streams: Streams, stream: str, noise: Noise, start: int, stop: int) -> None:
        self.streams, self.noise = streams, noise
        width = max(1, noise.width)
        per_block = _units_per_block(width)
        first, last = start // per_block, -(-stop // per_block)
        origin = first * per_block
        self.slice = slice(start - origin, stop - origin)
        cpu = streams.source.type == "cpu"
        # A CPU generator repeats its prefix at multiples of 16, CUDA's must be drawn whole.
        tail = -(-(stop - (last - 1) * per_block) * width // 16) * 16 if cpu else per_block * width
        blocks = max(0, last - first)
        total = (blocks - 1) * per_block * width + tail if blocks else 0
        self.buffer = torch.empty(total, device=streams.source, dtype=streams.dtype)
        parts = self.buffer.split(per_block * width) if blocks else ()
        self.shape = (-1, *noise.shape)
        self.usable = (total // width) * width
        jobs = [(streams, stream, noise.law, first + k, part) for k, part in enumerate(parts)]
        self.futures: list[Future[None]] = []
        if len(jobs) > 1 and cpu:
            self.futures = [_pool(os.getpid()).submit(_fill, *job) for job in jobs]
        else:
            for job in jobs:
                _fill(*job)

    def wait(self) -> None:
        """Wait until all blocks are drawn."""
        for future in self.futures:
            future.result()
        self.futures = []

    def __call__(self) -> Tensor:
        self.wait()
        drawn = self.buffer[: self.usable].view(self.shape)[self.slice]
        return drawn.to(self.streams.device)


def _units_per_block(width: int) -> int:
    step = 16 // math.gcd(16, width)
    return max(step, BLOCK // width // step * step)


@cache
def _pool(pid: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="scm-noise")


def _fill(streams: Streams, stream: str, law: str, block: int, out: Tensor) -> None:
    digest = hashlib.shake_256(f"scm/1\0{streams.seed}\0{stream}\0{block}".encode())
    generator = _generator(digest, out.device)
    if law == "normal":
        out.normal_(generator=generator)
    else:
        out.uniform_(generator=generator)
        half = 2.0**-25 if out.dtype == torch.float32 else 2.0**-54
        out.clamp_(half, 1 - 2 * half)


def _generator(digest: hashlib._Hash, device: torch.device) -> torch.Generator:
    if device.type != "cpu":
        generator = torch.Generator(device=device)
        generator.manual_seed(int.from_bytes(digest.digest(8), "little", signed=True))  # type: ignore[call-arg]
        return generator
    # manual_seed keeps 32 bits of a CPU seed, so that streams would collide; the Mersenne
    # twister's state of 624 words is filled from the hash instead.
    if not hasattr(_local, "generator"):
        _local.generator, _local.state = torch.Generator(), _blank().copy()
    words = np.frombuffer(digest.digest(4 * _WORDS), dtype="<u4")  # type: ignore[call-arg]
    _local.state[24 : 24 + 8 * _WORDS].view("<u8")[:] = words
    own: torch.Generator = _local.generator
    own.set_state(torch.from_numpy(_local.state))
    return own


_local = threading.local()


@cache
def _blank() -> np.ndarray:
    return torch.Generator().manual_seed(0).get_state().numpy()
