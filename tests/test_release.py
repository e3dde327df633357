"""The version stands in one place, and what a release is made of agrees with itself."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest

import scm

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_version_stands_in_one_place() -> None:
    home = ROOT / PROJECT["tool"]["hatch"]["version"]["path"]
    assert home.read_text(encoding="utf-8").count(f'"{scm.__version__}"') == 1
    for name in ("pyproject.toml", "CITATION.cff", "README.md", "docs/conf.py", "Makefile"):
        assert scm.__version__ not in (ROOT / name).read_text(encoding="utf-8"), name


def test_the_changelog_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## \[(.+?)\] - \d{4}-\d\d-\d\d$", text, re.MULTILINE)
    assert first is not None
    assert first[1] == scm.__version__


def test_ci_runs_what_every_change_must_pass_on_each_python() -> None:
    yaml = pytest.importorskip("yaml")
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]
    said = [c.rpartition(" ")[2] for c in PROJECT["project"]["classifiers"] if "Python :: 3." in c]
    assert jobs["run"]["strategy"]["matrix"]["python"] == said
    assert [step["run"] for step in jobs["run"]["steps"] if "run" in step] == [".ci/run"]
    assert "make wheel-check" in jobs["wheel"]["steps"][-1]["run"]


def test_the_extras_that_are_named_exist() -> None:
    extras = set(PROJECT["project"]["optional-dependencies"])
    for path in (ROOT / "scm").rglob("*.py"):
        named = set(re.findall(r"neural-scm\[(\w+)\]", path.read_text(encoding="utf-8")))
        assert named <= extras, f"{path} names {named - extras}"


def test_the_smoke_test_passes_here() -> None:
    tried = runpy.run_path(str(ROOT / "tests" / "smoke.py"))
    tried["check_answers"]()
    tried["check_modules"]()
