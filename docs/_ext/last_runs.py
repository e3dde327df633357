"""Tables as last run: `{last-run} NAME` of an experiment, `{last-speed} NAME` of a benchmark.

Both read what stands in `benchmarks/`, so that no figure of the site is typed by hand.
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
PICTURE = re.compile(r"!\[[^\]]*\]\((?P<file>[^)]+)\)\n\n(?P<caption>[^\n]+)")


def speed_rows(name: str) -> tuple[str, Iterator[tuple[str, str, str, str]]]:
    """A benchmark's command and machine, and its rows: work, time, ratio, goal."""
    found = json.loads((BENCHMARKS / "speed" / "results" / f"{name}.json").read_text("utf-8"))

    def rows() -> Iterator[tuple[str, str, str, str]]:
        for row in found["rows"]:
            against = row["metric"].removeprefix("ratio to: ")
            ratio, goal = row["ratio"], row["goal"]
            own = row["row"].endswith(f": {against}")
            compared = "–" if ratio is None else "1 (reference)" if own else f"{ratio:.2g}"
            verdict = "" if goal is None else f"{goal:.2g}, {'met' if row['met'] else '**missed**'}"
            measured = row["reproduced"]
            taken = "–" if measured is None else f"{measured:.3g} {row['unit']}"
            yield row["row"], taken, compared, verdict

    return f"`{found['command']}` on {found['machine']}", rows()


def paper_table(name: str) -> str | None:
    """The table of an experiment's last run in Markdown, with pictures of this page; or None."""
    folder = BENCHMARKS / "papers" / name
    if not (folder / "table.md").is_file():
        return None
    text = (folder / "table.md").read_text("utf-8").split("\n", 2)[2].strip()
    target = f"/../benchmarks/papers/{name}/"
    return PICTURE.sub(
        lambda found: (
            f"```{{figure}} {target}{found['file']}\n:alt: {found['caption']}\n\n"
            f"{found['caption']}\n```"
        ),
        text,
    )


class _Table(SphinxDirective):
    required_arguments = 1
    has_content = False

    def markdown(self, text: str) -> list[nodes.Node]:
        holder = nodes.container()
        self.state.nested_parse(StringList(text.split("\n"), self.get_location()), 0, holder)
        return holder.children


class LastRun(_Table):
    """An experiment's table and pictures; where it has not been run in full, the line says so."""

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        path = BENCHMARKS / "papers" / name / "table.md"
        text = paper_table(name)
        if text is None:
            return self.markdown(
                f"*{name}* has not been run in full yet: `scm reproduce {name} --quick` runs a "
                "fraction of it."
            )
        self.env.note_dependency(str(path))
        return self.markdown(text)


class LastSpeed(_Table):
    """A benchmark's rows, with the command and the machine."""

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        path = BENCHMARKS / "speed" / "results" / f"{name}.json"
        if not path.is_file():
            return self.markdown(f"`benchmarks/speed/{name}.py` has not been run yet.")
        self.env.note_dependency(str(path))
        how, rows = speed_rows(name)
        lines = ["| work | time | ratio | goal |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in r)} |" for r in rows]
        return self.markdown("\n".join([*lines, "", f"{how}."]))


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("last-run", LastRun)
    app.add_directive("last-speed", LastSpeed)
    return {"parallel_read_safe": True}
