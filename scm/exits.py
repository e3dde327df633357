"""How a command ends: its exit codes, and errors in one clear line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from scm.errors import ScmError

__all__ = ["EXIT_CODES", "Commands", "epilogue"]

EXIT_CODES = {
    0: "It was done.",
    1: "An error, told in one line; or, of scm check, a law that failed.",
    2: "A wrong command: an unknown option, a value of the wrong kind.",
    130: "It was interrupted.",
}


class Commands(TyperGroup):
    """Commands whose errors end in one line: `ScmError`s, wrong commands, and anything else.

    With `--debug` an error that is no wrong command is let through, with its traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error becomes its line and exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except Exception as error:
            ending = isinstance(error, (typer.Exit, typer.Abort)) or _is_wrong_command(error)
            if ending or ctx.params.get("debug"):
                raise
            told = isinstance(error, ScmError)
            _say(str(error) if told else f"{_where(error)}; scm --debug shows the traceback")
            raise typer.Exit(1) from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Read the command line and run it; a wrong one becomes its line and exit code 2."""
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.Abort:
            code = 130
        except Exception as error:
            if not (standalone_mode and _is_wrong_command(error)):
                raise
            path = getattr(getattr(error, "ctx", None), "command_path", "scm")
            words = error.format_message().rstrip(".")  # type: ignore[attr-defined]
            typer.echo(f"{path}: {words}; see {path} --help", err=True)
            code = 2
        if not standalone_mode:
            return code
        if code == 130:
            _say("interrupted")
        sys.exit(code or 0)


def epilogue(*examples: str) -> str:
    """What stands below a command's options: examples, each as it would be typed."""
    return "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)


def _is_wrong_command(error: Exception) -> bool:
    """Whether an error is click's; typer brings a click of its own, or takes the installed one."""
    return hasattr(error, "format_message")


def _where(error: Exception) -> str:
    """The kind of an error, the first line of its message, and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    words = (str(error).splitlines() or [""])[0]
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{': ' if words else ''}{words}{place}"


def _say(words: str) -> None:
    typer.echo(f"scm: {words}", err=True)
