"""PNG pictures of 8 bits: written as one compressed block without filters, and read back."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from scm.errors import ScmError

__all__ = ["COLOUR_TYPES", "read_png", "write_png"]

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Colour type by number of channels: grey, grey and alpha, RGB, RGBA."""

_END = b"\0\0\0\0IEND\xaeB`\x82"


def write_png(pixels: np.ndarray) -> bytes:
    """Bytes of a picture `(height, width, channels)`, uint8, of 1 to 4 channels.

    Source: W3C, Portable Network Graphics (third edition), sections 5 and 11.

    Example:
        >>> picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
        >>> bool((read_png(write_png(picture), (2, 2, 3)) == picture).all())
        True
    """
    height = len(pixels)
    rows = np.zeros((height, 1 + pixels[0].size), dtype=np.uint8)  # each begins with filter 0
    rows[:, 1:] = pixels.reshape(height, -1)
    shape: tuple[int, ...] = pixels.shape
    return _head(shape) + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)) + _END


def read_png(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Pixels `(height, width, channels)` of what `write_png` wrote.

    Raises:
        ScmError: If the bytes are not such a picture of this shape.
    """
    head = _head(shape)
    size = shape[0] * (1 + shape[1] * shape[2])
    body = content[len(head) + 8 : -len(_END) - 4]
    try:
        reader = zlib.decompressobj()
        data = reader.decompress(body, size + 1)
        whole = reader.eof and len(data) == size and content.startswith(head)
    except zlib.error:
        whole = False
    if not whole or content != head + _chunk(b"IDAT", body) + _END:
        raise ScmError(f"a picture of {shape} is damaged; scm generate --verify tells which shard")
    rows = np.frombuffer(data, np.uint8).reshape(shape[0], -1)
    if rows[:, 0].any():
        raise ScmError(f"a picture of {shape} has filters, so scm generate did not write it")
    return rows[:, 1:].reshape(shape)


def _head(shape: tuple[int, ...]) -> bytes:
    height, width, channels = shape
    about = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", about)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
