"""Files of `torch.save`, read without running anything in them and in memory of their own size.

`torch.load(weights_only=True)` runs no code of a file either, but believes its numbers: a few
bytes may ask for any amount of memory (a `bytearray` of a given length, a compressed record), or
for a storage longer than its record. Here

- a pickle may make plain values, dictionaries, lists and descriptions of tensors, no more;
- its bytes are bounded, and what they make by some hundred times as much;
- records lie in the file uncompressed, and a tensor lies within its record.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from scm.errors import ScmError

__all__ = ["open_stored", "read_pickled"]

_LONGEST = 2**23  # bytes of pickles in a file
_MOST = 2**17  # values in a file
_DTYPES: dict[str, torch.dtype] = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
_LEGACY = 0x1950A86A20F9469CFC6C  # what files of before torch 1.6 begin with


class _Storage(NamedTuple):
    key: str
    dtype: torch.dtype
    numel: int


class _Described(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


Storages = Callable[[_Storage], Tensor]


def read_pickled(file: str | Path | BinaryIO) -> Any:
    """What `torch.save` wrote: tensors, on the CPU, in dictionaries, lists and plain values.

    Raises:
        ScmError: If the file is damaged, is none of `torch.save`, or holds anything else.
    """
    try:
        if not isinstance(file, (str, Path)):
            return _read(file)
        with open(file, "rb") as opened:
            return _read(opened)
    except ScmError:
        raise
    except Exception as error:  # unpickling, zipfile and torch have errors of their own
        raise ScmError(f"{type(error).__name__}: {error!s:.200}") from error


def open_stored(file: str | Path | BinaryIO, compressed: int = 0) -> zipfile.ZipFile:
    """Open a zip file whose records lie in it as they are, one after another.

    Args:
        file: The file.
        compressed: Bytes that records which are compressed may have together, once unpacked.

    Raises:
        ScmError: If they have more, or the others are longer together than the file.
    """
    archive = zipfile.ZipFile(file)
    packed = lying = 0
    for record in archive.infolist():
        if record.compress_type == zipfile.ZIP_STORED:
            lying += max(record.file_size, record.compress_size)
        else:
            packed += record.file_size
    assert archive.fp is not None
    if packed > compressed:
        raise ScmError(f"its compressed records unpack to {packed:,} bytes, as torch's never do")
    if lying > archive.fp.seek(0, os.SEEK_END):
        raise ScmError("its records claim to be longer than the file")
    return archive


def _read(file: BinaryIO) -> Any:
    zipped = file.read(4) == b"PK\x03\x04"
    file.seek(0)
    if not zipped:
        return _read_legacy(file)
    with open_stored(file) as archive:
        sizes = {record.filename: record.file_size for record in archive.infolist()}
        (name,) = (n for n in sizes if n.count("/") == 1 and n.endswith("/data.pkl"))
        folder = name.removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if sizes[name] > _LONGEST:
            raise ScmError(f"it describes its tensors in more than {_LONGEST:,} bytes")
        if order in sizes and archive.read(order) != sys.byteorder.encode():
            raise ScmError("it was written on a machine with another order of bytes")
        value = _Unpickler(io.BytesIO(archive.read(name))).load()
        storages = cache(lambda s: _values(s, bytearray(archive.read(f"{folder}data/{s.key}"))))
        return _Making(storages).made(value)


def _read_legacy(file: BinaryIO) -> Any:
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = io.BytesIO(file.read(_LONGEST))
    magic, _, about, value, keys = (_Unpickler(head).load() for _ in range(5))
    if magic != _LEGACY or about["little_endian"] != (sys.byteorder == "little"):
        raise ScmError("it is no file of torch.save, or of a machine with another order of bytes")
    noting = _Noting()
    noting.made(value)
    file.seek(head.tell())
    values: dict[str, Tensor] = {}
    for key in keys:
        count, storage = int.from_bytes(file.read(8), "little"), noting.found[key]
        size = count * storage.dtype.itemsize
        if size > length:
            raise ScmError("a tensor claims to be longer than the file")
        values[key] = _values(storage, bytearray(file.read(size)))
    return _Making(lambda storage: values[storage.key]).made(value)


def _values(storage: _Storage, content: bytearray) -> Tensor:
    """All of a storage as one row."""
    if len(content) != storage.numel * storage.dtype.itemsize:
        raise ScmError(f"record {storage.key!s:.40} is not as long as it is said to be")
    if not content:
        return torch.empty(0, dtype=storage.dtype)
    return torch.frombuffer(content, dtype=storage.dtype)


def _described(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Described:
    found = _Described(storage, offset, tuple(size), tuple(stride))
    numbers = (offset, *found.size, *found.stride)
    if not isinstance(storage, _Storage) or any(type(n) is not int or n < 0 for n in numbers):
        raise ScmError("a tensor is described by what are no sizes")
    return found


def _parameter(data: Any, *_: Any) -> Any:
    return data


class _Unpickler(pickle._Unpickler):
    """Python's own, with four names that it knows, and without what could ask for memory."""

    dispatch = {  # noqa: RUF012
        code: method
        for code, method in pickle._Unpickler.dispatch.items()
        if code not in (*pickle.BYTEARRAY8, *pickle.NEXT_BUFFER, *pickle.READONLY_BUFFER)
    }

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _described,
            ("torch._utils", "_rebuild_parameter"): _parameter,
        }
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) not in known:
            raise ScmError(
                f"it holds Python objects ({module!s:.60}.{name!s:.60}), which could run code of "
                "their own when unpickled"
            )
        return known[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str):
            raise ScmError("it refers to what is no storage of a tensor")
        if type(count) is not int or count < 0 or any(part is not None for part in view):
            raise ScmError(f"storage {key!s:.40} has no length, or is a part of another")
        return _Storage(key, dtype, count)

    def load_build(self) -> None:
        stack: list[Any] = self.stack  # type: ignore[attr-defined]
        state = stack.pop()
        if type(stack[-1]) is not OrderedDict or not isinstance(state, dict):
            raise ScmError("it gives attributes to what has none")
        metadata = state.get("_metadata")  # versions of modules, which load_state_dict asks for
        if isinstance(metadata, OrderedDict):
            stack[-1]._metadata = metadata  # type: ignore[attr-defined]

    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]


