from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

import scm
from scm.cli import app
from scm.errors import ScmError
from scm.exits import EXIT_CODES

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


COMMANDS = ("demo", "check", "audit", "generate", "reproduce")


def help_of(*words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0
    return done.stdout


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_reads_like_a_manual_at_80_columns(command: tuple[str, ...]) -> None:
    text = help_of(*command)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "..." not in text.partition("Options:")[2]  # nothing is cut off
    assert not {"[0m", "╭", "\b"} & set(text)
    paragraphs = text.partition("Options:")[0].split("\n\n")[1:]
    for paragraph in paragraphs:
        filled = [line.strip() for line in paragraph.strip("\n").splitlines()]
        for line, after in pairwise(filled):
            if not paragraph.startswith("Arguments:"):
                assert len(line) + 1 + len(after.split()[0]) > 74  # wrapped no earlier than needed


def test_help_tells_exit_codes_and_examples() -> None:
    text = help_of()
    for code, meaning in EXIT_CODES.items():
        assert f"{code:<4} {meaning}" in text
    for name in COMMANDS:
        examples = help_of(name).partition("Examples:")[2].split("\n")[1:-1]
        assert len(examples) >= 2
        assert all(example.strip().startswith(f"scm {name}") for example in examples)


def test_no_command_shows_the_help() -> None:
    done = CliRunner().invoke(app, [])
    assert done.exit_code == 0
    assert done.stdout.startswith("Usage: scm [OPTIONS] COMMAND [ARGS]...")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("chek", "scm: No such command 'chek'. Did you mean 'check'?; see scm --help"),
        ("check", "scm check: Missing argument 'FILE.PY:NAME'; see scm check --help"),
        ("check m.py:m --trails 3", "scm check: No such option: --trails"),
        ("demo --seed one", "scm demo: Invalid value for '--seed'"),
        ("generate m.py:m --images gif", "scm generate: Invalid value for '--images'"),
        ("--nothing", "scm: No such option: --nothing; see scm --help"),
    ],
)
def test_a_wrong_command_is_one_line_and_2(words: str, said: str) -> None:
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


@pytest.fixture
def broken(tmp_path: Path) -> str:
    path = tmp_path / "broken.py"
    path.write_text("def make():\n    return {}['no\\nway']\n", encoding="utf-8")
    return f"{path}:make"


def test_an_error_of_the_user_s_own_code_is_one_line(broken: str) -> None:
    done = CliRunner().invoke(app, ["check", broken])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("scm: ")
    assert "KeyError" in done.stderr
    assert "no" in done.stderr


def test_an_error_that_nobody_foresaw_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise ZeroDivisionError("by zero\nand more")

    monkeypatch.setattr("scm.demo.run", run)
    done = CliRunner().invoke(app, ["demo"])
    assert done.exit_code == 1
    line = (
        rf"scm: ZeroDivisionError: by zero \({re.escape(__file__)}, line \d+\); scm --debug shows"
    )
    assert re.match(line, done.stderr)
    assert done.stderr.count("\n") == 1
    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(app, ["--debug", "demo"], catch_exceptions=False)


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scm.demo.run", run)
    done = CliRunner().invoke(app, ["demo"])
    assert done.exit_code == 130
    assert done.stderr == "scm: interrupted\n"


def complete(words: str) -> list[str]:
    """What bash is told, in a new interpreter; and that it was told without torch."""
    program = (
        "import sys; from scm.cli import app\n"
        "try: app(prog_name='scm')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    env = {
        **os.environ,
        "_SCM_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_shell_completes_commands_options_and_experiments() -> None:
    assert complete("scm re") == ["reproduce"]
    assert complete("scm check --ro") == ["--role"]
    assert complete("scm reproduce vcfl-") == ["vcfl-grating", "vcfl-mnist"]


def test_public_names_can_all_be_had() -> None:
    for name in scm.__all__:
        assert getattr(scm, name).__class__ is not None
        assert name in dir(scm)
    with pytest.raises(AttributeError, match="no attribute 'SMC'"):
        scm.SMC  # noqa: B018
