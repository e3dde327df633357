"""Data sets that `scm.generate` wrote, for torch's data loaders."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from scm.errors import ScmError
from scm.generation.manifest import read_manifest
from scm.generation.shards import ShardReader

__all__ = ["Generated", "GeneratedStream"]

Row = dict[str, Any]


class Generated(Dataset[Row]):
    """Rows of a data set that `scm.generate` wrote: a row for each unit in each world.

    A row maps "unit" and "world" to their numbers and each node to a tensor of its event
    shape. Rows lie by unit, the worlds of one unit together. A few shards are kept open, so
    rows are best read in order: `stream` does so, and shares them among ranks and workers.

    Attributes:
        manifest: What the data set is.

    Args:
        path: Its folder.
        open_shards: Number of shards kept open; each may take as much memory as it has values.

    Raises:
        ScmError: If the folder holds no finished data set; when a row is read, if its shard is
            missing or damaged.

    Example:
        >>> import scm, tempfile
        >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
        >>> with tempfile.TemporaryDirectory() as out:
        ...     _ = scm.generation.generate(model, out, 10, sweep="A=0,1", workers=1)
        ...     rows = Generated(out)
        ...     len(rows), rows[3]["unit"], rows[3]["world"], rows[3]["A"]
        (20, 1, 1, tensor(1.))
    """

    def __init__(self, path: str | Path, *, open_shards: int = 4) -> None:
        self.path = Path(path)
        self.manifest = read_manifest(self.path)
        if open_shards < 1:
            raise ScmError(f"open_shards={open_shards} was given; expected at least 1")
        self.open_shards = open_shards
        plan = self.manifest.plan
        self._firsts = [
            (plan.units_of(k)[0] - plan.start) * plan.worlds for k in range(plan.shards)
        ]
        self._readers: OrderedDict[int, ShardReader] = OrderedDict()

    def __len__(self) -> int:
        return self.manifest.rows

    def __getitem__(self, index: int) -> Row:
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        row = index % len(self)
        shard = bisect_right(self._firsts, row) - 1
        return self._reader(shard).row(row - self._firsts[shard])

    def stream(self, *, rank: int | None = None, ranks: int | None = None) -> GeneratedStream:
        """The rows in order, shared among data-parallel ranks and the workers of a loader.

        Args:
            rank: Which of the ranks this is; by default torch.distributed's, if it is set up.
            ranks: How many there are.

        Raises:
            ScmError: If one is given without the other, or the rank is none of them.
        """
        return GeneratedStream(self, rank, ranks)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readers": OrderedDict()}

    def _reader(self, shard: int) -> ShardReader:
        if shard not in self._readers:
            size = self.manifest.shards[shard].bytes
            reader = ShardReader(self.path, self.manifest.plan, shard, size)
            self._readers[shard] = reader
            if len(self._readers) > self.open_shards:
                self._readers.popitem(last=False)
        self._readers.move_to_end(shard)
        return self._readers[shard]

    def __repr__(self) -> str:
        plan = self.manifest.plan
        nodes = ", ".join(column.node for column in plan.columns)
        return f"Generated({plan.units} units x {plan.worlds} worlds: {nodes})"


class GeneratedStream(IterableDataset[Row]):
    """Rows in order; of R ranks with W loader workers each, every row goes to exactly one.

    Part k of K = R W holds the rows from floor(k N / K) up to floor((k + 1) N / K), so that
    parts differ by a row at most. See `Generated.stream`.

    Raises:
        ScmError: If one of `rank` and `ranks` is missing, or the rank is none of them.

    Example:
        >>> import scm, tempfile
        >>> with tempfile.TemporaryDirectory() as out:
        ...     made = scm.generate(scm.SCM("A", A=scm.Root.normal()), out, 10, workers=1)
        ...     half = GeneratedStream(Generated(out), rank=1, ranks=2)
        ...     [row["unit"] for row in half]
        [5, 6, 7, 8, 9]
    """

    def __init__(self, rows: Generated, rank: int | None, ranks: int | None) -> None:
        if (rank is None) != (ranks is None):
            raise ScmError(f"rank={rank}, ranks={ranks} were given; give both, or neither")
        if rank is not None and ranks is not None and not 0 <= rank < ranks:
            raise ScmError(f"rank={rank}, ranks={ranks} were given; expected 0 <= rank < ranks")
        self.rows, self.rank, self.ranks = rows, rank, ranks

    def __iter__(self) -> Iterator[Row]:
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        rank, ranks = self._place()
        parts, part = ranks * workers, rank * workers + number
        first, last = (len(self.rows) * k // parts for k in (part, part + 1))
        for row in range(first, last):
            yield self.rows[row]

    def _place(self) -> tuple[int, int]:
        if self.rank is not None and self.ranks is not None:
            return self.rank, self.ranks
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        return 0, 1
