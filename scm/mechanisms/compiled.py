"""Networks that come as programs: TorchScript, and what `torch.export` wrote.

A program runs when it is called, so load those that you would run. What is looked at here
before torch sees a file:

- records are no longer than the file; its code may be compressed, to a bound (`open_stored`);
- no record holds what would be unpickled or linked (compiled libraries, objects of C++ classes);
- every operator computes: none reads or writes files, or belongs to another library;
- symbolic expressions, which torch hands to an evaluator of Python, are plain arithmetic.
"""

from __future__ import annotations

import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scm.errors import ScmError
from scm.mechanisms.pickled import open_stored, read_pickled

__all__ = ["Exported", "read_program"]

_LONGEST = 2**26  # bytes of the description of a program
_OPERATOR = re.compile(
    r"(torch\.ops\.aten\.(?!save\b|from_file\b)|torch\.sym_|_operator\.|math\.)[\w.]+"
)
# Numbers and powers stay small, and nothing is matched in two ways.
_SYMBOLIC = re.compile(
    r"(?>[sufz]\d++(\*\*\d(?!\d))?|Symbol\('[sufz]\d++'(, (positive|nonnegative|integer)=True)*+\)"
    r"|Add|Mul|Integer|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|floor|ceiling"
    r"|Abs|oo|int_oo|\d{1,20}+(?!\d)|\*(?!\*)|[-+/(), ]){0,200}+"
)
_CONTEXT = re.compile(r'null|\[("\w+"(, ?)?)*\]')
# Records of an exported program: its description, and tensors.
_MEMBER = re.compile(
    r"\.data/\w+|\.?format_version|version|byteorder|archive_(format|version)|models/\w+\.json"
    r"|data/(weights|constants)/((weight|tensor)_\d+|\w+_config\.json)"
    r"|data/sample_inputs/\w+\.pt|serialized_\w+\.(json|pt)"
)
# What TorchScript may not name: the two operators of torch that reach for files.
_FILES = re.compile(rb"\b(save|from_file)\s*\(|\bops\.(?!prim\b|aten\b|torchvision\b)\w+\.")


class Exported(nn.Module):
    """An exported program as a module; it has no training mode to switch.

    Args:
        program: A `torch.export.ExportedProgram`.
    """

    def __init__(self, program: Any) -> None:
        super().__init__()
        self.program = program.module()

    def train(self, mode: bool = True) -> Exported:
        """Itself: the mode was fixed when it was exported."""
        return self

    def forward(self, *inputs: Any) -> Any:
        """What the program returns."""
        return self.program(*inputs)


def read_program(path: str | Path) -> nn.Module:
    """Read a network from a file: an exported program (`.pt2`), or TorchScript (any other suffix).

    Nothing is unpickled: a program with parts that would have to be is refused.

    Raises:
        ScmError: If there is no such file, it is neither, or it does more than compute.
    """
    path = Path(path)
    if not path.is_file():
        raise ScmError(f"there is no file {path}; expected a network as a program")
    try:
        with open_stored(path, compressed=_LONGEST) as archive:
            (_check_exported if path.suffix == ".pt2" else _check_script)(archive)
            seen = _copied(archive)
        if path.suffix == ".pt2":
            with _tensors_only():
                return Exported(torch.export.load(seen))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's, of TorchScript
            network: nn.Module = torch.jit.load(seen, map_location="cpu")
        return network
    except Exception as error:  # zipfile, pickle and torch have errors of their own
        reason = str(error).strip().split("\n")[0][:200]
        raise ScmError(
            f"{path} cannot be read as a program ({type(error).__name__}: {reason}); expected "
            "TorchScript, or a .pt2 file of torch.export.save without pickled parts. Of a network "
            "in Python, make its class and read its weights: scm.mechanisms.weights.load_into"
        ) from error


def _copied(archive: zipfile.ZipFile) -> io.BytesIO:
    """The same records in a file of our own: torch finds its records in another way."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as copy:
        for record in archive.infolist():
            copy.writestr(zipfile.ZipInfo(record.filename), archive.read(record))
    out.seek(0)
    return out


def _check_script(archive: zipfile.ZipFile) -> None:
    for record in archive.infolist():
        if record.filename.endswith(".py"):
            if record.file_size > _LONGEST:
                raise ScmError(f"its code is longer than {_LONGEST:,} bytes")
            found = _FILES.search(archive.read(record))
            if found:
                raise ScmError(f"it calls {found.group().decode()!r}, which does more than compute")


def _check_exported(archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    roots = {name.partition("/")[0] for name in names}
    root = f"{roots.pop()}/" if len(roots) == 1 else ""
    for record in archive.infolist():
        name = record.filename.removeprefix(root)
        if not _MEMBER.fullmatch(name):
            raise ScmError(f"it holds {name!r:.80}, which is neither a description nor a tensor")
        if name.endswith(".json"):
            if record.file_size > _LONGEST:
                raise ScmError(f"it is described in more than {_LONGEST:,} bytes")
            _check_description(json.loads(archive.read(record)))
        elif name.endswith(".pt") and record.file_size:
            read_pickled(io.BytesIO(archive.read(record)))


def _check_description(value: Any) -> None:
    """Refuse what torch would evaluate, import or unpickle."""
    for item in value if isinstance(value, list) else []:
        _check_description(item)
    for key, item in value.items() if isinstance(value, dict) else []:
        _check_description(item)
        if key == "target" and "inputs" in value:
            _require(_OPERATOR.fullmatch(str(item)), f"the operator {item!r:.80}")
        if key == "expr_str":
            _require(_SYMBOLIC.fullmatch(str(item)), f"the expression {item!r:.80}")
        if key in ("in_spec", "out_spec") and isinstance(item, str) and item:
            _check_tree(json.loads(item))
        if key == "use_pickle":
            _require(item is False, "a pickled tensor")


def _check_tree(value: Any) -> None:
    """Refuse arguments that are made by anything but tuples, lists and dictionaries."""
    for item in value if isinstance(value, list) else []:
        _check_tree(item)
    if isinstance(value, dict):
        kind, context = value.get("type"), value.get("context")
        known = kind in (None, "builtins.tuple", "builtins.list", "builtins.dict")
        _require(known and _CONTEXT.fullmatch(str(context or "null")), f"arguments {kind!r:.80}")
        _check_tree(value.get("children_spec"))


def _require(condition: object, what: str) -> None:
    if not condition:
        raise ScmError(f"it holds {what}, which does more than compute")


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Inside, `torch.load` reads tensors alone, whatever its caller asks it for."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
