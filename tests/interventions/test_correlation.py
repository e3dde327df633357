"""The correlation analysis, on images whose nuisance and class are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from scm.datasets.imagenet import imagenet
from scm.errors import ScmError
from scm.interventions import (
    NuisancePredictor,
    label_predictability,
    train_nuisance_predictor,
)
from scm.interventions.correlation import _against_chance
from scm.learning import Recipe, SmallCNN

QUICK = Recipe(steps=120, batch=32, lr=5e-3)


def painted(brightness: Tensor, labels: Tensor) -> Tensor:
    """A square whose place is the class, on a ground whose brightness is the nuisance."""
    images = brightness[:, None, None, None].expand(-1, 1, 8, 8).clone()
    for k in range(4):
        top, left = 4 * (k // 2), 4 * (k % 2)
        images[labels == k, :, top : top + 3, left : left + 3] = 1.0
    return images


def drawn(n: int, seed: int, tied: bool) -> tuple[Tensor, Tensor]:
    """Classes, and brightness that is the class's or independent of it."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (n,), generator=generator)
    free = 2 * torch.rand(n, generator=generator) - 1
    return labels, 0.5 * (labels - 1.5) + 0.2 * free if tied else free


def trained(images: Tensor, nuisances: Tensor, moved: Tensor | None = None) -> NuisancePredictor:
    network = SmallCNN(1, nuisances.shape[1], width=8)
    return train_nuisance_predictor(images, nuisances, moved, network=network, recipe=QUICK)


def test_nuisances_predict_the_label_where_they_are_confounded_and_not_after_intervention() -> None:
    labels, brightness = drawn(1_200, 0, tied=False)
    read = trained(painted(brightness, labels), brightness[:, None])
    assert read.error.value < 0.25 * read.chance.value
    assert read.chance.value == pytest.approx(0.5, abs=0.05)
    assert read.error.n == 240
    told = {}
    for tied in (True, False):
        labels, brightness = drawn(1_200, 1, tied)
        seen = read(painted(brightness, labels), batch=700)
        told[tied] = label_predictability(seen, labels, hidden=64, recipe=QUICK)
    assert told[True].times.interval().lower > 2
    assert 1.0 in told[False].times.interval(0.999)


def test_only_what_was_set_counts() -> None:
    labels, brightness = drawn(1_000, 2, tied=False)
    contrast = torch.where(torch.arange(1_000) % 2 == 0, brightness, torch.nan)
    nuisances = torch.stack([contrast, 100 * contrast], 1)
    moved = ~nuisances.isnan()
    moved[:, 1] &= torch.arange(1_000) % 4 == 0
    filled = torch.where(moved, nuisances, -1e6)
    read = trained(painted(brightness, labels), filled, moved)
    assert read.scale.tolist() == pytest.approx([0.5, 50.0], rel=0.15)
    assert read.error.n is not None
    assert 70 < read.error.n < 130  # the half that has one
    found = read(painted(brightness, labels))
    assert (found[:, 0] - brightness).abs().mean() < 0.2


def test_chance_is_what_the_same_guesses_get_by_lot() -> None:
    generator = np.random.default_rng(0)
    labels = generator.choice(3, 60, p=[0.6, 0.3, 0.1])
    guesses = np.where(generator.random(60) < 0.5, labels, generator.integers(3, size=60))
    found = _against_chance(torch.tensor(guesses), torch.tensor(labels), 3)
    dealt = [np.mean(guesses == generator.permutation(labels)) for _ in range(20_000)]
    # The mean of 20,000 deals, of sd about 0.05, within 5 standard errors.
    assert found.chance == pytest.approx(np.mean(dealt), abs=5 * np.std(dealt) / 20_000**0.5)
    assert found.times.value == pytest.approx(np.mean(guesses == labels) / found.chance)


def test_the_interval_of_independent_guesses_covers_one() -> None:
    """600 samples at 95%: fewer than 552 or more than 586 have probability below 0.1%."""
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(600):
        labels, guesses = (
            torch.multinomial(torch.tensor(p), 400, True, generator=generator)
            for p in ([0.5, 0.3, 0.2], [0.2, 0.2, 0.6])
        )
        covered += 1.0 in _against_chance(guesses, labels, 3).times.interval()
    assert 552 <= covered <= 586


def test_nuisances_are_read_off_a_folder(tmp_path: Path) -> None:
    colours = {"n01440764": (0, 255), "n01443537": (120,)}
    for wnid, levels in colours.items():
        folder = tmp_path / "val" / wnid
        folder.mkdir(parents=True)
        for level in levels:
            Image.new("RGB", (8, 8), (level,) * 3).save(folder / f"{level:03d}.png")

    def transform(picture: Image.Image) -> Tensor:
        grey = torch.from_numpy(np.array(picture)[:, :, 0].copy())
        return grey[None].float() / 127.5 - 1

    images = imagenet(tmp_path, partial=True, transform=transform)
    _, brightness = drawn(1_000, 0, tied=False)
    bare = brightness[:, None, None, None].expand(-1, 1, 8, 8)
    read = trained(bare, brightness[:, None])
    found = read(images, batch=2)
    assert found[:, 0].tolist() == pytest.approx([-1.0, 1.0, -0.06], abs=0.2)
    assert images.labels.tolist() == [0, 0, 1]


def test_what_does_not_fit_is_refused() -> None:
    images, nuisances = torch.rand(10, 1, 8, 8), torch.rand(10, 2)
    with pytest.raises(ScmError, match=r"expected \(n, channels, height, width\) and \(n, k\)"):
        train_nuisance_predictor(images, nuisances[:, 0])
    with pytest.raises(ScmError, match="expected bool"):
        train_nuisance_predictor(images, nuisances, nuisances)
    moved = torch.tensor([True, False]).expand(10, 2)
    with pytest.raises(ScmError, match=r"\[8, 0\] of each nuisance set"):
        train_nuisance_predictor(images, nuisances, moved)
    with pytest.raises(ScmError, match="must be set at random"):
        train_nuisance_predictor(images, torch.ones(10, 2))
    with pytest.raises(ScmError, match="two classes or more"):
        label_predictability(nuisances, torch.zeros(10, dtype=torch.int64))
