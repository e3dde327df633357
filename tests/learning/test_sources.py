from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from scm import ScmError
from scm.learning import Augmented, AutoAugment, LabelledImages, Mixed, PixelNoise, Stream


def labelled(n: int, value: float = 0.0) -> tuple[Tensor, Tensor]:
    return torch.full((n, 3, 4, 4), value), torch.arange(n)


@given(st.integers(1, 9), st.integers(1, 20), st.integers(0, 3))
def test_each_pass_sees_each_image_once(n: int, size: int, seed: int) -> None:
    batches = LabelledImages(*labelled(n)).batches(size, seed)
    seen = torch.cat([b.labels for b in itertools.islice(batches, n)])
    assert seen.bincount(minlength=n).tolist() == [size] * n


def test_groups_and_head_labels_stay_with_their_images() -> None:
    images, labels = labelled(7)
    source = LabelledImages(images + labels.view(-1, 1, 1, 1), labels, labels % 3)
    b = next(source.batches(5))
    assert b.groups is not None
    assert torch.equal(b.images[:, 0, 0, 0].long(), b.labels)
    assert torch.equal(b.groups, b.labels % 3)
    heads = next(LabelledImages(images, torch.stack([labels, 6 - labels], 1)).batches(5))
    assert torch.equal(heads.labels.sum(1), torch.full((5,), 6))


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(1, 9))
def test_a_stream_loses_nothing_and_keeps_the_order(parts: list[int], size: int) -> None:
    total = sum(parts)
    images, labels = labelled(total)
    pieces = list(zip(images.split(parts), labels.split(parts), strict=True))
    batches = Stream(pieces).batches(size)
    seen = torch.cat([b.labels for b in itertools.islice(batches, 2 * total)])
    assert torch.equal(seen, labels.repeat(2 * size))


def test_pixels_get_noise_of_their_own() -> None:
    """40,000 pixels: mean and variance within five standard errors, a false alarm of 1e-6."""
    images, labels = torch.full((10, 1, 20, 200), 0.5), torch.arange(10)
    source = Augmented(LabelledImages(images, labels), PixelNoise(0.6))
    b, again = (next(source.batches(10, seed=3)) for _ in range(2))
    assert torch.equal(b.images, again.images)
    noise = (b.images - 0.5) / 0.6
    assert abs(float(noise.mean())) < 5 / 200
    assert abs(float(noise.square().mean()) - 1) < 5 * 2**0.5 / 200
    assert len(noise.unique()) > 30_000
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ScmError, match="0 or more"):
            PixelNoise(wrong)


def test_a_stream_is_never_held_whole() -> None:
    made = 0

    class Endless:
        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            nonlocal made
            while True:
                made += 1
                yield labelled(10)

    list(itertools.islice(Stream(Endless()).batches(4), 5))
    assert made == 2


def test_a_stream_that_ends_says_so() -> None:
    with pytest.raises(ScmError, match="cannot begin again"):
        list(itertools.islice(Stream(labelled(5) for _ in range(2)).batches(4), 3))
    with pytest.raises(ScmError, match="is empty"):
        next(Stream([]).batches(4))


def test_a_stream_keeps_one_factor() -> None:
    images, labels = labelled(6)
    part = (images, torch.stack([labels, labels + 10, labels + 20], 1))
    assert next(Stream([part], factor=1).batches(3)).labels.tolist() == [10, 11, 12]
    assert next(Stream([part]).batches(3)).labels.shape == (3, 3)
    with pytest.raises(ScmError, match="factor=3 of labels \\(6, 3\\)"):
        next(Stream([part], factor=3).batches(3))


def test_a_mixture_keeps_its_shares() -> None:
    sources = [LabelledImages(*labelled(4, float(k))) for k in range(3)]
    b = next(Mixed(sources, (1, 2, 5)).batches(16))
    assert b.images[:, 0, 0, 0].long().bincount().tolist() == [2, 4, 10]
    with pytest.raises(ScmError, match="enlarge the batch"):
        next(Mixed(sources, (1, 1, 100)).batches(16))
    with pytest.raises(ScmError, match="positive share"):
        Mixed(sources, (1, 2))


def test_a_mixture_of_unlike_images_is_refused() -> None:
    small, large = (
        LabelledImages(*labelled(4)),
        LabelledImages(torch.rand(4, 3, 8, 8), torch.ones(4).long()),
    )
    with pytest.raises(ScmError, match="do not fit into one batch"):
        next(Mixed([small, large]).batches(4))


def test_bad_labels_are_refused() -> None:
    images, labels = labelled(4)
    with pytest.raises(ScmError, match="int64"):
        LabelledImages(images, labels - 1)
    with pytest.raises(ScmError, match="groups are"):
        LabelledImages(images, labels, labels[:2])
    with pytest.raises(ScmError, match="expected \\(n, channels"):
        next(Stream([(images[0], labels)]).batches(2))
    soft = nn.functional.one_hot(labels, 5).float()
    assert next(LabelledImages(images, soft).batches(3)).labels.shape == (3, 5)
    for wrong, problem in ((2 * soft, "off by 1,"), (3 * soft - 0.4, "least is -0.4")):
        with pytest.raises(ScmError, match=rf"are no probabilities .*{problem}"):
            LabelledImages(images, wrong)
    both = [LabelledImages(images, labels), LabelledImages(images, soft)]
    with pytest.raises(ScmError, match="one_hot"):
        next(Mixed(both).batches(4))
    with pytest.raises(ScmError, match=r"torch.uint8; expected floating point, such as images / 2"):
        LabelledImages((255 * images).byte(), labels)


def test_auto_augment_is_seeded_and_changes_images() -> None:
    images = torch.rand(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    source = Augmented(LabelledImages(images, torch.arange(16)), AutoAugment("cifar10"))
    before = torch.get_rng_state()
    a, b, c = (next(source.batches(16, seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(a.images, b.images)
    assert not torch.equal(a.images, c.images)
    assert not torch.equal(a.images, images[a.labels])
    assert 0 <= a.images.min() <= a.images.max() <= 1
    with pytest.raises(ScmError, match="did you mean 'cifar10'"):
        AutoAugment("cifar")
    for wrong in (images * 2, images * torch.nan):
        with pytest.raises(ScmError, match="in \\[0, 1\\]"):
            AutoAugment()(wrong, torch.Generator())
