"""A study: work done in cells that are kept, and what it found, as rows and pictures."""

from __future__ import annotations

import hashlib
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import scm
from scm.errors import ScmError
from scm.files import write_whole
from scm.parallel import Executor, here
from scm.progress import progress_bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

__all__ = ["Row", "Study"]

Result = TypeVar("Result")
Cell = tuple[Callable[..., Result], Mapping[str, Any]]

_RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


@dataclass(frozen=True)
class Row:
    """One figure: what the paper has, what another reproduction has, and what this run found.

    Attributes:
        row: What was measured.
        metric: In which terms, with the unit.
        values: What each seed gave; None where one gave no finite number.
        paper: The paper's figure.
        reproduced: The figure of a published reproduction.
        goal: Such as "<= 2", which the mean should meet.
        note: What should be known of it.

    Example:
        >>> Row("CGN", "accuracy, %", {0: 94.0, 1: 96.0}, paper=95.1, goal=">= 95").mean
        95.0
    """

    row: str
    metric: str
    values: Mapping[int, float | None]
    paper: float | None = None
    reproduced: float | None = None
    goal: str | None = None
    note: str = ""

    @property
    def found(self) -> list[float]:
        """The finite values."""
        return [value for value in self.values.values() if value is not None]

    @property
    def mean(self) -> float | None:
        """Mean over the seeds; None without a value."""
        return statistics.fmean(self.found) if self.found else None

    @property
    def sd(self) -> float | None:
        """Standard deviation over the seeds (n - 1); None with fewer than two."""
        return statistics.stdev(self.found) if len(self.found) > 1 else None

    @property
    def met(self) -> bool | None:
        """Whether the mean meets the goal; None without a goal."""
        if self.goal is None:
            return None
        relation, bound = _parse(self.goal)
        return self.mean is not None and _RELATIONS[relation](self.mean, bound)

    @property
    def remarks(self) -> str:
        """The note, after the goal and the seeds that gave no number."""
        lost = [str(seed) for seed, value in self.values.items() if value is None]
        parts = [
            f"goal {self.goal}: {'met' if self.met else 'MISSED'}" if self.goal else "",
            f"no finite number from seed {', '.join(lost)}" if lost else "",
            self.note,
        ]
        return "; ".join(part for part in parts if part)

    def as_json(self) -> dict[str, Any]:
        """The row as `results.json` holds it."""
        return {
            "row": self.row,
            "metric": self.metric,
            "paper": self.paper,
            "reproduced": self.reproduced,
            "mean": self.mean,
            "sd": self.sd,
            "seeds": list(self.values),
            "note": self.remarks,
        }


