r"""Natural effects: how much of an effect passes through a mediator.

With :math:`Y_{x, M_{x'}}` for the outcome of a unit had its treatment been :math:`x` and its
mediators what they are under :math:`x'`,

==========================  =============================================
`natural_direct_effect`     :math:`E[Y_{x_1, M_{x_0}} - Y_{x_0}]`
`natural_indirect_effect`   :math:`E[Y_{x_0, M_{x_1}} - Y_{x_0}]`
==========================  =============================================

They compare two worlds of one unit. Of a model they are computed exactly, by twin networks,
where all nodes are tables, and by the same units in both worlds otherwise. In a model of tables
they may depend on the coupling of a table, which no data tell (where a node that the treatment
acts on confounds mediator and outcome).

Of data, with ``graph=``, they follow from the mediation formula, where a set W of the graph
blocks what confounds treatment, mediators and outcome (`adjustment.mediation_set`). Then
:math:`\theta(x, x') = E[Y_{x, M_{x'}}] = \sum_{w, m} E[Y | x, m, w] P(m | x', w) P(w)`, and with
:math:`\mu(m, w) = E[Y | x, m, w]` and :math:`\eta(w) = E[\mu(M, w) | x', w]`, three estimators:

- ``"regression"``: the mean of :math:`\eta(W_i)`. Right if the models of outcome and mediator
  are. The mediator's model is a classifier of its values, which are summed over, where they are
  few (at most 20), and a regression of :math:`\hat\mu` on W among units with x' otherwise.
- ``"weighting"``: the mean of :math:`Y_i` over units with x, weighted by
  :math:`P(m | x', w) / (P(m | x, w) P(x | w)) = P(x' | m, w) / (P(x | m, w) P(x' | w))`. Right if
  both models of the treatment are, given W and given M and W.
- ``"doubly_robust"``: the mean of the efficient influence function with cross-fitting,

  .. math:: \frac{1\{X = x\} P(x' | M, W)}{P(x | M, W) P(x' | W)} (Y - \mu)
      + \frac{1\{X = x'\}}{P(x' | W)} (\mu - \eta) + \eta.

  Right if :math:`\mu` is and one of :math:`\eta` and :math:`P(x' | w)`; or both treatment models.

References:
    Pearl (2001), Direct and indirect effects, UAI, definitions 6 and 8. Balke & Pearl (1994),
    Probabilistic evaluation of counterfactual queries, AAAI. Imai, Keele & Tingley (2010), A
    general approach to causal mediation analysis. Tchetgen Tchetgen & Shpitser (2012),
    Semiparametric theory for causal mediation analysis, Annals of Statistics (theorem 1).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Unpack

import numpy as np
import torch

from scm.errors import GraphError
from scm.estimate import Estimate
from scm.estimators.adjustment import (
    Learning,
    check_learning,
    mediation_set,
    resampled,
)
from scm.estimators.columns import check_cells, check_folds, read_rows
from scm.estimators.learners import Fit, Mediated, splits
from scm.estimators.means import Means, exact
from scm.estimators.two_worlds import drawn, joint_of, refuse_learning, under_act
from scm.estimators.units import (
    Outcome,
    array,
    exact_mean,
    is_data,
    over_draws,
    pair,
    roles,
    score,
    source_graph,
)
from scm.graph import CausalGraph
from scm.graph.identification import Names

__all__ = ["MediationLearning", "natural_direct_effect", "natural_indirect_effect"]

_MOST_CELLS = 20  # values of the mediators that are summed over


class MediationLearning(Learning, total=False):
    """How to learn a mediation from data.

    ``mediator_model`` is a classifier where the mediators have at most 20 values, by default
    `LogisticRegression()`, and else a regressor, by default `LinearRegression()`.
    """

    mediator_model: Any


def natural_direct_effect(
    source: Any,
    outcome: Outcome = "Y",
    treatment: str = "X",
    mediator: Names = "M",
    values: Sequence[Any] = (0, 1),
    graph: CausalGraph | None = None,
    method: str | None = None,
    n: int = 10_000,
    seed: int | None = None,
    **learning: Unpack[MediationLearning],
) -> Estimate:
    r"""Effect of the treatment but for what it does to the mediators.

    .. math:: E[Y_{x_1, M_{x_0}} - Y_{x_0}]

    The total effect is the direct one less the indirect one of the reverse change,
    :math:`(x_1, x_0)`.

    Args:
        source: A model, a view, `Samples` (these very units) or a `Joint`; or data, with
            ``graph=``.
        outcome: As in `ate`.
        treatment: As in `ate`.
        mediator: A node, or several.
        values: :math:`(x_0, x_1)`.
        graph: The causal graph of data.
        method: Of a model: "exact" or "sample"; exact where it can be, by default. Of data:
            "doubly_robust" (the default), "regression" or "weighting"; see the module.
        n: Number of units to draw from a model.
        seed: Seeds them; for data, the folds and the bootstrap.
        **learning: For data: `mediator_model`, and as in `ate`; `treatment_model` is fitted
            given W, and given M and W.

    Raises:
        GraphError: If a node is unknown or has two roles; or ``adjust`` does not do.
        InterventionError: If a value does not fit the treatment.
        NotIdentifiedError: If data are given without a graph, or one that has no set W (the
            message names what fails), or with empty cells (positivity); or an observed margin.
        ScmError: If the outcome is no number, or a learner does not fit its task.

    Warns:
        PositivityWarning: As in `adjustment.adjusted_means`.

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
        >>> chance = scm.SCM("X -> M; X, M -> Y", X=scm.Root.bernoulli(0.5),
        ...                  M=scm.Additive(lambda X: 1.5 * X),
        ...                  Y=scm.Additive(lambda X, M: 1.0 * X + 2.0 * M))
        >>> rows = chance.sample(2_000, seed=0)
        >>> found = natural_direct_effect(rows, graph=chance.graph, seed=0)
        >>> abs(found.value - 1.0) < 4 * found.stderr
        True
    """
    low, high = pair(values)
    arguments = (source, outcome, treatment, mediator, graph, method, n, seed, learning)
    return _mediated(*arguments, values=(low, high), direct=1, through=0)


def natural_indirect_effect(
    source: Any,
    outcome: Outcome = "Y",
    treatment: str = "X",
    mediator: Names = "M",
    values: Sequence[Any] = (0, 1),
    graph: CausalGraph | None = None,
    method: str | None = None,
    n: int = 10_000,
    seed: int | None = None,
    **learning: Unpack[MediationLearning],
) -> Estimate:
    r"""Effect of what the treatment does to the mediators, and of nothing else it does.

    .. math:: E[Y_{x_0, M_{x_1}} - Y_{x_0}]

    Args:
        source: As in `natural_direct_effect`.
        outcome: As in `ate`.
        treatment: As in `ate`.
        mediator: A node, or several.
        values: :math:`(x_0, x_1)`.
        graph: As in `natural_direct_effect`.
        method: As in `natural_direct_effect`.
        n: As in `natural_direct_effect`.
        seed: As in `natural_direct_effect`.
        **learning: As in `natural_direct_effect`.

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
    arguments = (source, outcome, treatment, mediator, graph, method, n, seed, learning)
    return _mediated(*arguments, values=(low, high), direct=0, through=1)


