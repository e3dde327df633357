"""Pictures: read by Pillow as they were written, and read back only if nothing has changed."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scm.errors import ScmError
from scm.png import png, read_png, strip, write_png

PICTURE = np.arange(24, dtype=np.uint8).reshape(4, 3, 2) * 10


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pillow_reads_them(channels: int) -> None:
    image = pytest.importorskip("PIL.Image")
    shape = (5, 7, channels)
    picture = np.random.default_rng(channels).integers(0, 256, shape).astype(np.uint8)
    opened = image.open(io.BytesIO(write_png(picture)))
    assert opened.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    assert (np.asarray(opened).reshape(shape) == picture).all()
    assert (read_png(write_png(picture), shape) == picture).all()


@given(at=st.integers(0, len(write_png(PICTURE)) - 1), other=st.binary(max_size=3))
def test_altered_bytes(at: int, other: bytes) -> None:
    whole = write_png(PICTURE)
    altered = whole[:at] + other + whole[at + 1 :]
    if altered == whole:
        assert (read_png(altered, PICTURE.shape) == PICTURE).all()
    else:
        with pytest.raises(ScmError, match="damaged"):
            read_png(altered, PICTURE.shape)


def test_another_shape() -> None:
    with pytest.raises(ScmError, match="damaged"):
        read_png(write_png(PICTURE), (3, 4, 2))


def test_png_is_read_by_others_as_it_was_written() -> None:
    pillow = pytest.importorskip("PIL.Image")
    image = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(0))
    with pillow.open(io.BytesIO(png(image))) as read:
        pixels = torch.tensor(list(read.tobytes())).reshape(5, 4, 3).permute(2, 0, 1)
    torch.testing.assert_close(pixels / 255, image, atol=0.5 / 255 + 1e-6, rtol=0)


@pytest.mark.parametrize("across", [True, False])
def test_a_strip_holds_every_image(across: bool) -> None:
    uri = strip(torch.rand(3, 1, 5, 4, generator=torch.Generator().manual_seed(0)), across)
    raw = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    size = tuple(int.from_bytes(raw[k : k + 4], "big") for k in (16, 20))
    assert size == ((14, 5) if across else (4, 17))
