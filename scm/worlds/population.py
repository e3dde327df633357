"""Units and their noise: drawn from streams, or found by abduction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scm.mechanisms.noise import Law, Noise
from scm.worlds.acts import Levels
from scm.worlds.streams import Streams, _Pending

__all__ = ["Population"]


@dataclass(frozen=True, eq=False)
class Population:
    """`n` units: a range of the streams, or a selection of it.

    Attributes:
        streams: Where prior noise comes from.
        start: First unit of the range.
        stop: One past its last unit.
        index: Positions within the range of the units selected, `(n,)`; None for all.
        fixed: Noise that is known, by node: `(n, *shape)`, or `(K or 1, n, *shape)` where
            there are draws.
        draws: Number K of posterior draws, None where there is no draw axis.
        offset: Position of the range within `total` units that by-unit values refer to.
        total: Number of those units.
        names: Number of each unit of the range where data gave their own, `(n,)`.
        source: What the numbers count, where that is not the units of the seed: the rows of
            one call of abduct.
    """

    streams: Streams
    start: int
    stop: int
    index: Tensor | None = None
    fixed: Mapping[str, Tensor] | None = None
    draws: int | None = None
    offset: int = 0
    total: int = 0
    names: Tensor | None = None
    source: object = None

    @property
    def n(self) -> int:
        """Number of units."""
        return self.stop - self.start if self.index is None else len(self.index)

    @property
    def origin(self) -> object:
        """What the numbers of the units count: units of a seed, or rows of one data set."""
        return self.streams.seed if self.source is None else self.source

    @property
    def ids(self) -> Tensor:
        """Number of each unit, `(n,)` int64."""
        ids = torch.arange(self.start, self.stop) if self.names is None else self.names
        return ids if self.index is None else ids[self.index.cpu()]

    def knows(self, node: str) -> bool:
        """Whether the noise of a node was found by abduction, and is kept."""
        return self.fixed is not None and node in self.fixed

    def begin(self, node: str, stream: str, noise: Noise) -> _Pending | None:
        """Start to draw the noise of a node in the background, if it comes from a stream."""
        if self.knows(node):
            return None
        return self.streams.start([(stream, self._wide(noise))], self.start, self.stop)[0]

    def noise(self, node: str, stream: str, noise: Noise, pending: _Pending | None) -> Tensor:
        """Base noise of a node, `(n, *shape)`, or `(K or 1, n, *shape)` with draws."""
        if self.fixed is not None and node in self.fixed:
            return self.fixed[node]
        pending = pending or self.begin(node, stream, noise)
        assert pending is not None
        return self._laid_out(pending())

    def extra(self, stream: str, noise: Noise) -> Tensor:
        """Noise of a stream that belongs to no mechanism, laid out like `noise`."""
        wide = self._wide(noise)
        return self._laid_out(self.streams.draw(stream, wide, self.start, self.stop))

    def drawn(self, stream: str, law: Law | Levels) -> Tensor:
        """Values of a distribution from a stream of their own."""
        return law.push(self.extra(stream, law.noise))

    def _wide(self, noise: Noise) -> Noise:
        return noise if self.draws is None else Noise(noise.law, (self.draws, *noise.shape))

    def _laid_out(self, drawn: Tensor) -> Tensor:
        drawn = drawn if self.index is None else drawn[self.index.to(drawn.device)]
        return drawn if self.draws is None else drawn.movedim(1, 0)

    def select(self, index: Tensor) -> Population:
        """The units at positions ``index``."""
        kept = index if self.index is None else self.index[index.to(self.index.device)]
        axis = 0 if self.draws is None else 1
        fixed = self.fixed
        if fixed is not None:
            fixed = {k: v.index_select(axis, index.to(v.device)) for k, v in fixed.items()}
        return replace(self, index=kept, fixed=fixed, offset=0, total=len(kept))
