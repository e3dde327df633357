"""Figures outside pyplot: nothing is shown, and no window or global state is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scm.errors import ScmError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["new_figure"]


def new_figure(width: float, height: float, otherwise: str = "") -> Figure:
    """An empty matplotlib figure, white, outside pyplot.

    Args:
        width: Its width in inches.
        height: Its height in inches.
        otherwise: What can be had without matplotlib, for the error.

    Raises:
        ScmError: If matplotlib is missing.

    Example:
        >>> new_figure(4.0, 3.0).get_size_inches().tolist()
        [4.0, 3.0]
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        needed = "drawing needs matplotlib: pip install 'neural-scm[plot]'"
        raise ScmError(f"{needed}. {otherwise}" if otherwise else needed) from error
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure
