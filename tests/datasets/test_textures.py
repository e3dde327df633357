from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scm import ScmError
from scm.datasets import Textures, textures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder of textures, each of one grey: of class k, 10 k and 200 - 10 k."""
    for name, word, shade in (("object", "striped", 0), ("background", "veined", 200)):
        place = tmp_path / "textures" / name
        place.mkdir(parents=True)
        for k in range(10):
            grey = abs(shade - 10 * k)
            Image.new("RGB", (160 + k, 200), (grey,) * 3).save(place / f"{k}_{word}_00{k}.jpg")
    return tmp_path


def test_photographs_by_class(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = textures(folder)
    assert found.name == "describable"
    assert found.foreground.shape == found.background.shape == (10, 3, 150, 150)
    shades = torch.arange(10) / 25.5
    assert torch.allclose(found.foreground.mean((1, 2, 3)), shades, atol=0.01)
    assert torch.allclose(found.background.mean((1, 2, 3)), 200 / 255 - shades, atol=0.01)
    monkeypatch.setenv("SCM_DATA", str(folder))
    assert torch.equal(textures().foreground, found.foreground)


def test_drawn_where_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCM_DATA", raising=False)
    before = torch.get_rng_state()
    found = textures()
    assert torch.equal(torch.get_rng_state(), before)
    assert found.name == "procedural"
    assert found.foreground.shape == found.background.shape == (10, 3, 150, 150)
    monkeypatch.setenv("SCM_DATA", str(tmp_path))
    assert torch.equal(textures().background, found.background)
    assert not torch.equal(textures(seed=1).background, found.background)


def test_drawn_ones_can_be_told_apart() -> None:
    """The nearest mean colour of a window names its class, of ten stripes and of ten veins."""
    found = textures(seed=0) if "SCM_DATA" not in os.environ else None
    from scm.datasets.textures import _procedural

    found = found or _procedural(0)
    for images in (found.foreground, found.background):
        means = images.mean((2, 3))
        windows = images.unfold(2, 32, 29).unfold(3, 32, 29).mean((4, 5)).flatten(2).mT
        nearest = torch.cdist(windows, means).argmin(-1)
        right = (nearest == torch.arange(10)[:, None]).double().mean()
        assert right > 0.9  # one in ten by chance
        assert (images.std((1, 2, 3)) > 0.05).all()


def test_an_incomplete_folder_says_what_to_do(folder: Path) -> None:
    (folder / "textures" / "object" / "3_striped_003.jpg").unlink()
    expected = r"0 files 3_striped_\*.jpg.*1 of 10.*counterfactual_generative_networks.*SCM_DATA"
    with pytest.raises(ScmError, match=expected):
        textures(folder)
    with pytest.raises(ScmError, match=r"is no folder.*SCM_DATA"):
        textures(folder / "textures")


def test_a_damaged_file_is_refused(folder: Path) -> None:
    path = folder / "textures" / "background" / "7_veined_007.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ScmError, match=r"7_veined_007.jpg cannot be read.*download it again"):
        textures(folder)
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(ScmError, match="cannot be read"):
        textures(folder)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(9, 3, 50, 50), r"expected floating point \(10, 3"),
        (torch.zeros(10, 1, 50, 50), r"expected floating point \(10, 3"),
        (torch.zeros(10, 3, 50, 50, dtype=torch.uint8), "expected floating point"),
        (torch.full((10, 3, 50, 50), 2.0), r"expected \[0, 1\]"),
        (torch.full((10, 3, 50, 50), torch.nan), r"expected \[0, 1\]"),
    ],
    ids=["classes", "channels", "bytes", "range", "nan"],
)
def test_own_textures_are_checked(images: torch.Tensor, message: str) -> None:
    good = torch.zeros(10, 3, 50, 50)
    with pytest.raises(ScmError, match=f"foreground.*{message}"):
        Textures("own", images, good)
    with pytest.raises(ScmError, match=f"background.*{message}"):
        Textures("own", good, images)
