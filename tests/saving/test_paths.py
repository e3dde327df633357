"""Import paths: which are written, which are followed, and which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from scm import ScmError
from scm.saving.paths import follow, path_of
from tests.saving import functions as fs


@pytest.mark.parametrize("function", [fs.made, fs.make(1.0), torch.tanh, torch.relu])
def test_other_functions_without_a_path(function: Any, tmp_path: Path) -> None:
    with pytest.raises(ScmError):
        path_of(function)


@pytest.mark.parametrize(
    "path",
    [
        "os:system",
        "posix:system",
        "builtins:exec",
        "builtins:eval",
        "subprocess:run",
        "subprocess:Popen",
        "shutil:rmtree",
        "torch:load",
        "torch.hub:load",
        "torch.serialization:load",
        "numpy:load",
        "pickle:loads",
        "importlib:import_module",
        "__main__:f",
        "_pytest.main:main",
        "pytest:main",
        "hypothesis:given",
        "tests.saving.functions:system",
        "tests.saving.functions:made",
        "tests.saving.functions:torch.load",
        "tests.saving.functions:Net",
        "tests.saving.functions:Net.forward.__globals__",
        "tests.saving.functions:__builtins__.exec",
        "tests.saving.functions:double.__call__",
        "tests.saving.functions:nothing",
        "no_such_module_here:f",
        "code:interact",
        "",
        ":",
        "a:",
        ":b",
        "a.b",
        "a:b:c",
        "../x:y",
        "a b:c",
        "x" * 10_000 + ":y",
        "tests.saving:functions",
    ],
)
def test_paths_that_are_not_followed(path: str) -> None:
    with pytest.raises(ScmError):
        follow(path)


def test_refused_packages_are_not_even_imported(tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "evil_scm_package.py").write_text("raise SystemExit\ndef f(A): return A\n")
    (tmp_path / "quitting_scm_module.py").write_text("raise SystemExit\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ScmError, match="installed package"):
        follow("evil_scm_package:f")
    with pytest.raises(ScmError, match="SystemExit"):
        follow("quitting_scm_module:f")


def test_paths_that_are_followed() -> None:
    assert follow("tests.saving.functions:double") is fs.double
    assert follow("tests.saving.functions:Tools.triple") is fs.Tools.triple
    assert path_of(fs.Scaled) == "tests.saving.functions:Scaled"
