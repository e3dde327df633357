from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from scm import ScmError
from scm.learning import ConditionalGAN, GeneratedImages, LabelledImages, Mixed, Stream, train_gan
from scm.learning import gan as learning_gan
from scm.learning.checkpoint import write_checkpoint


def test_it_learns_the_colour_of_each_class() -> None:
    """Two classes of one colour each: it reproduces what it saw, confounding included."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 2
    images = 0.1 * torch.rand(64, 3, 8, 8, generator=generator)
    images[labels == 0, 0] += 0.8
    images[labels == 1, 2] += 0.8
    gan = train_gan(images, labels, steps=100, batch=16, lr=5e-4, width=64)
    made = gan.sample(torch.tensor([0, 1]).repeat(20), seed=1).mean((2, 3))
    assert made[0::2, 0].mean() > made[0::2, 2].mean() + 0.3
    assert made[1::2, 2].mean() > made[1::2, 0].mean() + 0.3


def test_samples_are_seeded_and_in_range() -> None:
    gan = ConditionalGAN((3, 28, 28)).eval()
    before = torch.get_rng_state()
    a, b, c = (gan.sample(torch.arange(10), seed=s) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert 0 <= a.min() <= a.max() <= 1
    batches = [next(Stream(GeneratedImages(gan, size=8)).batches(5)) for _ in range(2)]
    assert torch.equal(batches[0].images, batches[1].images)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_mixes_with_original_images() -> None:
    gan = ConditionalGAN((3, 8, 8), classes=4)
    source = LabelledImages(torch.full((8, 3, 8, 8), 2.0), torch.arange(8))
    batch = next(Mixed([source, Stream(GeneratedImages(gan, size=16))], (1, 3)).batches(8))
    assert (batch.images.amax((1, 2, 3)) == 2.0).tolist() == [True] * 2 + [False] * 6


def test_labels_are_uniform() -> None:
    gan = ConditionalGAN((1, 4, 4), classes=4, width=16)
    drawn = itertools.islice(iter(GeneratedImages(gan, size=40)), 10)
    counts = torch.cat([labels for _, labels in drawn]).bincount()
    # Chi-square with 3 degrees of freedom above 21.1: probability 1e-4.
    assert ((counts - 100) ** 2 / 100).sum() < 21.1


def test_what_does_not_fit_is_refused() -> None:
    images, labels = torch.rand(4, 3, 8, 8), torch.arange(4)
    with pytest.raises(ScmError, match="at most 32x32"):
        ConditionalGAN((3, 64, 64))
    with pytest.raises(ScmError, match="expected images in \\[0, 1\\]"):
        train_gan(images - 1, labels, steps=1)
    with pytest.raises(ScmError, match="0 to 3"):
        ConditionalGAN((3, 8, 8), classes=4).sample(torch.tensor([4]))
    with pytest.raises(ScmError, match="every=0"):
        train_gan(images, labels, steps=1, every=0)


def test_a_training_that_was_cut_short_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, path = torch.Generator().manual_seed(0), tmp_path / "gan"
    images, labels = torch.rand(24, 3, 8, 8, generator=generator), torch.arange(24) % 3
    given: dict[str, Any] = {"steps": 5, "batch": 8, "width": 16, "seed": 1}
    whole = train_gan(images, labels, **given).state_dict()

    def killed(path: Path, state: Any) -> None:
        write_checkpoint(path, state)
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(learning_gan, "write_checkpoint", killed)
        with pytest.raises(InterruptedError):
            train_gan(images, labels, checkpoint=path, every=2, **given)
    with pytest.raises(ScmError, match="another training's"):
        train_gan(images / 2, labels, checkpoint=path, **given)
    state = torch.load(path, weights_only=True)
    assert state["step"] == 2
    torch.save({**state, "gan": {}}, tmp_path / "other")
    with pytest.raises(ScmError, match="is not one of train_gan"):
        train_gan(images, labels, checkpoint=tmp_path / "other", **given)
    for _ in range(2):  # goes on, and then finds it finished
        found = train_gan(images, labels, checkpoint=path, every=2, **given).state_dict()
        assert all(torch.equal(found[key], value) for key, value in whole.items())
