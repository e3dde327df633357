"""Cases: what a law is tried on, how it is written down, and what is smaller."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Uniform

from scm.mechanisms.macro import Macro
from scm.mechanisms.types import Categorical, NodeType, Real
from scm.model import SCM
from scm.worlds.samples import Samples

__all__ = ["Case", "Value", "actable", "draw_acts", "draw_value", "draw_worlds", "shrink"]

Kind = Literal["constant", "shift", "drawn"]


@dataclass(frozen=True, eq=False)
class Value:
    """A value of an act that can be written down and made simpler.

    Attributes:
        node: Node that is acted on.
        kind: "constant"; "shift", a function that adds to the natural value (modulo the
            levels of a categorical node); or "drawn", uniform between 0 and `number`.
        number: A code, a number, or a tensor of the node's event.
        levels: Number of levels of a categorical node, 0 elsewhere.
    """

    node: str
    kind: Kind
    number: Any
    levels: int = 0

    @property
    def act(self) -> Any:
        """What `do` is given."""
        if self.kind == "constant":
            return self.number
        if self.kind == "drawn":
            ends = sorted((0.0, float(self.number)))
            return Uniform(ends[0], ends[1] if ends[1] > ends[0] else ends[0] + 1.0)
        number, levels = self.number, self.levels

        def shifted(natural: Tensor) -> Tensor:
            dose = number.to(natural.device) if isinstance(number, Tensor) else number
            return (natural + dose) % levels if levels else natural + dose

        return shifted

    @property
    def complexity(self) -> tuple[int, int, float]:
        """Smaller is easier to read: constants first, then few digits, then near zero."""
        kinds = ("constant", "shift", "drawn")
        if isinstance(self.number, Tensor):
            rounded = self.number.double().abs()
            digits = sum(len(f"{v:g}") for v in rounded.flatten()[:64].tolist())
            return kinds.index(self.kind), digits, float(rounded.sum())
        return kinds.index(self.kind), len(f"{abs(self.number):g}"), abs(float(self.number))

    def smaller(self) -> Iterator[Value]:
        """Simpler values of the same node."""
        tries: list[Value] = []
        if self.kind != "constant":
            tries.append(replace(self, kind="constant"))
        if isinstance(self.number, Tensor):
            tries += [replace(self, number=torch.full_like(self.number, k)) for k in (0, 1)]
            tries += [replace(self, number=self.number.round(decimals=k)) for k in (0, 1)]
        elif self.levels:
            tries += [replace(self, number=k) for k in range(int(self.number))]
        else:
            tries += [replace(self, number=v) for v in (0.0, 1.0)]
            tries += [replace(self, number=round(float(self.number), k)) for k in (0, 1)]
        yield from (t for t in tries if t.complexity < self.complexity)

    def __str__(self) -> str:
        if isinstance(self.number, Tensor) and self.number.numel() > 4:
            shape = tuple(self.number.shape)
            number = f"<{shape}, from {self.number.min():.3g} to {self.number.max():.3g}>"
        elif isinstance(self.number, Tensor):
            number = str([round(v, 4) for v in self.number.flatten().tolist()])
        else:
            number = f"{self.number:g}"
        shown = {
            "constant": number,
            "shift": f"natural + {number}" + (f" mod {self.levels}" if self.levels else ""),
            "drawn": f"Uniform between 0 and {number}",
        }
        return f"{self.node}={shown[self.kind]}"


@dataclass(frozen=True, eq=False)
class Case:
    """One thing to try a law on; a law uses the fields that it needs.

    Attributes:
        acts: Acts that are made first.
        more: Acts that are made next, on other nodes.
        worlds: Values of a sweep, by node.
        sets: Sets of nodes by role, for laws about distributions.
        levels: Level names by node, for laws about events.
        n: Number of units; 0 for a law about distributions.
        start: First unit.
        seed: Seed of the population.
    """

    acts: tuple[Value, ...] = ()
    more: tuple[Value, ...] = ()
    worlds: tuple[Value, ...] = ()
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    levels: Mapping[str, Any] = field(default_factory=dict)
    n: int = 0
    start: int = 0
    seed: int = 0

    @property
    def nodes(self) -> set[str]:
        """Nodes that are acted on."""
        return {v.node for v in (*self.acts, *self.more, *self.worlds)}

    def smaller(self) -> Iterator[Case]:
        """Simpler cases, the boldest first."""
        for name, values in self._groups():
            for k in range(len(values)):
                yield self._put(name, values[:k] + values[k + 1 :])
        for role, nodes in self.sets.items():
            for k in range(len(nodes)):
                yield replace(self, sets={**self.sets, role: nodes[:k] + nodes[k + 1 :]})
        for node in self.levels:
            yield replace(self, levels={k: v for k, v in self.levels.items() if k != node})
        yield from (
            replace(self, n=n) for n in sorted({1, 2, self.n // 2, self.n - 1}) if 0 < n < self.n
        )
        if self.start:
            yield replace(self, start=0)
            yield replace(self, start=self.start // 2)
        if self.seed:
            yield replace(self, seed=0)
        for name, values in self._groups():
            for k, value in enumerate(values):
                for simple in value.smaller():
                    yield self._put(name, (*values[:k], simple, *values[k + 1 :]))

    def _groups(self) -> tuple[tuple[str, tuple[Value, ...]], ...]:
        return ("acts", self.acts), ("more", self.more), ("worlds", self.worlds)

    def _put(self, name: str, values: tuple[Value, ...]) -> Case:
        changes: dict[str, Any] = {name: values}
        return replace(self, **changes)

    def __str__(self) -> str:
        text = []
        if self.acts:
            text.append(f"do({', '.join(map(str, self.acts))})")
        if self.more:
            text.append(f"then do({', '.join(map(str, self.more))})")
        if self.worlds:
            text.append(f"worlds {', '.join(map(str, self.worlds))}")
        shown = [f"{role} {{{', '.join(of)}}}" for role, of in self.sets.items() if of]
        shown += [", ".join(f"{k}={v!r}" for k, v in self.levels.items())] if self.levels else []
        if self.n:
            last = self.start + self.n - 1
            units = f"unit {last}" if self.n == 1 else f"units {self.start} to {last}"
            shown.append(f"{units} of seed {self.seed}")
        return "; ".join([*text, *shown])


def shrink(
    case: Case, message: str, fails: Callable[[Case], str | None], budget: int = 150
) -> tuple[Case, str]:
    """Return the simplest failing case that greedy steps from ``case`` find, and its message."""
    better = True
    while better and budget > 0:
        better = False
        for smaller in case.smaller():
            budget -= 1
            found = fails(smaller) if budget >= 0 else None
            if found is not None:
                case, message, better = smaller, found, True
                break
            if budget <= 0:
                break
    return case, message


def actable(model: SCM, macros: bool = True) -> list[str]:
    """Nodes that one can act on: all but macro-variables without a writer."""
    found = []
    for node, mechanism in model.mechanisms.items():
        if not isinstance(mechanism, Macro) or (macros and mechanism.write is not None):
            found.append(node)
    return found


def draw_value(
    model: SCM, node: str, pilot: Samples, rng: random.Random, constant: bool = False
) -> Value:
    """Draw a value of an act on ``node`` from what the pilot's units have there."""
    kind: NodeType = model.mechanisms[node].type
    natural = pilot[node][rng.randrange(pilot.n)].detach().cpu()
    how: Kind = "constant" if constant else rng.choice(("constant", "constant", "shift", "drawn"))
    if isinstance(kind, Categorical):
        if how == "shift" and kind.size > 1:
            return Value(node, "shift", rng.randrange(1, kind.size), kind.size)
        return Value(node, "constant", int(natural), kind.size)
    if type(kind) is not Real or (kind.event and how == "drawn"):
        return Value(node, "constant", natural)
    number: Any = natural if kind.event else float(f"{natural:.3g}")
    return Value(node, how, number)


def draw_acts(
    model: SCM,
    pilot: Samples,
    rng: random.Random,
    most: int = 2,
    least: int = 0,
    avoid: set[str] | None = None,
    constant: bool = False,
    macros: bool = True,
) -> tuple[Value, ...]:
    """Draw acts on up to ``most`` nodes that are not among ``avoid``."""
    nodes = [node for node in actable(model, macros) if node not in (avoid or ())]
    count = min(len(nodes), rng.randint(least, most))
    chosen = rng.sample(nodes, count)
    return tuple(draw_value(model, node, pilot, rng, constant) for node in chosen)


def draw_worlds(
    model: SCM, pilot: Samples, rng: random.Random, node: str, most: int = 3
) -> tuple[Value, ...]:
    """Draw the values of a sweep over ``node``."""
    return tuple(draw_value(model, node, pilot, rng) for _ in range(rng.randint(1, most)))
