"""Timing, medians, one printed table and one results file, for every speed benchmark.

The systems of one piece of work take turns, and each ratio is taken within a turn, so
that other jobs on the machine slow both sides of it.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table as RichTable

__all__ = ["RESULTS", "Row", "Table", "machine"]

RESULTS = Path(__file__).parent / "results"
MISSING = "not installed"


@dataclass
class Row:
    """One system on one piece of work; its goal is the largest ratio to the reference."""

    work: str
    system: str
    unit: str
    values: Sequence[float]
    ratios: Sequence[float]
    reference: str
    goal: float | None = None
    note: str = ""

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    @property
    def ratio(self) -> float | None:
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is no goal or no ratio."""
        return None if self.goal is None or self.ratio is None else self.ratio <= self.goal

    def as_json(self) -> dict[str, Any]:
        low, high = (min(self.values), max(self.values)) if self.values else (None, None)
        ratios = (min(self.ratios), max(self.ratios)) if self.ratios else (None, None)
        return {
            "row": f"{self.work}: {self.system}",
            "metric": f"ratio to: {self.reference}",
            "paper": None,
            "reproduced": self.median,
            "unit": self.unit,
            "low": low,
            "high": high,
            "ratio": self.ratio,
            "ratio_low": ratios[0],
            "ratio_high": ratios[1],
            "sd": statistics.stdev(self.ratios) if len(self.ratios) > 1 else None,
            "goal": self.goal,
            "met": self.met,
            "seeds": [0],
            "repeats": len(self.values),
            "note": self.note,
        }


class Table:
    """Rows of one benchmark.

    Args:
        name: Name of the benchmark and of its results file.
        repeats: How many turns each system takes.
    """

    def __init__(self, name: str, repeats: int) -> None:
        self.name, self.repeats = name, repeats
        self.rows: list[Row] = []
        self.started = time.perf_counter()
        self.load = _load()

    def race(
        self,
        work: str,
        systems: Mapping[str, Callable[[], Any] | None],
        reference: str,
        goals: Mapping[str, float] | None = None,
        notes: Mapping[str, str] | None = None,
        *,
        repeats: int | None = None,
        inner: int = 1,
        warm: bool = True,
    ) -> None:
        """Time the systems in turn, each turn beginning with another one.

        Args:
            work: What they do.
            systems: A call for each; None for one that is not installed.
            reference: The system that the others are divided by.
            goals: Largest ratio wanted, by system.
            notes: What should be known of a row, by system.
            repeats: Turns, if other than the table's.
            inner: Calls in one measurement, for work of less than a millisecond.
            warm: Whether to call each system once before the clock starts.
        """
        present = {name: call for name, call in systems.items() if call is not None}
        if warm:
            for call in present.values():
                call()
        names = list(present)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(repeats or self.repeats):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                seconds[name].append(_clock(present[name], inner))
        self.compare(work, {n: seconds.get(n, []) for n in systems}, reference, "s", goals, notes)

    def compare(
        self,
        work: str,
        values: Mapping[str, Sequence[float]],
        reference: str,
        unit: str,
        goals: Mapping[str, float] | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Add one row a system from measurements; turn k of each is divided by the reference's."""
        for system, measured in values.items():
            base = values[reference]
            pairs = zip(measured, base, strict=True) if measured and base else ()
            ratios = [a / b for a, b in pairs]
            goal = (goals or {}).get(system)
            note = (notes or {}).get(system, "") if measured else MISSING
            self.rows.append(Row(work, system, unit, measured, ratios, reference, goal, note))
            if ratios and sys.stderr.isatty():
                print(f"{work}, {system}: {_number(self.rows[-1].ratio or 0.0)}", file=sys.stderr)

    def show(self, console: Console | None = None) -> None:
        """Print the table, what it ran on, and the goals that were missed."""
        table = RichTable(title=f"{self.name}: {machine()}", box=box.SIMPLE_HEAD)
        for column in ("work", "system"):
            table.add_column(column, overflow="fold")
        for column in ("median", "min - max", "ratio", "min - max", "goal", "met"):
            table.add_column(column, justify="right", no_wrap=True)
        previous = ""
        for row in self.rows:
            if previous and row.work != previous:
                table.add_section()
            work, previous = row.work if row.work != previous else "", row.work
            mark = " (reference)" if row.system == row.reference else ""
            if row.median is None:
                table.add_row(work, row.system, MISSING, "", "", "", _goal(row), "")
                continue
            table.add_row(
                work,
                row.system + mark,
                _amount(row.median, row),
                f"{_amount(min(row.values), row)} - {_amount(max(row.values), row)}",
                "" if row.ratio is None else _number(row.ratio),
                f"{_number(min(row.ratios))} - {_number(max(row.ratios))}" if row.ratios else "",
                _goal(row),
                {None: "", True: "yes", False: "NO"}[row.met],
            )
        wide = console or Console()
        if not wide.is_terminal:
            wide = Console(width=140, file=wide.file)
        wide.print(table)
        for row in self.rows:
            if row.note and row.median is not None:
                wide.print(f"{row.work}, {row.system}: {row.note}", highlight=False)
        wide.print(f"Load of the machine: {self.load} before, {_load()} after.", highlight=False)
        missed = [r for r in self.rows if r.met is False]
        for row in missed:
            wide.print(
                f"MISSED: {row.work}, {row.system}: {_number(row.ratio or 0.0)} of "
                f"{row.reference!r}; the goal is at most {_number(row.goal or 0.0)}",
                highlight=False,
            )
        if not missed:
            wide.print("No goal that could be measured was missed.")

    def save(self, command: str, path: Path | None = None) -> Path:
        """Write the results as JSON, into ``RESULTS`` unless a path is given."""
        path = path or RESULTS / f"{self.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "name": self.name,
            "command": command,
            "seconds": round(time.perf_counter() - self.started, 1),
            "machine": f"{machine()}, load {self.load} before and {_load()} after",
            "rows": [row.as_json() for row in self.rows],
        }
        path.write_text(json.dumps(content, indent=2) + "\n")
        return path


def machine() -> str:
    """Cores, threads and versions that a measurement depends on."""
    waiting = os.environ.get("OMP_WAIT_POLICY")
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
        + (f", OMP_WAIT_POLICY={waiting}" if waiting else "")
    )


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def _clock(call: Callable[[], Any], inner: int) -> float:
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(inner):
            result = call()
        seconds = (time.perf_counter() - start) / inner
    finally:
        gc.enable()
    del result
    return seconds


def _goal(row: Row) -> str:
    return "" if row.goal is None else f"<= {_number(row.goal)}"


def _amount(value: float, row: Row) -> str:
    if row.unit == "s" and (row.median or 0.0) < 0.1:
        return f"{_number(1000 * value)} ms"
    return f"{_number(value)} {row.unit}"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
