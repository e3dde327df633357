r"""Linear programmes over distributions of response types.

.. math:: \min / \max_p\ c^\top p \quad \text{where}\quad p \ge 0,\ \textstyle\sum p = 1,\
    \sum_{r\ \text{in cell}} p_r = b_{\text{cell}}

Types that fall in the same cells throughout differ in the objective alone, so that one of
them, the best, stands for all. Solved by HiGHS.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scm.errors import ScmError
from scm.estimators.source import Array

__all__ = ["Constraints", "Infeasible", "solve"]

_TOLERANCE = 1e-10  # of HiGHS, the least it takes


class Infeasible(Exception):
    """No distribution of response types gives the observed probabilities."""


@dataclass(frozen=True)
class Constraints:
    """What is known of a distribution over types.

    Args:
        cells: ``(m, types)``: of each of m partitions of the types, the cell of each type; cells
            are numbered through.
        probabilities: ``(cells,)``: how probable each cell is, NaN where that is not known.
    """

    cells: NDArray[np.int64]
    probabilities: Array

    @property
    def types(self) -> int:
        """The number of types."""
        return int(self.cells.shape[1])

    @cached_property
    def matrix(self) -> Any:
        """``(cells + 1, types)``, sparse: which types a cell holds; the last row holds all."""
        from scipy.sparse import csr_array

        m, n = self.cells.shape
        rows = np.vstack([self.cells, np.full((1, n), len(self.probabilities))]).ravel()
        columns = np.tile(np.arange(n), m + 1)
        shape = (len(self.probabilities) + 1, n)
        return csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)

    @cached_property
    def targets(self) -> Array:
        """``(cells + 1,)``: the probabilities, and 1 for all types together."""
        return np.append(self.probabilities, 1.0)

    def bounds(self, objective: Array) -> tuple[float, float]:
        """Return the least and the greatest value of an objective ``(types,)``.

        Raises:
            Infeasible: if nothing fits the constraints.
        """
        if (objective == objective[0]).all():
            return float(objective[0]), float(objective[0])
        return -self._greatest(-objective)[0], self._greatest(objective)[0]

    def prices(self, objective: Array) -> Array:
        """Return ``(cells,)``: the dual solution y of the greatest value of an objective.

        Whatever y is, `priced` is no less than the greatest value; at this y they are equal.

        Raises:
            Infeasible: if nothing fits the constraints.
        """
        if (objective == objective[0]).all():
            return np.zeros(len(self.probabilities))
        dual = self._greatest(objective)[1][:-1]
        empty = self.probabilities == 0
        return np.where(empty, 4 * np.abs(objective).max() * (1 + len(self.cells)), dual)

    def priced(self, objective: Array, prices: Array) -> float:
        r"""Return :math:`y \cdot b + \max_r (c_r - \sum_{\text{cells of } r} y)`.

        NaN if a price is not zero where the probability is not known.
        """
        paid = np.where(prices == 0, 0.0, prices * self.probabilities).sum()
        return float(paid + (objective - prices[self.cells].sum(0)).max())

    def _greatest(self, objective: Array) -> tuple[float, Array]:
        """Return the greatest value, and the dual solution, one price for each target."""
        kept, group = self._kinds
        best = np.full(kept.shape[1], -np.inf)
        np.maximum.at(best, group[group >= 0], objective[group >= 0])
        value, _, dual = solve(self._reduced.matrix, self._reduced.targets, -best)
        return -value, -dual

    def nearest(self) -> tuple[Constraints, float]:
        """Return the nearest constraints that can be met, and how far they are (L1, summed)."""
        from scipy.sparse import csr_array, eye_array, hstack

        known = ~np.isnan(self.probabilities)
        matrix = self.matrix
        slack = eye_array(len(known), format="csr")[:, known]
        slack = csr_array(np.vstack([slack.toarray(), np.zeros((1, known.sum()))]))
        full = hstack([matrix, slack, -slack], format="csr")
        cost = np.concatenate([np.zeros(self.types), np.ones(2 * int(known.sum()))])
        distance, found, _ = solve(full, self.targets, cost)
        met = matrix @ found[: self.types]
        met = np.clip(met[:-1], 0.0, 1.0) / met[-1]
        met[met < 1e-12] = 0.0
        return Constraints(self.cells, np.where(known, met, np.nan)), distance

    @cached_property
    def _kinds(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the different columns of ``cells``, and which of them each type has.

        A type in a cell of probability zero has none: -1.
        """
        if not len(self.cells):
            return np.zeros((0, 1), dtype=np.int64), np.zeros(self.types, dtype=np.int64)
        possible = (self.probabilities[self.cells] != 0).all(0)
        if not possible.any():
            raise Infeasible
        columns = np.ascontiguousarray(self.cells[:, possible].T.astype(np.int32))
        packed = columns.view(np.dtype((np.void, columns.dtype.itemsize * columns.shape[1])))
        _, first, inverse = np.unique(packed.ravel(), return_index=True, return_inverse=True)
        group = np.full(self.types, -1, dtype=np.int64)
        group[possible] = inverse
        return columns[first].T.astype(np.int64), group

    @cached_property
    def _reduced(self) -> Constraints:
        return Constraints(self._kinds[0], self.probabilities)


def solve(matrix: Any, targets: Array, cost: Array) -> tuple[float, Array, Array]:
    """Minimise ``cost @ p`` over ``p >= 0`` with ``matrix @ p == targets``; NaN targets are none.

    Returns:
        The least value, a ``p`` that has it, and the dual solution.

    Raises:
        Infeasible: if there is no such ``p``.
        ScmError: if HiGHS gives up.
    """
    from scipy.optimize import linprog

    rows = ~np.isnan(targets)
    empty = rows & (np.diff(matrix.indptr) == 0)
    if (np.abs(targets[empty]) > _TOLERANCE).any():
        raise Infeasible
    rows &= ~empty
    found = linprog(
        cost,
        A_eq=matrix[rows],
        b_eq=targets[rows],
        bounds=(0, None),
        method="highs-ds",
        options={
            "primal_feasibility_tolerance": _TOLERANCE,
            "dual_feasibility_tolerance": _TOLERANCE,
        },
    )
    if found.status == 2:
        raise Infeasible
    if found.status != 0:
        raise ScmError(
            f"the linear programme of {len(cost):,} response types was not solved: "
            f"{found.message} Merge levels, or use natural_bounds"
        )
    dual = np.zeros(len(targets))
    dual[rows] = found.eqlin.marginals
    return float(found.fun), np.asarray(found.x, dtype=np.float64), dual
