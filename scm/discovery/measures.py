"""What can be measured in images of digits: thickness, intensity, slant, ink.

Images are `(n, channels, height, width)` with a background of 0; of several channels the
brightest counts. Each function returns `(n,)`; of an image without ink, 0. Gradients pass through
all but `thickness`, whose skeleton has none.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from scm.errors import ScmError

__all__ = ["ink", "intensity", "slant", "thickness"]

_SCALE = 4  # Morpho-MNIST measures digits drawn four times as large


def ink(images: Tensor) -> Tensor:
    """Mean brightness of all pixels, in units of the images.

    Example:
        >>> ink(torch.ones(1, 1, 4, 4) / 2)
        tensor([0.5000])
    """
    return _grey(images).mean((1, 2))


def intensity(images: Tensor) -> Tensor:
    """Median brightness of the stroke, the pixels above half the brightest one.

    Source: Pawlowski, Castro and Glocker (2020), section 4.

    Example:
        >>> intensity(torch.tensor([0.0, 0.2, 0.8, 1.0]).reshape(1, 1, 2, 2))
        tensor([0.9000])
    """
    grey = _grey(images).flatten(1)
    stroke = grey > 0.5 * grey.amax(1, keepdim=True)
    median = torch.where(stroke, grey, torch.nan).nanquantile(0.5, dim=1)
    return median.nan_to_num(0.0)


def slant(images: Tensor) -> Tensor:
    """Angle of the stroke from the vertical in radians, positive where it leans to the right.

    It is `atan(-mu_11 / mu_02)` of the central moments of brightness.

    Source: Castro, Tan, Kainz, Konukoglu and Glocker (2019), Morpho-MNIST, section 2.

    Example:
        >>> diagonal = torch.eye(5).flip(0)[None, None]
        >>> slant(diagonal) / torch.pi
        tensor([0.2500])
    """
    grey = _grey(images)
    rows = torch.arange(grey.shape[1], dtype=grey.dtype, device=grey.device)[:, None]
    columns = torch.arange(grey.shape[2], dtype=grey.dtype, device=grey.device)
    mass = grey.sum((1, 2)).clamp_min(1e-12)
    middle = [((grey * axis).sum((1, 2)) / mass)[:, None, None] for axis in (rows, columns)]
    down, across = rows - middle[0], columns - middle[1]
    both, height = ((grey * moment).sum((1, 2)) for moment in (down * across, down * down))
    return torch.atan(-both / height.clamp_min(1e-12))


def thickness(images: Tensor) -> Tensor:
    """Mean thickness of the stroke in pixels: twice the mean distance from skeleton to edge.

    As Morpho-MNIST does, images are drawn four times as large first; the stroke is what is above
    half the brightest pixel.

    Raises:
        ScmError: If scikit-image is not installed.

    Source: Castro et al. (2019), Morpho-MNIST, section 2.

    Example:
        >>> bar = torch.zeros(1, 1, 28, 28)
        >>> bar[..., 4:24, 12:16] = 1.0
        >>> bool((thickness(bar) - 4).abs() < 0.5)
        True
    """
    try:
        from skimage.morphology import skeletonize
    except ImportError as error:
        raise ScmError(
            "the thickness of a stroke needs scikit-image: pip install 'neural-scm[discovery]'"
        ) from error
    from scipy.ndimage import distance_transform_edt

    grey = _grey(images.detach()).unsqueeze(1)
    large = F.interpolate(grey, scale_factor=_SCALE, mode="bicubic").squeeze(1)
    strokes = large > 0.5 * large.amax((1, 2), keepdim=True).clamp_min(1e-12)
    found = []
    for whole in strokes.cpu().numpy():
        stroke = np.pad(whole[_extent(whole.any(1)), _extent(whole.any(0))], 1)
        line = skeletonize(stroke)  # type: ignore[no-untyped-call]
        mean = distance_transform_edt(stroke)[line].mean() if line.any() else 0.0
        found.append(2 * float(mean) / _SCALE)
    return torch.tensor(found).to(images)


def _extent(used: NDArray[np.bool_]) -> slice:
    """From the first to the last that is used."""
    where = np.flatnonzero(used)
    return slice(where[0], where[-1] + 1) if len(where) else slice(0, 0)


def _grey(images: Tensor) -> Tensor:
    if images.ndim != 4:
        raise ScmError(
            f"images {tuple(images.shape)} were given; expected (n, channels, height, width)"
        )
    return images.amax(1)
