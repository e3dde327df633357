"""Loading a saved model, or what a Python file defines, for the command line."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from scm.errors import ScmError, nearest
from scm.model import SCM, load
from scm.saving import archive

__all__ = ["load_model", "load_names", "model_hash"]


def load_model(where: str) -> SCM:
    """The model that `model.save(path)` wrote, or that a file defines, as `file.py:name`.

    The name is that of a model, or of a function without arguments that returns one.

    Args:
        where: Path of a saved model; or path of a Python file, a colon, and the name.

    Raises:
        ScmError: If there is no such file or name, or it is no model.
    """
    if _saved(where):
        return load(where)
    (found,) = load_names(where)
    if not isinstance(found, SCM) and callable(found) and not isinstance(found, type):
        found = found()
    if not isinstance(found, SCM):
        path, _, name = where.rpartition(":")
        raise ScmError(
            f"{name!r} in {path} is a {type(found).__name__}; expected an scm.SCM, or a function "
            "without arguments that returns one"
        )
    return found


def load_names(*places: str) -> list[Any]:
    """What files define, each as `file.py:name`.

    A file is run as a module, once, with its folder on the import path meanwhile.

    Args:
        *places: Path of a file, a colon, and a name.

    Raises:
        ScmError: If there is no such file or name.
    """
    modules: dict[Path, ModuleType] = {}
    found = []
    for where in places:
        path, name = _parts(where)
        key = path.resolve()
        if key not in modules:
            modules[key] = _run(path)
        module = modules[key]
        if not hasattr(module, name):
            known = [v for v in vars(module) if not v.startswith("_")]
            raise ScmError(f"{path} has no {name!r}; {nearest(name, known)}")
        found.append(getattr(module, name))
    return found


def model_hash(where: str, model: SCM) -> str:
    """SHA-256 of a model: of its saved file; or of its Python file, its nodes and its tensors.

    Code that the file imports is no part of it.

    Args:
        where: As in `load_model`.
        model: What `load_model` returned.
    """
    if _saved(where):
        return archive.checksum(*archive.read(where))
    path, name = _parts(where)
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    held = archive.checksum(repr(model), {k: t.detach().cpu() for k, t in tensors.items()})
    code = path.read_bytes()
    return hashlib.sha256(f"{name}\0{held}\0".encode() + code).hexdigest()


def _saved(where: str) -> bool:
    path = Path(where)
    return path.suffix != ".py" and path.is_file()


def _parts(where: str) -> tuple[Path, str]:
    file, colon, name = where.rpartition(":")
    path = Path(file)
    if not colon or not name.isidentifier() or path.suffix != ".py":
        raise ScmError(
            f"{where!r} was given; expected a file and a name, as my_model.py:model, or the file "
            "of a saved model"
        )
    if not path.is_file():
        raise ScmError(f"there is no file {str(path)!r}; expected a Python file, as model.py:name")
    return path, name


def _run(path: Path) -> ModuleType:
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(f"{path.stem}_{place}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    sys.modules[module.__name__] = module  # dataclasses look their annotations up there
    try:
        spec.loader.exec_module(module)
    except ScmError:
        raise
    except Exception as error:  # whatever the file raises
        reason = " ".join(str(error).split())
        raise ScmError(
            f"{path} failed when it was run ({type(error).__name__}: {reason}); scm --debug ... "
            "shows where"
        ) from error
    finally:
        sys.path.remove(folder)
    return module
