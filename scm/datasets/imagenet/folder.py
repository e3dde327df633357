"""Images in class folders: find them, check that none is missing, and read them one by one."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset

from scm.datasets.imagenet.classes import to_cue_conflict
from scm.errors import ScmError
from scm.vision import torchvision

__all__ = ["ImageSet", "Options", "Source", "imagenet_transform", "read_folders"]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageSet(Dataset[tuple[Tensor, int]]):
    """Images on disk with labels, decoded when asked for: item i is `(image, label)`.

    The order is that of the labels, then of the file names; it is the same on every machine.

    Attributes:
        name: What the set is called.
        root: Folder that `files` are relative to.
        classes: Names of the classes, in the order of the labels.
        files: Images, relative to `root`.
        labels: Their classes `(n,)`, int64.
        transform: From a PIL image in RGB to a tensor.
        metadata: What else is known: a tensor `(n,)` has one entry an image; anything else
            holds for the whole set.
        accepted: ImageNet classes that are right for each class `(classes, 1000)`, bool, where
            the classes are not ImageNet's own.
        candidates: Indices of the classes that a prediction is chosen among; all by default.
        border: Pixels that are cut off on each side before the transform.

    Example:
        >>> import tempfile; from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     Image.new("RGB", (8, 8)).save(f"{root}/a.png")
        ...     pets = ImageSet(
        ...         name="pets", root=Path(root), classes=("cat", "dog"), files=("a.png",),
        ...         labels=torch.tensor([1]), transform=lambda image: torch.tensor(image.size),
        ...     )
        ...     pets, pets[0]
        (ImageSet(pets: 1 images, 2 classes), (tensor([8, 8]), 1))
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: Tensor
    transform: Callable[[Any], Tensor]
    metadata: Mapping[str, Tensor | str | int] = field(default_factory=dict)
    accepted: Tensor | None = None
    candidates: Tensor | None = None
    border: int = 0

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return f"ImageSet({self.name}: {len(self):,} images, {len(self.classes):,} classes)"

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.picture(index)), int(self.labels[index])

    def picture(self, index: int) -> Any:
        """The image as a PIL image in RGB, before the transform.

        Raises:
            ScmError: If the file cannot be decoded.
        """
        from PIL import Image

        path = self.root / self.files[index]
        try:
            with Image.open(path) as opened:
                image = opened.convert("RGB")  # from grey, CMYK, a palette, or with alpha
        except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
            raise ScmError(
                f"{path} cannot be decoded ({error}); restore this file from the archive of "
                f"{self.name}"
            ) from error
        if not self.border:
            return image
        width, height = image.size
        if min(width, height) <= 2 * self.border:
            raise ScmError(
                f"{path} is {width} x {height} pixels, no more than the border of {self.border} "
                f"that {self.name} has around each image; restore it from the archive"
            )
        return image.crop((self.border, self.border, width - self.border, height - self.border))

    def correct(self, logits: Tensor, labels: Tensor, k: int = 1) -> Tensor:
        """Whether one of the k most likely classes is right, by the rule of this set.

        A classifier of this set's own classes is right if the label is among the k largest. One
        of ImageNet's 1,000 is judged as the set's authors do: on ImageNet-A among its 200
        classes, on the cue-conflict set by mean probabilities (`to_cue_conflict`), on IN-9 and
        ObjectNet if one of the k largest of *all* 1,000 is a class that the label accepts.

        Args:
            logits: Logits `(n, classes)` or `(n, 1000)`.
            labels: Labels `(n,)` of this set, as items give them.
            k: How many guesses there are.

        Returns:
            Truth values `(n,)`.

        Raises:
            ScmError: If shapes, labels or k do not fit, or a logit is not a number.
        """
        n, own = len(labels), len(self.classes)
        if logits.shape not in ((n, own), (n, 1000)) or labels.ndim != 1:
            raise ScmError(
                f"logits of shape {tuple(logits.shape)} and labels of shape {tuple(labels.shape)} "
                f"were given; {self.name} expects ({n}, {own}) or ({n}, 1000), and ({n},)"
            )
        if n and not 0 <= int(labels.min()) <= int(labels.max()) < own:
            raise ScmError(
                f"labels from {int(labels.min())} to {int(labels.max())} were given; {self.name} "
                f"has 0 to {own - 1}"
            )
        if bool(logits.isnan().any()):
            raise ScmError("a logit is not a number (nan); check that the classifier's loss is")
        accepted = self.accepted if logits.shape[1] != own else None
        if logits.shape[1] != own and accepted is None:
            logits = to_cue_conflict(logits)
        if self.candidates is not None:
            kept = self.candidates.to(logits.device)
            others = torch.full_like(logits, -torch.inf)
            logits = others.index_copy(1, kept, logits[:, kept])
        if not 1 <= k <= logits.shape[1]:
            raise ScmError(f"k={k} was given; expected 1 to {logits.shape[1]} guesses")
        guesses = logits.topk(k).indices
        labels = labels.to(guesses.device)
        if accepted is None:
            return (guesses == labels[:, None]).any(1)
        return accepted.to(guesses.device)[labels].gather(1, guesses).any(1)


