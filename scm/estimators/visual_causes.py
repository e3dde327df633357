r"""The visual cause C and the spurious correlate S of a target, exactly, from tables.

C(i) is the causal class of the image i; S(i) numbers the observational classes within it.
Together they keep all that the image tells of the target, :math:`P(T \mid I) = P(T \mid C, S)`,
and C alone keeps all that the image does to it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scm.errors import GraphError, InterventionError, MechanismError, ScmError
from scm.estimators.macro_model import class_means, macro_model, responses
from scm.estimators.partitions import (
    Array,
    Partition,
    causal_partition,
    exact_joint,
    observational_partition,
)
from scm.exact import Joint
from scm.graph import CausalGraph
from scm.graph.structure import Structure, joined
from scm.mechanisms.macro import Macro
from scm.mechanisms.types import Categorical
from scm.model import SCM

__all__ = ["CellMacro", "VisualCauses", "visual_causes"]


class CellMacro(Macro):
    """A macro-variable of an image with levels, read and written by table.

    Args:
        codes: C(i) by image, int64 `(levels,)`.
        images: The image that i is replaced by so that C is c, int64 `(values of C, levels)`;
            -1 where there is none.
        kept: S(i) by image, int64 `(levels,)`, of the macro-variable that the writer keeps.
        keeps: The name of that macro-variable.

    Source: Chalupka, Perona and Eberhardt (2015), definition 8.
    """

    codes: Tensor
    images: Tensor
    kept: Tensor

    def __init__(self, codes: Tensor, images: Tensor, kept: Tensor, keeps: Any) -> None:
        super().__init__(self._look_up, self._replace, keeps, Categorical(len(images)))
        for name, table in (("codes", codes), ("images", images), ("kept", kept)):
            self.register_buffer(name, table)
        self.broadcasts = False

    def _look_up(self, image: Tensor) -> Tensor:
        return self.codes[image]

    def _replace(self, image: Tensor, value: Tensor) -> Tensor:
        found = self.images[value, image]
        empty = found < 0
        if empty.any():
            cells = torch.stack([value[empty], self.kept[image[empty]]], -1)
            pairs, counts = cells.unique(dim=0, return_counts=True)
            said = ", ".join(
                f"({c}, {s}) of {n} unit{'s' * (n > 1)}"
                for (c, s), n in zip(pairs.tolist(), counts.tolist(), strict=True)
            )
            raise InterventionError(
                f"do({self.node}=...) needs images in the empty cells ({self.node}, "
                f"{', '.join(self.keeps)}) = {said}: no image there sets {self.node} and keeps "
                f"{', '.join(self.keeps)} as it is. Act on units of other cells, or on the image "
                "itself with man(...)"
            )
        return found

    def config(self) -> dict[str, Any]:  # noqa: D102
        return {
            "codes": self.codes,
            "images": self.images,
            "kept": self.kept,
            "keeps": list(self.keeps),
        }


@dataclass(frozen=True, eq=False)
class VisualCauses:
    """The visual cause and the spurious correlate of a target; see `visual_causes`.

    Attributes:
        model: The model with the constitutive nodes C and S of the image.
        image: The node I.
        target: The node T.
        names: The names of C and S.
        observational: The partition of the images by P(T | I).
        causal: The partition of the images by P(T | man(I)).
        cause: C by image: 0, 1, ... in ascending order of P(T | man(I)).
        correlate: S by image: 0, 1, ... in ascending order of P(T | I) within a causal class.
        joint: The exact joint of the model that was given.
        tolerance: Largest difference of probabilities that counts as equal.

    Example:
        >>> from scm.datasets import bars
        >>> found = visual_causes(bars(2))
        >>> len(found.causal), found.coarsens
        (2, True)
    """

    model: SCM
    image: str
    target: str
    names: tuple[str, str]
    observational: Partition
    causal: Partition
    cause: dict[Hashable, int]
    correlate: dict[Hashable, int]
    joint: Joint = field(repr=False)
    tolerance: float = 1e-9

    @property
    def coarsens(self) -> bool:
        """Whether the causal partition coarsens the observational one, as it almost surely does.

        Where it does not, (C, S) still tells all, but is finer than it need be.

        Source: Chalupka, Perona and Eberhardt (2015), theorem 5.
        """
        return self.causal.is_coarsening_of(self.observational)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The pairs (c, s) that some image has, in ascending order."""
        return tuple(sorted(set(zip(self.cause.values(), self.correlate.values(), strict=True))))

    @property
    def description(self) -> Partition:
        r"""The images by their pair (C, S): all that they tell of T, and do to it.

        :math:`P(T \mid I) = P(T \mid C, S)`, where the causal partition does not coarsen the
        observational one too.

        Source: Chalupka, Perona and Eberhardt (2015), theorem 7.1.
        """
        return self.causal.meet(self.observational)

    @property
    def entropy(self) -> float:
        r"""H(C, S) in nats, the least of all X with :math:`P(T \mid I) = P(T \mid X)`.

        Raises:
            InterventionError: If the causal partition does not coarsen the observational one,
                whose entropy is then less.

        Source: Chalupka, Perona and Eberhardt (2015), theorem 7.2.
        """
        chances = dict(zip(self.cause, self.joint.table(self.image).values.tolist(), strict=True))
        if not self.coarsens:
            raise InterventionError(
                f"({', '.join(self.names)}) is no smallest description of {self.image}: images of "
                f"one observational class differ in what they do to {self.target} (parameters that "
                "happen to cancel, a case of measure zero), so that .observational is smaller: "
                f"{self.observational.entropy(chances):.4g} nats to .description's "
                f"{self.description.entropy(chances):.4g}"
            )
        return self.description.entropy(chances)

    @property
    def acts_through_cause(self) -> bool:
        r"""Whether :math:`P(T \mid man(i), pa)` is the same for all images i of a causal class.

        Here pa is any state of the causes of I. Then do(C = c) by any writer has the effect
        :math:`P(T \mid man(i))` of the images of class c. That all images of a class have one
        effect on the whole population, which defines it, does not imply this: another image
        of the class may do better for some units, and worse for others.
        """
        return responses(self) is not None

    def macro_model(self, hidden: str = "U") -> SCM:
        r"""The macro-variable model of figure 4, `U -> C, S, T; C -> T` with U hidden.

        It has :math:`P(C, S, T)` of the data, :math:`P(T \mid do(C = c)) = P(T \mid man(I = i))`
        for the images i of class c, and :math:`P(T \mid do(S)) = P(T)`. U is the pair (c, s) of a
        unit's own image, and

        .. math:: P(T \mid C = c, U = (c, s)) = P(T \mid c, s), \qquad
            P(T \mid C = c', U = (c, s)) = P(T_{man(i)} \mid c, s), \; i \in c'

        where units respond through C alone (`acts_through_cause`). Otherwise the right-hand
        side depends on which image i of the class is meant, and all units with
        :math:`C \ne c'` are given the one response that the effect leaves them,
        :math:`(P(T \mid man(i)) - P(T, c')) / (1 - P(c'))`.

        That may be negative, and then *no* model over these variables exists, which the paper's
        section 2.4 passes over: of two images of one class, let each unit have the one that suits
        it; setting either for all does worse than :math:`P(T, c)`, the least that
        :math:`P(T \mid do(c))` could be.

        Args:
            hidden: Name of U.

        Raises:
            GraphError: If the name is taken.
            InterventionError: If there is no such model, with the bound that is violated.

        Source: Chalupka, Perona and Eberhardt (2015), section 2.4, figure 4 and theorem 7;
            Manski (1990) for the bound.

        Example:
            >>> import scm
            >>> rows = [[[0.9, 0.1], [0.5, 0.5]], [[0.6, 0.4], [0.2, 0.8]]]
            >>> model = scm.SCM("H -> I; H, I -> T", latent=["H"], H=scm.Tabular([0.5, 0.5]),
            ...                 I=scm.Tabular([[0.8, 0.2], [0.3, 0.7]]), T=scm.Tabular(rows))
            >>> macro = visual_causes(model).macro_model()
            >>> print(macro.graph)
            U -> C, S, T; C -> T
            >>> macro.exact().prob({"T": 1}, do={"C": 1}), model.exact().prob({"T": 1}, do={"I": 1})
            (tensor(0.6500, dtype=torch.float64), tensor(0.6500, dtype=torch.float64))
        """
        return macro_model(self, hidden)


