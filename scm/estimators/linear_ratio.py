r"""The effect in a linear Gaussian model from an intervention on a nuisance (GenInt, Theorem 4)."""

from __future__ import annotations

from typing import Any

from scm.errors import GraphError
from scm.estimate import Estimate
from scm.estimators.two_stage import WeakInstrumentWarning, instrumented

__all__ = ["WeakInstrumentWarning", "linear_ratio"]


def linear_ratio(data: Any, outcome: str, do: str, z: str) -> Estimate:
    r"""Estimate the effect b of ``do`` on ``outcome`` in a linear model, as a ratio.

    In the model of GenInt's Figure 4c, :math:`Y = a_1 C + b X + u_y` and :math:`X = a_4 F + a_5
    Z_i + a_6 Z_U + u_x` with the confounder C unobserved and :math:`Z_i` randomised, regressing Y
    and X on :math:`Z_i` gives :math:`\sigma_{zy} = a_5 b` and :math:`\sigma_{zx} = a_5`, so

    .. math:: \hat b = \hat\sigma_{zy} / \hat\sigma_{zx}, \qquad
        \widehat{se}(\hat b) = \frac{\sqrt{\sum_i \hat e_i^2 (z_i - \bar z)^2}}
        {|\sum_i (z_i - \bar z)(x_i - \bar x)|}, \qquad
        \hat e_i = (y_i - \bar y) - \hat b (x_i - \bar x).

    This is the instrumental variable (Wald) estimator with its heteroskedasticity-robust
    standard error, by the delta method. Neither needs the Gaussian law. Both need that z is
    randomised and acts on the outcome through the treatment alone.

    Args:
        data: a data frame, a mapping of columns or `Samples`; columns of n numbers.
        outcome: the column Y.
        do: the column X.
        z: the column of the randomised intervention.

    Returns:
        An `Estimate` of b: the change of Y for one unit of X.

    Raises:
        GraphError: if a column is unknown, or two of the three are the same.
        ScmError: if a column is not numbers, there are fewer than 3 rows, z does not vary, or x
            does not vary with it.

    Warns:
        WeakInstrumentWarning: if F of the regression of X on z is below 10; the normal interval
            then covers too little.

    References:
        Mao et al. (2021), Generative interventions for causal learning, Theorem 4. Wright (1928).

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> c, z, e = rng.standard_normal((3, 4000))
        >>> x = z + c
        >>> print(linear_ratio({"Z": z, "X": x, "Y": 2 * x - 3 * c + e}, "Y", do="X", z="Z"))
        2.00 +- 0.05 (n = 4000)
    """
    columns = {"outcome": outcome, "do": do, "z": z}
    if len(set(columns.values())) < 3:
        raise GraphError(f"outcome, do and z must be three different columns; got {columns}")
    return instrumented(data, outcome, do, [z])
