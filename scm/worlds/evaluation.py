"""Evaluation of a program: each node's value in every world that reaches it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from scm.errors import InterventionError, MechanismError, ScmError
from scm.mechanisms.assignment import broadcast, check_shape, pad
from scm.mechanisms.macro import Macro
from scm.mechanisms.mechanism import Mechanism
from scm.mechanisms.types import Categorical, NodeType, Real
from scm.worlds.acts import Act, Computed, Constant, Drawn, Moved, Natural, Replaced, Rule
from scm.worlds.layout import At, Layout
from scm.worlds.population import Population
from scm.worlds.program import Program
from scm.worlds.writing import write

__all__ = ["Evaluation", "groups"]

_AHEAD = 2**25


class Evaluation:
    """Values of a program's nodes for a population, each computed when first asked for.

    Args:
        program: What to compute.
        population: For which units.
        known: Values that are kept, already laid out for this program.
        grad: Keep gradients.
    """

    def __init__(
        self,
        program: Program,
        population: Population,
        known: Mapping[str, Tensor] | None = None,
        grad: bool = False,
    ) -> None:
        self.program, self.population, self.grad = program, population, grad
        self.layout = Layout(program.sweeps, population.draws, population.n)
        self.values: dict[str, Tensor] = dict(known or {})
        self.written: dict[str, Tensor] = {}
        self._pending: dict[str, Any] = {}

    def compute(self, wanted: Iterable[str]) -> None:
        """Compute the wanted nodes and what they need.

        Raises:
            ScmError: If a mechanism or an act fails; the node is named.
        """
        order = self._order(wanted)
        if not order:
            return
        self.program.check_modes()
        ahead = deque(node for node in order if self._draws_noise(node))
        with torch.set_grad_enabled(self.grad):
            for node in order:
                if ahead and node == ahead[0]:
                    self._draw_together(ahead)
                self.values[node] = self._value(node)
                self._pending.pop(node, None)

    def _order(self, wanted: Iterable[str]) -> list[str]:
        graph = self.program.graph
        needed: set[str] = set()
        stack = [node for node in wanted if node not in self.values]
        while stack:
            node = stack.pop()
            if node in needed or node in self.values:
                continue
            needed.add(node)
            if self.program.reads_parents(node):
                stack.extend(graph.parents(node))
        return [node for node in graph.topological_order() if node in needed]

    def _draws_noise(self, node: str) -> bool:
        mechanism = self.program.mechanisms[node]
        return mechanism.noise is not None and self.program.reads_parents(node)

    def _draw_together(self, ahead: deque[str]) -> None:
        """Draw the noise of the next nodes in parallel, up to `_AHEAD` numbers.

        They are waited for before anything is computed: drawing and computing at once
        would have two sets of threads fight for the same cores.
        """
        numbers = 0
        while ahead and (not numbers or numbers < _AHEAD):
            node = ahead.popleft()
            noise = self.program.mechanisms[node].noise
            assert noise is not None
            stream = self.program.streams[node]
            self._pending[node] = self.population.begin(node, stream, noise)
            numbers += self.population.n * noise.width * (self.population.draws or 1)
        for pending in self._pending.values():
            if pending is not None:
                pending.wait()

    def _value(self, node: str) -> Tensor:
        graph = self.program.graph
        parents = {p: self.values[p] for p in graph.parents(node) if p in self.values}
        act = None if graph.is_constitutive(node) else self.program.acts.get(node)
        macros = [c for c in graph.macros(node) if c in self.program.acts]
        try:
            value = self._act(node, act, parents)
            return write(self, node, value, macros) if macros else value
        except ScmError:
            raise
        except Exception as error:
            raise MechanismError(
                f"computing {node!r} from {graph.parents(node)} failed with "
                f"{type(error).__name__}: {error}"
            ) from error

    def _act(self, node: str, act: Act | None, parents: Mapping[str, Tensor]) -> Tensor:
        if act is None:
            return self._only_once(node, parents)
        if act.sweep is None:
            natural = partial(self.natural, node, parents)
            return self._rule(node, act.rules[0], parents, natural)
        axis = self.layout.axis(act.sweep)
        constants = [rule.tensor for rule in act.rules if isinstance(rule, Constant)]
        rank = len(self.program.mechanisms[node].type.event)
        if len(constants) == len(act.rules) and all(c.ndim == rank for c in constants):
            return self.layout.by_entry(torch.stack(constants), axis)
        shared = cache(partial(self.natural, node, parents))
        varies = any(v.shape[axis] > 1 for v in parents.values())
        parts = []
        for entries, rule in groups(act.rules):
            there = {p: self.layout.select(v, axis, entries) for p, v in parents.items()}
            own = partial(self.natural, node, there) if varies else shared
            part = self._rule(node, rule, there, own, (axis, entries))
            parts.append((entries, part))
        return self.layout.join(parts, axis)

    def _rule(
        self,
        node: str,
        rule: Rule,
        parents: Mapping[str, Tensor],
        natural: Callable[[], Tensor],
        at: At | None = None,
    ) -> Tensor:
        own = self.program.mechanisms[node]
        event = own.type.event
        if isinstance(rule, Natural):
            return natural()
        if isinstance(rule, Constant):
            return self.place(node, rule, own.type, at)
        if isinstance(rule, Drawn):
            drawn = self.population.drawn(self.stream(node, "do"), rule.law)
            return self.layout.lead(drawn, len(event))
        if isinstance(rule, Replaced):
            return self._replaced(node, rule.mechanism, parents)
        if isinstance(rule, Moved):
            dose = self._dose(node, rule, at)
            return natural() + dose[(..., *[None] * len(event))] * rule.direction
        arguments = {p: parents[p] for p in rule.names if p != "natural"}
        kinds = self.program.types(list(arguments))
        if "natural" in rule.names:
            arguments["natural"], kinds["natural"] = natural(), own.type
        return self.computed(node, rule, own.type, arguments, kinds)

    def computed(
        self,
        node: str,
        rule: Computed,
        kind: NodeType,
        arguments: Mapping[str, Tensor],
        kinds: Mapping[str, NodeType],
    ) -> Tensor:
        """Value of a person's function of ``arguments`` at a node of type ``kind``."""
        rank = len(kind.event)
        leads = [v.shape[: self.layout.rank] for v in arguments.values()]
        batch = broadcast(self.layout.plain, *leads)
        named = {
            name: pad(v.expand(*batch, *kinds[name].event), kinds[name], rank)
            for name, v in arguments.items()
        }
        out = rule.function(**named)
        checked = check_shape(out, batch, kind.event, f"function given for {node!r}")
        return typed(checked, kind, node, self.program.like)

    def place(self, node: str, rule: Constant, kind: NodeType, at: At | None) -> Tensor:
        """Lay out a given value; see `Layout.place`."""
        try:
            return self.layout.place(rule, kind, self.population, at)
        except ScmError as error:
            raise InterventionError(f"for {node!r}: {error}") from error

    def _dose(self, node: str, rule: Moved, at: At | None) -> Tensor:
        if isinstance(rule.dose, Constant):
            return self.place(node, rule.dose, Real(), at)
        return self.layout.lead(self.population.drawn(self.stream(node, "do"), rule.dose.law), 0)

    def stream(self, node: str, purpose: str) -> str:
        """Name of a noise stream of the node's beside its own."""
        return f"{self.program.streams[node]}\0{purpose}"

    def _replaced(self, node: str, other: Mechanism, parents: Mapping[str, Tensor]) -> Tensor:
        own = self.program.mechanisms[node]
        noise = None
        if other.noise is not None and other.noise == own.noise:
            noise = self._noise(node)
        elif other.noise is not None:
            noise = self.population.extra(self.stream(node, "do"), other.noise)
        there = {p: v for p, v in parents.items() if p in other.parents}
        return self.call(other, there, noise)

    def _noise(self, node: str) -> Tensor | None:
        noise = self.program.mechanisms[node].noise
        if noise is None:
            return None
        stream = self.program.streams[node]
        return self.population.noise(node, stream, noise, self._pending.get(node))

    def natural(self, node: str, parents: Mapping[str, Tensor]) -> Tensor:
        """`f(parents, U)` by the node's own mechanism."""
        return self.call(self.program.mechanisms[node], parents, self._noise(node))

    def _only_once(self, node: str, parents: Mapping[str, Tensor]) -> Tensor:
        """The natural value of a node whose noise nobody else will read."""
        mechanism = self.program.mechanisms[node]
        spare = not self.grad and not self.population.knows(node)
        function = mechanism.forward_ if spare else mechanism.forward
        return self.call(mechanism, parents, self._noise(node), function)

    def call(
        self,
        mechanism: Mechanism,
        parents: Mapping[str, Tensor],
        noise: Tensor | None,
        function: Callable[..., Tensor] | None = None,
    ) -> Tensor:
        """Call a mechanism once for each distinct input that reaches it."""
        if noise is not None and mechanism.noise is not None:
            noise = self.layout.lead(noise, len(mechanism.noise.shape))
        forward = function or mechanism.forward
        out = self._apply(mechanism, forward, parents, {"noise": noise}, mechanism.type.event)
        return typed(out, mechanism.type, mechanism.node, self.program.like)

    def invert(
        self, mechanism: Mechanism, value: Tensor, parents: Mapping[str, Tensor], fresh: Tensor
    ) -> Tensor:
        """Noise under which the parents give the value; see `Mechanism.abduct`."""
        assert mechanism.noise is not None

        def abduct(parents: Mapping[str, Tensor], value: Tensor, fresh: Tensor) -> Tensor:
            return mechanism.abduct(value, parents, fresh)

        extra = {"value": value, "fresh": fresh}
        return self._apply(mechanism, abduct, parents, extra, mechanism.noise.shape)

    def weigh(
        self, mechanism: Mechanism, value: Tensor, parents: Mapping[str, Tensor], fresh: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Noise and its log importance weight; see `Mechanism.propose`."""
        assert mechanism.noise is not None
        shape = mechanism.noise.shape

        def propose(parents: Mapping[str, Tensor], value: Tensor, fresh: Tensor) -> Tensor:
            noise, weight = mechanism.propose(value, parents, fresh)
            flat = noise.flatten(noise.ndim - len(shape)) if shape else noise.unsqueeze(-1)
            weight = weight.unsqueeze(-1).expand(*flat.shape[:-1], 1)
            return torch.cat([flat, weight.to(flat)], -1)

        extra = {"value": value, "fresh": fresh}
        both = self._apply(mechanism, propose, parents, extra, (mechanism.noise.width + 1,))
        noise = both[..., :-1].reshape(*both.shape[:-1], *shape)
        return noise, both[..., -1]

    def density(self, mechanism: Mechanism, value: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """`log p(value | parents)` over the axes before the event."""

        def log_prob(parents: Mapping[str, Tensor], value: Tensor) -> Tensor:
            return mechanism.log_prob(value, parents)

        return self._apply(mechanism, log_prob, parents, {"value": value}, ())

    def rewrite(self, macro: Macro, micro: str, value: Tensor, wanted: Tensor) -> Tensor:
        """Micro values that read the wanted values of a macro-variable."""
        kind = self.program.mechanisms[micro].type

        def write(parents: Mapping[str, Tensor], wanted: Tensor) -> Tensor:
            return macro.written(parents[micro], wanted, kind)

        return self._apply(macro, write, {micro: value}, {"wanted": wanted}, kind.event)

    def _apply(
        self,
        mechanism: Mechanism,
        function: Callable[..., Tensor],
        parents: Mapping[str, Tensor],
        extra: Mapping[str, Tensor | None],
        event: tuple[int, ...],
    ) -> Tensor:
        rank = self.layout.rank
        given = {name: v for name, v in extra.items() if v is not None}
        leads = [v.shape[:rank] for v in [*parents.values(), *given.values()]]
        batch = broadcast(self.layout.plain, *leads)
        what = f"mechanism of {mechanism.node!r}"
        if mechanism.broadcasts:
            return check_shape(function(parents, **extra), batch, event, what)
        rows = {p: _rows(v, batch, rank) for p, v in parents.items()}
        flat = {**extra, **{name: _rows(v, batch, rank) for name, v in given.items()}}
        out = check_shape(function(rows, **flat), torch.Size([batch.numel()]), event, what)
        return out.reshape(*batch, *event)


def _rows(value: Tensor, batch: torch.Size, rank: int) -> Tensor:
    event = value.shape[rank:]
    return value.expand(*batch, *event).reshape(-1, *event)


def typed(value: Tensor, kind: NodeType, node: str, like: Tensor) -> Tensor:
    """A computed value in the dtype of its type.

    Raises:
        MechanismError: If a categorical value is no code of a level.
    """
    if not isinstance(kind, Categorical):
        return value if value.dtype == like.dtype else value.to(like.dtype)
    if value.is_floating_point():
        raise MechanismError(
            f"{node!r} is {kind} but {value.dtype} numbers came out; return int64 codes (or bool)"
        )
    codes = value.long()
    if codes.numel() and not (int(codes.min()) >= 0 and int(codes.max()) < kind.size):
        raise MechanismError(
            f"{node!r} is {kind} but codes from {int(codes.min())} to {int(codes.max())} came out; "
            f"return 0 to {kind.size - 1}"
        )
    return codes


def groups(rules: Sequence[Rule]) -> list[tuple[list[int], Rule]]:
    """Entries of a sweep that share a rule and so can be computed in one pass."""
    found: dict[Any, tuple[list[int], Rule]] = {}
    for entry, rule in enumerate(rules):
        key: Any = id(rule)
        if isinstance(rule, Computed):
            key = id(rule.function)
        elif isinstance(rule, Replaced):
            key = id(rule.mechanism)
        found.setdefault(key, ([], rule))[0].append(entry)
    return list(found.values())
