"""Pictures of causal graphs, on matplotlib.

Causal edges are solid arrows, confounded pairs dashed arcs with two heads, constitutive
edges double lines; latent nodes are grey with a dashed rim.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scm.errors import ScmError
from scm.figures import new_figure
from scm.graph.layout import HEIGHT, Layout, layout
from scm.graph.routing import Edge, curve, routes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scm.graph.causal_graph import CausalGraph

__all__ = ["draw", "layout", "svg"]

INCHES, FONT = 0.75, 13.0
INK, GREY = "#1a1a1a", "#d9d9d9"
GAP, BORDER, HEAD, RAIL = 0.03, 0.12, 0.2, 0.035
SAMPLES = 400
Array: TypeAlias = NDArray[np.float64]


def draw(graph: CausalGraph, ax: Axes | None = None) -> Axes:
    """Draw the graph and return the axes; ``draw().figure.savefig("graph.png")`` keeps it.

    Args:
        graph: The graph.
        ax: Axes to draw on; a new figure outside pyplot where it is not given.

    Raises:
        ScmError: If matplotlib is not installed.

    Example:
        >>> from scm.graph import CausalGraph
        >>> ax = CausalGraph("age -> M -> Y; age <-> Y").draw()
        >>> [text.get_text() for text in ax.texts]
        ['age', '$M$', '$Y$']
    """
    place = layout(graph)
    curves = {
        edge: _clipped(edge, curve(route), place) for edge, route in routes(graph, place).items()
    }
    left, right, bottom, top = _extent(place, curves)
    if ax is None:
        figure = new_figure(
            INCHES * (right - left),
            INCHES * (top - bottom),
            otherwise="Without it, graph.to_dot() and graph.to_latex() give text.",
        )
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.set_axis_off()
    box = ax.get_window_extent()
    unit = min(box.width / (right - left), box.height / (top - bottom))
    scale = unit / (INCHES * ax.figure.dpi)
    for edge, points in curves.items():
        _draw_edge(ax, edge, points, scale)
    for node in graph.nodes:
        _draw_node(ax, node, place, node in graph.latent, scale)
    return ax


def svg(graph: CausalGraph) -> str | None:
    """Return the picture as SVG, or None where matplotlib is missing (Jupyter shows text then).

    Example:
        >>> from scm.graph import CausalGraph
        >>> "<svg" in CausalGraph("X -> Y")._repr_svg_()
        True
    """
    try:
        ax = draw(graph)
    except ScmError:
        return None
    buffer = io.StringIO()
    ax.figure.canvas.print_figure(buffer, format="svg", facecolor="none", metadata={"Date": None})
    return buffer.getvalue()


def _draw_node(ax: Axes, node: str, place: Layout, latent: bool, scale: float) -> None:
    from matplotlib.patches import Ellipse

    x, y = place.positions[node]
    ax.add_patch(
        Ellipse(
            (x, y),
            2 * place.widths[node],
            2 * HEIGHT,
            facecolor=GREY if latent else "white",
            edgecolor=INK,
            linestyle=(0, (3, 2)) if latent else "-",
            linewidth=1.2 * scale,
            zorder=3,
        )
    )
    symbol = re.fullmatch(r"([A-Za-z])(\d*)", node)
    ax.text(
        x,
        y,
        (f"${symbol[1]}_{{{symbol[2]}}}$" if symbol[2] else f"${node}$") if symbol else node,
        ha="center",
        va="center",
        fontsize=FONT * scale,
        color=INK,
        zorder=4,
        parse_math=symbol is not None,
    )


def _draw_edge(ax: Axes, edge: Edge, points: Array, scale: float) -> None:
    confounded, double = edge[0] == "confounded", edge[0] == "constitutive"
    shaft = _piece(points, HEAD if confounded else 0.0, 0.5 * HEAD if double else HEAD)
    rails = [shaft + side * RAIL * _normals(shaft) for side in (1, -1)] if double else [shaft]
    for rail in rails:
        ax.plot(
            *rail.T,
            color=INK,
            linewidth=1.3 * scale,
            linestyle=(0, (4, 2)) if confounded else "-",
            solid_capstyle="butt",
            zorder=1,
        )
    for end in [points, points[::-1]] if confounded else [points]:
        _draw_head(ax, end, scale, filled=not double)


def _draw_head(ax: Axes, points: Array, scale: float, *, filled: bool) -> None:
    tip, along = points[-1], points[-1] - _piece(points, 0.0, HEAD)[-1]
    along = along / np.linalg.norm(along)
    across = np.array([-along[1], along[0]])
    width = 0.4 * HEAD if filled else 0.7 * HEAD
    corners = np.array([tip - HEAD * along + side * width * across for side in (1, -1)])
    outline = np.array([corners[0], tip, corners[1]])
    if filled:
        ax.fill(*outline.T, color=INK, linewidth=0.0, zorder=2)
    else:
        ax.plot(*outline.T, color=INK, linewidth=1.3 * scale, zorder=2)


def _extent(place: Layout, curves: Mapping[Edge, Array]) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of a picture that holds all nodes and edges."""
    corners = [
        (x + side * (place.widths[node] + BORDER), y + side * (HEIGHT + BORDER))
        for node, (x, y) in place.positions.items()
        for side in (-1, 1)
    ]
    points = np.array(corners or [(-BORDER, -BORDER), (BORDER, BORDER)])
    low = np.min([points.min(axis=0), *(c.min(axis=0) - BORDER for c in curves.values())], axis=0)
    high = np.max([points.max(axis=0), *(c.max(axis=0) + BORDER for c in curves.values())], axis=0)
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def _clipped(edge: Edge, points: Array, place: Layout) -> Array:
    """Return the part of a curve that lies outside the nodes at its ends."""
    points = _piece(points, 0.0, 0.0)
    outside = np.ones(len(points), dtype=bool)
    for node in edge[1:]:
        size = np.array([place.widths[node] + GAP, HEIGHT + GAP])
        offset = (points - np.array(place.positions[node])) / size
        outside &= (offset**2).sum(axis=1) > 1.0
    return points[outside]


def _piece(points: Array, start: float, stop: float) -> Array:
    """Return a polyline without its first ``start`` and its last ``stop`` units of length."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(start, along[-1] - stop, SAMPLES)
    return np.stack([np.interp(at, along, points[:, axis]) for axis in (0, 1)], axis=1)


def _normals(points: Array) -> Array:
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    return np.stack([-along[:, 1], along[:, 0]], axis=1)
