"""Tables in HTML: plain, so that the notebook or the page that shows them gives their looks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["Markup", "table"]


class Markup(str):
    """Text that is HTML already, and goes into a table as it is."""

    __slots__ = ()


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    kind: str = "",
    more: int = 0,
) -> str:
    """A table whose first column names the rows.

    Args:
        caption: What it shows.
        head: Names of the columns.
        rows: Their cells; `Markup` is taken as it is, anything else is escaped.
        kind: Its class, for a style sheet.
        more: How many rows were left out.

    Example:
        >>> table("Ink", ["digit", "mean"], [["1 < 2", 0.25]])
        '<table><caption>Ink</caption><thead><tr><th scope="col">digit</th><th
        scope="col">mean</th></tr></thead><tbody><tr><th scope="row">1 &lt;
        2</th><td>0.25</td></tr></tbody></table>'
    """
    top = "".join(f'<th scope="col">{_cell(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{_cell(name)}</th>'
        + "".join(f"<td>{_cell(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    if more > 0:
        body += f'<tr><td colspan="{len(head)}">... and {more:,} more</td></tr>'
    opened = f'<table class="{kind}">' if kind else "<table>"
    return (
        f"{opened}<caption>{_cell(caption)}</caption>"
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(content: object) -> str:
    return content if isinstance(content, Markup) else escape(str(content))
