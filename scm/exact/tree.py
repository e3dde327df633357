r"""Many margins of one product of factors, by one elimination there and back.

Eliminating variables sends messages along a tree: each step multiplies a few factors and earlier
messages, sums, and hands the result :math:`\mu` to the one step that reads it. What the rest of
the product says about a step then comes back the other way (Shafer and Shenoy 1990; Lauritzen
and Spiegelhalter 1988): a step that read :math:`f_1, \dots, f_k` and was told :math:`\pi` tells
the step that made :math:`f_i`

.. math:: \pi_i = \sum \pi \prod_{j \ne i} f_j,

and the margin of a variable is :math:`\sum \pi \prod_j f_j` at the step that summed it out. All
margins together cost about three eliminations, however many they are. Nothing is divided, so
that what has probability zero stays exactly zero.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import numpy as np

from scm.errors import ScmError
from scm.exact.elimination import Array, Factor, Steps

__all__ = ["MAX_COST", "Tree", "shared"]

MAX_COST = 2**28
"""The most entries that the steps of a `Tree` may go through; it keeps their results."""

_CHEAP = 2**18  # a cost not worth comparing: to plan takes as long


class Tree(Steps):
    r"""The margins of several variables, each with those of ``keep``: one pass for all.

    Args:
        factors: the product to be summed.
        cards: the number of levels of each variable.
        keep: the variables that every margin has, in the order of its first axes.
        wanted: the variables that have a margin each: its last axis.
        fixed: the variables whose codes are given when the tree runs. ``keep``, ``wanted`` and
            ``fixed`` have no variable in common.

    Raises:
        ScmError: if a factor on the way would be too large.

    Example:
        >>> a = Factor(("A",), np.array([0.4, 0.6]))
        >>> b = Factor(("A", "B"), np.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> Tree([a, b], {"A": 2, "B": 2}, keep=(), wanted=("A", "B"), fixed=())([])
        [array([0.4, 0.6]), array([0.48, 0.52])]
    """

    def __init__(
        self,
        factors: Iterable[Factor],
        cards: Mapping[Hashable, int],
        keep: Sequence[Hashable],
        wanted: Sequence[Hashable],
        fixed: Sequence[Hashable],
    ) -> None:
        super().__init__(factors, cards, fixed)
        self._shapes = [tuple([cards[v] for v in (*keep, w)]) for w in wanted]
        keep = tuple([v for v in keep if cards[v] > 1])
        summed = self.eliminate(keep)
        margins = self._outward(keep, {summed[w]: w for w in wanted if cards[w] > 1})
        total = self._total
        self._margins = [margins.get(w, total) for w in wanted]

    def __call__(self, codes: Sequence[int]) -> list[Array]:
        """Return the margins for these codes of ``fixed``, in the order of ``wanted``."""
        slots = self._run(codes)
        pairs = zip(self._margins, self._shapes, strict=True)
        return [np.array(slots[slot]).reshape(shape) for slot, shape in pairs]

    def _outward(
        self, keep: tuple[Hashable, ...], wanted: Mapping[int, Hashable]
    ) -> dict[Hashable, int]:
        """Add the steps back to where each variable was summed out; return its margin's slot."""
        inward = list(self._steps)
        self._total = inward[-1][0]
        needed: set[int] = set()
        for slot, _, inputs in inward:
            if slot in wanted or not needed.isdisjoint(inputs):
                needed.add(slot)
        told: dict[int, int] = {}
        margins: dict[Hashable, int] = {}
        for slot, _, inputs in reversed(inward):
            if slot not in needed:
                continue
            around = [*inputs, told[slot]] if slot in told else list(inputs)
            if slot in wanted:
                margins[wanted[slot]] = self._step(around, (*keep, wanted[slot]))
            for i in needed.intersection(inputs):
                others = [j for j in around if j != i]
                if others:
                    have = {v for j in others for v in self._scopes[j]}
                    about = dict.fromkeys((*self._scopes[i], *keep))
                    told[i] = self._step(others, tuple([v for v in about if v in have]))
        return margins


def shared(
    factors: Callable[[Sequence[Hashable]], Iterable[Factor]],
    cards: Mapping[Hashable, int],
    keep: Sequence[Hashable],
    wanted: Sequence[Hashable],
    fixed: Sequence[Hashable],
) -> Tree | None:
    """Return a `Tree`, or ``None`` where it pays to find each margin on its own.

    That is so where what matters to one margin is a small part of what matters to all: of many
    causes with common effects, each has an easy margin, and the effects tie all of them together.

    Args:
        factors: the factors that some variables depend on.
        cards: the number of levels of each variable.
        keep: as for `Tree`.
        wanted: as for `Tree`.
        fixed: as for `Tree`.
    """
    try:
        tree = Tree(factors((*keep, *wanted, *fixed)), cards, keep, wanted, fixed)
    except ScmError:
        return None
    if tree.cost > MAX_COST:
        return None
    if tree.cost > _CHEAP:
        alone = 0
        for w in wanted:
            steps = Steps(factors((*keep, w, *fixed)), cards, fixed)
            steps.eliminate(tuple([v for v in (*keep, w) if cards[v] > 1]))
            alone += steps.cost
        if alone < tree.cost:
            return None
    return tree
