"""Tiny pictures in ImageNet's published folders: what stands for ImageNet where there is none.

A picture has a shape, stripes on the object, and a background, each of a class of its own; eight
numbers place, turn and tint them. In `imagenet` all three classes agree, so that a classifier may
take any; the other folders set them apart, as their published namesakes do. The classes are eight
of ImageNet's: all of them are among IN-9's, seven among the cue-conflict set's.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scm.datasets.imagenet import cue_conflict_indices, imagenet9_indices, imagenet_ids
from scm.errors import ScmError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CLASSES", "LATENT", "SIZE", "draw", "write_folders"]

CLASSES = (1, 11, 207, 286, 294, 569, 671, 817)
"""ImageNet's indices of the classes: goldfish, goldfinch, golden retriever, cougar, brown bear,
garbage truck, mountain bike, sports car."""

SIZE = 16
"""Pixels along a side."""

LATENT = 8
"""Numbers that say where and how a picture's object and background are."""

# Lobes of the outline, their depth, its turn, and its height as a share of its width.
_SHAPES = (
    (0, 0.0, 0.0, 1.0),
    (0, 0.0, 0.0, 0.45),
    (0, 0.0, 0.0, 2.2),
    (2, 0.6, 0.0, 1.0),
    (3, 0.45, math.pi / 6, 1.0),
    (4, 0.5, 0.0, 1.0),
    (4, 0.5, math.pi / 4, 1.0),
    (6, 0.45, 0.0, 1.0),
)
_STRIPES = [(k / 8, math.pi * k / 8, 2.5 + (k % 2)) for k in range(8)]  # hue, angle, cycles
_GROUNDS = [((k + 3.5) / 8, math.pi * (5 * k + 2) / 8, 0.8 + 0.4 * (k % 2)) for k in range(8)]


def draw(
    labels: Tensor, noise: Tensor, styles: tuple[Tensor | None, Tensor | None] = (None, None)
) -> tuple[Tensor, Tensor]:
    """Pictures `(n, 3, 16, 16)` in [0, 1], and the masks `(n, 1, 16, 16)` of their objects.

    Args:
        labels: Classes of shape, stripes and background, `(n, 3)`, 0 to 7.
        noise: `(n, 8)`, about standard normal, of at most 2.
        styles: Hue, angle and cycles `(n, 3)` of stripes and of background, in place of those
            of their classes.

    Example:
        >>> images, masks = draw(torch.zeros(5, 3, dtype=torch.int64), torch.zeros(5, 8))
        >>> images.shape, masks.shape
        (torch.Size([5, 3, 16, 16]), torch.Size([5, 1, 16, 16]))
    """
    shape, stripes, ground = labels.cpu().unbind(1)
    u = noise.cpu().double()
    line = (torch.arange(SIZE, dtype=torch.float64) + 0.5) * 2 / SIZE - 1
    y, x = torch.meshgrid(line, line, indexing="ij")

    def at(column: Tensor) -> Tensor:
        return column[:, None, None]

    lobes, depth, turn, flat = (at(c) for c in torch.tensor(_SHAPES).double()[shape].unbind(1))
    right, down = (x - at(0.08 * u[:, 0])) * flat.sqrt(), (y - at(0.08 * u[:, 1])) / flat.sqrt()
    angle = torch.atan2(down, right) - turn - at(0.05 * u[:, 3])
    outline = at(0.56 + 0.03 * u[:, 2]) * (1 + depth * torch.cos(lobes * angle))
    masks = torch.sigmoid(1.5 * SIZE * (outline - torch.hypot(right, down))).unsqueeze(1)

    front = torch.tensor(_STRIPES).double()[stripes] if styles[0] is None else styles[0].double()
    back = torch.tensor(_GROUNDS).double()[ground] if styles[1] is None else styles[1].double()
    object_ = _striped(front, u[:, 4], u[:, 5], (0.35, 1.0), x, y)
    behind = _striped(back, u[:, 6], u[:, 7], (0.45, 0.75), x, y)
    images = masks * object_ + (1 - masks) * behind
    return images.float().to(noise.device), masks.float().to(noise.device)


def _striped(
    style: Tensor, phase: Tensor, tint: Tensor, light: tuple[float, float], x: Tensor, y: Tensor
) -> Tensor:
    """Waves between a dark and a light colour of neighbouring hues, `(n, 3, size, size)`."""
    hue, angle, cycles = (c[:, None, None] for c in style.unbind(1))
    across = x * torch.cos(angle) + y * torch.sin(angle)
    wave = 0.5 + 0.5 * torch.sin(math.pi * cycles * across + 0.3 * phase[:, None, None])
    dark, bright = (
        value * (0.4 + 0.6 * _wheel(hue + shift + 0.02 * tint[:, None, None]))
        for value, shift in zip(light, (0.0, 0.06), strict=True)
    )
    wave = wave.unsqueeze(1)
    return (1 - wave) * dark + wave * bright


def _wheel(hue: Tensor) -> Tensor:
    """Red, green and blue of a hue in turns, `(n, 3, 1, 1)`."""
    offset = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)[:, None, None] / 3
    return 0.5 + 0.5 * torch.cos(2 * math.pi * (hue.unsqueeze(1) - offset))


