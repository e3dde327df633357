"""The public names of the library, with their parameters; `python tests/public_api.py` lists them.

Public is what stands in the `__all__` of a package (or of `scm.plotting`), and what such a class
defines without a leading underscore. What stands in several is listed where it is shortest.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import scm

LIST = Path(__file__).with_suffix(".txt")
ACCEPT = f"python tests/{Path(__file__).name} > tests/{LIST.name}"
MODULES = ("scm.plotting", "scm.neighbours.graphs", "scm.neighbours.pyro", "scm.errors")


def objects() -> dict[str, Any]:
    """Each public name once, and what it is; modules are left out."""
    packages = ["scm", *(m.name for m in pkgutil.walk_packages(scm.__path__, "scm.") if m.ispkg)]
    found: dict[int, tuple[str, Any]] = {}
    for home in sorted({*packages, *MODULES}, key=lambda name: (name.count("."), name)):
        module = importlib.import_module(home)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if not inspect.ismodule(value):
                found.setdefault(id(value), (f"{home}.{name}", value))
    return dict(sorted(found.values()))


def lines() -> Iterator[str]:
    """One line a name: functions with their parameters, classes with what they define."""
    for name, value in objects().items():
        yield name + _parameters(value)
        if inspect.isclass(value):
            for member, what in sorted(vars(value).items()):
                if not member.startswith("_"):
                    yield f"{name}.{member}" + _parameters(what)


def _parameters(value: Any) -> str:
    value = getattr(value, "__func__", value)
    if not (inspect.isfunction(value) or inspect.isclass(value)):
        return ""
    try:
        given = inspect.signature(value).parameters.values()
    except ValueError:
        return ""
    shown, after_star = [], False
    for each in given:
        if each.name in ("self", "cls"):
            continue
        if each.kind is each.KEYWORD_ONLY and not after_star:
            shown.append("*")
        after_star |= each.kind in (each.KEYWORD_ONLY, each.VAR_POSITIONAL)
        star = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        optional = "=" if each.default is not each.empty else ""
        shown.append(f"{star}{each.name}{optional}")
    return f"({', '.join(shown)})"


if __name__ == "__main__":
    print("\n".join(lines()))
