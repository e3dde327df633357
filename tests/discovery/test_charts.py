from xml.etree import ElementTree

import pytest

from scm.discovery.charts import histogram, intervals, lines


def drawn(svg, tag, kind):
    found = [e for e in ElementTree.fromstring(svg).iter(tag) if kind in e.get("class", "")]
    return [{**e.attrib, "text": e.text} for e in found]


def test_bars_are_as_high_as_there_are_draws_and_the_line_stands_where_it_was_observed():
    svg = histogram([0.0, 0.0, 0.0, 1.0, float("nan")], 2.0, "x", "a < b")
    bars = drawn(svg, "rect", "bar")
    heights = [float(bar["height"]) for bar in bars]
    assert heights[0] == pytest.approx(3 * heights[1], abs=0.3)
    (line,) = drawn(svg, "path", "observed")
    at = float(line["d"][1:].split()[0])
    first, second = (float(bar["x"]) for bar in bars)
    assert at == pytest.approx(first + 2 * (second - first), abs=20)  # half a bin at most, twice
    assert ElementTree.fromstring(svg).get("aria-label") == "a < b"


def test_curves_are_linear_in_their_values_and_leave_out_what_is_not_finite():
    svg = lines([0, 1, 3], {"up": [0.0, 1.0, 3.0], "gap": [1.0, float("nan"), 2.0]}, "x", "two")
    first, second = drawn(svg, "polyline", "line")
    points = [tuple(map(float, p.split(","))) for p in first["points"].split()]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x2 - x0 == pytest.approx(3 * (x1 - x0), abs=0.5)
    assert y2 - y0 == pytest.approx(3 * (y1 - y0), abs=0.5)
    assert y2 < y0
    assert len(second["points"].split()) == 2
    assert first["class"] != second["class"]


def test_estimates_stand_between_their_limits():
    svg = intervals({"a": (0.5, 0.25, 0.75), "b": (-1.0, -1.0, -1.0)}, "x", "two")
    dots = [float(dot["cx"]) for dot in drawn(svg, "circle", "dot")]
    (zero,) = (float(line["d"][1:].split()[0]) for line in drawn(svg, "path", "zero"))
    low, high = (float(p.split()[0]) for p in drawn(svg, "path", "limits")[0]["d"]
                 .split("M")[2:4])  # fmt: skip
    assert dots[1] < zero < low < dots[0] < high


def test_what_does_not_vary_is_drawn_too():
    assert histogram([1.0, 1.0], 1.0, "x", "same").count("<rect") == 1
    assert "polyline" in lines([1.0], {"zero": [0.0]}, "x", "one point")
