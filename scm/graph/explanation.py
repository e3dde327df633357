"""Explanations of d-separation: every path between two nodes, and what blocks it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from scm.errors import GraphError
from scm.graph.grammar import show_name
from scm.graph.separation import d_separated, role

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = ["Explanation", "Path", "explain"]

_MOST_PATHS = 1000


@dataclass(frozen=True)
class Path:
    """A path, and whether it is open given some nodes.

    Args:
        nodes: The nodes, from one end to the other.
        arrows: The edges between them as they are walked: ``->``, ``<-``, ``<->``, ``=>``
            or ``<=``.
        blocks: The nodes that block it, each with the reason; empty where it is open.
        opened: Its colliders that are open, each with the reason.
    """

    nodes: tuple[str, ...]
    arrows: tuple[str, ...]
    blocks: tuple[tuple[str, str], ...]
    opened: tuple[tuple[str, str], ...]

    @property
    def open(self) -> bool:
        """Whether nothing blocks it."""
        return not self.blocks

    @property
    def colliders(self) -> tuple[str, ...]:
        """The inner nodes at which two arrowheads meet."""
        return tuple(
            node
            for node, left, right in zip(
                self.nodes[1:-1], self.arrows[:-1], self.arrows[1:], strict=True
            )
            if left.endswith(">") and right.startswith("<")
        )

    def __str__(self) -> str:
        steps = zip(self.arrows, self.nodes[1:], strict=True)
        return show_name(self.nodes[0]) + "".join(f" {a} {show_name(n)}" for a, n in steps)


@dataclass(frozen=True)
class Explanation:
    """Whether two nodes are d-separated, and why: all paths between them, open ones first.

    Args:
        x: One end.
        y: The other end.
        given: The nodes conditioned on.
        separated: Whether they are d-separated.
        paths: The paths; at most ``limit`` of them.
        complete: Whether these are all.
    """

    x: str
    y: str
    given: tuple[str, ...]
    separated: bool
    paths: tuple[Path, ...]
    complete: bool = True

    @property
    def open(self) -> tuple[Path, ...]:
        """The open paths."""
        return tuple(path for path in self.paths if path.open)

    @property
    def blocked(self) -> tuple[Path, ...]:
        """The blocked paths."""
        return tuple(path for path in self.paths if not path.open)

    def __bool__(self) -> bool:
        raise GraphError("an explanation is neither true nor false; ask for its .separated")

    def __str__(self) -> str:
        verdict = "d-separated" if self.separated else "d-connected"
        given = f" given {', '.join(map(show_name, self.given))}" if self.given else ""
        n, count = len(self.paths), len(self.open)
        share = f"{count} of {n} path{'s' * (n != 1)} {'is' if count == 1 else 'are'} open"
        first = f"{show_name(self.x)} and {show_name(self.y)} are {verdict}{given}: "
        lines = [first + (share if n else "no path joins them")]
        width = max((len(str(path)) for path in self.paths), default=0)
        for path in (*self.open, *self.blocked):
            reasons = path.opened if path.open else path.blocks
            text = "; ".join(why for _, why in reasons)
            mark = "open   " if path.open else "blocked"
            lines.append(f"  {mark}  {path!s:<{width}}  {text}".rstrip())
        if not self.complete:
            lines.append(f"  ... there are more paths than the {n} listed")
        return "\n".join(lines)


def explain(
    graph: CausalGraph,
    x: str,
    y: str,
    given: str | Iterable[str] = (),
    limit: int = _MOST_PATHS,
) -> Explanation:
    """List the paths between two nodes, open and blocked, with what blocks each.

    Args:
        graph: The graph.
        x: One node.
        y: Another node.
        given: The nodes conditioned on.
        limit: The most paths to list: a large graph has very many. (``separated`` does not
            depend on it.)

    Returns:
        An `Explanation`; print it.

    Raises:
        GraphError: If a node is unknown, or in two places.

    Example:
        >>> from scm.graph import CausalGraph
        >>> graph = CausalGraph("C -> X, Y; X -> M <- Y; M -> D; X -> Y")
        >>> print(graph.explain("X", "Y", given=["C", "D"]))
        X and Y are d-connected given C, D: 2 of 3 paths are open
          open     X -> Y
          open     X -> M <- Y  the collider M is open: its descendant D is given
          blocked  X <- C -> Y  C is given
    """
    z = role(graph, given)
    separated = d_separated(graph, x, y, z)
    above = graph.ancestors(*z) if z else frozenset[str]()
    walks = list(islice(_simple_paths(graph, x, y), limit + 1))
    found = [_judged(graph, nodes, arrows, z, above) for nodes, arrows in walks[:limit]]
    found.sort(key=lambda path: (not path.open, len(path.nodes)))
    conditions = tuple(node for node in graph.nodes if node in z)
    return Explanation(x, y, conditions, separated, tuple(found), len(walks) <= limit)


def _judged(
    graph: CausalGraph,
    nodes: tuple[str, ...],
    arrows: tuple[str, ...],
    given: frozenset[str],
    above: frozenset[str],
) -> Path:
    path = Path(nodes, arrows, (), ())
    blocks, opened = [], []
    for node in nodes[1:-1]:
        name = show_name(node)
        if node not in path.colliders:
            if node in given:
                blocks.append((node, f"{name} is given"))
        elif node in given:
            opened.append((node, f"the collider {name} is open: it is given"))
        elif node in above:
            below = [n for n in graph.nodes if n in graph.descendants(node) & given]
            few = ", ".join(map(show_name, below))
            are = "descendants {} are" if len(below) > 1 else "descendant {} is"
            opened.append((node, f"the collider {name} is open: its {are.format(few)} given"))
        else:
            blocks.append((node, f"neither the collider {name} nor a descendant is given"))
    return Path(nodes, arrows, tuple(blocks), tuple(opened))


def _simple_paths(
    graph: CausalGraph, x: str, y: str
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Yield each simple path as its nodes and its arrows; shorter detours first is not promised."""
    useful = _component(graph, x)
    if y not in useful:
        return
    nodes, arrows = [x], list[str]()
    stack = [iter(_steps(graph, x))]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            nodes.pop()
            if arrows:
                arrows.pop()
            continue
        node, arrow = step
        if node == y:
            yield (*nodes, y), (*arrows, arrow)
        elif node not in nodes:
            nodes.append(node)
            arrows.append(arrow)
            stack.append(iter(_steps(graph, node)))


def _steps(graph: CausalGraph, node: str) -> list[tuple[str, str]]:
    """Return the edges at a node as (the other node, the arrow walked)."""
    down = [(n, "=>" if graph.is_constitutive(n) else "->") for n in graph.children(node)]
    up = [(n, "<=" if graph.is_constitutive(node) else "<-") for n in graph.parents(node)]
    return [*down, *up, *((n, "<->") for n in graph.siblings(node))]


def _component(graph: CausalGraph, start: str) -> set[str]:
    found, todo = {start}, [start]
    while todo:
        new = [n for n, _ in _steps(graph, todo.pop()) if n not in found]
        found.update(new)
        todo += new
    return found
