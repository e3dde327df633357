"""The data set that `generate` writes: its values, its bytes, and what bad input gets."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import scm
from scm.datasets import Generated
from scm.errors import ScmError
from scm.generation import generate, generating, verify
from scm.generation.shards import encode
from scm.loading import load_model

from .models import PICTURES, TABLE

ACTS: dict[str, Any] = {"do": "C=blue", "sweep": ["X=0,NATURAL", "Y=-1:1:3"]}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("models") / "table.py"
    file.write_text(TABLE)
    return f"{file}:model"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("models") / "pictures.py"
    file.write_text(PICTURES)
    return f"{file}:model"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def backwards(function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
    return map(function, reversed(jobs))


def test_rows_are_the_samples(table: str, tmp_path: Path) -> None:
    generate(table, tmp_path / "out", 11, start=5, seed=3, shards=3, workers=1, **ACTS)
    rows = Generated(tmp_path / "out")
    view = load_model(table).do(C="blue").sweep(X=[0.0, scm.NATURAL]).sweep(Y=[-1.0, 0.0, 1.0])
    expected = view.sample(11, 3, start=5)
    assert len(rows) == 11 * 6
    for k, row in enumerate(rows[i] for i in range(len(rows))):
        unit, (first, second) = k // 6, divmod(k % 6, 3)
        assert (row["unit"], row["world"]) == (5 + unit, k % 6)
        assert set(row) == {"unit", "world", "C", "X", "Y", "V"}
        for node in ("C", "X", "Y", "V"):
            assert torch.equal(row[node], expected[node][first, second, unit])


def test_pictures_are_the_samples(pictures: str, tmp_path: Path) -> None:
    expected = load_model(pictures).sweep(X=[0.0, 2.0]).sample(5, 0)
    for images, error in (("png", 0.5001 / 255), ("npy", 0.0)):
        out = tmp_path / images
        generate(pictures, out, 5, sweep="X=0,2", shards=2, images=images, workers=1)  # type: ignore[arg-type]
        rows = Generated(out)
        assert len(rows) == 10
        for k in range(10):
            row = rows[k]
            assert (row["I"] - expected["I"][k % 2, k // 2]).abs().max() <= error
            assert torch.equal(row["V"], expected["V"][k % 2, k // 2])
            assert torch.equal(row["Z"], expected["Z"][k % 2, k // 2])


def test_others_read_the_tar(pictures: str, tmp_path: Path) -> None:
    """WebDataset's layout, read by the standard library and Pillow."""
    image = pytest.importorskip("PIL.Image")
    generate(pictures, tmp_path / "out", 3, shards=1, workers=1)
    expected = load_model(pictures).sample(3, 0)
    with tarfile.open(tmp_path / "out" / "shard-000000.tar") as tar:
        members = tar.getmembers()
        assert all((m.mtime, m.uid, m.gid, m.uname, m.gname) == (0, 0, 0, "", "") for m in members)
        keys = [m.name.split(".", 1) for m in members]
        assert [end for _, end in keys] == ["I.png", "V.npy", "json"] * 3
        assert [key for key, _ in keys] == [f"{k:012d}-0000" for k in range(3) for _ in range(3)]
        for k in range(3):
            files = [tar.extractfile(m) for m in members[3 * k : 3 * k + 3]]
            png, npy, about = (file.read() for file in files if file)
            pixels = np.asarray(image.open(io.BytesIO(png))).astype(float) / 255
            wanted = expected["I"][k].permute(1, 2, 0).numpy()
            assert np.abs(pixels - wanted).max() <= 0.5001 / 255
            assert (np.load(io.BytesIO(npy)) == expected["V"][k].numpy()).all()
            assert json.loads(about)["X"] == expected["X"][k].item()


def test_same_bytes_whatever_the_workers(table: str, tmp_path: Path) -> None:
    for workers in (1, 2):
        generate(table, tmp_path / str(workers), 50, shards=4, workers=workers, **ACTS)
    assert content(tmp_path / "1") == content(tmp_path / "2")
    assert len(content(tmp_path / "1")) == 5


