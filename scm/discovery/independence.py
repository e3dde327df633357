r"""Tests of independence by permutation: HSIC for numbers, chi-square for categories.

Both statistics are :math:`T(\pi) = \| A^\top B_\pi \|_F^2` of centred features A of x and B of y,
so that a permutation costs one small matrix product. For HSIC they are those of a Gaussian
kernel (a pivoted Cholesky factor, whose columns die out fast in one dimension); for chi-square
the indicators of the levels, each over the square root of its count.

Permutations come one after the other and stop early where x and y look independent: with h
statistics at least as large as the observed one after l of them, p = h / l; else, after all N
with g such, p = (1 + g) / (1 + N). Both are valid: P(p <= a) <= a under independence, at any n.

Source: Gretton et al. (2008), A kernel statistical test of independence; Besag and Clifford
(1991), Sequential Monte Carlo p-values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scm.errors import ScmError

__all__ = ["IndependenceTest", "chi_square_test", "hsic_gamma", "hsic_test"]

_RANK, _LEFT = 32, 1e-4  # columns of a kernel's factor at most; largest diagonal left out
_SMALL = 1e-3  # eigenvalues below this share of the trace are left out
_CHUNK, _LARGEST = 64, 256  # permutations between two looks: at first, and at most
_ELEMENTS = 2**24  # numbers held at once
_TIE = 1e-5  # relative rounding of a statistic in single precision
_TERMS = 200  # of a continued fraction


@dataclass(frozen=True)
class IndependenceTest:
    """What a permutation test found, for one pair or a batch of them.

    Attributes:
        statistic: HSIC (biased, over n^2) or chi-square, `[*pairs]`, float64.
        p: Probability, under independence, of a statistic as large, `[*pairs]`.
        permutations: How many were drawn, `[*pairs]`.

    Example:
        >>> x = torch.linspace(-1, 1, 60)
        >>> test = hsic_test(x, x**2, permutations=199)
        >>> bool(test.p < 0.05)
        True
    """

    statistic: Tensor
    p: Tensor
    permutations: Tensor


def hsic_test(
    x: Any,
    y: Any,
    *,
    permutations: int = 1_000,
    stop_after: int | None = 20,
    seed: int = 0,
) -> IndependenceTest:
    r"""Test whether two numbers are independent: :math:`\mathrm{tr}(K H L H) / n^2` permuted.

    K and L are Gaussian kernels, each of the median distance. The null hypothesis is that rows of
    x and y are independent, and exchangeable.

    Args:
        x: Numbers `[*pairs, n]`.
        y: Numbers `[*pairs, n]`.
        permutations: Largest number of permutations; the same for all pairs.
        stop_after: Stop a pair after so many statistics at least as large; None to draw all.
        seed: Seed of the permutations.

    Raises:
        ScmError: If the shapes differ, there are fewer than 5 rows, a number is not finite, or
            something is constant.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> x, e = torch.randn(2, 500, generator=generator)
        >>> found = hsic_test(torch.stack([x, x]), torch.stack([x**2 + e, e]))
        >>> found.p < 0.01
        tensor([ True, False])
    """
    x, y = _numbers("x", x), _numbers("y", y)
    _require_same(x, y)
    shape, n = x.shape[:-1], x.shape[-1]
    a, b = (kernel_features(each.reshape(-1, n)) for each in (x, y))
    return _permute(a, b, 1 / n**2, shape, permutations, stop_after, seed)


def chi_square_test(
    x: Any,
    y: Any,
    *,
    permutations: int = 1_000,
    stop_after: int | None = 20,
    seed: int = 0,
) -> IndependenceTest:
    r"""Test whether two categories are independent: :math:`\sum (O - E)^2 / E` permuted.

    Args:
        x: Codes `[*pairs, n]`, integers or truth values.
        y: Codes `[*pairs, n]`.
        permutations: Largest number of permutations; the same for all pairs.
        stop_after: Stop a pair after so many statistics at least as large; None to draw all.
        seed: Seed of the permutations.

    Raises:
        ScmError: If these are no codes, the shapes differ, there are fewer than 5 rows, or
            something is constant.

    Example:
        >>> x = torch.arange(200) % 2
        >>> chi_square_test(x, 1 - x).statistic
        tensor(200.0000, dtype=torch.float64)
    """
    x, y = _codes("x", x), _codes("y", y)
    _require_same(x, y)
    shape, n = x.shape[:-1], x.shape[-1]
    a, b = (_level_features(each.reshape(-1, n)) for each in (x, y))
    return _permute(a, b, n, shape, permutations, stop_after, seed)


def hsic_gamma(x: Any, y: Any) -> Tensor:
    r"""Log of HSIC's p-value `[*pairs]` by a gamma law of its mean and variance, without draws.

    It orders dependences that are beyond any number of permutations. As a test it is
    anti-conservative (8 to 10% at 5%): `hsic_test` keeps its level.

    Args:
        x: Numbers `[*pairs, n]`, n >= 6.
        y: Numbers `[*pairs, n]`.

    Raises:
        ScmError: As `hsic_test`.

    Source: Gretton et al. (2008), equations 4 to 9.

    Example:
        >>> x, e = torch.randn(2, 500, generator=torch.Generator().manual_seed(0))
        >>> hsic_gamma(torch.stack([x, x]), torch.stack([x**2 + e, e])).exp() < 0.01
        tensor([ True, False])
    """
    x, y = _numbers("x", x), _numbers("y", y)
    _require_same(x, y)
    shape, n = x.shape[:-1], x.shape[-1]
    a, b = (kernel_features(each.reshape(-1, n)) for each in (x, y))
    observed = (a.mT @ b).square().sum((-1, -2)) / n
    mean = a.square().sum((-1, -2)) * b.square().sum((-1, -2)) / (n - 1) ** 2
    squares = torch.stack([_off_diagonal(c, d) for c, d in zip(a, b, strict=True)])
    variance = 2 * (n - 4) * (n - 5) / ((n - 2) * (n - 3)) * squares / (n - 1) ** 2
    return _log_gamma_tail(mean**2 / variance, observed * mean / variance).reshape(shape)


def _off_diagonal(a: Tensor, b: Tensor) -> Tensor:
    """Sum of `(a_i . a_j)^2 (b_i . b_j)^2` over i != j, of features `[n, *]`."""
    total = a.new_zeros(())
    for c, d in zip(a.split(_LARGEST), b.split(_LARGEST), strict=True):
        total = total + ((c @ a.T) * (d @ b.T)).square().sum()
    return total - (a.square().sum(1) * b.square().sum(1)).square().sum()


def _log_gamma_tail(shape: Tensor, x: Tensor) -> Tensor:
    """Log of the chance that a gamma variable of unit scale exceeds x, however small."""
    fraction = x + 2 * _TERMS + 1 - shape
    for k in range(_TERMS, 0, -1):
        fraction = x + 2 * k - 1 - shape - k * (k - shape) / fraction
    far = shape * x.log() - x - torch.lgamma(shape) - fraction.log()
    return torch.where(x > shape + 1, far, torch.special.gammaincc(shape, x).log())


def kernel_features(x: Tensor) -> Tensor:
    """Centred features `[pairs, n, rank]` of the Gaussian kernel of `[pairs, n]`, float64."""
    factor, _ = gaussian_factor(x, median_distance(x), _RANK, _LEFT)
    factor = factor - factor.mean(-2, keepdim=True)
    values, vectors = torch.linalg.eigh(factor.mT @ factor)
    kept = values > _SMALL * values.sum(-1, keepdim=True)
    most = int(kept.sum(-1).max())
    features: Tensor = (factor @ (vectors * kept[:, None]))[..., -most:]
    return features


def gaussian_factor(x: Tensor, width: Tensor, rank: int, left: float) -> tuple[Tensor, Tensor]:
    r"""Factor :math:`\exp(-(x_i - x_j)^2 / 2 w^2) \approx F F^\top` by pivoted Cholesky.

    Args:
        x: Numbers `[pairs, n]`.
        width: w, `[pairs]`.
        rank: Largest number of columns.
        left: Stop where no diagonal element of what is left out is larger.

    Returns:
        F `[pairs, n, rank]` and the pivots `[pairs, rank]`. A pair that is done before the
        others has columns of zeros.
    """
    rows = torch.arange(len(x), device=x.device)
    diagonal = torch.ones_like(x)
    most = min(rank, x.shape[-1])
    columns = x.new_empty(len(x), most, x.shape[-1])
    pivots: list[Tensor] = []
    for k in range(most):
        value, pivot = diagonal.max(-1)
        if not (value > left).any():
            break
        column = torch.exp(-0.5 * ((x - x[rows, pivot, None]) / width[:, None]) ** 2)
        before = columns[:, :k]
        column = column - torch.einsum("pkn,pk->pn", before, before[rows, :, pivot])
        column = column / value.clamp(min=left).sqrt()[:, None]
        columns[:, k] = column = torch.where((value > left)[:, None], column, 0.0)
        diagonal = (diagonal - column**2).clamp(min=0)
        diagonal[rows, pivot] = 0.0
        pivots.append(pivot)
    return columns[:, : len(pivots)].mT, torch.stack(pivots, -1)


def median_distance(x: Tensor) -> Tensor:
    """Median of |x_i - x_j| over at most 500 of the rows, `[pairs]`; their sd where it is 0."""
    few = x[:, :: max(1, x.shape[-1] // 500)]
    k = few.shape[-1]
    above = torch.triu_indices(k, k, 1, device=x.device)
    median = (few[:, above[0]] - few[:, above[1]]).abs().median(-1).values
    return torch.where(median > 0, median, x.std(-1))


def _level_features(x: Tensor) -> Tensor:
    _, codes = torch.unique(x, return_inverse=True)
    hot = torch.nn.functional.one_hot(codes).double()
    hot = hot / hot.sum(-2, keepdim=True).clamp(min=1).sqrt()
    return hot - hot.mean(-2, keepdim=True)


def _permute(
    a: Tensor,
    b: Tensor,
    scale: float,
    shape: torch.Size,
    permutations: int,
    stop_after: int | None,
    seed: int,
) -> IndependenceTest:
    """Test `scale * |a' b|^2` of features `[pairs, n, *]` against permutations of b's rows."""
    if permutations < 1 or (stop_after is not None and stop_after < 1):
        raise ScmError(
            f"permutations={permutations} and stop_after={stop_after} were given; expected "
            "positive numbers (stop_after may be None)"
        )
    pairs, n = len(a), a.shape[-2]
    exact = scale * (a.mT @ b).square().sum((-1, -2))
    a, b = a.float(), b.float()
    seen = (a.mT @ b).square().sum((-1, -2)) * (1 - _TIE)
    p = torch.ones(pairs, dtype=torch.float64, device=a.device)
    drawn = torch.full((pairs,), permutations, device=a.device)
    hits = torch.zeros(pairs, dtype=torch.int64, device=a.device)
    open_ = torch.arange(pairs, device=a.device)
    generator = torch.Generator().manual_seed(seed)
    done, chunk = 0, _CHUNK
    while done < permutations and len(open_):
        size = min(chunk, permutations - done)
        orders = torch.stack([torch.randperm(n, generator=generator) for _ in range(size)], 1)
        larger = _statistics(a, b, open_, orders.to(a.device)) >= seen[open_, None]
        count = hits[open_, None] + larger.cumsum(-1)
        hits[open_], done, chunk = count[:, -1], done + size, min(2 * chunk, _LARGEST)
        if stop_after is not None:
            over = count[:, -1] >= stop_after
            when = (count[over] >= stop_after).int().argmax(-1) + 1 + done - size
            drawn[open_[over]] = when
            p[open_[over]] = stop_after / when.double()
            open_ = open_[~over]
    p[open_] = (1 + hits[open_].double()) / (1 + permutations)
    return IndependenceTest(exact.reshape(shape), p.reshape(shape), drawn.reshape(shape))


