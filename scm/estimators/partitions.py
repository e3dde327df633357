r"""Observational and causal partitions of what an image can be.

Two values of an image I are in one *observational* class for a target T where
:math:`P(T \mid I = i)` is the same, and in one *causal* class where
:math:`P(T \mid man(I = i))` is. The causal partition is almost surely a coarsening of the
observational one, so that its classes can be found by merging those that data show.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scm.errors import GraphError, InterventionError
from scm.exact import Joint

if TYPE_CHECKING:
    from scm.model import SCM

__all__ = ["Partition", "causal_partition", "observational_partition"]


@dataclass(frozen=True)
class Partition:
    """A partition of the levels of a node.

    Attributes:
        cells: The cells, each in the order of the levels; sorted by their first level.

    Example:
        >>> fine, coarse = Partition(((0,), (1,), (2,))), Partition(((0, 1), (2,)))
        >>> coarse.is_coarsening_of(fine), fine.is_coarsening_of(coarse)
        (True, False)
    """

    cells: tuple[tuple[Hashable, ...], ...]

    def is_coarsening_of(self, other: Partition) -> bool:
        """Whether every cell of ``other`` lies in one of these; improper ones count.

        Source: Chalupka, Perona and Eberhardt (2015), supplement A, definition 1.

        Raises:
            GraphError: If the two are not partitions of the same levels.
        """
        mine, theirs = set().union(*self.cells), set().union(*other.cells)
        if mine != theirs:
            raise GraphError(
                f"a partition of {sorted(map(str, mine))} was compared with one of "
                f"{sorted(map(str, theirs))}; expected the same levels"
            )
        return all(any(set(small) <= set(cell) for cell in self.cells) for small in other.cells)

    def cell_of(self, level: Hashable) -> int:
        """Number of the cell that holds a level.

        Raises:
            GraphError: If no cell does.
        """
        for k, cell in enumerate(self.cells):
            if level in cell:
                return k
        raise GraphError(f"{level!r} is in no cell of {self}")

    def __len__(self) -> int:
        return len(self.cells)

    def __str__(self) -> str:
        return " ".join("{" + ", ".join(map(str, cell)) + "}" for cell in self.cells)


def observational_partition(
    model: SCM | Joint, image: str, target: str, tolerance: float = 1e-9
) -> Partition:
    r"""Group the levels of ``image`` by :math:`P(T \mid I = i)`.

    Args:
        model: A model of tables, or its exact joint.
        image: The node I.
        target: The node T.
        tolerance: Largest difference of probabilities that counts as equal; classes are
            chained by it.

    Raises:
        GraphError: If a node is unknown.
        InterventionError: If a level of the image has probability zero.
        MechanismError: If the model has no exact joint.

    Source: Chalupka, Perona and Eberhardt (2015), definition 1.

    Example:
        >>> import scm
        >>> rows = [[0.5, 0.5], [0.5, 0.5], [0.1, 0.9]]
        >>> model = scm.SCM("I -> T", I=scm.Tabular([0.2, 0.3, 0.5]), T=scm.Tabular(rows))
        >>> print(observational_partition(model, image="I", target="T"))
        {0, 1} {2}
    """
    joint = _joint(model)
    rows = torch.as_tensor(joint.table(target, given=image).values)
    empty = [k for k, row in zip(joint.levels[image], rows, strict=True) if row.isnan().any()]
    if empty:
        raise InterventionError(
            f"{image} is never {empty}, so P({target} | {image}) is undefined there; drop those "
            "levels, or ask for the causal partition, which needs no observation"
        )
    return _grouped(joint.levels[image], rows, tolerance)


def causal_partition(
    model: SCM | Joint, image: str, target: str, tolerance: float = 1e-9
) -> Partition:
    r"""Group the levels of ``image`` by :math:`P(T \mid man(I = i))`.

    Args:
        model: A model of tables, or its exact joint.
        image: The node I.
        target: The node T.
        tolerance: As in `observational_partition`.

    Raises:
        GraphError: If a node is unknown.
        MechanismError: If the model has no exact joint.

    Source: Chalupka, Perona and Eberhardt (2015), definition 3.

    Example:
        >>> import scm
        >>> rows = [[0.5, 0.5], [0.5, 0.5], [0.1, 0.9]]
        >>> model = scm.SCM("I -> T", I=scm.Tabular([0.2, 0.3, 0.5]), T=scm.Tabular(rows))
        >>> causal_partition(model, image="I", target="T").cells
        ((0, 1), (2,))
    """
    joint = _joint(model)
    rows = torch.as_tensor(joint.table(target, do=image).values)
    return _grouped(joint.levels[image], rows, tolerance)


def _joint(model: SCM | Joint) -> Joint:
    return model if isinstance(model, Joint) else model.exact()


def _grouped(levels: Iterable[Hashable], rows: Tensor, tolerance: float) -> Partition:
    """Cells of the levels whose rows are linked by steps of at most ``tolerance``."""
    names = list(levels)
    near = (rows.unsqueeze(0) - rows.unsqueeze(1)).abs().amax(-1) <= tolerance
    label = list(range(len(names)))
    for i, j in near.nonzero().tolist():
        old, new = max(label[i], label[j]), min(label[i], label[j])
        label = [new if k == old else k for k in label]
    cells: dict[int, list[Hashable]] = {}
    for name, k in zip(names, label, strict=True):
        cells.setdefault(k, []).append(name)
    return Partition(tuple(map(tuple, cells.values())))
