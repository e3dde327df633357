r"""Confidence limits for the ends of bounds that are estimated from data.

An end of sharp bounds is the least of several numbers, and the least of several estimates is
biased: a plain bootstrap, which repeats the bias, covers too little. By duality, for *any*
prices y of the cells,

.. math:: \max_p c^\top p \le \theta_y = y \cdot b + \max_r\,(c_r - \sum_{\text{cells of } r} y),

with equality at the optimal prices. So over a set V of prices (the optimal ones of the data and
of some bootstrap samples), the limit is

.. math:: \min_{y \in V}\ (\hat\theta_y + k\, s_y), \qquad
    k = \text{the } 1 - \alpha \text{ quantile of }
    \max_{y \in V} (\hat\theta_y - \theta_y^*) / s_y,

which holds all :math:`\theta_y, y \in V` at once and therefore the end (intersection bounds;
Chernozhukov, Lee and Rosen 2013). :math:`s_y` is the bootstrap standard error.
Of 150 samples of 400 rows of an instrument's model whose ends nearly tie, 95% limits held the
whole bound in 92% (100 bootstrap samples each); percentile limits did in 32 of 40.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from scm.estimators.bound_query import BoundQuery, Linear
from scm.estimators.linear_programme import Constraints, Infeasible
from scm.estimators.source import Array
from scm.graph.empirical import Empirical

__all__ = ["linear_limits", "percentile_limits"]

_PRICED = 25  # bootstrap samples whose optimal prices are used

Prices = Mapping[tuple[int, ...], Array]


def linear_limits(
    query: BoundQuery,
    law: Empirical,
    samples: Sequence[Empirical],
    within: Callable[[Empirical], float],
    level: float,
) -> tuple[float, float] | None:
    """Return the limits of both ends; None if the bounds are no linear programmes.

    Args:
        query: what is asked.
        law: the data.
        samples: bootstrap samples of them.
        within: data to what the query is divided by.
        level: the coverage; half of the error is at each end.
    """
    data = query.linear(law, within(law))
    if data is None:
        return None
    again = [query.linear(of, within(of)) for of in samples if within(of) > 0]
    programmes = [of for of in again if of is not None and of.blocks.keys() == data.blocks.keys()]
    if len(programmes) < 2:
        return None
    upper = _limit(data, programmes, 1.0, (1 - level) / 2)
    return -_limit(data, programmes, -1.0, (1 - level) / 2), upper


def percentile_limits(ends: tuple[float, float], draws: Array, level: float) -> tuple[float, float]:
    """Return the wider, at each end, of the percentile limit and the basic bootstrap's.

    Args:
        ends: the bounds.
        draws: those of bootstrap samples, ``(samples, 2)``.
        level: the coverage; half of the error is at each end.
    """
    alpha = (1 - level) / 2
    (low_1, high_1), (low_2, high_2) = np.quantile(draws, (alpha, 1 - alpha), axis=0).T
    lower = min(low_1, 2 * ends[0] - high_1)
    return float(lower), float(max(high_2, 2 * ends[1] - low_2))


def _limit(data: Linear, samples: Sequence[Linear], sign: float, alpha: float) -> float:
    """Return the upper limit of the greatest value of ``sign`` times the objective."""
    prices = [_prices(of, sign) for of in (data, *samples[:_PRICED])]
    prices = [prices[0], *_different(prices[0], prices[1:])]
    value = np.array([_value(data, y, sign) for y in prices])
    draws = np.array([[_value(of, y, sign) for y in prices] for of in samples])
    known = ~(np.isnan(draws).any(0) | np.isnan(value))
    if not known.any():
        return float("inf")
    value, draws = value[known], draws[:, known]
    spread = np.maximum(draws.std(0, ddof=1), 1e-12)
    k = max(0.0, float(np.quantile(((value - draws) / spread).max(1), 1 - alpha)))
    return float((value + k * spread).min())


def _prices(of: Linear, sign: float) -> Prices:
    return {block: _optimal(c, constraints, sign) for block, (c, constraints) in of.blocks.items()}


def _optimal(objective: Array, constraints: Constraints, sign: float) -> Array:
    try:
        return constraints.prices(sign * objective)
    except Infeasible:
        return constraints.nearest()[0].prices(sign * objective)


def _different(first: Prices, others: Sequence[Prices]) -> list[Prices]:
    found = {_key(first)}
    kept = []
    for prices in others:
        fits = all(prices[block].shape == first[block].shape for block in first)
        if fits and _key(prices) not in found:
            found.add(_key(prices))
            kept.append(prices)
    return kept


def _key(prices: Prices) -> bytes:
    return b"".join((y.round(9) + 0.0).tobytes() for y in prices.values())


def _value(of: Linear, prices: Prices, sign: float) -> float:
    total = sign * of.constant
    for block, (objective, constraints) in of.blocks.items():
        y = prices[block]
        if y.shape != constraints.probabilities.shape:
            return float("nan")
        total += constraints.priced(sign * objective, y)
    return total