class _Making:
    """Makes values of what was unpickled, a bounded number of them."""

    def __init__(self, storages: Storages) -> None:
        self.storages, self.left = storages, _MOST

    def made(self, value: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ScmError(f"it holds more than {_MOST:,} values")
        if isinstance(value, _Described):
            return self._tensor(value)
        if isinstance(value, OrderedDict):
            ordered = OrderedDict((self.made(k), self.made(v)) for k, v in value.items())
            if hasattr(value, "_metadata"):
                ordered._metadata = self.made(value._metadata)  # type: ignore[attr-defined]
            return ordered
        if type(value) is dict:
            return {self.made(k): self.made(v) for k, v in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self.made(item) for item in value)
        if value is not None and type(value) not in (bool, int, float, str, bytes):
            raise ScmError(f"it holds a {type(value).__name__}")
        return value

    def _tensor(self, described: _Described) -> Tensor:
        storage, offset, size, stride = described
        values = self.storages(storage)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if math.prod(size) and last >= len(values):
            raise ScmError(f"a tensor of shape {size!s:.80} is longer than its record")
        if not math.prod(size):
            return torch.empty(size, dtype=storage.dtype)
        return values.as_strided(size, stride, offset)


class _Noting(_Making):
    """Finds the storages of what was unpickled."""

    def __init__(self) -> None:
        self.found: dict[str, _Storage] = {}
        super().__init__(lambda storage: torch.empty(0))

    def _tensor(self, described: _Described) -> Tensor:
        self.found[described.storage.key] = described.storage
        return torch.empty(0)
