"""Acts: what is done to a node, and the values that a person may give.

`do`, `man` and `sweep` read what they are given into rules here, once and with every
check that needs no units; `program` carries them out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from scm.errors import InterventionError, ScmError, nearest
from scm.mechanisms.assignment import signature_names
from scm.mechanisms.macro import Move
from scm.mechanisms.mechanism import Mechanism
from scm.mechanisms.noise import Law, Noise
from scm.mechanisms.types import Categorical, NodeType

__all__ = ["NATURAL", "Act", "Axes", "Constant", "Drawn", "Natural", "Rule", "Sweep", "parse"]


class Natural:
    """The value that a node takes of itself: the factual world as an entry of a sweep."""

    def __repr__(self) -> str:
        return "NATURAL"


NATURAL = Natural()


@dataclass(frozen=True, eq=False)
class Sweep:
    """One world dimension: the values that one call of `sweep` listed, zipped by node."""

    values: Mapping[str, Sequence[Any]]

    @property
    def size(self) -> int:
        """Number of worlds along this dimension."""
        return len(next(iter(self.values.values())))

    def __repr__(self) -> str:
        names = ", ".join(f"{n}: {len(v)} values" for n, v in self.values.items())
        return f"Sweep({names})"


@dataclass(frozen=True, eq=False)
class Axes:
    """Where a tensor that samples handed out came from: its worlds and its units."""

    sweeps: tuple[Sweep, ...]
    draws: int | None
    ids: Tensor
    origin: object


@dataclass(frozen=True, eq=False)
class Constant:
    """A given value: for all units, by unit, or by world and unit."""

    tensor: Tensor
    axes: Axes | None = None


@dataclass(frozen=True, eq=False)
class Computed:
    """A function of the parents in this world, and of `natural` if it names it."""

    function: Callable[..., Any]
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Levels:
    """A distribution over levels, by its inverse distribution function.

    Attributes:
        upto: Distribution function, `(K,)` float64.
    """

    upto: Tensor
    noise = Noise("uniform")

    def push(self, noise: Tensor) -> Tensor:
        """Uniform noise `(*batch,)` to codes."""
        return torch.searchsorted(self.upto, noise.double().contiguous(), right=True)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A distribution, drawn from the stream (seed, node, "do", unit)."""

    law: Law | Levels


@dataclass(frozen=True, eq=False)
class Replaced:
    """Another mechanism in the place of the node's own."""

    mechanism: Mechanism


@dataclass(frozen=True, eq=False)
class Moved:
    """A shift of the natural value by dose times direction."""

    direction: Tensor
    dose: Constant | Drawn


Rule = Constant | Computed | Drawn | Replaced | Moved | Natural


@dataclass(frozen=True, eq=False)
class Act:
    """What is done to one node: a rule, or one for each world of a sweep."""

    node: str
    rules: tuple[Rule, ...]
    sweep: Sweep | None = None
    needs_parents: bool = field(init=False)

    def __post_init__(self) -> None:
        free = all(isinstance(rule, (Constant, Drawn)) for rule in self.rules)
        object.__setattr__(self, "needs_parents", not free)


_OPTIONS = (
    "a number or tensor, a function of the parents (and of natural=), a torch distribution, or a "
    "mechanism"
)


def parse(
    node: str, kind: NodeType, parents: Mapping[str, NodeType], value: Any, like: Tensor
) -> Rule:
    """Read one value of an act on ``node``.

    Args:
        kind: Type of the node.
        parents: Types of its parents.
        value: What the person gave.
        like: Tensor that carries the model's dtype and device.

    Raises:
        InterventionError: If the value is none of the options, or does not fit the node.
    """
    if isinstance(value, Natural):
        return NATURAL
    if isinstance(value, Move):
        return _move(node, kind, value, like)
    if isinstance(value, Distribution) and isinstance(kind, Categorical):
        return Drawn(_levels(node, kind, value, like))
    if isinstance(value, Distribution):
        law = _law(node, value, like)
        if law.event != kind.event:
            raise InterventionError(
                f"{law} was given for {node!r}, whose event is {kind.event}; use a distribution of "
                "that shape, such as Normal(torch.zeros(event), 1.0)"
            )
        return Drawn(law)
    if isinstance(value, Mechanism):
        return _replace(node, kind, parents, value, like)
    if isinstance(value, (type, nn.Module)):
        given = value.__name__ if isinstance(value, type) else type(value).__name__
        raise InterventionError(
            f"a {given} was given for {node!r}; expected {_OPTIONS}; wrap a module as "
            "Structural(module)"
        )
    if callable(value):
        required, optional, anything = signature_names(value)
        known = [*parents, "natural"]
        unknown = [name for name in required if name not in known]
        if unknown:
            raise InterventionError(
                f"the function given for {node!r} takes {required}; it may take any of {known}: "
                "the node's parents in the graph, and its natural value"
            )
        names = known if anything else [n for n in known if n in required + optional]
        return Computed(value, tuple(names))
    if value is None:
        raise InterventionError(f"None was given for {node!r}; expected {_OPTIONS}, or NATURAL")
    return _constant(node, kind, value, like)


