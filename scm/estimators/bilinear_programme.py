r"""Bounds on a product of unknown districts: a multilinear programme, relaxed to a linear one.

Where several confounded districts are not identified, the effect is
:math:`\sum_r c_r \prod_i p_i(r_i)`: not linear in :math:`p_1, \dots, p_k`, which are independent.
It is linear in their product :math:`p(r) = \prod_i p_i(r_i)`, of which these equations hold
(the reformulation-linearisation of Sherali and Adams 1990),

.. math:: \sum_{r_i \in \text{cell}} p(r) = b_{\text{cell}} \sum_{r_i} p(r)
    \quad \text{for every } i, \text{cell and } r_{-i},

and forgetting that :math:`p(r)` is a product gives valid outer bounds. Fixing all districts but
one leaves a linear programme, whose solution in turn improves the others: values that are
attained. Where the two meet, the bounds are sharp.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scm.errors import ScmError
from scm.estimators.linear_programme import Constraints, solve
from scm.estimators.source import Array

__all__ = ["MAX_PRODUCTS", "attained", "outer_bounds", "reduced"]

MAX_PRODUCTS = 2**13
"""The most combinations of response types of different districts."""

_ROUNDS = 20
_STARTS = 4


def reduced(
    objective: Array, constraints: Sequence[Constraints]
) -> tuple[Array, list[Constraints]]:
    """Keep one of types that no constraint and no objective tells apart.

    Args:
        objective: ``(*types of each district)``.
        constraints: those of each district.
    """
    kept = list(constraints)
    for axis, of in enumerate(constraints):
        front = np.moveaxis(objective, axis, 0).reshape(of.types, -1)
        key = np.hstack([of.cells.T.astype(np.float64), front.round(13)])
        first = np.sort(np.unique(key, axis=0, return_index=True)[1])
        possible = (of.probabilities[of.cells[:, first]] != 0).all(0)
        first = first[possible]
        objective = objective.take(first, axis)
        kept[axis] = Constraints(of.cells[:, first], of.probabilities)
    return objective, kept


def outer_bounds(objective: Array, constraints: Sequence[Constraints]) -> tuple[float, float]:
    """Return bounds that hold; arguments as in `reduced`.

    Raises:
        Infeasible: if nothing fits the constraints.
        ScmError: if there are too many combinations of types.
    """
    from scipy.sparse import csr_array, kron, vstack

    size = math.prod(objective.shape)
    if size > MAX_PRODUCTS:
        each = " x ".join(f"{n:,}" for n in objective.shape)
        raise ScmError(
            f"{objective.ndim} confounded districts multiply, with {each} response types that "
            f"matter: {size:,} combinations, and the most is {MAX_PRODUCTS:,}. Merge levels, or "
            "leave nodes that the effect does not need out of the graph (list them in latent=); "
            "natural_bounds needs no programme at all"
        )
    blocks = [csr_array(np.ones((1, size)))]
    for axis, of in enumerate(constraints):
        known = ~np.isnan(of.probabilities)
        rows = of.matrix[:-1][known].toarray() - of.probabilities[known, None]
        before, after = math.prod(objective.shape[:axis]), math.prod(objective.shape[axis + 1 :])
        ends = (csr_array(np.eye(before)), csr_array(np.eye(after)))
        blocks.append(csr_array(kron(kron(ends[0], csr_array(rows)), ends[1])))
    matrix = csr_array(vstack(blocks))
    targets = np.zeros(matrix.shape[0])
    targets[0] = 1.0
    cost = objective.ravel()
    return solve(matrix, targets, cost)[0], -solve(matrix, targets, -cost)[0]


def attained(
    objective: Array, constraints: Sequence[Constraints], sign: float, outer: float
) -> float:
    """Return a value that some model attains: the least found (sign 1) or the greatest (-1).

    Each of a few starts improves one district at a time, until ``outer``, the bound that
    nothing can pass, is reached. The starts are fixed.
    """
    rng = np.random.default_rng(0)
    best = math.inf
    for _ in range(_STARTS):
        points = [
            solve(of.matrix, of.targets, rng.standard_normal(of.types))[1] for of in constraints
        ]
        value = math.inf
        for _ in range(_ROUNDS):
            before = value
            for axis, of in enumerate(constraints):
                cost = sign * objective
                for other in reversed(range(objective.ndim)):
                    if other != axis:
                        cost = np.tensordot(cost, points[other], (other, 0))
                value, points[axis], _ = solve(of.matrix, of.targets, cost)
            if value > before - 1e-12 or value < sign * outer + 1e-10:
                break
        best = min(best, value)
        if best < sign * outer + 1e-10:
            break
    return sign * best
