"""The manual of the command line, read off the commands themselves, in place of `PLACE`."""

from __future__ import annotations

import re
from typing import Any

PLACE = "% the manual stands here"


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


def _command(command: Any, name: str, level: int) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"{'#' * level} {name}", "", f"```console\n$ {name} {usage}\n```", ""]
    lines += [re.sub(r"(?m)^ +", "", command.help or "").strip(), ""]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            lines += [f"`{record[0]}`", f": {record[1].replace('[', chr(92) + '[')}", ""]
    return "\n".join(lines)


def _write(app: Any, docname: str, source: list[str]) -> None:
    if PLACE in source[0]:
        source[0] = source[0].replace(PLACE, manual())


def setup(app: Any) -> dict[str, Any]:
    app.connect("source-read", _write)
    return {"parallel_read_safe": True}
