r"""Identification of interventional distributions: the algorithms ID and IDC.

What an act would do can often be computed from what is seen: :math:`P(y \mid do(x))` is
*identified* if every model of the graph with the same observed distribution gives it the
same value. ID (Shpitser and Pearl 2006a) finds the formula whenever there is one, and a
`Hedge` otherwise; IDC (2006b) does so for :math:`P(y \mid do(x), w)`. Below, each line of
the published algorithms is one function with that line's text above it.

Two deviations keep the formulas small and the positivity they need weak, and change no
value in a model of the graph. Where :math:`P` is an observed margin, :math:`P(v_i \mid
v_\pi^{(i-1)})` is written given the Markov pillow of :math:`V_i` alone, the rest of its
predecessors being independent of it. And `simplify` is applied as the formula grows.

References:
    Shpitser & Pearl (2006a), Identification of joint interventional distributions in
    recursive semi-Markovian causal models, AAAI, figure 3.
    Shpitser & Pearl (2006b), Identification of conditional interventional distributions,
    UAI, figure 6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scm.errors import GraphError, NotIdentifiedError
from scm.graph.estimand import Estimand
from scm.graph.expression import ONE, Expression, Fraction, Probability, Symbol
from scm.graph.hedge import hedge_between
from scm.graph.simplification import distinct, product, simplify, total

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = ["Names", "disjoint", "idc_expression", "identify", "named", "observed_graph"]

Names = str | Iterable[str]
"""A node, or several."""


def identify(graph: CausalGraph, outcome: Names, do: Names = (), given: Names = ()) -> Estimand:
    r"""Return the formula of :math:`P(\text{outcome} \mid do(\cdot), \text{given})`.

    Latent nodes are projected out first: only what is observed may stand in the formula. A
    constitutive edge is read as a directed one.

    Args:
        graph: The causal graph; latent nodes and ``<->`` may stand in it.
        outcome: The nodes asked about.
        do: The nodes set.
        given: The nodes observed after the act.

    Returns:
        An `Estimand`, in terms of the distribution of the observed nodes.

    Raises:
        NotIdentifiedError: If the graph and the observed distribution do not determine it;
            the error carries the ``hedge``. Also if a macro-variable is set and its micro
            nodes reach the outcome: what that does depends on how it is set.
        GraphError: If a node is unknown or latent, or has two roles.

    Example:
        >>> from scm.graph import CausalGraph
        >>> print(CausalGraph("X -> M -> Y; X <-> Y").identify("Y", do="X"))
        P(Y | do(X)) = Σ_M P(M | X) Σ_X' P(X') P(Y | X', M)
        >>> CausalGraph("X -> Y; X <-> Y").identify("Y", do="X")
        Traceback (most recent call last):
        scm.errors.NotIdentifiedError: P(Y | do(X)) is not identified from P(X, Y): ...
    """
    y, x, w = named(graph, outcome), named(graph, do), named(graph, given)
    disjoint(graph, outcome=y, do=x, given=w)
    observed = observed_graph(graph)
    acts = _effective(graph, y, x, w)
    try:
        expression = idc_expression(observed, y, acts, w)
    except _Fail as fail:
        query = Estimand(observed, y, x, w, ONE).query
        raise _refusal(graph, query, fail) from None
    return Estimand(observed, y, x, w, expression)


def idc_expression(
    graph: CausalGraph, y: Iterable[str], x: Iterable[str], z: Iterable[str]
) -> Expression:
    """Return IDC's formula in a graph without latent nodes, simplified; or raise `_Fail`."""
    p = Probability(tuple(map(Symbol, graph.nodes)))
    found = _idc(_Query(frozenset(y), frozenset(x), p, graph), frozenset(z))
    return distinct(simplify(found, graph.d_separated))


def named(graph: CausalGraph, nodes: Names) -> tuple[str, ...]:
    """Return names, checked, in declared order.

    Raises:
        GraphError: If one is unknown or latent, or if levels are given.
    """
    if hasattr(nodes, "keys"):
        raise GraphError(
            f"a graph knows names and no levels, and got {nodes!r}: name the nodes here, and "
            "give levels to the answer: identify('Y', do='X').evaluate(data).prob({'Y': 1}, "
            "do={'X': 1})"
        )
    asked = frozenset(graph.require(*([nodes] if isinstance(nodes, str) else nodes)))
    hidden = [node for node in graph.latent if node in asked]
    if hidden:
        raise GraphError(
            f"{', '.join(hidden)} is latent: nothing observed determines it. Ask about observed "
            f"nodes ({', '.join(graph.observed)}), or leave it out of latent="
        )
    return tuple(node for node in graph.nodes if node in asked)


def disjoint(graph: CausalGraph, **roles: Iterable[str]) -> None:
    """Raise where a node has two roles, or there is no outcome.

    Raises:
        GraphError: naming the node and the roles.
    """
    seen: dict[str, str] = {}
    for role, nodes in roles.items():
        for node in nodes:
            if node in seen:
                raise GraphError(
                    f"{node!r} is in {seen[node]} and in {role}: a node has one role in a query. "
                    f"Leave it out of one of them"
                )
            seen[node] = role
    if not any(role == "outcome" for role in seen.values()) and "outcome" in roles:
        raise GraphError(f"the query has no outcome; name one of {', '.join(graph.observed)}")


def observed_graph(graph: CausalGraph) -> CausalGraph:
    """Return the latent projection, with constitutive edges read as directed ones."""
    projected = graph.latent_projection()
    structure = projected.structure
    edges = tuple((p, node) for node in projected for p in projected.parents(node))
    return type(graph)(replace(structure, edges=edges, constitutive=()))


def _effective(
    graph: CausalGraph, y: tuple[str, ...], x: tuple[str, ...], w: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the treatments without macro-variables whose setting does not matter."""
    for macro in (node for node in x if graph.is_constitutive(node)):
        micro = graph.micro(macro)
        below = graph.descendants(*micro) & {*y, *w}
        if below:
            raise NotIdentifiedError(
                f"do({macro}) sets a macro-variable, a function of {', '.join(micro)}: its effect "
                f"on {', '.join(sorted(below))} depends on how {', '.join(micro)} is written, "
                f"unless P({', '.join(y)} | man({', '.join(micro)})) is constant on the cells of "
                f"{macro}, which a graph cannot tell. Ask for do({', '.join(micro)}), or simulate "
                f"a model whose Macro({macro}) has a writer"
            )
    return tuple(node for node in x if not graph.is_constitutive(node))


class _Fail(Exception):
    r"""FAIL(G, S): G is one district, and S a district of G \ X; ``asked`` is ID's first query."""

    def __init__(self, graph: CausalGraph, district: frozenset[str]) -> None:
        self.graph, self.district = graph, district
        self.asked: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())


@dataclass(frozen=True)
class _Query:
    """The arguments of ID(y, x, P, G): P is over the nodes of G."""

    y: frozenset[str]
    x: frozenset[str]
    p: Expression
    graph: CausalGraph

    @property
    def v(self) -> frozenset[str]:
        return frozenset(self.graph.nodes)

    @property
    def districts(self) -> tuple[frozenset[str], ...]:
        r"""C(G \ X)."""
        return self.graph.subgraph(self.v - self.x).districts()


# function ID(y, x, P, G)
# INPUT: x, y value assignments, P a probability distribution, G a causal diagram.
# OUTPUT: Expression for P_x(y) in terms of P or FAIL(F, F').
def _id(query: _Query) -> Expression:
    for line in (_line_1, _line_2, _line_3, _line_4):
        found = line(query)
        if found is not None:
            return found
    # if C(G \ X) = {S},
    (district,) = query.districts
    _line_5(query, district)
    found = _line_6(query, district)
    return _line_7(query, district) if found is None else found


# 1  if x = {}, return sum_{v \ y} P(v).
def _line_1(query: _Query) -> Expression | None:
    return None if query.x else _marginal(query, query.y)


# 2  if V \ An(Y)_G != {},
#      return ID(y, x ∩ An(Y)_G, sum_{v \ An(Y)_G} P, G_An(Y)).
def _line_2(query: _Query) -> Expression | None:
    ancestors = query.graph.ancestors(*query.y)
    if ancestors == query.v:
        return None
    p, graph = _marginal(query, ancestors), query.graph.subgraph(ancestors)
    return _id(_Query(query.y, query.x & ancestors, p, graph))


# 3  let W = (V \ X) \ An(Y)_{G_x-bar}. if W != {},
#      return ID(y, x ∪ w, P, G).
def _line_3(query: _Query) -> Expression | None:
    ancestors = query.graph.without_incoming(*query.x).ancestors(*query.y)
    w = query.v - query.x - ancestors
    return _id(replace(query, x=query.x | w)) if w else None


# 4  if C(G \ X) = {S_1, ..., S_k},
#      return sum_{v \ (y ∪ x)} prod_i ID(s_i, v \ s_i, P, G).
def _line_4(query: _Query) -> Expression | None:
    districts = query.districts
    if len(districts) < 2:
        return None
    factors = [_id(replace(query, y=s, x=query.v - s)) for s in districts]
    over = query.v - query.y - query.x
    return total(_symbols(query, over), product(factors))


# 5  if C(G) = {G}, throw FAIL(G, G ∩ S).
def _line_5(query: _Query, district: frozenset[str]) -> None:
    if len(query.graph.districts()) == 1:
        raise _Fail(query.graph, district)


# 6  if S ∈ C(G), return sum_{s \ y} prod_{V_i ∈ S} P(v_i | v_π^(i-1)).
def _line_6(query: _Query, district: frozenset[str]) -> Expression | None:
    if district not in query.graph.districts():
        return None
    return total(_symbols(query, district - query.y), _conditionals(query, district))


# 7  if (∃S') S ⊂ S' ∈ C(G), return ID(y, x ∩ S',
#      prod_{V_i ∈ S'} P(V_i | V_π^(i-1) ∩ S', v_π^(i-1) \ S'), S').
def _line_7(query: _Query, district: frozenset[str]) -> Expression:
    larger = next(d for d in query.graph.districts() if district < d)
    p = _conditionals(query, larger)
    return _id(_Query(query.y, query.x & larger, p, query.graph.subgraph(larger)))


# function IDC(y, x, z, P, G)
# INPUT: x, y, z value assignments, P a probability distribution, G a causal diagram.
# OUTPUT: Expression for P_x(y | z) in terms of P or FAIL(F, F').
def _idc(query: _Query, z: frozenset[str]) -> Expression:
    found = _idc_line_1(query, z)
    return _idc_line_2(query, z) if found is None else found


# 1  if (∃Z ∈ Z) (Y ⊥ Z | X, Z \ {Z}) in G_{x-bar, z-underbar},
#      return IDC(y, x ∪ {z}, z \ {z}, P, G).
def _idc_line_1(query: _Query, z: frozenset[str]) -> Expression | None:
    cut = query.graph.without_incoming(*query.x)
    for node in query.graph.nodes:
        if node in z:
            given = query.x | z - {node}
            if cut.without_outgoing(node).d_separated(query.y, node, given):
                return _idc(replace(query, x=query.x | {node}), z - {node})
    return None


# 2  else let P' = ID(y ∪ z, x, P, G). return P' / sum_y P'.
def _idc_line_2(query: _Query, z: frozenset[str]) -> Expression:
    try:
        joint = simplify(_id(replace(query, y=query.y | z)), query.graph.d_separated)
    except _Fail as fail:
        fail.asked = (query.y | z, query.x)
        raise
    if not z:
        return joint
    return simplify(Fraction(joint, total(_symbols(query, query.y), joint)))


def _symbols(query: _Query, nodes: Iterable[str]) -> tuple[Symbol, ...]:
    nodes = frozenset(nodes)
    return tuple(Symbol(node) for node in query.graph.nodes if node in nodes)


def _marginal(query: _Query, nodes: frozenset[str]) -> Expression:
    """Return the sum of P over all nodes but these."""
    if isinstance(query.p, Probability):
        return Probability(_symbols(query, nodes))
    return total(_symbols(query, query.v - nodes), query.p)


def _conditionals(query: _Query, nodes: frozenset[str]) -> Expression:
    """Return the product of P(v_i | v^(i-1)) over ``nodes``, in topological order."""
    order = query.graph.topological_order()
    return product(_conditional(query, order, i) for i, v in enumerate(order) if v in nodes)


def _conditional(query: _Query, order: tuple[str, ...], i: int) -> Expression:
    """Return P(v_i | v^(i-1)); a margin of the observed law is Markov, and needs the pillow."""
    past = frozenset(order[:i])
    if isinstance(query.p, Probability):
        return Probability((Symbol(order[i]),), _symbols(query, _pillow(query.graph, order, i)))
    numerator = _marginal(query, past | {order[i]})
    denominator = _marginal(query, past)
    return simplify(Fraction(numerator, denominator))


def _pillow(graph: CausalGraph, order: tuple[str, ...], i: int) -> frozenset[str]:
    """Return the Markov pillow: the district of v_i among v^(i) with its parents, less v_i."""
    past = graph.subgraph(order[: i + 1])
    district = next(d for d in past.districts() if order[i] in d)
    return district.union(*(graph.parents(node) for node in district)) - {order[i]}


def _refusal(graph: CausalGraph, query: str, fail: _Fail) -> NotIdentifiedError:
    y, x = (tuple(node for node in graph.nodes if node in nodes) for nodes in fail.asked)
    hedge = hedge_between(graph, fail.graph, fail.district, y, x)
    needed = str(Probability(tuple(map(Symbol, y)), (), tuple(map(Symbol, x))))
    because = "" if needed == query else f"by IDC it is only if {needed} is, and there is "
    return NotIdentifiedError(
        f"{query} is not identified from P({', '.join(graph.observed)}): {because}{hedge}. Two "
        "models of this graph can agree on all that is observed and differ on the effect. "
        "Observe a common cause behind one of these confounded pairs, randomise a node, or ask "
        "for bounds (scm.estimators.sharp_bounds)",
        hedge,
    )
