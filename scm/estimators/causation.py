r"""Probabilities of causation: whether what was seen is owed to the treatment.

With :math:`Y_x` for the outcome of a unit had its treatment been :math:`x`,

==========================================  ====================================================
`probability_of_necessity`                  :math:`P(Y_{x_0} \ne y \mid X = x_1, Y = y)`
`probability_of_sufficiency`                :math:`P(Y_{x_1} = y \mid X = x_0, Y \ne y)`
`probability_of_necessity_and_sufficiency`  :math:`P(Y_{x_1} = y, Y_{x_0} \ne y)`
==========================================  ====================================================

They compare two worlds of one unit, so they need a model: exactly, by twin networks, where all
nodes are tables, and by the same units in both worlds otherwise. In a model of tables they
depend on the coupling of each table that the treatment acts on, which no data tell.

References:
    Pearl (2009), Causality, definitions 9.2.1 to 9.2.3. Balke & Pearl (1994), Probabilistic
    evaluation of counterfactual queries, AAAI.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from scm.errors import InterventionError, ScmError
from scm.estimate import Estimate
from scm.estimators.means import Means, exact
from scm.estimators.two_worlds import drawn, joint_of, under_act
from scm.estimators.units import (
    Outcome,
    array,
    meets,
    over_draws,
    pair,
    roles,
    source_graph,
    weighted,
)
from scm.exact import Joint
from scm.mechanisms.types import Categorical

__all__ = [
    "probability_of_necessity",
    "probability_of_necessity_and_sufficiency",
    "probability_of_sufficiency",
]


def probability_of_necessity(
    source: Any,
    outcome: Outcome = "Y",
    treatment: str = "X",
    values: Sequence[Any] = (0, 1),
    method: str | None = None,
    n: int = 10_000,
    seed: int | None = None,
) -> Estimate:
    r"""Of the units with treatment and outcome, the share that owe the one to the other.

    .. math:: PN = P(Y_{x_0} \ne y \mid X = x_1, Y = y)

    Args:
        source: As in `natural_direct_effect`.
        outcome: ``{"Y": level}``, or the name of a binary node for its second level.
        treatment: As in `ate`.
        values: :math:`(x_0, x_1)`: without and with the treatment.
        method: As in `natural_direct_effect`.
        n: Number of units to draw, of which those with treatment and outcome count.
        seed: As in `natural_direct_effect`.

    Raises:
        GraphError: As in `natural_direct_effect`.
        InterventionError: As in `natural_direct_effect`; or if no unit has treatment and outcome.
        NotIdentifiedError: As in `natural_direct_effect`.
        ScmError: If the outcome is not binary.

    References:
        Pearl (2009), definition 9.2.1.

    Example:
        >>> import scm
        >>> model = scm.SCM("X -> Y", X=scm.Root.bernoulli(0.5),
        ...                 Y=scm.Tabular([[0.75, 0.25], [0.5, 0.5]], coupling="monotone"))
        >>> probability_of_necessity(model).value
        0.5
    """
    low, high = pair(values)
    return _causation(source, outcome, treatment, method, n, seed, act=low, seen=high, had=True)


def probability_of_sufficiency(
    source: Any,
    outcome: Outcome = "Y",
    treatment: str = "X",
    values: Sequence[Any] = (0, 1),
    method: str | None = None,
    n: int = 10_000,
    seed: int | None = None,
) -> Estimate:
    r"""Of the units with neither treatment nor outcome, the share that the one would bring the other.

    .. math:: PS = P(Y_{x_1} = y \mid X = x_0, Y \ne y)

    Args:
        source: As in `probability_of_necessity`.
        outcome: As in `probability_of_necessity`.
        treatment: As in `ate`.
        values: As in `probability_of_necessity`.
        method: As in `probability_of_necessity`.
        n: As in `probability_of_necessity`.
        seed: As in `probability_of_necessity`.

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
    return _causation(source, outcome, treatment, method, n, seed, act=high, seen=low, had=False)


def probability_of_necessity_and_sufficiency(
    source: Any,
    outcome: Outcome = "Y",
    treatment: str = "X",
    values: Sequence[Any] = (0, 1),
    method: str | None = None,
    n: int = 10_000,
    seed: int | None = None,
) -> Estimate:
    r"""Share of the units whose outcome follows the treatment, both ways.

    .. math:: PNS = P(Y_{x_1} = y, Y_{x_0} \ne y)

    Args:
        source: As in `probability_of_necessity`.
        outcome: As in `probability_of_necessity`.
        treatment: As in `ate`.
        values: As in `probability_of_necessity`.
        method: As in `probability_of_necessity`.
        n: As in `natural_direct_effect`.
        seed: As in `probability_of_necessity`.

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
    if len(names) != 2:
        raise ScmError(
            f"{outcome!r} is not binary, so say what counts as the outcome: outcome={{{outcome!r}: "
            "level}, or a test of its values"
        )
    return law, {outcome: names[1]}


def _others(law: Joint, event: Mapping[str, Any], within: Joint) -> list[dict[str, Any]]:
    """Return the events, apart from this one, that have positive probability."""
    found = []
    for levels in itertools.product(*(law.levels[name] for name in event)):
        other = dict(zip(event, levels, strict=True))
        same = all(law._domain.code(n, other[n]) == law._domain.code(n, event[n]) for n in event)
        if not same and float(within.prob(other)) > 0:
            found.append(other)
    return found
