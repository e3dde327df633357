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
    shown = [p for p in command.get_params(context) if not getattr(p, "hidden", False)]
    for parameter in shown:
        title = parameter.name.upper() if parameter.param_type_name == "argument" else ""
        metavar = parameter.make_metavar(context)
        if parameter.param_type_name == "option":
            title = ", ".join(parameter.opts)
            title += "" if parameter.is_flag else f" {metavar}"
        else:
            title = metavar
        text = (parameter.help or "").strip()
        default = _default(parameter, context)
        lines += [f"`{title}`", f": {text}{default}", ""]
    return "\n".join(lines)


def _default(parameter: Any, context: Any) -> str:
    value = parameter.get_default(context)
    if value is None or value is False or value == () or value == [] or not parameter.name:
        return ""
    if parameter.param_type_name == "argument" or callable(value):
        return ""
    if repr(value).endswith("UNSET") or "Sentinel" in repr(value):
        return ""
    return f" *By default* `{getattr(value, 'value', value)}`."


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
