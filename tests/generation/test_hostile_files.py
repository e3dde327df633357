"""Shards and journals that somebody altered: nothing but ScmError, and bounded memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scm.errors import ScmError
from scm.generation import shards
from scm.generation.folder import JOURNAL, Folder
from scm.generation.manifest import MANIFEST, Column, Manifest, Plan, Shard, read_manifest
from scm.generation.shards import ShardReader, encode
from tests.saving.hostile import altered, limited

ROOM = 2**28
IMAGES = (
    Column("C", "categorical", "int64", (), "json", levels=("red", "blue")),
    Column("I", "image", "float32", (3, 4, 5), "png", "I.png", range=(0.0, 1.0)),
    Column("V", "real", "float64", (2,), "npy", "V.npy"),
)
TABLE = (
    Column("C", "categorical", "int64", (), "column"),
    Column("V", "real", "float32", (2,), "column"),
)
JOURNAL_LINES = [b"[]", b"3", b"null", b'"x"', b"{}", b"[" * 10**5, b'{"number": 0}', b"\xff"]


def plan_of(columns: tuple[Column, ...]) -> Plan:
    return Plan("m", "0" * 64, {}, ({"X": (0.0, 1.0)},), 0, 5, 3, 1, "cpu", columns)


def shard_of(columns: tuple[Column, ...]) -> bytes:
    generator = np.random.default_rng(0)
    arrays = {
        c.node: generator.random((6, *c.shape)).astype(c.dtype) for c in columns
    }  # 3 units, 2 worlds
    return encode(plan_of(columns), 0, arrays)


def rows_of(folder: Path, columns: tuple[Column, ...], content: bytes) -> list[dict[str, Any]]:
    plan = plan_of(columns)
    (folder / plan.file_of(0)).write_bytes(content)
    reader = ShardReader(folder, plan, 0, len(content))
    return [reader.row(row) for row in range(6)]


def refusal(work: Any, *given: Any) -> str:
    """What was said against a file in bounded memory; nothing where it was read."""
    try:
        with limited(ROOM):
            work(*given)
    except ScmError as error:
        return str(error)
    return ""


def alter(columns: tuple[Column, ...], data: st.DataObject, folder: Path) -> None:
    content = data.draw(altered(shard_of(columns)) | st.binary(max_size=60))
    assert "MemoryError" not in refusal(rows_of, folder, columns, content)


def alter_journal(data: st.DataObject, folder: Path) -> None:
    plan = plan_of(TABLE)
    text = json.dumps(plan.document()).encode() + b"\n"
    text += b'{"number": 0, "bytes": 3, "sha256": "' + b"0" * 64 + b'"}\n'
    whole = Manifest(plan, (Shard(0, 3, "0" * 64),)).text().encode()
    for name, content in ((JOURNAL, text), (MANIFEST, whole)):
        for old in (JOURNAL, MANIFEST):
            (folder / old).unlink(missing_ok=True)
        (folder / name).write_bytes(data.draw(altered(content) | st.binary(max_size=60)))
        assert "MemoryError" not in refusal(Folder(folder).begin, plan)
        assert "MemoryError" not in refusal(read_manifest, folder)


CASES = {"tar": IMAGES, "table": TABLE}
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", CASES)
@QUICK
@given(data=st.data())
def test_altered_shards(name: str, data: st.DataObject, tmp_path: Path) -> None:
    alter(CASES[name], data, tmp_path)


@QUICK
@given(data=st.data())
def test_altered_journals(data: st.DataObject, tmp_path: Path) -> None:
    alter_journal(data, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@LONG
@given(data=st.data())
def test_altered_shards_longer(name: str, data: st.DataObject, tmp_path: Path) -> None:
    alter(CASES[name], data, tmp_path)


@pytest.mark.slow
@LONG
@given(data=st.data())
def test_altered_journals_longer(data: st.DataObject, tmp_path: Path) -> None:
    alter_journal(data, tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_good_shards_are_read(name: str, tmp_path: Path) -> None:
    rows = rows_of(tmp_path, CASES[name], shard_of(CASES[name]))
    places = [(row["unit"], row["world"]) for row in rows]
    assert places == [(unit, world) for unit in (5, 6, 7) for world in (0, 1)]
    for column in CASES[name]:
        assert rows[0][column.node].shape == column.shape
        assert rows[0][column.node].dtype == getattr(torch, column.dtype)


@pytest.mark.parametrize("value", ["[0]", "[[0, 1]]", "0.5", "null", "true", "9" * 30, '"x"'])
def test_values_of_another_kind_are_refused(value: str, tmp_path: Path) -> None:
    content = shard_of(IMAGES)
    written = json.dumps({"unit": 5, "world": 0, "C": 0}).encode()
    assert written in content
    other = b'{"unit": 5, "world": 0, "C": ' + value.encode() + b"}"
    size = b"%011o" % len(written)
    head = content.index(b"000000000005-0000.json")
    at = content.index(written)
    made = bytearray(content)
    made[at : at + 512] = other.ljust(512, b"\0")
    made[head + 124 : head + 135] = b"%011o" % len(other)
    made[head + 148 : head + 156] = b" " * 8
    made[head + 148 : head + 156] = b"%06o\0 " % sum(made[head : head + 512])
    assert size in content
    with pytest.raises(ScmError, match="is damaged"):
        rows_of(tmp_path, IMAGES, bytes(made))


@pytest.mark.parametrize("line", JOURNAL_LINES)
@pytest.mark.parametrize("place", [0, 1])
def test_lines_of_a_journal(line: bytes, place: int, tmp_path: Path) -> None:
    plan = plan_of(TABLE)
    lines = [json.dumps(plan.document()).encode(), b""]
    lines[place] = line
    (tmp_path / JOURNAL).write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(ScmError, match="is damaged|cannot be read"):
        Folder(tmp_path).begin(plan)


def test_a_table_that_claims_far_more_than_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan("m", "0" * 64, {}, (), 0, 0, 10**5, 1, "cpu", (TABLE[1],))
    content = encode(plan, 0, {"V": np.zeros((10**5, 2), np.float32)})
    (tmp_path / plan.file_of(0)).write_bytes(content)
    assert ShardReader(tmp_path, plan, 0, len(content)).row(7)["unit"] == 7
    monkeypatch.setattr(shards, "_MOST", 2**16)
    monkeypatch.setattr(shards, "_RATIO", 2)
    with pytest.raises(ScmError, match="it claims to hold 3,200,000 bytes"):
        ShardReader(tmp_path, plan, 0, len(content))