def visual_causes(
    model: SCM,
    image: str = "I",
    target: str = "T",
    tolerance: float = 1e-9,
    *,
    cause: str = "C",
    correlate: str = "S",
    distance: Any = None,
) -> VisualCauses:
    r"""Find the visual cause C and the spurious correlate S, and add them to the graph.

    C is numbered in ascending order of :math:`P(T \mid man(I))`, S in ascending order of
    :math:`P(T \mid I)` within each causal class; for a T of several levels, the probability of
    the last level is compared first, then that of the one before it, and so on down.

    In the model that comes back, `I => C, S` are macro-variables with a reader and a writer:
    `do(C=c)` replaces an image i by one of the cell (c, S(i)), `do(S=s)` by one of the cell
    (C(i), s): the nearest by ``distance``, or else the most probable one (the first of equals).
    An image already there stays. A unit whose cell is empty is refused (`InterventionError`).

    Args:
        model: A model of tables.
        image: The node I.
        target: The node T, with any number of levels.
        tolerance: Largest difference of probabilities that counts as equal.
        cause: Name of C.
        correlate: Name of S.
        distance: Distances between images, `(levels, levels)`, row i being those from i.

    Raises:
        GraphError: If a node is unknown, T causes I, or the graph has a node of a new name.
        InterventionError: If an image has probability zero.
        MechanismError: If the model has no exact joint, or is one.
        ScmError: If the image has too many values to enumerate, or the distances do not fit.

    Source: Chalupka, Perona and Eberhardt (2015), definitions 1, 3, 4, 6 and 8.

    Example:
        >>> import scm
        >>> model = scm.SCM(  # of two bits, the first is a cause, and the second only goes with T
        ...     "H -> I; H, I -> T", latent=["H"], H=scm.Root.bernoulli(0.5),
        ...     I=scm.Tabular([[0.4, 0.1, 0.4, 0.1], [0.1, 0.4, 0.1, 0.4]]),
        ...     T=scm.Tabular([[[0.9, 0.1]] * 2 + [[0.6, 0.4]] * 2,
        ...                    [[0.7, 0.3]] * 2 + [[0.2, 0.8]] * 2]))
        >>> found = visual_causes(model)
        >>> print(found.causal, "|", found.observational)
        {0, 1} {2, 3} | {0} {1} {2} {3}
        >>> found.cause, found.correlate
        ({0: 0, 1: 0, 2: 1, 3: 1}, {0: 0, 1: 1, 2: 0, 3: 1})
        >>> units = found.model.do(C=1).sample(1000, seed=0)
        >>> sorted(set(units["I"].tolist()))
        [2, 3]
    """
    if isinstance(model, Joint):
        raise MechanismError(
            "a joint distribution was given, to which no macro-variable can be added; expected the "
            "model itself, an SCM of tables"
        )
    joint = exact_joint(model, image, target)
    _require_free(model.graph, cause, correlate)
    observational = observational_partition(joint, image, target, tolerance)
    causal = causal_partition(joint, image, target, tolerance)
    seen: Array = np.asarray(joint.table(target, given=image).values)
    done: Array = np.asarray(joint.table(target, do=image).values)
    levels = joint.levels[image]
    c_of = _ordered(causal, done, tolerance)
    rank_of = _ordered(causal.meet(observational), seen, tolerance)
    ranks: dict[int, list[int]] = {}
    for level in levels:
        ranks.setdefault(c_of[level], []).append(rank_of[level])
    place = {c: {rank: s for s, rank in enumerate(sorted(set(r)))} for c, r in ranks.items()}
    s_of = {level: place[c_of[level]][rank_of[level]] for level in levels}
    chances: Array = np.asarray(joint.table(image).values)
    near = _distances(distance, len(levels))
    c, s = (torch.tensor(list(codes.values())) for codes in (c_of, s_of))
    macros = {
        cause: CellMacro(c, _written(c, s, chances, near), s, correlate),
        correlate: CellMacro(s, _written(s, c, chances, near), c, cause),
    }
    return VisualCauses(
        model=_with_macros(model, image, macros),
        image=image,
        target=target,
        names=(cause, correlate),
        observational=observational,
        causal=causal,
        cause=c_of,
        correlate=s_of,
        joint=joint,
        tolerance=tolerance,
    )


