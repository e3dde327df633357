"""Tables as last run: `{last-run} NAME` of an experiment, `{last-speed} NAME` of a benchmark.

`{last-rows} NAME START` are some rows of an experiment. All read what stands in `benchmarks/`, so
that no figure of the site is typed by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PICTURE = re.compile(r"!\[(?P<caption>.*)\]\((?P<file>[^)\n]+)\)(?:\n\n(?P=caption)(?=\n|$))?")
GOAL = re.compile(r"goal (?P<goal>[^:;]+): (?P<met>met|MISSED)")
FEW, MANY = 15, 30  # rows that need no selection; goals that are shown though they were met
HEADS = ("row", "metric", "paper", "reproduced", "here", "goal")


def speed_rows(name: str) -> tuple[str, Iterator[tuple[str, str, str, str]]]:
    """A benchmark's command and machine, and its rows: work, time, ratio, goal."""
    found = json.loads((BENCHMARKS / "speed" / "results" / f"{name}.json").read_text("utf-8"))

    def rows() -> Iterator[tuple[str, str, str, str]]:
        for row in found["rows"]:
            against = row["metric"].removeprefix("ratio to: ")
            ratio, goal = row["ratio"], row["goal"]
            own = row["row"].endswith(f": {against}")
            compared = "–" if ratio is None else "1 (this)" if own else f"{ratio:.2g}"
            verdict = "" if goal is None else f"{goal:.2g}, {'met' if row['met'] else '**missed**'}"
            yield row["row"], quantity(row["reproduced"], row["unit"]), compared, verdict

    return f"`{found['command']}` on {found['machine']}", rows()


def quantity(value: float | None, unit: str) -> str:
    """A number of a unit in three digits, small seconds as ms and microseconds."""
    if value is None:
        return "–"
    if unit in ("s", "CPU s"):
        steps = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"))
        step, prefix = next((step for step in steps if abs(value) >= step[0]), steps[-1])
        value, unit = value / step, unit.replace("s", f"{prefix}s")
    shown = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{shown} {unit}".replace(" ", "\N{NO-BREAK SPACE}")


def paper_run(name: str) -> dict[str, str] | None:
    """The last run of an experiment in Markdown, by part; None where it has not been run in full.

    "about" is a sentence, "table" the whole table with what made it, "figures" the pictures with
    their captions, and "main" the rows that have a published figure or a goal, where there are
    too many of the others.
    """
    path = BENCHMARKS / "papers" / name / "table.md"
    if not path.is_file():
        return None
    about, _, rest = path.read_text("utf-8").split("\n", 2)[2].strip().partition("\n\n")
    figures = [
        f"```{{figure}} /../benchmarks/papers/{name}/{found['file']}\n"
        f":alt: {found['caption']}\n\n{found['caption']}\n```"
        for found in PICTURE.finditer(rest)
    ]
    table = PICTURE.sub("", rest).strip()
    rows = [line[2:-2].split(" | ") for line in table.splitlines() if line[:2] == "| "][1:]
    parts = {"about": about, "table": table, "figures": "\n\n".join(figures)}
    if len(rows) > FEW and (main := _main_rows(rows)):
        parts["main"] = main
    return parts


def paper_rows(name: str, start: str) -> str | None:
    """The rows of an experiment whose names start so: metric, value and note; or None."""
    path = BENCHMARKS / "papers" / name / "table.md"
    if not path.is_file():
        return None
    cells = [line[2:-2].split(" | ") for line in path.read_text("utf-8").splitlines()]
    rows = [row for row in cells if row[0].startswith(start) and len(row) == 7]
    lines = ["| measured | value | note |", "|---|---:|---|"]
    return "\n".join(
        [
            *lines,
            *(f"| {row[1]}{row[0].removeprefix(start)} | {row[4]} | {row[6]} |" for row in rows),
        ]
    )


