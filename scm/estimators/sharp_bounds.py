r"""Sharp bounds on effects and counterfactuals, by linear programming over response functions.

Latent causes of discrete nodes are, without loss, a distribution over the functions that the
nodes of a district follow (`scm.estimators.response_functions`). What is observed is linear in
it, and so is an effect that rests on one such district: its least and greatest value over all
models that give the observed law are two linear programmes (Balke and Pearl 1994, 1997, for
instruments; Sachs et al. 2023, for graphs in general). The rest of an effect is identified.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scm.errors import GraphError, InterventionError, ScmError
from scm.estimate import Interval
from scm.estimators.bound_query import BoundQuery, Found, contradiction, no_repair
from scm.estimators.confidence import linear_limits, percentile_limits
from scm.estimators.cross_world import CrossWorld, World
from scm.estimators.linear_programme import Constraints
from scm.estimators.response_functions import District
from scm.estimators.source import codes, domain_of, probabilities, read_source
from scm.graph import CausalGraph
from scm.graph.domain import Domain, Event
from scm.graph.empirical import Empirical
from scm.graph.evaluation import Source
from scm.graph.identification import observed_graph
from scm.graph.independencies import warn_of_contradictions

__all__ = ["ContradictionWarning", "counterfactual_bounds", "sharp_bounds"]

_FALSE_ALARM = 1e-3  # of the error that data contradict the graph


class ContradictionWarning(UserWarning):
    """Data violate an inequality that the graph implies, by no more than chance may.

    Example:
        >>> import warnings
        >>> data = {"Z": [0] * 9 + [1] * 11, "X": [0] * 20, "Y": [0] * 9 + [1] * 2 + [0] * 9}
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     bound = sharp_bounds(
        ...         CausalGraph("Z -> X -> Y; X <-> Y"), data, {"Y": 1}, do={"X": 0}
        ...     )
        >>> [w.category.__name__ for w in caught]
        ['ContradictionWarning']
    """


def sharp_bounds(
    graph: CausalGraph,
    joint_or_data: Any,
    outcome: Event,
    do: Event,
    *,
    against: Event | None = None,
    level: float = 0.95,
    bootstrap: int = 200,
    seed: int | None = None,
) -> Interval:
    r"""Return the range of :math:`P(y \mid do(x))` over all models with this graph and law.

    Latent causes may be anything. The ends are attained by models (``method`` says "sharp: ..."),
    and equal where the effect is identified. They are outer bounds ("outer: ...") where the
    programme is not linear: if confounded districts multiply, or if a district has several
    independent latent causes.

    With ``against``, the range of the difference
    :math:`P(y \mid do(x)) - P(y \mid do(x'))`, which is not the difference of two ranges.

    From data the ends are plug-in estimates, and the limits are of the whole range, half of the
    error at each end (`scm.estimators.confidence`). They hold asymptotically, also where ends
    nearly tie; of products of districts they are percentiles, which then cover less.

    Args:
        graph: latent nodes, and ``<->``, are confounders. A clique of ``<->`` is read as one
            common cause.
        joint_or_data: the law of the observed nodes (a `Joint`, its ``observed()``), or data (a
            data frame, a mapping of columns, `Samples`).
        outcome: node -> level.
        do: node -> the level it is set to.
        against: node -> the level it is compared with.
        level: coverage of the confidence limits, for data.
        bootstrap: how often data are resampled for them; 0 for no limits.
        seed: seeds the bootstrap.

    Returns:
        An `Interval`.

    Raises:
        GraphError: if a node is unknown, latent, in two roles, or not in the source.
        InterventionError: if a level is unknown, or a macro-variable is acted on.
        ScmError: if there are too many response types (with the count), if the law contradicts
            the graph, if the data are continuous, or if the treatment never occurs.

    Warns:
        IndependenceWarning: if an independence that the graph implies fails.
        ContradictionWarning: if data violate an inequality that it implies, within chance.

    References:
        Balke & Pearl (1997), Bounds on treatment effects from studies with imperfect
        compliance. Sachs, Jonzon, Sjölander & Gabriel (2023), A general method for deriving
        tight symbolic bounds on causal effects.

    Example:
        >>> from scm.exact import Joint
        >>> joint = Joint(
        ...     CausalGraph("Z -> X; Z, X -> Y"),
        ...     {
        ...         "Z": [0.5, 0.5],
        ...         "X": [[1.0, 0.0], [0.388, 0.612]],
        ...         "Y": [
        ...             [[0.919, 0.081], [0.5, 0.5]],
        ...             [[0.8119, 0.1881], [0.2271, 0.7729]],
        ...         ],
        ...     },
        ... )
        >>> trial = CausalGraph("Z -> X -> Y; X <-> Y")
        >>> print(sharp_bounds(trial, joint, {"Y": 1}, do={"X": 1}, against={"X": 0}))
        [0.392, 0.78] (sharp: linear programme over 16 response types)
    """
    law, projected = _read(graph, joint_or_data)
    domain = domain_of(law)
    wanted, acts, other = (*codes(domain, outcome, do)[:2], domain.event(against, "against"))
    _check_nodes(graph, wanted, acts)
    if against is not None and set(other) != set(acts):
        raise InterventionError(
            f"against sets {', '.join(other) or 'nothing'} and do sets {', '.join(acts)}; they "
            "must set the same nodes, to different levels"
        )
    for event in (acts, other) if other else (acts,):
        _check_positivity(law, domain, event)
    query = _query(
        graph,
        projected,
        domain,
        [(sign, {}, [(wanted, event)]) for sign, event in ((1, acts), (-1, other)) if event],
    )
    range_ = (-1.0, 1.0) if other else (0.0, 1.0)
    return _interval(query, law, {}, range_, level, bootstrap, seed)


def counterfactual_bounds(
    graph_or_model: Any,
    joint_or_data: Any = None,
    *,
    outcome: Event | Sequence[Event],
    do: Event | Sequence[Event],
    given: Event | None = None,
    level: float = 0.95,
    bootstrap: int = 200,
    seed: int | None = None,
) -> Interval:
    r"""Return the range of :math:`P(y_x \mid \text{given})` over all models with this law.

    Of a *graph*, over all models with the graph and the observed law, whatever their latent
    causes. Of a *model* of tables (or its `Joint`), over all couplings of its tables: the
    tables are known, those of latent nodes too, and what a unit would have been under other
    parents is not. ``Joint.counterfactual`` is inside, whichever coupling it names.

    Several worlds are given as sequences of the same length: the probability that the first
    outcome would have been under the first act, and the second under the second. So the
    probability of necessity and sufficiency is ``outcome=[{"Y": 1}, {"Y": 0}],
    do=[{"X": 1}, {"X": 0}]``; of necessity, ``outcome={"Y": 0}, do={"X": 0}, given={"X": 1,
    "Y": 1}``; of sufficiency, ``outcome={"Y": 1}, do={"X": 1}, given={"X": 0, "Y": 0}`` (Tian
    and Pearl 2000, whose bounds these are where X has no causes).

    Args:
        graph_or_model: the graph; or a model of tables, or its `Joint`.
        joint_or_data: as in `sharp_bounds`; nothing with a model.
        outcome: node -> level in the world of the act.
        do: node -> the level it would have been set to.
        given: node -> level observed, in the factual world.
        level: as in `sharp_bounds`.
        bootstrap: as in `sharp_bounds`.
        seed: as in `sharp_bounds`.

    Raises:
        GraphError: as in `sharp_bounds`; or if there are not as many outcomes as acts.
        InterventionError: as in `sharp_bounds`; or if the condition has probability zero.
        ScmError: as in `sharp_bounds`.

    Warns:
        IndependenceWarning: as in `sharp_bounds`.
        ContradictionWarning: as in `sharp_bounds`.

    References:
        Tian & Pearl (2000), Probabilities of causation: bounds and identification. Balke &
        Pearl (1994), Counterfactual probabilities: computational methods, bounds and
        applications.

    Example:
        >>> from scm.exact import Joint
        >>> tables = {"X": [0.5, 0.5], "Y": [[0.9, 0.1], [0.3, 0.7]]}
        >>> joint = Joint(CausalGraph("X -> Y"), tables)
        >>> print(counterfactual_bounds(
        ...     joint, outcome={"Y": 0}, do={"X": 0}, given={"X": 1, "Y": 1}
        ... ))
        [0.8571, 1] (sharp: linear programme over 4 response types)
    """
    if joint_or_data is None:
        joint_or_data = _exact(graph_or_model)
        structure = joint_or_data.graph.structure
        graph = CausalGraph(replace(structure, latent=()))
    else:
        graph = graph_or_model
    law, projected = _read(graph, joint_or_data)
    domain = domain_of(law)
    outcomes, acts = _sequence(outcome), _sequence(do)
    if len(outcomes) != len(acts):
        raise GraphError(
            f"{len(outcomes)} outcomes and {len(acts)} acts were given; each world has one of each"
        )
    seen = domain.event(given, "given")
    worlds = [codes(domain, y, x)[:2] for y, x in zip(outcomes, acts, strict=True)]
    for wanted, act in worlds:
        _check_nodes(graph, wanted, act)
        _check_positivity(law, domain, act)
    graph.require(*seen)
    if seen and not _chance(law, seen) > 0:
        raise InterventionError(
            f"the condition {domain.show(dict(seen))} has probability zero; condition on "
            "something that can happen"
        )
    query = _query(graph, projected, domain, [(1, seen, worlds)])
    return _interval(query, law, seen, (0.0, 1.0), level, bootstrap, seed)


def _read(graph: Any, source: Any) -> tuple[Source, CausalGraph]:
    if not isinstance(graph, CausalGraph):
        raise GraphError(
            f"expected a CausalGraph first, such as CausalGraph('Z -> X -> Y; X <-> Y'), not "
            f"{type(graph).__name__}"
        )
    law = read_source(source, graph.observed)
    warn_of_contradictions(graph, law)
    return law, observed_graph(graph)


def _exact(model: Any) -> Any:
    joint = model.exact() if callable(getattr(model, "exact", None)) else model
    if not hasattr(joint, "counterfactual") or not hasattr(joint, "graph"):
        raise ScmError(
            f"counterfactual_bounds takes a model of tables or its Joint, or a graph and "
            f"joint_or_data; got {type(model).__name__} alone"
        )
    return joint


def _sequence(events: Event | Sequence[Event]) -> list[Event]:
    return [events] if isinstance(events, Mapping) else list(events)


def _check_nodes(graph: CausalGraph, outcome: Mapping[str, int], do: Mapping[str, int]) -> None:
    for node in graph.require(*outcome, *do):
        if node in graph.latent:
            raise GraphError(
                f"{node!r} is latent: nothing observed bears on it. Ask about observed nodes "
                f"({', '.join(graph.observed)})"
            )
    for node in do:
        if graph.is_constitutive(node):
            micro = ", ".join(graph.micro(node))
            raise InterventionError(
                f"{node!r} is a macro-variable, a function of {micro}: what do({node}) does "
                f"depends on how {micro} is written. Bound do({micro}) instead"
            )


def _check_positivity(law: Source, domain: Domain, act: Mapping[str, int]) -> None:
    if isinstance(law, Empirical) and not _chance(law, act) > 0:
        raise ScmError(
            f"{domain.show(dict(act))} never occurs in the {law.n} rows (positivity fails), so "
            "nothing seen bears on it. Collect such units, or merge levels"
        )


def _chance(law: Source, event: Mapping[str, int]) -> float:
    return float(probabilities(law, event)[tuple(event.values())])


def _query(
    graph: CausalGraph,
    projected: CausalGraph,
    domain: Domain,
    terms: Sequence[tuple[int, Mapping[str, int], Sequence[tuple[Mapping[str, int], ...]]]],
) -> BoundQuery:
    cards = {node: len(domain.levels[node]) for node in projected.nodes}
    made = []
    for sign, seen, worlds in terms:
        all_worlds = [World({}, seen), *(World(do=act, event=wanted) for wanted, act in worlds)]
        made.append((sign, CrossWorld(projected, all_worlds, cards)))
    return BoundQuery(graph, projected, made, cards)


def _interval(
    query: BoundQuery,
    law: Source,
    seen: Mapping[str, int],
    range_: tuple[float, float],
    level: float,
    bootstrap: int,
    seed: int | None,
) -> Interval:
    def ends(of: Source, repair: Any) -> Found:
        within = _chance(of, seen) if seen else 1.0
        if not within > 0:  # a bootstrap sample without the condition tells nothing
            return Found(*range_, "vacuous")
        found = query.bounds(of, repair, within)
        lower, upper = (float(np.clip(x, *range_)) for x in (found.lower, found.upper))
        if lower > upper:  # by the tolerance of the solver
            lower = upper = (lower + upper) / 2
        return Found(lower, upper, found.method)

    if not isinstance(law, Empirical):
        found = ends(law, no_repair)
        return Interval(found.lower, found.upper, found.method)
    if not 0 < level < 1:
        raise ScmError(f"level={level!r} was given; expected 0 < level < 1, such as 0.95")
    found = ends(law, _warned(law))
    if not bootstrap:
        return Interval(found.lower, found.upper, found.method, n=law.n)
    rng = np.random.default_rng(seed)
    samples = [law.resampled(rng) for _ in range(bootstrap)]
    limits = linear_limits(
        query, law, samples, lambda of: _chance(of, seen) if seen else 1.0, level
    )
    if limits is None:
        again = [ends(of, lambda *at: at[-1].nearest()[0]) for of in samples]
        draws = np.array([(of.lower, of.upper) for of in again])
        limits = percentile_limits((found.lower, found.upper), draws, level)
    return Interval(
        found.lower,
        found.upper,
        f"{found.method}; {bootstrap} bootstrap samples",
        max(range_[0], min(found.lower, limits[0])),
        min(range_[1], max(found.upper, limits[1])),
        level,
        law.n,
    )


def _warned(law: Empirical) -> Any:
    """Return a repair for data: warn if chance may explain the contradiction, else raise."""

    def repair(district: District, block: Sequence[int], constraints: Constraints) -> Constraints:
        nearest, distance = constraints.nearest()
        text = contradiction(district, block, constraints, distance)
        most = _most_by_chance(law, district, block)
        if distance > most:
            raise ScmError(
                f"{text}. Chance alone comes so far with probability below {_FALSE_ALARM:g} "
                f"(then it is below {most:.3g})"
            )
        warnings.warn(
            f"{text}. Chance may explain it; these are the bounds of the nearest law that fits",
            ContradictionWarning,
            stacklevel=2,
        )
        return nearest

    return repair


def _most_by_chance(law: Empirical, district: District, block: Sequence[int]) -> float:
    r"""Return what the distance of data from the nearest law that fits rarely exceeds.

    The distance is at most that from the true law, and McDiarmid's inequality bounds the L1
    distance of n draws from their distribution: beyond its mean, at most
    :math:`\sqrt{\text{cells} / n}`, by :math:`\sqrt{2 \log(1/\alpha) / n}`.
    """
    shares = probabilities(law, district.outer) if district.outer else np.ones(())
    shares = shares[tuple(block)].ravel()
    n = shares[shares > 0] * law.n
    cells = np.prod([district.cards[node] for node in district.nodes])
    alpha = _FALSE_ALARM / max(1, len(n))
    return float(np.minimum(2.0, np.sqrt(cells / n) + np.sqrt(2 * np.log(1 / alpha) / n)).sum())
