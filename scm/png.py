"""PNG pictures of 8 bits: written as one compressed block without filters, and read back."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scm.errors import ScmError

__all__ = ["COLOUR_TYPES", "png", "read_png", "strip", "write_png"]

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Colour type by number of channels: grey, grey and alpha, RGB, RGBA."""

_SIDE = 64  # longest side of an image in a strip, in pixels
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


def png(image: Tensor) -> bytes:
    r"""An image in [0, 1], `(1, height, width)` grey or `(3, height, width)`, as a PNG.

    Example:
        >>> png(torch.zeros(1, 2, 2))[:4]
        b'\x89PNG'
    """
    pixels = (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return write_png(pixels.permute(1, 2, 0).contiguous().numpy())


def strip(images: Tensor, across: bool = False) -> str:
    """Images in [0, 1], `(n, channels, height, width)`, in one picture, as a data URI.

    Args:
        images: The images; those with a side of more than 64 pixels are made smaller.
        across: Whether they stand in a row, and not below one another.

    Example:
        >>> strip(torch.zeros(2, 1, 4, 4))[:22]
        'data:image/png;base64,'
    """
    largest = max(images.shape[2:])
    if largest > _SIDE:
        size = [max(1, round(side * _SIDE / largest)) for side in images.shape[2:]]
        images = F.interpolate(images, size, mode="bilinear", antialias=True)
    axis = 2 if across else 1
    padded = F.pad(images, (0, 1, 0, 0) if across else (0, 0, 0, 1), value=0.5)
    whole = torch.cat(list(padded), axis)
    whole = whole.narrow(axis, 0, whole.shape[axis] - 1)
    return "data:image/png;base64," + base64.b64encode(png(whole)).decode("ascii")


def _head(shape: tuple[int, ...]) -> bytes:
    height, width, channels = shape
    about = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", about)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
