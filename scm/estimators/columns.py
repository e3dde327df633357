"""Columns of data as the numbers and codes that scikit-learn's learners take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scm.errors import GraphError, InterventionError, NotIdentifiedError, ScmError, nearest
from scm.estimators.means import Array

__all__ = ["Codes", "Rows", "check_cells", "check_folds", "levels_of", "read_rows"]

_MOST_LEVELS = 20  # of a treatment
_SPARSE = 10  # units a cell should hold on average for its emptiness to mean something

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """What an adjustment reads of the data; n rows.

    Attributes:
        name: The treatment.
        outcome: Numbers, or 0 and 1, `(n,)`.
        event: Whether the outcome is an event.
        treatment: Codes of its levels, `(n,)`.
        values: The values asked about.
        asked: Their codes.
        covariates: Names of what is adjusted for.
        features: The covariates as numbers, `(n, d)`.
        discrete: Covariates that are declared categorical: codes `(n,)` and levels.
        kept: Which rows meet the condition, `(n,)`.
    """

    name: str
    outcome: Array
    event: bool
    treatment: Codes
    values: tuple[Any, ...]
    asked: Codes
    covariates: tuple[str, ...]
    features: Array
    discrete: Mapping[str, tuple[Codes, tuple[Any, ...]]]
    kept: NDArray[np.bool_]

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.outcome)


def read_rows(
    data: Any,
    outcome: str | Mapping[str, Any],
    treatment: str,
    values: Sequence[Any],
    covariates: Sequence[str],
    given: Mapping[str, Any],
) -> Rows:
    """Read and check the columns; see `Rows`.

    Raises:
        InterventionError: If `Samples` come from an act or hold several worlds, a level is
            unknown, or no row meets the condition.
        ScmError: If a column has holes, several values a unit, or is no number.
    """
    acts = getattr(getattr(data, "program", None), "acts", None)
    if acts:
        raise InterventionError(
            f"these samples come from an act on {', '.join(acts)}, and adjustment reads what was "
            "merely seen: pass model.sample(n), or leave graph= out for their counterfactuals"
        )
    ys = [outcome] if isinstance(outcome, str) else list(outcome)
    names = list(dict.fromkeys([treatment, *ys, *covariates, *given]))
    columns = {name: _column(data, name) for name in names}
    sizes = {name: len(column) for name, (column, _) in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ScmError(f"all columns must have one length, a row for each unit; got {sizes}")
    levels, codes, asked = _treatment(treatment, columns[treatment], values)
    if isinstance(outcome, str):
        y = _numbers(outcome, *columns[outcome])
    else:
        y = _event(outcome, columns).astype(np.float64)
    kept = _event(given, columns) if given else np.ones(len(y), dtype=bool)
    if not kept.any():
        raise InterventionError(
            f"none of {len(y)} rows meets the condition on {', '.join(given)} (positivity); give "
            "one that holds for some"
        )
    discrete = {}
    features = [np.zeros((len(y), 0))]
    for name in covariates:
        column, categorical = columns[name]
        if categorical:
            found, code = np.unique(column, return_inverse=True)
            discrete[name] = (code.reshape(-1).astype(np.int64), tuple(found.tolist()))
            features.append(np.eye(len(found))[code.reshape(-1)][:, 1:])
        else:
            features.append(_numbers(name, column, categorical)[:, None])
    stacked = np.concatenate(features, axis=1)
    if not stacked.shape[1]:  # a learner needs a column
        stacked = np.zeros((len(y), 1))
    return Rows(
        name=treatment,
        outcome=y,
        event=not isinstance(outcome, str),
        treatment=codes,
        values=tuple(levels[k] for k in asked),
        asked=asked,
        covariates=tuple(covariates),
        features=stacked,
        discrete=discrete,
        kept=kept,
    )


def levels_of(data: Any, name: str) -> list[Any]:
    """Return the declared levels of a column of `Samples`, or else its values, sorted.

    Raises:
        GraphError: If the data have no such column.
        ScmError: If it has holes, or several values a unit.
    """
    values, _ = _column(data, name)
    declared = getattr(getattr(data, "program", None), "mechanisms", {}).get(name)
    names = getattr(getattr(declared, "type", None), "names", None)
    return list(names) if names is not None else list(np.unique(values).tolist())


def _column(data: Any, name: str) -> tuple[NDArray[Any], bool]:
    """Return a column, one entry a unit, and whether its entries are levels."""
    if name not in data:
        raise GraphError(f"the data have no column {name!r}; {nearest(name, map(str, data))}")
    column = data[name]
    mechanisms = getattr(getattr(data, "program", None), "mechanisms", {})
    kind = getattr(mechanisms.get(name), "type", None)
    tensor = column.detach().cpu() if hasattr(column, "detach") else column
    values = np.asarray(tensor)
    if values.ndim != 1 or not len(values):
        raise ScmError(
            f"{name!r} must be one value for each unit, and has shape {values.shape}; of samples "
            "with several worlds take one with .world(...)"
        )
    holes = [v is None or v != v for v in values.tolist()]
    if any(holes):
        raise ScmError(f"{name!r} has {sum(holes)} missing values; drop or impute those rows")
    levels = getattr(kind, "names", None)
    if levels is not None:
        return np.array(levels)[values], True
    words = values.dtype.kind in "OUSb"
    return values, words or hasattr(column, "cat")


def _numbers(name: str, column: NDArray[Any], categorical: bool) -> Array:
    try:
        numbers = column.astype(np.float64)
    except (TypeError, ValueError) as error:
        last = np.unique(column.astype(str))[-1]
        raise ScmError(
            f"{name!r} holds {column[0]!r} and so on, which are no numbers and have no mean; ask "
            f"for the probability of one level: outcome={{{name!r}: {str(last)!r}}}"
        ) from error
    if not np.isfinite(numbers).all():
        raise ScmError(f"{name!r} has infinite values; drop those rows")
    return numbers


def _treatment(
    name: str, column: tuple[NDArray[Any], bool], values: Sequence[Any]
) -> tuple[tuple[Any, ...], Codes, Codes]:
    """Return the levels of the treatment, its codes, and those of the values asked about."""
    found, codes = np.unique(column[0], return_inverse=True)
    levels = tuple(found.tolist())
    if len(levels) > _MOST_LEVELS:
        raise ScmError(
            f"the treatment {name!r} has {len(levels)} different values and is taken to be "
            "continuous; adjustment here is for discrete treatments: cut it into levels, or fit a "
            "model and ask effect_curve(model, ...)"
        )
    asked = []
    for value in values:
        value = value.item() if hasattr(value, "item") else value
        if value not in levels:
            raise InterventionError(
                f"{name!r} is never {value!r} in these data (positivity); its levels are "
                f"{', '.join(map(repr, levels))}"
            )
        asked.append(levels.index(value))
    return levels, codes.reshape(-1).astype(np.int64), np.array(asked, dtype=np.int64)


def _event(
    event: Mapping[str, Any], columns: Mapping[str, tuple[NDArray[Any], bool]]
) -> NDArray[np.bool_]:
    """Return which rows meet an event."""
    hits = np.ones(len(next(iter(columns.values()))[0]), dtype=bool)
    if not event:
        raise GraphError("an empty event was given; give a level of a node, such as {'Y': 1}")
    for name, level in event.items():
        column = columns[name][0]
        if callable(level):
            hit = np.asarray(level(column))
            if hit.dtype != bool or hit.shape != column.shape:
                raise InterventionError(
                    f"the test of {name!r} returned {hit!r:.60}; expected one bool a row"
                )
        else:
            hit = column == (level.item() if hasattr(level, "item") else level)
            if not np.any(hit):
                raise InterventionError(
                    f"{name!r} is never {level!r} in these data; its values are "
                    f"{', '.join(map(repr, np.unique(column)[:10].tolist()))}"
                )
        hits &= hit
    return hits


def check_folds(rows: Rows, folds: int) -> None:
    """Raise `NotIdentifiedError` where a fold would have no unit with some treatment."""
    for value, code in zip(rows.values, rows.asked, strict=True):
        count = int((rows.treatment == code).sum())
        if count < folds:
            raise NotIdentifiedError(
                f"only {count} of {rows.n} units have {rows.name}={value!r}, too few for {folds} "
                "folds (positivity); collect such units, merge levels, or take fewer folds"
            )


def check_cells(rows: Rows, through: int | None = None) -> None:
    """Raise where a level, or a stratum of many units, never has a value of the treatment.

    With ``through``, only strata count that hold units with this code of the treatment.
    """
    checks: list[tuple[str, ...]] = [(name,) for name in rows.discrete]
    joint = tuple(rows.discrete)
    if len(joint) > 1:
        checks.append(joint)
    for names in checks:
        stacked = np.stack([rows.discrete[name][0] for name in names], 1)
        cells, which, sizes = np.unique(stacked, axis=0, return_inverse=True, return_counts=True)
        which = which.reshape(-1)
        for value, code in zip(rows.values, rows.asked, strict=True):
            count = np.bincount(which[rows.treatment == code], minlength=len(cells))
            share = float((rows.treatment == code).mean())
            empty = (count == 0) & ((len(names) == 1) | (sizes * share >= _SPARSE))
            if through is not None:
                empty &= np.bincount(which[rows.treatment == through], minlength=len(cells)) > 0
            if empty.any():
                cell = int(np.flatnonzero(empty)[0])
                at = ", ".join(
                    f"{name}={rows.discrete[name][1][k]!r}"
                    for name, k in zip(names, cells[cell], strict=True)
                )
                raise NotIdentifiedError(
                    f"none of the {sizes[cell]} units with {at} has {rows.name}={value!r} "
                    "(positivity fails), so nothing seen tells what it would do to them. Collect "
                    "such units, merge levels, leave those units out of the population, or ask "
                    "for bounds"
                )