def _mediated(
    source: Any,
    outcome: Outcome,
    treatment: str,
    mediator: Names,
    graph: CausalGraph | None,
    method: str | None,
    n: int,
    seed: int | None,
    learning: MediationLearning,
    *,
    values: tuple[Any, Any],
    direct: int,
    through: int,
) -> Estimate:
    """Return E[Y_{x, M_{x'}} - Y_{x0}], with x and x' given as places among the values."""
    ms = (mediator,) if isinstance(mediator, str) else tuple(mediator)
    if graph is not None and is_data(source, graph):
        roles(graph, treatment, outcome, {}, mediator=ms)
        means = _adjusted(
            source,
            graph,
            outcome,
            treatment,
            ms,
            values,
            (direct, through),
            method,
            seed,
            **learning,
        )
        return means.contrast((-1.0, 1.0))
    law = joint_of(source, method, outcome)
    refuse_learning(source, learning)
    roles(source_graph(source), treatment, outcome, {}, mediator=ms)
    _some(ms)
    base, ahead, behind = values[0], values[direct], values[through]
    if law is None:
        units = drawn(source, n, seed)
        middle = units.do({treatment: behind})
        nested = units.do({treatment: ahead, **{m: middle[m] for m in ms}})
        gain = score(nested, outcome) - score(units.do({treatment: base}), outcome)
        return Means.of_rows(array(over_draws(gain, units))[None]).contrast([1.0])
    under = under_act(law, treatment, behind)
    total = -exact_mean(law, outcome, {treatment: base}, {})
    chances = torch.as_tensor(under.table(*ms).values)
    for codes in itertools.product(*(range(size) for size in chances.shape)):
        if chances[codes] > 0:
            at = {m: law.levels[m][k] for m, k in zip(ms, codes, strict=True)}
            act = {treatment: ahead, **at}
            total += float(chances[codes]) * exact_mean(under, outcome, act, at)
    return exact(total)


