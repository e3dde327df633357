"""The reader of manifests: what was written comes back, and nothing else is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scm.errors import ScmError
from scm.generation.manifest import Column, Manifest, Plan, Shard, parse, read_manifest

COLUMNS = (
    Column("C", "categorical", "int64", (), "json", levels=("red", "blue")),
    Column("I", "image", "float32", (3, 4, 5), "png", "I.png", range=(0.0, 1.0)),
    Column("age (y)", "real", "float64", (2,), "npy", "column2.npy"),
)
PLAN = Plan(
    model="m.py:model",
    sha256="0" * 64,
    do={"C": "red"},
    sweep=({"X": (0.0, "NATURAL")}, {"Y": (1.0, 2.0, 3.0)}),
    seed=-3,
    start=7,
    units=10,
    shards=3,
    device="cpu",
    columns=COLUMNS,
)
MANIFEST = Manifest(PLAN, tuple(Shard(k, 10 + k, f"{k:064x}") for k in range(3)))

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**4000, -(2**63), "../x", "NaN", 2**31]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def paths(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a JSON document has a value."""
    keys: Any = {dict: lambda: document, list: lambda: range(len(document))}
    inner = keys.get(type(document), lambda: ())()
    return [path, *(p for key in inner for p in paths(document[key], (*path, key)))]


DOCUMENT = json.loads(MANIFEST.text())
PATHS = paths(DOCUMENT)[1:]


def test_round_trip() -> None:
    again = parse(MANIFEST.text())
    assert again.text() == MANIFEST.text()
    assert again.shards == MANIFEST.shards
    assert again.plan.columns == COLUMNS
    assert again.plan.worlds == 6
    assert [again.plan.units_of(k) for k in range(3)] == [(7, 10), (10, 13), (13, 17)]
    assert again.plan.differences(PLAN) == []


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_any_bytes(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_bytes(content)
    with pytest.raises(ScmError, match="manifest.json"):
        read_manifest(tmp_path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, len(MANIFEST.text()) - 1),
    length=st.integers(0, 8),
    other=st.binary(max_size=8),
)
def test_altered_bytes(at: int, length: int, other: bytes, tmp_path: Path) -> None:
    content = MANIFEST.text().encode()
    (tmp_path / "manifest.json").write_bytes(content[:at] + other + content[at + length :])
    try:
        found = read_manifest(tmp_path)
    except ScmError:
        return
    assert parse(found.text()) == found


@settings(max_examples=200)
@given(path=st.sampled_from(PATHS), value=ANYTHING, drop=st.booleans())
def test_altered_values(path: tuple[Any, ...], value: Any, drop: bool) -> None:
    document = json.loads(MANIFEST.text())
    inside = document
    for key in path[:-1]:
        inside = inside[key]
    if drop:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    try:
        found = parse(json.dumps(document))
    except ScmError:
        return
    assert parse(found.text()) == found
    assert all("/" not in found.plan.file_of(k) for k in range(found.plan.shards))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "no JSON"),
        ("9" * 5000, "no JSON"),
        ("[]", "expected an object"),
        ("{}", "shards is None"),
        (MANIFEST.text()[:-30], "cut off"),
        (MANIFEST.text().replace("scm-data 1", "scm-data 2"), "'scm-data 2', and this version"),
        (MANIFEST.text().replace("shard-000001", "../../x"), "shard 1 is"),
        (MANIFEST.text().replace('"I.png"', '"../I.png"'), "'I'.*makes no sense"),
        (MANIFEST.text().replace('"units": 10', '"units": 1'), "3 shards of 1 units"),
        (MANIFEST.text().replace('"stop": 13', '"stop": 12'), "shard 1 is"),
        (MANIFEST.text().replace('"node": "I"', '"node": "C"'), "expected distinct ones"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(ScmError, match=message):
        parse(text)


def test_a_folder_without_one(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"there is no .*manifest.json"):
        read_manifest(tmp_path)
