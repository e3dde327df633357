"""The one progress bar: on a terminal or in a notebook, on standard error, gone when done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]

_PAUSE = 0.1  # seconds between two looks of a notebook's line


@contextmanager
def progress_bar(
    title: str, total: int, unit: str, show: bool = True
) -> Iterator[Callable[..., None]]:
    """Show how far a loop has come; call what it yields after each step, with a note if any.

    Args:
        title: What is going on.
        total: Number of steps.
        unit: What a step is called.
        show: False for no bar at all.

    Example:
        >>> with progress_bar("count", 3, "numbers") as advance:
        ...     for _ in range(3):
        ...         advance()
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if show and console.is_jupyter:
        with _line(title, total, unit) as advance:
            yield advance
        return
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        TextColumn(f"{{task.completed}}/{{task.total}} {unit}  {{task.fields[note]}}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (show and console.is_terminal),
    )
    with bar:
        task = bar.add_task("", total=total, note="")

        def advance(note: str = "") -> None:
            bar.update(task, advance=1, note=note)

        yield advance


@contextmanager
def _line(title: str, total: int, unit: str) -> Iterator[Callable[..., None]]:
    """A notebook's own bar, in one output that is written over: rich's needs ipywidgets."""
    from html import escape

    from IPython.display import HTML, display

    def bar(done: int, note: str) -> HTML:
        words = f"{title}  {done}/{total} {unit}  {note}".rstrip()
        return HTML(
            f'<progress max="{total}" value="{done}" aria-label="{escape(title)}"></progress> '
            f"{escape(words)}"
        )

    shown = display(bar(0, ""), display_id=True)
    done, last = 0, time.monotonic()

    def advance(note: str = "") -> None:
        nonlocal done, last
        done += 1
        if time.monotonic() - last >= _PAUSE:
            last = time.monotonic()
            shown.update(bar(done, note))

    try:
        yield advance
    finally:
        shown.update(HTML(""))
