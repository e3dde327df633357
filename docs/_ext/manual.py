"""The manual of the command line and its exit codes, in the places of `PLACES`."""

from __future__ import annotations

import re
from typing import Any


def manual() -> str:
    """Every command in Markdown: its usage, what it says of itself, arguments and options."""
    from typer.main import get_command

    from scm.cli import app

    root = get_command(app)
    parts = [_command(root, "scm", 2)]
    parts += [
        _command(command, f"scm {name}", 2)
        for name, command in sorted(root.commands.items())  # type: ignore[attr-defined]
    ]
    return "\n\n".join(parts)


def exit_codes() -> str:
    """What the exit codes mean, as a table."""
    from scm.exits import EXIT_CODES

    rows = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(["| exit code | meaning |", "|---|---|", *rows])


def _command(command: Any, name: str, level: int) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"{'#' * level} {name}", "", f"```console\n$ {name} {usage}\n```", ""]
    lines += [re.sub(r"(?m)^ +", "", command.help or "").strip(), ""]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            lines += [f"`{record[0]}`", f": {record[1].replace('[', chr(92) + '[')}", ""]
    if name != "scm":  # whose epilogue is the exit codes
        _, *examples = command.epilog.removeprefix("\b\n").splitlines()
        lines += ["```console", *(f"$ {example.strip()}" for example in examples), "```"]
    return "\n".join(lines)


def _write(app: Any, docname: str, source: list[str]) -> None:
    for place, made in PLACES.items():
        if place in source[0]:
            source[0] = source[0].replace(place, made())


PLACES = {"% the manual stands here": manual, "% the exit codes stand here": exit_codes}


def setup(app: Any) -> dict[str, Any]:
    app.connect("source-read", _write)
    return {"parallel_read_safe": True}