def _some(ms: tuple[str, ...]) -> None:
    if not ms:
        raise GraphError("no mediator was named; with none, ask for the total effect: ate")


def _adjusted(
    data: Any,
    graph: CausalGraph,
    outcome: Outcome,
    treatment: str,
    ms: tuple[str, ...],
    values: tuple[Any, Any],
    places: tuple[int, int],
    method: str | None,
    seed: int | None,
    *,
    adjust: Names | None = None,
    outcome_model: Any = None,
    treatment_model: Any = None,
    mediator_model: Any = None,
    folds: int = 5,
    bootstrap: int = 200,
) -> Means:
    """Estimate theta(x0, x0) and theta(x, x') from data."""
    _some(ms)
    check_learning(method, folds, bootstrap)
    ys = (outcome,) if isinstance(outcome, str) else tuple(outcome)
    ws = mediation_set(graph, treatment, ys, ms, adjust, list(data))
    rows = read_rows(data, outcome, treatment, values, ws, {})
    between = read_rows(data, outcome, treatment, values, ms, {})
    found, cells = np.unique(between.features, axis=0, return_inverse=True)
    few = len(found) <= min(_MOST_CELLS, rows.n // 10)
    strata = {**rows.discrete, **between.discrete}
    if few and not between.discrete:
        strata[", ".join(ms)] = (cells.reshape(-1), tuple(map(tuple, found.tolist())))
    x, xm = (int(rows.asked[place]) for place in places)
    check_cells(rows)
    arm = replace(rows, discrete=strata, values=(rows.values[places[0]],), asked=np.array([x]))
    check_cells(arm, through=xm)
    features = np.hstack([between.features, rows.features])
    both = replace(rows, features=features, covariates=(*ms, *ws))
    models = Mediated(
        Fit(rows, outcome_model, treatment_model),
        Fit(both, outcome_model, treatment_model),
        between.features,
        cells.reshape(-1).astype(np.int64) if few else None,
        mediator_model,
    )
    base = int(rows.asked[0])
    arms = ((base, base), (x, xm))
    rng = np.random.default_rng(seed)
    if method in (None, "doubly_robust"):
        check_folds(rows, folds)
        influence = np.empty((2, rows.n))
        for train, test in splits(rows.treatment, folds, rng):
            influence[:, test] = models.influence(arms, train, test)
        return Means.of_rows(influence)
    point = models.regression if method == "regression" else models.weighting
    return resampled(partial(point, arms), rows.n, bootstrap, rng, rows.n)