class Study:
    """One run of a reproduction; a second run into the same folder goes on where it was.

    Args:
        name: Name of the reproduction.
        out: Folder of the run; made where it does not exist.
        seeds: Seeds to run.
        first: The seed that does what is done once; the first of them by default.
        quick: Whether to do a fraction of the work.
        device: Where tensors live.
        options: The reproduction's own options.
        progress: Show progress bars, on a terminal or in a notebook.
        console: Where to print; standard output by default.
        command: The command line of this run.
        spread: What runs the cells of a `grid`; by default this process does.

    Raises:
        ScmError: If the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from rich.console import Console
        >>> quiet = Console(quiet=True)
        >>> study = Study("squares", tempfile.mkdtemp(), seeds=range(3), console=quiet)
        >>> found = [study.cell(f"seed-{s}", lambda seed: seed**2, seed=s) for s in study.seeds]
        >>> study.row("squares", "mean", found, goal="<= 2").mean
        1.66...
    """

    def __init__(
        self,
        name: str,
        out: str | Path,
        *,
        seeds: Iterable[int] = (0,),
        first: int | None = None,
        quick: bool = False,
        device: str = "cpu",
        options: Mapping[str, str] | None = None,
        progress: bool = True,
        console: Console | None = None,
        command: str = "",
        spread: Executor = here,
    ) -> None:
        from rich.console import Console

        self.name, self.out, self.seeds, self.quick = name, Path(out), tuple(seeds), quick
        self.first = next(iter(self.seeds), 0) if first is None else first
        self.device, self.options, self.progress = device, dict(options or {}), progress
        self.console, self.command = console or Console(highlight=False), command
        self.spread = spread
        self.rows: list[Row] = []
        self.pictures: dict[Path, str] = {}
        self._cells: dict[str, Path] = {}
        self._kept, self._started = 0.0, time.perf_counter()
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            probe = self.cells / f"probe.{os.getpid()}"
            write_whole(probe, "")
            probe.unlink()
        except OSError as error:
            raise ScmError(
                f"the folder {self.out} cannot be written ({error.strerror}); choose another: "
                "--out DIR"
            ) from error

    @property
    def cells(self) -> Path:
        """Folder of the work that is done."""
        return self.out / "cells"

    @property
    def seconds(self) -> float:
        """Seconds of work so far, that of cells from runs before included."""
        return time.perf_counter() - self._started + self._kept

    def cell(self, label: str, function: Callable[..., Result], /, **settings: Any) -> Result:
        """Return `function(**settings)`, computed once and kept in the folder of the run.

        The result is reused if label, settings, `quick`, device, the function with its whole
        module, and the version of scm are the same. What a result depends on belongs into the
        settings; data that follow from them may come by `functools.partial` or a closure. Other
        modules are not looked at: after changing one, remove the cells.

        Args:
            label: Name of the cell, and path of its folder below `cells`: "seed-0/coloured-cgn".
            function: The work; returns what JSON can hold. Files that it makes go to
                `study.path(label, ...)`.
            **settings: Its arguments, which JSON can hold. A path to a file of another cell is
                one, and makes this cell depend on that one's settings.

        Raises:
            ScmError: If JSON cannot hold the settings or the result.
        """
        start = self.seconds
        kept = self._begun(label, function, settings)
        if kept is None:
            result = function(**settings)
            return self._keep(label, settings, result, self.seconds - start)
        self._kept += kept["seconds"]
        self.console.print(f"  {label}: kept from before", style="dim")
        found: Result = kept["result"]
        return found

    def grid(self, cells: Mapping[str, Cell[Result]]) -> dict[str, Result]:
        """Cells of which none needs another, on the workers that the run was given.

        Args:
            cells: By label, a function and its settings, as for `cell`. New processes import the
                function; it cannot ask for `path`.

        Returns:
            Results by label.
        """
        todo = [(label, *cell) for label, cell in cells.items() if not self._begun(label, *cell)]
        done: dict[str, Result] = {}
        with progress_bar(self.name, len(todo), "cells", self.progress) as advance:
            for label, result, seconds in self.spread(_timed, todo):
                done[label] = self._keep(label, cells[label][1], result, seconds)
                advance()
        return {
            label: done[label] if label in done else self.cell(label, function, **settings)
            for label, (function, settings) in cells.items()
        }

    def _begun(self, label: str, function: Any, settings: Any) -> dict[str, Any] | None:
        """What is kept of a cell, or None; its folder is then there."""
        folder = self._cells[label] = self._folder(label, function, settings)
        kept = _read(folder / "result.json")
        if kept is None:
            folder.mkdir(parents=True, exist_ok=True)
        return kept

    def _keep(self, label: str, settings: Any, result: Result, seconds: float) -> Result:
        content = {"cell": label, "settings": settings, "seconds": seconds, "result": result}
        text = self._json(content, f"the result of cell {label!r}")
        write_whole(self._cells[label] / "result.json", text)
        self.console.print(f"  {label}: {seconds:.1f} s", style="dim")
        kept: Result = json.loads(text)["result"]  # what a run that reuses it will see
        return kept

    def path(self, label: str, *parts: str) -> Path:
        """Return a path in the folder of a cell, for networks and tensors that it keeps.

        Args:
            label: Name of a cell that this run has begun; its function may ask as well.
            *parts: Folders, if any, and the file's name.

        Raises:
            ScmError: If this run has not begun that cell.
        """
        if label not in self._cells:
            raise ScmError(
                f"path({label!r}) was asked for; this run has begun the cells "
                f"{', '.join(map(repr, self._cells)) or 'none'}: call study.cell() first"
            )
        found = self._cells[label].joinpath(*parts)
        found.parent.mkdir(parents=True, exist_ok=True)
        return found

    def row(
        self,
        row: str,
        metric: str,
        values_by_seed: Mapping[int, float] | Iterable[float],
        paper: float | None = None,
        reproduced: float | None = None,
        goal: str | None = None,
        note: str = "",
    ) -> Row:
        """Add a row to the table; one that misses its goal stays there.

        Args:
            row: What was measured.
            metric: In which terms, with the unit.
            values_by_seed: What each seed gave, by seed or in the order of `seeds`.
            paper: The paper's figure.
            reproduced: The figure of a published reproduction.
            goal: "<= 2" or the like, for the mean.
            note: What should be known of it.

        Raises:
            ScmError: If there is not one value a seed, or the goal cannot be read.
        """
        if isinstance(values_by_seed, Mapping):
            pairs = dict(values_by_seed)
        else:
            values = list(values_by_seed)
            if len(values) != len(self.seeds):
                raise ScmError(
                    f"the row {row!r} has {len(values)} values for the {len(self.seeds)} seeds "
                    f"{self.seeds}; expected one each, or a mapping from seed to value"
                )
            pairs = dict(zip(self.seeds, values, strict=True))
        if goal is not None:
            _parse(goal)
        finite = {s: float(v) if math.isfinite(v) else None for s, v in pairs.items()}
        self.rows.append(Row(row, metric, finite, paper, reproduced, goal, note))
        return self.rows[-1]

    def picture(self, figure: Figure | str | Path, caption: str, name: str = "") -> Path:
        """Add a picture to the report.

        Args:
            figure: A matplotlib figure, or the path of an image that is already in `out`.
            caption: What it shows.
            name: Name of a figure's file, without its suffix; `picture-1`, ... by default.
        """
        if isinstance(figure, (str, Path)):
            path = Path(figure)
        else:
            path = self.out / f"{name or f'picture-{len(self.pictures) + 1}'}.png"
            figure.savefig(path, dpi=110, bbox_inches="tight")
        self.pictures[path] = caption
        return path

    def _folder(self, label: str, function: Callable[..., Any], settings: Any) -> Path:
        while hasattr(function, "func"):  # a functools.partial
            function = function.func
        name = getattr(function, "__qualname__", type(function).__qualname__)
        key = {
            "function": f"{function.__module__}:{name}",
            "code": _code_of(function.__module__),
            "settings": settings,
            "quick": self.quick,
            "device": self.device,
            "version": scm.__version__,
        }
        text = self._json(key, f"the settings of cell {label!r}")
        return self.cells / f"{label}.{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def _json(self, content: Any, what: str) -> str:
        def other(value: Any) -> str:
            if isinstance(value, Path):
                inside = value.is_relative_to(self.out)
                return str(value.relative_to(self.out) if inside else value)
            raise TypeError(f"it holds a {type(value).__name__}")

        try:
            return json.dumps(content, default=other, sort_keys=True, indent=1)
        except (TypeError, ValueError) as error:
            raise ScmError(
                f"{what} cannot be kept as JSON ({error}); use numbers, text, lists and "
                "dictionaries, and study.path() for tensors and networks"
            ) from error


def _timed(job: tuple[str, Callable[..., Result], Mapping[str, Any]]) -> tuple[str, Result, float]:
    label, function, settings = job
    start = time.perf_counter()
    return label, function(**settings), time.perf_counter() - start


def _read(path: Path) -> dict[str, Any] | None:
    """Content of a cell's file; None where it is missing or damaged, as after a power cut."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        content["seconds"], content["result"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return content


@cache
def _code_of(module: str) -> str:
    """A hash of a module's file as first seen; nothing for one without a file, as a console."""
    try:
        source = Path(sys.modules[module].__file__ or "").read_bytes()
    except (KeyError, AttributeError, OSError):
        return ""
    return hashlib.sha256(source).hexdigest()


def _parse(goal: str) -> tuple[str, float]:
    relation, _, bound = goal.strip().partition(" ")
    try:
        number = float(bound)
    except ValueError:
        number = math.nan
    if relation not in _RELATIONS or not math.isfinite(number):
        raise ScmError(f"the goal {goal!r} was given; expected such as '<= 2' or '>= 95'")
    return relation, number
