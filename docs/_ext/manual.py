"""The manual of the command line, `{command-line}`, read off the commands themselves."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective


def manual() -> str:
    """Every command in Markdown: its usage, what it says of itself, arguments and options."""
    from typer.main import get_command

    from scm.cli import app

    root = get_command(app)
    parts = [_command(root, "scm", 1)]
    parts += [
        _command(command, f"scm {name}", 1)
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


class CommandLine(SphinxDirective):
    """The manual of all commands."""

    def run(self) -> list[nodes.Node]:
        holder = nodes.section()
        text = StringList(manual().split("\n"), self.get_location())
        self.state.nested_parse(text, 0, holder, match_titles=True)
        return holder.children


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True}
