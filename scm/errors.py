"""The errors of scm: each says what was given, what was expected, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "GraphError",
    "InterventionError",
    "MechanismError",
    "NotIdentifiedError",
    "ScmError",
    "nearest",
]


class ScmError(ValueError):
    """Root of every error that scm raises on purpose."""


class GraphError(ScmError):
    """A graph, or a question about one, that makes no sense (a cycle, an unknown node)."""


class MechanismError(ScmError):
    """A mechanism that does not fit its node, its parents, or its data."""


class InterventionError(ScmError):
    """An act, or evidence, that the model cannot carry out."""


class NotIdentifiedError(ScmError):
    """A causal quantity that the graph and the observed margin do not determine."""


def nearest(name: object, names: Iterable[str]) -> str:
    """Return the tail of a message about an unknown ``name``: the close names, then all of them.

    Example:
        >>> nearest("Colour", ["colour", "shape"])
        "did you mean 'colour'? Known: 'colour', 'shape'"
    """
    known = list(names)
    folded = {k.lower(): k for k in reversed(known)}
    close = [folded[c] for c in difflib.get_close_matches(str(name).lower(), folded, n=3)]
    hint = f"did you mean {' or '.join(repr(c) for c in close)}? " if close else ""
    return f"{hint}Known: {', '.join(repr(k) for k in known) or 'none'}"
