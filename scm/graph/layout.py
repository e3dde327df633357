"""Where the nodes of a drawing go: layers from left to right, with few crossings.

Longest-path layers, barycentre ordering (Sugiyama, Tagawa & Toda 1981), and
least-squares coordinates that keep neighbours apart. Deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = ["HEIGHT", "Layout", "Point", "layout"]

Point: TypeAlias = tuple[float, float]
_Slot: TypeAlias = tuple[str, ...]

HEIGHT = 0.28
"""Half the height of a node, in layout units."""

ROW, BEND, COLUMN = 1.1, 0.75, 1.2
SWEEPS = 12


@dataclass(frozen=True)
class Layout:
    """Centres of the nodes, half their widths, and free points on the way of long edges.

    Args:
        positions: Node to its centre (x, y).
        widths: Node to half its width; half its height is ``HEIGHT``.
        waypoints: Edge (parent, child) across several layers to one free point a layer.
    """

    positions: Mapping[str, Point]
    widths: Mapping[str, float]
    waypoints: Mapping[tuple[str, str], tuple[Point, ...]]


def layout(graph: CausalGraph) -> Layout:
    """Place the nodes of ``graph`` in layers from left to right.

    Example:
        >>> from scm.graph import CausalGraph
        >>> layout(CausalGraph("A -> B, C")).positions
        {'A': (0.0, 0.0), 'B': (1.76, 0.55), 'C': (1.76, -0.55)}
    """
    depth = _layers(graph)
    count = max(depth.values(), default=-1) + 1
    layers: list[list[_Slot]] = [[] for _ in range(count)]
    before: dict[_Slot, list[_Slot]] = {}
    after: dict[_Slot, list[_Slot]] = {}
    chains: dict[tuple[str, str], list[_Slot]] = {}
    for node in graph.nodes:
        layers[depth[node]].append((node,))
        before[node,], after[node,] = [], []
    for node in graph.nodes:
        for parent in graph.parents(node):
            bends: list[_Slot] = []
            for level in range(depth[parent] + 1, depth[node]):
                bends.append((parent, node, str(level)))
                layers[level].append(bends[-1])
            for a, b in pairwise([(parent,), *bends, (node,)]):
                after.setdefault(a, []).append(b)
                before.setdefault(b, []).append(a)
            if bends:
                chains[parent, node] = bends
    rows = _rows(_ordered(layers, before, after), before, after)
    widths = {node: max(HEIGHT, 0.14 + 0.075 * len(node)) for node in graph.nodes}
    columns = _columns(layers, widths)
    centre = {
        slot: (round(columns[level], 3), round(-rows[slot], 3) + 0.0)
        for level, layer in enumerate(layers)
        for slot in layer
    }
    return Layout(
        positions={node: centre[node,] for node in graph.nodes},
        widths=widths,
        waypoints={edge: tuple(centre[b] for b in bends) for edge, bends in chains.items()},
    )


def _layers(graph: CausalGraph) -> dict[str, int]:
    """Put each node one layer after its last parent, and roots just before their children."""
    depth: dict[str, int] = {}
    for node in graph.topological_order():
        depth[node] = 1 + max((depth[parent] for parent in graph.parents(node)), default=-1)
    for node in graph.nodes:
        children = graph.children(node)
        if children and not graph.parents(node):
            depth[node] = min(depth[child] for child in children) - 1
    return depth


def _ordered(
    layers: list[list[_Slot]],
    before: Mapping[_Slot, Sequence[_Slot]],
    after: Mapping[_Slot, Sequence[_Slot]],
) -> list[list[_Slot]]:
    """Order each layer by the mean place of its neighbours; keep the order that crosses least."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers, after)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        forward = sweep % 2 == 0
        neighbours = before if forward else after
        levels = range(1, len(layers)) if forward else range(len(layers) - 2, -1, -1)
        for level in levels:
            fixed = layers[level - 1 if forward else level + 1]
            place = {slot: float(i) for i, slot in enumerate(fixed)}
            own = {slot: float(i) for i, slot in enumerate(layers[level])}
            layers[level].sort(
                key=lambda slot: _mean([place[n] for n in neighbours[slot]], own[slot])
            )
        crossings = _crossings(layers, after)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    for layer, order in zip(layers, best, strict=True):
        layer[:] = order
    return layers


def _crossings(layers: list[list[_Slot]], after: Mapping[_Slot, Sequence[_Slot]]) -> int:
    total = 0
    for left, right in pairwise(layers):
        place = {slot: i for i, slot in enumerate(right)}
        ends = [[place[slot] for slot in after[a]] for a in left]
        total += sum(
            p > q
            for i, above in enumerate(ends)
            for below in ends[i + 1 :]
            for p in above
            for q in below
        )
    return total


def _rows(
    layers: list[list[_Slot]],
    before: Mapping[_Slot, Sequence[_Slot]],
    after: Mapping[_Slot, Sequence[_Slot]],
) -> dict[_Slot, float]:
    """Pull every slot towards its neighbours, without changing the order in a layer."""
    gaps = [
        [ROW if len(a) == len(b) == 1 else BEND for a, b in pairwise(layer)] for layer in layers
    ]
    row: dict[_Slot, float] = {}
    for layer, gap in zip(layers, gaps, strict=True):
        row |= zip(layer, _spread([0.0] * len(layer), gap), strict=True)
    for sweep in range(SWEEPS):
        order = list(zip(layers, gaps, strict=True))
        for layer, gap in order if sweep % 2 == 0 else reversed(order):
            wanted = [
                _mean([row[n] for n in (*before[slot], *after[slot])], row[slot]) for slot in layer
            ]
            row |= zip(layer, _spread(wanted, gap), strict=True)
    return row


def _spread(wanted: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """Return the points nearest to ``wanted`` (least squares) that are ``gaps`` apart.

    Example:
        >>> _spread([0.0, 0.0], [1.0])
        [-0.5, 0.5]
    """
    offset = [0.0]
    for gap in gaps:
        offset.append(offset[-1] + gap)
    blocks: list[list[float]] = []
    for want, shift in zip(wanted, offset, strict=False):
        blocks.append([want - shift])
        while len(blocks) > 1 and _mean(blocks[-2], 0.0) > _mean(blocks[-1], 0.0):
            last = blocks.pop()
            blocks[-1] += last
    level = [_mean(block, 0.0) for block in blocks for _ in block]
    return [y + shift for y, shift in zip(level, offset, strict=False)]


def _columns(layers: list[list[_Slot]], widths: Mapping[str, float]) -> list[float]:
    half = [max((widths[s[0]] for s in layer if len(s) == 1), default=0.0) for layer in layers]
    columns = [0.0] * len(layers)
    for level in range(1, len(layers)):
        columns[level] = columns[level - 1] + half[level - 1] + COLUMN + half[level]
    return columns


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default
