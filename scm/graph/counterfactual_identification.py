r"""Identification of counterfactuals: the algorithms ID* and IDC*.

A counterfactual joins events of several worlds: that Y is 1 had X been 1, *and* that X and
Y were 0. ID* (Shpitser and Pearl 2007, 2008) computes its probability from the
distributions of experiments, :math:`P_*`, whenever these determine it; IDC* conditions.
Each line of the published algorithms is one function with that line's text above it.

Events of one world are not taken apart: an experiment shows their probability. Elsewhere the
functions follow the proofs where the text would give a wrong answer. In ID* line 6, a
variable is put under its parents' values only, not those of all other variables, among which
may be copies of itself. In IDC* line 2, variables in δ are renamed only by what δ and the
acts say: renamed by the values in γ, δ' is another event than δ. In line 4, the independence
is given the other conditions, and those below the variable that becomes an act are put
under it too (rule 2 of do-calculus). In line 5, P(δ) is identified by itself: summing
P(γ, δ) over γ would use a formula that holds for one value of γ only.

References:
    Shpitser & Pearl (2007), What counterfactuals can be tested, UAI.
    Shpitser & Pearl (2008), Complete identification methods for the causal hierarchy, JMLR
    9, figures 11 to 13.
    Tikka (2023), Identifying counterfactual queries with the R package cfid, R Journal.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scm.errors import GraphError, NotIdentifiedError
from scm.graph.counterfactual_estimand import CounterfactualEstimand
from scm.graph.counterfactual_graph import (
    CounterfactualGraph,
    Events,
    Variable,
    make_counterfactual_graph,
)
from scm.graph.expression import ONE, ZERO, Expression, Fraction, Probability, Symbol
from scm.graph.identification import named, observed_graph
from scm.graph.simplification import distinct, product, simplify, total

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = ["Event", "identify_counterfactual"]

Event = Mapping[str, Hashable]
"""Node -> level."""

Worlds = Event | tuple[Event, Event] | Sequence[tuple[Event, Event] | Event]
"""An event in the factual world; an event and the act it is under; or several of these."""


def identify_counterfactual(
    graph: CausalGraph, outcome: Worlds, do: Event | None = None, given: Worlds = ()
) -> CounterfactualEstimand:
    r"""Return the formula of a counterfactual in terms of experiments, :math:`P(v \mid do(x))`.

    Levels are part of the question (had X been *another* value than it was), so events name
    them.

    Args:
        graph: The causal graph; latent nodes and ``<->`` may stand in it.
        outcome: An event, node -> level, under ``do``; or several worlds: a list of pairs
            ``(event, act)``, or of events in the factual world.
        do: The act that a single ``outcome`` is under, node -> level.
        given: What was observed: an event in the factual world, or a list as for ``outcome``.

    Returns:
        A `CounterfactualEstimand`; its ``evaluate(source)`` is the probability.

    Raises:
        NotIdentifiedError: If experiments do not determine it; names the variables, and the
            values that they would have to hear at once.
        GraphError: If a node is unknown or latent, or the condition contradicts itself.

    Example:
        The effect of treatment on the treated:

        >>> from scm.graph import CausalGraph
        >>> graph = CausalGraph("Z -> X; Z, X -> Y")
        >>> print(graph.identify_counterfactual({"Y": 1}, do={"X": 1}, given={"X": 0}))
        P(Y[X=1]=1 | X=0) = [Σ_Z P(Z) P(X=0 | do(Z)) P(Y=1 | do(Z, X=1))] / P(X=0)

        The probability of necessity and sufficiency joins two worlds of one unit:

        >>> worlds = [({"Y": 1}, {"X": 1}), ({"Y": 0}, {"X": 0})]
        >>> graph.identify_counterfactual(worlds)
        Traceback (most recent call last):
        scm.errors.NotIdentifiedError: P(Y[X=1]=1, Y[X=0]=0) is not identified, ...
    """
    asked = _pairs(outcome, "outcome")
    if do is not None:
        if any(act for _, act in asked):
            raise GraphError("outcome says what each of its worlds is under; leave out do=")
        asked = [(event, do) for event, _ in asked]
    gamma, delta = _events(graph, asked), _events(graph, _pairs(given, "given"))
    if gamma is None or delta is None:
        raise GraphError(
            "one variable is asked to have two levels in one world; leave out one of them"
        )
    if not gamma:
        raise GraphError("the query has no outcome: give events, such as {'Y': 1}")
    observed = observed_graph(graph)
    try:
        expression = _idc_star(observed, gamma, delta) if delta else _id_star(observed, gamma)
    except _Conflict as conflict:
        query = CounterfactualEstimand(observed, gamma, delta, ONE).query
        raise NotIdentifiedError(
            f"{query} is not identified, not even from all experiments: {conflict}. It depends "
            "on how the noise joins the worlds. Ask for its bounds, or answer under a coupling "
            "(Joint.counterfactual)"
        ) from None
    return CounterfactualEstimand(observed, gamma, delta, distinct(simplify(expression)))


class _Conflict(Exception):
    """ID*'s FAIL: in one district, a node would have two values at once."""