def _require_free(graph: CausalGraph, cause: str, correlate: str) -> None:
    taken = [name for name in (cause, correlate) if name in graph]
    if taken or cause == correlate:
        raise GraphError(
            f"cause={cause!r} and correlate={correlate!r} are to be new nodes beside "
            f"{list(graph.nodes)}; give two names that are not taken"
        )


def _ordered(partition: Partition, rows: Array, tolerance: float) -> dict[Hashable, int]:
    """Number of each level's cell, in ascending order of the rows, the last column first.

    Columns are compared by rank, where a step of at most the tolerance counts as none.
    """
    means = class_means(rows, np.array(list(partition.labels.values())))
    ranks = np.zeros(means.shape, dtype=np.int64)
    for column, values in enumerate(means.T):
        order = values.argsort(kind="stable")
        ranks[order[1:], column] = (np.diff(values[order]) > tolerance).cumsum()
    number = {int(k): place for place, k in enumerate(np.lexsort(ranks.T))}
    return {level: number[partition.labels[level]] for level in partition.levels}


def _distances(distance: Any, n: int) -> Array | None:
    if distance is None:
        return None
    found = np.asarray(distance, dtype=np.float64)
    if found.shape != (n, n) or not np.isfinite(found).all() or (found < 0).any():
        raise ScmError(
            f"distances of shape {found.shape} were given; expected finite, non-negative numbers "
            f"of shape ({n}, {n}), one for each pair of images"
        )
    return found


def _written(own: Tensor, kept: Tensor, chances: Array, distance: Array | None) -> Tensor:
    """The image by which each is replaced to have each value of its own, `(values, levels)`."""
    a, b = own.numpy(), kept.numpy()
    found = np.full((a.max() + 1, len(a)), -1)
    for value in range(a.max() + 1):
        for keep in range(b.max() + 1):
            there = np.flatnonzero((a == value) & (b == keep))
            if len(there):
                rows = np.flatnonzero(b == keep)
                cost = -chances[there] if distance is None else distance[np.ix_(rows, there)]
                found[value, rows] = there[cost.argmin(-1)]
        found[value, a == value] = np.flatnonzero(a == value)
    return torch.from_numpy(found)


def _with_macros(model: SCM, image: str, macros: dict[str, CellMacro]) -> SCM:
    """A copy of the model with constitutive nodes of an image."""
    constitutive = tuple((image, name) for name in macros)
    added = Structure(nodes=(image, *macros), constitutive=constitutive)
    return model.replace(macros, graph=CausalGraph(joined([model.graph.structure, added])))
