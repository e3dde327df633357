"""Are nuisances independent of the label? A permutation test on what was generated."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from scm.errors import InterventionError

__all__ = ["Independence", "independence"]


@dataclass(frozen=True)
class Independence:
    """What a permutation test of independence found.

    Attributes:
        statistic: HSIC of nuisances and labels.
        null: Its mean under permutation.
        p_value: `(1 + permutations with as much or more) / (1 + permutations)`.
        permutations: How many.

    Example:
        >>> labels = torch.arange(60) % 2
        >>> independence(labels + 0.0, labels, permutations=99)
        Independence(statistic=..., null=..., p_value=0.01, permutations=99)
    """

    statistic: float
    null: float
    p_value: float
    permutations: int


def independence(
    nuisances: Tensor, labels: Tensor, *, permutations: int = 999, seed: int = 0
) -> Independence:
    r"""Test whether nuisances are independent of labels, by HSIC and permutation.

    :math:`\mathrm{HSIC} = n^{-2} \mathrm{tr}(K H L H)`, with a Gaussian kernel of the median
    distance on the standardised nuisances (of rank 200 at most), and `L_{ij} = 1` where the
    labels agree. Labels are permuted: under independence the p-value is valid for every n.

    Args:
        nuisances: `(n,)` or `(n, k)`.
        labels: Classes `(n,)`.
        permutations: How many.
        seed: Seed of the permutations.

    Raises:
        InterventionError: If they do not match, or do not vary.

    Source: Gretton et al. (2008), section 3, for the statistic.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> y, z = torch.arange(200) % 2, torch.randn(200, generator=g)
        >>> independence(z, y).p_value > 0.05, independence(z * (1 + y), y).p_value
        (True, 0.001)
    """
    z = nuisances[:, None] if nuisances.ndim == 1 else nuisances
    n = len(z)
    if z.ndim != 2 or labels.shape != (n,) or n < 4 or permutations < 1:
        raise InterventionError(
            f"nuisances {tuple(nuisances.shape)}, labels {tuple(labels.shape)} and "
            f"permutations={permutations} were given; expected (n, k), (n,) with n of at least 4, "
            "and 1 or more"
        )
    z = z.double()
    if labels.unique().numel() < 2 or not bool(torch.isfinite(z).all()):
        raise InterventionError("a test needs two classes or more, and finite nuisances")
    spread = z.std(0)
    z = (z - z.mean(0))[:, spread > 1e-9] / spread[spread > 1e-9]
    if not z.shape[1]:
        raise InterventionError("the nuisances do not vary, so there is nothing to test")
    factor = _factor(z)
    factor = factor - factor.mean(0)
    onehot = F.one_hot(labels.long()).to(factor).T
    chance = torch.Generator().manual_seed(seed)
    orders = [torch.arange(n)] + [torch.randperm(n, generator=chance) for _ in range(permutations)]
    values = torch.stack([(onehot @ factor[rows]).square().sum() / n**2 for rows in orders])
    own, null = values[0], values[1:]
    more = int((null >= own * (1 - 1e-12)).sum())
    p = (1 + more) / (1 + permutations)
    return Independence(float(own), float(null.mean()), p, permutations)


def _factor(z: Tensor, rank: int = 200, tolerance: float = 1e-3) -> Tensor:
    """`(n, r)` whose Gram matrix is the Gaussian kernel of rows, by pivoted Cholesky steps.

    It ends where no diagonal is off by more than the tolerance, or at the rank.
    """
    far = torch.pdist(z[:: max(1, len(z) // 1000)]).square()
    width = far[far > 0].median()
    left = torch.ones(len(z)).to(z)
    columns: list[Tensor] = []
    while len(columns) < rank and float(left.max()) > tolerance:
        pivot = int(left.argmax())
        column = (-(z - z[pivot]).square().sum(1) / width).exp()
        for other in columns:
            column = column - other * other[pivot]
        column = column / left[pivot].sqrt()
        columns.append(column)
        left = (left - column.square()).clamp_min(0)
    return torch.stack(columns, 1)
