"""Many small minimisations in a box at once: L-BFGS, projected, with an L1 term."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["minimise"]

_SUFFICIENT = 1e-4
_FIRST_MOVE = 0.25
_SMALLEST_STEP = 1e-7
_DROP_EVERY = 4


def minimise(
    function: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    start: Tensor,
    centre: Tensor,
    l1: float = 0.0,
    *,
    evaluations: int | Tensor = 60,
    memory: int = 4,
    tolerance: float = 1e-4,
) -> Tensor:
    """Minimise `f_q(x) + l1 sum |x - centre_q|` over x in [0, 1]^d, for every q at once.

    Each row keeps its own step, curvature and line search; every evaluation serves all rows
    that are still at work, and rows that have converged drop out. Variables at a bound, or at
    the kink of their L1 term, are held there as long as the gradient says so.

    Args:
        function: Values `(m,)` and gradients `(m, d)` of the smooth part at points `(m, d)`,
            for the rows `(m,)` of the problem that are asked for.
        start: First points `(n, d)`.
        centre: Where the L1 terms are zero, `(n, d)`.
        l1: Weight of the L1 term.
        evaluations: Largest number of evaluations; or one for each row, `(n,)`.
        memory: Number of curvature pairs.
        tolerance: A row stops where two successive steps gain less than this.

    Returns:
        Points `(n, d)`, in no row worse than the first ones.

    Source: Liu and Nocedal (1989); Bertsekas (1982) for the bounds; Andrew and Gao (2007),
    OWL-QN, for the L1 term.

    Example:
        >>> middle = torch.tensor([[0.2, 0.9], [0.5, 1.7]])
        >>> def square(x, rows):
        ...     return (x - middle[rows]).square().sum(-1), 2 * (x - middle[rows])
        >>> minimise(square, torch.zeros(2, 2), torch.zeros(2, 2), l1=0.2)
        tensor([[0.1000, 0.8000],
                [0.4000, 1.0000]])
    """
    found = start.clone()
    rows = torch.arange(len(start), device=start.device)
    x = start.clone()
    smooth, g = function(x, rows)
    f = smooth + l1 * (x - centre).abs().sum(-1)
    pairs = x.new_zeros(len(x), 2 * memory, x.shape[1])  # moves, then bends
    known = torch.zeros(len(x), memory, dtype=torch.bool, device=x.device)
    step = torch.ones_like(f)
    idle = torch.zeros_like(rows)
    budgets = torch.as_tensor(evaluations, device=start.device).expand(len(start))
    for k in range(int(budgets.max()) - 1):
        slope = _steepest(x, g, centre, l1)
        d = -_two_loops(pairs, slope, known, k % memory) if k else -slope
        d = torch.where(d * slope < 0, d, 0.0)
        rate = _FIRST_MOVE / d.abs().amax(-1).clamp(min=1e-30)
        rate = step * torch.where(known.any(1), 1.0, rate)
        trial = _projected(torch.addcmul(x, rate[:, None], d), x, slope, centre, l1)
        moved = trial - x
        f_trial, g_trial = function(trial, rows)
        if l1:
            f_trial = f_trial + l1 * (trial - centre).abs().sum(-1)
        expected = (slope * moved).sum(-1)
        good = f_trial <= f + _SUFFICIENT * expected
        good &= expected < 0

        bend = g_trial - g
        curvature = (moved * bend).sum(-1)
        useful = good & (curvature > 1e-10 * bend.square().sum(-1)) & (curvature > 1e-20)
        pairs[:, k % memory], pairs[:, memory + k % memory] = moved, bend
        known[:, k % memory] = useful

        excess = (f_trial - f - expected).clamp(min=1e-30)
        shorter = step * (-expected / (2 * excess)).clamp(0.1, 0.5)
        idle = torch.where(good, torch.where(f - f_trial < tolerance, idle + 1, 0), idle)
        x = torch.where(good[:, None], trial, x)
        g = torch.where(good[:, None], g_trial, g)
        f = torch.where(good, f_trial, f)
        step = torch.where(good, 1.0, shorter)
        stay = budgets[rows] > k + 2
        if k % _DROP_EVERY == _DROP_EVERY - 1:
            stay &= (idle < 2) & (step > _SMALLEST_STEP) & (expected < 0)
        if not stay.all():
            found[rows] = x
            rows, x, g, f = rows[stay], x[stay], g[stay], f[stay]
            step, idle, centre = step[stay], idle[stay], centre[stay]
            pairs, known = pairs[stay], known[stay]
        if not len(rows):
            return found
    found[rows] = x
    return found


def _steepest(x: Tensor, g: Tensor, centre: Tensor, l1: float) -> Tensor:
    """The gradient, 0 where a bound or the kink holds a variable."""
    if l1:
        away = torch.sign(x - centre)
        kink = torch.sign(g) * (g.abs() - l1).clamp(min=0)
        g = torch.where(away == 0, kink, g + l1 * away)
    held = ((x <= 0) & (g > 0)) | ((x >= 1) & (g < 0))
    return torch.where(held, 0.0, g)


def _projected(trial: Tensor, x: Tensor, slope: Tensor, centre: Tensor, l1: float) -> Tensor:
    trial = trial.clamp(0, 1)
    if not l1:
        return trial
    away = torch.sign(x - centre)
    side = torch.where(away == 0, -torch.sign(slope), away)
    return torch.where(torch.sign(trial - centre) == side, trial, centre)


def _two_loops(pairs: Tensor, slope: Tensor, known: Tensor, newest: int) -> Tensor:
    """Inverse Hessian times gradient, by the two-loop recursion on inner products.

    All products of moves, bends and gradient are taken at once; the recursion then works on the
    coefficients of the result.

    Args:
        pairs: Moves, then bends, `(n, 2 memory, d)`.
        slope: Gradients `(n, d)`.
        known: Which pairs count, `(n, memory)`.
        newest: The slot to be written next, which holds the oldest pair.

    Source: Chen, Wang and Zhou (2014), Large-scale L-BFGS using MapReduce, algorithm 3.
    """
    memory = known.shape[1]
    basis = torch.cat([pairs, slope[:, None]], 1)
    products = basis @ pairs.mT  # (n, 2 memory + 1, 2 memory)
    moves = range(memory)
    inverse = {
        k: torch.where(known[:, k], 1 / products[:, k, memory + k].clamp(min=1e-30), 0.0)
        for k in moves
    }
    order = [(newest + k) % memory for k in moves]  # from the oldest on
    coefficients = slope.new_zeros(len(slope), 2 * memory + 1)
    coefficients[:, -1] = 1.0
    weights = {}
    for k in reversed(order):
        weights[k] = inverse[k] * (coefficients * products[:, :, k]).sum(-1)
        coefficients[:, memory + k] -= weights[k]
    scale = torch.ones_like(inverse[0])
    for k in order:
        bend = products[:, memory + k, memory + k].clamp(min=1e-30)
        scale = torch.where(known[:, k], products[:, k, memory + k] / bend, scale)
    coefficients *= scale[:, None]
    for k in order:
        again = inverse[k] * (coefficients * products[:, :, memory + k]).sum(-1)
        coefficients[:, k] += weights[k] - again
    return (coefficients[:, None] @ basis).squeeze(1)