def parse_sweep(
    node: str, kind: NodeType, parents: Mapping[str, NodeType], values: Any, like: Tensor
) -> tuple[Rule, ...]:
    """Read the list of values that a sweep gives to ``node``; errors as in `parse`."""
    one = isinstance(values, (str, bytes)) or not hasattr(values, "__len__")
    if one or (isinstance(values, (Tensor, np.ndarray)) and values.ndim == 0) or not len(values):
        raise InterventionError(
            f"sweep({node}={values!r}) was given; expected a non-empty list of values, each "
            f"{_OPTIONS}, or NATURAL for the factual world"
        )
    return tuple(parse(node, kind, parents, value, like) for value in values)


def _constant(node: str, kind: NodeType, value: Any, like: Tensor) -> Constant:
    axes = getattr(value, "_scm_axes", None)
    try:
        tensor = kind.encode(value, like)
        if isinstance(value, Tensor) and axes is None:
            tensor = tensor.clone()  # later changes of the person's own tensor are none of ours
        return Constant(tensor, axes)
    except ScmError as error:
        raise InterventionError(f"for {node!r}: {error}; expected {_OPTIONS}") from error


def _levels(node: str, kind: Categorical, distribution: Distribution, like: Tensor) -> Levels:
    support = distribution.support
    shaped = distribution.batch_shape or distribution.event_shape
    if shaped or support is None or not support.is_discrete:
        raise InterventionError(
            f"{distribution} was given for {node!r}, which is {kind}; expected one distribution "
            "over its codes, such as Bernoulli(p) or Categorical(probs) of torch.distributions"
        )
    codes = torch.arange(kind.size)
    codes = codes[support.check(codes)]
    probs = torch.zeros(kind.size, dtype=torch.float64)
    probs[codes] = distribution.log_prob(codes.to(torch.float64)).exp().double().cpu()
    upto = probs.cumsum(0)
    if (upto[-1] - 1).abs() > 1e-5:
        raise InterventionError(
            f"{distribution} was given for {node!r}, which is {kind}; it gives the codes below "
            f"{kind.size} probability {float(upto[-1]):.4g}, not 1"
        )
    return Levels((upto / upto[-1]).to(like.device))


def _law(node: str, distribution: Distribution, like: Tensor) -> Law:
    try:
        return Law(distribution).to(like)
    except ScmError as error:
        raise InterventionError(f"for {node!r}: {error}") from error


def _replace(
    node: str,
    kind: NodeType,
    parents: Mapping[str, NodeType],
    mechanism: Mechanism,
    like: Tensor,
) -> Replaced:
    if mechanism.type.event != kind.event or type(mechanism.type) is not type(kind):
        raise InterventionError(
            f"a mechanism of {mechanism.type} was given for {node!r}, which is {kind}"
        )
    from scm.mechanisms.roots import Empirical, Root

    rootlike = isinstance(mechanism, (Root, Empirical)) or not mechanism_takes_parents(mechanism)
    if mechanism.node == "?":
        try:
            mechanism.bind(node, {} if rootlike else parents)
        except ScmError as error:
            raise InterventionError(f"for {node!r}: {error}") from error
    elif dict(mechanism.parents) not in ({}, dict(parents)):
        raise InterventionError(
            f"a mechanism bound to {mechanism.node!r} with parents {list(mechanism.parents)} was "
            f"given for {node!r}, whose parents are {list(parents)}; make a new one"
        )
    return Replaced(mechanism.to(like.device))


def mechanism_takes_parents(mechanism: Mechanism) -> bool:
    """False for a table over its own levels alone, which acts as a root."""
    probs = getattr(mechanism, "probs", None)
    return probs is None or probs.ndim > 1


def _move(node: str, kind: NodeType, move: Move, like: Tensor) -> Moved:
    direction = _constant(node, kind, move.direction, like).tensor
    if tuple(direction.shape) != kind.event:
        raise InterventionError(
            f"a direction of shape {tuple(direction.shape)} was given for {node!r}; expected its "
            f"event shape {kind.event}"
        )
    if isinstance(move.dose, Distribution):
        dose: Constant | Drawn = Drawn(_law(node, move.dose, like))
    else:
        from scm.mechanisms.types import Real

        dose = _constant(node, Real(), move.dose, like)
    return Moved(direction, dose)


def unknown(names: Sequence[Any], known: Sequence[str], verb: str) -> None:
    """Refuse names that the model does not have.

    Raises:
        InterventionError: With the nearest names.
    """
    for name in names:
        if name not in known:
            raise InterventionError(
                f"{verb} names {name!r}, which is no node of this model; {nearest(name, known)}"
            )
