"""What bounds are computed from: the law of a model of tables, or discrete data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scm.errors import GraphError, InterventionError, ScmError, nearest
from scm.graph.domain import Domain, Event
from scm.graph.empirical import Empirical, as_source
from scm.graph.evaluation import Source

__all__ = ["Array", "codes", "discrete", "domain_of", "present", "probabilities", "read_source"]

Array = NDArray[np.float64]

_FEW = 20  # different values that a column of floats may have and still count as levels


def read_source(source: Any, names: Iterable[str] | None = None) -> Source:
    """Return a law, or data as frequencies.

    Args:
        source: A `Joint`, its ``observed()``, a model whose ``exact()`` is one, a pandas data
            frame, a mapping of columns, or `Samples`.
        names: The nodes that are needed; all by default.

    Raises:
        GraphError: If a node is not in the source; the nearest names are listed.
        ScmError: If a column is continuous, or the source is of another kind.
    """
    if callable(getattr(source, "exact", None)):
        source = source.exact()
    if hasattr(source, "table") and hasattr(source, "levels"):
        law: Source = source
        present(names or (), law.levels)
        return law
    if not isinstance(source, Mapping) and not hasattr(source, "columns"):
        return as_source(source, names or ())
    columns = list(source if names is None else names)
    present(columns, list(source))
    for name in columns:
        discrete(name, source)
    return Empirical.of(source, columns)


def present(names: Iterable[str], known: Iterable[str]) -> None:
    """Raise where a name is unknown.

    Raises:
        GraphError: naming the nearest.
    """
    known = list(known)
    for name in names:
        if name not in known:
            raise GraphError(f"there is no node {name!r} here; {nearest(name, known)}")


def discrete(name: str, data: Any) -> None:
    """Raise where a column is continuous.

    Raises:
        ScmError: If the node of `Samples` is not categorical, or a column of floats has many
            different values.
    """
    mechanisms = getattr(getattr(data, "program", None), "mechanisms", {})
    kind = getattr(mechanisms.get(name), "type", None)
    column = data[name]
    values = np.asarray(column.detach().cpu() if hasattr(column, "detach") else column)
    continuous = kind is not None and not hasattr(kind, "names")
    if not continuous and values.dtype.kind == "f":
        distinct = np.unique(values[~np.isnan(values)])
        continuous = len(distinct) > _FEW or bool((distinct % 1 != 0).any() and len(distinct) > 2)
    if continuous:
        raise ScmError(
            f"{name!r} is continuous, and bounds are of probabilities of discrete events: cut it "
            f"into levels first, such as pandas.cut(data[{name!r}], 4) or data[{name!r}] > "
            "threshold; of a linear Gaussian model, `linear_ratio` gives the effect itself"
        )


def domain_of(law: Source) -> Domain:
    """Return the names and levels of a law, to translate events with."""
    return Domain({name: tuple(of) for name, of in law.levels.items()})


def codes(
    domain: Domain, outcome: Event, do: Event, **others: Event | None
) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Return outcome, do and one more event in codes; no node may have two roles.

    Raises:
        GraphError: If a name is unknown, a node has two roles, or outcome or do is empty.
        InterventionError: If a level is unknown.
    """
    (role, other), *_ = (*others.items(), ("given", None))
    events = {
        "outcome": domain.event(outcome, "outcome"),
        "do": domain.event(do, "do"),
        role: domain.event(other, role),
    }
    for name in ("outcome", "do"):
        if not events[name]:
            raise GraphError(f"{name} is empty; give a level of a node, such as {name}={{'Y': 1}}")
    seen: dict[str, str] = {}
    for role, event in events.items():
        for name in event:
            if name in seen:
                raise GraphError(
                    f"{name!r} is in {seen[name]} and in {role}: a node has one role in a query. "
                    "Leave it out of one of them"
                )
            seen[name] = role
    first, second, third = events.values()
    return first, second, third


def probabilities(law: Source, names: Iterable[str], do: Event | None = None) -> Array:
    """Return P(names | do) with an axis for each name, in float64."""
    table = law.table(*names, do=do) if do else law.table(*names)
    return np.asarray(table.values, dtype=np.float64)


def refuse_macros(law: Source, do: Iterable[str]) -> None:
    """Raise where a macro-variable is acted on: what that does depends on how it is written.

    Raises:
        InterventionError: naming its micro nodes.
    """
    graph = getattr(law, "graph", None)
    for name in do:
        if graph is not None and name in graph and graph.is_constitutive(name):
            micro = ", ".join(graph.micro(name))
            raise InterventionError(
                f"{name!r} is a macro-variable, a function of {micro}: what do({name}) does "
                f"depends on how {micro} is written. Bound do({micro}) instead"
            )
