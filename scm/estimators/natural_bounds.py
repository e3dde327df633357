r"""Natural bounds on an effect, with and without a randomised intervention.

A unit whose treatment happened to be :math:`x` shows what :math:`do(x)` would have done; of the
others nothing is known. So, whatever the confounding (Manski 1990; Pearl 2009, section 8.2),

.. math:: P(x, y) \le P(y \mid do(x)) \le P(x, y) + 1 - P(x)

and the same holds within a randomised intervention :math:`z` that reaches :math:`y` through
:math:`x` alone. An intervention that makes :math:`x` more frequent makes this interval
narrower: its width is :math:`1 - P(x \mid z)`. It need not lie inside the old one, which
`compare_strategies` tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scm.errors import GraphError, InterventionError, ScmError
from scm.estimate import Interval
from scm.estimators.source import codes, domain_of, probabilities, read_source, refuse_macros
from scm.graph.domain import Event
from scm.graph.empirical import Empirical

if TYPE_CHECKING:
    from scm.exact import Joint

__all__ = [
    "StrategyComparison",
    "collider_counterexample",
    "compare_strategies",
    "intervention_bounds",
    "natural_bounds",
]


def natural_bounds(joint_or_data: Any, outcome: Event, do: Event, level: float = 0.95) -> Interval:
    r"""Bound an effect without any assumption on the confounding.

    .. math:: P(x, y) \le P(y \mid do(x)) \le P(x, y) + 1 - P(x)

    From data the ends are shares of rows (of `x and y`, and of `not (x and not y)`), and the
    limits are exact binomial ones (Clopper and Pearson 1934), half of the error at each end.

    Args:
        joint_or_data: a `Joint`, its ``observed()``, a data frame, a mapping of columns, or
            `Samples`.
        outcome: node -> level.
        do: node -> the level it is set to.
        level: coverage of the confidence limits, for data.

    Returns:
        An `Interval`; from data with limits and n.

    Raises:
        GraphError: if a node is unknown, or is both treatment and outcome.
        InterventionError: if a level is unknown, or a macro-variable is acted on.
        ScmError: if the data are continuous, or no row has the treatment (positivity).

    References:
        Mao et al. (2021), Generative interventions for causal learning, Lemma 1. Manski (1990),
        Nonparametric bounds on treatment effects.

    Example:
        >>> data = {"X": [0, 0, 0, 1, 1, 1, 1, 1], "Y": [0, 0, 1, 0, 1, 1, 1, 1]}
        >>> print(natural_bounds(data, {"Y": 1}, do={"X": 1}))
        [0.5, 0.875] (natural bounds; 95% limits [0.157, 0.9968], n = 8)
    """
    law = read_source(joint_or_data, _names(outcome, do))
    wanted, acts, _ = codes(domain_of(law), outcome, do)
    return _bounds(law, wanted, acts, {}, level, "natural bounds")


def intervention_bounds(
    joint_or_data: Any, outcome: Event, do: Event, z: Event, level: float = 0.95
) -> Interval:
    r"""Bound an effect within a randomised intervention ``z`` (GenInt, Theorems 1 and 3).

    .. math:: P(x, y \mid z) \le P(y \mid do(x)) \le P(x, y \mid z) + 1 - P(x \mid z)

    The width is :math:`1 - P(x \mid z)`. It holds where ``z`` is randomised and reaches the
    outcome through the treatment alone. In a law, ``z`` is done: :math:`P(\cdot \mid do(z))`.
    Data are those of an experiment in which ``z`` was drawn at random (its rows are
    selected), or `Samples` of ``model.do(z)``.

    Args:
        joint_or_data: as in `natural_bounds`.
        outcome: node -> level.
        do: node -> the level it is set to.
        z: the intervention: node -> level.
        level: coverage of the confidence limits, for data.

    Raises:
        GraphError: as in `natural_bounds`; or if, in the graph of the law, ``z`` reaches the
            outcome around the treatment.
        InterventionError: as in `natural_bounds`.
        NotIdentifiedError: if an observed margin does not tell what ``z`` does.
        ScmError: as in `natural_bounds`; or if no row has ``z``.

    Example:
        >>> joint = collider_counterexample()
        >>> print(intervention_bounds(joint, {"Y": 1}, do={"X": 1}, z={"Z": 1}))
        [0, 0.55] (natural bounds under Z=1)
    """
    names = _names(outcome, do, z)
    law = read_source(_randomised(joint_or_data, z), names)
    domain = domain_of(law)
    wanted, acts, strategy = codes(domain, outcome, do, z=z)
    if not strategy:
        raise GraphError("z is empty; give the intervention's level, or use natural_bounds")
    _check_exclusion(law, wanted, acts, strategy)
    method = f"natural bounds under {domain.show(dict(strategy))}"
    return _bounds(law, wanted, acts, strategy, level, method)


@dataclass(frozen=True)
class StrategyComparison:
    r"""Two intervals for one effect, from two interventions: which is narrower, which nests.

    GenInt's Theorem 1 claims that a larger :math:`P(x \mid z)` gives an interval inside the
    other. It gives a *narrower* one, since the width is :math:`1 - P(x \mid z)`; it is inside
    if and only if :math:`0 \le \Delta P(x, y \mid z) \le \Delta P(x \mid z)`. The proof takes
    z to be independent of y given x, but x is a collider between z and what confounds it
    (`collider_counterexample`).

    Attributes:
        first: the bounds under the first intervention.
        second: the bounds under the second.

    Example:
        >>> joint = collider_counterexample()
        >>> first, second = (
        ...     intervention_bounds(joint, {"Y": 1}, do={"X": 1}, z={"Z": z}) for z in (1, 0)
        ... )
        >>> comparison = compare_strategies(first, second)
        >>> print(comparison)
        first [0, 0.55], width 0.55; second [0.4, 1], width 0.6: the first is narrower, and not
        nested; both hold: [0.4, 0.55]
        >>> comparison.change_of_treatment, comparison.change_of_joint
        (0.05, -0.4)
    """

    first: Interval
    second: Interval

    @property
    def change_of_treatment(self) -> float:
        """``P(x | z1) - P(x | z2)``: how much narrower the first interval is."""
        return self.second.width - self.first.width

    @property
    def change_of_joint(self) -> float:
        """``P(x, y | z1) - P(x, y | z2)``."""
        return self.first.lower - self.second.lower

    @property
    def narrower(self) -> str | None:
        """``"first"`` or ``"second"``; None if the widths are equal to 1e-12."""
        if abs(self.change_of_treatment) < 1e-12:
            return None
        return "first" if self.change_of_treatment > 0 else "second"

    @property
    def nested(self) -> str | None:
        """The interval that lies inside the other, ``"first"`` or ``"second"``; or None."""
        slack = 1e-12
        if -slack <= self.change_of_joint <= self.change_of_treatment + slack:
            return "first"
        if -slack <= -self.change_of_joint <= -self.change_of_treatment + slack:
            return "second"
        return None

    @property
    def intersection(self) -> Interval:
        """Both intervals hold, so their intersection does.

        Raises:
            ScmError: if they are disjoint: one intervention was not randomised, or reaches the
                outcome around the treatment (or, in data, chance).
        """
        lower = max(self.first.lower, self.second.lower)
        upper = min(self.first.upper, self.second.upper)
        if lower > upper + 1e-12:
            raise ScmError(
                f"{self.first} and {self.second} are disjoint, so one of them does not hold: an "
                "intervention was not randomised, or reaches the outcome around the treatment"
            )
        return Interval(lower, max(lower, upper), "intersection of two interventions' bounds")

    def __str__(self) -> str:
        parts = [
            f"{name} [{of.lower:.4g}, {of.upper:.4g}], width {of.width:.4g}"
            for name, of in (("first", self.first), ("second", self.second))
        ]
        which = f"the {self.narrower} is narrower" if self.narrower else "equally wide"
        inside = "nested inside the other" if self.nested else "not nested"
        try:
            both = self.intersection
            tail = f"both hold: [{both.lower:.4g}, {both.upper:.4g}]"
        except ScmError:
            tail = "they are disjoint"
        return f"{'; '.join(parts)}: {which}, and {inside}; {tail}"


def compare_strategies(first: Interval, second: Interval) -> StrategyComparison:
    """Compare the bounds on one effect under two interventions; see `StrategyComparison`.

    Args:
        first: `intervention_bounds` (or `natural_bounds`) under one intervention.
        second: the same under another.

    Example:
        >>> wide = Interval(0.1, 0.9, "natural bounds")
        >>> compare_strategies(wide, Interval(0.2, 0.6, "natural bounds")).narrower
        'second'
    """
    return StrategyComparison(first, second)


def collider_counterexample() -> Joint:
    r"""Return a model in which GenInt's Theorem 1 does not nest the intervals.

    Figure 4c: ``Z -> X <- U <- C -> Y``, with :math:`Y = C` and :math:`U = C` fair coins. Under
    Z = 1, X is 1 in 90% of the units with U = 0; under Z = 0, in 80% of those with U = 1. So
    P(X=1 | Z=1) = 0.45 > 0.40 = P(X=1 | Z=0), but the units with X = 1 have Y = 0 under one
    intervention and Y = 1 under the other: [0, 0.55] and [0.4, 1]. (The effect is 1/2.)

    Example:
        >>> collider_counterexample().prob({"Y": 1}, do={"X": 1})
        tensor(0.5000, dtype=torch.float64)
    """
    from scm.exact import Joint
    from scm.graph import CausalGraph

    same = [[1.0, 0.0], [0.0, 1.0]]
    return Joint(
        CausalGraph("C -> U, Y; Z, U -> X; X -> Y", latent=["C", "U"]),
        {
            "C": [0.5, 0.5],
            "U": same,
            "Z": [0.5, 0.5],
            "X": [[[1.0, 0.0], [0.2, 0.8]], [[0.1, 0.9], [1.0, 0.0]]],
            "Y": [[row, row] for row in same],
        },
    )


def _names(*events: Event) -> list[str] | None:
    """Return the columns that are needed; None where an event is none, as its reader will say."""
    if not all(hasattr(event, "keys") for event in events):
        return None
    return list(dict.fromkeys(name for event in events for name in event))


def _randomised(source: Any, z: Event) -> Any:
    """Return `Samples` of an act on z alone as plain columns; anything else as it is."""
    acts = getattr(getattr(source, "program", None), "acts", None)
    if acts and hasattr(z, "keys") and set(acts) <= set(z):
        return {name: source[name] for name in source}
    return source


def _check_exclusion(
    law: Any, outcome: dict[str, int], do: dict[str, int], z: dict[str, int]
) -> None:
    graph = getattr(law, "graph", None)
    if graph is None:
        return
    around = graph.without_incoming(*do).ancestors(*outcome) & set(z)
    if around:
        raise GraphError(
            f"{', '.join(sorted(around))} reaches {', '.join(outcome)} around {', '.join(do)}, so "
            f"these bounds would be of P({', '.join(outcome)} | do({', '.join(do)}), do(z)). Add "
            "it to do=, or choose an intervention on causes of the treatment alone"
        )


def _bounds(
    law: Any,
    wanted: dict[str, int],
    acts: dict[str, int],
    z: dict[str, int],
    level: float,
    method: str,
) -> Interval:
    refuse_macros(law, acts)
    names = (*acts, *wanted)
    if z and not isinstance(law, Empirical):
        done = {name: law.levels[name][code] for name, code in z.items()}
        table, total = probabilities(law, names, do=done), 1.0
    else:
        table = probabilities(law, (*z, *names))[tuple(z.values())]
        total = float(table.sum())
    if not total > 0:
        raise _no_rows(law, z)
    treated = table[tuple(acts.values())] / total
    both = min(1.0, float(treated[tuple(wanted.values())]))
    missed = min(1.0 - both, max(0.0, float(treated.sum()) - both))
    if not isinstance(law, Empirical):
        return Interval(both, 1.0 - missed, method)
    if not treated.sum() > 0:
        raise _no_rows(law, acts, round(total * law.n))
    if not 0 < level < 1:
        raise InterventionError(f"level={level!r} was given; expected 0 < level < 1, such as 0.95")
    from scipy.stats import beta

    n, alpha = round(total * law.n), (1 - level) / 2
    hits, misses = round(both * n), round(missed * n)
    lower = float(beta.ppf(alpha, hits, n - hits + 1)) if hits else 0.0
    upper = 1.0 - float(beta.ppf(alpha, misses, n - misses + 1)) if misses else 1.0
    return Interval(both, 1.0 - missed, method, lower, upper, level, n)


def _no_rows(law: Any, event: dict[str, int], rows: int | None = None) -> ScmError:
    n = f"in the {rows or law.n} rows" if isinstance(law, Empirical) else "under this law"
    return ScmError(
        f"{domain_of(law).show(dict(event))} never occurs {n} (positivity fails), so nothing seen "
        "bears on it and the bounds are [0, 1]. Collect such units, or merge levels"
    )
