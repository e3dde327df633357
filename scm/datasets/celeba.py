"""CelebA in its published layout: faces, forty attributes, and the split of its authors."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor

from scm.datasets.imagenet.folder import ImageSet, Options, Source
from scm.errors import ScmError, nearest
from scm.vision import torchvision

__all__ = ["celeba", "celeba_transform"]

_SPLITS = {"train": 0, "val": 1, "test": 2}
_IMAGES, _ATTRIBUTES, _PARTITION = (
    "img_align_celeba",
    "list_attr_celeba.txt",
    "list_eval_partition.txt",
)
_COUNT = 202_599
_WIDTH = 178  # of the aligned images, which are 218 high
_SOURCE = Source(
    "CelebA",
    "celeba",
    f"{_IMAGES}.zip, {_ATTRIBUTES} and {_PARTITION} (Align&Cropped Images, and Anno and Eval) from "
    "mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    f"{_IMAGES}/000001.jpg, {_ATTRIBUTES} and {_PARTITION}",
)


def celeba(
    root: str | Path | None = None,
    split: str = "train",
    target: str = "Blond_Hair",
    **options: Unpack[Options],
) -> ImageSet:
    r"""CelebA, 202,599 aligned faces: `celeba/img_align_celeba/*.jpg` and its two lists.

    The label is one attribute, and `metadata` holds all forty, by name, as 0 or 1 `(n,)`.

    Args:
        root: Its folder; by default `celeba/` in that of the environment variable SCM_DATA.
        split: "train", "val" or "test", the authors' own.
        target: The attribute that is the label.
        options: `transform`, by default `celeba_transform()`, and `partial`, which accepts a
            folder that lacks images.

    Raises:
        ScmError: If there is no such split or attribute; or a list or images are missing or
            damaged (what to download, and where to put it).

    Source:
        Liu, Luo, Wang and Tang, "Deep Learning Face Attributes in the Wild" (2015); blond hair as
        the label and Male as the group, Sagawa, Koh, Hashimoto and Liang (2020).

    Example:
        >>> import tempfile; from PIL import Image
        >>> folder = tempfile.TemporaryDirectory()
        >>> (Path(folder.name) / "img_align_celeba").mkdir()
        >>> attributes, partition = "1\nBlond_Hair Male\n000001.jpg  1 -1\n", "000001.jpg 0\n"
        >>> _ = (Path(folder.name) / "list_attr_celeba.txt").write_text(attributes)
        >>> _ = (Path(folder.name) / "list_eval_partition.txt").write_text(partition)
        >>> Image.new("RGB", (178, 218)).save(f"{folder.name}/img_align_celeba/000001.jpg")
        >>> faces = celeba(folder.name, partial=True)
        >>> image, label = faces[0]
        >>> faces, image.shape, faces.classes[label]
        (ImageSet(CelebA train: 1 images, 2 classes), torch.Size([3, 224, 224]), 'Blond_Hair')
        >>> faces.metadata["Male"]
        tensor([0])
        >>> folder.cleanup()
    """
    if split not in _SPLITS:
        raise ScmError(f"split={split!r} was given; {nearest(split, _SPLITS)}")
    folder = _SOURCE.root(root)
    names, rows = _attributes(folder / _ATTRIBUTES)
    if target not in names:
        raise ScmError(f"CelebA has no attribute {target!r}; {nearest(target, names)}")
    wanted = _partition(folder / _PARTITION, _SPLITS[split])
    files = _present(folder, rows, wanted, options.get("partial", False))
    table = torch.tensor([rows[file] for file in files])
    labels = table[:, names.index(target)]
    order = labels.argsort(stable=True)
    table, labels = table[order], labels[order]
    return ImageSet(
        name=f"CelebA {split}",
        root=folder,
        classes=(f"not {target}", target),
        files=tuple(f"{_IMAGES}/{files[k]}" for k in order.tolist()),
        labels=labels,
        transform=options.get("transform") or celeba_transform(),
        metadata={"split": split, **dict(zip(names, table.T.contiguous(), strict=True))},
        accepted=torch.zeros(2, 1000, dtype=torch.bool),  # none of ImageNet's classes is right
    )


def celeba_transform(size: int = 224, standardise: bool = True) -> Callable[[Any], Tensor]:
    """The square in the centre, 178 pixels a side, resized (bilinear) and standardised.

    Args:
        size: Pixels of a side.
        standardise: Whether channels get ImageNet's means and standard deviations; otherwise
            they stay in [0, 1].

    Raises:
        ScmError: If torchvision is missing.

    Source:
        Sagawa et al. (2020); `get_transform_celebA` of github.com/kohpangwei/group_DRO.
    """
    transforms = torchvision("transforms")
    steps = [transforms.CenterCrop(_WIDTH), transforms.Resize((size, size)), transforms.ToTensor()]
    if standardise:
        steps.append(transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    composed: Callable[[Any], Tensor] = transforms.Compose(steps)
    return composed


def _attributes(path: Path) -> tuple[list[str], dict[str, list[int]]]:
    """Names of the attributes, and 0 or 1 for each, by file."""
    lines = _lines(path)
    names = lines[1].split() if len(lines) > 1 else []
    rows = {}
    for line in lines[2:]:
        file, *values = line.split()
        if len(values) != len(names) or not {*values} <= {"1", "-1"}:
            raise _SOURCE.error(
                f"{path} has the line {line[:60]!r}; expected a file and {len(names)} numbers, "
                "each 1 or -1, as its second line has names"
            )
        rows[file] = [int(value == "1") for value in values]
    if not rows or lines[0].strip() != str(len(rows)):
        raise _SOURCE.error(
            f"{path} has {len(rows):,} rows and the first line {lines[0][:20] if lines else ''!r}, "
            "which should be their number: it was cut off"
        )
    return names, rows


def _partition(path: Path, split: int) -> list[str]:
    """Files of a split."""
    rows = [line.split() for line in _lines(path)]
    strange = [row for row in rows if len(row) != 2 or row[1] not in ("0", "1", "2")]
    if strange:
        raise _SOURCE.error(f"{path} has the line {' '.join(strange[0])[:60]!r}; expected a file "
                            "and 0, 1 or 2")  # fmt: skip
    return sorted(file for file, part in rows if part == str(split))


def _present(
    folder: Path, rows: dict[str, list[int]], wanted: list[str], partial: bool
) -> list[str]:
    """The files of a split that are there and have attributes; all of them unless partial."""
    images = folder / _IMAGES
    if not images.is_dir():
        raise _SOURCE.error(f"{images} is not a folder")
    there = set(os.listdir(images))
    files = [file for file in wanted if file in there and file in rows]
    if not files:
        raise _SOURCE.error(f"{images} has none of the {len(wanted):,} images of this split")
    if not partial and (len(files) < len(wanted) or len(rows) < _COUNT):
        raise _SOURCE.error(
            f"{folder} is incomplete: {len(files):,} of the {len(wanted):,} images of this split, "
            f"and attributes of {len(rows):,} of {_COUNT:,} (partial=True accepts what is there)"
        )
    return files


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _SOURCE.error(f"{path} cannot be read ({error})") from error
    return [line for line in lines if line.strip()]
