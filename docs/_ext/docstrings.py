"""Docstrings of this library, which lean on Markdown, as reStructuredText.

Two habits are turned over: a paragraph that ends in ":" before an indented block announces code,
and a table is written with bars.
"""

from __future__ import annotations

import re
from typing import Any

CODE = re.compile(r"(?<!:):$")
RULE = re.compile(r"^\|[-:| ]+\|$")


def rewrite(lines: list[str]) -> list[str]:
    """A docstring's lines with code blocks and tables as Sphinx wants them."""
    made: list[str] = []
    k = 0
    while k < len(lines):
        line = lines[k]
        if (
            line.lstrip().startswith("|")
            and k + 1 < len(lines)
            and RULE.match(lines[k + 1].strip())
        ):
            end = k
            while end < len(lines) and lines[end].lstrip().startswith("|"):
                end += 1
            made += _table(lines[k:end])
            k = end
            continue
        if CODE.search(line) and _announces(lines, k):
            line += ":"
        made.append(line)
        k += 1
    return made


def _announces(lines: list[str], k: int) -> bool:
    """Whether an indented block, no doctest, follows line k after an empty one."""
    rest = lines[k + 1 : k + 3]
    if len(rest) < 2 or rest[0].strip():
        return False
    deeper = _indent(rest[1]) > _indent(lines[k])
    return deeper and not rest[1].lstrip().startswith((">>>", "..", "-", "*", ":math"))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _table(rows: list[str]) -> list[str]:
    pad = " " * _indent(rows[0])
    cells = [[c.strip() for c in row.strip().strip("|").split("|")] for row in rows]
    cells = [row for row, text in zip(cells, rows, strict=True) if not RULE.match(text.strip())]
    made = ["", f"{pad}.. list-table::", f"{pad}   :header-rows: 1", ""]
    for row in cells:
        for place, cell in enumerate(row):
            mark = "* -" if place == 0 else "  -"
            made.append(f"{pad}   {mark} {cell}".rstrip())
    return [*made, ""]


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = rewrite(lines)


def setup(app: Any) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _process, priority=100)  # before napoleon
    return {"parallel_read_safe": True}
