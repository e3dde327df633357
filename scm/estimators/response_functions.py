r"""Response functions: what a unit would be under every value of its parents.

Of a latent cause, however rich, only one thing matters to a discrete node: which *function*
of its observed parents it makes the node follow. There are finitely many, :math:`|V|^{m}` for
:math:`m` values of the parents. So the latent causes of a district are, without loss, a
distribution over the *response types* of its nodes, one function each (Balke and Pearl 1994):
an unknown point of a simplex, and what is observed is linear in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from scm.errors import ScmError
from scm.estimators.source import Array

__all__ = ["MAX_CELLS", "MAX_TYPES", "District"]

MAX_TYPES = 2**14
"""The most response types of one linear programme."""

MAX_CELLS = 2**20
"""The most entries (response types times values of the outer parents) of one."""

_DIGITS = 300  # a count of more digits is not worked out


@dataclass(frozen=True)
class District:
    """A set of confounded nodes, and the response functions they can follow.

    Args:
        nodes: the nodes, parents first.
        parents: node -> its parents, inside the district and outside.
        cards: the number of levels of the nodes and their parents.
        blocks: outer parents of every node whose values are told apart before anything else:
            there is a distribution over types for each of their values.

    Example:
        >>> cards = {"Z": 2, "X": 2, "Y": 2}
        >>> district = District(("X", "Y"), {"X": ("Z",), "Y": ("X",)}, cards, ())
        >>> district.outer, district.size
        (('Z',), 16)
    """

    nodes: tuple[str, ...]
    parents: Mapping[str, tuple[str, ...]]
    cards: Mapping[str, int]
    blocks: tuple[str, ...] = ()

    @cached_property
    def outer(self) -> tuple[str, ...]:
        """The parents outside the district, the blocks first."""
        found = dict.fromkeys(p for node in self.nodes for p in self.parents[node])
        return (*self.blocks, *(p for p in found if p not in (*self.nodes, *self.blocks)))

    def inputs(self, node: str) -> tuple[str, ...]:
        """Return the arguments of a response function: the parents that are no blocks."""
        return tuple(p for p in self.parents[node] if p not in self.blocks)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The number of response functions of each node."""
        return tuple(self.count(node) for node in self.nodes)

    def count(self, node: str) -> int:
        """Return the number of response functions of a node."""
        arguments = math.prod(self.cards[p] for p in self.inputs(node))
        if arguments * math.log10(self.cards[node]) > _DIGITS:
            return int(10**_DIGITS)
        return int(self.cards[node] ** arguments)

    @cached_property
    def size(self) -> int:
        """The number of response types: a function for each node."""
        return math.prod(self.shape)

    def check_size(self) -> None:
        """Raise if there are too many.

        Raises:
            ScmError: with the count for each node.
        """
        outer = math.prod(self.cards[p] for p in self.outer if p not in self.blocks)
        if self.size <= MAX_TYPES and self.size * outer <= MAX_CELLS:
            return
        each = ", ".join(
            f"{node} {_number(count)}" for node, count in zip(self.nodes, self.shape, strict=True)
        )
        raise ScmError(
            f"the district {{{', '.join(self.nodes)}}} has {_number(self.size)} response types "
            f"({each}), and the most is {MAX_TYPES:,} (and {MAX_CELLS:,} with the values of its "
            f"outer parents, {outer:,} here). Merge levels, or leave nodes that the effect does "
            "not need out of the graph and the data (list them in latent=); natural_bounds needs "
            "no programme at all"
        )

    def function(self, node: str) -> NDArray[np.int8]:
        """Return the response functions, ``(count, *levels of the inputs)``: the level each gives.

        Example:
            >>> District(("Y",), {"Y": ("X",)}, {"X": 2, "Y": 2}).function("Y").tolist()
            [[0, 0], [0, 1], [1, 0], [1, 1]]
        """
        inputs = [self.cards[p] for p in self.inputs(node)]
        rows = math.prod(inputs)
        number = np.arange(self.count(node))
        place = self.cards[node] ** np.arange(rows - 1, -1, -1, dtype=np.int64)
        return (number[:, None] // place % self.cards[node]).astype(np.int8).reshape(-1, *inputs)

    def indicator(self, node: str) -> Array:
        """Return ``(count, *levels of the inputs, levels)``: 1 where a function gives a level."""
        return np.eye(self.cards[node])[self.function(node)]

    def cells(
        self, names: Sequence[str], block: Mapping[str, int]
    ) -> Iterator[tuple[dict[str, int], NDArray[np.int64]]]:
        r"""Yield, for each value of their outer parents, the cell that each type falls in.

        Args:
            names: nodes of the district; the others may be among their outer parents.
            block: block -> code.

        Yields:
            The codes of the parents of ``names`` that are not among them, and ``(size,)``: the
            number of the cell of :math:`(v)_{names}`, the last name fastest.
        """
        inside = [node for node in self.nodes if node in names]
        outer = dict.fromkeys(p for node in inside for p in self.parents[node])
        free = [p for p in outer if p not in inside and p not in block]
        for values in product(*(range(self.cards[p]) for p in free)):
            fixed = dict(zip(free, values, strict=True))
            yield {**block, **fixed}, self._cell(inside, names, fixed)

    def _cell(
        self, inside: Sequence[str], names: Sequence[str], fixed: Mapping[str, int]
    ) -> NDArray[np.int64]:
        level: dict[str, NDArray[np.int8]] = {}
        for axis, node in enumerate(self.nodes):
            if node not in inside:
                continue
            own = [1] * len(self.nodes)
            own[axis] = -1
            at: list[NDArray[np.int64] | NDArray[np.int8] | int] = [
                np.arange(self.shape[axis]).reshape(own)
            ]
            at += [level[p] if p in inside else fixed[p] for p in self.inputs(node)]
            level[node] = self.function(node)[tuple(at)]
        cell = np.zeros(self.shape, dtype=np.int64)
        for node in names:
            cell = cell * self.cards[node] + level[node]
        return cell.ravel()


def _number(count: int) -> str:
    return (
        f"{count:,}" if count < 10**7 else f"{count:.2g}" if count < 10**_DIGITS else "over 1e300"
    )
