"""Handwritten digits: scikit-learn's 8x8 ones, which need no download, and MNIST."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scm.errors import ScmError

__all__ = ["Digits", "digits"]

_FILES = {
    "images": "train-images-idx3-ubyte",
    "labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
_TEST = 500  # of scikit-learn's 1,797 digits


@dataclass(frozen=True, eq=False)
class Digits:
    """Grey images of digits, `(n, 1, height, width)` in [0, 1], and their classes `(n,)`.

    Attributes:
        name: "digits" or "mnist".
        images: Images to train on.
        labels: Their classes, 0 to 9, int64.
        test_images: Images held out.
        test_labels: Their classes.
    """

    name: str
    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def __repr__(self) -> str:
        sizes = f"{len(self.images)} to train on, {len(self.test_images)} held out"
        return f"Digits({self.name}: {sizes}, {self.shape})"


def digits(
    name: Literal["digits", "mnist"] = "digits",
    root: str | Path | None = None,
    *,
    seed: int = 0,
) -> Digits:
    """Load handwritten digits.

    Args:
        name: "digits" is scikit-learn's 1,797 real digits of 8x8 pixels (500 of them held
            out), which ship with the package. "mnist" is MNIST, 60,000 + 10,000 of 28x28.
        root: Folder that holds `MNIST/raw/*.gz`; by default that of the environment
            variable SCM_DATA. Without either, torchvision downloads MNIST to the user's cache.
        seed: Which of scikit-learn's digits are held out. MNIST comes with its own split.

    Raises:
        ScmError: If scikit-learn or torchvision is needed and missing, or a file is missing
            or is not what its name says.

    Example:
        >>> digits()
        Digits(digits: 1297 to train on, 500 held out, (1, 8, 8))
    """
    if name == "digits":
        return _sklearn(seed)
    if name == "mnist":
        return _mnist(root)
    raise ScmError(f"digits({name!r}) was asked for; expected 'digits' or 'mnist'")


def _sklearn(seed: int) -> Digits:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ScmError(
            "the digits come with scikit-learn, which is not installed: "
            "pip install 'neural-scm[demo]'"
        ) from error
    bunch = load_digits()
    images = torch.tensor(bunch.images, dtype=torch.float32).div(16.0).unsqueeze(1)
    labels = torch.tensor(bunch.target, dtype=torch.int64)
    order = torch.tensor(np.random.default_rng(seed).permutation(len(images)))
    train, test = order[:-_TEST], order[-_TEST:]
    return Digits("digits", images[train], labels[train], images[test], labels[test])


def _mnist(root: str | Path | None) -> Digits:
    chosen = root or os.environ.get("SCM_DATA")
    folder = (Path(chosen) if chosen else _downloaded()) / "MNIST" / "raw"
    paths = {part: _find(folder, stem) for part, stem in _FILES.items()}
    parts = {}
    for part, path in paths.items():
        array = _read_idx(path, dimensions=3 if part.endswith("images") else 1)
        parts[part] = torch.from_numpy(array)
    for kind in ("", "test_"):
        images, labels = parts[f"{kind}images"], parts[f"{kind}labels"]
        if len(images) != len(labels) or len(labels) == 0 or int(labels.max()) > 9:
            raise ScmError(
                f"{paths[f'{kind}images'].name} holds {len(images)} images and "
                f"{paths[f'{kind}labels'].name} {len(labels)} labels; expected as many of each, "
                "and labels from 0 to 9: the files do not belong together"
            )
        parts[f"{kind}images"] = images.float().div(255.0).unsqueeze(1)
        parts[f"{kind}labels"] = labels.long()
    return Digits("mnist", **parts)


def _find(folder: Path, stem: str) -> Path:
    for path in (folder / f"{stem}.gz", folder / stem):
        if path.is_file():
            return path
    raise ScmError(
        f"MNIST's file {stem}.gz is not in {folder}; put its four files (named "
        "{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz) there, and let the environment variable "
        "SCM_DATA name the folder that holds MNIST/raw; or leave SCM_DATA unset, and torchvision "
        "downloads them"
    )


def _read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read unsigned bytes in the idx format: two zeros, type, rank, big-endian sizes, data.

    Source: LeCun, Cortes and Burges, "The MNIST database", file formats.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ScmError(f"{path} cannot be read ({error}); download it again") from error
    start = 4 + 4 * dimensions
    if len(content) < start or content[:4] != bytes([0, 0, 8, dimensions]):
        raise ScmError(
            f"{path} begins with {content[:4]!r}; an idx file of bytes in {dimensions} "
            f"dimension(s) begins with {bytes([0, 0, 8, dimensions])!r}: download it again"
        )
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, offset=4))
    if len(content) - start != math.prod(shape):
        raise ScmError(
            f"{path} holds {len(content) - start} bytes of data, but says that it has "
            f"{' x '.join(map(str, shape))} of them: it was cut off, download it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _downloaded() -> Path:
    from scm.vision import torchvision

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scm"
    try:
        torchvision("datasets").MNIST(str(cache), download=True)
    except (OSError, RuntimeError) as error:
        raise ScmError(
            f"MNIST could not be downloaded ({error}); put its four .gz files into a folder "
            "MNIST/raw and let the environment variable SCM_DATA name the folder above it"
        ) from error
    return cache
