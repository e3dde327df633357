"""The one progress bar: on a terminal or in a notebook, on standard error, gone when done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]


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
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        TextColumn(f"{{task.completed}}/{{task.total}} {unit}  {{task.fields[note]}}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (show and (console.is_terminal or console.is_jupyter)),
    )
    with bar:
        task = bar.add_task("", total=total, note="")

        def advance(note: str = "") -> None:
            bar.update(task, advance=1, note=note)

        yield advance
