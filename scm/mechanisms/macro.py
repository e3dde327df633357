"""Macro-variables: functions of a micro node, with a reader and a writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from scm.errors import MechanismError
from scm.mechanisms.assignment import broadcast, check_shape, pad
from scm.mechanisms.mechanism import Mechanism, Parents, Status, deterministic_table
from scm.mechanisms.types import Categorical, NodeType, Real

__all__ = ["Macro", "Move"]


class Macro(Mechanism):
    """A macro-variable `C = read(I)` of a micro node I, set by `I := write(I, c)`.

    Args:
        read: Function (or module) of the micro value `(*batch, *micro event)`.
        write: Function of the micro value and the wanted `c` (padded on the right to the
            micro value's rank) that returns a micro value which reads c; None where the
            macro-variable can only be read.
        keeps: Names of other macro-variables of the same micro node that `write` promises
            to leave as they are; the promise is checked for every unit.
        type: Declared type of C.
        tolerance: Largest `|read(write(i, c)) - c|` that counts as written.

    Raises:
        MechanismError: If reader or writer is no function.

    Source: Chalupka, Perona and Eberhardt (2015), definitions 4 and 8.

    Example:
        >>> import scm
        >>> ink = Macro(lambda i: i.mean(-1), lambda i, c: i - i.mean(-1, keepdim=True) + c)
        >>> model = scm.SCM("I => K", I=scm.Root.normal(torch.zeros(4)), K=ink)
        >>> model.do(K=2.0).sample(2, seed=0)["K"]
        tensor([2., 2.])
    """

    abduction: Status = "exact"

    def __init__(
        self,
        read: Callable[[Tensor], Tensor],
        write: Callable[[Tensor, Tensor], Tensor] | None = None,
        keeps: Sequence[str] = (),
        type: NodeType = Real(),  # noqa: B008
        tolerance: float = 1e-4,
    ) -> None:
        super().__init__()
        if not callable(read) or not (write is None or callable(write)):
            raise MechanismError(
                f"Macro({read!r:.60}, {write!r:.60}) was given; expected functions read(i) and "
                "write(i, c), or None for the writer"
            )
        self.read: Callable[..., Tensor] = read
        self.write = write
        self.keeps = (keeps,) if isinstance(keeps, str) else tuple(keeps)
        self.type = type
        self.tolerance = tolerance
        modules = isinstance(read, nn.Module) or isinstance(write, nn.Module)
        self.broadcasts = not modules

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        if len(parents) == 1:
            (name, micro), *_ = parents.items()
            batch = micro.shape[: micro.ndim - len(self.parents[name].event)]
            out = self.read(micro)
        else:
            batch = broadcast(
                *(v.shape[: v.ndim - len(self.parents[p].event)] for p, v in parents.items())
            )
            out = self.read(**parents)
        if isinstance(out, Tensor) and out.dtype == torch.bool:
            out = out.long()
        if isinstance(out, Tensor) and out.shape == (*batch, 1) and not self.type.event:
            out = out.squeeze(-1)
        return check_shape(out, torch.Size(batch), self.type.event, f"reader of {self.node!r}")

    def written(self, micro: Tensor, value: Tensor, kind: NodeType) -> Tensor:
        """`write(i, c)` for micro values `(*batch, *micro event)` and c `(*batch, *event)`.

        Raises:
            MechanismError: If there is no writer.
        """
        if self.write is None:
            raise MechanismError(
                f"{self.describe()} has no writer, so do({self.node}=...) has no meaning; give it "
                "one (Macro(read, write)), or act on the micro node with man(...)"
            )
        rank, own = len(kind.event), len(self.type.event)
        batch = broadcast(micro.shape[: micro.ndim - rank], value.shape[: value.ndim - own])
        micro = micro.expand(*batch, *kind.event)
        value = value.expand(*batch, *self.type.event)
        out = self.write(micro, pad(value, self.type, rank))
        return check_shape(out, batch, kind.event, f"writer of {self.node!r}")

    def table(self) -> Tensor:
        return deterministic_table(self)

    def same(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Whether two readings agree within the tolerance, `(*batch,)` of bool."""
        if isinstance(self.type, Categorical):
            return found == wanted
        close = (found - wanted).abs() <= self.tolerance * (1 + wanted.abs())
        rank = len(self.type.event)
        return close.flatten(close.ndim - rank).all(-1) if rank else close

    def renamed(self, names: Mapping[str, str]) -> Macro:
        other = super().renamed(names)
        other.keeps = tuple(names.get(keep, keep) for keep in self.keeps)
        return other

    def config(self) -> dict[str, Any]:
        return {
            "read": self.read,
            "write": self.write,
            "keeps": list(self.keeps),
            "type": self.type,
            "tolerance": self.tolerance,
        }


@dataclass(frozen=True, eq=False)
class Move:
    """A shift of a micro value, `I := I + dose * direction`; it promises no reading.

    Args:
        direction: Tensor of the micro node's event shape.
        dose: A number, a tensor by unit `(n,)`, or a distribution drawn for each unit from
            its own noise stream.

    Source: GenInt section 4.2 (h + sigma s' r - mu); CAGE equation 3.2 (z + alpha h).

    Example:
        >>> import scm
        >>> model = scm.SCM("H => K", H=scm.Root.normal(torch.zeros(2)),
        ...                 K=Macro(lambda h: h[..., 0]))
        >>> moved = model.man(H=Move(torch.tensor([1.0, 0.0]), 3.0)).sample(2, seed=0)
        >>> moved["K"] - model.sample(2, seed=0)["K"]
        tensor([3., 3.])
    """

    direction: Any
    dose: float | Tensor | Distribution = 1.0
