"""Networks of tables: checked once, then cut by an act to the part that a query needs."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence

import numpy as np

from scm.errors import MechanismError, nearest
from scm.exact.elimination import Array, Factor
from scm.graph import CausalGraph

__all__ = ["ancestors_after", "checked_levels", "checked_tables", "factors_after"]

_TOLERANCE = 1e-4  # of a row's sum: float32 tables are welcome, and normalised


def checked_tables(graph: CausalGraph, tables: Mapping[str, object]) -> dict[str, Array]:
    """Return the table of every node in float64, each row summing to one.

    Raises:
        MechanismError: if the graph has ``<->``, a table is missing or unknown, its shape does
            not fit those of its parents, or a row is no distribution.
    """
    if graph.bidirected:
        pairs = ", ".join(f"{a} <-> {b}" for a, b in graph.bidirected)
        raise MechanismError(
            f"exact inference needs a table for every cause, and {pairs} has none: name the "
            "common cause, as in CausalGraph('C -> A, B', latent=['C'])"
        )
    for name in tables:
        if name not in graph:
            raise MechanismError(f"a table for {name!r}: {nearest(name, graph.nodes)}")
    missing = [node for node in graph.nodes if node not in tables]
    if missing:
        raise MechanismError(f"these nodes have no table: {', '.join(missing)}")
    found = {node: np.array(tables[node], dtype=np.float64) for node in graph.nodes}
    for node, table in found.items():
        parents = graph.parents(node)
        if table.ndim != len(parents) + 1 or 0 in table.shape:
            raise MechanismError(
                f"the table of {node!r} needs {len(parents) + 1} axes, one for each parent "
                f"({', '.join(parents) or 'none'}), then its own levels; got shape {table.shape}"
            )
    for node, table in found.items():
        parents = graph.parents(node)
        expected = tuple(found[p].shape[-1] for p in parents)
        if table.shape[:-1] != expected:
            raise MechanismError(
                f"the table of {node!r} must have shape {(*expected, table.shape[-1])}: the levels "
                f"of its parents ({', '.join(parents)}), then its own; got {table.shape}"
            )
        total = table.sum(-1, keepdims=True)
        if not (np.all(table >= 0) and np.all(np.abs(total - 1) <= _TOLERANCE)):
            raise MechanismError(
                f"every row of the table of {node!r} must be non-negative and sum to one over "
                f"the last axis; the sums lie in [{total.min():.6g}, {total.max():.6g}] and the "
                f"least entry is {table.min():.6g}"
            )
        table /= total
        table.flags.writeable = False
    return found


def checked_levels(
    tables: Mapping[str, Array], levels: Mapping[str, Sequence[Hashable]]
) -> dict[str, tuple[Hashable, ...]]:
    """Return the names of the levels of every node; ``0, 1, ...`` where none are given.

    Raises:
        MechanismError: if a node is unknown, or its names are repeated or too many or too few.
    """
    for name, of in levels.items():
        if name not in tables:
            raise MechanismError(f"levels for {name!r}: {nearest(name, tables)}")
        if len(of) != tables[name].shape[-1] or len(set(of)) != len(of):
            raise MechanismError(
                f"{name!r} needs {tables[name].shape[-1]} different levels; got {list(of)!r}"
            )
    return {n: tuple(levels.get(n, range(table.shape[-1]))) for n, table in tables.items()}


def ancestors_after(
    graph: CausalGraph, nodes: Collection[str], do: Collection[str]
) -> frozenset[str]:
    """Return ``nodes`` and their ancestors in the graph whose edges into ``do`` are cut."""
    found: set[str] = set()
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            if node not in do:
                stack.extend(graph.parents(node))
    return frozenset(found)


def factors_after(
    graph: CausalGraph, tables: Mapping[str, Array], nodes: Collection[str], do: Collection[str]
) -> Iterator[Factor]:
    """Yield the factors that ``nodes`` depend on after an act on ``do``.

    They are those of the truncated factorisation (Pearl 2009, eq. 3.10) less what is barren.
    """
    for node in ancestors_after(graph, nodes, do):
        if node not in do:
            yield Factor((*graph.parents(node), node), tables[node])
