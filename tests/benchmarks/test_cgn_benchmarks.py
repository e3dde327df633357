"""The speed benchmarks of CGNs: the images of both ways are compared, and results are written."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks" / "speed"


def rows(name: str, arguments: list[str], out: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    monkeypatch.syspath_prepend(str(FOLDER))
    importlib.import_module(name).main([*arguments, "--out", str(out)])
    found: list[dict] = json.loads(out.read_text())["rows"]
    return found


def test_counterfactuals_by_one_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = rows("counterfactuals", ["--quick", "--units", "2"], tmp_path / "r.json", monkeypatch)
    ours, plain = found
    assert ours["row"].startswith("3x3x3 images of 2 units")
    assert ours["goal"] == 1 / 20
    assert "images as the reference's" in ours["note"]
    assert plain["ratio"] == 1


def test_images_that_differ_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    benchmark = importlib.import_module("counterfactuals")
    monkeypatch.setattr(benchmark, "one_by_one", lambda *_: torch.zeros(54, 3, 32, 32))
    with pytest.raises(AssertionError, match="largest difference"):
        benchmark.main(["--quick", "--units", "2", "--out", str(tmp_path / "r.json")])


@pytest.mark.slow
def test_a_step_and_a_sweep_of_the_imagenet_cgn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pytorch_pretrained_biggan")
    found = rows("imagenet_cgn", ["--quick"], tmp_path / "r.json", monkeypatch)
    works = {row["row"].rpartition(": ")[0] for row in found}
    assert {
        "training on the CPU, one image",
        "memory of training on the CPU, one image",
        "2x2x2 counterfactuals of 1 units on cpu, float32",
    } <= works
    assert all(row["reproduced"] > 0 for row in found)
