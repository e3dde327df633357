"""Draws the pages' pictures before a build: `docs/pictures.py` into `docs/_pictures/`."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1]


def _draw(app: Any) -> None:
    newest = max(path.stat().st_mtime for path in (DOCS.parent / "scm" / "graph").glob("*.py"))
    newest = max(newest, (DOCS / "pictures.py").stat().st_mtime)
    folder = DOCS / "_pictures"
    made = list(folder.glob("*.png"))
    if not made or min(path.stat().st_mtime for path in made) < newest:
        runpy.run_path(str(DOCS / "pictures.py"))["draw_all"](folder)


def setup(app: Any) -> dict[str, Any]:
    app.connect("builder-inited", _draw)
    return {"parallel_read_safe": True}
