r"""`Estimand`: an identified effect, as a formula and, on a law or on data, as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scm.errors import GraphError, ScmError
from scm.graph.empirical import Empirical, as_source
from scm.graph.evaluation import Cells, Evaluator
from scm.graph.expression import Expression, Fraction, Probability, Product, Sum, Symbol
from scm.graph.independencies import warn_of_contradictions
from scm.graph.table import Table

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = ["Estimand"]


@dataclass(frozen=True)
class Estimand:
    r"""A formula for :math:`P(\text{outcome} \mid do(\cdot), \text{given})` in what is observed.

    Args:
        graph: The graph of the observed nodes.
        outcome: The nodes asked about.
        do: The nodes set.
        given: The nodes observed after the act.
        expression: The formula.

    Example:
        >>> from scm.graph import CausalGraph
        >>> estimand = CausalGraph("C -> X, Y; X -> Y").identify("Y", do="X")
        >>> print(estimand)
        P(Y | do(X)) = Σ_C P(C) P(Y | C, X)
        >>> estimand.to_latex()
        'P(Y \\mid do(X)) = \\sum_{C} P(C) P(Y \\mid C, X)'
        >>> data = {"C": [0, 0, 0, 1, 1, 1], "X": [0, 0, 1, 0, 1, 1], "Y": [0, 1, 1, 0, 1, 0]}
        >>> float(estimand.evaluate(data).prob({"Y": 1}, do={"X": 1}))
        0.75
    """

    graph: CausalGraph
    outcome: tuple[str, ...]
    do: tuple[str, ...]
    given: tuple[str, ...]
    expression: Expression

    @property
    def query(self) -> str:
        """The left-hand side, as text.

        Example:
            >>> from scm.graph import CausalGraph
            >>> CausalGraph("X -> Y").identify("Y", do="X").query
            'P(Y | do(X))'
        """
        return str(self._query())

    @property
    def arbitrary(self) -> tuple[str, ...]:
        """The nodes whose level in the formula may be any: the value does not depend on it.

        Example:
            >>> from scm.graph import CausalGraph
            >>> napkin = CausalGraph("W -> Z -> X -> Y; W <-> X; W <-> Y")
            >>> napkin.identify("Y", do="X").arbitrary
            ('Z',)
        """
        asked = frozenset((*self.outcome, *self.do, *self.given))
        free = {symbol.name for symbol in self.expression.free}
        return tuple(node for node in self.graph.nodes if node in free - asked)

    def evaluate(
        self, source: Any, *, bootstrap: int = 0, seed: int | None = None, check: bool = True
    ) -> Table:
        r"""Return the numbers: a table with an axis for each of do, given and outcome.

        Where the formula holds for any level of some node (`arbitrary`), its values are
        averaged, weighted by how often each level occurs.

        Args:
            source: The law of the observed nodes (`scm.exact.Joint` or its ``observed()``), or
                discrete data: a pandas data frame, a mapping of columns, or `Samples`. Data are
                plugged in: frequencies in the place of probabilities.
            bootstrap: How many times data are resampled, for `Table.stderr` and
                `Table.estimate`.
            seed: Seeds the bootstrap.
            check: Whether to warn where the source contradicts an independence that the graph
                implies (`CausalGraph.test_independencies`).

        Returns:
            A `Table`: NaN where a cell that the formula needs is empty. Asked for such a
            number, `Table.prob` raises, and names the cell.

        Raises:
            GraphError: If a node is not in the source.
            ScmError: If the data are not discrete, or come from an act.

        Warns:
            IndependenceWarning: If the source contradicts the graph.
        """
        law = as_source(source, self.graph.nodes)
        missing = [node for node in self._needed() if node not in law.levels]
        if missing:
            raise GraphError(
                f"{self.query} needs {', '.join(missing)}, which the source lacks; it has "
                f"{', '.join(law.levels)}"
            )
        if check:
            warn_of_contradictions(self.graph, law)
        evaluator = Evaluator(law)
        axes = (*self.do, *self.given, *self.outcome)
        replicates = None
        if bootstrap:
            if not isinstance(law, Empirical):
                raise ScmError(
                    "bootstrap= is for data; a law has no sampling error. Leave it out, or pass "
                    "the data themselves"
                )
            rng = np.random.default_rng(seed)
            samples = (law.resampled(rng) for _ in range(bootstrap))
            replicates = np.stack([self._values(Evaluator(sample)) for sample in samples])
        return Table(
            axes,
            {name: tuple(law.levels[name]) for name in axes},
            self._values(evaluator),
            do=dict.fromkeys(self.do),
            given=dict.fromkeys(self.given),
            replicates=replicates,
            n=law.n if isinstance(law, Empirical) else None,
            why=lambda codes: self._why(evaluator, codes),
        )

    def to_latex(self) -> str:
        """Return the equation in LaTeX's mathematics mode."""
        return f"{self._query().to_latex()} = {self.expression.to_latex()}"

    def _repr_latex_(self) -> str:
        return f"${self.to_latex()}$"

    def __str__(self) -> str:
        return f"{self.query} = {self.expression}"

    def _query(self) -> Probability:
        parts = (self.outcome, self.given, self.do)
        return Probability(*(tuple(map(Symbol, names)) for names in parts))

    def _needed(self) -> tuple[str, ...]:
        names = {*self.outcome, *self.do, *self.given, *names_in(self.expression)}
        return tuple(node for node in self.graph.nodes if node in names)

    def _values(self, evaluator: Evaluator) -> NDArray[np.float64]:
        """Return the values on the axes do, given, outcome."""
        axes = tuple(map(Symbol, (*self.do, *self.given, *self.outcome)))
        cells = evaluator.cells(self.expression)
        cells = _averaged(cells, axes, tuple(map(Symbol, self.outcome)), evaluator)
        shape = [len(evaluator.domain.levels[symbol.name]) for symbol in axes]
        return np.broadcast_to(cells.at(axes), shape).copy()

    def _why(self, evaluator: Evaluator, codes: Mapping[str, int]) -> str:
        conditions = {name: codes[name] for name in (*self.do, *self.given) if name in codes}
        at = evaluator.domain.show(conditions)
        fixed = {Symbol(name): code for name, code in codes.items()}
        cells = evaluator.cells(self.expression, fixed)
        first = np.argwhere(np.isnan(cells.values))[0]
        fixed |= {s: int(i) for s, i in zip(cells.scope, first, strict=True)}
        hole = evaluator.hole(self.expression, fixed)
        return (
            f"{self.query} is not determined at {at or 'any level'} (positivity fails): {hole}. "
            "Collect such units, merge levels, or ask for bounds"
        )


