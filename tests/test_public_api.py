"""A change of the public names is a decision; each has an example, and says what it raises."""

from __future__ import annotations

import ast
import difflib
import inspect
import runpy
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

API = runpy.run_path(str(Path(__file__).with_name("public_api.py")))
DESCRIBED = {
    name: value
    for name, value in API["objects"]().items()
    if (inspect.isclass(value) or inspect.isroutine(value)) and value.__module__.startswith("scm")
}


def test_the_public_names_are_those_that_were_decided_on() -> None:
    listed = API["LIST"].read_text(encoding="utf-8").splitlines()
    changed = [
        line
        for line in difflib.unified_diff(listed, list(API["lines"]()), lineterm="", n=0)
        if line[:2] not in ("--", "++", "@@")
    ]
    assert not changed, (
        "the public names have changed:\n"
        + "\n".join(changed)
        + f"\nIf that was decided, note it in CHANGELOG.md and accept it: {API['ACCEPT']}"
    )


def test_every_public_name_has_an_example() -> None:
    assert [name for name, value in DESCRIBED.items() if ">>>" not in (value.__doc__ or "")] == []


def raises(function: Any) -> bool:
    """Whether a function itself raises something new, and does more than announce a protocol."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError):
        return False
    todo: list[ast.AST] = list(getattr(tree.body[0], "body", ()))
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            return "NotImplementedError" not in ast.unparse(node.exc)
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            todo += ast.iter_child_nodes(node)
    return False


def functions() -> Iterator[tuple[str, Any, str]]:
    """Name, function and docstring of what may raise; a class speaks for its making."""
    for name, value in DESCRIBED.items():
        if not inspect.isclass(value):
            yield name, value, value.__doc__ or ""
            continue
        for member, each in vars(value).items():
            function = getattr(each, "fget", None) or getattr(each, "__func__", each)
            if inspect.isfunction(function) and function.__module__.startswith("scm"):
                if member in ("__init__", "__post_init__", "__new__"):
                    yield name, function, value.__doc__ or ""
                elif not member.startswith("_"):
                    yield f"{name}.{member}", function, inspect.getdoc(getattr(value, member)) or ""


def test_what_raises_says_so() -> None:
    silent = {
        name for name, function, said in functions() if raises(function) and "Raises:" not in said
    }
    assert sorted(silent) == []


def test_raising_is_seen() -> None:
    def checks(x: int) -> int:
        if x < 0:
            raise ValueError("negative")
        return x

    def announces() -> None:
        raise NotImplementedError

    def hands_on() -> Any:
        def later() -> None:
            raise ValueError

        return later

    assert [raises(f) for f in (checks, announces, hands_on)] == [True, False, False]
