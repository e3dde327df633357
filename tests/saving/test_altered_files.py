"""Files that are altered, foreign or not there, and disks that refuse: always ScmError."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import scm
from scm import ScmError
from tests.saving.models import MODELS, lambda_model


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_altered_files_are_refused(file: Path, data: st.DataObject, tmp_path: Path) -> None:
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip", "longer", "drop", "twice"]))
    altered = {
        "cut": content[:at],
        "flip": content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :],
        "longer": content + b"x",
        "drop": content[:at] + content[at + 1 :],
        "twice": content[:at] + content[at:] * 2,
    }[kind]
    path = tmp_path / "altered"
    path.write_bytes(altered)
    with pytest.raises(ScmError) as caught:
        scm.load(path)
    assert "altered" in str(caught.value)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=100))
def test_any_bytes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(content)
    with pytest.raises(ScmError):
        scm.load(path)


def test_other_files(tmp_path: Path) -> None:
    for name, protocol in (("p2", 2), ("p5", 5)):
        (tmp_path / name).write_bytes(pickle.dumps({"a": list(range(9))}, protocol))
    torch.save({"a": torch.ones(2)}, tmp_path / "zip")
    torch.save({"a": torch.ones(2)}, tmp_path / "old", _use_new_zipfile_serialization=False)
    for name in ("p2", "p5", "zip", "old"):
        with pytest.raises(ScmError, match=r"can run code.*weights_only=True"):
            scm.load(tmp_path / name)
    with pytest.raises(ScmError, match="does not exist"):
        scm.load(tmp_path / "missing")
    with pytest.raises(ScmError, match="is not a file"):
        scm.load(tmp_path)
    save_file({"a": torch.ones(2)}, tmp_path / "other")
    with pytest.raises(ScmError, match="not a saved model"):
        scm.load(tmp_path / "other")
    save_file(
        {"a": torch.ones(2)}, tmp_path / "new", {"format": "scm-model 9", "model": "", "sha256": ""}
    )
    with pytest.raises(ScmError, match="'scm-model 9'.*reads 'scm-model 1'"):
        scm.load(tmp_path / "new")


def test_a_refusing_disk_leaves_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    model = MODELS["root"]()
    with pytest.raises(ScmError, match="could not be written"):
        model.save(tmp_path / "no" / "such" / "folder")
    model.save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ScmError, match="No space left"):
        lambda_model().save(tmp_path / "m", omit="Y")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    assert (tmp_path / "m").read_bytes() == before
    monkeypatch.undo()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ScmError, match="could not be written"):
        model.save(tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "m"]
