"""Shards: the rows of some units, as the bytes of a table or of a WebDataset tar, and back."""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scm.errors import ScmError
from scm.generation.manifest import Column, Plan
from scm.png import read_png, write_png

__all__ = ["ShardReader", "encode"]

# A table may take so many bytes in memory, or so many times those of its file.
_MOST, _RATIO = 2**30, 1000

Arrays = Mapping[str, np.ndarray]


def encode(plan: Plan, shard: int, arrays: Arrays) -> bytes:
    """Bytes of a shard: the same for the same rows, whoever makes them, and when.

    Args:
        plan: What the data set is.
        shard: Which shard.
        arrays: Rows of each node, `(units * worlds, *event)`, the worlds of a unit together.

    Raises:
        ScmError: If pyarrow is needed and missing.
    """
    return (_tar if plan.layout == "tar" else _table)(plan, shard, arrays)


def _rows(plan: Plan, shard: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit and world of each row."""
    start, stop = plan.units_of(shard)
    units = np.arange(start, stop, dtype=np.int64)
    return units.repeat(plan.worlds), np.tile(np.arange(plan.worlds, dtype=np.int64), stop - start)


def _table(plan: Plan, shard: int, arrays: Arrays) -> bytes:
    pa, parquet = _arrow()
    units, worlds = _rows(plan, shard)

    def array(values: np.ndarray) -> Any:
        # pa.array(values) would import pandas, which takes a quarter of a second.
        flat = np.ascontiguousarray(values.reshape(-1))
        kind = pa.from_numpy_dtype(flat.dtype)
        return pa.Array.from_buffers(kind, len(flat), [None, pa.py_buffer(flat)])

    columns = {"unit": array(units), "world": array(worlds)}
    for column in plan.columns:
        values = arrays[column.node]
        flat = array(values)
        width = values[0].size
        columns[column.node] = (
            pa.FixedSizeListArray.from_arrays(flat, width) if column.shape else flat
        )
    out = io.BytesIO()
    # Dictionaries of numbers that hardly repeat took seven times as long, and half as much space.
    parquet.write_table(pa.table(columns), out, compression="zstd", use_dictionary=False)
    return out.getvalue()


def _tar(plan: Plan, shard: int, arrays: Arrays) -> bytes:
    units, worlds = _rows(plan, shard)
    values = [(column, _told(column, arrays[column.node])) for column in plan.columns]
    files: dict[str, bytes] = {}
    for row, (unit, world) in enumerate(zip(units.tolist(), worlds.tolist(), strict=True)):
        key, about = _key(unit, world), {"unit": unit, "world": world}
        for column, told in values:
            if column.storage == "json":
                about[column.node] = told[row]
            else:
                write = write_png if column.storage == "png" else _npy
                files[f"{key}.{column.file}"] = write(told[row])
        files[f"{key}.json"] = json.dumps(about).encode()
    return _tar_of(files)


def _told(column: Column, values: np.ndarray) -> Any:
    """Values of a column's rows as they are written: numbers, pixels, or the arrays themselves."""
    if column.storage == "json":
        return values.tolist()
    if column.storage == "npy":
        return values
    assert column.range is not None
    low, high = column.range
    pixels = np.empty(values.shape, np.uint8)
    for chunk, out in zip(_chunks(values), _chunks(pixels), strict=True):
        scaled = (chunk.astype(np.float64) - low) * (255 / (high - low))
        out[:] = np.rint(scaled.clip(0, 255))
    return pixels.transpose(0, 2, 3, 1)


def _chunks(values: np.ndarray) -> list[np.ndarray]:
    """Rows of about a megabyte, a view of them."""
    rows = max(1, 2**18 // max(1, values[0].size))
    return [values[k : k + rows] for k in range(0, len(values), rows)]


# TarInfo has no owner and was made in 1970 unless told otherwise. Of its header, only name, size
# and checksum differ between files; to make the whole of it anew takes longer than a small image.
_HEAD = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)
_SUM = sum(_HEAD[:124] + _HEAD[136:148] + 8 * b" " + _HEAD[156:])


def _tar_of(files: Mapping[str, bytes]) -> bytes:
    """A tar of files, POSIX's ustar, as `tarfile` writes it."""
    parts: list[bytes] = []
    for name, content in files.items():
        title, size = name.encode(), b"%011o\0" % len(content)
        head = title.ljust(100, b"\0") + _HEAD[100:124] + size + _HEAD[136:148]
        total = b"%06o\0 " % (_SUM + sum(title) + sum(size))
        parts += (head, total, _HEAD[156:], content, bytes(-len(content) % tarfile.BLOCKSIZE))
    end = 2 * tarfile.BLOCKSIZE
    written = sum(map(len, parts)) + end
    return b"".join([*parts, bytes(end + -written % tarfile.RECORDSIZE)])


def _key(unit: int, world: int) -> str:
    return f"{unit:012d}-{world:04d}"


def _npy(value: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(value), version=(1, 0), allow_pickle=False)
    return out.getvalue()


class ShardReader:
    """Rows of one shard of a data set, by number.

    Args:
        folder: Folder of the data set.
        plan: What it is.
        shard: Which shard.
        size: Size of its file.

    Raises:
        ScmError: If the file is missing or damaged, or pyarrow is needed and missing.
    """

    def __init__(self, folder: Path, plan: Plan, shard: int, size: int) -> None:
        self.plan, self.path = plan, folder / plan.file_of(shard)
        found = self.path.stat().st_size if self.path.is_file() else None
        if found != size:
            what = "is missing" if found is None else f"has {found} bytes, not {size}"
            raise ScmError(
                f"{self.path} {what}; delete it and generate again, which makes it anew, or "
                "fetch it again"
            )
        start, stop = plan.units_of(shard)
        rows = (stop - start) * plan.worlds
        try:
            if plan.layout == "tar":
                with tarfile.open(self.path, "r:") as tar:
                    members = tar.getmembers()
                self.places = {m.name: (m.offset_data, m.size) for m in members}
                if any(at + length > size for at, length in self.places.values()):
                    raise ValueError("a member claims to be longer than the file")
                held = sum(name.endswith(".json") for name in self.places)
            else:
                held = _arrow()[1].ParquetFile(self.path).metadata.num_rows
            if held != rows:
                raise ValueError(f"it holds {held} rows, and the manifest says {rows}")
            claimed = rows * (16 + sum(8 * math.prod(c.shape) for c in plan.columns))
            if plan.layout == "parquet" and claimed > max(_MOST, _RATIO * size):
                raise ValueError(f"it claims to hold {claimed:,} bytes of rows in {size:,}")
            self.units, self.worlds = _rows(plan, shard)
            self.columns = self._table() if plan.layout == "parquet" else {}
        except ScmError:
            raise
        except Exception as error:
            raise self._damaged(error) from error

    def row(self, row: int) -> dict[str, Any]:
        """Unit, world, and the value of each node, a tensor of its event shape."""
        about = {"unit": int(self.units[row]), "world": int(self.worlds[row])}
        try:
            if self.plan.layout == "parquet":
                values = {node: values[row] for node, values in self.columns.items()}
            else:
                values = self._members(about)
        except Exception as error:
            raise self._damaged(error) from error
        return {**about, **values}

    def _damaged(self, error: Exception) -> ScmError:
        return ScmError(
            f"{self.path} is damaged ({type(error).__name__}: {error!s:.200}); "
            "scm generate --verify checks the whole data set. Delete the file and generate again"
        )

    def _table(self) -> dict[str, Tensor]:
        _, parquet = _arrow()
        table = parquet.read_table(self.path, memory_map=False).combine_chunks()
        columns = {}
        for column in self.plan.columns:
            found = table[column.node].chunk(0)
            flat = (found.flatten() if column.shape else found).to_numpy(zero_copy_only=False)
            whole = flat.reshape(len(self.units), *column.shape)
            if str(whole.dtype) != column.dtype:
                raise ScmError(f"{self.path}: {column.node!r} is {whole.dtype}, not {column.dtype}")
            columns[column.node] = torch.from_numpy(whole.copy())
        same = (table["unit"].to_numpy() == self.units).all()
        if not same or not (table["world"].to_numpy() == self.worlds).all():
            raise ScmError(f"{self.path} holds other units than the manifest says; fetch it again")
        return columns

    def _members(self, about: dict[str, int]) -> dict[str, Tensor]:
        key = _key(about["unit"], about["world"])
        with open(self.path, "rb") as file:

            def content(end: str) -> bytes:
                offset, size = self.places[f"{key}.{end}"]
                file.seek(offset)
                return file.read(size)

            scalars = json.loads(content("json"))
            return {
                column.node: _scalar(column, scalars[column.node])
                if column.file is None
                else torch.from_numpy(_decoded(column, content(column.file)))
                for column in self.plan.columns
            }


def _scalar(column: Column, value: Any) -> Tensor:
    if type(value) is not (int if column.dtype == "int64" else float):
        raise ValueError(f"{column.node!r} is {value!r:.60}")
    return torch.tensor(value, dtype=getattr(torch, column.dtype))


def _decoded(column: Column, content: bytes) -> np.ndarray:
    if column.storage == "png":
        assert column.range is not None
        low, high = column.range
        channels, height, width = column.shape
        pixels = read_png(content, (height, width, channels)).transpose(2, 0, 1)
        return (low + pixels.astype(np.float32) * np.float32((high - low) / 255)).astype(np.float32)
    dtype = np.dtype(column.dtype)
    size = dtype.itemsize * int(np.prod(column.shape))
    value = np.frombuffer(content[len(content) - size :], dtype).reshape(column.shape).copy()
    if _npy(value) != content:
        raise ScmError(f"{column.file} is no array of {column.dtype} {column.shape}")
    return value


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ScmError(
            "tables are written as Parquet by pyarrow, which is not installed: "
            "pip install 'neural-scm[scale]'"
        ) from error
    return pyarrow, pyarrow.parquet
