r"""Two-stage least squares: the effect in a linear model from several instruments at once."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from scm.errors import GraphError, ScmError
from scm.estimate import Estimate
from scm.estimators.source import Array, present

__all__ = ["WeakInstrumentWarning", "instrumented", "two_stage_least_squares"]

_WEAK = 10.0  # F statistic of Staiger and Stock (1997)


class WeakInstrumentWarning(UserWarning):
    """An intervention that hardly moves the treatment: the ratio is not near normal.

    Example:
        >>> import warnings
        >>> c, z, e = np.random.default_rng(0).standard_normal((3, 200))
        >>> data = {"Z": z, "X": 0.01 * z + c, "Y": c + e}  # Z hardly moves X
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     effect = two_stage_least_squares(data, "Y", do="X", z="Z")
        >>> caught[0].category.__name__
        'WeakInstrumentWarning'
    """


def two_stage_least_squares(data: Any, outcome: str, do: str, z: Sequence[str]) -> Estimate:
    r"""Estimate the effect b of ``do`` on ``outcome`` from the instruments z by two regressions.

    X is regressed on all of z, and Y on what that regression predicts, :math:`\hat x_i`:

    .. math:: \hat b = \frac{\sum_i \hat x_i (y_i - \bar y)}{\sum_i \hat x_i (x_i - \bar x)},
        \qquad \widehat{se}(\hat b) = \frac{\sqrt{\sum_i \hat e_i^2 \hat x_i^2}}
        {|\sum_i \hat x_i (x_i - \bar x)|}, \qquad
        \hat e_i = (y_i - \bar y) - \hat b (x_i - \bar x).

    With one instrument this is `linear_ratio`. Each must be randomised, and act on the outcome
    through the treatment alone; with many weak ones it leans towards the regression of Y on X.

    Args:
        data: a data frame, a mapping of columns or `Samples`; columns of n numbers.
        outcome: the column Y.
        do: the column X.
        z: the columns of the instruments, one or more.

    Returns:
        An `Estimate` of b: the change of Y for one unit of X.

    Raises:
        GraphError: if a column is unknown, or two are the same.
        ScmError: if a column is not numbers, there are too few rows, the instruments are
            collinear, or x does not vary with them.

    Warns:
        WeakInstrumentWarning: if F of the regression of X on z is below 10.

    References:
        Theil (1953); Angrist and Pischke (2009), Mostly Harmless Econometrics, section 4.1;
        Staiger and Stock (1997).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> c, z, w, e = rng.standard_normal((4, 4000))
        >>> x = z + w + c
        >>> data = {"Z": z, "W": w, "X": x, "Y": 2 * x - 3 * c + e}
        >>> print(two_stage_least_squares(data, "Y", do="X", z=["Z", "W"]))
        2.02 +- 0.04 (n = 4000)
    """
    names = [z] if isinstance(z, str) else list(z)
    if not names or len({outcome, do, *names}) < 2 + len(names):
        raise GraphError(
            f"outcome={outcome!r}, do={do!r} and z={names} were given; expected different columns, "
            "with one instrument or more"
        )
    return instrumented(data, outcome, do, names)


def instrumented(data: Any, outcome: str, do: str, names: Sequence[str]) -> Estimate:
    """The estimate, from instruments by name; warns its caller's caller."""
    y, x, *instruments = (_column(data, name) for name in (outcome, do, *names))
    sizes = [len(y), len(x), *map(len, instruments)]
    n, k = len(y), len(names)
    if len(set(sizes)) > 1 or n < k + 2:
        raise ScmError(
            f"columns of {', '.join(map(str, sizes))} numbers were given; expected one length, of "
            f"{k + 2} or more"
        )
    shown = ", ".join(map(repr, names))
    y, x, w = y - y.mean(), x - x.mean(), np.stack([z - z.mean() for z in instruments], 1)
    for name, column in zip(names, w.T, strict=True):
        if not float(column @ column) > 0:
            raise ScmError(
                f"{name!r} does not vary, so nothing was intervened on; draw it at random"
            )
    coefficients, _, rank, _ = np.linalg.lstsq(w, x, rcond=None)
    if rank < k:
        raise ScmError(f"the instruments {shown} are collinear (rank {rank}); leave some out")
    fitted = w @ coefficients
    moved = float(fitted @ x)
    if not moved > 1e-24 * float(x @ x):
        raise ScmError(f"{do!r} does not vary with {shown}, so the ratio is 0/0: this tells "
                       "nothing of the effect; use one that moves the treatment")  # fmt: skip
    b = float(fitted @ y) / moved
    residual = y - b * x
    stderr = math.sqrt(float(residual**2 @ fitted**2)) / moved
    left = float(((x - fitted) ** 2).sum()) / (n - k - 1)
    f = math.inf if left == 0 else moved / k / left
    if f < _WEAK:
        warnings.warn(
            f"{shown} hardly move{'s' if k == 1 else ''} {do!r} (F = {f:.2g}, below {_WEAK:g}): "
            "the ratio is not near normal and its interval covers too little. Intervene more "
            "strongly, or take more units",
            WeakInstrumentWarning,
            stacklevel=3,
        )
    return Estimate(b, stderr, n)


def _column(data: Any, name: str) -> Array:
    present([name], list(data))
    column = data[name]
    try:
        values = np.asarray(
            column.detach().cpu() if hasattr(column, "detach") else column, dtype=np.float64
        )
    except (TypeError, ValueError) as error:
        raise ScmError(f"{name!r} is not numbers: {error}") from error
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ScmError(
            f"{name!r} has shape {values.shape} or missing values; expected one finite number for "
            "each unit"
        )
    return values