def names_in(expression: Expression) -> frozenset[str]:
    """Return the names of all nodes that occur."""
    match expression:
        case Probability():
            return frozenset(symbol.name for symbol in expression.symbols)
        case Sum(body=body):
            return names_in(body)
        case Product(factors):
            return frozenset[str]().union(*map(names_in, factors))
        case Fraction(numerator, denominator):
            return names_in(numerator) | names_in(denominator)
    return frozenset()


def _averaged(
    cells: Cells, axes: tuple[Symbol, ...], outcome: tuple[Symbol, ...], evaluator: Evaluator
) -> Cells:
    """Average over symbols that are no axes: by their probability, where the value is known."""
    extra = tuple(symbol for symbol in cells.scope if symbol not in axes)
    if not extra:
        return cells
    order = (*axes, *extra)
    values = cells.at(order)
    names, margin = evaluator.margin(symbol.name for symbol in extra)
    weights = Cells(tuple(map(Symbol, names)), margin).at(order)
    over = tuple(axes.index(symbol) for symbol in outcome)
    known = ~np.isnan(values).any(axis=over, keepdims=True)
    weights = np.where(known, weights, 0.0)
    last = tuple(range(len(axes), len(order)))
    above = np.where(weights > 0, values, 0.0) * weights
    total = weights.sum(last)
    mean = np.divide(
        above.sum(last),
        total,
        out=np.full(above.sum(last).shape, np.nan),
        where=np.broadcast_to(total > 0, above.sum(last).shape),
    )
    return Cells(axes, mean)
