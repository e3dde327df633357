r"""Bounds: what is known of an effect that is not identified.

- `natural_bounds`: :math:`P(x, y) \le P(y \mid do(x)) \le P(x, y) + 1 - P(x)`, with no assumption;
- `intervention_bounds`: the same within a randomised intervention z, and `compare_strategies`
  for two of them (GenInt, Theorems 1 and 3);
- `sharp_bounds`: all that a graph and a law say, by linear programming;
- `counterfactual_bounds`: the same of what would have been;
- `linear_ratio`: the effect itself, if the model is linear (GenInt, Theorem 4).

Each is an `Interval` whose ``method`` says what it is; from data it has confidence limits.

GenInt's Theorem 2, that observing C or Z makes the effect identifiable, is what identification
says of its Figure 4, and bounds that meet:

    >>> from scm.graph import CausalGraph
    >>> print(CausalGraph("C -> Z, Y; Z, F -> X; X -> Y", latent=["Z", "F"]).identify("Y", do="X"))
    P(Y | do(X)) = Σ_C P(C) P(Y | C, X)
    >>> print(CausalGraph("C -> Z, Y; Z, F -> X; X -> Y", latent=["C", "F"]).identify("Y", do="X"))
    P(Y | do(X)) = Σ_Z P(Z) P(Y | Z, X)
"""

from __future__ import annotations

from scm.estimators.linear_ratio import WeakInstrumentWarning, linear_ratio
from scm.estimators.natural_bounds import (
    StrategyComparison,
    collider_counterexample,
    compare_strategies,
    intervention_bounds,
    natural_bounds,
)
from scm.estimators.sharp_bounds import ContradictionWarning, counterfactual_bounds, sharp_bounds

__all__ = [
    "ContradictionWarning",
    "StrategyComparison",
    "WeakInstrumentWarning",
    "collider_counterexample",
    "compare_strategies",
    "counterfactual_bounds",
    "intervention_bounds",
    "linear_ratio",
    "natural_bounds",
    "sharp_bounds",
]
