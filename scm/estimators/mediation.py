r"""Natural effects: how much of an effect passes through a mediator.

With :math:`Y_{x, M_{x'}}` for the outcome of a unit had its treatment been :math:`x` and its
mediators what they are under :math:`x'`,

==========================  =============================================
`natural_direct_effect`     :math:`E[Y_{x_1, M_{x_0}} - Y_{x_0}]`
`natural_indirect_effect`   :math:`E[Y_{x_0, M_{x_1}} - Y_{x_0}]`
==========================  =============================================

They compare two worlds of one unit, so they need a model: exactly, by twin networks, where all
nodes are tables, and by the same units in both worlds otherwise. In a model of tables they may
depend on the coupling of a table, which no data tell (where a node that the treatment acts on
confounds mediator and outcome).

References:
    Pearl (2001), Direct and indirect effects, UAI, definitions 6 and 8. Balke & Pearl (1994),
    Probabilistic evaluation of counterfactual queries, AAAI.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch

from scm.errors import GraphError
from scm.estimate import Estimate
from scm.estimators.means import Means, exact
from scm.estimators.two_worlds import drawn, joint_of, under_act
from scm.estimators.units import (
    Outcome,
    array,
    exact_mean,
    over_draws,
    pair,
    roles,
    score,
    source_graph,
)
from scm.graph.identification import Names

__all__ = ["natural_direct_effect", "natural_indirect_effect"]


def natural_direct_effect(
    source: Any,
    outcome: Outcome = "Y",
    treatment: str = "X",
    mediator: Names = "M",
    values: Sequence[Any] = (0, 1),
    method: str | None = None,
    n: int = 10_000,
    seed: int | None = None,
) -> Estimate:
    r"""Effect of the treatment but for what it does to the mediators.

    .. math:: E[Y_{x_1, M_{x_0}} - Y_{x_0}]

    The total effect is the direct one less the indirect one of the reverse change,
    :math:`(x_1, x_0)`.

    Args:
        source: A model, a view, `Samples` (these very units) or a `Joint`.
        outcome: As in `ate`.
        treatment: As in `ate`.
        mediator: A node, or several.
        values: :math:`(x_0, x_1)`.
        method: "exact" or "sample"; exact where it can be, by default.
        n: Number of units to draw from a model.
        seed: Seeds them.

    Raises:
        GraphError: If a node is unknown or has two roles.
        InterventionError: If a value does not fit the treatment.
        NotIdentifiedError: If data, or an observed margin, are given.
        ScmError: If the outcome is no number.

    References:
        Pearl (2001), definition 6.

    Example:
        >>> import scm
        >>> model = scm.SCM("X -> M; X, M -> Y", X=scm.Root.normal(),
        ...                 M=scm.Linear({"X": 3.0}), Y=scm.Linear({"X": 1.0, "M": 2.0}))
        >>> direct = natural_direct_effect(model, "Y", "X", "M", n=100, seed=0)
        >>> indirect = natural_indirect_effect(model, "Y", "X", "M", n=100, seed=0)
        >>> round(direct.value, 3), round(indirect.value, 3)
        (1.0, 6.0)
    """
    low, high = pair(values)
    arguments = (source, outcome, treatment, mediator, method, n, seed)
    return _mediated(*arguments, base=low, direct=high, through=low)


def natural_indirect_effect(
    source: Any,
    outcome: Outcome = "Y",
    treatment: str = "X",
    mediator: Names = "M",
    values: Sequence[Any] = (0, 1),
    method: str | None = None,
    n: int = 10_000,
    seed: int | None = None,
) -> Estimate:
    r"""Effect of what the treatment does to the mediators, and of nothing else it does.

    .. math:: E[Y_{x_0, M_{x_1}} - Y_{x_0}]

    Args:
        source: As in `natural_direct_effect`.
        outcome: As in `ate`.
        treatment: As in `ate`.
        mediator: A node, or several.
        values: :math:`(x_0, x_1)`.
        method: As in `natural_direct_effect`.
        n: As in `natural_direct_effect`.
        seed: As in `natural_direct_effect`.

    Raises:
        GraphError: As in `natural_direct_effect`.
        InterventionError: As in `natural_direct_effect`.
        NotIdentifiedError: As in `natural_direct_effect`.
        ScmError: As in `natural_direct_effect`.

    References:
        Pearl (2001), definition 8.

    Example:
        >>> import scm
        >>> rows = [[[1.0, 0.0], [0.5, 0.5]], [[0.5, 0.5], [0.0, 1.0]]]
        >>> model = scm.SCM("X -> M; X, M -> Y", X=scm.Root.bernoulli(0.5),
        ...                 M=scm.Tabular([[0.8, 0.2], [0.2, 0.8]]), Y=scm.Tabular(rows))
        >>> round(natural_indirect_effect(model, "Y", "X", "M").value, 6)
        0.3
    """
    low, high = pair(values)
    arguments = (source, outcome, treatment, mediator, method, n, seed)
    return _mediated(*arguments, base=low, direct=low, through=high)


def _mediated(
    source: Any,
    outcome: Outcome,
    treatment: str,
    mediator: Names,
    method: str | None,
    n: int,
    seed: int | None,
    *,
    base: Any,
    direct: Any,
    through: Any,
) -> Estimate:
    """Return E[Y_{direct, M_through} - Y_base]."""
    ms = (mediator,) if isinstance(mediator, str) else tuple(mediator)
    law = joint_of(source, method, outcome)
    roles(source_graph(source), treatment, outcome, {}, mediator=ms)
    if not ms:
        raise GraphError("no mediator was named; with none, ask for the total effect: ate")
    if law is None:
        units = drawn(source, n, seed)
        middle = units.do({treatment: through})
        nested = units.do({treatment: direct, **{m: middle[m] for m in ms}})
        gain = score(nested, outcome) - score(units.do({treatment: base}), outcome)
        return Means.of_rows(array(over_draws(gain, units))[None]).contrast([1.0])
    under = under_act(law, treatment, through)
    total = -exact_mean(law, outcome, {treatment: base}, {})
    chances = torch.as_tensor(under.table(*ms).values)
    for codes in itertools.product(*(range(size) for size in chances.shape)):
        if chances[codes] > 0:
            at = {m: law.levels[m][k] for m, k in zip(ms, codes, strict=True)}
            ahead = {treatment: direct, **at}
            total += float(chances[codes]) * exact_mean(under, outcome, ahead, at)
    return exact(total)
