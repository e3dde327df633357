"""The manifest: what a data set is, and the checksum of each of its shards."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from scm.errors import ScmError

__all__ = ["MANIFEST", "Column", "Manifest", "Plan", "Shard", "read_manifest"]

MANIFEST = "manifest.json"
FORMAT = "scm-data 1"
_LONGEST = 2**26

Kind = Literal["real", "categorical", "image"]
Storage = Literal["column", "json", "npy", "png"]
_DTYPES = ("float32", "float64", "int64")


@dataclass(frozen=True)
class Column:
    """A node as it is stored.

    Attributes:
        node: Its name.
        kind: "real", "categorical" (codes) or "image".
        dtype: "float32", "float64" or "int64", as it is read back.
        shape: Its event shape; `(channels, height, width)` of an image.
        storage: "column" of a table; in a tar, the row's "json" or a file of its own, "npy" or
            "png" (8 bits, black and white being the ends of the range).
        file: End of that file's name, None where there is none.
        levels: Names of the levels, in the order of their codes.
        range: What black and white are.

    Example:
        >>> Column("colour", "categorical", "int64", (), "column", levels=("red", "green")).levels
        ('red', 'green')
    """

    node: str
    kind: Kind
    dtype: str
    shape: tuple[int, ...]
    storage: Storage
    file: str | None = None
    levels: tuple[str, ...] | None = None
    range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Plan:
    """What a data set is: all but its bytes, which follow from this.

    Attributes:
        model: What the model was called.
        sha256: The model's hash.
        do: Value by node.
        sweep: World dimensions: lists of values by node.
        seed: Seed of the units.
        start: First unit.
        units: Number of units.
        shards: Number of shards.
        device: Kind of device that made it.
        columns: The nodes that are kept.

    Example:
        >>> x = Column("X", "real", "float32", (), "column")
        >>> sweeps = ({"B": (0, 1)},)
        >>> plan = Plan("m.py:model", "0" * 64, {"A": 1}, sweeps, 0, 0, 100, 2, "cpu", (x,))
        >>> plan.worlds, plan.layout, plan.units_of(1)
        (2, 'parquet', (50, 100))
    """

    model: str
    sha256: str
    do: Mapping[str, Any]
    sweep: tuple[Mapping[str, Any], ...]
    seed: int
    start: int
    units: int
    shards: int
    device: str
    columns: tuple[Column, ...]

    @property
    def worlds(self) -> int:
        """Number of worlds: the product of the sweeps' lengths."""
        return math.prod(len(next(iter(sweep.values()))) for sweep in self.sweep)

    @property
    def layout(self) -> Literal["tar", "parquet"]:
        """A tar where there are images, else a table."""
        return "tar" if any(c.kind == "image" for c in self.columns) else "parquet"

    def units_of(self, shard: int) -> tuple[int, int]:
        """First unit of a shard, and one past its last."""
        first, last = (self.units * k // self.shards for k in (shard, shard + 1))
        return self.start + first, self.start + last

    def file_of(self, shard: int) -> str:
        """Name of a shard's file."""
        return f"shard-{shard:06d}.{self.layout}"

    def document(self) -> dict[str, Any]:
        """The plan as JSON holds it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        columns = [{f.name: getattr(c, f.name) for f in fields(c)} for c in self.columns]
        document = {"format": FORMAT, **values, "columns": columns}
        kept: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
        return kept

    def differences(self, other: Plan) -> list[str]:
        """How another plan differs, part by part; what the models are called does not count."""
        mine, theirs = self.document(), other.document()
        return [
            f"{key} is {_short(mine[key])} there, and {_short(theirs[key])} was asked for"
            for key in mine
            if key != "model" and mine[key] != theirs[key]
        ]


@dataclass(frozen=True)
class Shard:
    """One finished shard.

    Attributes:
        number: Which one.
        bytes: Size of its file.
        sha256: Checksum of its file.

    Example:
        >>> Shard(0, 1024, "0" * 64).bytes
        1024
    """

    number: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A data set that is complete.

    Attributes:
        plan: What it is.
        shards: Its shards, in order.

    Example:
        >>> import scm, tempfile
        >>> model = scm.SCM("A", A=scm.Root.normal())
        >>> with tempfile.TemporaryDirectory() as out:
        ...     manifest = scm.generate(model, out, 100, sweep="A=0,1", shards=2, workers=1)
        >>> manifest.rows, [shard.number for shard in manifest.shards]
        (200, [0, 1])
    """

    plan: Plan
    shards: tuple[Shard, ...]

    @property
    def rows(self) -> int:
        """Number of rows: each unit in each world."""
        return self.plan.units * self.plan.worlds

    def text(self) -> str:
        """The manifest as it is written."""
        document = self.plan.document()
        document["shards"] = [
            {
                "file": self.plan.file_of(shard.number),
                "start": self.plan.units_of(shard.number)[0],
                "stop": self.plan.units_of(shard.number)[1],
                "bytes": shard.bytes,
                "sha256": shard.sha256,
            }
            for shard in self.shards
        ]
        return json.dumps(document, indent=1) + "\n"


def read_manifest(path: str | Path) -> Manifest:
    """Read the manifest of a data set, from its folder or its file.

    Raises:
        ScmError: If there is none, or it is damaged, or the data set is unfinished.

    Example:
        >>> import scm, tempfile
        >>> model = scm.SCM("A", A=scm.Root.normal())
        >>> with tempfile.TemporaryDirectory() as out:
        ...     manifest = scm.generate(model, out, 100, workers=1)
        ...     read_manifest(out) == manifest
        True
    """
    path = Path(path)
    file = path / MANIFEST if path.is_dir() else path
    if not file.is_file():
        raise ScmError(
            f"there is no {file}; give the folder of a data set that scm generate finished (after "
            "a run that was cut off, run the same command again)"
        )
    try:
        return parse(read_text(file))
    except ScmError as error:
        raise ScmError(f"{file}: {error}") from error


def read_text(file: Path) -> str:
    """Text of a file of bounded size.

    Raises:
        ScmError: If it cannot be read, is too long, or is no text.
    """
    try:
        with open(file, "rb") as opened:
            content = opened.read(_LONGEST + 1)
        if len(content) > _LONGEST:
            raise ScmError(f"it is longer than {_LONGEST:,} bytes, so it is no manifest")
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ScmError(f"it cannot be read ({error}); fetch it again") from error


def parse(text: str) -> Manifest:
    """Read the text of a manifest.

    Raises:
        ScmError: If it is not what `scm generate` writes.
    """
    document = parse_json(text)
    listed = _take(document, "shards", list)
    plan = parse_plan({**document, "shards": len(listed)})
    shards = []
    for number, entry in enumerate(listed):
        start, stop = plan.units_of(number)
        expected = {"file": plan.file_of(number), "start": start, "stop": stop}
        if not isinstance(entry, dict) or {k: entry.get(k) for k in expected} != expected:
            raise ScmError(f"shard {number} is {_short(entry)}; expected {expected}")
        shards.append(parse_shard({**entry, "number": number}))
    return Manifest(plan, tuple(shards))


def parse_plan(document: Mapping[str, Any]) -> Plan:
    """Read what `Plan.document` returned; errors as in `parse`."""
    if document.get("format") != FORMAT:
        raise ScmError(
            f"its format is {_short(document.get('format'))}, and this version of scm reads "
            f"{FORMAT!r}; generate it again, or read it with the version that made it"
        )
    plan = Plan(
        model=_take(document, "model", str),
        sha256=_hash(document),
        do=_values(_take(document, "do", dict), "do"),
        sweep=tuple(_lists(entry) for entry in _take(document, "sweep", list)),
        seed=_take(document, "seed", int),
        start=_size(document, "start"),
        units=_size(document, "units", 1),
        shards=_size(document, "shards", 1),
        device=_take(document, "device", str),
        columns=tuple(_column(entry) for entry in _take(document, "columns", list)),
    )
    names = [column.node for column in plan.columns]
    files = [column.file for column in plan.columns if column.file]
    if not names or len(set(names)) < len(names) or len(set(files)) < len(files):
        raise ScmError(f"its columns are {_short(names)}; expected distinct ones")
    if plan.shards > plan.units:
        raise ScmError(f"it has {plan.shards} shards of {plan.units} units; expected no more")
    tabular = plan.layout == "parquet"
    if any((column.storage == "column") != tabular for column in plan.columns):
        raise ScmError("its columns are partly of a table, partly of a tar")
    return plan


def parse_shard(document: Mapping[str, Any]) -> Shard:
    """Read the record of one shard; errors as in `parse`."""
    return Shard(_size(document, "number"), _size(document, "bytes"), _hash(document))


def parse_json(text: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ScmError: If it is cut off, or anything else.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScmError(f"it is cut off or no JSON ({error!s:.200}); fetch it again") from error
    if not isinstance(document, dict):
        raise ScmError(f"it holds {_short(document)}; expected an object")
    return document


def _column(entry: Any) -> Column:
    if not isinstance(entry, dict):
        raise ScmError(f"a column is {_short(entry)}; expected an object")
    levels, span, file = entry.get("levels"), entry.get("range"), entry.get("file")
    column = Column(
        node=_take(entry, "node", str),
        kind=_among(entry, "kind", get_args(Kind)),
        dtype=_among(entry, "dtype", _DTYPES),
        shape=tuple(_take(entry, "shape", list)),
        storage=_among(entry, "storage", get_args(Storage)),
        file=file,
        levels=None if levels is None else tuple(_take(entry, "levels", list)),
        range=None if span is None else tuple(_take(entry, "range", list)),
    )
    sizes = all(type(size) is int and 0 <= size < 2**31 for size in column.shape)
    fits = sizes and len(column.shape) <= 16 and math.prod(column.shape) < 2**40
    own = column.storage in ("npy", "png")
    fits &= _is_file(file, column.storage) if own else file is None
    fits &= all(isinstance(name, str) for name in column.levels or ())
    if fits and column.kind == "image":
        fits = len(column.shape) == 3 and all(column.shape) and _is_range(span)
    if fits and column.storage == "png":
        fits = column.kind == "image" and column.shape[0] <= 4 and column.dtype == "float32"
    if not fits:
        raise ScmError(f"the column {column.node!r:.60} is {_short(entry)}, which makes no sense")
    return column


def _is_file(file: Any, storage: str) -> bool:
    named = isinstance(file, str)
    return named and re.fullmatch(rf"[A-Za-z0-9_-]{{1,50}}\.{storage}", file) is not None


def _is_range(span: Any) -> bool:
    numbers = isinstance(span, list) and [type(v) for v in span] == [float, float]
    return numbers and all(map(math.isfinite, span)) and span[0] < span[1]


def _values(document: dict[str, Any], what: str) -> dict[str, Any]:
    if not all(type(value) in (int, float, str) for value in document.values()):
        raise ScmError(f"{what} is {_short(document)}; expected numbers and names")
    return document


def _lists(entry: Any) -> dict[str, Any]:
    columns = list(entry.values()) if isinstance(entry, dict) else []
    if not columns or not all(isinstance(values, list) and values for values in columns):
        raise ScmError(f"a sweep is {_short(entry)}; expected lists of values by node")
    if len({len(values) for values in columns}) > 1:
        raise ScmError(f"a sweep is {_short(entry)}; expected lists of one length")
    for values in columns:
        _values(dict(enumerate(values)), "a sweep")  # type: ignore[arg-type]
    swept: dict[str, Any] = entry
    return swept


def _take(document: Mapping[str, Any], key: str, kind: type) -> Any:
    value = document.get(key)
    if type(value) is not kind:
        raise ScmError(f"{key} is {_short(value)}; expected a {kind.__name__}")
    return value


def _size(document: Mapping[str, Any], key: str, least: int = 0) -> int:
    value: int = _take(document, key, int)
    if not least <= value < 2**62:
        raise ScmError(f"{key} is {_short(value)}; expected a number from {least}")
    return value


def _among(document: Mapping[str, Any], key: str, known: tuple[str, ...]) -> Any:
    value = document.get(key)
    if not isinstance(value, str) or value not in known:
        raise ScmError(f"{key} is {_short(value)}; expected one of {known}")
    return value


def _hash(document: Mapping[str, Any]) -> str:
    value: str = _take(document, "sha256", str)
    if not re.fullmatch("[0-9a-f]{64}", value):
        raise ScmError(f"sha256 is {_short(value)}; expected 64 hexadecimal digits")
    return value


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 160 else text[:157] + "..."
