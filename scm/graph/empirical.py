"""`Empirical`: discrete data as a law, each probability a frequency."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scm.errors import GraphError, InterventionError, ScmError
from scm.graph.evaluation import Source
from scm.graph.table import Table

__all__ = ["Empirical", "as_source"]

_MOST_LEVELS = 100  # of a column that is taken to be discrete


class Empirical:
    """The frequencies of discrete data.

    Args:
        codes: Node -> the code of its level in each row, `(n,)`.
        levels: Node -> its levels.
        counts: How often each row counts, `(n,)`; once where it is not given.

    Example:
        >>> data = Empirical.of({"X": [0, 0, 1, 1], "Y": ["a", "b", "b", "b"]})
        >>> data.levels
        {'X': (0, 1), 'Y': ('a', 'b')}
        >>> data.table("Y").values
        array([0.25, 0.75])
    """

    def __init__(
        self,
        codes: Mapping[str, NDArray[np.int64]],
        levels: Mapping[str, Sequence[Hashable]],
        counts: NDArray[np.int64] | None = None,
    ) -> None:
        self.levels = {name: tuple(levels[name]) for name in codes}
        self.n = len(next(iter(codes.values()))) if counts is None else int(counts.sum())
        if counts is None:  # equal rows are kept once
            stacked = np.stack([codes[name] for name in self.levels], axis=1)
            stacked, counts = np.unique(stacked, axis=0, return_counts=True)
            codes = {name: stacked[:, i] for i, name in enumerate(self.levels)}
        self._codes = dict(codes)
        self._counts = counts

    @classmethod
    def of(
        cls, data: Any, names: Iterable[str] | None = None, levels: Mapping[str, Any] | None = None
    ) -> Empirical:
        """Read a data frame, a mapping of columns, or `Samples`.

        Args:
            data: The data.
            names: The columns to read, where they are there; all of them by default.
            levels: Node -> all levels it may have; by default those that the data declare (a
                categorical column, a categorical node), or that occur.

        Raises:
            ScmError: If a column is empty, not discrete, or has levels that were not declared.
            InterventionError: If `Samples` come from an act or hold several worlds.
        """
        _refuse_acts(data)
        columns = [name for name in (data if names is None else names) if name in data]
        declared = {**_declared(data, columns), **(levels or {})}
        read = {name: _coded(name, data[name], declared.get(name)) for name in columns}
        sizes = {name: len(codes) for name, (codes, _) in read.items()}
        if len(set(sizes.values())) > 1:
            raise ScmError(f"all columns must have one length, a row for each unit; got {sizes}")
        if not sizes:
            raise GraphError(f"the data have none of the columns {list(names or ())}")
        return cls({n: r[0] for n, r in read.items()}, {n: r[1] for n, r in read.items()})

    def table(self, *names: str, do: Any = None) -> Table:
        """Return the frequencies of ``names``.

        Raises:
            InterventionError: If something is to be done: data were only seen.
        """
        if do:
            raise InterventionError(
                f"these data were seen, and nothing was done to {do}; identify the effect first: "
                "graph.identify(outcome, do=...).evaluate(data)"
            )
        shape = tuple(len(self.levels[name]) for name in names)
        flat = np.zeros(len(self._counts), dtype=np.int64)
        for name, size in zip(names, shape, strict=True):
            flat = flat * size + self._codes[name]
        counts = np.bincount(flat, weights=self._counts, minlength=int(np.prod(shape)))
        return Table(names, self.levels, counts.reshape(shape) / self.n)

    def resampled(self, rng: np.random.Generator) -> Empirical:
        """Return a bootstrap sample: as many rows, drawn with replacement."""
        counts = rng.multinomial(self.n, self._counts / self.n)
        return Empirical(self._codes, self.levels, counts)


def as_source(source: Any, names: Iterable[str]) -> Source:
    """Return a law as it is, and data as `Empirical`.

    Raises:
        ScmError: If it is neither.
    """
    if hasattr(source, "table") and hasattr(source, "levels"):
        law: Source = source
        return law
    if isinstance(source, Mapping) or hasattr(source, "columns"):
        return Empirical.of(source, names)
    raise ScmError(
        f"expected a law (model.exact(), or its observed()) or data (a data frame, a mapping of "
        f"columns, Samples), not {type(source).__name__}"
    )


def _refuse_acts(data: Any) -> None:
    """Refuse `Samples` of an act: the formula reads what was merely seen."""
    acts = getattr(getattr(data, "program", None), "acts", None)
    if acts:
        raise InterventionError(
            f"these samples come from an act on {', '.join(acts)}, and the formula reads "
            "observational data: pass model.sample(n), without do"
        )


def _declared(data: Any, names: Iterable[str]) -> dict[str, tuple[Hashable, ...]]:
    """Return the levels that the data declare: categorical columns, and nodes of `Samples`."""
    mechanisms = getattr(getattr(data, "program", None), "mechanisms", {})
    found: dict[str, tuple[Hashable, ...]] = {}
    for name in names:
        if name in mechanisms:
            levels = getattr(mechanisms[name].type, "names", None)
            found |= {} if levels is None else {name: tuple(levels)}
        elif hasattr(data[name], "cat"):
            found[name] = tuple(data[name].cat.categories)
    return found


def _coded(
    name: str, column: Any, declared: Sequence[Hashable] | None
) -> tuple[NDArray[np.int64], tuple[Hashable, ...]]:
    """Return the codes of a column and its levels."""
    tensor = column.detach().cpu() if hasattr(column, "detach") else column
    values = np.asarray(tensor)
    if values.ndim != 1 or not len(values):
        raise ScmError(
            f"{name!r} must be one value for each unit, and has shape {values.shape}; of samples "
            "with several worlds take one with .world(...)"
        )
    missing = [v is None or v != v for v in values.tolist()]
    if any(missing):
        raise ScmError(f"{name!r} has {sum(missing)} missing values; drop or impute those rows")
    present, codes = np.unique(values, return_inverse=True)
    if len(present) > _MOST_LEVELS:
        raise ScmError(
            f"{name!r} has {len(present)} different values and is taken to be continuous; an "
            "estimand is evaluated on discrete data: cut it into levels first"
        )
    seen = tuple(present.tolist())
    if declared is None:
        return codes.astype(np.int64), seen
    known = tuple(declared)
    if hasattr(column, "detach") and all(isinstance(v, int) and v < len(known) for v in seen):
        seen = tuple(known[v] for v in seen)  # Samples hold codes
    place = {level: i for i, level in enumerate(known)}
    unseen = [level for level in seen if level not in place]
    if unseen:
        raise ScmError(
            f"{name!r} has the values {unseen[:5]}, which are not among its levels "
            f"{list(known)[:10]}; declare them, or drop those rows"
        )
    return np.array([place[level] for level in seen], dtype=np.int64)[codes], known
