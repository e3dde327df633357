"""What a finished study leaves: results.json, table.md, a printed table; and what sums all up."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from scm.errors import ScmError
from scm.files import write_whole
from scm.reproductions.study import Study

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["collect", "machine", "selected", "write_report"]

_COLUMNS = ("row", "metric", "paper", "reproduced", "mean ± sd", "seeds", "note")


def write_report(study: Study, about: str) -> None:
    """Write `results.json` and `table.md` into the study's folder, and print the table."""
    results = {
        "name": study.name,
        "command": study.command,
        "seconds": round(study.seconds, 1),
        "machine": machine(study.device),
        "rows": [row.as_json() for row in study.rows],
    }
    write_whole(
        study.out / "results.json", json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    )
    lines = [f"# {study.name}", "", f"{about[0].upper()}{about[1:]}.", "", *_section(results)]
    for path, caption in study.pictures.items():
        shown = path.relative_to(study.out) if path.is_relative_to(study.out) else path
        lines += ["", f"![{caption}]({shown.as_posix()})", "", caption]
    write_whole(study.out / "table.md", "\n".join(lines) + "\n")
    console = study.console
    if not console.is_terminal:
        console = Console(width=140, file=console.file, highlight=False)
    console.print(_printed(results))
    for row in (row for row in study.rows if row.met is False):
        text = f"MISSED: {row.row}, {row.metric}: {_number(row.mean)}; the goal is {row.goal}"
        console.print(text, markup=False)
    files = ["results.json", "table.md", *(path.name for path in study.pictures)]
    console.print(f"{study.out}: {', '.join(files)}", markup=False)


def selected(found: Iterable[Mapping[str, Any]]) -> str:
    """How the weights of classifiers were selected, to stand beside their figures.

    Args:
        found: What is known of each; at "note" its `Trained.note`, whose seed is left out.

    Example:
        >>> note = "ERM(), seed {}, selected: the last step, 9 of 9"
        >>> selected([{"note": note.format(seed)} for seed in (0, 1)])
        'ERM(), selected: the last step, 9 of 9'
    """
    notes = {re.sub(r", seed \d+", "", one.get("note", "")) for one in found}
    return "; ".join(sorted(notes - {""}))


def machine(device: str = "cpu") -> str:
    """What a run's time depends on, in words: cores, processor or GPU, threads, versions."""
    import torch

    parts = [f"{os.cpu_count()} cores {platform.machine()}"]
    if torch.device(device).type == "cuda":
        parts.append(torch.cuda.get_device_name(device))
    parts.append(f"{torch.get_num_threads()} torch threads, torch {torch.__version__}")
    return ", ".join([*parts, f"Python {platform.python_version()}"])


def collect(folder: str | Path, finished: Iterable[str | Path] = ()) -> Path:
    """Write `README.md` of a folder from the `results.json` of each reproduction in it.

    Args:
        folder: Folder with one folder for each reproduction, as `benchmarks/papers`.
        finished: Folders of full runs to bring in first: their results, table and pictures
            replace those of an earlier run; cells stay where they are.

    Returns:
        Path of `README.md`.

    Raises:
        ScmError: If a folder holds no results, or those of a quick run.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     collect(folder).name
        'README.md'
    """
    folder = Path(folder)
    for run in map(Path, finished):
        results = _results(run)
        if "--quick" in results["command"].split():
            raise ScmError(f"{run} holds a quick run ({results['command']}); expected a full one")
        target = folder / results["name"]
        target.mkdir(parents=True, exist_ok=True)
        for old in (*target.glob("*.png"), *target.glob("table.md")):
            old.unlink()
        for new in (run / "results.json", run / "table.md", *run.glob("*.png")):
            (target / new.name).write_bytes(new.read_bytes())
    lines = [
        "# The papers' experiments, as last run",
        "",
        "Written by `python benchmarks/papers/collect.py` from each folder's `results.json`. "
        "*mean ± sd* is this library's, over the seeds; *reproduced* that of a published "
        "reproduction.",
    ]
    for path in sorted(folder.glob("*/results.json")):
        results = _results(path.parent)
        name = path.parent.name
        lines += ["", f"## [{name}]({name}/table.md)", "", *_section(results)]
    write_whole(folder / "README.md", "\n".join(lines) + "\n")
    return folder / "README.md"


def _results(folder: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        for name in ("rows", "command", "seconds", "machine"):
            content[name]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ScmError(
            f"{folder} has no results.json that can be read ({error!r:.200}); expected the folder "
            "of a finished `scm reproduce`"
        ) from error
    return content


def _section(results: Mapping[str, Any]) -> list[str]:
    """The table of a run as Markdown, and what it was made by."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---|---|---:|---:|---:|---|---|"]
    for row in results["rows"]:
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in _cells(row))} |")
    return [
        *lines,
        "",
        f"`{results['command']}`: {_minutes(results['seconds'])} on {results['machine']}.",
    ]


def _printed(results: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    title = f"{results['name']}: {_minutes(results['seconds'])}, {results['machine']}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in _COLUMNS:
        figures = column in ("paper", "reproduced", "mean ± sd")
        justify: Literal["left", "right"] = "right" if figures else "left"
        table.add_column(column, justify=justify, no_wrap=figures, overflow="fold")
    for row in results["rows"]:
        table.add_row(*map(escape, _cells(row)))
    return table


def _cells(row: Mapping[str, Any]) -> list[str]:
    mean = _number(row["mean"]) + (f" ± {_number(row['sd'])}" if row["sd"] is not None else "")
    seeds = ", ".join(map(str, row["seeds"]))
    figures = [_number(row["paper"]), _number(row["reproduced"]), mean]
    return [row["row"], row["metric"], *figures, seeds, row["note"]]


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
