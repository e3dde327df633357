"""`Table`: the numbers of a distribution, with the names and levels of its axes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scm import html
from scm.errors import InterventionError, NotIdentifiedError, ScmError
from scm.estimate import Estimate
from scm.graph.domain import Domain, Event

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Table"]

_ROWS = 16  # shown


class Table:
    r"""A discrete distribution :math:`P(\text{names} \mid do(\cdot), \text{given})`.

    Args:
        names: the axes of ``values``: those of ``do`` and ``given`` that have every level, then
            the outcomes.
        levels: the names of the levels of every name that occurs.
        values: probabilities, one axis for each of ``names``; each conditional distribution
            sums to one, or is NaN where its condition has probability zero.
        do: the intervened nodes: name -> code, or ``None`` for every level.
        given: the conditions: name -> code, or ``None`` for every level.
        replicates: the values in bootstrap samples of the data, along a first axis.
        n: the number of units behind the values, if they come from data.
        why: says why the entry at some codes is NaN, for the error that meets it.

    The values may be an array of numpy (from data, from an `Estimand`) or of torch (from a
    `Joint`); what `prob` and indexing return is of the same kind.

    Raises:
        ScmError: If the values have another shape than the levels.

    Example:
        >>> table = Table(
        ...     ("X", "Y"),
        ...     {"X": (0, 1), "Y": ("no", "yes")},
        ...     np.array([[0.75, 0.25], [0.5, 0.5]]),
        ...     do={"X": None},
        ... )
        >>> table
        P(Y | do(X))
        X  Y      P
        0  no     0.7500
        0  yes    0.2500
        1  no     0.5000
        1  yes    0.5000
        >>> float(table.prob({"Y": "yes"}, do={"X": 1}))
        0.5
        >>> table[{"Y": "yes"}]
        array([0.25, 0.5 ])
    """

    def __init__(
        self,
        names: Sequence[str],
        levels: Mapping[str, Sequence[Hashable]],
        values: Any,
        do: Mapping[str, int | None] | None = None,
        given: Mapping[str, int | None] | None = None,
        replicates: Any = None,
        n: int | None = None,
        why: Callable[[Mapping[str, int]], str] | None = None,
    ) -> None:
        self.names = tuple(names)
        self.values = values
        self.replicates = replicates
        self.n = n
        self.why = why
        self.do = dict(do or {})
        self.given = dict(given or {})
        self._domain = Domain({n: levels[n] for n in (*self.names, *self.do, *self.given)})
        shape = tuple(len(self.levels[name]) for name in self.names)
        if tuple(values.shape) != shape:
            raise ScmError(
                f"values must have shape {shape}, the levels of {', '.join(self.names)}; "
                f"got {tuple(values.shape)}"
            )

    @property
    def levels(self) -> dict[str, tuple[Hashable, ...]]:
        """The names of the levels of each name."""
        return self._domain.levels

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The names this is a distribution over: the axes that are not conditions."""
        free = {n for n, code in (*self.do.items(), *self.given.items()) if code is None}
        return tuple(name for name in self.names if name not in free)

    @property
    def stderr(self) -> Any:
        """The bootstrap standard error of each of ``values``; NaN if there are no replicates.

        Replicates in which an entry is not determined are left out of it.
        """
        if self.replicates is None:
            return np.full(np.shape(self.values), np.nan)
        return _spread(self.replicates)

    def stderr_of(
        self, outcome: Event, do: Event | None = None, given: Event | None = None
    ) -> float:
        """Return the bootstrap standard error of `prob`; NaN if there are no replicates."""
        if self.replicates is None:
            return float("nan")
        draws = []
        for values in self.replicates:
            table = Table(self.names, self.levels, values, self.do, self.given)
            try:
                draws.append(float(table.prob(outcome, do, given)))
            except InterventionError:  # a condition that this replicate never meets
                draws.append(float("nan"))
        return float(_spread(np.array(draws)))

    def estimate(
        self, outcome: Event, do: Event | None = None, given: Event | None = None
    ) -> Estimate:
        """Return `prob` with its bootstrap standard error and the number of units.

        Raises:
            ScmError: if the values do not come from data.
            InterventionError: as in `prob`.
            NotIdentifiedError: as in `prob`.
        """
        if self.n is None:
            raise ScmError("these numbers are exact, not estimated: ask for `prob`")
        value = float(self.prob(outcome, do, given))
        return Estimate(value, self.stderr_of(outcome, do, given), self.n)

    def prob(self, outcome: Event, do: Event | None = None, given: Event | None = None) -> Any:
        """Return the probability of ``outcome``, a float64 scalar.

        Args:
            outcome: levels of some of the outcomes; the others are summed out.
            do: levels of the intervened nodes: of all that have every level here.
            given: levels of the conditions, and of outcomes to condition on as well.

        Raises:
            GraphError: if a name does not occur.
            InterventionError: if a level is missing, unknown or not the one of this table, or
                the condition has probability zero.
            NotIdentifiedError: if the data do not determine it; names the empty cells.
        """
        wanted = self._domain.event(outcome, "outcome")
        acts = self._domain.event(do, "do")
        conditions = self._domain.event(given, "given")
        cell = self._conditions(self.do, acts, "do")
        fixed = {n: code for n, code in conditions.items() if n in self.given}
        cell |= self._conditions(self.given, fixed, "given")
        more = {n: code for n, code in conditions.items() if n not in self.given}
        for name in (*wanted, *more):
            if name not in self.outcomes:
                raise InterventionError(
                    f"{name!r} is a condition of {self._title()}, which is a distribution over "
                    f"{', '.join(self.outcomes)}"
                )
        within = self._sum(cell | more)
        if self.why is not None and bool(np.isnan(float(within))):
            raise NotIdentifiedError(self.why(cell))
        if not within > 0:
            raise InterventionError(
                f"the condition {self._domain.show({**acts, **conditions})} has probability zero; "
                "condition on something that can happen, or set it with do="
            )
        if any(more.get(name, code) != code for name, code in wanted.items()):
            return within * 0.0
        result = self._sum(cell | more | wanted)
        return result / within if more else result

    def __getitem__(self, key: Any) -> Any:
        """Return part of ``values``: by ``{name: level}``, or by position as an array is."""
        if not isinstance(key, Mapping):
            return self.values[key]
        codes = self._domain.event(key, "an index")
        for name in codes:
            if name not in self.names:
                raise InterventionError(f"{name!r} is no axis of {self._title()}")
        return self.values[tuple(codes.get(name, slice(None)) for name in self.names)]

    def to_pandas(self) -> pd.Series[float]:
        """Return a Series ``P`` whose index has one level for each of ``names``.

        Raises:
            ScmError: if pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ScmError("to_pandas needs pandas: pip install 'neural-scm[vision]'") from error
        index = pd.MultiIndex.from_product([self.levels[n] for n in self.names], names=self.names)
        flat = index.get_level_values(0) if len(self.names) == 1 else index
        return pd.Series(np.asarray(self.values).ravel(), index=flat, name="P")

    def __repr__(self) -> str:
        rows = [(*self.names, "P"), *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [self._title()]
        for row in rows:
            lines.append("  ".join(map(str.ljust, row, widths)).rstrip())
        if self._more > 0:
            lines.append(f"... and {self._more} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return html.table(self._title(), (*self.names, "P"), self._rows(), more=self._more)

    @property
    def _more(self) -> int:
        return int(np.asarray(self.values).size) - _ROWS

    def _rows(self) -> Iterator[tuple[str, ...]]:
        """The levels of each of the first cells and its probability, as text."""
        cells = itertools.product(*(self.levels[name] for name in self.names))
        numbers = np.asarray(self.values).ravel()[:_ROWS].tolist()
        for cell, number in zip(cells, numbers, strict=False):
            yield (*map(str, cell), f"{number:.4f}")

    def _title(self) -> str:
        do = f"do({self._domain.show(self.do)})" if self.do else ""
        given = self._domain.show(self.given)
        conditions = ", ".join(filter(None, (do, given)))
        return f"P({', '.join(self.outcomes)}{' | ' if conditions else ''}{conditions})"

    def _conditions(
        self, have: Mapping[str, int | None], asked: Mapping[str, int], role: str
    ) -> dict[str, int]:
        """Return the codes of the free conditions; the fixed ones must agree."""
        for name, code in asked.items():
            if name not in have or have[name] not in (None, code):
                raise InterventionError(
                    f"{role} {self._domain.show({name: code})} does not fit {self._title()}"
                )
        free = [name for name, code in have.items() if code is None]
        missing = [name for name in free if name not in asked]
        if missing:
            raise InterventionError(
                f"{self._title()} has every level of {', '.join(missing)}: give one in {role}="
            )
        return {name: asked[name] for name in free}

    def _sum(self, cell: Mapping[str, int]) -> Any:
        return self.values[tuple(cell.get(name, slice(None)) for name in self.names)].sum()


def _spread(replicates: Any) -> Any:
    """Return the standard deviation along the first axis, without NaN."""
    draws = np.asarray(replicates, dtype=np.float64)
    known = ~np.isnan(draws)
    n = known.sum(0)
    mean = np.where(known, draws, 0.0).sum(0) / np.maximum(n, 1)
    squares = np.where(known, draws - mean, 0.0) ** 2
    return np.sqrt(np.where(n > 1, squares.sum(0) / np.maximum(n - 1, 1), np.nan))
