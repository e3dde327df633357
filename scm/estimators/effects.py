r"""Effects of a treatment on an outcome: from a model, from its exact law, or from data.

With :math:`Y_x` for the outcome of a unit had its treatment been :math:`x`,

====================  ============================================================
`effect_curve`        :math:`E[Y_x]` for several x
`ate`                 :math:`E[Y_{x_1} - Y_{x_0}]`
`cate`                :math:`E[Y_{x_1} - Y_{x_0} \mid w]`
====================  ============================================================

What they are computed from decides how:

- a model of tables, or a `Joint`: exactly, with standard error 0. ``joint.observed()``
  answers where the graph identifies the effect, and raises with the hedge where it does not;
- another model, or a view of one: ``n`` units are drawn once and the same units are taken
  through both arms (common random numbers), so that the error is that of the difference;
- `Samples` without ``graph=``: the counterfactuals of these very units, abducted ones too;
- data (a data frame, a mapping of columns, or `Samples`) with ``graph=``: by adjustment, see
  `scm.estimators.adjustment`.

References:
    Pearl (2009), Causality, chapters 3 and 7. Glasserman and Yao (1992), Some guidelines and
    guarantees for common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np

from scm.errors import GraphError, InterventionError
from scm.estimate import Estimate
from scm.estimators.adjustment import Learning, adjusted_means
from scm.estimators.means import Means
from scm.estimators.two_worlds import refuse_learning
from scm.estimators.units import (
    Outcome,
    array,
    exact_mean,
    is_data,
    law_of,
    meets,
    one_world,
    over_draws,
    pair,
    roles,
    score,
    source_graph,
    weighted,
)
from scm.graph import CausalGraph
from scm.worlds.samples import Samples

__all__ = ["ate", "cate", "effect_curve"]


def ate(
    source: Any,
    outcome: Outcome = "Y",
    treatment: str = "X",
    values: Sequence[Any] = (0, 1),
    graph: CausalGraph | None = None,
    method: str | None = None,
    n: int = 10_000,
    seed: int | None = None,
    **learning: Unpack[Learning],
) -> Estimate:
    r"""Average treatment effect, :math:`E[Y \mid do(x_1)] - E[Y \mid do(x_0)]`.

    Args:
        source: A model, a view, a `Joint`, `Samples`, or data; see the module.
        outcome: A scalar node, for its mean; or ``{"Y": level}``, for a probability. In place
            of the level may stand a function of the values: ``{"Y": lambda y: y > 2}``.
        treatment: The node that is set.
        values: Its values :math:`(x_0, x_1)`.
        graph: The causal graph of data.
        method: Of a model: "exact", or "sample"; exact where it can be, by default. Of data:
            "doubly_robust" (the default), "regression" or "weighting".
        n: Number of units to draw from a model.
        seed: Seeds the units drawn; for data, the folds and the bootstrap.
        **learning: For data: `adjust`, `outcome_model`, `treatment_model`, `folds` and
            `bootstrap`; see `adjustment.adjusted_means`.

    Returns:
        An `Estimate`; its standard error is 0 where it is exact.

    Raises:
        GraphError: If a node is unknown, or is both treatment and outcome; or data come
            without a graph.
        InterventionError: If a value is no level of the treatment, or cannot be set.
        NotIdentifiedError: If data do not determine the effect: by the graph (the error has
            the ``hedge``), or since a cell is empty (positivity).
        ScmError: If the outcome is no number.

    References:
        Pearl (2009), Causality, section 3.2.1.

    Example:
        >>> import scm
        >>> model = scm.SCM("Z -> X; Z, X -> Y", Z=scm.Root.bernoulli(0.5),
        ...                 X=scm.Tabular([[0.9, 0.1], [0.2, 0.8]]),
        ...                 Y=scm.Additive(lambda Z, X: 3.0 * Z + 2.0 * X))
        >>> print(ate(model, seed=0))
        2.00...
        >>> rows = model.sample(2_000, seed=0)
        >>> effect = ate(rows, graph=model.graph, seed=0)
        >>> abs(effect.value - 2.0) < 4 * effect.stderr
        True
    """
    means = means_of(source, outcome, treatment, pair(values), {}, graph, method, n, seed, learning)
    return means.contrast((-1.0, 1.0))


def cate(
    source: Any,
    outcome: Outcome = "Y",
    treatment: str = "X",
    given: Mapping[str, Any] | None = None,
    values: Sequence[Any] = (0, 1),
    graph: CausalGraph | None = None,
    method: str | None = None,
    n: int = 10_000,
    seed: int | None = None,
    **learning: Unpack[Learning],
) -> Estimate:
    r"""Conditional average treatment effect, :math:`E[Y_{x_1} - Y_{x_0} \mid w]`.

    The condition is what the units show where nothing is done. So ``given={"X": 1}`` is the
    effect of treatment on the treated (from a model). Given what the treatment acts on, the
    effect is a counterfactual, and depends on each table's coupling.

    Args:
        source: As in `ate`.
        outcome: As in `ate`.
        treatment: As in `ate`.
        given: node -> level, or a function of its values that says which units to keep.
        values: As in `ate`.
        graph: As in `ate`.
        method: As in `ate`.
        n: Number of units, all of which meet the condition.
        seed: As in `ate`.
        **learning: As in `ate`.

    Raises:
        GraphError: As in `ate`; or, for data, if the treatment acts on what is given.
        InterventionError: As in `ate`; or if no unit meets the condition.
        NotIdentifiedError: As in `ate`.
        ScmError: As in `ate`.

    References:
        Pearl (2009), Causality, sections 3.5 (conditional acts) and 8.2.5 (the treated).

    Example:
        >>> import scm
        >>> table = [[[0.9, 0.1], [0.6, 0.4]], [[0.7, 0.3], [0.2, 0.8]]]
        >>> model = scm.SCM("Z -> X; Z, X -> Y", Z=scm.Root.bernoulli(0.5),
        ...                 X=scm.Tabular([[0.9, 0.1], [0.2, 0.8]]), Y=scm.Tabular(table))
        >>> cate(model, "Y", "X", given={"Z": 1}).value
        0.5
    """
    if not given:
        raise GraphError(
            "cate was given no condition; give what units show, such as given={'W': 1}, or ask "
            "for ate, the effect among all"
        )
    two = pair(values)
    means = means_of(source, outcome, treatment, two, given, graph, method, n, seed, learning)
    return means.contrast((-1.0, 1.0))


def effect_curve(
    source: Any,
    outcome: Outcome = "Y",
    treatment: str = "X",
    values: Sequence[Any] = (0, 1),
    graph: CausalGraph | None = None,
    method: str | None = None,
    n: int = 10_000,
    seed: int | None = None,
    **learning: Unpack[Learning],
) -> dict[Any, Estimate]:
    r"""Mean outcome under each value of the treatment, :math:`E[Y \mid do(x)]`.

    The arms share their units, so that the errors of two points are not independent; for the
    error of a difference ask `ate`.

    Args:
        source: As in `ate`.
        outcome: As in `ate`.
        treatment: As in `ate`.
        values: The values to set, all different: a list, an array or a tensor.
        graph: As in `ate`.
        method: As in `ate`.
        n: As in `ate`.
        seed: As in `ate`.
        **learning: As in `ate`.

    Returns:
        value -> `Estimate`.

    Raises:
        GraphError: As in `ate`.
        InterventionError: As in `ate`; or if a value is listed twice, or none is.
        NotIdentifiedError: As in `ate`.
        ScmError: As in `ate`.

    Example:
        >>> import scm
        >>> model = scm.SCM("X -> Y", X=scm.Root.normal(), Y=scm.Structural(lambda X: X**2))
        >>> curve = effect_curve(model, "Y", "X", values=[-1.0, 0.0, 2.0], n=10, seed=0)
        >>> {x: e.value for x, e in curve.items()}
        {-1.0: 1.0, 0.0: 0.0, 2.0: 4.0}
    """
    listed = [v.item() if hasattr(v, "item") and np.ndim(v) == 0 else v for v in values]
    try:
        repeated = len(set(listed)) < len(listed)
    except TypeError as error:
        raise InterventionError(
            f"values={values!r:.60} was given; a curve has one number or level at each point"
        ) from error
    if repeated or not listed:
        raise InterventionError(
            f"values={listed!r:.80} was given; a curve needs at least one value, each listed once"
        )
    means = means_of(source, outcome, treatment, listed, {}, graph, method, n, seed, learning)
    points = np.eye(len(listed)).tolist()
    return {x: means.contrast(row) for x, row in zip(listed, points, strict=True)}


def means_of(
    source: Any,
    outcome: Outcome,
    treatment: str,
    values: Sequence[Any],
    given: Mapping[str, Any],
    graph: CausalGraph | None,
    method: str | None,
    n: int,
    seed: int | None,
    learning: Learning,
) -> Means:
    """Estimate the mean outcome under each value, by what the source allows."""
    if is_data(source, graph):
        assert graph is not None
        return adjusted_means(
            source, graph, outcome, treatment, values, given, method=method, seed=seed, **learning
        )
    refuse_learning(source, learning)
    events = [e for e in (outcome, given) if isinstance(e, Mapping)]
    law = law_of(source, method, [v for event in events for v in event.values()])
    roles(source_graph(source), treatment, outcome, given)
    if law is not None:
        return Means(np.array([exact_mean(law, outcome, {treatment: v}, given) for v in values]))
    if given and not isinstance(source, Samples):
        source, given = source.given(given), {}
    swept = one_world(source).sweep({treatment: list(values)})
    if not isinstance(swept, Samples):
        return Means.of_rows(array(score(swept.sample(n, seed), outcome)))
    rows = score(swept, outcome)
    if not given:
        return Means.of_rows(array(over_draws(rows, source)))
    hits = meets(source, given).double()
    return Means.of_rows(*weighted(rows, hits, source, f"the condition on {', '.join(given)}"))
