"""Numbers that know how sure they are: `Estimate` and `Interval`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from scm import html
from scm.errors import ScmError

__all__ = ["Estimate", "Interval"]


@dataclass(frozen=True)
class Interval:
    """A range that holds an unknown number.

    The ends of a bound that was estimated from data are themselves estimates: then
    ``lower_limit`` and ``upper_limit`` are confidence limits, which hold the whole bound
    with probability ``level`` or more.

    Attributes:
        lower: Lower end.
        upper: Upper end.
        method: Where it comes from, such as "normal, 95%" or "natural bounds".
        lower_limit: Lower confidence limit of the lower end; None where the end is exact.
        upper_limit: Upper confidence limit of the upper end; None where the end is exact.
        level: Coverage of the limits.
        n: Number of units behind the ends; None where they are exact.

    Raises:
        ScmError: If the ends are in the wrong order, or no numbers, or if a limit is given
            without the other and the level.

    Example:
        >>> effect = Interval(0.2, 0.45, "natural bounds")
        >>> print(effect)
        [0.2, 0.45] (natural bounds)
        >>> 0.3 in effect
        True
        >>> effect.width
        0.25
        >>> print(Interval(0.2, 0.45, "natural bounds", 0.15, 0.5, level=0.95, n=400))
        [0.2, 0.45] (natural bounds; 95% limits [0.15, 0.5], n = 400)
    """

    lower: float
    upper: float
    method: str
    lower_limit: float | None = None
    upper_limit: float | None = None
    level: float | None = None
    n: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", float(self.lower))
        object.__setattr__(self, "upper", float(self.upper))
        if not self.lower <= self.upper:
            raise ScmError(
                f"Interval({self.lower:g}, {self.upper:g}) was given; its lower end must not "
                "exceed its upper one"
            )
        if self.lower_limit is None and self.upper_limit is None and self.level is None:
            return
        if self.lower_limit is None or self.upper_limit is None or self.level is None:
            raise ScmError(
                f"an Interval with lower_limit={self.lower_limit}, upper_limit="
                f"{self.upper_limit}, level={self.level} was asked for; give all three, or none"
            )
        object.__setattr__(self, "lower_limit", float(self.lower_limit))
        object.__setattr__(self, "upper_limit", float(self.upper_limit))
        if not (self.lower_limit <= self.lower and self.upper <= self.upper_limit):
            raise ScmError(
                f"the limits [{self.lower_limit:g}, {self.upper_limit:g}] do not hold the interval "
                f"[{self.lower:g}, {self.upper:g}]"
            )
        if not 0 < self.level < 1:
            raise ScmError(f"level={self.level!r} was given; expected 0 < level < 1, such as 0.95")

    @property
    def width(self) -> float:
        """`upper - lower`."""
        return self.upper - self.lower

    def __contains__(self, value: float) -> bool:
        return self.lower <= float(value) <= self.upper

    def __str__(self) -> str:
        notes = [self.method]
        if self.level is not None:
            limits = f"[{self.lower_limit:.4g}, {self.upper_limit:.4g}]"
            notes.append(f"{100 * self.level:.3g}% limits {limits}")
        text = "; ".join(notes) + (f", n = {self.n}" if self.n is not None else "")
        return f"[{self.lower:.4g}, {self.upper:.4g}] ({text})"

    def _repr_html_(self) -> str:
        cells = {"lower": f"{self.lower:.4g}", "upper": f"{self.upper:.4g}", "from": self.method}
        if self.level is not None:
            limits = f"{self.lower_limit:.4g} to {self.upper_limit:.4g}"
            cells[f"{100 * self.level:.3g}% limits"] = limits
        if self.n is not None:
            cells["units"] = f"{self.n:,}"
        return html.table("Interval", list(cells), [list(cells.values())])


@dataclass(frozen=True)
class Estimate:
    """An estimated number, its standard error, and the number of units behind it.

    Attributes:
        value: The estimate.
        stderr: Its standard error; NaN where one unit tells nothing of it.
        n: Number of independent units; None where the number is exact, computed from a law.

    Raises:
        ScmError: If the standard error is negative, or of an exact number not 0; or there are
            no units.

    Example:
        >>> share = Estimate.proportion(456, 500)
        >>> print(share)
        0.912 +- 0.013 (n = 500)
        >>> float(share)
        0.912
        >>> print(share.interval())
        [0.8872, 0.9368] (normal, 95%)
        >>> print(Estimate(0.25), Estimate(0.25).interval())
        0.25 (exact) [0.25, 0.25] (exact)
    """

    value: float
    stderr: float = 0.0
    n: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", float(self.value))
        object.__setattr__(self, "stderr", float(self.stderr))
        if self.n is None:
            if self.stderr != 0:
                raise ScmError(
                    f"Estimate({self.value:g}, stderr={self.stderr:g}, n=None) was given; a number "
                    "without units is exact and has stderr=0: give n, the number of units"
                )
            return
        object.__setattr__(self, "n", int(self.n))
        if self.stderr < 0 or self.n < 1:
            raise ScmError(
                f"Estimate({self.value:g}, stderr={self.stderr:g}, n={self.n}) was given; a "
                "standard error is not negative, and needs at least one unit"
            )

    @classmethod
    def mean(cls, values: Any) -> Estimate:
        """Mean of independent units with its standard error, `sd / sqrt(n)`.

        Args:
            values: Numbers or truth values `(n,)`: a sequence, an array or a tensor.

        Raises:
            ScmError: If they are not one row of finite numbers.

        Example:
            >>> print(Estimate.mean([1.0, 2.0, 3.0, 4.0]))
            2.5 +- 0.6 (n = 4)
        """
        given = values.detach().cpu() if hasattr(values, "detach") else values
        array = np.asarray(given, dtype=np.float64)
        if array.ndim != 1 or not array.size or not np.isfinite(array).all():
            raise ScmError(
                f"values of shape {array.shape} were given; expected one row of at least one "
                "finite number"
            )
        spread = array.std(ddof=1) if array.size > 1 else math.nan
        return cls(array.mean(), spread / math.sqrt(array.size), array.size)

    @classmethod
    def proportion(cls, hits: int, n: int) -> Estimate:
        """Share of ``n`` units, with the binomial standard error `sqrt(p (1 - p) / n)`.

        Raises:
            ScmError: If there are no units, or more hits than units.
        """
        if not 0 <= hits <= n or n < 1:
            raise ScmError(f"{hits} of {n} units were given; expected 0 <= hits <= n and n >= 1")
        p = hits / n
        return cls(p, math.sqrt(p * (1 - p) / n), n)

    def interval(self, level: float = 0.95) -> Interval:
        """Normal confidence interval, `value -+ z stderr`; of an exact number, that point.

        Args:
            level: Its coverage, between 0 and 1.

        Raises:
            ScmError: If the level is not between 0 and 1, or the standard error unknown.
        """
        if not 0 < level < 1 or math.isnan(self.stderr):
            raise ScmError(
                f"interval(level={level!r}) of {self} was asked for; expected 0 < level < 1, and "
                "at least two units"
            )
        if self.n is None:
            return Interval(self.value, self.value, "exact")
        reach = NormalDist().inv_cdf(0.5 + level / 2) * self.stderr
        return Interval(self.value - reach, self.value + reach, f"normal, {100 * level:.3g}%")

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        if self.n is None:
            return f"{self.value:.4g} (exact)"
        return f"{' +- '.join(self._rounded)} (n = {self.n})"

    def _repr_html_(self) -> str:
        if self.n is None:
            return html.table("Estimate", ["value"], [[self]])
        cells = [*self._rounded, "unknown", f"{self.n:,}"]
        if not math.isnan(self.stderr):
            limits = self.interval()
            cells[2] = f"{limits.lower:.4g} to {limits.upper:.4g}"
        head = ["value", "standard error", "95% interval", "units"]
        return html.table("Estimate", head, [cells])

    @property
    def _rounded(self) -> tuple[str, str]:
        """The value and its error, to the digits that the error leaves meaningful."""
        decimals = _decimals(self.stderr)
        if decimals is None:
            return f"{self.value:.4g}", f"{self.stderr:.2g}"
        return f"{self.value:.{decimals}f}", f"{self.stderr:.{decimals}f}"


def _decimals(stderr: float) -> int | None:
    """Decimals that show two digits of an error that begins with 1 to 3.54, else one."""
    if not 0 < stderr < math.inf:
        return None
    exponent = math.floor(math.log10(stderr))
    lead = stderr / 10.0**exponent
    digits = 2 if lead < 3.55 or lead >= 9.5 else 1
    return min(12, max(0, digits - 1 - exponent - (1 if lead >= 9.5 else 0)))
