r"""Evaluation of expressions of probability against a source of tables.

A probability that is not defined, :math:`P(a \mid b)` where :math:`P(b) = 0`, is NaN, and
zero times NaN is zero: a term of weight zero does not matter. What is NaN in the end does
depend on an empty cell, and `Evaluator.hole` says on which.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scm.errors import ScmError
from scm.graph.domain import Domain
from scm.graph.expression import Constant, Expression, Fraction, Probability, Product, Sum, Symbol

__all__ = ["Cells", "Evaluator", "Source"]

Array: TypeAlias = NDArray[np.float64]

MAX_ENTRIES = 2**27  # of one array: a gibibyte


class Source(Protocol):
    """What an expression is evaluated on: a law, or the frequencies of data."""

    @property
    def levels(self) -> Mapping[str, Sequence[Hashable]]:
        """The levels of each node."""

    def table(self, *names: str, do: Any = None) -> Any:
        """Return an object with ``names`` and ``values``: P(names | do)."""


@dataclass(frozen=True, slots=True)
class Cells:
    """An array with a symbol for each axis."""

    scope: tuple[Symbol, ...]
    values: Array

    def at(self, scope: Sequence[Symbol]) -> Array:
        """Return the values with axes in the order of ``scope``, size 1 where one is missing."""
        order = [self.scope.index(symbol) for symbol in scope if symbol in self.scope]
        shape = [
            self.values.shape[self.scope.index(s)] if s in self.scope else 1 for s in scope
        ]  # fmt: skip
        return self.values.transpose(order).reshape(shape)


class Evaluator:
    """Evaluates expressions on one source; margins are read once.

    Args:
        source: The law, or the data.

    Raises:
        ScmError: If an array on the way would be too large.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.domain = Domain({name: tuple(of) for name, of in source.levels.items()})
        self._margins: dict[tuple[frozenset[str], frozenset[str]], tuple[tuple[str, ...], Array]]
        self._margins = {}

    def cells(self, expression: Expression, fixed: Mapping[Symbol, int] | None = None) -> Cells:
        """Return the value for every level of the free symbols that are not ``fixed``."""
        fixed = fixed or {}
        match expression:
            case Constant(value):
                return Cells((), np.array(float(value)))
            case Probability():
                return self._probability(expression, fixed)
            case Product(factors):
                return self._product([self.cells(factor, fixed) for factor in factors])
            case Sum(over, body):
                inner = {symbol: code for symbol, code in fixed.items() if symbol not in over}
                factors = body.factors if isinstance(body, Product) else (body,)
                return self._sum(over, [self.cells(factor, inner) for factor in factors])
            case Fraction(numerator, denominator):
                return _ratio(self.cells(numerator, fixed), self.cells(denominator, fixed))
        raise TypeError(f"not an expression: {expression!r}")

    def hole(self, expression: Expression, fixed: Mapping[Symbol, int]) -> str | None:
        """Return why the expression is not determined at ``fixed``, or None if it is."""
        if not np.isnan(self.cells(expression, fixed).values).any():
            return None
        match expression:
            case Probability(given=given):
                return f"{expression} is read off where {self._show(given, fixed)}, which never "\
                       "occurs"  # fmt: skip
            case Product(factors):
                return next(filter(None, (self.hole(factor, fixed) for factor in factors)), None)
            case Sum(over, body):
                inner = {symbol: code for symbol, code in fixed.items() if symbol not in over}
                cells = self.cells(body, inner)
                first = tuple(int(i) for i in np.argwhere(np.isnan(cells.values))[0])
                return self.hole(body, inner | dict(zip(cells.scope, first, strict=True)))
            case Fraction(numerator, denominator):
                return (
                    self.hole(numerator, fixed)
                    or self.hole(denominator, fixed)
                    or f"{denominator} is zero where {self._show(denominator.free, fixed)}"
                )
        return None

    def margin(self, names: Iterable[str], do: Iterable[str] = ()) -> tuple[tuple[str, ...], Array]:
        """Return P(names | do) and the names of its axes."""
        key = (frozenset(names), frozenset(do))
        if key not in self._margins:
            asked = [name for name in self.domain.levels if name in key[0]]
            acts = [name for name in self.domain.levels if name in key[1]]
            self._check_size([*asked, *acts])
            table = self.source.table(*asked, do=acts) if acts else self.source.table(*asked)
            values = np.asarray(table.values, dtype=np.float64)
            self._margins[key] = (tuple(table.names), values)
        return self._margins[key]

    def _probability(self, p: Probability, fixed: Mapping[Symbol, int]) -> Cells:
        self.domain.require(*(symbol.name for symbol in p.symbols))
        cells = self._margin_cells((*p.outcome, *p.given), p.do, fixed)
        return _ratio(cells, self._margin_cells(p.given, p.do, fixed)) if p.given else cells

    def _margin_cells(
        self, symbols: Sequence[Symbol], do: Sequence[Symbol], fixed: Mapping[Symbol, int]
    ) -> Cells:
        names, values = self.margin([s.name for s in symbols], [s.name for s in do])
        of = {symbol.name: symbol for symbol in (*symbols, *do)}
        codes = [self._code(of[name], fixed) for name in names]
        index = tuple(slice(None) if code is None else code for code in codes)
        scope = tuple(of[name] for name, code in zip(names, codes, strict=True) if code is None)
        return Cells(scope, values[index])

    def _code(self, symbol: Symbol, fixed: Mapping[Symbol, int]) -> int | None:
        if symbol.open:
            return fixed.get(symbol)
        return self.domain.code(symbol.name, symbol.level)

    def _product(self, factors: Sequence[Cells]) -> Cells:
        scope = tuple(dict.fromkeys(symbol for cells in factors for symbol in cells.scope))
        self._check_size([symbol.name for symbol in scope])
        values = np.ones(())
        for cells in factors:
            factor = cells.at(scope)
            values = np.where((values == 0) | (factor == 0), 0.0, values * factor)
        return Cells(scope, values)

    def _sum(self, over: Sequence[Symbol], factors: list[Cells]) -> Cells:
        """Sum a product, one symbol at a time: next is the one that leaves the least array."""
        left = list(over)
        while left:
            scopes = {
                s: {t for cells in factors if s in cells.scope for t in cells.scope} for s in left
            }
            symbol = min(left, key=lambda s: self._size(t.name for t in scopes[s]))
            left.remove(symbol)
            joint = self._product([cells for cells in factors if symbol in cells.scope])
            factors = [cells for cells in factors if symbol not in cells.scope]
            if symbol in joint.scope:
                axis = joint.scope.index(symbol)
                rest = (*joint.scope[:axis], *joint.scope[axis + 1 :])
                factors.append(Cells(rest, joint.values.sum(axis)))
            else:  # a symbol that occurs nowhere counts its levels
                factors.append(Cells((), np.array(float(len(self.domain.levels[symbol.name])))))
        return self._product(factors)

    def _show(self, symbols: Iterable[Symbol], fixed: Mapping[Symbol, int]) -> str:
        codes = {symbol.name: self._code(symbol, fixed) for symbol in symbols}
        return self.domain.show(dict(sorted(codes.items())))

    def _size(self, names: Iterable[str]) -> int:
        return math.prod(len(self.domain.levels[name]) for name in names)

    def _check_size(self, names: Sequence[str]) -> None:
        if self._size(names) > MAX_ENTRIES:
            raise ScmError(
                f"this estimand needs a table of {self._size(names):.2g} entries over "
                f"{len(names)} nodes ({', '.join(names)}); the most is {MAX_ENTRIES:.2g}. Ask for "
                "fewer nodes at once, or merge levels"
            )


def _ratio(numerator: Cells, denominator: Cells) -> Cells:
    scope = tuple(dict.fromkeys((*numerator.scope, *denominator.scope)))
    above, below = np.broadcast_arrays(numerator.at(scope), denominator.at(scope))
    values = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return Cells(scope, values)
