r"""Simplification of expressions of probability, by algebra and by the graph.

By algebra: products and sums are flattened, factors that a sum does not bind leave it, what
sums to one disappears (:math:`\sum_a P(a, b \mid c) = P(b \mid c)`), equal factors of a
fraction cancel. By the graph: :math:`P(a \mid b)\,P(c \mid a, d)` is
:math:`P(a, c \mid b, d)` where the graph says that the missing conditions do not matter, and
then a sum over :math:`a` is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from scm.graph.expression import (
    ONE,
    ZERO,
    Expression,
    Fraction,
    Probability,
    Product,
    Sum,
    Symbol,
)

__all__ = ["Independence", "distinct", "product", "simplify", "total"]

Independence: TypeAlias = Callable[[Iterable[str], Iterable[str], Iterable[str]], bool]
"""Whether some nodes are independent of others given a third set, in the observed law."""


def simplify(expression: Expression, independent: Independence | None = None) -> Expression:
    """Return an equal expression that is no larger.

    Args:
        expression: Any expression.
        independent: What the graph implies; pure algebra where it is not given.

    Example:
        >>> x, y, z = map(Symbol, "XYZ")
        >>> p = Product((Probability((z,), (x,)), Probability((y,), (z, x))))
        >>> print(simplify(Sum((z,), p)))
        P(Y | X)
    """
    match expression:
        case Sum(over, body):
            return total(over, simplify(body, independent), independent)
        case Product(factors):
            return product(simplify(factor, independent) for factor in factors)
        case Fraction(numerator, denominator):
            return _fraction(simplify(numerator, independent), simplify(denominator, independent))
        case _:
            return expression


def product(factors: Iterable[Expression]) -> Expression:
    """Return the product, flat, without ones; sums come last."""
    flat: list[Expression] = []
    for factor in factors:
        flat += factor.factors if isinstance(factor, Product) else [factor]
    if ZERO in flat:
        return ZERO
    flat = [f for f in flat if f != ONE and not (isinstance(f, Probability) and not f.outcome)]
    flat.sort(key=lambda f: isinstance(f, Sum))
    return flat[0] if len(flat) == 1 else Product(tuple(flat)) if flat else ONE


def total(
    over: Iterable[Symbol], body: Expression, independent: Independence | None = None
) -> Expression:
    """Return the sum of ``body``, itself simplified, over symbols."""
    over = list(dict.fromkeys(over))
    if isinstance(body, Sum) and body.over and set(body.over).isdisjoint(over):
        return total((*over, *body.over), body.body, independent)
    factors = list(body.factors) if isinstance(body, Product) else [body]
    while True:
        reduced = next(filter(None, (_without(s, over, factors, independent) for s in over)), None)
        if reduced is None:
            break
        over, factors = reduced
    inside = [f for f in factors if not f.free.isdisjoint(over)]
    outside = [f for f in factors if f.free.isdisjoint(over)]
    if not over:
        return product(outside)
    return product([*outside, *_split(over, inside)])


def distinct(expression: Expression) -> Expression:
    """Rename what sums bind so that no name stands for two values at once.

    Example:
        >>> x, y = Symbol("X"), Symbol("Y")
        >>> inner = Sum((x,), Product((Probability((x,)), Probability((y,), (x,)))))
        >>> print(distinct(Product((Probability((x,)), inner))))
        P(X) Σ_X' P(X') P(Y | X')
    """
    return _distinct(expression, expression.free)


def _distinct(expression: Expression, taken: frozenset[Symbol]) -> Expression:
    match expression:
        case Sum(over, body):
            fresh = {}
            for symbol in over:
                new = symbol
                while new in taken:
                    new = Symbol(new.name, new.primes + 1)
                fresh[symbol] = new
                taken |= {new}
            return Sum(tuple(fresh.values()), _distinct(body.substitute(fresh), taken))
        case Product(factors):
            return Product(tuple(_distinct(factor, taken) for factor in factors))
        case Fraction(numerator, denominator):
            return Fraction(_distinct(numerator, taken), _distinct(denominator, taken))
        case _:
            return expression


def _fraction(numerator: Expression, denominator: Expression) -> Expression:
    if denominator == ONE or numerator == ZERO:
        return numerator
    above = list(numerator.factors) if isinstance(numerator, Product) else [numerator]
    below = list(denominator.factors) if isinstance(denominator, Product) else [denominator]
    for factor in list(below):
        if factor in above:
            above.remove(factor)
            below.remove(factor)
    for low in list(below):
        for i, high in enumerate(above):
            quotient = _quotient(high, low)
            if quotient is not None:
                above[i] = quotient
                below.remove(low)
                break
    top, bottom = product(above), product(below)
    return top if bottom == ONE else Fraction(top, bottom)


def _quotient(high: Expression, low: Expression) -> Expression | None:
    """Return P(a | b, c) for P(a, b | c) / P(b | c)."""
    if not (isinstance(high, Probability) and isinstance(low, Probability)):
        return None
    same = frozenset(high.given) == frozenset(low.given) and high.do == low.do
    if not same or not frozenset(low.outcome) < frozenset(high.outcome):
        return None
    outcome = tuple(s for s in high.outcome if s not in low.outcome)
    return Probability(outcome, (*low.outcome, *high.given), high.do)


def _without(
    symbol: Symbol,
    over: Sequence[Symbol],
    factors: Sequence[Expression],
    independent: Independence | None,
) -> tuple[list[Symbol], list[Expression]] | None:
    """Return what is left to sum, over what, if ``symbol`` can be summed out."""
    reduced = _summed_out(symbol, factors, independent)
    left = [s for s in over if s != symbol]
    if reduced is None:
        return None
    before, after = product(factors).free, product(reduced).free
    if any(s in before and s not in after for s in left):
        return None  # a sum over a symbol that has vanished still counts its levels
    return left, reduced


def _summed_out(
    symbol: Symbol, factors: Sequence[Expression], independent: Independence | None
) -> list[Expression] | None:
    """Return the factors with ``symbol`` summed out where one factor is left with it."""
    having = [f for f in factors if symbol in f.free]
    rest = [f for f in factors if symbol not in f.free]
    joint = having[0] if having else ONE
    if len(having) == 2:
        found = _chained(having[0], having[1], symbol, independent)
        found = found or _chained(having[1], having[0], symbol, independent)
        if found is None:
            return None
        joint = found
    elif len(having) > 2:
        return None
    if not isinstance(joint, Probability) or symbol not in joint.outcome:
        return None
    outcome = tuple(s for s in joint.outcome if s != symbol)
    place = factors.index(having[-1]) - len(having) + 1
    left = [Probability(outcome, joint.given, joint.do)] if outcome else []
    return [*rest[:place], *left, *rest[place:]]


def _chained(
    first: Expression, second: Expression, symbol: Symbol, independent: Independence | None
) -> Probability | None:
    """Return P(a, c | b, d) for P(a | b) P(c | a, d), where the graph allows it.

    ``symbol`` is among a. It needs c independent of what is only in b, and a independent of
    what is only in d; and no factor may grow.
    """
    if not (isinstance(first, Probability) and isinstance(second, Probability)):
        return None
    if symbol not in first.outcome or first.do or second.do:
        return None
    a, b, c = first.outcome, first.given, second.outcome
    if not set(a) <= set(second.given) or not set(c).isdisjoint((*a, *b)):
        return None
    d = [s for s in second.given if s not in a]
    only_b, only_d = [s for s in b if s not in d], [s for s in d if s not in b]
    if only_b or only_d:
        symbols = (*a, *b, *c, *d)
        if independent is None or len({s.name for s in symbols}) < len(set(symbols)):
            return None
        if len({*b, *c, *d}) - (symbol in c) > max(len(first.free), len(second.free)):
            return None
        if not (_holds(independent, c, only_b, second.given) and _holds(independent, a, only_d, b)):
            return None
    return Probability((*a, *c), tuple(dict.fromkeys((*b, *d))))


def _holds(
    independent: Independence, a: Iterable[Symbol], b: Iterable[Symbol], given: Iterable[Symbol]
) -> bool:
    names = [s.name for s in b]
    return not names or independent([s.name for s in a], names, [s.name for s in given])


def _split(over: Sequence[Symbol], factors: Sequence[Expression]) -> list[Expression]:
    """Return one sum for each group of factors that share bound symbols."""
    sums: list[Expression] = []
    left = list(over)
    while left:
        group = {left[0]}
        while True:
            inside = [f for f in factors if not f.free.isdisjoint(group)]
            grown = group | {s for f in inside for s in f.free if s in left}
            if grown == group:
                break
            group = grown
        bound = tuple(s for s in left if s in group)
        sums.append(Sum(bound, product(inside)))
        left = [s for s in left if s not in group]
    return sums
