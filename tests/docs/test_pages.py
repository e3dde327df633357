"""The code on the site's pages runs, and prints what they say."""

from __future__ import annotations

import doctest
import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(p for p in DOCS.rglob("*.md") if "```pycon" in p.read_text(encoding="utf-8"))
BLOCK = re.compile(
    r"(?:^[ \t]*% needs: (?P<needs>\w+)\n\n)?^(?P<pad>[ \t]*)```pycon\n(?P<body>.*?)^[ \t]*```$",
    re.MULTILINE | re.DOTALL,
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def test_pages_are_found() -> None:
    assert len(PAGES) >= 15
    fences = sum(p.read_text(encoding="utf-8").count("```pycon") for p in PAGES)
    found = sum(len(BLOCK.findall(p.read_text(encoding="utf-8"))) for p in PAGES)
    assert found == fences


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_code_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    text = page.read_text(encoding="utf-8")
    space: dict[str, object] = {"__name__": "__main__"}
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    parser, missing = doctest.DocTestParser(), set()
    for block in BLOCK.finditer(text):
        if block["needs"] and importlib.util.find_spec(block["needs"]) is None:
            missing.add(block["needs"])
            continue
        line = text.count("\n", 0, block.start("body"))
        test = parser.get_doctest(block["body"], space, page.name, str(page), line)
        test.globs = space
        runner.run(test, clear_globs=False)
    said = capsys.readouterr().out
    assert runner.summarize(verbose=False).failed == 0, said
    if missing:
        pytest.skip(f"all else ran; not installed: {', '.join(sorted(missing))}")
