from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from scm.datasets.imagenet import cue_conflict, imagenet, imagenet9
from scm.errors import ScmError
from scm.learning import Recipe
from scm.reproductions import cgn_imagenet
from scm.reproductions.imagenet_protocol import Protocol
from scm.reproductions.report import write_report
from scm.reproductions.study import Study
from scm.reproductions.tiny_imagenet import CLASSES, LATENT, SIZE, draw, write_folders

pytest.importorskip("pytorch_pretrained_biggan")

LEAST = replace(
    cgn_imagenet._QUICK,
    recipe=Recipe(steps=8, batch=16),
    generator=2,
    saliency=2,
    steps=1,
    accumulate=2,
    batch=2,
    counterfactuals=16,
    watched=4,
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    write_folders(root, train=3, test=4)
    return root


def study(out: Path, **options: str) -> Study:
    return Study(
        "cgn-imagenet",
        out,
        quick=True,
        options=options,
        progress=False,
        console=Console(quiet=True),
    )


def test_a_picture_has_the_shape_stripes_and_ground_it_was_asked_for() -> None:
    noise = torch.zeros(2, LATENT)
    images, masks = draw(torch.tensor([[0, 1, 2], [0, 1, 5]]), noise)
    assert torch.equal(masks[0], masks[1])
    inside, outside = masks[0, 0] > 0.999, masks[0, 0] < 0.001
    assert inside.sum() > 10 < outside.sum()
    assert torch.allclose(images[0][:, inside], images[1][:, inside], atol=2e-3)
    assert (images[0] - images[1])[:, outside].abs().max() > 0.1
    assert 0 <= images.min() <= images.max() <= 1
    # A disc (class 0), of radius 0.56 of half the picture, has this share of its area.
    assert float(masks[0].mean()) == pytest.approx(torch.pi * 0.56**2 / 4, rel=0.05)


def test_folders_have_the_published_layouts(folders: Path) -> None:
    train = imagenet(folders / "imagenet", "train", partial=True)
    assert train.labels.bincount(minlength=1000)[list(CLASSES)].tolist() == [3] * 8
    assert train.picture(0).size == (SIZE, SIZE)
    same = imagenet9(folders / "bg_challenge", "mixed_same", partial=True)
    assert same.labels.unique().tolist() == [0, 1, 2, 4, 8]
    cues = cue_conflict(folders / "style-transfer-preprocessed-512", partial=True)
    pairs = torch.stack([cues.labels, torch.as_tensor(cues.metadata["texture"])], 1)
    assert len(pairs.unique(dim=0)) == len(cues) == 49


def test_shape_bias_is_that_of_a_classifier_that_reads_one_cue(
    folders: Path, tmp_path: Path
) -> None:
    protocol = Protocol(study(tmp_path), folders, LEAST, tiny=True)
    cues = protocol.images("cue conflict")
    known = dict(zip(cues.labels.unique().tolist(), CLASSES[1:], strict=False))
    own = {k: next(i for i in CLASSES if i in indices) for k, indices in _members(cues.classes)}
    assert set(own) == set(known)

    class Reader(torch.nn.Module):
        def __init__(self, column: torch.Tensor) -> None:
            super().__init__()
            self.answers = iter(column.split(256))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            indices = torch.tensor([own[k] for k in next(self.answers).tolist()])
            return 9.0 * torch.nn.functional.one_hot(indices, 1000)

    assert protocol._shape_bias(Reader(cues.labels)) == 100
    assert protocol._shape_bias(Reader(torch.as_tensor(cues.metadata["texture"]))) == 0


def _members(names: tuple[str, ...]) -> list[tuple[int, tuple[int, ...]]]:
    from scm.datasets.imagenet import cue_conflict_indices

    table = cue_conflict_indices()
    return [(k, table[n]) for k, n in enumerate(names) if set(table[n]) & set(CLASSES)]


def test_the_whole_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgn_imagenet, "_QUICK", LEAST)
    monkeypatch.setattr(cgn_imagenet, "_SIZES", {"train": 3, "test": 4})
    one = study(tmp_path)
    cgn_imagenet.run(one)
    write_report(one, "about")
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    found = {(row["row"], row["metric"]): row for row in rows}
    assert len(found) == len(rows) == 2 + 11 + 15 + 20
    assert found["IN", "shape bias, %"]["paper"] == 21.39
    assert found["IN + CGN, shape head", "shape bias, %"]["reproduced"] == 49.1
    assert found["Mixed-Rand (trained)", "background gap, points"]["paper"] == 0.2
    assert found["CGN, no texture loss", "mean of the masks"]["reproduced"] == 0.4
    assert all("no comparison" in row["note"] for row in rows[2:])
    assert "random weights" in found["CGN, all losses", "mean of the masks"]["note"]
    scored = [row for row in rows if "bias" in row["metric"] or "accuracy" in row["metric"]]
    assert len(scored) == 15 + 15
    assert all("selected: the last step, 8 of 8" in row["note"] for row in scored)
    gaps = {name: _gap(found, name) for name in ("IN", "SIN", "IN + CGN")}
    for name, gap in gaps.items():
        assert found[name, "background gap, points"]["mean"] == pytest.approx(gap)
    assert {path.name for path in one.pictures} == {"counterfactuals.png", "classifiers.png"}
    assert all(path.stat().st_size > 5_000 for path in one.pictures)


def _gap(found: dict[tuple[str, str], Any], name: str) -> float:
    same, rand = (
        found[name, f"accuracy on {kind}, %"]["mean"] for kind in ("Mixed-Same", "Mixed-Rand")
    )
    return float(same - rand)


def test_folders_of_ones_own(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgn_imagenet, "_QUICK", replace(LEAST, recipe=Recipe(steps=1, batch=8)))
    given = {"root": str(folders), "partial": "yes", "size": "32", "network": "resnet18"}
    one = study(tmp_path, biggan="none", **given)
    cgn_imagenet.run(one)
    assert {row.row for row in one.rows} == {"IN", "SIN", "IN + SIN", "Mixed-Rand (trained)"}
    assert not any("tiny" in row.note for row in one.rows)


def test_what_is_missing_is_said_at_once(folders: Path, tmp_path: Path) -> None:
    def message(**options: str) -> str:
        with pytest.raises(ScmError) as caught:
            cgn_imagenet.run(study(tmp_path, **options))
        said = str(caught.value)
        assert "\n" not in said
        return said

    nowhere = message(root=str(tmp_path / "nowhere"), biggan="none")
    assert "nowhere/imagenet is not a folder" in nowhere
    assert "ILSVRC2012_img_train.tar" in nowhere
    assert "is incomplete: 8 of 1,000 classes" in message(root=str(folders), biggan="none")
    assert "without biggan=" in message(root=str(folders))
    assert "without u2net=" in message(root=str(folders), biggan="biggan-deep-256")
    assert "without root=FOLDER" in message(network="resnet18")
    wrong = {"root": str(folders), "biggan": "none"}
    assert "expected imagenet or imagenet-mini" in message(**wrong, train="mini")
    assert "expected pixels" in message(**wrong, size="big")
