r"""Expressions of probability: the trees that identification returns.

An expression is a `Probability` :math:`P(y \mid w, do(x))`, a `Sum` over symbols, a
`Product`, a `Fraction`, or a `Constant`. A `Symbol` is a node's value: the value that the
query leaves open (``X``), another one (``X'``, as in the front-door formula), or a level
(``X=1``, in counterfactual events). Trees are immutable, hashable, and print themselves as
text and LaTeX.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from scm.graph.grammar import show_name

__all__ = [
    "ONE",
    "ZERO",
    "Constant",
    "Expression",
    "Fraction",
    "Probability",
    "Product",
    "Sum",
    "Symbol",
]


@dataclass(frozen=True, slots=True)
class Symbol:
    """A value of the node ``name``: open, or a fixed ``level``.

    Args:
        name: The node.
        primes: Tells apart several values of one node.
        level: The level, or None for an open value.

    Example:
        >>> print(Symbol("X"), Symbol("X", 1), Symbol("X", level=0))
        X X' X=0
    """

    name: str
    primes: int = 0
    level: Hashable = None

    @property
    def open(self) -> bool:
        """Whether the value is open: a sum may run over it, a query may fix it."""
        return self.level is None

    def __str__(self) -> str:
        fixed = "" if self.open else f"={self.level}"
        return show_name(self.name) + "'" * self.primes + fixed

    def to_latex(self) -> str:
        """Return the symbol in LaTeX's mathematics mode."""
        fixed = "" if self.open else f"={_latex_text(str(self.level))}"
        return _latex_name(self.name) + "'" * self.primes + fixed


class Expression:
    """An expression: `Probability`, `Sum`, `Product`, `Fraction` or `Constant`."""

    __slots__ = ()

    @property
    def free(self) -> frozenset[Symbol]:
        """The open symbols that no sum binds."""
        raise NotImplementedError

    def substitute(self, values: Mapping[Symbol, Symbol]) -> Expression:
        """Return the expression with free symbols replaced; sums keep what they bind."""
        raise NotImplementedError

    def to_latex(self) -> str:
        """Return the expression in LaTeX's mathematics mode."""
        raise NotImplementedError

    def _repr_latex_(self) -> str:
        return f"${self.to_latex()}$"


@dataclass(frozen=True, slots=True)
class Constant(Expression):
    """The number zero or one.

    Example:
        >>> print(Constant(0))
        0
    """

    value: int

    @property
    def free(self) -> frozenset[Symbol]:
        """Nothing."""
        return frozenset()

    def substitute(self, values: Mapping[Symbol, Symbol]) -> Expression:
        """Return the constant."""
        return self

    def __str__(self) -> str:
        return str(self.value)

    def to_latex(self) -> str:
        """Return the digit."""
        return str(self.value)


ZERO, ONE = Constant(0), Constant(1)


@dataclass(frozen=True, slots=True)
class Probability(Expression):
    r"""A probability :math:`P(\text{outcome} \mid \text{given}, do(\text{do}))`.

    Example:
        >>> p = Probability((Symbol("Y"),), given=(Symbol("X", 1),))
        >>> print(p)
        P(Y | X')
        >>> p.to_latex()
        "P(Y \\mid X')"
    """

    outcome: tuple[Symbol, ...]
    given: tuple[Symbol, ...] = ()
    do: tuple[Symbol, ...] = ()

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """All its symbols: outcome, given, do."""
        return (*self.outcome, *self.given, *self.do)

    @property
    def free(self) -> frozenset[Symbol]:
        """Its open symbols."""
        return frozenset(symbol for symbol in self.symbols if symbol.open)

    def substitute(self, values: Mapping[Symbol, Symbol]) -> Expression:
        """Return the probability with symbols replaced."""
        parts = (self.outcome, self.given, self.do)
        return Probability(*(tuple(values.get(s, s) for s in part) for part in parts))

    def __str__(self) -> str:
        conditions = [*map(str, self.given)]
        conditions += [f"do({', '.join(map(str, self.do))})"] if self.do else []
        bar = " | " if conditions else ""
        return f"P({', '.join(map(str, self.outcome))}{bar}{', '.join(conditions)})"

    def to_latex(self) -> str:
        r"""Return it as in :math:`P(y \mid w, do(x))`."""
        conditions = [s.to_latex() for s in self.given]
        conditions += [f"do({_latex_list(self.do)})"] if self.do else []
        bar = r" \mid " if conditions else ""
        return f"P({_latex_list(self.outcome)}{bar}{', '.join(conditions)})"


