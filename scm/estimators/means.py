"""`Means`: average outcomes under several acts, estimated together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scm.errors import ScmError
from scm.estimate import Estimate

__all__ = ["Array", "Means", "exact"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Means:
    r"""Estimates of :math:`E[Y \mid do(x)]` for some values of x, and what their errors share.

    Attributes:
        values: The estimates, one a value; of shape ``(v,)``.
        rows: What each unit adds to them, ``(v, n)``; None where they are exact, or where
            ``replicates`` tell their spread.
        weights: How much each unit counts, ``(n,)``: the share of its draws that meet a
            condition; None where all count.
        replicates: The estimates in bootstrap samples, ``(b, v)``.
        n: Number of units; None where they are exact.
    """

    values: Array
    rows: Array | None = None
    weights: Array | None = None
    replicates: Array | None = None
    n: int | None = None

    @classmethod
    def of_rows(cls, rows: Array, weights: Array | None = None) -> Means:
        """Average rows ``(v, n)`` over units: `sum_i rows_i / sum_i weights_i`.

        Raises:
            ScmError: If a number is not finite.
        """
        if not np.isfinite(rows).all():
            raise ScmError(
                f"{int((~np.isfinite(rows)).sum())} of {rows.size} outcomes are NaN or infinite; "
                "an average needs finite ones: look for the mechanism that overflows"
            )
        total = rows.shape[1] if weights is None else weights.sum()
        n = rows.shape[1] if weights is None else int((weights > 0).sum())
        return cls(rows.sum(1) / total, rows, weights, n=n)

    def contrast(self, coefficients: Sequence[float]) -> Estimate:
        r"""Return :math:`\sum_v c_v \mu_v` with its standard error.

        Units are independent and appear in every mean, so the error is that of the difference
        within units. Where units are weighted, it is the one of a ratio of means.

        Example:
            >>> means = Means.of_rows(np.array([[1.0, 2.0, 6.0], [2.0, 3.0, 7.5]]))
            >>> print(means.contrast([-1, 1]))
            1.17 +- 0.17 (n = 3)
        """
        c = np.asarray(coefficients, dtype=np.float64)
        value = float(c @ self.values)
        if self.n is None:
            return exact(value)
        if self.replicates is not None:
            spread = (self.replicates @ c).std(ddof=1) if len(self.replicates) > 1 else np.nan
            return Estimate(value, float(spread), self.n)
        assert self.rows is not None
        rows = c @ self.rows
        if self.weights is None:
            return Estimate.mean(rows)
        off = rows - value * self.weights
        size = len(rows)
        spread = off.std(ddof=1) if self.n > 1 else np.nan
        return Estimate(value, float(spread / self.weights.mean() / np.sqrt(size)), self.n)


def exact(value: float) -> Estimate:
    """Return a number without error: computed from a law, not from units, so that `n` is None.

    Example:
        >>> print(exact(0.25))
        0.25 (exact)
    """
    return Estimate(value, 0.0, None)
