"""The evaluation protocol, on folders of a few images of one colour each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from scm.datasets.imagenet import imagenet_v2, objectnet
from scm.errors import ScmError
from scm.learning import beyond_imagenet, mean_corruption_error, top_k
from scm.learning.image_sets import VARIANTS_OF_V2
from scm.learning.robustness import ALEXNET

GOLDFISH, COCK = "n01443537", "n01514668"  # 1 and 7


class Level(nn.Module):
    """A "classifier" that reads the red level: best guess r, second r + 1."""

    def forward(self, images: Tensor) -> Tensor:
        level = images[:, 0, 0, 0].round().long()
        logits = torch.zeros(len(images), 1000)
        rows = torch.arange(len(images))
        logits[rows, level], logits[rows, level + 1] = 3.0, 2.0
        return logits


def level(picture: Image.Image) -> Tensor:
    return torch.tensor(np.array(picture)).permute(2, 0, 1).float()


def put(path: Path, red: int, size: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), (red, 0, 0)).save(path)


OPTIONS = {"partial": True, "transform": level}


def corrupted(root: Path) -> Path:
    """Two images of each corruption; as many severities as its place have a wrong second image."""
    for place, name in enumerate(ALEXNET):
        for severity in range(1, 6):
            put(root / name / str(severity) / GOLDFISH / "a.png", 1)
            wrong = severity <= place % 6
            put(root / name / str(severity) / COCK / "b.png", 9 if wrong else 7)
    return root


def test_mce_of_a_folder_by_hand(tmp_path: Path) -> None:
    found = mean_corruption_error(Level(), corrupted(tmp_path), progress=False, **OPTIONS)
    wanted = [(place % 6) / 10 / error for place, error in enumerate(ALEXNET.values())]
    assert [e.value for e in found.each.values()] == pytest.approx(wanted)
    assert found.mean.value == pytest.approx(sum(wanted) / 15)


def test_corruptions_of_other_images_are_refused(tmp_path: Path) -> None:
    corrupted(tmp_path)
    (tmp_path / "fog" / "3" / COCK / "b.png").unlink()
    with pytest.raises(ScmError, match="gaussian_noise 1 and ImageNet-C fog 3 hold other images"):
        mean_corruption_error(Level(), tmp_path, progress=False, **OPTIONS)


def test_top_k_follows_the_rule_of_each_set(tmp_path: Path) -> None:
    for name, red in (("0/a.png", 0), ("9/b.png", 8), ("10/c.png", 4)):
        put(tmp_path / name, red)
    found = top_k(Level(), imagenet_v2(tmp_path, **OPTIONS), ks=(1, 2), batch=2, progress=False)
    assert (found[1].value, found[2].value) == pytest.approx((1 / 3, 2 / 3))
    assert found[1].n == 3


def objects(root: Path) -> Path:
    """A banana, ImageNet's class 3, and a chair that may be 5 or 8; a plate is not ImageNet's."""
    mappings = {
        "folder_to_objectnet_label.json": {"banana": "Banana", "chair": "Chair", "plate": "Plate"},
        "objectnet_to_imagenet_1k.json": {"Banana": "banana", "Chair": "stool; throne"},
        "pytorch_to_imagenet_2012_id.json": {"3": 0, "5": 1, "8": 2},
    }
    (root / "mappings").mkdir(parents=True)
    for name, content in mappings.items():
        (root / "mappings" / name).write_text(json.dumps(content))
    (root / "mappings" / "imagenet_to_label_2012_v2").write_text("banana\nstool\nthrone\n")
    for name, red in (("banana/a", 3), ("banana/b", 5), ("chair/c", 8), ("chair/d", 4)):
        put(root / "images" / f"{name}.png", red)
    put(root / "images" / "plate" / "e.png", 3)
    return root


def test_objectnets_overlapping_classes(tmp_path: Path) -> None:
    found = top_k(Level(), objectnet(objects(tmp_path), **OPTIONS), ks=(1, 2), progress=False)
    assert (found[1].value, found[2].value, found[1].n) == (0.5, 0.75, 4)


def test_the_whole_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCM_DATA", str(tmp_path))
    objects(tmp_path / "objectnet-1.0")
    corrupted(tmp_path / "imagenet-c")
    for k, variant in enumerate(VARIANTS_OF_V2):
        put(tmp_path / f"imagenetv2-{variant}-format-val" / "7" / "x.png", 7 - k)
    found = beyond_imagenet(Level().train(), progress=False, **OPTIONS)
    assert len(found) == 9
    assert found["objectnet top 1"].value == 0.5
    values = [found[f"imagenet-v2 {variant} top 1"].value for variant in VARIANTS_OF_V2]
    assert values == [1.0, 0.0, 0.0]
    assert found["imagenet-v2 threshold0.7 top 5"].value == 1.0
    assert 0 < found["imagenet-c mCE"].value < 1
    with pytest.raises(ScmError, match="is not a folder"):
        beyond_imagenet(Level(), {"objectnet": tmp_path / "none"}, progress=False, **OPTIONS)
