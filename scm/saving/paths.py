"""Import paths, `package.module:name`: what they may name, and what a file may make of them.

A path is followed only if

- its outermost package is not in the standard library, not `__main__`, and not installed
  (found in a `site-packages` folder), this library itself excepted;
- the name leads, through classes at most, to a plain Python function or a subclass of
  `Mechanism`;
- that object says of itself that it was defined in that module under that name, so that a
  module's own imports (`from os import system`) cannot be borrowed.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import types
from pathlib import Path
from typing import Any

from scm.errors import ScmError
from scm.mechanisms.mechanism import Mechanism

__all__ = ["follow", "path_of"]

_PATH = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_LONGEST = 500
# Refused wherever they are found; a source checkout is not in site-packages.
_LIBRARIES = {"networkx", "numpy", "pyro", "rich", "safetensors", "scipy", "torch", "typer", "zuko"}


def path_of(value: Any) -> str:
    """Import path of a function or a class of mechanisms.

    Raises:
        ScmError: If it has none that `follow` would accept, with the reason.
    """
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(value, types.FunctionType) and not _is_mechanism(value):
        raise ScmError("it is no plain Python function")
    if "<lambda>" in str(name):
        raise ScmError("it is a lambda")
    if "<locals>" in str(name):
        raise ScmError("it is defined inside another function")
    if follow(f"{module}:{name}") is not value:
        raise ScmError(f"{module}:{name} is something else by now")
    return f"{module}:{name}"


def follow(path: str) -> Any:
    """The function, or the class of mechanisms, at an import path.

    Raises:
        ScmError: If the path may not be followed, or leads nowhere.
    """
    if not isinstance(path, str) or len(path) > _LONGEST or not _PATH.fullmatch(path):
        raise ScmError(f"{path!r:.100} is no import path, such as package.module:name")
    module_name, _, name = path.partition(":")
    _refuse_foreign(module_name)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise ScmError(
            f"{module_name} cannot be imported ({type(error).__name__}: {error}); run where it "
            "can be, with its folder on PYTHONPATH"
        ) from error
    _refuse_installed(module_name, [getattr(module, "__file__", None)])
    found: Any = module
    for part in name.split("."):
        if found is not module and not isinstance(found, type):
            raise ScmError(f"{path} leads through something that is no class")
        found = vars(found).get(part)
    if isinstance(found, staticmethod):
        found = found.__func__
    if not isinstance(found, types.FunctionType) and not _is_mechanism(found):
        raise ScmError(f"{path} is no plain Python function" + " (nor a mechanism)" * (":" in path))
    if (found.__module__, found.__qualname__) != (module_name, name):
        raise ScmError(f"{path} was defined elsewhere, as {found.__module__}:{found.__qualname__}")
    return found


def _is_mechanism(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Mechanism)


def _refuse_foreign(module_name: str) -> None:
    top = module_name.partition(".")[0]
    if top.startswith("__"):
        raise ScmError(f"{module_name} is a name that each program uses for itself")
    if top in sys.stdlib_module_names or top in sys.builtin_module_names or top in _LIBRARIES:
        raise ScmError(f"{module_name} is a library, and no home of a model's functions")
    _refuse_installed(top, _locations(top))


def _locations(top: str) -> list[str | None]:
    """Files and folders of an outermost package, found without running it."""
    module = sys.modules.get(top)
    if module is not None:
        return [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    return [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]


def _refuse_installed(module_name: str, places: list[str | None]) -> None:
    if module_name.partition(".")[0] == "scm":
        return
    for place in places:
        if place and {"site-packages", "dist-packages"} & set(Path(place).parts):
            raise ScmError(f"{module_name} is an installed package; only your own code is imported")
