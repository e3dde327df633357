r"""Hedges: the structure that makes an effect impossible to identify."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scm.graph.grammar import show_name
from scm.graph.structure import Pair, Structure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scm.graph.causal_graph import CausalGraph

__all__ = ["Hedge", "hedge_between", "path_to"]


@dataclass(frozen=True)
class Hedge:
    r"""A hedge for :math:`P(y \mid do(x))`: two forests F and F' with the same roots.

    Both are R-rooted C-forests: ``<->`` connects all their nodes, every node but the roots R
    has one child in them, and F' is in F. Treatments are in F and none is in F'; the roots
    are ancestors of the outcome that the treatments do not cut off. Then one can build two
    models of the graph that agree on the observed distribution and differ on the effect:
    all nodes of F are parities of their parents and of the coins behind their ``<->``, but
    in one model F' listens to F' alone (`scm.graph.counterexample`).

    Args:
        forest: F.
        inner: F'.
        roots: R, in declared order.
        outcome: The outcomes of the query.
        do: The treatments of the query.
        graph: The graph of the query, latent nodes and all.

    References:
        Shpitser & Pearl (2006), Identification of joint interventional distributions in
        recursive semi-Markovian causal models, AAAI, definition 6 and theorem 4.

    Example:
        >>> from scm import NotIdentifiedError
        >>> from scm.graph import CausalGraph
        >>> try:
        ...     CausalGraph("C -> X, Y; X -> Y", latent=["C"]).identify("Y", do="X")
        ... except NotIdentifiedError as error:
        ...     hedge = error.hedge
        >>> hedge.forest
        CausalGraph('X -> Y; X <-> Y')
        >>> hedge.inner, hedge.roots
        (CausalGraph('Y'), ('Y',))
        >>> print(hedge)
        the hedge F = {X -> Y; X <-> Y}, F' = {Y} with root Y (X <-> Y through C)
    """

    forest: CausalGraph
    inner: CausalGraph
    roots: tuple[str, ...]
    outcome: tuple[str, ...]
    do: tuple[str, ...]
    graph: CausalGraph

    @property
    def treatments(self) -> tuple[str, ...]:
        """The treatments in F: those whose effect cannot be told from confounding."""
        return tuple(node for node in self.forest.nodes if node in self.do)

    def draw(self, ax: Axes | None = None) -> Axes:
        """Draw F, with F' and the roots named in the title; return the axes.

        Raises:
            ScmError: If matplotlib is not installed.
        """
        ax = self.forest.draw(ax)
        ax.set_title(f"F = {_set(self.forest)}, F' = {_set(self.inner)}, "
                     f"roots {', '.join(self.roots)}", fontsize="small")  # fmt: skip
        return ax

    def _repr_svg_(self) -> str | None:
        return self.forest._repr_svg_()

    def __str__(self) -> str:
        through = [
            f"{a} <-> {b} through {', '.join(behind)}"
            for a, b in self.forest.bidirected
            if (behind := _behind(self.graph, a, b))
        ]
        tail = f" ({'; '.join(through)})" if through else ""
        roots = f"root{'s' * (len(self.roots) > 1)} {', '.join(self.roots)}"
        return f"the hedge F = {{{self.forest}}}, F' = {{{self.inner}}} with {roots}{tail}"


def hedge_between(
    graph: CausalGraph,
    district: CausalGraph,
    inner: Iterable[str],
    outcome: tuple[str, ...],
    do: tuple[str, ...],
) -> Hedge:
    """Return the hedge inside ID's FAIL(G, S): edges are dropped until both are forests.

    Args:
        graph: The graph of the query.
        district: G, where ID failed: one district.
        inner: S, a district of G without the treatments.
        outcome: The outcomes of the query.
        do: Its treatments.
    """
    small, nodes = district.subgraph(inner), district.nodes
    roots = tuple(node for node in small if not small.children(node))
    edges = _towards(small, roots)
    edges |= _towards(district, small.nodes)
    inside = _spanning_tree(small, small.nodes[:1])
    across = _spanning_tree(district, small.nodes)

    def forest(of: CausalGraph, bidirected: list[Pair]) -> CausalGraph:
        kept = tuple((a, b) for b in of for a in of.parents(b) if edges.get(a) == b)
        return type(graph)(Structure(of.nodes, kept, tuple(bidirected)))

    assert set(nodes) == {*edges, *roots}, "ID fails only where all nodes lead to the roots"
    return Hedge(
        forest(district, inside + across), forest(small, inside), roots, outcome, do, graph
    )


def path_to(graph: CausalGraph, ends: Iterable[str]) -> dict[str, str]:
    """Return, for every node with a directed path to ``ends``, its next node on a shortest one."""
    return _towards(graph, ends)


def _towards(graph: CausalGraph, ends: Iterable[str]) -> dict[str, str]:
    step: dict[str, str] = {}
    todo = deque(ends)
    done = set(todo)
    while todo:
        node = todo.popleft()
        for parent in graph.parents(node):
            if parent not in done:
                done.add(parent)
                step[parent] = node
                todo.append(parent)
    return step


def _spanning_tree(graph: CausalGraph, start: Iterable[str]) -> list[Pair]:
    """Return bidirected edges that connect all nodes to ``start`` without a cycle."""
    done = set(start)
    todo, tree = deque(start), []
    while todo:
        node = todo.popleft()
        for sibling in graph.siblings(node):
            if sibling not in done:
                done.add(sibling)
                tree.append((node, sibling))
                todo.append(sibling)
    return tree


def _behind(graph: CausalGraph, a: str, b: str) -> list[str]:
    """Return the latent common causes of two observed nodes."""
    latent = frozenset(graph.latent)
    return [
        node for node in graph.latent
        if {a, b} <= _reached(graph, node, latent)
    ]  # fmt: skip


def _reached(graph: CausalGraph, node: str, latent: frozenset[str]) -> set[str]:
    found: set[str] = set()
    for child in graph.children(node):
        found |= _reached(graph, child, latent) if child in latent else {child}
    return found


def _set(graph: CausalGraph) -> str:
    return "{" + ", ".join(map(show_name, graph.nodes)) + "}"
