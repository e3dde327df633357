"""Files that mean harm: bytes altered, sizes that are claimed, and pickles with code in them."""

from __future__ import annotations

import io
import pickle
import resource
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st


@st.composite
def altered(draw: Any, content: bytes) -> bytes:
    """Content with some changes: cut, flipped, dropped, repeated, or with other numbers in it."""
    for _ in range(draw(st.integers(1, 3))):
        if not content:
            return content
        at = draw(st.integers(0, len(content) - 1))
        length = draw(st.sampled_from([1, 2, 4, 8, 40]))
        head, tail = content[:at], content[at:]
        content = draw(
            st.sampled_from(
                [
                    head,
                    head + bytes([tail[0] ^ (1 << at % 8)]) + tail[1:],
                    head + tail[length:],
                    head + tail[:length] + tail,
                    head + b"\xff" * length + tail[length:],
                    head + b"\0" * length + tail[length:],
                    head + struct.pack("<Q", 2**40) + tail[8:],
                    head + draw(st.binary(max_size=8)) + tail,
                ]
            )
        )
    return content


@contextmanager
def limited(extra: int) -> Iterator[None]:
    """Inside, this process may map so many bytes more than it has, and not one beyond."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class Harmful:
    """Unpickling it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def zipped(description: bytes, records: dict[str, bytes], **options: Any) -> bytes:
    """A file as torch.save makes them, with any description of its tensors."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:
        archive.writestr("a/data.pkl", description)
        archive.writestr("a/byteorder", "little")
        for key, content in records.items():
            archive.writestr(f"a/data/{key}", content)
    return out.getvalue()


def old(description: bytes, keys: list[str], storages: bytes) -> bytes:
    """The same as before torch 1.6."""
    about = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    parts = [0x1950A86A20F9469CFC6C, 1001, about]
    head = b"".join(pickle.dumps(part, 2) for part in parts)
    return head + description + pickle.dumps(keys, 2) + storages


class Storage:
    """What stands for a storage in a description, with any numbers."""

    def __init__(self, key: str = "0", count: Any = 4, kind: Any = torch.FloatStorage) -> None:
        self.pid = ("storage", kind, key, "cpu", count)


class Tensor:
    """What is rebuilt as a tensor, from any storage and sizes."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any) -> None:
        self.parts = (storage, offset, size, stride, False, {})

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, self.parts


def described(value: Any) -> bytes:
    """The pickle of a value in which `Storage` and `Tensor` stand for torch's."""
    out = io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, item: Any) -> Any:
            return item.pid if isinstance(item, Storage) else None

    Pickler(out, 2).dump(value)
    return out.getvalue()


def _call(module: str, name: str, *arguments: Any) -> bytes:
    """A pickle that calls a function by its name."""
    inside = pickle.dumps(arguments, 2)[2:-1]
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + inside + b"R."


def descriptions(touched: Path) -> dict[str, bytes]:
    """Pickles of a few bytes that ask for code, or for gigabytes."""
    deep: Any = ()
    for _ in range(200):
        deep = (deep,)
    laughs: Any = [0]
    for _ in range(60):
        laughs = [laughs, laughs]
    empty = b"\x80\x02}."
    return {
        "code": pickle.dumps(Harmful(touched), 2),
        "eval": _call("builtins", "eval", f"open({str(touched)!r}, 'w')"),
        "a byte array": _call("builtins", "bytearray", 2**40),
        "a byte array of protocol 5": b"\x80\x05\x96" + struct.pack("<Q", 2**36) + b".",
        "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b".",
        "a place in the memo": b"\x80\x02]r" + struct.pack("<I", 2**31 - 1) + b".",
        "a frame": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.",
        "a tensor made on the spot": _call("torch", "FloatTensor", 10**6, 10**6),
        "a tensor without memory": _call("torch", "empty", (10**7, 10**7)),
        "a long number": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b".",
        "deep": b"\x80\x02" + b"(" * 5 + b"]" * 10**5 + b"a" * (10**5 - 1) + b".",
        "laughs": pickle.dumps({"w": laughs}, 2),
        "deep tuples": pickle.dumps({"w": deep}, 2),
        "cut": empty[:-1],
        "another class": pickle.dumps({"w": touched}, 2),
        "longer than its record": described({"w": Tensor(Storage(count=2**40), 0, (1,), (1,))}),
        "beyond its record": described({"w": Tensor(Storage(), 0, (2**20,), (1,))}),
        "far into its record": described({"w": Tensor(Storage(), 2**40, (1,), (1,))}),
        "backwards": described({"w": Tensor(Storage(), 3, (4,), (-1,))}),
        "sizes that overflow": described({"w": Tensor(Storage(), 0, (2**62, 4), (1, 2**62))}),
        "no sizes": described({"w": Tensor(Storage(), 0, "ab", (1, 1))}),
        "no record": described({"w": Tensor(Storage(key="../9"), 0, (4,), (1,))}),
        "no storage": described({"w": Tensor(3, 0, (4,), (1,))}),
        "no number": described({"w": Tensor(Storage(count="4"), 0, (4,), (1,))}),
    }
