"""How the edges of a drawing run: straight where they can, bent around nodes where not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from math import hypot
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scm.graph.layout import HEIGHT, Layout, Point

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = ["Edge", "Kind", "curve", "routes", "segments"]

Kind: TypeAlias = Literal["causal", "constitutive", "confounded"]
Edge: TypeAlias = tuple[Kind, str, str]
Array: TypeAlias = NDArray[np.float64]

MARGIN = 0.1
SAMPLES = 32


def routes(graph: CausalGraph, place: Layout) -> dict[Edge, tuple[Point, ...]]:
    """Return each edge's control polygon, from the centre of one node to that of the other.

    Among straight lines, arcs and paths through free waypoints, an edge takes the one
    that hits the fewest nodes, then runs beside and across the fewest edges, then bends
    least.

    Example:
        >>> from scm.graph import CausalGraph
        >>> from scm.graph.layout import layout
        >>> graph = CausalGraph("A -> B")
        >>> routes(graph, layout(graph))
        {('causal', 'A', 'B'): ((0.0, 0.0), (1.76, 0.0))}
    """
    edges: list[Edge] = [("causal", a, b) for a, b in graph.edges]
    edges += [("constitutive", a, b) for a, b in graph.constitutive]
    edges += [("confounded", a, b) for a, b in graph.bidirected]
    at = place.positions

    def length(edge: Edge) -> tuple[bool, float]:
        (x, y), (u, v) = at[edge[1]], at[edge[2]]
        return edge[0] == "confounded", round(hypot(u - x, v - y), 6)

    chosen: dict[Edge, tuple[Point, ...]] = {}
    drawn: list[Array] = []
    for edge in sorted(edges, key=length):
        chosen[edge] = _best(edge, place, drawn)
        drawn.append(curve(chosen[edge]))
    return {edge: chosen[edge] for edge in edges}


def segments(route: tuple[Point, ...]) -> list[tuple[Point, Point, Point]]:
    """Return the quadratic Bezier pieces (start, control, end) of a route.

    They form the quadratic B-spline with the route as its control polygon.

    Example:
        >>> segments(((0.0, 0.0), (1.0, 1.0), (2.0, 0.0)))
        [((0.0, 0.0), (1.0, 1.0), (2.0, 0.0))]
    """
    first, *controls, last = route
    controls = controls or [_between(first, last)]
    joints = [first, *(_between(a, b) for a, b in pairwise(controls)), last]
    return list(zip(joints[:-1], controls, joints[1:], strict=True))


def curve(route: tuple[Point, ...]) -> Array:
    """Return points along a route, shape ``(points, 2)``."""
    t = np.linspace(0.0, 1.0, SAMPLES)[:, None]
    pieces = [
        (1 - t) ** 2 * np.array(a) + 2 * t * (1 - t) * np.array(b) + t**2 * np.array(c)
        for a, b, c in segments(route)
    ]
    return np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])])


def _simple(edge: Edge, place: Layout) -> Iterator[tuple[Point, ...]]:
    """Yield the straight line, the way through free points, and arcs to both sides."""
    kind, a, b = edge
    start, end = place.positions[a], place.positions[b]
    length = hypot(end[0] - start[0], end[1] - start[1])
    if kind != "confounded":
        yield start, end
        if (a, b) in place.waypoints:
            yield start, *place.waypoints[a, b], end
    for size in (0.28, 0.45, 0.65, 0.9, 1.2, 1.6, 2.1, 2.7):
        if kind == "confounded" and size < max(0.15 * length, 0.45 if length < 1.5 else 0.0):
            continue
        for side in (2.0, -2.0):
            yield start, _aside(start, end, 0.5, side * size), end


def _contorted(edge: Edge, place: Layout) -> Iterator[tuple[Point, ...]]:
    """Yield curves with two bends, for edges that have no simple way around the nodes."""
    start, end = place.positions[edge[1]], place.positions[edge[2]]
    sizes = (0.0, 0.4, -0.4, 0.8, -0.8, 1.4, -1.4, 2.2, -2.2)
    for first, second in product(sizes, sizes):
        yield start, _aside(start, end, 0.2, first), _aside(start, end, 0.8, second), end


def _aside(start: Point, end: Point, share: float, size: float) -> Point:
    """Return the point ``share`` of the way from start to end, and ``size`` to the left."""
    x, y = end[0] - start[0], end[1] - start[1]
    across = size / hypot(x, y)
    return start[0] + share * x - across * y, start[1] + share * y + across * x


def _best(edge: Edge, place: Layout, drawn: list[Array]) -> tuple[Point, ...]:
    """Return the option that hits the fewest nodes, and of those the cheapest."""
    weight = 3.0 if edge[0] == "confounded" else 1.5
    others = [node for node in place.positions if node not in edge[1:]]
    hits: dict[tuple[Point, ...], int] = {}
    bends: dict[tuple[Point, ...], float] = {}
    for options in (_simple, _contorted):
        for route in options(edge, place):
            points = curve(route)
            hits[route] = sum(bool(_inside(points, node, place, MARGIN).any()) for node in others)
            bends[route] = 4.5 / weight * (_length(points) - _length(points[[0, -1]]))
        fewest = min(hits.values())
        if not fewest:
            break
    best, cheapest = next(iter(hits)), np.inf
    for route in sorted((r for r in hits if hits[r] == fewest), key=bends.__getitem__):
        if bends[route] >= cheapest:
            break
        cost = bends[route] + _clutter(curve(route), edge, place, drawn, weight)
        if cost < cheapest:
            best, cheapest = route, cost
    return best


def _clutter(points: Array, edge: Edge, place: Layout, drawn: list[Array], weight: float) -> float:
    """Return the cost of running across, and close beside, the edges that are drawn."""
    inside = [_inside(points, end, place, 0.0) for end in edge[1:]]
    free = points[~np.logical_or(*inside)]
    if not drawn or not len(free):
        return 0.0
    distance = np.linalg.norm(free[:, None] - np.concatenate(drawn)[None], axis=-1).min(axis=1)
    beside = _length(points) * float((distance < 0.15).sum()) / len(points)
    return 0.6 * sum(_crosses(points, other) for other in drawn) + weight * beside


def _length(points: Array) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def _inside(points: Array, node: str, place: Layout, margin: float) -> NDArray[np.bool_]:
    size = np.array([place.widths[node] + margin, HEIGHT + margin])
    offset = (points - np.array(place.positions[node])) / size
    return np.asarray((offset**2).sum(axis=1) < 1.0)


def _crosses(points: Array, other: Array) -> int:
    """Count the crossings of two polylines that do not only meet at their ends."""
    p, r = points[:-1, None], np.diff(points, axis=0)[:, None]
    q, s = other[None, :-1], np.diff(other, axis=0)[None]
    cross = r[..., 0] * s[..., 1] - r[..., 1] * s[..., 0]
    safe = np.where(cross == 0.0, np.inf, cross)
    gap = q - p
    t = (gap[..., 0] * s[..., 1] - gap[..., 1] * s[..., 0]) / safe
    u = (gap[..., 0] * r[..., 1] - gap[..., 1] * r[..., 0]) / safe
    meet = (cross != 0.0) & (t > 0.0) & (t <= 1.0) & (u > 0.0) & (u <= 1.0)
    ends = np.array([points[0], points[-1]])
    at = points[:-1][np.nonzero(meet)[0]]
    near = np.linalg.norm(at[:, None] - ends[None], axis=-1).min(axis=1, initial=np.inf) < HEIGHT
    return int((~near).sum())


def _between(a: Point, b: Point) -> Point:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
