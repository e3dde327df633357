"""What `cage-dro` learns from: a cause, an effect that is to be told, and the rare group of both.

Groups are numbered `2 cause + effect`, and group 3 is the rare one.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.utils.data import DataLoader

from scm.datasets import Exemplars, celeba
from scm.datasets.celeba import celeba_transform
from scm.datasets.digits import read_idx
from scm.datasets.imagenet.folder import Source
from scm.errors import ScmError
from scm.mechanisms import Additive, Image, Root, Structural, Tabular
from scm.model import SCM
from scm.progress import progress_bar

__all__ = ["RARE", "Part", "World", "digits_in_colour", "faces"]

RARE = 3
_FILES = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", "t10k-morpho.csv")
_SOURCE = Source(
    "MorphoMNIST",
    "MorphoMNIST",
    f"{', '.join(_FILES)} of github.com/biomedia-mira/deepscm",
    ", ".join(_FILES),
)
# P(blond | female) and P(blond | male) of CelebA's training images.
_RED = {"thick": 22_880 / 94_509, "thin": 1_387 / 68_261}
_HUES, _SPREAD = (0.35, 0.65), 0.12


@dataclass(frozen=True)
class Part:
    """Images `(n, 3, height, width)` in [0, 1], with cause and effect `(n,)`, 0 or 1."""

    images: Tensor
    cause: Tensor
    effect: Tensor

    @property
    def groups(self) -> Tensor:
        """Group of each image, `(n,)`."""
        return 2 * self.cause + self.effect

    def pair(self, group: int) -> tuple[Tensor, Tensor]:
        """Images and effects of a group."""
        inside = self.groups == group
        return self.images[inside], self.effect[inside]

    def to(self, device: str) -> Part:
        """The same on a device."""
        return Part(self.images.to(device), self.cause.to(device), self.effect.to(device))


@dataclass(frozen=True)
class World:
    """Parts to train, to choose and to test with.

    Attributes:
        names: Names of the four groups.
        train: Part to train on, where group 3 is rare.
        validation: Part to choose alpha and the step with.
        test: Part to test on.
        content: Another class of the training images, int64 `(n,)`.
        judge: What it is a class of; a classifier of it stands in for Inception-v3.
        latent: Width of the latent of a generator that is trained on them.
    """

    names: Sequence[str]
    train: Part
    validation: Part
    test: Part
    content: Tensor
    judge: str
    latent: int

    def to(self, device: str) -> World:
        """The same on a device."""
        parts = {k: getattr(self, k).to(device) for k in ("train", "validation", "test")}
        return replace(self, content=self.content.to(device), **parts)


def digits_in_colour(seed: int, sizes: tuple[int, int, int] = (6_000, 1_000, 3_000)) -> World:
    """MorphoMNIST in colour: `thin -> digit; thin -> red; red -> hue; digit, hue -> X`.

    A stroke is thin if it is below the median; red is as rare among thin strokes as blond hair
    among the men of CelebA, and as frequent among thick ones as among the women. The hue is
    normal around its colour's, and overlaps with the other's. Digits to choose and to test with
    are shown twice, under do(red=0) and do(red=1), with the same noise.

    Args:
        seed: Seed of the split, the colours and the hues.
        sizes: Digits to train, to choose and to test with.

    Raises:
        ScmError: If the data are missing, or are fewer.
    """
    strokes, thickness, classes = _morphomnist()
    if sum(sizes) > len(strokes):
        raise ScmError(f"{len(strokes):,} digits are there; expected {sum(sizes):,} for {sizes}")
    thin = (thickness <= thickness.median()).long()
    order = torch.randperm(len(strokes), generator=torch.Generator().manual_seed(seed))
    parts = []
    for k, rows in enumerate(order[: sum(sizes)].split(sizes)):
        model = _model(strokes[rows], thin[rows])
        units = model.abduct({"thin": thin[rows], "digit": strokes[rows]}, seed=3 * seed + k)
        worlds = [units] if k == 0 else [units.do(red=0), units.do(red=1)]
        images, cause, effect = (
            torch.cat([world[node] for world in worlds]) for node in ("X", "thin", "red")
        )
        parts.append(Part(images, cause, effect))
    names = ("thick, green", "thick, red", "thin, green", "thin, red")
    train, validation, test = parts
    return World(names, train, validation, test, classes[order[: sizes[0]]], "digits", latent=16)


def faces(root: str | Path, size: int = 64, partial: bool = False, progress: bool = True) -> World:
    """CelebA: Male is the cause, blond hair the effect; all images are held in memory.

    Args:
        root: CelebA's folder.
        size: Pixels of a side.
        partial: Whether the folder may lack images.
        progress: Show progress bars, on a terminal or in a notebook.

    Raises:
        ScmError: If the folder is missing or incomplete, or a part lacks a group.
    """
    parts, content = [], torch.empty(0)
    for split in ("train", "val", "test"):
        transform = celeba_transform(size, standardise=False)
        found = celeba(root, split, "Blond_Hair", transform=transform, partial=partial)
        batches = DataLoader(found, batch_size=256)
        images = []
        with progress_bar(found.name, len(batches), "batches", progress) as advance:
            for pixels, _ in batches:
                images.append(pixels)
                advance()
        male, smiling = (found.metadata[name] for name in ("Male", "Smiling"))
        assert isinstance(male, Tensor)
        assert isinstance(smiling, Tensor)
        parts.append(Part(torch.cat(images), male, found.labels))
        content = content if len(parts) > 1 else smiling
        if len(parts[-1].groups.unique()) < 4:
            raise ScmError(f"{found} lacks a group of Male and Blond_Hair; expected images of all")
    names = ("dark women", "blond women", "dark men", "blond men")
    train, validation, test = parts
    return World(names, train, validation, test, content, "smiles", latent=64)


def _model(strokes: Tensor, thin: Tensor) -> SCM:
    """The model, with strokes `(n, 1, 28, 28)` as the digits that it shows."""
    chances = [[1 - _RED[kind], _RED[kind]] for kind in ("thick", "thin")]
    low, high = _HUES
    return SCM(
        "thin -> digit; thin -> red; red -> hue; digit, hue -> X",
        thin=Root.bernoulli(0.5),
        digit=Exemplars(strokes, thin),
        red=Tabular(torch.tensor(chances)),
        hue=Additive(lambda red: low + (high - low) * red, Normal(0.0, _SPREAD)),
        X=Structural(_paint, type=Image((3, *strokes.shape[2:]))),
    )


def _paint(digit: Tensor, hue: Tensor) -> Tensor:
    """A digit `(*, 1, h, w)` between green (hue 0) and red (1)."""
    red = hue.clamp(0, 1)
    return torch.cat([red * digit, (1 - red) * digit, 0.25 * digit], -3)


def _morphomnist() -> tuple[Tensor, Tensor, Tensor]:
    """Strokes of full brightness `(n, 1, 28, 28)`, their thickness, and the digit's class."""
    folder = _SOURCE.root(None)
    for file in _FILES:
        if not (folder / file).is_file():
            raise _SOURCE.error(f"{folder / file} is missing")
    images = torch.from_numpy(read_idx(folder / _FILES[0], 3)).float().div(255).unsqueeze(1)
    classes = torch.from_numpy(read_idx(folder / _FILES[1], 1)).long()
    try:
        lines = csv.DictReader((folder / _FILES[2]).read_text(encoding="utf-8").splitlines())
        rows = [(float(row["thickness"]), float(row["intensity"])) for row in lines]
    except (KeyError, ValueError, TypeError) as error:
        raise _SOURCE.error(f"{folder / _FILES[2]} cannot be read ({error!r})") from error
    if not len(images) == len(classes) == len(rows):
        raise _SOURCE.error(
            f"{folder} has files of {len(images)}, {len(classes)}, {len(rows)} rows"
        )
    thickness, intensity = torch.tensor(rows).T
    return (images * (255 / intensity).view(-1, 1, 1, 1)).clamp(0, 1), thickness, classes