def _main_rows(rows: list[list[str]]) -> str:
    """Rows with a published figure or a goal; of many goals, only those that were missed."""
    goals = [GOAL.search(row[-1]) for row in rows]
    set_, met = sum(map(bool, goals)), sum(goal["met"] == "met" for goal in goals if goal)
    shown, notes = [], []
    for row, goal in zip(rows, goals, strict=True):
        missed = goal is not None and goal["met"] == "MISSED"
        if row[2:4] != ["–", "–"] or missed or (goal and set_ <= MANY):
            verdict = f"{goal['goal']}: {'**missed**' if missed else 'met'}" if goal else ""
            shown.append([*row[:5], verdict])
            notes += [part for part in row[-1].split("; ") if part and not GOAL.match(part)]
    said = [f"Goals met: {met} of {set_}."] if set_ else []
    common = [note for note in dict.fromkeys(notes) if notes.count(note) > max(1, len(shown) / 2)]
    said += [f"Most rows: {'; '.join(common)}."] if common else []
    columns = {head: [row[k] for row in shown] for k, head in enumerate(HEADS)}
    metrics = columns.pop("metric")
    usual = max(metrics, key=metrics.count, default="")
    if metrics.count(usual) > len(shown) / 2:
        unless = ", unless a row names another" if len(set(metrics)) > 1 else ""
        said.insert(0, f"Metric{unless}: {usual}.")
    else:
        usual = ""
    columns["row"] = [
        name if metric == usual else f"{name}: *{metric}*"
        for name, metric in zip(columns["row"], metrics, strict=True)
    ]
    columns = {head: cells for head, cells in columns.items() if not {*cells} <= {"–", ""}}
    lines = [" ".join(said), "", f"| {' | '.join(columns)} |"]
    lines.append(f"|{'|'.join('---:' if head in HEADS[2:5] else '---' for head in columns)}|")
    lines += [f"| {' | '.join(row)} |" for row in zip(*columns.values(), strict=True)]
    return "\n".join(lines if shown else lines[:1])


class _Table(SphinxDirective):
    required_arguments = 1
    has_content = False

    def markdown(self, text: str) -> list[nodes.Node]:
        holder = nodes.container()
        self.state.nested_parse(StringList(text.split("\n"), self.get_location()), 0, holder)
        return holder.children

    def tables(self, text: str, *classes: str) -> list[nodes.Node]:
        """Markdown with tables that are to look like the others."""
        return [nodes.container("", *self.markdown(text), classes=["last-run", *classes])]

    def folded(self, main: str, whole: list[nodes.Node], count: int) -> list[nodes.Node]:
        """The main rows, and all of them behind a click."""
        opened = nodes.raw("", f"<details><summary>All {count} rows</summary>", format="html")
        closed = nodes.raw("", "</details>", format="html")
        return [*self.tables(main, "main-rows"), opened, *whole, closed]


class LastRun(_Table):
    """An experiment's tables and pictures; where it has not been run in full, the line says so."""

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        parts = paper_run(name)
        if parts is None:
            return self.markdown(
                f"*{name}* has not been run in full yet: `scm reproduce {name} --quick` runs a "
                "fraction of it."
            )
        self.env.note_dependency(str(BENCHMARKS / "papers" / name / "table.md"))
        whole = self.tables(parts["table"])
        if "main" in parts:
            whole = self.folded(parts["main"], whole, parts["table"].count("\n| "))
        return [*self.markdown(parts["about"]), *whole, *self.markdown(parts["figures"])]


class LastRows(LastRun):
    """Some rows of an experiment: its name, and what the rows' names start with."""

    required_arguments = 2
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        name, start = self.arguments
        text = paper_rows(name, start)
        if text is None:
            return super().run()
        self.env.note_dependency(str(BENCHMARKS / "papers" / name / "table.md"))
        return self.tables(text)


class LastSpeed(_Table):
    """A benchmark's rows, with the command and the machine."""

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        path = BENCHMARKS / "speed" / "results" / f"{name}.json"
        if not path.is_file():
            return self.markdown(f"`benchmarks/speed/{name}.py` has not been run yet.")
        self.env.note_dependency(str(path))
        how, found = speed_rows(name)
        rows = [[cell.replace("|", r"\|") for cell in row] for row in found]
        goals = [row for row in rows if row[-1]]
        shown = self.tables(_speed_table(rows), "main-rows")
        if goals and len(rows) > FEW:
            shown = self.folded(_speed_table(goals), shown, len(rows))
        return [*shown, *self.markdown(f"{how}.")]


def _speed_table(rows: list[list[str]]) -> str:
    lines = ["| work | time | ratio | goal |", "|---|---:|---:|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("last-run", LastRun)
    app.add_directive("last-rows", LastRows)
    app.add_directive("last-speed", LastSpeed)
    return {"parallel_read_safe": True}