@dataclass(frozen=True)
class Source:
    """Where a data set comes from, and what its folder looks like.

    Attributes:
        name: What it is called.
        folder: Its folder in that of the environment variable SCM_DATA.
        download: What to download, and from where.
        layout: The files in its folder.
    """

    name: str
    folder: str
    download: str
    layout: str

    def root(self, given: str | Path | None) -> Path:
        """The folder that was given, or else that in SCM_DATA.

        Raises:
            ScmError: If there is none.
        """
        data = os.environ.get("SCM_DATA")
        if given is None and not data:
            raise self.error("no folder was given, and the environment variable SCM_DATA is unset")
        root = Path(given) if given is not None else Path(data or "") / self.folder
        if not root.is_dir():
            raise self.error(f"{root} is not a folder")
        return root

    def error(self, problem: str) -> ScmError:
        """The problem, with what to download, where to put it, and which variable to set."""
        return ScmError(
            f"{self.name}: {problem}. Download {self.download}; unpack it to {self.folder}/"
            f"{self.layout}, in the folder that the environment variable SCM_DATA names, or "
            f"give {self.folder}/ itself as root="
        )


class Options(TypedDict, total=False):
    """What every loader takes.

    `transform` goes from a PIL image in RGB to a tensor, `imagenet_transform()` by default;
    `partial` accepts a folder that lacks classes or images.
    """

    transform: Callable[[Any], Tensor] | None
    partial: bool


def read_folders(
    source: Source,
    root: str | Path | None,
    within: str,
    labels: Mapping[str, int | None],
    *,
    names: tuple[str, ...],
    images: int | None,
    classes: int | None = None,
    resize: int = 256,
    partial: bool = False,
    transform: Callable[[Any], Tensor] | None = None,
    **fields: Any,
) -> ImageSet:
    """The images in the class folders of `root/within`.

    Args:
        source: What is looked for, and where.
        root: The set's folder; by default that in SCM_DATA.
        within: Path from there to the class folders.
        labels: Label of each class folder; None for one whose images are left out.
        names: Names of the classes, in the order of the labels.
        images: How many images there are, if it is known.
        classes: How many of them have images; all by default.
        resize: What the default transform resizes to.
        partial: Whether the set may lack classes and images.
        transform: In place of the default one.
        fields: Other fields of the `ImageSet`.

    Raises:
        ScmError: If a folder is missing, is none of the classes, or is incomplete.
    """
    root = source.root(root)
    folder = root / within
    if not folder.is_dir():
        raise source.error(f"{folder} is not a folder")
    found = _entries(folder, folders=True)
    strange = [name for name in found if name not in labels]
    if strange:
        raise source.error(
            f"{_some(strange)} in {folder} is none of its class folders ({_some(list(labels))})"
        )
    files = []
    for name in found:
        if (label := labels[name]) is not None:
            files += [(label, str(Path(within, name, file))) for file in _entries(folder / name)]
    if not files:
        flat = len(_entries(folder))
        problem = f"; its {flat:,} images must be sorted into class folders" if flat else ""
        raise source.error(f"{folder} has no class folder with images{problem}")
    present = {label for label, _ in files}
    classes = classes or len(names)
    if not partial and (len(present) < classes or len(files) < (images or 0)):
        raise source.error(
            f"{folder} is incomplete: {len(present):,} of {classes:,} classes, {len(files):,}"
            f"{f' of {images:,}' if images else ''} images (partial=True accepts what is there)"
        )
    files.sort()
    return ImageSet(
        name=source.name,
        root=root,
        classes=names,
        files=tuple(file for _, file in files),
        labels=torch.tensor([label for label, _ in files]),
        transform=transform or imagenet_transform(resize),
        **fields,
    )


def imagenet_transform(resize: int = 256, crop: int = 224) -> Callable[[Any], Tensor]:
    """ImageNet's evaluation transform: shorter side, centre crop, standardised channels.

    Args:
        resize: Pixels of the shorter side. Sets whose images are made at 224 x 224 pixels (IN-9,
            cue conflict, ImageNet-C) use 224, which leaves them as they are.
        crop: Pixels of the square in the centre.

    Returns:
        A function from a PIL image in RGB to a tensor `(3, crop, crop)`, with torchvision's
        means (0.485, 0.456, 0.406) and standard deviations (0.229, 0.224, 0.225).

    Raises:
        ScmError: If torchvision is missing.

    Example:
        >>> from PIL import Image
        >>> imagenet_transform()(Image.new("RGB", (300, 400))).shape
        torch.Size([3, 224, 224])
    """
    transforms = torchvision("transforms")
    composed: Callable[[Any], Tensor] = transforms.Compose(
        [
            transforms.Resize(resize),
            transforms.CenterCrop(crop),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    return composed


def _entries(folder: Path, folders: bool = False) -> list[str]:
    """Names of its folders, or of its images, sorted; hidden ones are left out."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".")
            and (entry.is_dir() if folders else entry.name.lower().endswith(_SUFFIXES))
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(repr(name) for name in names[:2]) + more
