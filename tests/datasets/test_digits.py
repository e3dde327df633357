from __future__ import annotations

import gzip
import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from scm import ScmError
from scm.datasets import Digits, digits
from scm.vision import torchvision

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


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def mirror(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A mirror of this machine whose files torchvision knows by their MD5; the cache is empty."""
    known = torchvision("datasets").MNIST
    raw = folder / "MNIST" / "raw"
    sums = [
        (path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in sorted(raw.glob("*.gz"))
    ]
    monkeypatch.setattr(known, "resources", sums)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(raw)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(known, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SCM_DATA", raising=False)
    yield raw
    server.shutdown()
    server.server_close()


def test_an_interrupted_download_is_not_taken_for_whole(mirror: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "scm" / "MNIST" / "raw"
    cache.mkdir(parents=True)
    name = "train-images-idx3-ubyte.gz"
    whole = (mirror / name).read_bytes()
    (cache / name).write_bytes(whole[: len(whole) // 2])
    # torchvision's own class takes an unpacked file for whole, whatever is in it.
    (cache / name).with_suffix("").write_bytes(b"cut off while it was unpacked")
    data = digits("mnist")
    assert (cache / name).read_bytes() == whole
    assert torch.equal(data.images, digits("mnist", mirror.parents[1]).images)


def test_a_damaged_download_is_refused(mirror: Path) -> None:
    path = mirror / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ScmError, match=r"t10k-labels.*could not be downloaded.*SCM_DATA"):
        digits("mnist")


def test_parts_do_not_overlap() -> None:
    data = digits()
    parts = {name: data.part(name) for name in ("train", "validation", "test")}
    assert [len(labels) for _, labels in parts.values()] == [1081, 216, 500]
    assert torch.equal(torch.cat([parts["train"][0], parts["validation"][0]]), data.images)
    with pytest.raises(ScmError, match="did you mean 'validation'"):
        data.part("valid")  # type: ignore[arg-type]


def test_padded_digits_keep_their_pixels() -> None:
    data = digits().padded(11)
    assert data.shape == (1, 11, 11)
    assert torch.equal(data.test_images[:, :, 1:9, 1:9], digits().test_images)
    assert data.images.sum() == digits().images.sum()
    with pytest.raises(ScmError, match="pad to at least 8"):
        digits().padded(7)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (
            torch.full((2, 1, 8, 8), 255.0),
            torch.tensor([0, 1]),
            r"from 255 to 255; expected \[0, 1",
        ),
        (torch.full((2, 1, 8, 8), torch.nan), torch.tensor([0, 1]), "expected"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]), "divide bytes by 255"),
        (torch.zeros(2, 8, 8), torch.tensor([0, 1]), r"expected \(n, 1, height, width\)"),
        (torch.zeros(2, 1, 8, 8), torch.tensor([0, 1, 2]), r"expected \(n, 1, height, width\)"),
        (torch.zeros(2, 1, 8, 8), torch.tensor([0, 10]), "expected 0 to 9"),
    ],
    ids=["bytes", "nan", "dtype", "rank", "lengths", "classes"],
)
def test_own_digits_are_checked(images: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    good = torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])
    with pytest.raises(ScmError, match=message):
        Digits("own", images, labels, *good)
    with pytest.raises(ScmError, match=message):
        Digits("own", *good, images, labels)


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
