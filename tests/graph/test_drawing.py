from __future__ import annotations

import sys
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scm.errors import ScmError
from scm.graph import CausalGraph
from scm.graph.drawing import layout
from scm.graph.layout import HEIGHT
from scm.graph.routing import curve, routes

from .strategies import letters

GALLERY = {
    "GenInt, figure 4": CausalGraph("C -> Z, Y; Z, F -> X; X -> Y", latent=["C"]),
    "CGN": CausalGraph("Y -> Y1, Y2, Y3; Y1 -> M; Y2 -> F; Y3 -> B; M, F, B -> X"),
    "visual causes": CausalGraph("H1, H2 -> I; H1, I -> T; I => C, S", latent=["H1", "H2"]),
    "front door": CausalGraph("X -> M -> Y; X <-> Y"),
    "complete": CausalGraph("A -> B -> C -> D; A -> C, D; B -> D; A <-> B <-> C <-> D <-> A"),
    "apart": CausalGraph('A; B; "a long name, (y)" -> B'),
    "empty": CausalGraph(""),
}


def overlap(points, centre, width):
    offset = (points - np.array(centre)) / np.array([width, HEIGHT])
    return bool(((offset**2).sum(axis=1) < 1.0).any())


@given(letters(max_nodes=8))
def test_layout_runs_forward_and_keeps_nodes_apart(graph):
    place = layout(graph)
    assert place.positions == layout(graph).positions
    at = place.positions
    assert list(at) == list(graph.nodes)
    for a, b in (*graph.edges, *graph.constitutive):
        assert at[a][0] < at[b][0]
    for a, b in combinations(graph.nodes, 2):
        (x, y), (u, v) = at[a], at[b]
        assert abs(y - v) > 2 * HEIGHT or abs(x - u) > place.widths[a] + place.widths[b]


@pytest.mark.parametrize("graph", GALLERY.values(), ids=GALLERY)
def test_no_edge_runs_through_a_node_that_is_not_its_own(graph):
    place = layout(graph)
    for edge, route in routes(graph, place).items():
        for node in graph:
            if node not in edge[1:]:
                assert not overlap(curve(route), place.positions[node], place.widths[node])


@settings(max_examples=15, deadline=None)
@given(letters(max_nodes=6))
def test_routes_join_their_nodes(graph):
    place = layout(graph)
    found = routes(graph, place)
    assert len(found) == len(graph.edges) + len(graph.bidirected) + len(graph.constitutive)
    for (kind, a, b), route in found.items():
        assert (route[0], route[-1]) == (place.positions[a], place.positions[b])
        assert kind != "confounded" or len(route) > 2


@pytest.mark.parametrize("graph", GALLERY.values(), ids=GALLERY)
def test_draw(graph):
    ax = graph.draw()
    assert len(ax.texts) == len(graph)
    ax.figure.canvas.draw()


def test_draw_leaves_pyplot_alone():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    GALLERY["CGN"].draw()
    assert pyplot.get_fignums() == before


def test_draw_on_given_axes():
    figure = Figure(figsize=(2, 2))
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    assert GALLERY["CGN"].draw(ax) is ax
    assert 0 < ax.texts[0].get_fontsize() < 13


def test_names_are_not_read_as_mathematics():
    graph = CausalGraph('"$x_1$ & {" -> "a$b"')
    assert "<svg" in graph._repr_svg_()


def test_confounded_edges_are_dashed_and_constitutive_ones_double():
    ax = CausalGraph("A <-> B").draw()
    assert [line.is_dashed() for line in ax.lines] == [True]
    ax = CausalGraph("A => B").draw()
    assert len(ax.lines) == 3


def test_svg():
    text = GALLERY["visual causes"]._repr_svg_()
    assert text.startswith("<?xml")
    assert text.rstrip().endswith("</svg>")


def test_without_matplotlib(monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ScmError, match=r"pip install 'neural-scm\[plot\]'"):
        GALLERY["CGN"].draw()
    assert GALLERY["CGN"]._repr_svg_() is None
