"""Principal components of batches that pass by once."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from scm.errors import InterventionError

__all__ = ["IncrementalPCA"]


class IncrementalPCA:
    """Incremental PCA, with the covariance of the features and what made them.

    The k components so far, times their singular values, are stacked with the centred batch and
    a row that accounts for the change of the mean; the k leading right singular vectors of that
    are the components from then on. Exact while the data have rank k or less.

    Args:
        k: Number of components that are kept.

    Attributes:
        basis: Components `(k, features)`, orthonormal.
        spread: Standard deviation along each, `(k,)`.
        mean: Mean of the features.
        cross: Covariance `(inputs, features)` of the inputs with the features.

    Source: Ross et al. (2008), section 3.1 (the algorithm SKL, with the sample mean).

    Example:
        >>> x = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
        >>> pca = IncrementalPCA(6)
        >>> pca.update((part, part) for part in x.split(50))
        >>> torch.allclose(pca.spread.square(), torch.linalg.eigvalsh(x.T.cov()).flip(0))
        True
    """

    def __init__(self, k: int) -> None:
        if k < 1:
            raise InterventionError(f"k={k} components were asked for; expected 1 or more")
        self.k, self.n = k, 0
        self.basis = self.spread = self.mean = self.cross = torch.empty(0)
        self._scaled = self._products = self._centre = torch.empty(0)

    def update(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take in batches of inputs `(n, width)` and features `(n, features)`.

        Raises:
            InterventionError: If features are not finite.
        """
        for inputs, features in batches:
            if not torch.isfinite(features).all():
                raise InterventionError(
                    "features of the layer are NaN or infinite; PCA needs finite ones"
                )
            self._take(inputs, features)
        self.cross = self._products / max(self.n - 1, 1)
        self.spread = self._scaled.norm(dim=1) / max(self.n - 1, 1) ** 0.5

    def _take(self, inputs: Tensor, features: Tensor) -> None:
        m, mean, centre = len(features), features.mean(0), inputs.mean(0)
        rows, away = features - mean, inputs - centre
        products = away.T @ rows
        if self.n == 0:
            self.mean, self._centre = mean, centre
            self._products = products
        else:
            weight = self.n * m / (self.n + m)
            shift, moved = mean - self.mean, centre - self._centre
            self._products = self._products + products + weight * torch.outer(moved, shift)
            rows = torch.cat([self._scaled, rows, weight**0.5 * shift[None]])
            self.mean = self.mean + shift * (m / (self.n + m))
            self._centre = self._centre + moved * (m / (self.n + m))
        self.n += m
        self.basis, spread = _leading(rows, self.k)
        self._scaled = self.basis * spread[:, None]


def _leading(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k leading right singular vectors `(k, features)` and singular values."""
    n, d = rows.shape
    if max(n, d) < 4 * min(n, d):
        _, values, vectors = torch.linalg.svd(rows, full_matrices=False)
        return vectors[:k], values[:k]
    if n >= d:
        squares, vectors = torch.linalg.eigh((rows.T @ rows).double())
        found = vectors.T.flip(0)[:k].to(rows)
        return found, squares.flip(0)[:k].clamp_min(0).sqrt().to(rows)
    squares, vectors = torch.linalg.eigh((rows @ rows.T).double())
    values = squares.flip(0)[:k].clamp_min(0).sqrt().to(rows)
    found = (vectors.T.flip(0)[:k].to(rows) @ rows) / values.clamp_min(1e-12)[:, None]
    return found, values
