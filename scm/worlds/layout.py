"""How tensors lie over worlds and units: `[*sweeps, (draws), units, *event]`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scm.errors import InterventionError
from scm.mechanisms.assignment import broadcast
from scm.mechanisms.types import NodeType
from scm.worlds.acts import Axes, Constant, Sweep
from scm.worlds.population import Population

__all__ = ["At", "Layout"]

At = tuple[int, list[int]]
"""An axis of worlds and the entries of it that are being computed."""


class Layout:
    """The axes before the event: world dimensions, then draws if there are any, then units.

    Args:
        sweeps: World dimensions in order.
        draws: Number of posterior draws, None without a draw axis.
        n: Number of units.
    """

    def __init__(self, sweeps: Sequence[Sweep], draws: int | None, n: int) -> None:
        self.sweeps, self.draws, self.n = tuple(sweeps), draws, n
        self.rank = len(self.sweeps) + (draws is not None) + 1
        self.full = torch.Size([s.size for s in sweeps] + ([draws] if draws else []) + [n])
        self.plain = torch.Size([1] * (self.rank - 1) + [n])

    def axis(self, sweep: Sweep) -> int:
        """Position of a sweep's axis."""
        return self.sweeps.index(sweep)

    def lead(self, value: Tensor, event_rank: int) -> Tensor:
        """Put `((draws,) n, *event)` under the world axes."""
        missing = self.rank + event_rank - value.ndim
        return value[(None,) * missing] if missing else value

    def by_entry(self, stacked: Tensor, axis: int) -> Tensor:
        """Constants `(entries, *event)` along one world axis, the same for all units."""
        event = stacked.shape[1:]
        shape = [1] * self.rank
        shape[axis] = len(stacked)
        laid = stacked.reshape(*shape, *event)
        shape[-1] = self.n
        return laid.expand(*shape, *event)

    def select(self, value: Tensor, axis: int, entries: Sequence[int]) -> Tensor:
        """The entries of a world axis; a value that the axis does not reach stays as it is."""
        if value.shape[axis] == 1 or list(entries) == list(range(value.shape[axis])):
            return value
        return value.index_select(axis, torch.tensor(entries, device=value.device))

    def join(self, parts: Sequence[tuple[list[int], Tensor]], axis: int) -> Tensor:
        """Put parts computed for some entries each together along a world axis."""
        if len(parts) == 1:
            return parts[0][1]
        common = broadcast(*(p.select(axis, 0).shape for _, p in parts))
        tensors = []
        for entries, part in parts:
            shape = [*common[:axis], len(entries), *common[axis:]]
            tensors.append(part.expand(shape))
        order = [e for entries, _ in parts for e in entries]
        joined = torch.cat(tensors, axis)
        if order == sorted(order):
            return joined
        inverse = torch.tensor(order, device=joined.device).argsort()
        return joined.index_select(axis, inverse)

    def place(self, given: Constant, kind: NodeType, units: Population, at: At | None) -> Tensor:
        """Lay a given value out: a constant, a value by unit, or one by world and unit.

        Raises:
            InterventionError: If its shape is none of these, or it comes from other units
                or worlds.
        """
        event = kind.event
        tensor = given.tensor
        if given.axes is not None:
            return self._aligned(tensor, given.axes, event, units, at)
        extra = tensor.ndim - len(event)
        if extra == 0:
            return tensor.expand(*self.plain, *event)
        if extra == 1 and len(tensor) == units.total:
            own = tensor[units.offset : units.offset + self.n]
            return own.reshape(*self.plain, *event)
        sizes = list(self.full)
        if at is not None:
            sizes[at[0]] = 1
        lead = list(tensor.shape[:extra])
        if extra == self.rank > 1 and all(a in (1, b) for a, b in zip(lead, sizes, strict=True)):
            return tensor.expand(*lead[:-1], self.n, *event)
        worlds = f", or worlds then units {tuple(sizes) + event}" if self.rank > 1 else ""
        raise InterventionError(
            f"a value of shape {tuple(tensor.shape)} was given; expected {event or 'a scalar'} "
            f"(one value), or {(units.total, *event)} (by unit){worlds}. For several values in "
            "worlds of their own use sweep"
        )

    def _aligned(
        self,
        tensor: Tensor,
        axes: Axes,
        event: tuple[int, ...],
        units: Population,
        at: At | None,
    ) -> Tensor:
        same = axes.origin == units.origin and len(axes.ids) == self.n
        if not same or not torch.equal(axes.ids, units.ids):
            raise InterventionError(
                f"a value of {len(axes.ids)} other units was given for {self.n} units; take it "
                "from the same units (or .clone() it to pass it by position)"
            )
        strange = [s for s in axes.sweeps if s not in self.sweeps]
        if strange or (axes.draws is not None and axes.draws != self.draws):
            raise InterventionError(
                f"a value from the worlds {list(axes.sweeps)} was given where the worlds are "
                f"{list(self.sweeps)}; pick one world of it with .world(...), or make the same "
                "sweep on both sides"
            )
        found = tuple(tensor.shape[len(axes.sweeps) + (axes.draws is not None) + 1 :])
        if found != event:
            raise InterventionError(
                f"a value of event {found} was given; expected event {event}, once for each unit"
            )
        lead = [1] * (self.rank - 1) + [self.n]
        for sweep in axes.sweeps:
            lead[self.axis(sweep)] = sweep.size
        if axes.draws is not None:
            lead[-2] = axes.draws
        # The target's own order of sweeps: axes shared by both keep theirs.
        order = sorted(range(len(axes.sweeps)), key=lambda k: self.axis(axes.sweeps[k]))
        rest = range(len(axes.sweeps), tensor.ndim)
        laid = tensor.permute(*order, *rest).reshape(*lead, *event)
        return laid if at is None else self.select(laid, *at)