def _statistics(a: Tensor, b: Tensor, rows: Tensor, orders: Tensor) -> Tensor:
    """`|a' b_order|^2` for pairs `rows` and orders `[n, orders]`: `[rows, orders]`."""
    n, size = orders.shape
    at_once = max(1, _ELEMENTS // (n * size * b.shape[-1]))
    found = []
    for some in rows.split(at_once):
        permuted = b[some].index_select(1, orders.flatten()).reshape(len(some), n, -1)
        products = a[some].mT @ permuted
        found.append(products.reshape(len(some), -1, size, b.shape[-1]).square().sum((1, 3)))
    return torch.cat(found)


def _numbers(name: str, given: Any) -> Tensor:
    x = torch.as_tensor(given).double()
    if x.ndim < 1 or x.shape[-1] < 5 or not torch.isfinite(x).all():
        raise ScmError(
            f"{name} of shape {tuple(x.shape)} was given; expected finite numbers [*pairs, n] of "
            "n >= 5 rows"
        )
    _require_varied(name, x)
    return x


def _codes(name: str, given: Any) -> Tensor:
    x = torch.as_tensor(given)
    if x.is_floating_point() or x.is_complex() or x.ndim < 1 or x.shape[-1] < 5:
        raise ScmError(
            f"{name} of shape {tuple(x.shape)} and {x.dtype} was given; expected codes [*pairs, n] "
            "of n >= 5 rows, integers or truth values (hsic_test takes numbers)"
        )
    _require_varied(name, x)
    return x


def _require_varied(name: str, x: Tensor) -> None:
    if (x == x[..., :1]).all(-1).any():
        raise ScmError(
            f"{name} is constant, so nothing can be said of its dependence; leave it out"
        )


def _require_same(x: Tensor, y: Tensor) -> None:
    if x.shape != y.shape:
        raise ScmError(
            f"x of shape {tuple(x.shape)} and y of shape {tuple(y.shape)} were given; expected one "
            "shape, [*pairs, n]"
        )
