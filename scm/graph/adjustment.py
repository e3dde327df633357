r"""Adjustment: the sets of covariates by which an effect is a weighted average.

Z is an adjustment set for the effect of X on Y if in every model of the graph
:math:`P(y \mid do(x)) = \sum_z P(y \mid x, z)\, P(z)`. The criterion of Shpitser,
VanderWeele and Robins (2010) is complete: a set that does not meet it fails in some model.
Pearl's back-door criterion is sufficient only, and is here for comparison.

References:
    Shpitser, VanderWeele & Robins (2010), On the validity of covariate adjustment for
    estimating causal effects, UAI, theorems 3 and 5.
    van der Zander, Liśkiewicz & Textor (2014), Constructing separators and adjustment sets
    in ancestral graphs, UAI (the proper back-door graph).
    Pearl (2009), Causality, definitions 3.3.1 (back door) and 3.3.3 (front door).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from scm.errors import GraphError
from scm.graph.identification import Names, disjoint, named
from scm.graph.separators import minimal_separators

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = [
    "adjustment_sets",
    "backdoor_sets",
    "frontdoor_sets",
    "is_adjustment_set",
    "is_backdoor_set",
    "is_frontdoor_set",
]

_MOST_CANDIDATES = 20  # nodes whose subsets are all tried

Sets = tuple[frozenset[str], ...]


def is_adjustment_set(graph: CausalGraph, x: Names, y: Names, z: Names = ()) -> bool:
    r"""Return whether adjusting for ``z`` gives the effect of ``x`` on ``y`` in every model.

    A *proper causal path* is a directed one from X to Y that meets X at its start only. Z
    qualifies if (a) none of it descends from a node other than X's on a proper causal path,
    and (b) it blocks all proper paths from X to Y that are not causal.

    Raises:
        GraphError: If a node is unknown or latent, has two roles, or a treatment is a
            macro-variable.

    Example:
        >>> from scm.graph import CausalGraph
        >>> graph = CausalGraph("Z -> X -> Y; X -> W; Z -> Y")
        >>> graph.is_adjustment_set("X", "Y", ["Z", "W"]), graph.is_backdoor_set("X", "Y", ["Z", "W"])
        (True, False)
    """  # noqa: E501
    xs, ys = _ends(graph, x, y)
    zs = named(graph, z)
    disjoint(graph, x=xs, outcome=ys, z=zs)
    forbidden = _forbidden(graph, xs, ys)
    return forbidden.isdisjoint(zs) and _proper_backdoor_graph(graph, xs, ys).d_separated(
        xs, ys, zs
    )


def adjustment_sets(graph: CausalGraph, x: Names, y: Names, minimal: bool = True) -> Sets:
    """Return all adjustment sets of observed nodes, or the minimal ones; smallest first.

    Args:
        graph: The graph.
        x: The treatments.
        y: The outcomes.
        minimal: Only sets of which no proper subset adjusts too.

    Returns:
        Sets; ``(frozenset(),)`` if nothing need be adjusted for, ``()`` if nothing helps.

    Raises:
        GraphError: As in `is_adjustment_set`; or if all sets are asked for among more than 20
            candidates.

    Example:
        >>> from scm.graph import CausalGraph
        >>> butterfly = CausalGraph("A -> M, X; B -> M, Y; M -> X, Y; X -> Y")
        >>> [sorted(z) for z in butterfly.adjustment_sets("X", "Y")]
        [['A', 'M'], ['B', 'M']]
    """
    xs, ys = _ends(graph, x, y)
    allowed = _candidates(graph, _forbidden(graph, xs, ys) | {*xs, *ys})
    cut = _proper_backdoor_graph(graph, xs, ys)
    return _separating(cut, xs, ys, allowed, minimal)


def is_backdoor_set(graph: CausalGraph, x: Names, y: Names, z: Names = ()) -> bool:
    r"""Return whether ``z`` meets Pearl's back-door criterion: sufficient, not necessary.

    No node of Z descends from X, and Z d-separates X and Y in :math:`G_{\underline X}`.

    Raises:
        GraphError: As in `is_adjustment_set`.

    Example:
        >>> from scm.graph import CausalGraph
        >>> CausalGraph("Z -> X -> Y; Z -> Y").is_backdoor_set("X", "Y", "Z")
        True
    """
    xs, ys = _ends(graph, x, y)
    zs = named(graph, z)
    disjoint(graph, x=xs, outcome=ys, z=zs)
    cut = _without_all_outgoing(graph, xs)
    return graph.descendants(*xs).isdisjoint(zs) and cut.d_separated(xs, ys, zs)


def backdoor_sets(graph: CausalGraph, x: Names, y: Names, minimal: bool = True) -> Sets:
    """Return all sets that meet the back-door criterion, or the minimal ones; smallest first.

    Raises:
        GraphError: As in `adjustment_sets`.

    Example:
        >>> from scm.graph import CausalGraph
        >>> m_bias = CausalGraph("A -> X, M; B -> M, Y; X -> Y", latent=["A", "B"])
        >>> m_bias.backdoor_sets("X", "Y")
        (frozenset(),)
    """
    xs, ys = _ends(graph, x, y)
    allowed = _candidates(graph, graph.descendants(*xs) | {*ys})
    return _separating(_without_all_outgoing(graph, xs), xs, ys, allowed, minimal)


def is_frontdoor_set(graph: CausalGraph, x: Names, y: Names, m: Names) -> bool:
    r"""Return whether ``m`` meets Pearl's front-door criterion.

    M intercepts all directed paths from X to Y; no back-door path from X to M is open; and X
    blocks all back-door paths from M to Y. Then
    :math:`P(y \mid do(x)) = \sum_m P(m \mid x) \sum_{x'} P(y \mid x', m) P(x')`.

    Raises:
        GraphError: As in `is_adjustment_set`.

    Example:
        >>> from scm.graph import CausalGraph
        >>> CausalGraph("X -> M -> Y; X <-> Y").is_frontdoor_set("X", "Y", "M")
        True
    """
    xs, ys = _ends(graph, x, y)
    ms = named(graph, m)
    disjoint(graph, x=xs, outcome=ys, m=ms)
    rest = graph.subgraph(node for node in graph.nodes if node not in ms)
    if not rest.descendants(*xs).isdisjoint(ys):
        return False
    if not ms:
        return True
    return _without_all_outgoing(graph, xs).d_separated(xs, ms) and _without_all_outgoing(
        graph, ms
    ).d_separated(ms, ys, xs)


def frontdoor_sets(graph: CausalGraph, x: Names, y: Names, minimal: bool = True) -> Sets:
    """Return all front-door sets of observed nodes, or the minimal ones; smallest first.

    Raises:
        GraphError: As in `is_adjustment_set`; or if there are more than 20 candidates.

    Example:
        >>> from scm.graph import CausalGraph
        >>> graph = CausalGraph("X -> A -> B -> Y; X <-> Y")
        >>> [sorted(m) for m in graph.frontdoor_sets("X", "Y")]
        [['A'], ['B']]
    """
    xs, ys = _ends(graph, x, y)
    cut = _without_all_outgoing(graph, xs)
    allowed = [n for n in _candidates(graph, {*xs, *ys}) if cut.d_separated(xs, n)]
    return _subsets(allowed, lambda ms: is_frontdoor_set(graph, xs, ys, ms), minimal)


def _ends(graph: CausalGraph, x: Names, y: Names) -> tuple[tuple[str, ...], tuple[str, ...]]:
    xs, ys = named(graph, x), named(graph, y)
    disjoint(graph, x=xs, outcome=ys)
    if not xs:
        raise GraphError(f"the query has no treatment; name one of {', '.join(graph.observed)}")
    for node in xs:
        if graph.is_constitutive(node):
            micro = ", ".join(graph.micro(node))
            raise GraphError(
                f"{node!r} is a macro-variable, a function of {micro}, and has no effects of its "
                f"own: ask about {micro}"
            )
    return xs, ys


def _causal_nodes(graph: CausalGraph, xs: tuple[str, ...], ys: tuple[str, ...]) -> frozenset[str]:
    """Return the nodes on proper causal paths, but for the treatments."""
    from_x = graph.without_incoming(*xs).descendants(*xs) - {*xs}
    return from_x & _without_all_outgoing(graph, xs).ancestors(*ys)


def _forbidden(graph: CausalGraph, xs: tuple[str, ...], ys: tuple[str, ...]) -> frozenset[str]:
    """Return the nodes that descend from those on proper causal paths."""
    nodes = _causal_nodes(graph, xs, ys)
    return graph.descendants(*nodes) if nodes else frozenset()


def _proper_backdoor_graph(
    graph: CausalGraph, xs: tuple[str, ...], ys: tuple[str, ...]
) -> CausalGraph:
    """Return the graph without the first edge of each proper causal path."""
    nodes = _causal_nodes(graph, xs, ys)
    return _without(graph, lambda a, b: a in xs and b in nodes)


def _without_all_outgoing(graph: CausalGraph, xs: tuple[str, ...]) -> CausalGraph:
    """Return the graph without edges out of ``xs``, constitutive ones too."""
    return _without(graph, lambda a, b: a in xs)


def _without(graph: CausalGraph, cut: Callable[[str, str], bool]) -> CausalGraph:
    structure = graph.structure
    edges = tuple(pair for pair in structure.edges if not cut(*pair))
    constitutive = tuple(pair for pair in structure.constitutive if not cut(*pair))
    return type(graph)(replace(structure, edges=edges, constitutive=constitutive))


def _candidates(graph: CausalGraph, forbidden: Iterable[str]) -> list[str]:
    forbidden = frozenset(forbidden)
    return [node for node in graph.observed if node not in forbidden]


def _separating(
    graph: CausalGraph,
    xs: tuple[str, ...],
    ys: tuple[str, ...],
    allowed: list[str],
    minimal: bool,
) -> Sets:
    if minimal:
        found = minimal_separators(graph, xs, ys, allowed)
        return tuple(sorted(found, key=lambda z: (len(z), [graph.nodes.index(n) for n in graph.nodes if n in z])))  # noqa: E501 # fmt: skip
    return _subsets(allowed, lambda z: graph.d_separated(xs, ys, z), minimal=False)


def _subsets(
    allowed: list[str], qualifies: Callable[[tuple[str, ...]], bool], minimal: bool
) -> Sets:
    """Return the subsets that qualify, smallest first."""
    if len(allowed) > _MOST_CANDIDATES:
        raise GraphError(
            f"{len(allowed)} nodes may stand in the set, and the subsets of more than "
            f"{_MOST_CANDIDATES} are not tried one by one; ask for adjustment sets with "
            "minimal=True, or test a set of your own (is_adjustment_set, is_frontdoor_set)"
        )
    found: list[frozenset[str]] = []
    for subset in _by_size(allowed):
        if minimal and any(known <= frozenset(subset) for known in found):
            continue
        if qualifies(subset):
            found.append(frozenset(subset))
    return tuple(found)


def _by_size(nodes: list[str]) -> Iterator[tuple[str, ...]]:
    for size in range(len(nodes) + 1):
        yield from combinations(nodes, size)
