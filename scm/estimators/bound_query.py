"""A question about worlds, put to a graph and a law: its bounds, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations, product

import numpy as np

from scm.errors import ScmError
from scm.estimators.bilinear_programme import attained, outer_bounds, reduced
from scm.estimators.cross_world import CFactors, CrossWorld, Numbers
from scm.estimators.linear_programme import Constraints, Infeasible
from scm.estimators.response_functions import District
from scm.estimators.source import Array
from scm.graph import CausalGraph
from scm.graph.evaluation import Source

__all__ = [
    "BoundQuery",
    "Found",
    "Linear",
    "Repair",
    "contradiction",
    "no_repair",
    "one_common_cause",
]

_MAX_SUBSETS = 6  # nodes of a district whose subsets are all tried

Repair = Callable[[District, Sequence[int], Constraints], Constraints]
"""What to do where no distribution of types fits: raise, or return constraints that one fits."""


@dataclass(frozen=True)
class Found:
    """The ends of an interval, and a word on how sharp they are."""

    lower: float
    upper: float
    method: str


@dataclass(frozen=True)
class Linear:
    """A sum of linear programmes: what is known, and block -> (objective, constraints)."""

    constant: float
    blocks: Mapping[tuple[int, ...], tuple[Array, Constraints]]


@dataclass(frozen=True)
class BoundQuery:
    """A signed sum of probabilities of events in several worlds.

    Args:
        graph: the graph as given; latent nodes tell how districts are confounded.
        projected: the same over observed nodes, with directed and bidirected edges alone.
        terms: (sign, event in worlds).
        cards: the number of levels of each observed node.
    """

    graph: CausalGraph
    projected: CausalGraph
    terms: Sequence[tuple[int, CrossWorld]]
    cards: Mapping[str, int]

    @cached_property
    def factors(self) -> CFactors:
        """The formulas of the c-factors."""
        return CFactors(self.projected)

    def bounds(self, law: Source, repair: Repair, within: float = 1.0) -> Found:
        """Return the bounds under a law.

        Args:
            law: the law of the observed nodes, or data.
            repair: see `Repair`.
            within: what the sum is divided by.

        Raises:
            ScmError: if there are too many response types; and what ``repair`` raises.
        """
        numbers = Numbers(self.factors, law)
        free, constant, objective = self._objective(numbers, within)
        if not objective.ndim:
            return Found(constant, constant, "identified")
        if len(free) > 1:
            found = self._several(numbers, free, objective, repair)
            return Found(constant + found.lower, constant + found.upper, found.method)
        (district,) = free
        lower = upper = constant
        for block, row, constraints in self._blocks(numbers, district, objective):
            try:
                ends = constraints.bounds(row)
            except Infeasible:
                ends = repair(district, block, constraints).bounds(row)
            lower, upper = lower + ends[0], upper + ends[1]
        what = f"linear programme over {district.size:,} response types"
        if one_common_cause(self.graph, frozenset(district.nodes)):
            return Found(lower, upper, f"sharp: {what}")
        return Found(lower, upper, f"outer: {_several_causes(district)}; {what}")

    def linear(self, law: Source, within: float = 1.0) -> Linear | None:
        """Return the linear programmes under a law; None if there are none, or not only such."""
        numbers = Numbers(self.factors, law)
        free, constant, objective = self._objective(numbers, within)
        if len(free) != 1 or not objective.ndim:
            return None
        blocks = self._blocks(numbers, free[0], objective)
        return Linear(constant, {block: (row, of) for block, row, of in blocks})

    def _objective(self, numbers: Numbers, within: float) -> tuple[list[District], float, Array]:
        """Return the free districts, the known part, and the unknown as a function of types."""
        free = self._districts(numbers)
        constant, objective = 0.0, np.zeros(())
        for sign, term in self.terms:
            values = sign * term.coefficients(numbers, free) / within
            if values.ndim:
                objective = objective + values
            else:
                constant += float(values)
        return free, constant, objective

    def _blocks(
        self, numbers: Numbers, district: District, objective: Array
    ) -> Iterator[tuple[tuple[int, ...], Array, Constraints]]:
        """Yield a linear programme for each value of the blocks."""
        shape = (*(self.cards[p] for p in district.blocks), district.size)
        objective = np.broadcast_to(objective, shape)
        for block in product(*(range(self.cards[p]) for p in district.blocks)):
            yield block, objective[block], self._constraints(numbers, district, block)

    def _districts(self, numbers: Numbers) -> list[District]:
        """Return the districts that are not identified, with blocks if there is only one."""
        free = frozenset[frozenset[str]]().union(*(t.free(numbers) for _, t in self.terms))
        found = []
        for nodes in (d for d in self.projected.districts() if d in free):
            blocks: frozenset[str] = frozenset()
            if len(free) == 1:
                blocks = frozenset.intersection(*(t.blocks(numbers, nodes) for _, t in self.terms))
            order = [n for n in self.projected.topological_order() if n in nodes]
            district = District(
                tuple(order),
                {n: self.projected.parents(n) for n in order},
                self.cards,
                tuple(n for n in self.projected.nodes if n in blocks),
            )
            district.check_size()
            found.append(district)
        return found

    def _several(
        self, numbers: Numbers, free: list[District], objective: Array, repair: Repair
    ) -> Found:
        """A multilinear programme, relaxed."""
        shape = tuple(d.size for d in free)
        objective = np.broadcast_to(objective, shape)
        constraints = []
        for district in free:
            of = self._constraints(numbers, district, ())
            try:
                of.bounds(np.zeros(of.types))
            except Infeasible:
                of = repair(district, (), of)
            constraints.append(of)
        objective, constraints = reduced(objective, constraints)
        lower, upper = outer_bounds(objective, constraints)
        names = " x ".join(f"{{{', '.join(d.nodes)}}}" for d in free)
        what = f"linear relaxation over {' x '.join(map(str, shape))} response types"
        relaxed = [d for d in free if not one_common_cause(self.graph, frozenset(d.nodes))]
        if relaxed:
            return Found(lower, upper, f"outer: {_several_causes(relaxed[0])}; {what}")
        low = attained(objective, constraints, 1, lower)
        high = attained(objective, constraints, -1, upper)
        if low - lower < 1e-9 and upper - high < 1e-9:
            return Found(lower, upper, f"sharp: {what}, attained")
        method = (
            f"outer: the programme is not linear, as confounded districts {names} multiply; "
            f"{what}; [{low:.4g}, {high:.4g}] is attained"
        )
        return Found(lower, upper, method)

    def _constraints(
        self, numbers: Numbers, district: District, block: Sequence[int]
    ) -> Constraints:
        """Return what the c-factors of a district say of its types."""
        at = dict(zip(district.blocks, block, strict=True))
        cells, chances, count = [], [], 0
        for nodes, names, table in self._tables(numbers, district):
            inside = [n for n in names if n in nodes]
            for outer, cell in district.cells(inside, at):
                index = tuple(outer.get(n, slice(None)) for n in names)
                target = table[index].ravel()
                if not np.isnan(target).all():
                    cells.append(cell + count)
                    chances.append(target)
                    count += len(target)
        if not cells:
            return Constraints(np.zeros((0, district.size), dtype=np.int64), np.zeros(0))
        return Constraints(np.stack(cells), np.concatenate(chances))

    def _tables(
        self, numbers: Numbers, district: District
    ) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], Array]]:
        """Yield c-factors that say all that is known of a district: nodes, axes, values."""
        whole = numbers.table(district.nodes)
        assert whole is not None
        yield district.nodes, *whole
        simple = one_common_cause(self.graph, frozenset(district.nodes))
        if (simple and not np.isnan(whole[1]).any()) or len(district.nodes) > _MAX_SUBSETS:
            return
        sizes = range(len(district.nodes) - 1, 0, -1)
        for nodes in chain.from_iterable(combinations(district.nodes, k) for k in sizes):
            found = numbers.table(nodes)
            if found is not None:
                yield nodes, *found


def one_common_cause(graph: CausalGraph, district: frozenset[str]) -> bool:
    """Return whether one latent cause may reach all of a district.

    It does where a named latent node does. A clique of ``<->`` is read so too: of the models
    with that projection this is the largest set, that of the mDAG with one facet (Evans 2016).
    Two named latent causes that overlap are not one: they are independent.

    Example:
        >>> graph = CausalGraph("U -> X, Y; V -> Y, W", latent=["U", "V"])
        >>> one_common_cause(graph, frozenset({"X", "Y"}))
        True
        >>> one_common_cause(graph, frozenset({"X", "Y", "W"}))
        False
    """
    if len(district) <= 1:
        return True
    latent = frozenset(graph.latent)

    def reached(node: str) -> frozenset[str]:
        if node not in latent:
            return frozenset({node})
        return frozenset[str]().union(*(reached(child) for child in graph.children(node)))

    facets = [reached(node) for node in latent]
    facets += [reached(a) | reached(b) for a, b in graph.bidirected]
    if any(district <= facet for facet in facets):
        return True
    joined = {frozenset(pair) for pair in graph.bidirected}
    return all(frozenset(pair) in joined for pair in combinations(district, 2))


def _several_causes(district: District) -> str:
    return (
        f"the programme is not linear, as the district {{{', '.join(district.nodes)}}} has several "
        "independent latent causes; relaxed to one"
    )


def no_repair(district: District, block: Sequence[int], constraints: Constraints) -> Constraints:
    """Refuse a law that contradicts the graph.

    Raises:
        ScmError: naming the district, and how far the law is from one that fits.
    """
    raise ScmError(contradiction(district, block, constraints, constraints.nearest()[1]))


def contradiction(
    district: District, block: Sequence[int], constraints: Constraints, distance: float
) -> str:
    """Say that no distribution of types gives what is observed."""
    del constraints
    outer = ", ".join(district.outer)
    given = f" | do({outer})" if outer else ""
    at = ", ".join(f"{p}={k}" for p, k in zip(district.blocks, block, strict=True))
    test = "an inequality that the graph implies fails"
    if len(district.nodes) == 2 and outer:
        test = "Pearl's instrumental inequality, or another of its kind, fails"
    return (
        f"the graph is contradicted: no distribution over the {district.size:,} response types of "
        f"the district {{{', '.join(district.nodes)}}} gives P({', '.join(district.nodes)}{given})"
        f"{f' at {at}' if at else ''}; the nearest that one gives is {distance:.3g} away in total "
        f"({test}). Look for an edge from {outer or 'another node'} into the district, or a "
        "common cause, that is missing in the graph"
    )
