r"""Variable elimination: sum a product of factors down to a few variables.

A model of tables is a product of factors :math:`\prod_i f_i(\text{scope}_i)`. To sum out a
variable, multiply the factors that mention it, sum, and put the result back (Zhang and Poole
1994). The order is greedy: next is the variable that leaves the smallest factor. A `Plan` is
the order worked out once; it runs for any codes of the variables that a query fixes, and what
does not depend on them is computed when the plan is made.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scm.errors import ScmError

__all__ = ["MAX_ENTRIES", "Array", "Factor", "Plan", "Steps", "check_size"]

Array = npt.NDArray[np.float64]

MAX_ENTRIES = 2**27
"""The largest factor that may be made: a gibibyte in float64."""

_MAX_KEPT = 2**18  # entries of a result that a plan keeps between its runs
_MAX_OPERANDS = 8  # of one einsum
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Factor:
    """A non-negative function of the variables in ``scope``, one axis each."""

    scope: tuple[Hashable, ...]
    values: Array


def check_size(scope: Iterable[Hashable], cards: Mapping[Hashable, int]) -> None:
    """Raise if a factor over ``scope`` would have more than `MAX_ENTRIES` entries.

    Raises:
        ScmError: naming the size and the variables.
    """
    scope = list(scope)
    size = math.prod([cards[v] for v in scope])
    if size > MAX_ENTRIES:
        names = ", ".join(sorted({str(v) for v in scope}))
        raise ScmError(
            f"this query needs a table of {size:.2g} entries over {len(scope)} nodes ({names}); "
            f"the most is {MAX_ENTRIES:.2g}. Ask for fewer names at once, fix more of them, "
            "or sample the model instead"
        )


class Steps:
    """A product of factors, and the sums of it that were asked for: one `einsum` each.

    Every factor and every sum has a slot, and every sum reads each slot at most once. ``cost``
    counts the entries that all sums go through.

    Args:
        factors: the product to be summed.
        cards: the number of levels of each variable.
        fixed: the variables whose codes are given when the steps run.
    """

    def __init__(
        self,
        factors: Iterable[Factor],
        cards: Mapping[Hashable, int],
        fixed: Sequence[Hashable],
    ) -> None:
        self.cost = 0
        self._cards = cards
        self._scopes: list[tuple[Hashable, ...]] = []
        self._slots: list[Array | None] = []
        self._slices: list[tuple[int, Array, tuple[int, ...]]] = []
        self._steps: list[tuple[int, str, tuple[int, ...]]] = []
        place = {v: i for i, v in enumerate(fixed)}
        for factor in factors:
            self._load(factor, place)

    def _run(self, codes: Sequence[int]) -> list[Any]:
        """Return what is in every slot, for these codes of ``fixed``."""
        slots: list[Any] = self._slots.copy()
        for slot, values, where in self._slices:
            slots[slot] = values[tuple([codes[i] for i in where])]
        for slot, spec, inputs in self._steps:
            slots[slot] = np.einsum(spec, *[slots[i] for i in inputs])
        return slots

    def _load(self, factor: Factor, place: Mapping[Hashable, int]) -> None:
        """Add a factor: axes of fixed variables first, axes of one level dropped."""
        scope = factor.scope
        rest = [i for i, v in enumerate(scope) if v not in place and self._cards[v] > 1]
        cut = [i for i, v in enumerate(scope) if v in place]
        self._scopes.append(tuple([scope[i] for i in rest]))
        if not cut:
            shape = tuple([factor.values.shape[i] for i in rest])
            self._slots.append(factor.values.reshape(shape))
            return
        single = [i for i, v in enumerate(scope) if v not in place and self._cards[v] == 1]
        moved = factor.values.transpose(*cut, *rest, *single)
        shape = tuple([factor.values.shape[i] for i in (*cut, *rest)])
        where = tuple([place[scope[i]] for i in cut])
        self._slices.append((len(self._slots), moved.reshape(shape), where))
        self._slots.append(None)

    def eliminate(self, keep: tuple[Hashable, ...]) -> dict[Hashable, int]:
        """Sum out all variables but ``keep``; return the slot that each one's sum is in.

        The last slot is then the sum of the whole product.
        """
        users: dict[Hashable, set[int]] = {}
        near: dict[Hashable, set[Hashable]] = {}
        for slot, scope in enumerate(self._scopes):
            for v in scope:
                users.setdefault(v, set()).add(slot)
                near.setdefault(v, set()).update(scope)
        left = set(range(len(self._scopes)))
        cards = self._cards
        sizes = {v: self._size(near[v]) // cards[v] for v in near if v not in keep}
        summed: dict[Hashable, int] = {}
        while sizes:
            v = min(sizes, key=sizes.__getitem__)
            del sizes[v]
            others = near[v]
            others.discard(v)
            used = users[v]
            slot = summed[v] = self._multiply(sorted(used), tuple(others))
            left -= used
            left.add(slot)
            for u in others:
                users[u] -= used
                users[u].add(slot)
                around = near[u]
                around.discard(v)
                around |= others
                if u in sizes:
                    sizes[u] = math.prod([cards[w] for w in around]) // cards[u]
        for v in keep:
            if v not in users:
                left.add(self._constant((v,), np.ones(self._cards[v])))
        self._multiply(sorted(left) or [self._constant((), np.ones(()))], keep)
        return summed

    def _multiply(self, inputs: Sequence[int], scope: tuple[Hashable, ...]) -> int:
        """Multiply slots and sum to ``scope``, a few at a time; return the new slot."""
        while len(inputs) > _MAX_OPERANDS:
            head, tail = inputs[:_MAX_OPERANDS], inputs[_MAX_OPERANDS:]
            union = tuple(dict.fromkeys(v for i in head for v in self._scopes[i]))
            inputs = [*tail, self._multiply(head, union)]
        return self._step(inputs, scope)

    def _step(self, inputs: Sequence[int], scope: tuple[Hashable, ...]) -> int:
        """Add the step that multiplies slots and sums to ``scope``; return the new slot."""
        self._steps.append((len(self._slots), self._spec(inputs, scope), tuple(inputs)))
        self._scopes.append(scope)
        self._slots.append(None)
        return len(self._slots) - 1

    def _spec(self, inputs: Sequence[int], scope: tuple[Hashable, ...]) -> str:
        check_size(scope, self._cards)
        scopes = [self._scopes[i] for i in inputs]
        joined = dict.fromkeys([v for of in scopes for v in of])
        if len(joined) > len(_LETTERS):
            raise ScmError(f"one step of this query joins over {len(_LETTERS)} nodes")
        self.cost += self._size(joined)
        letter = dict(zip(joined, _LETTERS, strict=False))
        terms = ",".join(["".join([letter[v] for v in of]) for of in scopes])
        return f"{terms}->{''.join([letter[v] for v in scope])}"

    def _constant(self, scope: tuple[Hashable, ...], values: Array) -> int:
        self._scopes.append(scope)
        self._slots.append(values)
        return len(self._slots) - 1

    def _size(self, scope: Iterable[Hashable]) -> int:
        return math.prod([self._cards[v] for v in scope])


class Plan(Steps):
    """What to multiply and sum, in which order, for any codes of the fixed variables.

    Args:
        factors: the product to be summed.
        cards: the number of levels of each variable.
        keep: the variables of the result, in the order of its axes.
        fixed: the variables whose codes are given when the plan runs; not among ``keep``.

    Raises:
        ScmError: if a factor on the way would be too large.

    Example:
        >>> a = Factor(("A",), np.array([0.4, 0.6]))
        >>> b = Factor(("A", "B"), np.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> Plan([a, b], {"A": 2, "B": 2}, keep=("B",), fixed=())([])
        array([0.48, 0.52])
        >>> Plan([a, b], {"A": 2, "B": 2}, keep=("B",), fixed=("A",))([1])
        array([0.12, 0.48])
    """

    def __init__(
        self,
        factors: Iterable[Factor],
        cards: Mapping[Hashable, int],
        keep: Sequence[Hashable],
        fixed: Sequence[Hashable],
    ) -> None:
        super().__init__(factors, cards, fixed)
        self._shape = tuple([cards[v] for v in keep])
        self.eliminate(tuple([v for v in keep if cards[v] > 1]))

    def __call__(self, codes: Sequence[int]) -> Array:
        """Return the sum for these codes of ``fixed``: a new array, one axis for each kept."""
        return np.array(self._run(codes)[-1]).reshape(self._shape)

    def _step(self, inputs: Sequence[int], scope: tuple[Hashable, ...]) -> int:
        """Add a step; or take it now, if it depends on no codes and is small."""
        known = [values for i in inputs if (values := self._slots[i]) is not None]
        if len(known) < len(inputs) or self._size(scope) > _MAX_KEPT:
            return super()._step(inputs, scope)
        for i in inputs:
            self._slots[i] = None
        return self._constant(scope, np.einsum(self._spec(inputs, scope), *known))
