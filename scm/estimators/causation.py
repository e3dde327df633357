r"""Probabilities of causation: whether what was seen is owed to the treatment.

With :math:`Y_x` for the outcome of a unit had its treatment been :math:`x`,

==========================================  ====================================================
`probability_of_necessity`                  :math:`P(Y_{x_0} \ne y \mid X = x_1, Y = y)`
`probability_of_sufficiency`                :math:`P(Y_{x_1} = y \mid X = x_0, Y \ne y)`
`probability_of_necessity_and_sufficiency`  :math:`P(Y_{x_1} = y, Y_{x_0} \ne y)`
==========================================  ====================================================

They compare two worlds of one unit. Of a model they are computed exactly, by twin networks,
where all nodes are tables, and by the same units in both worlds otherwise. In a model of tables
they depend on the coupling of each table that the treatment acts on, which no data tell.

So data, with ``graph=``, determine them only where the treatment is known to prevent the outcome
in no unit, ``monotone=True``: whoever has the outcome without treatment has it with treatment
too, :math:`Y_{x_0} = y \Rightarrow Y_{x_1} = y`. Then (Tian and Pearl 2000, theorem 3)

.. math:: PNS = P(y_{x_1}) - P(y_{x_0}), \quad
    PN = \frac{P(y) - P(y_{x_0})}{P(x_1, y)}, \quad
    PS = \frac{P(y_{x_1}) - P(y)}{P(x_0, y')}

with :math:`P(y_x) = P(y \mid do(x))` by adjustment (`adjustment.adjusted_means`). The errors
are those of the influence function for "doubly_robust" (of a ratio, by the delta method) and the
bootstrap's otherwise, of both parts at once. Estimates are not cut to [0, 1]: one well below 0
speaks against monotonicity. Without it, `counterfactual_bounds` says what data tell.

References:
    Pearl (2009), Causality, definitions 9.2.1 to 9.2.3. Balke & Pearl (1994), Probabilistic
    evaluation of counterfactual queries, AAAI. Tian & Pearl (2000), Probabilities of causation:
    bounds and identification, Annals of Mathematics and Artificial Intelligence.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import numpy as np

from scm.errors import InterventionError, NotIdentifiedError, ScmError
from scm.estimate import Estimate
from scm.estimators.adjustment import Learning, adjusted_means
from scm.estimators.columns import Codes, Rows, levels_of
from scm.estimators.means import Array, Means, exact
from scm.estimators.two_worlds import drawn, joint_of, refuse_learning, under_act
from scm.estimators.units import (
    Outcome,
    array,
    is_data,
    meets,
    over_draws,
    pair,
    roles,
    source_graph,
    weighted,
)
from scm.exact import Joint
from scm.graph import CausalGraph
from scm.mechanisms.types import Categorical

__all__ = [
    "probability_of_necessity",
    "probability_of_necessity_and_sufficiency",
    "probability_of_sufficiency",
]

Kind = Literal["PN", "PS", "PNS"]


def probability_of_necessity(
    source: Any,
    outcome: Outcome = "Y",
    treatment: str = "X",
    values: Sequence[Any] = (0, 1),
    graph: CausalGraph | None = None,
    method: str | None = None,
    n: int = 10_000,
    seed: int | None = None,
    monotone: bool = False,
    **learning: Unpack[Learning],
) -> Estimate:
    r"""Of the units with treatment and outcome, the share that owe the one to the other.

    .. math:: PN = P(Y_{x_0} \ne y \mid X = x_1, Y = y)

    Args:
        source: As in `natural_direct_effect`.
        outcome: ``{"Y": level}``, or the name of a binary node for its second level.
        treatment: As in `ate`.
        values: :math:`(x_0, x_1)`: without and with the treatment.
        graph: The causal graph of data.
        method: As in `natural_direct_effect`.
        n: Number of units to draw, of which those with treatment and outcome count.
        seed: As in `natural_direct_effect`.
        monotone: For data: whether the treatment is known to prevent the outcome in no unit.
        **learning: As in `ate`.

    Raises:
        GraphError: As in `natural_direct_effect`.
        InterventionError: As in `natural_direct_effect`; or if no unit has treatment and outcome.
        NotIdentifiedError: If data are given without a graph or ``monotone=True``, or do not
            determine the effect of the treatment; or an observed margin is given.
        ScmError: If the outcome is not binary; or, of data, the treatment; or if data
            contradict ``monotone=True`` (four standard errors below 0).

    References:
        Pearl (2009), definition 9.2.1.

    Example:
        >>> import scm
        >>> model = scm.SCM("X -> Y", X=scm.Root.bernoulli(0.5),
        ...                 Y=scm.Tabular([[0.75, 0.25], [0.5, 0.5]], coupling="monotone"))
        >>> probability_of_necessity(model).value
        0.5
        >>> rows = model.sample(2_000, seed=0)
        >>> found = probability_of_necessity(rows, graph=model.graph, monotone=True, seed=0)
        >>> abs(found.value - 0.5) < 4 * found.stderr
        True
    """
    low, high = pair(values)
    if graph is not None and is_data(source, graph):
        arms = (low, high)
        return _adjusted(
            "PN", source, graph, outcome, treatment, arms, method, seed, monotone, learning
        )
    refuse_learning(source, learning, monotone)
    return _causation(source, outcome, treatment, method, n, seed, act=low, seen=high, had=True)


def probability_of_sufficiency(
    source: Any,
    outcome: Outcome = "Y",
    treatment: str = "X",
    values: Sequence[Any] = (0, 1),
    graph: CausalGraph | None = None,
    method: str | None = None,
    n: int = 10_000,
    seed: int | None = None,
    monotone: bool = False,
    **learning: Unpack[Learning],
) -> Estimate:
    r"""Of the units with neither treatment nor outcome, the share that the one would bring the other.

    .. math:: PS = P(Y_{x_1} = y \mid X = x_0, Y \ne y)

    Args:
        source: As in `probability_of_necessity`.
        outcome: As in `probability_of_necessity`.
        treatment: As in `ate`.
        values: As in `probability_of_necessity`.
        graph: As in `probability_of_necessity`.
        method: As in `probability_of_necessity`.
        n: As in `probability_of_necessity`.
        seed: As in `probability_of_necessity`.
        monotone: As in `probability_of_necessity`.
        **learning: As in `ate`.

    Raises:
        GraphError: As in `probability_of_necessity`.
        InterventionError: As in `probability_of_necessity`.
        NotIdentifiedError: As in `probability_of_necessity`.
        ScmError: As in `probability_of_necessity`.

    References:
        Pearl (2009), definition 9.2.2.

    Example:
        >>> import scm
        >>> model = scm.SCM("X -> Y", X=scm.Root.bernoulli(0.5),
        ...                 Y=scm.Tabular([[0.75, 0.25], [0.5, 0.5]], coupling="monotone"))
        >>> round(probability_of_sufficiency(model).value, 6)
        0.333333
    """  # noqa: E501
    low, high = pair(values)
    if graph is not None and is_data(source, graph):
        arms = (low, high)
        return _adjusted(
            "PS", source, graph, outcome, treatment, arms, method, seed, monotone, learning
        )
    refuse_learning(source, learning, monotone)
    return _causation(source, outcome, treatment, method, n, seed, act=high, seen=low, had=False)


def probability_of_necessity_and_sufficiency(
    source: Any,
    outcome: Outcome = "Y",
    treatment: str = "X",
    values: Sequence[Any] = (0, 1),
    graph: CausalGraph | None = None,
    method: str | None = None,
    n: int = 10_000,
    seed: int | None = None,
    monotone: bool = False,
    **learning: Unpack[Learning],
) -> Estimate:
    r"""Share of the units whose outcome follows the treatment, both ways.

    .. math:: PNS = P(Y_{x_1} = y, Y_{x_0} \ne y)

    Args:
        source: As in `probability_of_necessity`.
        outcome: As in `probability_of_necessity`.
        treatment: As in `ate`.
        values: As in `probability_of_necessity`.
        graph: As in `probability_of_necessity`.
        method: As in `probability_of_necessity`.
        n: As in `natural_direct_effect`.
        seed: As in `probability_of_necessity`.
        monotone: As in `probability_of_necessity`.
        **learning: As in `ate`.

    Raises:
        GraphError: As in `probability_of_necessity`.
        InterventionError: As in `natural_direct_effect`.
        NotIdentifiedError: As in `probability_of_necessity`.
        ScmError: As in `probability_of_necessity`.

    References:
        Pearl (2009), definition 9.2.3.

    Example:
        >>> import scm
        >>> model = scm.SCM("X -> Y", X=scm.Root.bernoulli(0.5),
        ...                 Y=scm.Tabular([[0.75, 0.25], [0.5, 0.5]], coupling="monotone"))
        >>> probability_of_necessity_and_sufficiency(model).value
        0.25
    """
    low, high = pair(values)
    if graph is not None and is_data(source, graph):
        arms = (low, high)
        return _adjusted(
            "PNS", source, graph, outcome, treatment, arms, method, seed, monotone, learning
        )
    refuse_learning(source, learning, monotone)
    law, event = _asked(source, outcome, treatment, method)
    if law is not None:
        under = under_act(law, treatment, low)
        return exact(
            sum(
                float(under.prob(other))
                * float(under.counterfactual(event, do={treatment: high}, given=other))
                for other in _others(law, event, under)
            )
        )
    units = drawn(source, n, seed)
    with_it = meets(units.do({treatment: high}), event)
    without = meets(units.do({treatment: low}), event)
    hits = (with_it & ~without).double()
    return Means.of_rows(array(over_draws(hits, units))[None]).contrast([1.0])


def _causation(
    source: Any,
    outcome: Outcome,
    treatment: str,
    method: str | None,
    n: int,
    seed: int | None,
    *,
    act: Any,
    seen: Any,
    had: bool,
) -> Estimate:
    """Return the chance that the act turns the outcome of units that ``had`` it, or not."""
    law, event = _asked(source, outcome, treatment, method)
    if law is not None:
        shown = [event] if had else _others(law, event, law)
        whole = sum(float(law.prob({treatment: seen, **y})) for y in shown)
        if not whole > 0:
            raise InterventionError(
                f"no unit has {treatment}={seen!r} and the outcome {'' if had else 'not '}"
                f"{dict(event)}: that has probability zero"
            )
        both = sum(
            float(law.prob(given))
            * float(law.counterfactual(event, do={treatment: act}, given=given))
            for given in ({treatment: seen, **y} for y in shown)
            if float(law.prob(given)) > 0
        )
        return exact((whole - both) / whole if had else both / whole)
    units = drawn(source, n, seed)
    shown_it = meets(units, event)
    here = (meets(units, {treatment: seen}) & (shown_it if had else ~shown_it)).double()
    turned = meets(units.do({treatment: act}), event)
    rows = (~turned if had else turned).double()
    what = f"{treatment}={seen!r} and the outcome {'' if had else 'not '}{dict(event)}"
    numbers, weights = weighted(rows, here, units, what)
    return Means.of_rows(numbers[None], weights).contrast([1.0])


def _asked(
    source: Any, outcome: Outcome, treatment: str, method: str | None
) -> tuple[Joint | None, Mapping[str, Any]]:
    """Return the law and the outcome as an event."""
    law = joint_of(source, method, outcome)
    roles(source_graph(source), treatment, outcome, {})
    if not isinstance(outcome, str):
        return law, outcome
    if law is not None:
        names: Sequence[Any] = law.levels[outcome]
    else:
        kind = source.program.mechanisms[outcome].type
        names = kind.names if isinstance(kind, Categorical) else ()
    return law, {outcome: _second(outcome, names)}


def _others(law: Joint, event: Mapping[str, Any], within: Joint) -> list[dict[str, Any]]:
    """Return the events, apart from this one, that have positive probability."""
    found = []
    for levels in itertools.product(*(law.levels[name] for name in event)):
        other = dict(zip(event, levels, strict=True))
        same = all(law._domain.code(n, other[n]) == law._domain.code(n, event[n]) for n in event)
        if not same and float(within.prob(other)) > 0:
            found.append(other)
    return found


def _adjusted(
    kind: Kind,
    data: Any,
    graph: CausalGraph,
    outcome: Outcome,
    treatment: str,
    values: tuple[Any, Any],
    method: str | None,
    seed: int | None,
    monotone: bool,
    learning: Learning,
) -> Estimate:
    """Estimate a probability of causation from data, by Tian and Pearl's theorem 3."""
    roles(graph, treatment, outcome, {})
    event = outcome
    if isinstance(event, str):
        event = {event: _second(event, levels_of(data, event))}
    if not monotone:
        low, high = ({treatment: value} for value in values)
        other = f"{{{', '.join(f'{name!r}: ...' for name in event)}}}"
        asked = {
            "PN": f"outcome={other}, do={low}, given={{**{high}, **{dict(event)}}}",
            "PS": f"outcome={dict(event)}, do={high}, given={{**{low}, **{other}}}",
            "PNS": f"outcome=[{dict(event)}, {other}], do=[{high}, {low}]",
        }[kind]
        raise NotIdentifiedError(
            f"{kind} compares two worlds of one unit, and data show one: it is not identified. If "
            f"{treatment} is known to prevent the outcome in no unit, say monotone=True; else ask "
            f"for bounds, counterfactual_bounds(graph, data, {asked}), with the other level of the "
            "outcome for '...'"
        )
    point = {"PN": _necessity, "PS": _sufficiency, "PNS": _both}[kind]
    found = adjusted_means(
        data, graph, event, treatment, values, method=method, seed=seed, combine=point, **learning
    ).contrast([1.0])
    if found.value < -4 * found.stderr:
        raise ScmError(
            f"{kind} is {found}, far below 0, so the data contradict monotone=True: {treatment} "
            "prevents the outcome in some units; leave it out and ask for counterfactual_bounds, "
            "or swap the values"
        )
    return found


def _both(means: Array, rows: Rows, index: Codes) -> tuple[Array, Array]:
    """Return each unit's part in numerator and denominator; ``means`` are of P(y_x)."""
    return means[1] - means[0], np.ones(len(index))


def _necessity(means: Array, rows: Rows, index: Codes) -> tuple[Array, Array]:
    y = rows.outcome[index]
    return y - means[0], y * (_two(rows)[index] == rows.asked[1])


def _sufficiency(means: Array, rows: Rows, index: Codes) -> tuple[Array, Array]:
    y = rows.outcome[index]
    return means[1] - y, (1 - y) * (_two(rows)[index] == rows.asked[0])


def _two(rows: Rows) -> Codes:
    if len(np.unique(rows.treatment)) != 2:
        raise ScmError(
            f"{rows.name!r} has more than two levels, and of data PN and PS are for two: keep the "
            f"rows with {rows.name} in {rows.values}, if those are the population, or fit a model"
        )
    return rows.treatment


def _second(name: str, levels: Sequence[Any]) -> Any:
    if len(levels) != 2:
        raise ScmError(
            f"{name!r} is not binary, so say what counts as the outcome: outcome={{{name!r}: "
            "level}, or a test of its values"
        )
    return levels[1]
