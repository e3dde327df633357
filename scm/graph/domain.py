"""What may be asked of numbers: names, the levels of each, and events over them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence

from scm.errors import GraphError, InterventionError, nearest

__all__ = ["Act", "Domain", "Event"]

Event = Mapping[str, object]
"""Name -> level, by code or by the level's name: an event such as ``{"X": 1, "Y": "red"}``."""

Act = Event | str | Iterable[str] | None
"""An event, where ``None`` for a level, or names alone, mean every level."""


class Domain:
    """Names, and the levels of each: translates what a user writes into codes.

    Example:
        >>> domain = Domain({"Y": ("red", "blue"), "X": (0, 1)})
        >>> domain.event({"Y": "blue", "X": 1}, "outcome")
        {'Y': 1, 'X': 1}
        >>> domain.act("X", "do")
        {'X': None}
    """

    def __init__(self, levels: Mapping[str, Sequence[Hashable]]) -> None:
        self.levels = {name: tuple(of) for name, of in levels.items()}
        self._codes = {n: {level: k for k, level in enumerate(of)} for n, of in levels.items()}

    def require(self, *names: str) -> tuple[str, ...]:
        """Return ``names`` if all are known.

        Raises:
            GraphError: naming the nearest.
        """
        for name in names:
            if name not in self._codes:
                raise GraphError(f"there is no node {name!r}: {nearest(name, self._codes)}")
        return names

    def code(self, name: str, level: object) -> int:
        """Return the code of a level; a name comes before a code where both would do.

        Raises:
            GraphError: if the name is unknown.
            InterventionError: if there is no such level.
        """
        try:
            return self._codes[name][level]
        except (KeyError, TypeError):
            self.require(name)
        if hasattr(level, "item") and math.prod(getattr(level, "shape", ())) == 1:
            return self.code(name, level.item())  # a scalar of numpy or torch
        known = self.levels[name]
        if isinstance(level, int) and 0 <= level < len(known):
            return int(level)
        raise InterventionError(
            f"{name!r} has no level {level!r}; its levels are {', '.join(map(repr, known))}"
        )

    def event(self, event: Event | None, role: str) -> dict[str, int]:
        """Return name -> code.

        Raises:
            InterventionError: if it is no mapping, or a level is missing or unknown.
        """
        if event is None:
            return {}
        if not isinstance(event, Mapping):
            raise InterventionError(
                f"{role} must map names to levels, such as {{'X': 1}}; got {event!r}"
            )
        for name, level in event.items():
            if level is None:
                self.require(name)
                raise InterventionError(
                    f"{role} needs a level for {name!r}; `table` takes every level at once"
                )
        return {name: self.code(name, level) for name, level in event.items()}

    def act(self, act: Act, role: str) -> dict[str, int | None]:
        """Return name -> code, or ``None`` for every level.

        Raises:
            InterventionError: if it is neither an event nor names.
        """
        if isinstance(act, str):
            act = (act,)
        if isinstance(act, Mapping):
            fixed = self.event({n: x for n, x in act.items() if x is not None}, role)
            return {name: fixed.get(name) for name in self.require(*act)}
        if act is None:
            return {}
        try:
            names: tuple[object, ...] = tuple(act)
        except TypeError:
            names = (act,)
        known = [name for name in names if isinstance(name, str)]
        if len(known) != len(names):
            raise InterventionError(f"{role} must map names to levels, or name nodes; got {act!r}")
        return dict.fromkeys(self.require(*known))

    def show(self, codes: Mapping[str, int | None]) -> str:
        """Return an event as text: ``X=1, Y='red'``."""
        return ", ".join(
            name if code is None else f"{name}={self.levels[name][code]!r}"
            for name, code in codes.items()
        )
