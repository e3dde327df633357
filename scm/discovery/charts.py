"""Small charts as inline SVG: colours come from the page, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["histogram", "intervals", "lines"]

_WIDTH, _HEIGHT = 460, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 10, 40
_STYLES = 6  # of lines in the page's style sheet: dashes and colours
_LETTER = 7  # width of a letter, about


class _Frame:
    """Axes: from numbers to places, and back to ticks."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        height: int = _HEIGHT,
        left: int = _LEFT,
    ) -> None:
        self.x, self.y, self.height, self.left = _apart(x), _apart(y), height, left

    def across(self, value: float) -> float:
        low, high = self.x
        return self.left + (value - low) / (high - low) * (_WIDTH - self.left - _RIGHT)

    def down(self, value: float) -> float:
        low, high = self.y
        bottom = self.height - _BOTTOM
        return bottom - (value - low) / (high - low) * (bottom - _TOP)

    def bottom_axis(self, name: str) -> str:
        y = self.height - _BOTTOM
        made = [f'<path class="axis" d="M{self.left} {y}H{_WIDTH - _RIGHT}"/>']
        for tick in _ticks(*self.x):
            at = self.across(tick)
            made.append(f'<path class="axis" d="M{at:.1f} {y}v4"/>')
            made.append(_text(at, y + 17, f"{tick:g}", "middle"))
        middle = (self.left + _WIDTH - _RIGHT) / 2
        return "".join([*made, _text(middle, y + 34, name, "middle")])

    def left_axis(self) -> str:
        made = []
        for tick in _ticks(*self.y):
            at = self.down(tick)
            kind = "zero" if tick == 0 else "grid"
            made.append(f'<path class="{kind}" d="M{self.left} {at:.1f}H{_WIDTH - _RIGHT}"/>')
            made.append(_text(self.left - 6, at + 4, f"{tick:g}", "end"))
        return "".join(made)


def histogram(values: Sequence[float], observed: float, x: str, label: str, bins: int = 24) -> str:
    """Draws of a null as bars, and what was observed as a line.

    Args:
        values: The draws.
        observed: What was observed.
        x: Name of the axis.
        label: What the picture shows, for those who do not see it.

    Example:
        >>> histogram([0.0, 0.1, 0.2], 0.5, "delta-tau", "three draws").count("<rect")
        3
    """
    values = [value for value in values if math.isfinite(value)]
    low, high = _apart((min([*values, observed]), max([*values, observed])))
    width = (high - low) / bins
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / width))] += 1
    frame = _Frame((low - width, high + width), (0, 1.2 * max(counts)))
    made = [frame.left_axis()]
    for k, count in enumerate(counts):
        if count:
            a, b, top = frame.across(low + k * width), frame.across(low + (k + 1) * width), count
            y = frame.down(top)
            made.append(
                f'<rect class="bar" x="{a:.1f}" y="{y:.1f}" width="{max(b - a - 1, 1):.1f}" '
                f'height="{_HEIGHT - _BOTTOM - y:.1f}"/>'
            )
    at = frame.across(observed)
    made.append(f'<path class="observed" d="M{at:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
    side = "end" if at > _WIDTH / 2 else "start"
    made.append(_text(at + (-6 if side == "end" else 6), _TOP + 12, "observed", side))
    return _svg([*made, frame.bottom_axis(x)], _HEIGHT, label)


def lines(at: Sequence[float], series: Mapping[str, Sequence[float]], x: str, label: str) -> str:
    """Curves over an axis, told apart by their dashes, with a key below.

    Args:
        at: Where the values stand on the axis.
        series: Values by name; six at most are told apart.
        x: Name of the axis.
        label: What the picture shows, for those who do not see it.
    """
    every = [value for values in series.values() for value in values if math.isfinite(value)]
    frame = _Frame((min(at), max(at)), (min([0.0, *every]), max([0.0, *every])))
    made = [frame.left_axis(), frame.bottom_axis(x)]
    for k, (name, values) in enumerate(series.items()):
        style = f"line s{k % _STYLES}"
        points = [
            f"{frame.across(a):.1f},{frame.down(v):.1f}"
            for a, v in zip(at, values, strict=True)
            if math.isfinite(v)
        ]
        made.append(f'<polyline class="{style}" points="{" ".join(points)}"/>')
        y = _HEIGHT + 14 + 18 * k
        made.append(f'<path class="{style}" d="M{_LEFT} {y - 4}h36"/>')
        made.append(_text(_LEFT + 44, y, name, "start"))
    return _svg(made, _HEIGHT + 18 * len(series) + 4, label)


def intervals(rows: Mapping[str, tuple[float, float, float]], x: str, label: str) -> str:
    """Estimates as dots with their limits as lines.

    Args:
        rows: Estimate, lower and upper limit by name.
        x: Name of the axis.
        label: What the picture shows, for those who do not see it.
    """
    every = [v for row in rows.values() for v in row if math.isfinite(v)]
    height = _TOP + 34 * len(rows) + _BOTTOM
    left = min(220, max(_LEFT, 12 + _LETTER * max(map(len, rows), default=0)))
    frame = _Frame((min([0.0, *every]), max([0.0, *every])), (0, 1), height, left)
    zero = frame.across(0)
    made = [f'<path class="zero" d="M{zero:.1f} {_TOP}V{height - _BOTTOM}"/>']
    for k, (name, (value, low, high)) in enumerate(rows.items()):
        y = _TOP + 34 * k + 18
        a, b, middle = (frame.across(v) for v in (low, high, value))
        made.append(f'<path class="limits" d="M{a:.1f} {y}H{b:.1f}M{a:.1f} {y - 5}v10'
                    f'M{b:.1f} {y - 5}v10"/>')  # fmt: skip
        made.append(f'<circle class="dot" cx="{middle:.1f}" cy="{y}" r="4.5"/>')
        made.append(_text(left - 8, y + 4, name, "end"))
    return _svg([*made, frame.bottom_axis(x)], height, label)


def _svg(parts: Sequence[str], height: int, label: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _apart(ends: tuple[float, float]) -> tuple[float, float]:
    """The ends, moved from one another where they are one."""
    low, high = ends
    if high - low > 1e-12 * max(abs(low), abs(high), 1e-300):
        return low, high
    room = abs(low) / 2 or 1.0
    return low - room, high + room


def _ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers between the ends.

    Example:
        >>> _ticks(-0.03, 0.07)
        [-0.02, 0.0, 0.02, 0.04, 0.06]
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    sizes = (1, 2, 5, 10)
    step = next(power * size for size in sizes if rough <= power * size * 1.0001)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.10g}") for k in range(first, last + 1)]
