r"""Observational and causal partitions of what an image can be.

Two values of an image I are in one *observational* class for a target T where
:math:`P(T \mid I = i)` is the same, and in one *causal* class where
:math:`P(T \mid man(I = i))` is. The causal partition is almost surely a coarsening of the
observational one, so that its classes can be found by merging those that data show.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from scm import html
from scm.errors import GraphError, InterventionError, MechanismError, ScmError
from scm.exact import Joint
from scm.mechanisms.types import Categorical, Image

if TYPE_CHECKING:
    from scm.graph import CausalGraph
    from scm.model import SCM

__all__ = [
    "Partition",
    "causal_partition",
    "exact_joint",
    "observational_partition",
    "require_order",
]

Array: TypeAlias = npt.NDArray[np.float64]

MOST_LEVELS = 2**16
_SHOWN = 20  # cells in a notebook, and levels of each


@dataclass(frozen=True, eq=False)
class Partition:
    """A partition of the levels of a node; two are equal that have the same cells.

    Attributes:
        cells: The cells, each in the order of the levels; sorted by their first level.
        levels: The levels in order; as the cells list them, if not given.

    Raises:
        GraphError: If a cell is empty, or a level is in no cell or in several.

    Source: Chalupka, Perona and Eberhardt (2015), supplement A, definition 1.

    Example:
        >>> fine, coarse = Partition(((0,), (1,), (2,))), Partition(((0, 1), (2,)))
        >>> coarse.is_coarsening_of(fine), fine.is_coarsening_of(coarse)
        (True, False)
        >>> print(coarse.meet(Partition(((0,), (1, 2)))), coarse.join(Partition(((0,), (1, 2)))))
        {0} {1} {2} {0, 1, 2}
    """

    cells: tuple[tuple[Hashable, ...], ...]
    levels: tuple[Hashable, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        listed = [level for cell in self.cells for level in cell]
        levels = self.levels or tuple(listed)
        if not all(self.cells) or len(set(listed)) < len(listed) or set(listed) != set(levels):
            raise GraphError(
                f"the cells {self.cells!r:.200} were given for the levels {levels!r:.200}; "
                "expected every level in exactly one cell, and no empty cell"
            )
        place = {level: k for k, level in enumerate(levels)}
        cells = (tuple(sorted(cell, key=place.__getitem__)) for cell in self.cells)
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "cells", tuple(sorted(cells, key=lambda cell: place[cell[0]])))

    @classmethod
    def by(cls, labels: Mapping[Hashable, Hashable]) -> Partition:
        """The levels that have the same label in one cell.

        Example:
            >>> print(Partition.by({"a": 1, "b": 0, "c": 1}))
            {a, c} {b}
        """
        cells: dict[Hashable, list[Hashable]] = {}
        for level, label in labels.items():
            cells.setdefault(label, []).append(level)
        return cls(tuple(map(tuple, cells.values())), tuple(labels))

    @cached_property
    def labels(self) -> dict[Hashable, int]:
        """Number of the cell of each level, in the order of the levels."""
        cell_of = {level: k for k, cell in enumerate(self.cells) for level in cell}
        return {level: cell_of[level] for level in self.levels}

    def is_coarsening_of(self, other: Partition) -> bool:
        """Whether every cell of ``other`` lies in one of these; improper ones count.

        Source: Chalupka, Perona and Eberhardt (2015), supplement A, definition 1.

        Raises:
            GraphError: If the two are not partitions of the same levels.
        """
        self._require_same_levels(other)
        return all(len({self.labels[k] for k in cell}) == 1 for cell in other.cells)

    def is_refinement_of(self, other: Partition) -> bool:
        """Whether each of these cells lies in one of ``other``; improper ones count.

        Raises:
            GraphError: As in `is_coarsening_of`.
        """
        return other.is_coarsening_of(self)

    def meet(self, other: Partition) -> Partition:
        """The coarsest common refinement: its cells are what cells of the two share.

        Raises:
            GraphError: As in `is_coarsening_of`.
        """
        self._require_same_levels(other)
        return Partition.by({k: (self.labels[k], other.labels[k]) for k in self.levels})

    def join(self, other: Partition) -> Partition:
        """The finest common coarsening: cells of the two that overlap, chained together.

        Raises:
            GraphError: As in `is_coarsening_of`.
        """
        self._require_same_levels(other)
        above = list(range(len(self.cells)))

        def top(level: Hashable) -> int:
            k = self.labels[level]
            while above[k] != k:
                above[k] = k = above[above[k]]
            return k

        for first, *others in other.cells:
            for level in others:
                above[top(level)] = top(first)
        return Partition.by({level: top(level) for level in self.levels})

    def entropy(self, chances: Mapping[Any, float]) -> float:
        r"""Shannon entropy of the number of the cell, :math:`-\sum_k p_k \log p_k`, in nats.

        Args:
            chances: Probability of each level; all of them sum to one.

        Raises:
            ScmError: If a level has no probability, or they are no distribution.

        Example:
            >>> Partition(((0, 1), (2,))).entropy({0: 0.25, 1: 0.25, 2: 0.5})
            0.6931...
        """
        missing = [k for k in self.levels if k not in chances]
        total = math.fsum(chances[k] for k in self.levels if k in chances)
        if missing or abs(total - 1) > 1e-6 or min(chances[k] for k in self.levels) < 0:
            raise ScmError(
                f"chances of the levels {list(self.levels)!r:.200} sum to {total:.6g}, with none "
                f"for {missing!r:.200}; expected a probability of each, all of them summing to 1"
            )
        masses = (math.fsum(chances[k] for k in cell) for cell in self.cells)
        return math.fsum(-p * math.log(p) for p in masses if p > 0)

    def cell_of(self, level: Hashable) -> int:
        """Number of the cell that holds a level.

        Raises:
            GraphError: If no cell does.
        """
        if level not in self.labels:
            raise GraphError(f"{level!r} is in no cell of {self}")
        return self.labels[level]

    def _require_same_levels(self, other: Partition) -> None:
        mine, theirs = set(self.levels), set(other.levels)
        if mine != theirs:
            raise GraphError(
                f"a partition of {sorted(map(str, mine))!s:.200} was compared with one of "
                f"{sorted(map(str, theirs))!s:.200}; expected the same levels"
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Partition):
            return NotImplemented
        return set(map(frozenset, self.cells)) == set(map(frozenset, other.cells))

    def __hash__(self) -> int:
        return hash(frozenset(map(frozenset, self.cells)))

    def __len__(self) -> int:
        return len(self.cells)

    def __str__(self) -> str:
        return " ".join("{" + ", ".join(map(str, cell)) + "}" for cell in self.cells)

    def _repr_html_(self) -> str:
        rows = [
            (k, len(cell), ", ".join(map(str, cell[:_SHOWN])) + ", ..." * (len(cell) > _SHOWN))
            for k, cell in enumerate(self.cells[:_SHOWN])
        ]
        title = f"Partition of {len(self.levels)} levels into {len(self)} cells"
        return html.table(title, ("cell", "size", "levels"), rows, more=len(self) - _SHOWN)


def observational_partition(
    model: SCM | Joint, image: str, target: str, tolerance: float = 1e-9
) -> Partition:
    r"""Group the levels of ``image`` by :math:`P(T \mid I = i)`.

    Args:
        model: A model of tables, or its exact joint.
        image: The node I.
        target: The node T, with any number of levels; see `binned` for a continuous one.
        tolerance: Largest difference of probabilities that counts as equal; classes are
            chained by it.

    Raises:
        GraphError: If a node is unknown, or T causes I.
        InterventionError: If a level of the image has probability zero.
        MechanismError: If the model has no exact joint.
        ScmError: If the image has too many values to enumerate, or the tolerance is negative.

    Source: Chalupka, Perona and Eberhardt (2015), definition 1.

    Example:
        >>> import scm
        >>> rows = [[0.5, 0.5], [0.5, 0.5], [0.1, 0.9]]
        >>> model = scm.SCM("I -> T", I=scm.Tabular([0.2, 0.3, 0.5]), T=scm.Tabular(rows))
        >>> print(observational_partition(model, image="I", target="T"))
        {0, 1} {2}
    """
    joint = exact_joint(model, image, target)
    rows: Array = np.asarray(joint.table(target, given=image).values)
    levels = joint.levels[image]
    empty = [k for k, row in zip(levels, rows, strict=True) if np.isnan(row).any()]
    if empty:
        raise InterventionError(
            f"{image} is never {empty!s:.200}, so P({target} | {image}) is undefined there; drop "
            "those levels, or ask for the causal partition, which needs no observation"
        )
    return _grouped(levels, rows, tolerance)


def causal_partition(
    model: SCM | Joint, image: str, target: str, tolerance: float = 1e-9
) -> Partition:
    r"""Group the levels of ``image`` by :math:`P(T \mid man(I = i))`.

    An image that is no cause of T, as a barometer is none of the weather, has one class.

    Args:
        model: A model of tables, or its exact joint.
        image: The node I.
        target: The node T, with any number of levels; see `binned` for a continuous one.
        tolerance: As in `observational_partition`.

    Raises:
        GraphError: If a node is unknown, or T causes I.
        MechanismError: If the model has no exact joint.
        ScmError: If the image has too many values to enumerate, or the tolerance is negative.

    Source: Chalupka, Perona and Eberhardt (2015), definition 3.

    Example:
        >>> import scm
        >>> rows = [[0.5, 0.5], [0.5, 0.5], [0.1, 0.9]]
        >>> model = scm.SCM("I -> T", I=scm.Tabular([0.2, 0.3, 0.5]), T=scm.Tabular(rows))
        >>> causal_partition(model, image="I", target="T").cells
        ((0, 1), (2,))
    """
    joint = exact_joint(model, image, target)
    rows: Array = np.asarray(joint.table(target, do=image).values)
    return _grouped(joint.levels[image], rows, tolerance)


def exact_joint(model: SCM | Joint, image: str, target: str) -> Joint:
    """The exact joint of a model in which an image may cause a target.

    Raises:
        GraphError: If a node is unknown, or T causes I.
        MechanismError: If the target is continuous, or the model has no exact joint.
        ScmError: If the image has too many values to enumerate.
    """
    require_order(model.graph, image, target)
    if isinstance(model, Joint):
        _require_few(image, len(model.levels[image]))
        return model
    kinds = {node: model.mechanisms[node].type for node in (image, target)}
    kind = kinds[image]
    if isinstance(kind, Categorical):
        _require_few(image, kind.size)
    elif isinstance(kind, Image):
        digits = f"10^{kind.width * math.log10(2):.0f}"
        _refuse(image, f"{kind.width} pixels: about {digits} images in black and white alone")
    else:
        _refuse(image, f"a continuum of values ({kind})")
    if not isinstance(kinds[target], Categorical):
        raise MechanismError(
            f"the target {target!r} is {kinds[target]}, and P({target} | {image}) is compared by "
            f"level; bin it first: scm.estimators.binned(model, {target!r}, bins=4)"
        )
    return model.exact()


def require_order(graph: CausalGraph, image: str, target: str) -> None:
    """Refuse a target that comes before the image.

    Raises:
        GraphError: If a node is unknown, or T causes I.
    """
    graph.require(image, target)
    if image in graph.descendants(target):
        raise GraphError(
            f"{target} causes {image} in {graph} (or is {image} itself); a visual cause needs a "
            f"target that the image precedes: image={target!r} and target={image!r} may be meant"
        )


def _require_few(image: str, size: int) -> None:
    if size > MOST_LEVELS:
        _refuse(image, f"{size:,} values")


def _refuse(image: str, values: str) -> None:
    raise ScmError(
        f"{image!r} has {values}; an exact partition visits each of at most {MOST_LEVELS:,}. Learn "
        "the classes from images and outcomes instead: scm.learning.learn_causes, or give the "
        "image fewer levels"
    )


def _grouped(levels: Sequence[Hashable], rows: Array, tolerance: float) -> Partition:
    """Cells of the levels whose rows are linked by steps of at most ``tolerance``."""
    if not tolerance >= 0:
        raise ScmError(f"tolerance={tolerance!r} was given; expected a number of 0 or more")
    found = _split_at_gaps(rows, tolerance)
    labels: list[tuple[int, int]] = [(k, 0) for k in found.tolist()]
    order = np.argsort(found, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(found[order])) + 1):
        there = rows[members]
        if np.ptp(there, axis=0).max() > tolerance:
            for member, part in zip(members.tolist(), _linked(there, tolerance), strict=True):
                labels[member] = (labels[member][0], part)
    return Partition.by(dict(zip(levels, labels, strict=True)))


def _split_at_gaps(rows: Array, tolerance: float) -> npt.NDArray[np.int64]:
    """Groups that no gap in any one coordinate separates; linked rows are in one group."""
    groups, count = np.zeros(len(rows), dtype=np.int64), 0
    while groups.max(initial=0) + 1 > count:
        count = int(groups.max(initial=0)) + 1
        for column in rows.T:
            order = np.lexsort((column, groups))
            new = (np.diff(groups[order]) > 0) | (np.diff(column[order]) > tolerance)
            groups[order] = np.concatenate([[0], new.cumsum()])
    return groups


def _linked(rows: Array, tolerance: float) -> list[int]:
    """Number of the component of each row, where near rows are joined."""
    labels = np.full(len(rows), -1)
    for first in range(len(rows)):
        waiting = [first] if labels[first] < 0 else []
        while waiting:
            row = waiting.pop()
            labels[row] = first
            left = np.flatnonzero(labels < 0)
            near = left[np.abs(rows[left] - rows[row]).max(-1) <= tolerance]
            labels[near] = first
            waiting.extend(near.tolist())
    return labels.tolist()
