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
        away = (rows - mean).double()
        # Eigenvectors of the covariance, by way of the rows' products where these are fewer.
        few = len(rows) < rows.shape[1]
        products = (away @ away.T if few else away.T @ away) / (len(rows) - 1)
        top = min(components, len(products))
        spread, axes = _largest(products, top)
        rank = int((spread > spread[0] * 1e-6).sum()) if spread[0] > 0 else 0
        if components > rank:
            raise ScmError(
                f"{components} components were asked for, but the images vary in {rank} "
                "directions; ask for fewer, or give more images"
            )
        if few:
            axes = away.T @ axes / (spread * (len(rows) - 1)).sqrt()
        kept = axes / spread.sqrt()
        self.share = float(spread.sum() / products.trace())
        self.register_buffer("mean", mean)
        self.register_buffer("directions", kept.to(rows.dtype))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(n, k)`` of images ``(n, *event)``."""
        return (images.flatten(1) - self.mean) @ self.directions


def _largest(symmetric: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest eigenvalues, in descending order, and their vectors in columns."""
    from scipy.linalg import eigh

    n = len(symmetric)
    values, vectors = eigh(symmetric.cpu().numpy(), subset_by_index=(n - k, n - 1))
    return (
        torch.from_numpy(values[::-1].copy()).to(symmetric),
        torch.from_numpy(vectors[:, ::-1].copy()).to(symmetric),
    )
