"""The folder of an audit's run: its pieces of work, each kept as JSON once it is done."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from scm.errors import ScmError
from scm.files import write_whole

__all__ = ["Keep", "Kept", "at_once", "finite"]

Result = TypeVar("Result")
Keep = Callable[[str, Callable[[], Any]], Any]
_TOLERANCE = 1e-3


def at_once(label: str, work: Callable[[], Result]) -> Result:
    """Do a piece of work and keep nothing.

    Example:
        >>> at_once("sum", lambda: 1 + 1)
        2
    """
    return work()


class Kept:
    """Pieces of work by label; one that was done before is read, not done again.

    Results are numbers, text, lists, tuples, dictionaries and the findings of an audit.

    Args:
        folder: Folder of the run; made with the first result, where it does not exist.
        identity: What the run is of; JSON. Numbers need agree to three digits alone.
        resume: Whether the folder may hold a run that was begun before.

    Raises:
        ScmError: If the folder is not empty and holds no run of the same identity, or holds one
            and `resume` was not asked for, or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> Kept(folder, {"of": "squares"})("three", lambda: (3, 9))
        (3, 9)
        >>> Kept(folder, {"of": "squares"}, resume=True)("three", lambda: 1 / 0)
        (3, 9)
    """

    def __init__(
        self, folder: str | Path, identity: Mapping[str, Any], resume: bool = False
    ) -> None:
        self.folder, self.identity = Path(folder), identity
        self._run = self.folder / "kept" / "run.json"
        there = next(p for p in (self.folder, *self.folder.absolute().parents) if p.exists())
        if not there.is_dir():
            raise ScmError(f"{there} is a file; expected a folder for the report")
        if not os.access(there, os.W_OK):
            raise ScmError(f"the folder {there} cannot be written; choose another")
        if there == self.folder and any(there.iterdir()):
            self._check(identity, resume)

    def _check(self, identity: Mapping[str, Any], resume: bool) -> None:
        known = _read(self._run)
        if known is None:
            raise ScmError(
                f"the folder {self.folder} is not empty and holds no run of this audit; choose "
                "another, or empty it yourself"
            )
        changed = sorted(
            key for key in known.keys() | identity.keys()
            if not _same(known.get(key), identity.get(key))
        )  # fmt: skip
        if changed:
            raise ScmError(
                f"the folder {self.folder} holds a run of another audit (its "
                f"{', '.join(changed)} differ); choose another folder"
            )
        if not resume:
            raise ScmError(
                f"the folder {self.folder} holds a run of this audit already; go on with it by "
                "--resume (resume=True), or choose another"
            )

    def __call__(self, label: str, work: Callable[[], Result]) -> Result:
        """The result of a piece of work, by its label, which is a file's name as well."""
        file = self.folder / "kept" / f"{label}.json"
        if (known := _read(file)) is not None:
            with suppress(AttributeError, KeyError, RecursionError, TypeError, ValueError):
                found: Result = _unpacked(known["result"])
                return found
        result = work()
        file.parent.mkdir(parents=True, exist_ok=True)
        if not self._run.exists():
            write_whole(self._run, json.dumps(self.identity, indent=1))
        write_whole(file, json.dumps({"result": _packed(result)}))
        return result


def finite(content: Any) -> Any:
    """The same with None for numbers that JSON does not know.

    Example:
        >>> finite({"a": [1.0, float("nan")]})
        {'a': [1.0, None]}
    """
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def _read(path: Path) -> dict[str, Any] | None:
    """Content of a file; None where it is missing or damaged, as after a power cut."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    if isinstance(a, list) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return bool(a == b)


def _findings() -> dict[str, type]:
    from scm.discovery.asymmetry import Asymmetry
    from scm.discovery.diagnosis import Diagnosis
    from scm.discovery.pair_tests import PairTests
    from scm.discovery.responses import Responses
    from scm.discovery.steepness import Steepness
    from scm.discovery.verdicts import Direction
    from scm.estimate import Estimate

    known = (Asymmetry, Diagnosis, Direction, Estimate, PairTests, Responses, Steepness)
    return {t.__name__: t for t in known}


def _packed(value: Any) -> Any:
    """The value in what JSON can hold, tagged with its type."""
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: _packed(getattr(value, f.name)) for f in fields(value)}
        return {"type": type(value).__name__, "parts": parts}
    if isinstance(value, dict):
        return {"type": "dict", "parts": [[_packed(k), _packed(v)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"type": "tuple", "parts": [_packed(v) for v in value]}
    return [_packed(v) for v in value] if isinstance(value, list) else value


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(v) for v in value]
    if not isinstance(value, dict):
        return value
    parts = value["parts"]
    if value["type"] == "dict":
        return {_unpacked(k): _unpacked(v) for k, v in parts}
    if value["type"] == "tuple":
        return tuple(_unpacked(v) for v in parts)
    return _findings()[value["type"]](**{k: _unpacked(v) for k, v in parts.items()})
