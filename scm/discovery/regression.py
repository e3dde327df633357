r"""Regressions of one number on another, for many pairs at once: a spline, a Gaussian process.

Both choose their smoothness by themselves: the spline by generalised cross-validation, the
Gaussian process by its evidence. A fit is a function that predicts at new points.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scm.discovery.independence import gaussian_factor

__all__ = ["Predictor", "gaussian_process", "spline"]

Predictor = Callable[[Tensor], Tensor]

_KNOTS, _BLEND = 14, 1e-3  # share of evenly spread knots, which keeps ties apart
_PENALTIES = torch.logspace(-8, 2, 21, dtype=torch.float64)
_LENGTHS = torch.tensor([0.1, 0.2, 0.35, 0.6, 1.0, 1.8, 3.0], dtype=torch.float64)
_NOISES = torch.logspace(-4, 1.5, 23, dtype=torch.float64)
_RANK, _LEFT = 64, 1e-6
_RIDGE = 1e-9


def spline(x: Tensor, y: Tensor, knots: int = _KNOTS) -> Predictor:
    r"""Fit a natural cubic smoothing spline.

    .. math:: \min_f \tfrac{1}{n} \sum (y - f(x))^2 + \lambda \int f''^2

    The knots lie at quantiles of x, lambda minimises the generalised cross-validation score, and
    beyond the outer knots the fit goes on straight.

    Args:
        x: Numbers `[pairs, n]`, not constant.
        y: Numbers `[pairs, n]`.
        knots: Number of knots.

    Returns:
        A function of new points `[pairs, m]` to predictions `[pairs, m]`.

    Source: Wood (2017), Generalized Additive Models, section 5.3.1.

    Example:
        >>> x = torch.linspace(-3, 3, 400, dtype=torch.float64)[None]
        >>> bool((spline(x, x.sin())(x) - x.sin()).abs().max() < 0.01)
        True
    """
    centre, spread = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
    u, offset = (x - centre) / spread, y.mean(-1, keepdim=True)
    at = _knots(u, knots)
    curvature, penalty = _natural(at)
    design = _design(u, at, curvature)
    n = x.shape[-1]
    gram = design.mT @ design / n
    eye = torch.eye(knots, dtype=x.dtype, device=x.device)
    lower = torch.linalg.cholesky(gram + _RIDGE * eye + 1e-10 * penalty)
    half = torch.linalg.solve_triangular(lower, penalty, upper=False)
    middle = torch.linalg.solve_triangular(lower, half.mT, upper=False)
    bends, vectors = torch.linalg.eigh((middle + middle.mT) / 2)
    to_y = (design.mT @ (y - offset)[..., None])[..., 0] / n
    b = vectors.mT @ torch.linalg.solve_triangular(lower, to_y[..., None], upper=False)
    shrink = 1 / (1 + _PENALTIES.to(x.device) * bends.clamp(min=0)[..., None])  # [p, k, penalties]
    total = (y - offset).square().mean(-1)[:, None]
    left = total - 2 * (shrink * b**2).sum(1) + (shrink**2 * b**2).sum(1)
    score = left.clamp(min=1e-12 * total) / (1 - shrink.sum(1) / n) ** 2
    best = score.argmin(-1)
    chosen = shrink[torch.arange(len(x)), :, best][..., None]
    weights = torch.linalg.solve_triangular(lower.mT, vectors @ (chosen * b), upper=True)

    def predict(new: Tensor) -> Tensor:
        curve: Tensor = (_design((new - centre) / spread, at, curvature) @ weights)[..., 0]
        return curve + offset

    return predict


def gaussian_process(x: Tensor, y: Tensor) -> Predictor:
    r"""Fit a Gaussian process, :math:`y \sim N(\mu, s^2 (K_\ell + \nu I))`, by its evidence.

    The kernel is Gaussian in x, or in its low-rank form; length, noise and scale maximise the
    evidence over a grid (scale in closed form). Beyond the data the mean goes back to that of y.

    Args:
        x: Numbers `[pairs, n]`, not constant.
        y: Numbers `[pairs, n]`.

    Returns:
        A function of new points `[pairs, m]` to predictions `[pairs, m]`.

    Source: Rasmussen and Williams (2006), equation 5.8 and section 8.3.1.

    Example:
        >>> x = torch.linspace(-3, 3, 400, dtype=torch.float64)[None]
        >>> bool((gaussian_process(x, x.sin())(x) - x.sin()).abs().max() < 0.01)
        True
    """
    centre, spread = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
    u, offset = (x - centre) / spread, y.mean(-1, keepdim=True)
    n, rows = x.shape[-1], torch.arange(len(x), device=x.device)
    noises = _NOISES.to(x.device)
    total = (y - offset).square().sum(-1)[:, None]
    fits: list[tuple[Tensor, Tensor, Tensor]] = []  # for each length: evidence, places, weights
    for length in _LENGTHS.tolist():
        factor, pivots = gaussian_factor(u, torch.full_like(u[:, 0], length), _RANK, _LEFT)
        values, vectors = torch.linalg.eigh(factor.mT @ factor)
        values = values.clamp(min=0)[..., None]
        b = vectors.mT @ (factor.mT @ (y - offset)[..., None])
        shrunk = b / (values + noises)  # [pairs, rank, noises]
        left = (total - (b * shrunk).sum(1)).clamp(min=1e-12 * total) / noises
        log_det = torch.log1p(values / noises).sum(1) + n * noises.log()
        evidence, which = (-0.5 * (n * (left / n).log() + log_det)).max(-1)
        weights = vectors @ shrunk[rows, :, which][..., None]
        weights = _on_kernel(factor, pivots, weights)
        gap = (0, _RANK - pivots.shape[-1])
        pad = torch.nn.functional.pad
        fits.append((evidence, pad(u.gather(-1, pivots), gap), pad(weights, gap)))
    evidences, places, weights = (torch.stack(part) for part in zip(*fits, strict=True))
    best = evidences.argmax(0)
    places, weights = places[best, rows], weights[best, rows]
    lengths = _LENGTHS.to(x.device)[best][:, None, None]

    def predict(new: Tensor) -> Tensor:
        far = ((new - centre) / spread)[..., None] - places[:, None, :]
        kernel = torch.exp(-0.5 * (far / lengths) ** 2)
        return (kernel @ weights[..., None])[..., 0] + offset

    return predict


def _on_kernel(factor: Tensor, pivots: Tensor, weights: Tensor) -> Tensor:
    """Weights `[pairs, rank]` of the kernel at the pivots, from those of the factor's columns."""
    lower = factor.gather(1, pivots[..., None].expand(-1, -1, factor.shape[-1])).tril()
    used = lower.diagonal(dim1=-2, dim2=-1) > 0
    lower = lower + torch.diag_embed((~used).to(lower))
    found = torch.linalg.solve_triangular(lower.mT, weights, upper=True)[..., 0]
    return torch.where(used, found, 0.0)