def test_same_bytes_whatever_the_order(
    pictures: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(pictures, tmp_path / "forwards", 9, shards=4, workers=1)
    monkeypatch.setattr(generating, "_in_turn", backwards)
    torch.randn(3)
    generate(pictures, tmp_path / "backwards", 9, shards=4, workers=1)
    assert content(tmp_path / "forwards") == content(tmp_path / "backwards")


def test_a_shard_is_on_record_though_the_next_fails(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written while the next is computed."""

    def failing(plan: Any, shard: int, arrays: Any) -> bytes:
        if shard == 2:
            raise ScmError("a NaN")
        return encode(plan, shard, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(generating, "encode", failing)
        with pytest.raises(ScmError, match="a NaN"):
            generate(table, tmp_path / "out", 8, shards=4, workers=1)
    journal = (tmp_path / "out" / "unfinished.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in journal[1:]] == [0, 1]
    generate(table, tmp_path / "out", 8, shards=4, workers=1)
    generate(table, tmp_path / "undisturbed", 8, shards=4, workers=1)
    assert content(tmp_path / "out") == content(tmp_path / "undisturbed")


def test_a_model_is_saved_with_its_data(tmp_path: Path) -> None:
    model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
    made = generate(model, tmp_path / "out", 4, do={"A": 1}, shards=2, workers=1)
    again = generate(model, tmp_path / "out", 4, do="A=1.0", shards=2, workers=1)
    assert made == again
    saved = tmp_path / "out" / "model.safetensors"
    elsewhere = generate(saved, tmp_path / "other", 4, do="A=1", shards=2, workers=1)
    assert elsewhere == made
    other = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 3.0}))
    with pytest.raises(ScmError, match="another model"):
        generate(other, tmp_path / "out", 4, do="A=1", shards=2, workers=1)
    assert generate(model, tmp_path / "out", 4, do="A=1", shards=2, workers=1) == made


def test_a_shard_altered_or_lost(table: str, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"units": 30, "shards": 3, "workers": 1}
    generate(table, tmp_path, **arguments)
    before, shard = content(tmp_path), tmp_path / "shard-000001.parquet"
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    shard.write_bytes(damaged)
    with pytest.raises(ScmError, match=r"1 of 3 shards.*shard-000001.parquet \(altered\)"):
        verify(tmp_path)
    with pytest.raises(ScmError, match=r"shard-000001.parquet was altered"):
        generate(table, tmp_path, **arguments)
    shard.unlink()
    with pytest.raises(ScmError, match=r"shard-000001.parquet \(missing\)"):
        verify(tmp_path)
    rows = Generated(tmp_path)
    assert rows[0]["unit"] == 0
    with pytest.raises(ScmError, match=r"shard-000001.parquet is missing"):
        rows[10]
    generate(table, tmp_path, **arguments)
    assert content(tmp_path) == before
    verify(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "seed is 0 there, and 1 was asked for"),
        ({"do": "X=1"}, r"do is \{\} there, and \{'X': 1.0\} was asked for"),
        ({"sweep": "X=1,2"}, r"sweep is \[\] there"),
        ({"units": 31}, "units is 30 there, and 31 was asked for"),
        ({"shards": 4}, "shards is 3 there"),
        ({"nodes": ["X"]}, "columns is"),
    ],
)
def test_another_data_set(
    table: str, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {"units": 30, "shards": 3, "workers": 1}
    generate(table, tmp_path, **arguments)
    before = content(tmp_path)
    with pytest.raises(ScmError, match=message):
        generate(table, tmp_path, **{**arguments, **changed})
    assert content(tmp_path) == before


def test_another_model(table: str, tmp_path: Path) -> None:
    generate(table, tmp_path / "out", 3, shards=1, workers=1)
    file = tmp_path / "table.py"
    file.write_text(TABLE.replace("0.1", "0.2"))
    with pytest.raises(ScmError, match="sha256 is '[0-9a-f]{64}' there"):
        generate(f"{file}:model", tmp_path / "out", 3, shards=1, workers=1)
    text = TABLE.replace("V=scm", "V=scm.Root(Normal(torch.rand(3), 1.0)) if 1 else scm")
    file.write_text(text)
    with pytest.raises(ScmError, match="another model each time"):
        generate(f"{file}:model", tmp_path / "new", 3, shards=1, workers=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shards": 11}, "11 shards of 10 units"),
        ({"shards": 0}, "shards=0"),
        ({"units": 0}, "units=0"),
        ({"start": -1}, "start=-1"),
        ({"workers": 0}, "workers=0"),
        ({"seed": None}, "seed=None"),
        ({"seed": 0.5}, "seed=0.5"),
        ({"nodes": ["x"]}, "did you mean 'X'"),
        ({"nodes": []}, "at least one"),
        ({"images": "jpg"}, "images='jpg'"),
        ({"do": "X"}, "expected NODE=VALUE"),
        ({"device": "cuda:77"}, "cannot be put on"),
    ],
)
def test_bad_input(table: str, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ScmError, match=message):
        generate(table, tmp_path / "out", **{"units": 10, "workers": 1, **arguments})
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_a_folder_of_something_else(table: str, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ScmError, match="holds something else \\(thesis.tex\\)"):
        generate(table, tmp_path, 3, workers=1)
    for below in (tmp_path / "thesis.tex", tmp_path / "thesis.tex" / "out"):
        with pytest.raises(ScmError, match="cannot be made or read"):
            generate(table, below, 3, workers=1)
    assert content(tmp_path) == {"thesis.tex": b"x"}


def test_two_runs_at_once(table: str, tmp_path: Path) -> None:
    with generating.Folder(tmp_path).held(), pytest.raises(ScmError, match="another run"):
        generate(table, tmp_path, 3, workers=1)
    generate(table, tmp_path, 3, workers=1)


def test_command(table: str, tmp_path: Path) -> None:
    from scm.cli import app

    run, out = CliRunner().invoke, str(tmp_path / "out")
    words = ["generate", table, "--out", out, "--units", "6", "--workers", "1", "--shards", "2"]
    done = run(app, [*words, "--do", "C=red", "--sweep", "X=0,1", "--node", "Y"])
    assert done.exit_code == 0, done.output
    assert "12 rows in 2 shards" in done.output
    assert verify(out).plan.do == {"C": "red"}
    done = run(app, ["generate", "--verify", "--out", out])
    assert done.exit_code == 0, done.output
    assert "2 shards are as the manifest says" in done.output
    assert run(app, ["generate", table, "--out", out]).exit_code == 1
    assert "--units" in run(app, ["generate", table, "--out", out]).output
    (tmp_path / "out" / "shard-000000.parquet").unlink()
    assert run(app, ["generate", "--verify", "--out", out]).exit_code == 1
