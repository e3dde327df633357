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
        self._scaled = self._first = self._inputs = self._products = torch.empty(0)

    def update(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take in batches of inputs `(n, width)` and features `(n, features)`.

        Raises:
            InterventionError: If features are not finite.
        """
        for inputs, features in batches:
            if self.n == 0:
                self.mean = self._first = features.mean(0)
                self._scaled = features[:0]
                self._inputs = torch.zeros_like(inputs[0])
                self._products = torch.zeros_like(inputs[0].outer(features[0]))
            self._inputs += inputs.sum(0)
            self._products.addmm_(inputs.T, features - self._first)
            for rows in features.split(2 * self.k):  # the least work for each sample
                self._take(rows)
        moved = torch.outer(self._inputs, self.mean - self._first)
        self.cross = (self._products - moved) / max(self.n - 1, 1)
        self.spread = self._scaled.norm(dim=1) / max(self.n - 1, 1) ** 0.5

    def _take(self, features: Tensor) -> None:
        m, mean = len(features), features.mean(0)
        if not torch.isfinite(mean).all():
            raise InterventionError(
                "features of the layer are NaN or infinite; PCA needs finite ones"
            )
        shift, whole = mean - self.mean, self.n + m
        row = (self.n * m / whole) ** 0.5 * shift
        rows = torch.cat([self._scaled, features - mean, row[None]])
        self.mean = self.mean + shift * (m / whole)
        self.n = whole
        self.basis, spread = _leading(rows, self.k)
        self._scaled = self.basis * spread[:, None]


def _leading(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k leading right singular vectors `(k, features)` and singular values."""
    if rows.shape[1] < 4 * len(rows):
        _, values, vectors = torch.linalg.svd(rows.double(), full_matrices=False)
        return vectors[:k].to(rows), values[:k].to(rows)
    squares, vectors = torch.linalg.eigh((rows @ rows.T).double())
    values = squares.flip(0)[:k].clamp_min(0).sqrt().to(rows)
    found = (vectors.T.flip(0)[:k].to(rows) @ rows) / values.clamp_min(1e-12)[:, None]
    return found, values