def _knots(u: Tensor, knots: int) -> Tensor:
    """Quantiles of `[pairs, n]`, `[pairs, knots]`, drawn apart where they coincide."""
    at = torch.linspace(0, 1, knots, dtype=u.dtype, device=u.device)
    quantiles = torch.quantile(u, at, dim=-1).mT
    low, high = quantiles[:, :1], quantiles[:, -1:]
    return (1 - _BLEND) * quantiles + _BLEND * (low + (high - low) * at)


def _natural(at: Tensor) -> tuple[Tensor, Tensor]:
    """What maps values at the knots to second derivatives there, and the penalty's matrix."""
    gaps = at.diff(dim=-1)
    pairs, k = at.shape
    bends = at.new_zeros(pairs, k - 2, k)
    mass = at.new_zeros(pairs, k - 2, k - 2)
    inner = torch.arange(k - 2, device=at.device)
    bends[:, inner, inner] = 1 / gaps[:, :-1]
    bends[:, inner, inner + 1] = -1 / gaps[:, :-1] - 1 / gaps[:, 1:]
    bends[:, inner, inner + 2] = 1 / gaps[:, 1:]
    mass[:, inner, inner] = (gaps[:, :-1] + gaps[:, 1:]) / 3
    mass[:, inner[:-1], inner[1:]] = mass[:, inner[1:], inner[:-1]] = gaps[:, 1:-1] / 6
    solved = torch.linalg.solve(mass, bends)
    return torch.nn.functional.pad(solved, (0, 0, 1, 1)), bends.mT @ solved


def _design(u: Tensor, at: Tensor, curvature: Tensor) -> Tensor:
    """What maps values at the knots to those at u `[pairs, m]`: `[pairs, m, knots]`."""
    inside = torch.minimum(torch.maximum(u, at[:, :1]), at[:, -1:])
    k = at.shape[-1]
    cell = (torch.searchsorted(at.contiguous(), inside.contiguous()) - 1).clamp(0, k - 2)
    left, right = at.gather(-1, cell), at.gather(-1, cell + 1)
    gap, over = right - left, u - inside
    p, q = (right - inside) / gap, (inside - left) / gap
    slope = over / gap
    values = torch.nn.functional.one_hot(cell, k).to(u) * (p - slope)[..., None]
    values += torch.nn.functional.one_hot(cell + 1, k).to(u) * (q + slope)[..., None]
    first = (p**3 - p) * gap**2 / 6 - (3 * p**2 - 1) * gap * over / 6
    second = (q**3 - q) * gap**2 / 6 + (3 * q**2 - 1) * gap * over / 6
    wide = (len(u), u.shape[-1], k)
    below = curvature.gather(1, cell[..., None].expand(wide))
    above = curvature.gather(1, (cell + 1)[..., None].expand(wide))
    return values + first[..., None] * below + second[..., None] * above
