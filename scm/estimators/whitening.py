"""Features in which images of a data set vary alike in every direction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scm.errors import ScmError

__all__ = ["Whitening"]


class Whitening(nn.Module):
    r"""The first principal components of images, each with unit variance.

    .. math:: \varphi(x) = \Lambda^{-1/2} V^\top (x - \bar{x})

    with the k largest eigenvalues :math:`\Lambda` of the images' covariance and their vectors V.
    In pixels, a blurred image is near every sharp one, and a colour outweighs a shape; here the
    directions in which images vary little count as much as those in which they vary a lot.

    Args:
        images: ``(n, *event)``, of which mean and covariance are taken.
        components: k.

    Attributes:
        share: share of the variance in the k components.

    Raises:
        ScmError: if the images do not vary in that many directions.

    Example:
        >>> x = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 5)
        >>> Whitening(x, 2)(x).var(0)
        tensor([1.0000, 1.0000])
    """

    mean: Tensor
    directions: Tensor

    def __init__(self, images: Tensor, components: int) -> None:
        super().__init__()
        if images.ndim < 2 or not 1 <= components < len(images):
            raise ScmError(
                f"{components} components of images of shape {tuple(images.shape)} were asked "
                "for; expected (n, *event), and from 1 component to n - 1"
            )
        rows = images.flatten(1)
        mean = rows.mean(0)
        spread, axes = torch.linalg.eigh(
            torch.cov((rows - mean).T).double().reshape(rows.shape[1], -1)
        )
        spread, axes = spread.flip(0), axes.flip(1)
        rank = int((spread > spread[0] * 1e-6).sum()) if spread[0] > 0 else 0
        if components > rank:
            raise ScmError(
                f"{components} components were asked for, but the images vary in {rank} "
                "directions; ask for fewer, or give more images"
            )
        kept = axes[:, :components] / spread[:components].sqrt()
        self.share = float(spread[:components].sum() / spread.clamp_min(0).sum())
        self.register_buffer("mean", mean)
        self.register_buffer("directions", kept.to(rows.dtype))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(n, k)`` of images ``(n, *event)``."""
        return (images.flatten(1) - self.mean) @ self.directions
