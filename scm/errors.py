"""The errors of scm: each says what was given, what was expected, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scm.graph.hedge import Hedge

__all__ = [
    "GraphError",
    "InterventionError",
    "MechanismError",
    "NotIdentifiedError",
    "ScmError",
    "nearest",
]


class ScmError(ValueError):
    """Root of every error that scm raises on purpose.

    Example:
        >>> import scm
        >>> try:
        ...     scm.CausalGraph("A -> B -> A")
        ... except scm.ScmError as error:
        ...     print(type(error).__name__)
        GraphError
    """


class GraphError(ScmError):
    """A graph, or a question about one, that makes no sense (a cycle, an unknown node).

    Example:
        >>> import scm
        >>> scm.CausalGraph("A -> B").parents("C")
        Traceback (most recent call last):
        scm.errors.GraphError: ...'C'...
    """


class MechanismError(ScmError):
    """A mechanism that does not fit its node, its parents, or its data.

    Example:
        >>> import scm
        >>> scm.SCM("A -> B", A=scm.Root.normal())
        Traceback (most recent call last):
        scm.errors.MechanismError: ...B...
    """


class InterventionError(ScmError):
    """An act, or evidence, that the model cannot carry out.

    Example:
        >>> import scm
        >>> scm.SCM("A", A=scm.Root.bernoulli(0.5)).do(B=1)
        Traceback (most recent call last):
        scm.errors.InterventionError: ...B...
    """


class NotIdentifiedError(ScmError):
    """A causal quantity that the graph and the observed margin do not determine.

    Attributes:
        hedge: The `scm.graph.Hedge` that proves it, or None where the reason is another
            (a macro-variable that is set, a cell of the data that is empty).

    Example:
        >>> import scm
        >>> try:
        ...     scm.CausalGraph("X -> Y; X <-> Y").identify("Y", do="X")
        ... except NotIdentifiedError as error:
        ...     print(error.hedge)
        the hedge F = {X -> Y; X <-> Y}, F' = {Y} with root Y
    """

    def __init__(self, message: str = "", hedge: Hedge | None = None) -> None:
        super().__init__(message)
        self.hedge = hedge


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
