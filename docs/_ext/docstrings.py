"""Docstrings of this library, which lean on Markdown, as reStructuredText.

Four habits are turned over: an indented block is code; a table is written with bars; a bar in a
formula is no substitution; and a word may end right after a backtick, as in `Module`s.
"""

from __future__ import annotations

import re
from typing import Any

RULE = re.compile(r"^\|[-:| ]+\|$")
QUOTED = re.compile(r"(``.+?``|`[^`]+`)")
NO_CODE = (">>>", "..", "-", "*", "|", ":", "1.")


def rewrite(lines: list[str]) -> list[str]:
    """A docstring's lines with code, tables and bars as Sphinx wants them."""
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
        made.append(line if line.lstrip().startswith((">>>", "...")) else _inline(line))
        if _announces(lines, k):
            made[-1:] = (
                [f"{made[-1]}:"] if line.endswith(":") else [made[-1], "", _pad(line) + "::"]
            )
        k += 1
    return made


def _inline(line: str) -> str:
    parts = QUOTED.split(line)
    for k, part in enumerate(parts):
        if k % 2 == 0:
            parts[k] = re.sub(r"\|(\w+)\|", r"\\|\1\\|", part)
            if k and part[:1].isalpha():
                parts[k] = "\\ " + parts[k]
    return "".join(parts)


def _announces(lines: list[str], k: int) -> bool:
    """Whether an indented block that is code follows line k after an empty one."""
    rest = lines[k + 1 : k + 3]
    if not lines[k].strip() or len(rest) < 2 or rest[0].strip():
        return False
    last, first = lines[k].lstrip(), rest[1].lstrip()
    deeper = _indent(rest[1]) > _indent(lines[k])
    return (
        deeper
        and not last.startswith("..")
        and not last.endswith("::")
        and not (first.startswith(NO_CODE))
    )


def _pad(line: str) -> str:
    return " " * _indent(line)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _table(rows: list[str]) -> list[str]:
    pad = _pad(rows[0])
    cells = [[_inline(cell.strip()) for cell in _cells(row)] for row in rows]
    cells = [row for row, text in zip(cells, rows, strict=True) if not RULE.match(text.strip())]
    made = ["", f"{pad}.. list-table::", f"{pad}   :header-rows: 1", ""]
    for row in cells:
        for place, cell in enumerate(row):
            mark = "* -" if place == 0 else "  -"
            made.append(f"{pad}   {mark} {cell}".rstrip())
    return [*made, ""]


def _cells(row: str) -> list[str]:
    """What stands between the bars of a row, but for bars in backticks."""
    hidden = QUOTED.sub(lambda found: found[0].replace("|", "\0"), row.strip().strip("|"))
    return [cell.replace("\0", "|") for cell in hidden.split("|")]


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = rewrite(lines)


def setup(app: Any) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _process, priority=100)  # before napoleon
    return {"parallel_read_safe": True}
