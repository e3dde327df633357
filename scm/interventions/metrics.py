"""Distances between images: what "as similar as possible" means to a manipulator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from scm.errors import ScmError, nearest

__all__ = ["L1", "L2", "FeatureSpace", "ImageKernel", "Metric", "metric_of"]

Metric: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""A distance `(n,)` of two batches of images `(n, *shape)`, differentiable in the second."""

_TINY = 1e-12


@dataclass(frozen=True)
class L1:
    """The mean absolute difference of two images, `sum |i - j| / pixels`.

    Black and white are 1 apart; of binary images it is the share of pixels that differ.

    Example:
        >>> L1()(torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2))
        tensor([1., 1.])
    """

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances `(n,)`."""
        return (a - b).abs().flatten(1).mean(-1)


@dataclass(frozen=True)
class L2:
    """The root mean square difference of two images, `sqrt(sum (i - j)^2 / pixels)`.

    It is the Euclidean distance over the root of the number of pixels: black and white are 1
    apart, whatever the size.

    Example:
        >>> L2()(torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]]))
        tensor([0.5000])
    """

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances `(n,)`."""
        return _root_mean_square(a - b)


@dataclass(frozen=True)
class ImageKernel:
    """The distance of an image kernel, `d(i, j)^2 = k(i, i) + k(j, j) - 2 k(i, j)`.

    The kernel `k(i, j) = <G i, G j> / pixels` compares images that a Gaussian G has smoothed:
    a stroke and the same stroke one pixel beside it are close, where L2 sees two strokes.
    Two constant images are as far apart as their grey values.

    Args:
        width: Standard deviation of the Gaussian, in pixels.

    Raises:
        ScmError: If the width is not positive.

    Source: Wang, Zhang and Feng (2005), On the Euclidean distance of images, IEEE TPAMI 27(8).
    Their exponent has twice this variance, since it stands for G applied to both images.

    Example:
        >>> stroke, beside = torch.zeros(2, 1, 1, 9, 9)
        >>> stroke[..., 4], beside[..., 5] = 1.0, 1.0
        >>> bool(ImageKernel(1.0)(stroke, beside) < 0.5 * L2()(stroke, beside))
        True
    """

    width: float = 1.0

    def __post_init__(self) -> None:
        if not (self.width > 0 and math.isfinite(self.width)):
            raise ScmError(f"ImageKernel(width={self.width}) was given; expected pixels above 0")

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances `(n,)`; the last two dimensions are the picture."""
        difference = a - b
        rows, columns = (_smoothing(size, self.width) for size in difference.shape[-2:])
        return _root_mean_square(rows.to(difference) @ difference @ columns.T.to(difference))


@dataclass(frozen=True)
class FeatureSpace:
    """The distance in a learned representation, `sqrt(mean (f(i) - f(j))^2)`.

    Args:
        module: The representation f, from images `(n, *shape)` to features `(n, ...)`.

    Example:
        >>> FeatureSpace(torch.nn.Flatten())(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
        tensor([1.])
    """

    module: nn.Module

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances `(n,)`."""
        return _root_mean_square(self.module(a) - self.module(b))


def _root_mean_square(difference: Tensor) -> Tensor:
    # The smallest distance is 1e-6 and its gradient 0, where the root of 0 would have none.
    mean = difference.flatten(1).square().mean(-1)
    return torch.where(mean > _TINY, mean, _TINY).sqrt() * (mean > _TINY)


@cache
def _smoothing(size: int, width: float) -> Tensor:
    """A Gaussian along one side of an image, `(size, size)`; rows sum to 1."""
    at = torch.arange(size, dtype=torch.float64)
    return torch.softmax(-0.5 * ((at[:, None] - at) / width) ** 2, -1)


_NAMED: dict[str, Callable[[], Any]] = {"l1": L1, "l2": L2}


def metric_of(metric: str | Metric) -> Metric:
    """A distance by its name ("l1", "l2"), or itself.

    Raises:
        ScmError: If it is neither.

    Example:
        >>> metric_of("l1")
        L1()
    """
    if isinstance(metric, str) and metric.lower() in _NAMED:
        made: Metric = _NAMED[metric.lower()]()
        return made
    if isinstance(metric, str) or not callable(metric):
        raise ScmError(f"metric={metric!r:.60} is unknown; {nearest(metric, _NAMED)}, or a Metric")
    return metric