@dataclass(frozen=True, slots=True)
class Sum(Expression):
    r"""A sum :math:`\sum_{\text{over}} \text{body}`; its symbols are bound in the body.

    Example:
        >>> print(Sum((Symbol("Z"),), Probability((Symbol("Y"), Symbol("Z")))))
        Σ_Z P(Y, Z)
    """

    over: tuple[Symbol, ...]
    body: Expression

    @property
    def free(self) -> frozenset[Symbol]:
        """The free symbols of the body that the sum does not bind."""
        return self.body.free - frozenset(self.over)

    def substitute(self, values: Mapping[Symbol, Symbol]) -> Expression:
        """Return the sum with free symbols replaced, bound ones renamed where they clash."""
        inner = {s: new for s, new in values.items() if s not in self.over and s in self.body.free}
        taken = set(inner.values()) | self.free
        over = []
        for symbol in self.over:
            fresh = symbol
            while fresh in taken:
                fresh = Symbol(fresh.name, fresh.primes + 1)
            taken.add(fresh)
            over.append(fresh)
            inner[symbol] = fresh
        return Sum(tuple(over), self.body.substitute(inner))

    def __str__(self) -> str:
        over = ",".join(map(str, self.over))
        return f"Σ_{over if len(self.over) == 1 else '{' + over + '}'} {self.body}"

    def to_latex(self) -> str:
        r"""Return ``\sum_{...}`` and the body."""
        return rf"\sum_{{{_latex_list(self.over)}}} {self.body.to_latex()}"


@dataclass(frozen=True, slots=True)
class Product(Expression):
    """A product of factors.

    Example:
        >>> print(Product((Probability((Symbol("Z"),)), ONE)))
        P(Z) 1
    """

    factors: tuple[Expression, ...]

    @property
    def free(self) -> frozenset[Symbol]:
        """The free symbols of the factors."""
        return frozenset[Symbol]().union(*(factor.free for factor in self.factors))

    def substitute(self, values: Mapping[Symbol, Symbol]) -> Expression:
        """Return the product of the factors with symbols replaced."""
        return Product(tuple(factor.substitute(values) for factor in self.factors))

    def __str__(self) -> str:
        return _joined(self.factors, str, "[{}]") or "1"

    def to_latex(self) -> str:
        r"""Return the factors side by side, sums in brackets unless they come last."""
        return _joined(self.factors, lambda f: f.to_latex(), r"\left[{}\right]") or "1"


@dataclass(frozen=True, slots=True)
class Fraction(Expression):
    """A fraction of two expressions.

    Example:
        >>> y, x = Symbol("Y"), Symbol("X")
        >>> print(Fraction(Probability((x, y)), Probability((x,))))
        P(X, Y) / P(X)
    """

    numerator: Expression
    denominator: Expression

    @property
    def free(self) -> frozenset[Symbol]:
        """The free symbols of both."""
        return self.numerator.free | self.denominator.free

    def substitute(self, values: Mapping[Symbol, Symbol]) -> Expression:
        """Return the fraction with symbols replaced in both."""
        return Fraction(self.numerator.substitute(values), self.denominator.substitute(values))

    def __str__(self) -> str:
        sides = (self.numerator, self.denominator)
        return " / ".join(str(s) if isinstance(s, Probability | Constant) else f"[{s}]"
                          for s in sides)  # fmt: skip

    def to_latex(self) -> str:
        r"""Return ``\frac{...}{...}``."""
        return rf"\frac{{{self.numerator.to_latex()}}}{{{self.denominator.to_latex()}}}"


def _joined(factors: Iterable[Expression], show: type[str] | object, bracket: str) -> str:
    assert callable(show)
    parts = [(factor, str(show(factor))) for factor in factors]
    return " ".join(
        bracket.replace("{}", text)
        if (isinstance(factor, Sum) and i < len(parts) - 1) or isinstance(factor, Product)
        else text
        for i, (factor, text) in enumerate(parts)
    )


def _latex_list(symbols: Iterable[Symbol]) -> str:
    return ", ".join(symbol.to_latex() for symbol in symbols)


def _latex_name(name: str) -> str:
    if symbol := re.fullmatch(r"([A-Za-z])(\d*)", name):
        return f"{symbol[1]}_{{{symbol[2]}}}" if symbol[2] else name
    return _latex_text(name)


def _latex_text(text: str) -> str:
    if re.fullmatch(r"-?[\d.]+", text):
        return text
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {mark: f"\\{mark}" for mark in "&%$#_{}"}
    return rf"\text{{{''.join(special.get(mark, mark) for mark in text)}}}"
