"""What a file may make of memory and time stays in proportion to the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import scm
from scm import ScmError
from scm.saving import Bounded, archive
from tests.saving.models import MODELS, rewrite

BOMBS: dict[str, Any] = {
    "flow transforms": lambda m: m["M"]["config"].update(transforms=10**9),
    "flow hidden": lambda m: m["M"]["config"].update(hidden=[10**6, 10**6]),
    "flow bins": lambda m: m["M"]["config"].update(kind="spline", bins=10**10),
    "flow event": lambda m: m["M"]["config"].update(event=[10**5, 10**5]),
    "cvae": lambda m: m["M"].update(
        {
            "class": "CVAE",
            "config": {
                "image": {"$": "type", "name": "Image", "shape": [1, 1, 1], "range": [0, 1]},
                "hidden": [10**6, 10**6],
            },
        }
    ),
    "module": lambda m: m["B"]["config"]["f"]["parts"][0][1]["arguments"].update(
        out_features=10**12
    ),
    "upsampled": lambda m: m["B"]["config"]["f"]["parts"].append(
        ["9", {"class": "ConstantPad1d", "arguments": {"padding": 10**12, "value": 0.0}}]
    ),
    "pooled": lambda m: m["B"]["config"]["f"]["parts"].append(
        ["9", {"class": "AdaptiveAvgPool1d", "arguments": {"output_size": 10**12}}]
    ),
    "levels": lambda m: m["B"]["config"].update(
        type={"$": "type", "name": "Categorical", "levels": 10**15}
    ),
    "unfitted table": lambda m: m["M"].update({"class": "Tabular", "config": {"levels": 10**12}}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_memory_is_bounded(name: str, file: Path, tmp_path: Path) -> None:
    text, tensors = archive.read(file)
    document = json.loads(text)
    BOMBS[name](dict(zip(document["nodes"], document["mechanisms"], strict=True)))
    rewrite(tmp_path / "bomb", document, tensors)
    with pytest.raises(ScmError):
        scm.load(tmp_path / "bomb")


def test_a_law_that_broadcasts(tmp_path: Path) -> None:
    MODELS["vector root"]().save(tmp_path / "m")
    text, tensors = archive.read(tmp_path / "m")
    tensors = {"0.law.loc": torch.zeros(20_000, 1), "0.law.scale": torch.ones(1, 20_000)}
    rewrite(tmp_path / "made", text, tensors)
    with pytest.raises(ScmError, match="in proportion to its file"):
        scm.load(tmp_path / "made")


def test_bounds() -> None:
    with Bounded(tensor=1000), pytest.raises(ScmError, match="400,000 bytes"):
        torch.ones(10, 1).expand(10, 10_000).clone()
    with Bounded(tensor=1000), pytest.raises(ScmError):
        torch.ones(50, 1) @ torch.ones(1, 50)
    with Bounded(tensor=1000, total=1500), pytest.raises(ScmError, match="1,600 bytes"):
        [torch.ones(200), torch.ones(200)]
    with Bounded(tensor=1000, calls=1), pytest.raises(ScmError, match="operations"):
        [torch.ones(1), torch.ones(1)]
