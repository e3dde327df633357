"""Loading a model from a Python file, for the command line."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from scm.errors import ScmError, nearest
from scm.model import SCM

__all__ = ["load_model"]


def load_model(where: str) -> SCM:
    """The model that a file defines, as `file.py:name`.

    The file is run as a module, with its folder on the import path meanwhile; `name` is a
    model, or a function without arguments that returns one.

    Args:
        where: Path of the file, a colon, and the name.

    Raises:
        ScmError: If there is no such file or name, or it is no model.
    """
    file, colon, name = where.rpartition(":")
    path = Path(file)
    if not colon or not name.isidentifier() or path.suffix != ".py":
        raise ScmError(f"{where!r} was given; expected a file and a name, as my_model.py:model")
    if not path.is_file():
        raise ScmError(f"there is no file {str(path)!r}; expected a Python file, as model.py:name")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    if not hasattr(module, name):
        known = [v for v in vars(module) if not v.startswith("_")]
        raise ScmError(f"{path} has no {name!r}; {nearest(name, known)}")
    found = getattr(module, name)
    if not isinstance(found, SCM) and callable(found) and not isinstance(found, type):
        found = found()
    if not isinstance(found, SCM):
        raise ScmError(
            f"{name!r} in {path} is a {type(found).__name__}; expected an scm.SCM, or a function "
            "without arguments that returns one"
        )
    return found
