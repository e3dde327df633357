from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import scm
from scm.cli import app
from scm.errors import ScmError

ROOT = Path(__file__).parents[1]


def test_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.stdout == f"scm {scm.__version__}\n"


def test_help_explains_the_demo() -> None:
    done = CliRunner().invoke(app, ["demo", "--help"])
    assert done.exit_code == 0
    for word in ("--data", "--out", "--seed", "--quick", "SCM_DATA"):
        assert word in done.stdout


def test_help_imports_no_torch() -> None:
    program = (
        "import sys; from scm.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout


def test_an_error_is_one_line(tmp_path: Path) -> None:
    env = {"SCM_DATA": str(tmp_path)}
    done = CliRunner().invoke(app, ["demo", "--data", "mnist", "--out", str(tmp_path)], env=env)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("scm: MNIST's file train-images-idx3-ubyte.gz is not in")
    assert done.stderr.count("\n") == 1


def test_debug_lets_the_error_through(tmp_path: Path) -> None:
    env = {"SCM_DATA": str(tmp_path)}
    with pytest.raises(ScmError, match="MNIST"):
        CliRunner().invoke(
            app, ["--debug", "demo", "--data", "mnist"], env=env, catch_exceptions=False
        )


def test_public_names_can_all_be_had() -> None:
    for name in scm.__all__:
        assert getattr(scm, name).__class__ is not None
        assert name in dir(scm)
    with pytest.raises(AttributeError, match="no attribute 'SMC'"):
        scm.SMC  # noqa: B018
