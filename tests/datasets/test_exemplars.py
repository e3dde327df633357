from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scm import SCM, MechanismError, Root, ScmError
from scm.datasets import Exemplars


def model_of(labels: torch.Tensor, seed: int = 0) -> tuple[SCM, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(len(labels), 1, 2, 2, generator=generator)
    k = int(labels.max()) + 1
    return SCM("K -> I", K=Root.categorical([1 / k] * k), I=Exemplars(images, labels)), images


def test_images_of_the_class_with_equal_weights() -> None:
    labels = torch.tensor([1, 0, 1, 1, 0, 2])
    model, images = model_of(labels)
    n = 12_000
    units = model.sample(n, seed=0)
    shown = (units["I"].unsqueeze(1) == images).flatten(2).all(2).long()
    assert (shown.sum(1) == 1).all()
    which = shown.argmax(1)
    assert torch.equal(labels[which], units["K"])
    for i, label in enumerate(labels.tolist()):
        p = 1 / 3 / int((labels == label).sum())
        share = float((which == i).double().mean())
        # Six standard errors: false alarms 2e-9 for each of six.
        assert share == pytest.approx(p, abs=6 * math.sqrt(p * (1 - p) / n))


@settings(max_examples=25)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.integers(0, 100))
def test_abduct_then_sample_returns_the_image(classes: list[int], seed: int) -> None:
    labels = torch.tensor([0, 1, 2, *classes])
    model, images = model_of(labels, seed)
    units = model.abduct({"K": labels, "I": images}, seed=seed)
    assert torch.equal(units.do(K=labels)["I"], images)
    assert torch.equal(units["I"], images)


def test_abducted_noise_is_uniform_on_what_gives_the_image() -> None:
    """An image recorded twice among four has noise in two quarters, half in each."""
    images = torch.tensor([0.1, 0.2, 0.1, 0.3]).view(4, 1, 1, 1)
    model = SCM("K -> I", K=Root.categorical([1.0]), I=Exemplars(images, torch.zeros(4).long()))
    n = 4000
    seen = {"K": torch.zeros(n).long(), "I": torch.full((n, 1, 1, 1), 0.1)}
    noise = model.abduct(seen, seed=0).noise["I"]
    quarter = (noise * 4).long()
    assert set(quarter.tolist()) == {0, 2}
    half = float((quarter == 0).double().mean())
    assert half == pytest.approx(0.5, abs=6 * 0.5 / math.sqrt(n))  # false alarms 2e-9
    within = (noise * 4) % 1
    assert float(within.mean()) == pytest.approx(0.5, abs=6 / math.sqrt(12 * n))


def test_unknown_images_are_refused() -> None:
    model, images = model_of(torch.tensor([0, 0, 1]))
    with pytest.raises(MechanismError, match="row 1 holds an image of 'I' that is none of the 2"):
        model.abduct({"K": [1, 0], "I": images[[2, 2]]}, seed=0)
    with pytest.raises(MechanismError, match="row 0"):
        model.abduct({"K": [0], "I": images[:1] * 0.5}, seed=0)


def test_what_does_not_fit_is_refused() -> None:
    images, labels = torch.zeros(2, 1, 4, 4), torch.tensor([0, 1])
    with pytest.raises(MechanismError, match=r"expected \(m, channels"):
        Exemplars(images[0], labels)
    for wrong in (torch.tensor([-1, 0]), torch.tensor([0.0, 1.0])):
        with pytest.raises(MechanismError, match="expected int64 classes"):
            Exemplars(images, wrong)
    for pixels in (torch.full_like(images, 255), torch.full_like(images, torch.nan)):
        with pytest.raises(MechanismError, match=r"rescale them to \[0, 1\]"):
            Exemplars(pixels, labels)
    assert Exemplars(images - 1, labels, range=(-1.0, 1.0)).type.range == (-1, 1)
    with pytest.raises(MechanismError, match=r"no image of the classes \[1\]"):
        Exemplars(images, torch.tensor([0, 2]))
    with pytest.raises(ScmError, match=r"shows images of 2 classes.*Categorical\(2\)"):
        SCM("K -> I", K=Root.categorical([0.2, 0.3, 0.5]), I=Exemplars(images, labels))
