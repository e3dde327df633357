from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from scm import ScmError
from scm.datasets import digits

FILES = {
    "train-images-idx3-ubyte": (6, 28, 28),
    "train-labels-idx1-ubyte": (6,),
    "t10k-images-idx3-ubyte": (4, 28, 28),
    "t10k-labels-idx1-ubyte": (4,),
}


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder whose MNIST has six and four images."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for stem, shape in FILES.items():
        high = 256 if len(shape) == 3 else 10
        array = rng.integers(0, high, shape, dtype=np.uint8)
        (raw / f"{stem}.gz").write_bytes(gzip.compress(idx(array)))
    return tmp_path


def test_sklearn_digits() -> None:
    data = digits()
    assert data.images.shape == (1297, 1, 8, 8)
    assert data.test_images.shape == (500, 1, 8, 8)
    assert data.shape == (1, 8, 8)
    assert data.images.min() == 0.0
    assert data.images.max() == 1.0
    assert data.labels.dtype == torch.int64
    assert set(data.test_labels.tolist()) == set(range(10))


def test_split_is_that_of_the_seed() -> None:
    again, other = digits(), digits(seed=1)
    assert torch.equal(digits().test_images, again.test_images)
    assert not torch.equal(digits().test_images, other.test_images)


def test_loading_leaves_global_generators_alone() -> None:
    before = torch.get_rng_state()
    digits()
    assert torch.equal(torch.get_rng_state(), before)


def test_mnist_from_idx_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = digits("mnist", folder)
    assert data.images.shape == (6, 1, 28, 28)
    assert data.test_labels.shape == (4,)
    assert 0.99 < float(data.images.max()) <= 1.0
    monkeypatch.setenv("SCM_DATA", str(folder))
    assert torch.equal(digits("mnist").images, data.images)


def test_mnist_from_unpacked_files(folder: Path) -> None:
    packed = digits("mnist", folder)
    for path in (folder / "MNIST" / "raw").glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert torch.equal(digits("mnist", folder).images, packed.images)


def test_missing_files_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCM_DATA", str(tmp_path))
    with pytest.raises(ScmError, match=r"train-images-idx3-ubyte.gz is not in .*SCM_DATA"):
        digits("mnist")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not gzip at all", "cannot be read"),
        (gzip.compress(bytes(10_000))[:-20], "cannot be read"),
        (gzip.compress(b"\0\0\x0d\x03" + bytes(12)), "begins with"),
        (gzip.compress(b""), "begins with"),
        (gzip.compress(idx(np.zeros((6, 28, 28), np.uint8))[:-1]), "cut off"),
        (gzip.compress(idx(np.zeros((5, 28, 28), np.uint8))), "do not belong together"),
    ],
    ids=["text", "truncated", "floats", "empty", "short", "other"],
)
def test_corrupt_files_are_refused(folder: Path, content: bytes, message: str) -> None:
    (folder / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(ScmError, match=message):
        digits("mnist", folder)


def test_unknown_name() -> None:
    with pytest.raises(ScmError, match="expected 'digits' or 'mnist'"):
        digits("letters")  # type: ignore[arg-type]


@pytest.mark.skipif("SCM_DATA" not in os.environ, reason="SCM_DATA names no folder of data")
def test_real_mnist() -> None:
    data = digits("mnist")
    assert data.images.shape == (60_000, 1, 28, 28)
    assert data.test_images.shape == (10_000, 1, 28, 28)
    assert data.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert float(data.images.mean()) == pytest.approx(0.1307, abs=1e-4)