# function ID*(G, γ)
# INPUT: G a causal diagram, γ a conjunction of counterfactual events.
# OUTPUT: an expression for P(γ) in terms of P_*, or FAIL.
def _id_star(graph: CausalGraph, gamma: Events) -> Expression:
    for line in (_line_1, _line_2, _line_3):
        found = line(graph, gamma)
        if found is not None:
            return found
    if len({variable.world for variable in gamma}) == 1:
        return _one_world(graph, gamma)
    made = _line_4(graph, gamma)
    if made.events is None:
        return _line_5()
    return _line_6(made, made.events)


# 1  if γ = ∅, return 1.
def _line_1(graph: CausalGraph, gamma: Events) -> Expression | None:
    return None if gamma else ONE


# 2  if (∃ x_{x'..} ∈ γ), return 0.
def _line_2(graph: CausalGraph, gamma: Events) -> Expression | None:
    broken = any(v.act is not None and v.act != value for v, value in gamma.items())
    return ZERO if broken else None


# 3  if (∃ x_{x..} ∈ γ), return ID*(G, γ \ {x_{x..}}).
def _line_3(graph: CausalGraph, gamma: Events) -> Expression | None:
    rest = {v: value for v, value in gamma.items() if v.act is None}
    return None if len(rest) == len(gamma) else _id_star(graph, rest)


def _one_world(graph: CausalGraph, gamma: Events) -> Expression:
    """Return P(γ) as it stands: events of one world are what an experiment shows."""
    (world,) = {variable.world for variable in gamma}
    cut = graph.without_incoming(*(symbol.name for symbol in world))
    above = cut.ancestors(*(variable.name for variable in gamma))
    acts = sorted((s for s in world if s.name in above), key=lambda s: graph.nodes.index(s.name))
    return Probability(tuple(gamma.values()), (), tuple(acts))


# 4  (G', γ') = make-cg(G, γ).
def _line_4(graph: CausalGraph, gamma: Events) -> CounterfactualGraph:
    return make_counterfactual_graph(graph, gamma)


# 5  if γ' = INCONSISTENT, return 0.
def _line_5() -> Expression:
    return ZERO


# 6  if C(G') = {S^1, ..., S^k}, return sum_{V(G') \ γ'} prod_i ID*(G, s^i_{v(G') \ s^i}).
def _line_6(made: CounterfactualGraph, events: Events) -> Expression:
    values, count = dict(events), dict[str, int]()
    for variable in made.variables.values():
        if variable not in events:
            primes = count.get(variable.name, 0)
            count[variable.name] = primes + 1
            values[variable] = Symbol(variable.name, primes)
    over = [value for variable, value in values.items() if variable not in events]
    factors = [_line_7(made, values, district) for district in made.graph.districts()]
    return total(over, product(factors))


# 7  if C(G') = {S} then,
def _line_7(made: CounterfactualGraph, values: Events, district: Iterable[str]) -> Expression:
    inside = [v for text, v in made.variables.items() if text in district]
    heard = {p: p.act or values[p] for v in inside for p, _ in made.parents[v]}
    _line_8(inside, heard, values)
    return _line_9(inside, heard, values)


# 8    if (∃ x, x') s.t. x ≠ x', x ∈ sub(S), x' ∈ ev(S), throw FAIL.
def _line_8(inside: list[Variable], heard: Events, values: Events) -> None:
    one: dict[str, Symbol] = {}
    for variable, value in (*heard.items(), *((v, values[v]) for v in inside)):
        other = one.setdefault(variable.name, value)
        if other != value:
            shown = ", ".join(map(str, inside))
            raise _Conflict(
                f"the same noise is behind {shown}, and they need {other} and {value} at once"
            )


# 9    else, let x = ∪ sub(S), in return P_x(var(S)).
def _line_9(inside: list[Variable], heard: Events, values: Events) -> Expression:
    own = {v.name for v in inside}
    acts = dict.fromkeys(value for v, value in heard.items() if v.name not in own)
    return Probability(tuple(values[v] for v in inside), (), tuple(acts))


# function IDC*(G, γ, δ)
# INPUT: G a causal diagram, γ, δ conjunctions of counterfactual events.
# OUTPUT: an expression for P(γ | δ) in terms of P_*, FAIL, or UNDEFINED.
def _idc_star(graph: CausalGraph, gamma: Events, delta: Events) -> Expression:
    _idc_line_1(graph, delta)
    made = _idc_line_2(graph, gamma, delta)
    if made is None or made.events is None:
        return _idc_line_3()
    outcome, condition = _renamed(made, gamma), _renamed(made, delta)
    alone = make_counterfactual_graph(graph, made.asked, known=_random(delta))
    if condition != _renamed(alone, delta):  # by the values in gamma: another event than delta
        made, outcome, condition = alone, _renamed(alone, gamma), _renamed(alone, delta)
    found = _idc_line_4(graph, made, outcome, condition)
    return _idc_line_5(graph, gamma, delta) if found is None else found


