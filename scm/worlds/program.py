"""The program that a model and the acts on it make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from scm.errors import MechanismError
from scm.graph import CausalGraph
from scm.mechanisms.mechanism import Mechanism
from scm.mechanisms.types import NodeType
from scm.worlds.acts import Act, Sweep

__all__ = ["Program", "mixes_rows"]

_MIXES_ROWS = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


@dataclass(frozen=True, eq=False)
class Program:
    """A model's graph and mechanisms, and the acts on them; shared, never changed.

    Attributes:
        graph: The causal graph.
        mechanisms: Mechanism of each node.
        streams: Name of each node's noise stream.
        like: Tensor that carries the dtype and device.
        acts: The act on each node that has one.
        sweeps: World dimensions, in the order of the calls.
    """

    graph: CausalGraph
    mechanisms: Mapping[str, Mechanism]
    streams: Mapping[str, str]
    like: Tensor
    acts: Mapping[str, Act] = field(default_factory=dict)
    sweeps: tuple[Sweep, ...] = ()

    def with_acts(self, acts: Iterable[Act]) -> Program:
        """Add acts: one a node, the last wins; a sweep with no act left disappears."""
        merged = {**self.acts, **{act.node: act for act in acts}}
        used = [act.sweep for act in merged.values() if act.sweep is not None]
        sweeps = list(self.sweeps) + [s for s in used if s not in self.sweeps]
        ordered = tuple(dict.fromkeys(s for s in sweeps if s in used))
        return replace(self, acts=merged, sweeps=ordered)

    def at(self, sweep: Sweep, entry: int) -> Program:
        """The program in one world of a sweep."""
        acts = {}
        for node, act in self.acts.items():
            acts[node] = Act(node, (act.rules[entry],)) if act.sweep is sweep else act
        sweeps = tuple(s for s in self.sweeps if s is not sweep)
        return replace(self, acts=acts, sweeps=sweeps)

    def reads_parents(self, node: str) -> bool:
        """Whether the node's value still depends on its parents."""
        act = self.acts.get(node)
        return act is None or act.needs_parents or self.graph.is_constitutive(node)

    def affected(self, changed: Iterable[str]) -> set[str]:
        """Nodes whose values may differ once the acts on ``changed`` do."""
        seeds = {m for node in changed for m in (self.graph.micro(node) or (node,))}
        found: set[str] = set()
        for node in self.graph.topological_order():
            parents = self.graph.parents(node)
            if node in seeds or (found.intersection(parents) and self.reads_parents(node)):
                found.add(node)
        return found

    def types(self, nodes: Sequence[str]) -> dict[str, NodeType]:
        """Declared types of nodes."""
        return {node: self.mechanisms[node].type for node in nodes}

    def fingerprint(self) -> tuple[Any, ...]:
        """A value that changes when a parameter or buffer of the model does."""
        return tuple(
            (id(t), t._version, t.data_ptr())
            for mechanism in self.mechanisms.values()
            for tensors in (mechanism.parameters(), mechanism.buffers())
            for t in tensors
        )

    def check_modes(self) -> None:
        """Refuse modules that mix the rows of a batch in training mode.

        Raises:
            MechanismError: With the node and the module.
        """
        for node, mechanism in self.mechanisms.items():
            if mechanism.training and (found := mixes_rows(mechanism)):
                raise MechanismError(
                    f"the mechanism of {node!r} holds a {found}; call model.eval(), or the "
                    "module's own .eval(), first"
                )


def mixes_rows(module: nn.Module) -> str | None:
    """In words, the first part of a module that mixes the rows of a batch; None if none does."""
    for name, part in module.named_modules():
        if part.training and isinstance(part, _MIXES_ROWS):
            return (
                f"{type(part).__name__} ({name}) in training mode, which makes one unit depend on "
                "the others"
            )
    return None
