"""GenInt's objective: weights, batches, and the four variants, against hand-made risks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.learning import (
    ERM,
    GENINT_BASELINES,
    GENINT_VARIANTS,
    Batch,
    LabelledImages,
    Mixup,
    Ramp,
    Recipe,
    SmallCNN,
    Variant,
    Weighted,
    genint_baseline,
    train,
)
from scm.learning.objectives import Moment


class Pixels(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def batch(n: int, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, 3, 1, 1, generator=generator, dtype=torch.float64)
    return Batch(logits, torch.randint(3, (n,), generator=generator))


def risk(b: Batch) -> float:
    logits = b.images.flatten(1).numpy()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return float(-np.log(p[np.arange(len(p)), b.labels.numpy()]).mean())


def at(step: int = 0) -> Moment:
    return Moment(step, 100, torch.Generator())


def test_the_loss_is_equation_1_whatever_the_batches() -> None:
    x, generated, transferred = batch(8, 0), batch(2, 1), batch(5, 2)
    found = Weighted(1.0, 0.05, Ramp(2.0)).loss(Pixels(), [x, generated, transferred], at(25))
    wanted = risk(x) + 0.05 * risk(generated) + 0.5 * risk(transferred)
    assert float(found) == pytest.approx(wanted)
    halves = Weighted(0.5, 0.5).loss(Pixels(), [x, generated], at())
    assert float(halves) == pytest.approx(float(ERM().loss(Pixels(), [x, generated], at())))
    with pytest.raises(ScmError, match="was given 3 environments"):
        Weighted(1.0, 1.0).loss(Pixels(), [x, x, x], at())
    with pytest.raises(ScmError, match="no weights"):
        Weighted()


class Counted(LabelledImages):
    """A source that remembers how many images it was asked for."""

    size = 0

    def batches(self, size: int, seed: int = 0):  # type: ignore[no-untyped-def]
        self.size = size
        return super().batches(size, seed)


def source(level: float) -> Counted:
    return Counted(torch.full((40, 1, 8, 8), level), torch.arange(40) % 2)


@pytest.mark.parametrize("name", ["A", "B", "C", "D"])
def test_each_variant_takes_its_sources_in_its_batches(name: str) -> None:
    variant = GENINT_VARIANTS["resnet18"][name]
    three = [source(k / 2) for k in range(3)]
    used = variant.sources(*three)
    recipe = Recipe(steps=1, batch=variant.batch)
    train(SmallCNN(1, 2), used, variant.objective, recipe=recipe, progress=False)
    assert tuple(s.size for s in three) == variant.batches
    assert [variant.weights[0], bool(variant.weights[1]), bool(variant.weights[2])] == [
        1.0,
        name in "BD",
        name in "CD",
    ]


def test_a_weight_of_a_source_moves_the_weights_of_the_network() -> None:
    """A source whose labels contradict the first wins where its weight is larger."""
    labels = torch.arange(64) % 2
    images = (2.0 * labels - 1).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    agree, contradict = LabelledImages(images, labels), LabelledImages(images, 1 - labels)
    for weight, right in ((0.2, True), (5.0, False)):
        recipe = Recipe(steps=30, batch=(16, 48), lr=1e-2)
        network = SmallCNN(1, 2)
        train(network, [agree, contradict], Weighted(1.0, weight), recipe=recipe, progress=False)
        with torch.no_grad():
            found = network(images).argmax(1)
        assert bool((found == labels).all()) is right


def test_imagenet_schedules() -> None:
    recipe = Recipe.imagenet(1000, epochs=90, batch=(256, 64, 256), factor=0.1)
    assert (recipe.steps, recipe.milestones, recipe.factor) == (360, (120, 240), 0.1)
    assert recipe.batches(3) == (256, 64, 256)
    with pytest.raises(ScmError, match="cannot hold 2 environments"):
        recipe.batches(2)
    with pytest.raises(ScmError, match="at least one step"):
        Recipe(batch=(64, 0))


def test_what_a_variant_needs() -> None:
    with pytest.raises(ScmError, match="both above 0 or both 0"):
        Variant((1.0, 0.05, 0.0), (256, 0, 0))
    with pytest.raises(ScmError, match="transferred images are used with weight 1"):
        GENINT_VARIANTS["resnet18"]["C"].sources(source(0.0))


@pytest.mark.parametrize("name", GENINT_BASELINES)
def test_the_baselines_of_section_5_2(name: str) -> None:
    original, stylised, generated = (source(level) for level in (0.25, 0.5, 0.75))
    used, objective = genint_baseline(name, original, stylised, generated)
    counts = {"stylised": (0, 8, 0), "GAN augmentation": (4, 0, 4)}.get(name, (8, 0, 0))
    recipe = Recipe(steps=2, batch=8)
    train(SmallCNN(1, 2), used, objective, recipe=recipe, progress=False)
    assert (original.size, stylised.size, generated.size) == counts
    assert objective.name == ("Mixup(alpha=0.4)" if name == "mixup" else "ERM()")
    assert isinstance(objective, Mixup if name == "mixup" else ERM)
    levels = next(used.batches(64)).images.unique()
    if name == "AutoAugment":
        assert len(levels) > 2  # some grey images were made brighter, darker, noisier
    else:
        assert levels.tolist() == [
            level for level, count in zip((0.25, 0.5, 0.75), counts, strict=True) if count
        ]


def test_what_a_baseline_needs() -> None:
    with pytest.raises(ScmError, match="did you mean 'stylised'"):
        genint_baseline("stylized", source(0.0))
    with pytest.raises(ScmError, match="'GAN augmentation' needs generated images"):
        genint_baseline("GAN augmentation", source(0.0))
    with pytest.raises(ScmError, match="needs stylised images; give stylised="):
        genint_baseline("stylised", source(0.0), generated=source(0.0))