def _random(events: Events) -> Events:
    """Return the events that are not true by an act."""
    return {v: value for v, value in events.items() if v.act is None}


def _renamed(made: CounterfactualGraph, events: Events) -> Events:
    return {made.renamed[v]: value for v, value in _random(events).items()}


# 1  if ID*(G, δ) = 0, return UNDEFINED.
def _idc_line_1(graph: CausalGraph, delta: Events) -> None:
    try:
        impossible = _id_star(graph, delta) == ZERO
    except _Conflict:
        return
    if impossible:
        shown = ", ".join(f"{v}={value.level}" for v, value in delta.items())
        raise GraphError(f"the condition {shown} contradicts itself: it holds in no model")


# 2  (G', γ' ∧ δ') = make-cg(G, γ ∧ δ).
def _idc_line_2(graph: CausalGraph, gamma: Events, delta: Events) -> CounterfactualGraph | None:
    both = {**delta, **gamma}
    if any(delta.get(v, value) != value for v, value in gamma.items()):
        return None
    if any(v.act not in (None, value) for v, value in both.items()):
        return None
    return make_counterfactual_graph(graph, _random(both))


# 3  if γ' ∧ δ' = INCONSISTENT, return 0.
def _idc_line_3() -> Expression:
    return ZERO


# 4  if (∃ y_x ∈ δ') s.t. (Y_x ⊥ γ') in G'_{y_x-underbar},
#      return IDC*(G, γ'_{y_x}, δ' \ {y_x}).
def _idc_line_4(
    graph: CausalGraph, made: CounterfactualGraph, gamma: Events, delta: Events
) -> Expression | None:
    for variable, value in delta.items():
        text, others = str(variable), [str(v) for v in delta if v != variable]
        ours = [str(v) for v in gamma if str(v) not in others]
        if text in ours:
            continue
        cut = made.graph.without_outgoing(text)
        if ours and not cut.d_separated(text, ours, others):
            continue
        below = made.graph.descendants(text)

        def under(events: Events, value: Symbol = value, below: Iterable[str] = below) -> Events:
            return {
                Variable(v.name, v.world | {value}) if str(v) in below else v: s
                for v, s in events.items()
            }

        rest = {v: s for v, s in delta.items() if v != variable}
        return _id_or_idc_star(graph, under(gamma), under(rest))
    return None


# 5  else, let P' = ID*(G, γ' ∧ δ'). return P' / P'(δ').
def _idc_line_5(graph: CausalGraph, gamma: Events, delta: Events) -> Expression:
    joint = simplify(_id_star(graph, {**gamma, **delta}))
    return simplify(Fraction(joint, simplify(_id_star(graph, delta))))


def _id_or_idc_star(graph: CausalGraph, gamma: Events, delta: Events) -> Expression:
    return _idc_star(graph, gamma, delta) if delta else _id_star(graph, gamma)


def _pairs(worlds: Any, role: str) -> list[tuple[Event, Event]]:
    """Return (event, act) for each world."""
    if isinstance(worlds, Mapping):
        return [(worlds, {})]
    if isinstance(worlds, tuple) and len(worlds) == 2 and _is_world(worlds):
        worlds = [worlds]
    found: list[tuple[Event, Event]] = []
    for world in worlds:
        if isinstance(world, Mapping):
            found.append((world, {}))
        elif isinstance(world, tuple) and len(world) == 2 and _is_world(world):
            found.append(world)
        else:
            raise GraphError(
                f"{role} is an event, such as {{'Y': 1}}, or a list of pairs of an event and the "
                f"act it is under, such as [({{'Y': 1}}, {{'X': 0}})]; got {world!r}"
            )
    return found


def _is_world(pair: tuple[Any, ...]) -> bool:
    return all(isinstance(part, Mapping) for part in pair)


def _events(graph: CausalGraph, worlds: Iterable[tuple[Event, Event]]) -> Events | None:
    """Return variables and values, or None where one variable has two."""
    found: Events = {}
    for event, act in worlds:
        for name in (*named(graph, list(event)), *named(graph, list(act))):
            if name in act and graph.is_constitutive(name):
                raise NotIdentifiedError(
                    f"do({name}) sets a macro-variable, and what that does depends on how "
                    f"{', '.join(graph.micro(name))} is written; act on that instead"
                )
        for name, level in (*event.items(), *act.items()):
            if level is None:
                raise GraphError(f"{name!r} needs a level: counterfactual events name them")
        world = frozenset(Symbol(name, level=level) for name, level in act.items())
        for name, level in event.items():
            value = Symbol(name, level=level)
            if found.setdefault(Variable(name, world), value) != value:
                return None
    return found
