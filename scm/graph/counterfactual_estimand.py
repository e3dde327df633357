r"""`CounterfactualEstimand`: an identified counterfactual, as a formula and as a number."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scm.errors import NotIdentifiedError
from scm.graph.counterfactual_graph import Events, Variable
from scm.graph.empirical import Empirical, as_source
from scm.graph.evaluation import Evaluator, Source
from scm.graph.expression import Expression, Symbol

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = ["CounterfactualEstimand"]


@dataclass(frozen=True)
class CounterfactualEstimand:
    """A formula for the probability of counterfactual events, in terms of experiments.

    Args:
        graph: The graph of the observed nodes.
        outcome: The events asked about: variable (a node in a world) -> value.
        given: The events observed.
        expression: The formula; ``P(y | do(x))`` in it are experiments.

    Example:
        >>> from scm.exact import Joint
        >>> from scm.graph import CausalGraph
        >>> graph = CausalGraph("X -> Y")
        >>> estimand = graph.identify_counterfactual({"Y": 1}, do={"X": 1}, given={"X": 0})
        >>> print(estimand)
        P(Y[X=1]=1 | X=0) = P(Y=1 | do(X=1))
        >>> joint = Joint(graph, {"X": [0.5, 0.5], "Y": [[0.9, 0.1], [0.3, 0.7]]})
        >>> estimand.evaluate(joint)
        0.7
    """

    graph: CausalGraph
    outcome: Events
    given: Events
    expression: Expression

    @property
    def query(self) -> str:
        """The left-hand side, as text; ``Y[X=1]`` is Y had X been 1."""
        bar = " | " if self.given else ""
        return f"P({_shown(self.outcome)}{bar}{_shown(self.given)})"

    def evaluate(self, source: Any) -> float:
        """Return the probability.

        Args:
            source: A law that knows what acts do (`scm.exact.Joint`); or one that is merely
                observed (``joint.observed()``, a data frame, a mapping of columns, `Samples`):
                then each experiment in the formula is itself identified, where it can be.

        Raises:
            NotIdentifiedError: If an experiment is not identified from what is observed; with
                its hedge. Or if a cell that the formula reads is empty.
            InterventionError: If the source has no such level.
        """
        law = as_source(source, self.graph.nodes)
        if isinstance(law, Empirical):
            law = _Identified(self.graph, law)
        evaluator = Evaluator(law)
        value = float(evaluator.cells(self.expression).values)
        if np.isnan(value):
            raise NotIdentifiedError(
                f"{self.query} is not determined (positivity fails): "
                f"{evaluator.hole(self.expression, {})}. Collect such units, or merge levels"
            )
        return value

    def to_latex(self) -> str:
        """Return the equation in LaTeX's mathematics mode."""
        bar = r" \mid " if self.given else ""
        query = f"P({_latex(self.outcome)}{bar}{_latex(self.given)})"
        return f"{query} = {self.expression.to_latex()}"

    def _repr_latex_(self) -> str:
        return f"${self.to_latex()}$"

    def __str__(self) -> str:
        return f"{self.query} = {self.expression}"


class _Identified:
    """Data as a law that also answers acts: by identification in a graph."""

    def __init__(self, graph: CausalGraph, law: Source) -> None:
        self.graph, self.law = graph, law

    @property
    def levels(self) -> Mapping[str, Sequence[Hashable]]:
        return self.law.levels

    def table(self, *names: str, do: Any = None) -> Any:
        if not do:
            return self.law.table(*names)
        return self.graph.identify(names, do).evaluate(self.law, check=False)


def _shown(events: Events) -> str:
    return ", ".join(f"{variable}={value.level}" for variable, value in events.items())


def _latex(events: Events) -> str:
    def one(variable: Variable, value: Symbol) -> str:
        name = Symbol(variable.name).to_latex()
        acts = sorted(variable.world, key=lambda s: s.name)
        under = f"_{{{', '.join(s.to_latex() for s in acts)}}}" if acts else ""
        full = value.to_latex()
        return (f"{{{name}}}{under}" if under else name) + full[len(name) :]

    return ", ".join(one(*event) for event in events.items())
