r"""Two models that agree on what is observed and differ on an effect, made from a hedge.

The construction is that of Shpitser and Pearl's theorem 4. A fair coin stands behind each
``<->`` of the hedge, and every node of F is the parity of its parents in F and its coins.
In the second model F' does not listen to the rest of F. Seen, the parity of the roots is
even in both; after the act, it is a fair coin in the first and even in the second. The
roots' parity then travels down to the outcome.

A node that has both parts to play holds them as two bits of one value, and a latent node
holds the coins of all the edges it is behind. Nodes with no part are fair coins of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scm.errors import GraphError
from scm.graph.hedge import Hedge, path_to
from scm.graph.structure import Pair

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = ["Counterexample", "counterexample"]

Bit: TypeAlias = tuple[object, ...]
Tables: TypeAlias = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Counterexample:
    """Two models of one graph: equal when observed, different under the act.

    Args:
        graph: The graph, with a latent node in the place of each ``<->``.
        first: Node -> table ``(*levels of its parents, levels)``, as `scm.exact.Joint` reads it.
        second: The same of the other model.

    Example:
        >>> from scm.errors import NotIdentifiedError
        >>> from scm.exact import Joint
        >>> from scm.graph import CausalGraph
        >>> try:
        ...     CausalGraph("X -> Y; X <-> Y").identify("Y", do="X")
        ... except NotIdentifiedError as error:
        ...     found = counterexample(error.hedge)
        >>> for tables in (found.first, found.second):
        ...     float(Joint(found.graph, tables).prob({"Y": 1}, do={"X": 1}))
        0.5
        0.0
    """

    graph: CausalGraph
    first: Tables
    second: Tables


@dataclass
class _Circuit:
    """Bits of nodes, each the parity of other bits, and of a coin of its own where it has one."""

    graph: CausalGraph
    bits: dict[str, dict[Bit, list[tuple[str, Bit]]]] = field(default_factory=dict)
    coins: set[tuple[str, Bit]] = field(default_factory=set)

    def bit(self, node: str, bit: Bit, reads: Iterable[tuple[str, Bit]] = ()) -> None:
        self.bits.setdefault(node, {}).setdefault(bit, []).extend(reads)

    def coin(self, node: str, bit: Bit) -> None:
        self.bit(node, bit)
        self.coins.add((node, bit))

    def carry(self, path: list[str], bit: Bit) -> tuple[str, Bit]:
        """Copy a bit of the first node along a path, but for its end; return its last copy."""
        carried: Bit = ("carried", path[0], bit)
        last = (path[0], bit)
        for node in path[1:-1]:
            if carried not in self.bits.get(node, {}):
                self.bit(node, carried, [last])
            last = (node, carried)
        return last

    def tables(self) -> Tables:
        """Return the table of every node; its value is the number that its bits spell."""
        for node in self.graph.nodes:
            if not self.bits.get(node):
                self.coin(node, ("idle",))
        return {node: self._table(node) for node in self.graph.nodes}

    def _table(self, node: str) -> NDArray[np.float64]:
        parents = self.graph.parents(node)
        shape = [2 ** len(self.bits[parent]) for parent in parents]
        own = self.bits[node]
        table = np.zeros((*shape, 2 ** len(own)))
        tossed = [bit for bit in own if (node, bit) in self.coins]
        for codes in product(*map(range, shape)):
            world = dict(zip(parents, codes, strict=True))
            for toss in product((0, 1), repeat=len(tossed)):
                heads = dict(zip(tossed, toss, strict=True))
                value = 0
                for place, (bit, reads) in enumerate(own.items()):
                    parity = heads.get(bit, 0) + sum(self._read(world, *r) for r in reads)
                    value |= (parity % 2) << place
                table[(*codes, value)] += 0.5 ** len(tossed)
        return table

    def _read(self, world: Mapping[str, int], node: str, bit: Bit) -> int:
        return world[node] >> list(self.bits[node]).index(bit) & 1


def counterexample(hedge: Hedge) -> Counterexample:
    """Return two models that agree on the observed nodes and differ on P(outcome | do).

    The effect concerned is that of the hedge: ``hedge.outcome`` under ``hedge.do``. (Where a
    conditional effect was asked for, that is the joint effect which IDC needs.)

    Raises:
        GraphError: If the hedge passes through a macro-variable, which cannot be a parity.

    Example:
        >>> from scm import NotIdentifiedError
        >>> from scm.graph import CausalGraph
        >>> try:
        ...     CausalGraph("X -> Y; X <-> Y").identify("Y", do="X")
        ... except NotIdentifiedError as error:
        ...     models = counterexample(error.hedge)
        >>> print(models.graph)
        X -> Y; "X <-> Y" -> X, Y
        >>> models.first["Y"].shape, models.first["Y"][0, 1], models.second["Y"][0, 1]
        ((2, 2, 2), array([0., 1.]), array([0., 1.]))
    """
    graph = _expanded(hedge.graph)
    return Counterexample(graph, _model(graph, hedge, False), _model(graph, hedge, True))


def _expanded(graph: CausalGraph) -> CausalGraph:
    """Return the graph with a latent node in the place of each ``<->``."""
    structure = graph.structure
    names = {pair: f"{pair[0]} <-> {pair[1]}" for pair in structure.bidirected}
    arms = tuple((name, end) for pair, name in names.items() for end in pair)
    nodes, latent = (*graph.nodes, *names.values()), (*graph.latent, *names.values())
    edges = (*structure.edges, *arms)
    return type(graph)(replace(structure, nodes=nodes, edges=edges, latent=latent, bidirected=()))


def _model(graph: CausalGraph, hedge: Hedge, apart: bool) -> Tables:
    """Return the tables; with ``apart``, F' listens to F' alone."""
    circuit = _Circuit(graph)
    inner = frozenset(hedge.inner.nodes)
    for node in hedge.forest:
        circuit.bit(node, ("F",))
    for a, b in hedge.forest.edges:
        circuit_reads = circuit.carry(_path(graph, a, b), ("F",))
        if not (apart and b in inner and a not in inner):
            circuit.bit(b, ("F",), [circuit_reads])
    for pair in hedge.forest.bidirected:
        source, coin = _source(graph, pair), ("coin", *pair)
        circuit.coin(source, coin)
        for end in pair:
            heard = circuit.carry(_path(graph, source, end), coin)
            if not (apart and end in inner and not inner.issuperset(pair)):
                circuit.bit(end, ("F",), [heard])
    _pass_down(circuit, hedge)
    return circuit.tables()


def _pass_down(circuit: _Circuit, hedge: Hedge) -> None:
    """Carry the parity of the roots to the outcome, past the treatments."""
    graph = circuit.graph
    keep = [n for n in graph.nodes if n not in hedge.do]
    step = path_to(graph.subgraph(keep), hedge.outcome)
    heard: dict[str, list[tuple[str, Bit]]] = {}
    for root in hedge.roots:
        node, bit = root, ("F",)
        if root in hedge.outcome:
            continue
        _hear(heard, step[node], (node, bit))
    for node in graph.topological_order():
        if node in heard:
            circuit.bit(node, ("down",), heard[node])
            if node not in hedge.outcome:
                _hear(heard, step[node], (node, ("down",)))


def _hear(heard: dict[str, list[tuple[str, Bit]]], node: str, what: tuple[str, Bit]) -> None:
    heard.setdefault(node, []).append(what)


def _source(graph: CausalGraph, pair: Pair) -> str:
    """Return a latent node with directed paths to both ends, through latent nodes."""
    for node in graph.latent:
        if all(_path(graph, node, end) for end in pair):
            return node
    raise GraphError(f"no latent node is behind {pair[0]} <-> {pair[1]}")


def _path(graph: CausalGraph, start: str, end: str) -> list[str]:
    """Return a directed path through latent nodes, or an empty list."""
    step = path_to(graph.subgraph({start, end, *graph.latent}), [end])
    path = [start]
    while path[-1] != end:
        if path[-1] not in step:
            return []
        path.append(step[path[-1]])
    return path
