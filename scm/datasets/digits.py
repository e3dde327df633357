"""Handwritten digits: scikit-learn's 8x8 ones, which need no download, and MNIST."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from scm.errors import ScmError, nearest

__all__ = ["Digits", "Part", "digits", "read_idx"]

Part = Literal["train", "validation", "test"]

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
        name: "digits" or "mnist", or what you call your own.
        images: Images to train on and to choose with.
        labels: Their classes, 0 to 9, int64.
        test_images: Images held out.
        test_labels: Their classes.

    Raises:
        ScmError: If shapes do not match, or pixels or classes are out of their range.

    Example:
        >>> images, labels = torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])
        >>> Digits("blank", images, labels, images[:1], labels[:1]).shape
        (1, 8, 8)
    """

    name: str
    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    def __post_init__(self) -> None:
        _check(self.images, self.labels, "images", "labels")
        _check(self.test_images, self.test_labels, "test_images", "test_labels")
        if self.images.shape[1:] != self.test_images.shape[1:]:
            raise ScmError(
                f"images of {tuple(self.images.shape[1:])} and test images of "
                f"{tuple(self.test_images.shape[1:])} were given; expected one shape"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def part(self, name: Part) -> tuple[Tensor, Tensor]:
        """Images and classes to train on, to choose with, or to test with, as views.

        "validation" is the last sixth of the training images: of MNIST's, the last 10,000,
        as in the CGN repository, which calls them its test set.

        Raises:
            ScmError: If there is no such part.

        Example:
            >>> [len(digits().part(name)[1]) for name in ("train", "validation", "test")]
            [1081, 216, 500]
        """
        kept = len(self.images) - len(self.images) // 6
        if name == "train":
            return self.images[:kept], self.labels[:kept]
        if name == "validation":
            return self.images[kept:], self.labels[kept:]
        if name == "test":
            return self.test_images, self.test_labels
        raise ScmError(f"digits have no part {name!r}; {nearest(name, get_args(Part))}")

    def padded(self, size: int) -> Digits:
        """The digits amid black, `(size, size)`, at their own scale.

        Raises:
            ScmError: If the digits are larger.
        """
        _, height, width = self.shape
        if max(height, width) > size:
            raise ScmError(
                f"padded({size}) was asked of digits of {height}x{width}; pad to at least "
                f"{max(height, width)}"
            )
        top, left = (size - height) // 2, (size - width) // 2
        border = (left, size - width - left, top, size - height - top)
        images, held_out = F.pad(self.images, border), F.pad(self.test_images, border)
        return Digits(self.name, images, self.labels, held_out, self.test_labels)

    def __repr__(self) -> str:
        sizes = f"{len(self.images)} to train on, {len(self.test_images)} held out"
        return f"Digits({self.name}: {sizes}, {self.shape})"


def _check(images: Tensor, labels: Tensor, of_images: str, of_labels: str) -> None:
    if images.ndim != 4 or images.shape[1] != 1 or labels.shape != images.shape[:1]:
        raise ScmError(
            f"{of_images} of shape {tuple(images.shape)} and {of_labels} of shape "
            f"{tuple(labels.shape)} were given; expected (n, 1, height, width) and (n,)"
        )
    if not images.is_floating_point() or labels.is_floating_point():
        raise ScmError(
            f"{of_images} are {images.dtype} and {of_labels} {labels.dtype}; expected floating "
            "point pixels in [0, 1] (divide bytes by 255) and int64 classes"
        )
    if not len(images):
        return
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise ScmError(
            f"{of_images} have pixels from {low:.3g} to {high:.3g}; expected [0, 1], black to white"
        )
    if int(labels.min()) < 0 or int(labels.max()) > 9:
        raise ScmError(
            f"{of_labels} lie between {int(labels.min())} and {int(labels.max())}; expected 0 to 9"
        )


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
        array = read_idx(path, dimensions=3 if part.endswith("images") else 1)
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


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read unsigned bytes in the idx format: two zeros, type, rank, big-endian sizes, data.

    Args:
        path: The file; unpacked first where its name ends in `.gz`.
        dimensions: How many the array has.

    Raises:
        ScmError: If the file cannot be read, or is not what it says.

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
    """MNIST's four packed files in the user's cache.

    A file whose MD5 is not torchvision's, such as one that was cut off, is downloaded again.
    """
    from scm.vision import torchvision

    known = torchvision("datasets").MNIST
    download = torchvision("datasets.utils").download_url
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scm"
    for filename, md5 in known.resources:
        failures = []
        for mirror in known.mirrors:
            try:
                download(f"{mirror}{filename}", cache / "MNIST" / "raw", filename, md5)
                break
            except (OSError, RuntimeError, HTTPException) as error:
                failures.append(f"{mirror}: {error}")
        else:
            raise ScmError(
                f"MNIST's {filename} could not be downloaded ({'; '.join(failures)}); put its four "
                ".gz files into a folder MNIST/raw and let the environment variable SCM_DATA name "
                "the folder above it"
            )
    return cache
