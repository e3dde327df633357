r"""Twin networks: the factual world and the world of an act, joined by their noise.

A counterfactual asks about one unit in two worlds (Balke and Pearl 1994). Nodes that an act
does not reach are the same in both. A node :math:`V` that it reaches has a twin :math:`V'`,
and the coupling of its table gives the law of the two together,
:math:`P(v, v' \mid pa, pa')`, since the noise of the unit is one.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from scm.exact.elimination import Array, Factor, check_size
from scm.exact.network import ancestors_after
from scm.graph import CausalGraph
from scm.mechanisms.coupling import Coupling

__all__ = ["Twin", "twin_factors"]


@dataclass(frozen=True, slots=True)
class Twin:
    """The variable of a node in the world of the act."""

    node: str

    def __str__(self) -> str:
        return f"{self.node}'"


def twin_factors(
    graph: CausalGraph,
    tables: Mapping[str, Array],
    couplings: Mapping[str, Coupling],
    cards: Mapping[Hashable, int],
    outcome: Collection[str],
    do: Collection[str],
    given: Collection[str],
) -> Iterator[Factor]:
    """Yield the factors of the twin network that ``outcome`` and ``given`` depend on.

    Variables of the factual world, and shared ones, are node names; those of the other world
    are `Twin`. A node needed in one world only has its plain table there.

    Args:
        graph: the causal graph.
        tables: node -> array ``(*levels of parents, levels)``.
        couplings: node -> its coupling.
        cards: the number of levels of nodes and twins.
        outcome: the nodes asked about in the world of the act.
        do: the nodes acted on.
        given: the nodes observed in the factual world.

    Raises:
        ScmError: if the joint table of a node and its twin would be too large.
    """
    reached = graph.descendants(*do) if do else frozenset()
    factual = graph.ancestors(*given) if given else frozenset()
    acted = ancestors_after(graph, outcome, do)
    factual |= graph.ancestors(*(acted - reached)) if acted - reached else frozenset()
    for node in graph.topological_order():
        parents = graph.parents(node)
        twins = tuple(Twin(p) if p in reached else p for p in parents)
        twinned = node in acted and node in reached and node not in do
        if twinned and node in factual:
            extra = [t for t in twins if isinstance(t, Twin)]
            scope = (*parents, *extra, node, Twin(node))
            check_size(scope, cards)
            p, q = _aligned(tables[node], twins)
            yield Factor(scope, couplings[node].pair(p, q))
        elif twinned:
            yield Factor((*twins, Twin(node)), tables[node])
        elif node in factual:
            yield Factor((*parents, node), tables[node])


def _aligned(table: Array, twins: tuple[Hashable, ...]) -> tuple[Array, Array]:
    """Return the table with its parents, and with their twins, on axes that broadcast.

    The axes are: the parents, the twins of those that have one, the levels.
    """
    other = [i for i, t in enumerate(twins) if isinstance(t, Twin)]
    *parents, levels = table.shape
    p = table.reshape(*parents, *(1 for _ in other), levels)
    shared = [i for i in range(len(parents)) if i not in other]
    q = table.transpose(*shared, *other, len(parents))
    lead = [1 if i in other else n for i, n in enumerate(parents)]
    return p, np.asarray(q.reshape(*lead, *(parents[i] for i in other), levels))
