"""Logistic heads: one fit to the optimum, and thousands of permuted refits at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scm.errors import ScmError
from scm.progress import progress_bar

__all__ = ["fit_logistic", "permutation_refits", "permuted"]

_ELEMENTS = 1 << 19  # rows x permutations at once: what stays in a processor's cache


def fit_logistic(
    features: Tensor, labels: Tensor, C: float = 1.0, steps: int = 100
) -> tuple[Tensor, Tensor]:
    r"""Weights and bias of :math:`\min \sum_i \log(1 + e^{-y_i u_i}) + |w|^2 / 2C`, by Newton.

    Here :math:`u = w \cdot x + b` and y is -1 or 1; the bias is not penalised. The objective is
    scikit-learn's.

    Args:
        features: Numbers `(n, d)`.
        labels: 0 or 1, or shares of 1 between them, `(n,)`.
        C: Inverse strength of the penalty.
        steps: Newton steps at most.

    Returns:
        Weights `(d,)` and bias `()`, in the dtype of the features.

    Raises:
        ScmError: If a class is empty, or the penalty not positive.

    Example:
        >>> x = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]])
        >>> weights, bias = fit_logistic(x, torch.tensor([0, 0, 1, 1]))
        >>> weights, bias.abs() < 1e-6
        (tensor([1.0066]), tensor(True))
    """
    x, y, penalty = _problem(features, labels, C)
    w = x.new_zeros(x.shape[1])
    w[-1] = torch.logit(y.mean())
    value = _objective(x, y, w, penalty)
    for _ in range(steps):
        p = (x @ w).sigmoid()
        gradient = x.T @ (p - y) + penalty * w
        hessian = (x * (p * (1 - p)).unsqueeze(1)).T @ x + torch.diag(penalty)
        step = torch.linalg.solve(hessian, gradient)
        for halving in range(30):
            trial = w - step / 2**halving
            least = _objective(x, y, trial, penalty)
            if least <= value:
                break
        change, w, value = (trial - w).norm(), trial, least
        if change <= 1e-9 * (1 + w.norm()):
            break
    return w[:-1].to(features), w[-1].to(features)


def permutation_refits(
    features: Tensor,
    labels: Tensor,
    permutations: int = 1000,
    C: float = 1.0,
    *,
    tolerance: float = 1e-2,
    steps: int = 12,
    seed: int = 0,
    progress: bool = True,
) -> tuple[Tensor, Tensor]:
    r"""Weights of logistic heads refitted to permuted labels, all by one shared Hessian.

    Under permutation the weights are near zero, so that
    :math:`H = \bar p (1 - \bar p) X^\top X + I/C` serves every refit: one Cholesky factor, then
    `W <- W - H^{-1} gradient` is a matrix product for all permutations at once. Steps go on until
    the last one was below ``tolerance`` of the weights. Not valid for the head of the observed
    labels, whose weights are far from zero.

    Args:
        features: Numbers `(n, d)`.
        labels: 0 or 1, `(n,)`.
        permutations: How many refits.
        C: Inverse strength of the penalty, as in `fit_logistic`.
        tolerance: Largest step, relative to the weights, that is left out.
        steps: Steps at most.
        seed: Seed of the permutations; see `permuted`.
        progress: Show a progress bar, on a terminal or in a notebook.

    Returns:
        Weights `(permutations, d)` and biases `(permutations,)`.

    Raises:
        ScmError: If a class is empty, the penalty is not positive, or the refits do not converge,
            as where there are few rows for the number of features.

    Source: CAGE, section 3.3, "a null distribution for treatment effects".

    Example:
        >>> x = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
        >>> weights, biases = permutation_refits(x, x[:, 0] > 0, 50)
        >>> weights.shape, bool(weights.norm(dim=1).max() < 1)
        (torch.Size([50, 3]), True)
    """
    x, y, penalty = _problem(features, labels, C)
    mean = y.mean()
    curvature = mean * (1 - mean)
    factor = torch.linalg.cholesky(curvature * (x.T @ x) + torch.diag(penalty))
    x, ridge = x.to(features.dtype), penalty.to(features.dtype).unsqueeze(1)
    solve = torch.cholesky_inverse(factor).to(x)
    size = max(1, min(permutations, _ELEMENTS // len(x)))
    orders = permuted(len(x), permutations, seed)
    found = []
    with progress_bar("refits", math.ceil(permutations / size), "blocks", progress) as advance:
        for rows in orders.split(size):
            labelled = y.to(x)[rows.to(x.device)].T  # (n, block)
            start = x.new_zeros(x.shape[1], 1)
            start[-1] = torch.logit(mean).to(x)
            found.append(_descend(x, labelled, start, ridge, solve, float(mean), tolerance, steps))
            advance()
    weights = torch.cat(found, 1).T
    return weights[:, :-1].contiguous(), weights[:, -1].contiguous()


def permuted(n: int, permutations: int, seed: int = 0) -> Tensor:
    """Random orders of n rows, `(permutations, n)`, from one generator."""
    source = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(n, generator=source) for _ in range(permutations)])


def _descend(
    x: Tensor,
    y: Tensor,
    start: Tensor,
    ridge: Tensor,
    solve: Tensor,
    mean: float,
    tolerance: float,
    steps: int,
) -> Tensor:
    """Chord steps from weights zero, where the gradient needs no product with them."""
    last = solve @ (x.T @ (y - mean))
    w = start + last
    for _ in range(steps):
        residual = torch.sigmoid_(x @ w).sub_(y)
        last = solve @ torch.addcmul(x.T @ residual, ridge, w)
        w = w - last
        if (last.norm(dim=0) / (w - start).norm(dim=0).clamp_min(1e-12)).max() < tolerance:
            return w
    raise ScmError(
        f"the refits of {y.shape[1]} permutations did not settle in {steps} steps: {len(x)} rows "
        f"are few for {x.shape[1] - 1} features; give more rows or a stronger penalty (smaller C)"
    )


def _problem(features: Tensor, labels: Tensor, C: float) -> tuple[Tensor, Tensor, Tensor]:
    x, y = features.flatten(1).double(), labels.double()
    if not C > 0 or len(x) != len(y) or not 0 < float(y.mean()) < 1:
        raise ScmError(
            f"features {tuple(features.shape)}, labels {tuple(labels.shape)} of mean "
            f"{float(y.mean()):.3g} and C={C} were given; expected rows that match, both classes "
            "0 and 1, and a positive C"
        )
    x = torch.cat([x, x.new_ones(len(x), 1)], 1)
    penalty = x.new_full((x.shape[1],), 1 / C)
    penalty[-1] = 0
    return x, y, penalty


def _objective(x: Tensor, y: Tensor, w: Tensor, penalty: Tensor) -> Tensor:
    u = x @ w
    return (torch.nn.functional.softplus(u) - y * u).sum() + 0.5 * (penalty * w * w).sum()
