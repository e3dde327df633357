"""Reading generated data sets: every row once, whatever the ranks and workers."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import scm
from scm.datasets import Generated, GeneratedStream, generated
from scm.errors import ScmError
from scm.generation import generate

ROWS = [(5 + unit, world) for unit in range(23) for world in range(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "out"
    model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
    generate(model, out, 23, sweep="A=0,1", seed=1, start=5, shards=4, workers=1)
    return out


def parts_of(rows: Any, ranks: int, workers: int) -> list[list[Any]]:
    """What each worker of each rank is given."""
    parts = []
    for rank, worker in itertools.product(range(ranks), range(max(1, workers))):
        info = SimpleNamespace(num_workers=workers, id=worker) if workers else None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(generated, "get_worker_info", lambda info=info: info)
            parts.append(list(GeneratedStream(rows, rank, ranks)))
    return parts


@given(n=st.integers(0, 300), ranks=st.integers(1, 20), workers=st.integers(0, 8))
def test_no_overlap_and_no_gap(n: int, ranks: int, workers: int) -> None:
    parts = parts_of(range(n), ranks, workers)
    assert [row for part in parts for row in part] == list(range(n))
    sizes = list(map(len, parts))
    assert max(sizes) - min(sizes) <= 1


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(ranks=st.integers(1, 60), workers=st.integers(0, 5), opened=st.integers(1, 5))
def test_every_row_once(ranks: int, workers: int, opened: int, folder: Path) -> None:
    parts = parts_of(Generated(folder, open_shards=opened), ranks, workers)
    assert [(row["unit"], row["world"]) for part in parts for row in part] == ROWS


def test_loaders(folder: Path) -> None:
    rows = Generated(folder)
    batches = list(DataLoader(rows.stream(), batch_size=10))
    units = torch.cat([batch["unit"] for batch in batches]).tolist()
    worlds = torch.cat([batch["world"] for batch in batches]).tolist()
    assert list(zip(units, worlds, strict=True)) == ROWS
    assert torch.equal(torch.cat([b["A"] for b in batches]), torch.tensor([0.0, 1.0]).repeat(23))
    shuffled = list(DataLoader(rows, batch_size=None, shuffle=True))
    assert sorted((int(r["unit"]), int(r["world"])) for r in shuffled) == ROWS


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine of one core
def test_loader_workers(folder: Path) -> None:
    loader = DataLoader(
        Generated(folder).stream(), batch_size=None, num_workers=2, multiprocessing_context="spawn"
    )
    assert sorted((int(r["unit"]), int(r["world"])) for r in loader) == ROWS


def test_rows(folder: Path) -> None:
    rows = pickle.loads(pickle.dumps(Generated(folder)))
    assert len(rows) == 46
    assert rows[-1]["unit"] == 27
    assert rows[-46]["unit"] == 5
    for index in (46, -47):
        with pytest.raises(IndexError):
            rows[index]
    assert str(rows) == "Generated(23 units x 2 worlds: A, B)"


def test_bad_input(folder: Path, tmp_path: Path) -> None:
    rows = Generated(folder)
    for rank, ranks in [(0, None), (None, 2), (2, 2), (-1, 2)]:
        with pytest.raises(ScmError, match="rank="):
            rows.stream(rank=rank, ranks=ranks)
    with pytest.raises(ScmError, match="open_shards=0"):
        Generated(folder, open_shards=0)
    with pytest.raises(ScmError, match="there is no"):
        Generated(tmp_path)


def test_a_damaged_shard(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    shard = tmp_path / "shard-000002.parquet"
    shard.write_bytes(b"\0" * shard.stat().st_size)
    rows = Generated(tmp_path)
    assert rows[0]["unit"] == 5
    with pytest.raises(ScmError, match=r"shard-000002.parquet is damaged"):
        rows[30]