def write_folders(
    root: str | Path, train: int = 60, test: int = 25, seed: int = 0
) -> dict[str, int]:
    """Draw all sets below a folder, as they are published; returns how many images each has.

    Args:
        root: Folder to hold `imagenet`, `imagenet-stylized`, `bg_challenge` and
            `style-transfer-preprocessed-512`.
        train: Training images of each class.
        test: Test images of each class; of the cue-conflict set, a quarter for each two cues.
        seed: Seed of what is drawn.

    Raises:
        ScmError: If the folder cannot be written, or Pillow is missing.
    """
    draws = torch.Generator().manual_seed(seed)
    counts: dict[str, int] = {}
    parts = [
        *_imagenet(train, test, draws),
        *_in9(train, test, draws),
        _cue_conflict(max(1, test // 4), draws),
    ]
    for name, images, files in parts:
        counts[name] = counts.get(name, 0) + len(files)
        _save(Path(root) / name, images, files)
    return counts


Part = tuple[str, Tensor, list[str]]
"""Name of a set's folder, its images, and their files there."""


def _imagenet(train: int, test: int, draws: torch.Generator) -> Iterator[Part]:
    ids = imagenet_ids()
    for split, each in (("train", train), ("val", test)):
        own = torch.arange(len(CLASSES)).repeat_interleave(each)
        files = [f"{split}/{ids[CLASSES[k]]}/{n}.png" for n, k in enumerate(own.tolist())]
        yield "imagenet", _drawn(own, own, own, draws), files
        styles = (_paintings(len(own), draws), _paintings(len(own), draws))
        images, _ = draw(own[:, None].expand(-1, 3), _noise(len(own), draws), styles)
        yield "imagenet-stylized", images, files


def _in9(train: int, test: int, draws: torch.Generator) -> Iterator[Part]:
    folders = {
        f"{label:02d}_{name}": torch.tensor([k for k, i in enumerate(CLASSES) if i in indices])
        for label, (name, indices) in enumerate(imagenet9_indices().items())
        if set(indices) & set(CLASSES)
    }
    members = list(folders.values())
    wanted = [("original", "val"), ("mixed_same", "val"), ("mixed_rand", "val")]
    for variant, split in [*wanted, ("mixed_rand", "train")]:
        each = train if split == "train" else test
        label = torch.arange(len(members)).repeat_interleave(each)
        behind = label
        if variant == "mixed_rand":
            behind = torch.randint(len(members), (len(label),), generator=draws)
        shape, other = (
            torch.stack([_one(members[k], draws) for k in column.tolist()])
            for column in (label, behind)
        )
        ground = shape if variant == "original" else other
        names = list(folders)
        files = [f"{variant}/{split}/{names[k]}/{n}.png" for n, k in enumerate(label.tolist())]
        yield "bg_challenge", _drawn(shape, shape, ground, draws), files


def _cue_conflict(each: int, draws: torch.Generator) -> Part:
    names = {
        k: name
        for k, i in enumerate(CLASSES)
        for name, indices in cue_conflict_indices().items()
        if i in indices
    }
    pairs = [(k, j, n) for k in names for j in names for n in range(each)]
    labels = torch.tensor([(k, j, 0) for k, j, _ in pairs])
    noise = _noise(len(pairs), draws)
    images, masks = draw(labels, noise)
    images = masks * images + (1 - masks) * 0.9  # before a plain ground
    files = [f"{names[k]}/{names[k]}{n + 1}-{names[j]}{n + 1}.png" for k, j, n in pairs]
    return "style-transfer-preprocessed-512", images, files


def _drawn(shape: Tensor, stripes: Tensor, ground: Tensor, draws: torch.Generator) -> Tensor:
    return draw(torch.stack([shape, stripes, ground], 1), _noise(len(shape), draws))[0]


def _noise(n: int, draws: torch.Generator) -> Tensor:
    return torch.randn(n, LATENT, generator=draws).clamp(-2, 2)


def _paintings(n: int, draws: torch.Generator) -> Tensor:
    """Styles of no class."""
    return torch.rand(n, 3, generator=draws) * torch.tensor([1.0, math.pi, 4.0])


def _one(members: Tensor, draws: torch.Generator) -> Tensor:
    return members[torch.randint(len(members), (), generator=draws)]


def _save(folder: Path, images: Tensor, files: list[str]) -> None:
    try:
        from PIL import Image
    except ImportError as error:
        raise ScmError(
            "images are written with Pillow, which is not installed: pip install "
            "'neural-scm[vision]'"
        ) from error
    pixels = images.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    try:
        for path in {folder / Path(file).parent for file in files}:
            path.mkdir(parents=True, exist_ok=True)
        for picture, file in zip(pixels, files, strict=True):
            Image.fromarray(picture).save(folder / file)
    except OSError as error:
        raise ScmError(
            f"the images could not be written to {folder} ({error}); choose a folder that may be "
            "written and has room: --out DIR"
        ) from error
