"""Textures of Wildlife MNIST: striped ones for digits, veined ones for backgrounds."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scm.errors import ScmError

__all__ = ["Textures", "textures"]

_SIZE = 150
_FOLDERS = {"foreground": ("object", "striped"), "background": ("background", "veined")}


@dataclass(frozen=True, eq=False)
class Textures:
    """One texture a class for the digit and one for the background, in [0, 1].

    Attributes:
        name: "describable" (photographs) or "procedural", or what you call your own.
        foreground: `(10, 3, height, width)`.
        background: `(10, 3, height, width)`.

    Raises:
        ScmError: If shapes or values are others.

    Example:
        >>> grey = torch.full((10, 3, 8, 8), 0.5)
        >>> Textures("grey", grey, grey)
        Textures(grey: (10, 3, 8, 8) each)
    """

    name: str
    foreground: Tensor
    background: Tensor

    def __post_init__(self) -> None:
        for what in _FOLDERS:
            images: Tensor = getattr(self, what)
            if images.ndim != 4 or images.shape[:2] != (10, 3) or not images.is_floating_point():
                raise ScmError(
                    f"{what} textures of shape {tuple(images.shape)} and {images.dtype} were "
                    "given; expected floating point (10, 3, height, width), one for each class"
                )
            if not (float(images.min()) >= 0 and float(images.max()) <= 1):
                raise ScmError(
                    f"{what} textures have values from {float(images.min()):.3g} to "
                    f"{float(images.max()):.3g}; expected [0, 1]"
                )

    def __repr__(self) -> str:
        return f"Textures({self.name}: {tuple(self.foreground.shape)} each)"


def textures(root: str | Path | None = None, *, seed: int = 0) -> Textures:
    """Load the textures of Wildlife MNIST, or draw procedural ones where there are none.

    Photographs are resized to 150x150 by their nearest pixels.

    Args:
        root: Folder that holds `textures/object/K_striped_*.jpg` and
            `textures/background/K_veined_*.jpg`, K = 0, ..., 9 the class; by default that of
            the environment variable SCM_DATA. Where that has no folder `textures`, or is not
            set, stripes and veins are drawn.
        seed: Seed of the drawn ones.

    Raises:
        ScmError: If the folder is incomplete, a file is damaged, or Pillow is missing.

    Source: Sauer and Geiger (2021), appendix A.2; photographs of Cimpoi et al. (2014).

    Example:
        >>> textures("no such folder")
        Traceback (most recent call last):
        scm.errors.ScmError: no such folder/textures is no folder; ...
    """
    chosen = root or os.environ.get("SCM_DATA")
    folder = Path(chosen) / "textures" if chosen else None
    if folder is None or (root is None and not folder.is_dir()):
        return _procedural(seed)
    if not folder.is_dir():
        raise ScmError(f"{folder} is no folder; {_WHERE}")
    parts = {what: _photographs(folder / name, word) for what, (name, word) in _FOLDERS.items()}
    return Textures("describable", **parts)


_WHERE = (
    "take the 20 files of mnists/data/textures in the repository "
    "autonomousvision/counterfactual_generative_networks, put them into textures/object "
    "(0_striped_*.jpg to 9_striped_*.jpg) and textures/background (0_veined_*.jpg to "
    "9_veined_*.jpg), and let the environment variable SCM_DATA name the folder above textures"
)


def _photographs(folder: Path, word: str) -> Tensor:
    try:
        from PIL import Image
    except ImportError as error:
        raise ScmError(
            "textures are read with Pillow, which is not installed: pip install "
            "'neural-scm[vision]'"
        ) from error
    found = [sorted(folder.glob(f"{k}_{word}_*.jpg")) for k in range(10)]
    wrong = {f"{k}_{word}_*.jpg": len(paths) for k, paths in enumerate(found) if len(paths) != 1}
    if wrong:
        pattern, count = next(iter(wrong.items()))
        raise ScmError(
            f"{folder} is not complete: {count} files {pattern} are there, where one was expected "
            f"({len(wrong)} of 10 classes are wrong); {_WHERE}"
        )
    images = []
    for (path,) in found:
        try:
            with Image.open(path) as image:
                pixels = image.convert("RGB").resize((_SIZE, _SIZE), Image.Resampling.NEAREST)
        except (OSError, SyntaxError) as error:
            raise ScmError(f"{path} cannot be read ({error}); download it again") from error
        images.append(torch.from_numpy(np.array(pixels)).permute(2, 0, 1))
    return torch.stack(images).to(torch.get_default_dtype()) / 255


def _procedural(seed: int) -> Textures:
    """Stripes and veins, each class with a direction, a scale and two colours of its own."""
    generator = torch.Generator().manual_seed(seed)
    line = torch.linspace(0, 1, _SIZE, dtype=torch.float64)
    y, x = torch.meshgrid(line, line, indexing="ij")
    stripes, veins = [], []
    for k in range(10):
        bend = _smooth(5, generator)
        angle, frequency = math.pi * k / 10, 9 + 2 * (k % 4)
        across = x * math.cos(angle) + y * math.sin(angle) + 0.05 * bend
        wave = torch.sigmoid(6 * torch.sin(2 * math.pi * frequency * across))
        grain = 0.06 * _smooth(60, generator)
        stripes.append(_two_colours(wave + grain, k / 10, 0.25, 0.95))
        rock = _smooth(4 + k % 3, generator) + 0.4 * _smooth(12 + k, generator)
        vein = torch.exp(-14 * rock.abs()) + 0.6 * torch.exp(-20 * _smooth(9, generator).abs())
        grain = 0.1 * _smooth(30, generator)
        veins.append(_two_colours(vein + grain, (k + 4.5) / 10, 0.5, 0.9))
    dtype = torch.get_default_dtype()
    return Textures("procedural", torch.stack(stripes).to(dtype), torch.stack(veins).to(dtype))


def _smooth(knots: int, generator: torch.Generator) -> Tensor:
    """Smooth noise of about unit scale, from a grid of knots."""
    grid = torch.randn(1, 1, knots, knots, generator=generator, dtype=torch.float64)
    return F.interpolate(grid, (_SIZE, _SIZE), mode="bicubic", align_corners=True)[0, 0]


def _two_colours(share: Tensor, hue: float, dark: float, light: float) -> Tensor:
    """Mix a dark and a light colour of neighbouring hues, `(3, height, width)`."""
    phase = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64) / 3

    def colour(hue: float, brightness: float, saturation: float) -> Tensor:
        wheel = 0.5 + 0.5 * torch.cos(2 * math.pi * (hue - phase))
        return (brightness * (1 - saturation + saturation * wheel)).view(3, 1, 1)

    share = share.clamp(0, 1)
    return (1 - share) * colour(hue, dark, 0.9) + share * colour(hue + 0.08, light, 0.7)
