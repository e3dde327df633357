"""The roles of nodes in a question: outcome, act or condition, with one level or with every."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from scm.errors import InterventionError
from scm.graph import CausalGraph

__all__ = ["Codes", "check_acts", "check_axes", "split"]

Codes = Mapping[str, int | None]
"""Name -> the code of a level, or ``None`` for every level."""


def split(acts: Codes, seen: Codes) -> tuple[list[str], dict[str, int]]:
    """Return the names with every level, and the codes of the others: the act's, if both.

    Example:
        >>> split({"X": None, "W": 1}, {"Z": 0})
        (['X'], {'Z': 0, 'W': 1})
    """
    free = [n for n, code in (*acts.items(), *seen.items()) if code is None]
    return free, {n: c for n, c in (*seen.items(), *acts.items()) if c is not None}


def check_acts(graph: CausalGraph, acts: Collection[str]) -> None:
    """Raise if an act sets a macro-variable.

    Raises:
        InterventionError: naming what it is made of.
    """
    for name in acts:
        if graph.is_constitutive(name):
            micro = ", ".join(graph.parents(name))
            raise InterventionError(
                f"{name!r} is a macro-variable, a function of {micro}: an exact do({name}) "
                f"must say how {micro} changes. Act on {micro} instead (man), or sample a "
                "model whose Macro has a writer"
            )


def check_axes(names: Collection[str], acts: Codes, seen: Codes) -> None:
    """Raise if a node would need two axes, or one axis and one level.

    Raises:
        InterventionError: naming the nodes.
    """
    axes = Counter((*split(acts, seen)[0], *names))
    twice = sorted([n for n, count in axes.items() if count > 1])
    twice += [n for n in seen if n in acts and None in (seen[n], acts[n]) and n not in twice]
    if twice:
        raise InterventionError(
            f"{', '.join(twice)} cannot stand in two places of a table: outcomes, do and "
            "given with every level must be different nodes"
        )
