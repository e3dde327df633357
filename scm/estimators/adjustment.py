r"""Effects from data by adjustment: regression, inverse weighting, and both at once.

For an adjustment set Z of the graph, :math:`E[Y_x] = E_Z\, E[Y \mid x, Z]`. Three estimators of
it, with :math:`m_x(z) = E[Y \mid x, z]` and :math:`p_x(z) = P(x \mid z)`:

- ``"regression"``: the mean of :math:`\hat m_x(Z_i)` (the g-formula). Right if the outcome's
  model is.
- ``"weighting"``: the mean of :math:`Y_i` over the units with :math:`X_i = x`, weighted by
  :math:`1 / \hat p_x(Z_i)` (Hájek). Right if the treatment's model is.
- ``"doubly_robust"``: the mean of
  :math:`\hat m_x(Z_i) + 1\{X_i = x\} (Y_i - \hat m_x(Z_i)) / \hat p_x(Z_i)`
  (augmented inverse weighting). Right if either is. Each unit is judged by models that were
  fitted to the other folds (cross-fitting), so flexible learners may be used and the standard
  error is that of the influence function. For the others it is the bootstrap's.

References:
    Robins, Rotnitzky & Zhao (1994), Estimation of regression coefficients when some regressors
    are not always observed, JASA. Chernozhukov et al. (2018), Double/debiased machine learning
    for treatment and structural parameters, section 5.1. Hájek (1971), in: Foundations of
    statistical inference.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from scm.errors import GraphError, InterventionError, NotIdentifiedError, ScmError
from scm.estimators.columns import Rows, check_cells, check_folds, read_rows
from scm.estimators.learners import Fit, PositivityWarning
from scm.estimators.means import Array, Means
from scm.estimators.units import Outcome
from scm.graph import CausalGraph
from scm.graph.identification import Names, disjoint, named

__all__ = [
    "Learning",
    "PositivityWarning",
    "adjusted_means",
    "adjustment_set",
    "mediation_set",
    "resampled",
]

Codes = NDArray[np.int64]

Combine = Callable[[Array, Rows, Codes], tuple[Array, Array]]

_MOST_SETS = 2_000  # that are tried as adjustment set of a mediation


class Learning(TypedDict, total=False):
    """How to learn from data; see `adjusted_means`."""

    adjust: Names
    outcome_model: Any
    treatment_model: Any
    folds: int
    bootstrap: int


def adjusted_means(
    data: Any,
    graph: CausalGraph,
    outcome: Outcome,
    treatment: str,
    values: Sequence[Any],
    given: Mapping[str, Any] | None = None,
    *,
    method: str | None = None,
    adjust: Names | None = None,
    outcome_model: Any = None,
    treatment_model: Any = None,
    folds: int = 5,
    bootstrap: int = 200,
    seed: int | None = None,
    combine: Combine | None = None,
) -> Means:
    r"""Estimate :math:`E[Y_x \mid w]` for each value x of a discrete treatment.

    Covariates that the data declare to be categorical (words, categories of pandas, categorical
    nodes of `Samples`) are one-hot; numbers are taken as they are.

    Args:
        data: A data frame, a mapping of columns, or `Samples`: seen, not acted on.
        graph: The causal graph.
        outcome: A node, for its mean, or ``{"Y": level}``, for a probability.
        treatment: The node that is set; discrete.
        values: Its values.
        given: node -> level, or a function of the column; no effects of the treatment.
        method: "doubly_robust" (the default), "regression" or "weighting".
        adjust: The adjustment set; by default the smallest one in ``graph.adjustment_sets``
            that the data have (with a condition, in ``graph.backdoor_sets``).
        outcome_model: A scikit-learn regressor (or classifier, for a probability), fitted to
            the covariates within each value of the treatment. By default
            `LinearRegression()`, and `LogisticRegression()` for a probability.
        treatment_model: A scikit-learn classifier of the treatment given the covariates. By
            default `LogisticRegression()`.
        folds: Of cross-fitting.
        bootstrap: How often rows are resampled for the standard error of "regression" and
            "weighting".
        seed: Seeds folds and resampling.
        combine: Makes of the means' rows (or of the means) numerator and denominator of the one
            ratio to be estimated instead.

    Raises:
        GraphError: If a node is unknown or has two roles, or ``adjust`` is no adjustment set.
        InterventionError: If a value is no level of the treatment, or data come from an act.
        NotIdentifiedError: If no set adjusts (with the ``hedge`` where the graph does not
            identify the effect at all), or a cell is empty (positivity).
        ScmError: If the data are no numbers or have holes, or scikit-learn is not installed.

    Warns:
        PositivityWarning: If an estimated chance of the treatment is below 0.01; it is taken as
            0.01.

    Example:
        >>> from scm.graph import CausalGraph
        >>> W = np.repeat([0, 1], 200)
        >>> X = np.concatenate([np.repeat([0, 1], [150, 50]), np.repeat([0, 1], [50, 150])])
        >>> data = {"W": W, "X": X, "Y": 2.0 * X + 10.0 * W}
        >>> graph = CausalGraph("W -> X, Y; X -> Y")
        >>> means = adjusted_means(data, graph, "Y", "X", [0, 1], seed=0)
        >>> means.values.tolist(), means.n
        ([5.0, 7.0], 400)
    """
    check_learning(method, folds, bootstrap)
    given = given or {}
    ys = (outcome,) if isinstance(outcome, str) else tuple(outcome)
    chosen = adjustment_set(graph, treatment, ys, tuple(given), adjust, list(data))
    rows = read_rows(data, outcome, treatment, values, chosen, given)
    check_cells(rows)
    fit = Fit(rows, outcome_model, treatment_model)
    rng = np.random.default_rng(seed)
    if method in (None, "doubly_robust"):
        check_folds(rows, folds)
        influence = fit.doubly_robust(folds, rng)
        if combine is not None:
            top, bottom = combine(influence, rows, np.arange(rows.n))
            _some(bottom)
            return Means.of_rows(top[None], bottom)
        return Means.of_rows(influence[:, rows.kept])
    point: Callable[[Codes], Array] = fit.regression if method == "regression" else fit.weighting
    n = int(rows.kept.sum())
    if combine is None:
        return resampled(point, rows.n, bootstrap, rng, n)

    def ratio(index: Codes) -> Array:
        top, bottom = combine(point(index), rows, index)
        _some(bottom)
        return np.array([np.mean(top) / bottom.mean()])

    return resampled(ratio, rows.n, bootstrap, rng, n)


def _some(counted: Array) -> None:
    if not counted.any():
        raise InterventionError(
            f"of {len(counted)} rows, perhaps drawn with replacement, none is of the kind that the "
            "probability is a share of (positivity); collect such units"
        )


def resampled(
    point: Callable[[Codes], Array], size: int, bootstrap: int, rng: np.random.Generator, n: int
) -> Means:
    """Estimate from all rows, and from rows drawn with replacement for the spread."""
    estimates = point(np.arange(size))
    again = [point(rng.integers(0, size, size)) for _ in range(bootstrap)]
    return Means(estimates, replicates=np.array(again).reshape(bootstrap, len(estimates)), n=n)


def adjustment_set(
    graph: CausalGraph,
    treatment: str,
    outcome: Names,
    given: Names = (),
    adjust: Names | None = None,
    columns: Iterable[str] | None = None,
) -> tuple[str, ...]:
    r"""Return the nodes to adjust for, those of ``given`` among them.

    Args:
        graph: The causal graph.
        treatment: The node that is set.
        outcome: The node asked about.
        given: What is conditioned on.
        adjust: The set to be checked; found where it is None.
        columns: What the data have.

    Raises:
        GraphError: If ``adjust`` does not adjust, the treatment acts on ``given``, a node is
            unknown, or columns are missing.
        NotIdentifiedError: If no set does.

    Example:
        >>> from scm.graph import CausalGraph
        >>> butterfly = CausalGraph("A -> M, X; B -> M, Y; M -> X, Y; X -> Y")
        >>> adjustment_set(butterfly, "X", "Y")
        ('A', 'M')
        >>> adjustment_set(butterfly, "X", "Y", columns=["B", "M", "X", "Y"])
        ('M', 'B')
    """
    if not isinstance(treatment, str):
        raise GraphError(f"treatment={treatment!r:.60} was given; expected the name of one node")
    xs, ys, ws = named(graph, treatment), named(graph, outcome), named(graph, given)
    disjoint(graph, treatment=xs, outcome=ys, given=ws)
    have = set(graph.observed if columns is None else columns)
    missing = [name for name in (*xs, *ys, *ws) if name not in have]
    if missing:
        raise GraphError(f"the data have no column {', '.join(missing)}; they have {sorted(have)}")
    acted = sorted(graph.descendants(treatment) & set(ws))
    if acted:
        raise GraphError(
            f"{treatment} acts on {', '.join(acted)}: given what an act changes, an effect is a "
            "counterfactual, which adjustment does not give; condition on what comes before "
            f"{treatment}, or fit a model and ask cate(model, ...)"
        )
    suits = graph.is_backdoor_set if ws else graph.is_adjustment_set
    if adjust is not None:
        zs = named(graph, adjust)
        disjoint(graph, treatment=xs, outcome=ys, adjust=zs)
        full = _ordered(graph, {*zs, *ws})
        if not suits(xs, ys, full):
            raise GraphError(_unsuited(graph, treatment, ys, full, bool(ws)))
        _check_columns(full, have)
        return full
    found = (graph.backdoor_sets if ws else graph.adjustment_sets)(xs, ys)
    full_sets = [_ordered(graph, {*z, *ws}) for z in found if suits(xs, ys, {*z, *ws})]
    full_sets.sort(key=len)
    for full in full_sets:
        if have.issuperset(full):
            return full
    if full_sets:
        _check_columns(full_sets[0], have)
    estimand = graph.identify(ys, do=xs, given=ws)  # raises, with the hedge
    raise NotIdentifiedError(
        f"no set of observed nodes adjusts for {treatment} on {', '.join(ys)}"
        f"{' together with ' + ', '.join(ws) if ws else ''}, but the graph identifies it "
        f"otherwise: {estimand}. For discrete data: graph.identify(...).evaluate(data, "
        "bootstrap=200)"
    )


def mediation_set(
    graph: CausalGraph,
    treatment: str,
    outcome: Names,
    mediator: Names,
    adjust: Names | None = None,
    columns: Iterable[str] | None = None,
) -> tuple[str, ...]:
    r"""Return a set W for which natural effects are identified from what is seen.

    No node of W is an effect of treatment X, mediators M or outcome Y, and W blocks the back
    doors from X to M, from X to Y, and, together with X, from M to Y:

    .. math:: (M \perp X \mid W)_{G_{\underline X}}, \quad
        (Y \perp X \mid W)_{G_{\underline{XM}}}, \quad
        (Y \perp M \mid X, W)_{G_{\underline{XM}}}.

    These suffice for :math:`Y_{xm} \perp M_{x'} \mid W` in every model with the graph; other
    criteria identify some effects for which no such W exists (Shpitser 2013).

    Args:
        graph: The causal graph.
        treatment: X.
        outcome: Y.
        mediator: M, a node or several.
        adjust: The set to be checked; a smallest one is looked for where it is None.
        columns: What the data have.

    Raises:
        GraphError: If ``adjust`` does not do, a node is unknown, or columns are missing.
        NotIdentifiedError: If no set does; the message names the condition that fails.

    References:
        Pearl (2001), Direct and indirect effects, theorem 2. Imai, Keele & Yamamoto (2010),
        Identification, inference and sensitivity analysis for causal mediation effects.

    Example:
        >>> from scm.graph import CausalGraph
        >>> mediation_set(CausalGraph("W -> M, Y; X -> M, Y; M -> Y"), "X", "Y", "M")
        ('W',)
    """
    xs, ys, ms = named(graph, treatment), named(graph, outcome), named(graph, mediator)
    disjoint(graph, treatment=xs, outcome=ys, mediator=ms)
    have = set(graph.observed if columns is None else columns)
    _check_columns((*xs, *ys, *ms), have)
    barred = graph.descendants(*xs, *ms, *ys) | {*xs, *ms, *ys}
    no_x = graph.without_outgoing(*xs)
    no_xm = graph.without_outgoing(*xs, *ms)
    x, y, m = ", ".join(xs), ", ".join(ys), ", ".join(ms)
    doors = {
        f"the back doors from {x} to {m}": (no_x, xs, ms, ()),
        f"the back doors from {x} to {y}": (no_xm, xs, ys, ()),
        f"the back doors from {m} to {y} (given {x})": (no_xm, ms, ys, xs),
    }

    def open_doors(ws: Iterable[str]) -> list[str]:
        ws = tuple(ws)
        return [d for d, (g, a, b, c) in doors.items() if not g.d_separated(a, b, (*c, *ws))]

    if adjust is not None:
        ws = _ordered(graph, named(graph, adjust))
        bad = sorted(barred & set(ws))
        if bad or open_doors(ws):
            why = (
                f"it holds effects of {x}, {m} or {y}: {', '.join(bad)}"
                if bad
                else (f"it leaves open {'; '.join(open_doors(ws))}")
            )
            raise GraphError(f"adjusting for {{{', '.join(ws)}}} gives no natural effect: {why}")
        _check_columns(ws, have)
        return ws
    allowed = _ordered(graph, (graph.ancestors(*xs, *ms, *ys) & set(graph.observed)) - barred)
    for pool in (tuple(w for w in allowed if w in have), allowed):
        sets = (c for k in range(len(pool) + 1) for c in itertools.combinations(pool, k))
        for ws in itertools.chain(itertools.islice(sets, _MOST_SETS), [pool]):
            if not open_doors(ws):
                _check_columns(ws, have)
                return ws
    never = [
        door
        for door, (g, a, b, c) in doors.items()
        if not g.d_separated(a, b, {*c, *(g.ancestors(*a, *b, *c) & set(allowed))})
    ]
    no_m = graph.without_outgoing(*ms)
    between = _ordered(
        graph,
        (no_m.descendants(*xs) & graph.ancestors(*ms) & no_xm.ancestors(*ys)) - {*xs, *ms, *ys},
    )
    why = f"no set blocks {'; '.join(never)}" if never else "no one set blocks all back doors"
    if between:
        why += (
            f": {', '.join(between)} is affected by {x} and confounds {m} and {y} (an "
            "intermediate confounder), so no experiment tells the effect either. Count it among "
            f"the mediators, mediator={(*ms, *between)!r}, which asks for another path"
        )
    raise NotIdentifiedError(
        f"natural effects of {x} on {y} through {m} are not identified by the mediation formula: "
        f"{why}; or fit a model and ask it, knowing that the answer rests on the model"
    )


def _unsuited(
    graph: CausalGraph, treatment: str, ys: tuple[str, ...], zs: tuple[str, ...], given: bool
) -> str:
    found = (graph.backdoor_sets if given else graph.adjustment_sets)(treatment, ys)
    sets = "; ".join("{" + ", ".join(_ordered(graph, z)) + "}" for z in found[:5])
    return (
        f"adjusting for {{{', '.join(zs)}}} does not give the effect of {treatment} on "
        f"{', '.join(ys)}; these sets do: {sets or 'none'}. See graph.explain({treatment!r}, "
        f"{ys[0]!r}, given={list(zs)})"
    )


def _ordered(graph: CausalGraph, nodes: Iterable[str]) -> tuple[str, ...]:
    nodes = frozenset(nodes)
    return tuple(node for node in graph.nodes if node in nodes)


def _check_columns(needed: Iterable[str], have: set[str]) -> None:
    missing = [name for name in needed if name not in have]
    if missing:
        raise GraphError(
            f"the data have no column {', '.join(missing)}, which has to be adjusted for; they "
            f"have {', '.join(sorted(map(str, have)))}"
        )


def check_learning(method: str | None, folds: int, bootstrap: int) -> None:
    """Raise `ScmError` where a method is unknown or a number makes no sense."""
    if method not in (None, "doubly_robust", "regression", "weighting"):
        raise ScmError(
            f"method={method!r} was given for data; expected 'doubly_robust', 'regression' or "
            "'weighting'"
        )
    if folds < 2 or bootstrap < 0:
        raise ScmError(
            f"folds={folds}, bootstrap={bootstrap} was given; expected at least 2 folds, and a "
            "number of resamples that is not negative"
        )
