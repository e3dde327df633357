from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from scm import ScmError
from scm.learning import SmallCNN, accuracy, train_classifier


def bars(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy 8x8 images with a bar whose row is the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (n,), generator=generator)
    images = 0.3 * torch.rand(n, 1, 8, 8, generator=generator)
    images[torch.arange(n), 0, 2 * labels] += 0.7
    return images, labels


class Constant(nn.Module):
    def __init__(self, label: int) -> None:
        super().__init__()
        self.label = label

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.one_hot(torch.full((len(images),), self.label), 4).float()


def test_it_learns() -> None:
    model = train_classifier(*bars(400, 0), steps=60)
    assert float(accuracy(model, *bars(200, 1))) > 0.95


def test_the_seed_alone_decides() -> None:
    images, labels = bars(100, 0)
    before = torch.get_rng_state()
    a, b, c = (train_classifier(images, labels, steps=5, seed=s).state_dict() for s in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not all(torch.equal(a[k], c[k]) for k in a)


def test_a_given_model_is_trained_in_place() -> None:
    model = SmallCNN(1, classes=4, stride=2)
    assert train_classifier(*bars(100, 0), model=model, steps=2) is model


def test_accuracy_of_one_is_binomial() -> None:
    images, labels = torch.zeros(4, 1, 8, 8), torch.tensor([0, 0, 0, 1])
    found = accuracy(Constant(0), images, labels)
    assert (found.value, found.n) == (0.75, 4)
    assert found.stderr == pytest.approx((0.75 * 0.25 / 4) ** 0.5)


def test_accuracy_of_several_counts_images_and_models() -> None:
    images, labels = torch.zeros(4, 1, 8, 8), torch.tensor([0, 0, 0, 1])
    found = accuracy([Constant(0), Constant(1)], images, labels)
    assert found.value == 0.5
    # Every image is right under one model, so that only the models differ: 0.75 and 0.25.
    assert found.stderr == pytest.approx(0.25)


def test_what_does_not_fit_is_refused() -> None:
    images, labels = bars(10, 0)
    with pytest.raises(ScmError, match="expected \\(n, channels, height, width\\) and \\(n,\\)"):
        train_classifier(images, labels[:5])
    with pytest.raises(ScmError, match="int64 classes"):
        train_classifier(images, labels.float())
    with pytest.raises(ScmError, match="label 7 was given to judge a classifier of 4 classes"):
        accuracy([Constant(0), Constant(1)], images, torch.arange(10) % 8)
    with pytest.raises(ScmError, match="no classifier"):
        accuracy([], images, labels)
    with pytest.raises(ScmError, match="loss became nan"):
        train_classifier(images * torch.nan, labels, steps=2)
