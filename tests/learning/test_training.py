from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from scm import ScmError
from scm.learning import (
    ERM,
    IRM,
    LNTL,
    Augmented,
    AutoAugment,
    ConvNet,
    GroupDRO,
    HeadEnsemble,
    LabelledImages,
    Mixup,
    Objective,
    Ramp,
    Recipe,
    SmallCNN,
    Stream,
    VREx,
    accuracy,
    train,
)

QUICK = Recipe(steps=6, batch=16)


def bars(n: int, seed: int, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Noisy 8x8 images with a bar whose row is the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (n,), generator=generator)
    images = 0.3 * torch.rand(n, channels, 8, 8, generator=generator)
    images[torch.arange(n), :, 2 * labels] += 0.7
    return images, labels


class Dropping(nn.Module):
    """A network with dropout and batch norm, whose state a checkpoint has to keep."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(ConvNet(3, 8, (4, 4, 8)), nn.Dropout(0.5), nn.Linear(8, 4))
        with torch.no_grad():
            nn.init.eye_(self.layers[-1].weight)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits


def states(network: nn.Module) -> list[Tensor]:
    return [value.clone() for value in network.state_dict().values()]


def sources() -> list[LabelledImages]:
    first, second = bars(40, 0), bars(40, 1)
    return [LabelledImages(*first, first[1] % 2), LabelledImages(*second, second[1] % 2)]


OBJECTIVES = [ERM(), IRM(Ramp(2.0)), VREx(2.0), GroupDRO(groups=2), Mixup(), LNTL()]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
def test_every_objective_goes_on_where_it_was_killed(objective: Objective, tmp_path: Path) -> None:
    """A run that is killed and resumed ends bitwise where an uninterrupted one does."""
    path = tmp_path / "run.pt"

    def run(limit: int | None, checkpoint: Path | None) -> nn.Module:
        first, second = sources()
        seen = itertools.count()

        class Killed(LabelledImages):
            def batches(self, size: int, seed: int = 0) -> Iterator[object]:  # type: ignore[override]
                for each in super().batches(size, seed):
                    if limit is not None and next(seen) >= limit:
                        raise KeyboardInterrupt
                    yield each

        network = Dropping()
        network.load_state_dict(initial)
        killed = Killed(*first.data)
        return train(
            network, [killed, second], objective, recipe=QUICK, every=2, checkpoint=checkpoint
        ).network  # fmt: skip

    initial = Dropping().state_dict()
    whole = states(run(None, None))
    with pytest.raises(KeyboardInterrupt):
        run(5, path)
    assert path.exists()
    assert all(torch.equal(a, b) for a, b in zip(whole, states(run(None, path)), strict=True))
    # A finished run returns at once, with the same weights.
    assert all(torch.equal(a, b) for a, b in zip(whole, states(run(None, path)), strict=True))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
def test_every_objective_learns(objective: Objective) -> None:
    before = torch.get_rng_state()
    recipe = Recipe(steps=80, batch=32, lr=5e-3)
    trained = train(SmallCNN(3, classes=4), sources(), objective, recipe=recipe)
    assert torch.equal(torch.get_rng_state(), before)
    assert float(accuracy(trained.network, *bars(200, 5))) > 0.9
    assert trained.note.startswith(objective.name)


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"

    def run(network: nn.Module, **options: object) -> None:
        settings = {"recipe": QUICK, "checkpoint": path, **options}
        train(network, LabelledImages(*bars(40, 0)), **settings)  # type: ignore[arg-type]

    run(SmallCNN(3, classes=4))
    with pytest.raises(ScmError, match="run was \\(0, 'last', 100, 1\\), is \\(1"):
        run(SmallCNN(3, classes=4), seed=1)
    with pytest.raises(ScmError, match="recipe was Recipe\\(steps=6"):
        run(SmallCNN(3, classes=4), recipe=Recipe(steps=7, batch=16))
    with pytest.raises(ScmError, match="of another network"):
        run(SmallCNN(3, classes=5))
    with pytest.raises(ScmError, match="data was"):
        train(SmallCNN(3, classes=4), LabelledImages(*bars(40, 9)), recipe=QUICK, checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ScmError, match="cannot be read"):
        run(SmallCNN(3, classes=4))
    with pytest.raises(ScmError, match="could not be written"):
        run(SmallCNN(3, classes=4), checkpoint=tmp_path / "nowhere" / "run.pt")


class Scripted(nn.Module):
    """A classifier that is right only between its 2nd and 4th evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        right = nn.functional.one_hot(images[:, 0, 0, 0].long(), 2).float()
        inside = (self.step.detach() > -0.35) & (self.step.detach() < -0.15)
        return torch.where(inside, right, 1 - right) + 1e-3 * self.step


class Down(Objective):
    def loss(self, network: nn.Module, batches: object, at: object) -> Tensor:
        return next(network.parameters()).sum()


@pytest.mark.parametrize("selection", ["validation", "oracle"])
def test_the_best_weights_are_selected_and_named(selection: str) -> None:
    labels = torch.tensor([0, 1, 0, 1])
    images = labels.view(4, 1, 1, 1).float().expand(4, 1, 8, 8)
    recipe = Recipe(steps=6, batch=2, lr=0.1, optimiser="sgd", schedule="steps")
    trained = train(
        Scripted(), LabelledImages(images, labels), Down(), recipe=recipe, every=1,
        selection=selection, validation=(images, labels),  # type: ignore[arg-type]
    )  # fmt: skip
    assert trained.step == 2
    assert trained.score is not None
    assert trained.score.value == 1.0
    assert next(trained.network.parameters()).item() == pytest.approx(-0.2)
    assert ("oracle" in trained.note) == (selection == "oracle")
    assert "2 of 6" in trained.note
    last = train(Scripted(), LabelledImages(images, labels), Down(), recipe=recipe)
    assert (last.step, last.score) == (6, None)


class AtStep(nn.Module):
    """A classifier of ones that is right of the images whose value is the number of the step."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        right = images[:, 0, 0, 0].round() == (-10 * self.step.detach()).round()
        return torch.stack([~right, right], 1).float() + 1e-3 * self.step


def test_the_worst_group_selects() -> None:
    def group(*steps: float) -> tuple[Tensor, Tensor]:
        return torch.tensor(steps).float().view(-1, 1, 1, 1), torch.ones(len(steps)).long()

    groups = [group(1, 1, 1, 2), group(0, 0, 0, 2)]
    recipe = Recipe(steps=4, batch=2, lr=0.1, optimiser="sgd", schedule="steps")
    found = {
        selection: train(
            AtStep(), LabelledImages(*groups[0]), Down(), recipe=recipe, every=1,
            selection=selection, validation=groups,
        )
        for selection in ("validation", "worst-group")
    }  # fmt: skip
    mean, worst = found["validation"], found["worst-group"]
    assert mean.score is not None
    assert worst.score is not None
    assert (mean.step, mean.score.value, mean.score.n) == (1, 0.375, 8)
    assert (worst.step, worst.score.value, worst.score.n) == (2, 0.25, 4)
    assert "the worst group of held-out images" in worst.note
    with pytest.raises(ScmError, match="a pair for each group"):
        train(
            AtStep(), LabelledImages(*groups[0]), recipe=recipe, selection="worst-group",
            validation=groups[0],
        )  # fmt: skip


def test_selection_must_say_what_it_uses() -> None:
    data = bars(40, 0)
    for options in ({"selection": "oracle"}, {"validation": data}, {"selection": "best"}):
        with pytest.raises(ScmError, match="selection="):
            train(SmallCNN(3), LabelledImages(*data), recipe=QUICK, **options)  # type: ignore[arg-type]


def test_recipes() -> None:
    paper = Recipe.adadelta(50_000)
    assert (paper.steps, paper.batch, paper.lr) == (7820, 64, 1.0)
    optimiser, schedule = Recipe.adadelta(4, epochs=3, batch=2).make([nn.Parameter(torch.ones(1))])
    rates = []
    for _ in range(6):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([1, 1, 0.7, 0.7, 0.49, 0.49])
    imagenet = Recipe.imagenet(512 * 10)
    assert imagenet.milestones == (300, 600)
    assert (imagenet.momentum, imagenet.weight_decay, imagenet.factor) == (0.9, 1e-4, 1e-3)
    with pytest.raises(ScmError, match="positive learning rate"):
        Recipe(lr=0.0)
    with pytest.raises(ScmError, match="'adam', 'adadelta' or 'sgd'"):
        Recipe(optimiser="lion")  # type: ignore[arg-type]


def test_streams_and_augmented_images_train_too() -> None:
    images, labels = bars(200, 0)
    stream = Stream(list(zip(images.split(50), labels.split(50), strict=True)))
    source = Augmented(LabelledImages(images.clamp(0, 1), labels), AutoAugment())
    recipe = Recipe(steps=40, batch=32, lr=5e-3)
    trained = train(SmallCNN(3, classes=4), [stream, source], recipe=recipe)
    assert float(accuracy(trained.network, *bars(200, 3))) > 0.9


def test_an_ensemble_learns_from_both_kinds_of_labels() -> None:
    """Heads learn row, column and brightness of a bar each; the mean learns real labels."""
    generator = torch.Generator().manual_seed(0)
    own = torch.randint(2, (400, 2), generator=generator)
    images = 0.1 * torch.rand(400, 1, 8, 8, generator=generator)
    images[own[:, 0] == 1, :, 1] += 0.6
    images[own[:, 1] == 1, :, :, 6] += 0.6
    ensemble = HeadEnsemble(SmallCNN(1, classes=2), ("row", "column"))
    agree = own[:, 0] == own[:, 1]
    real = LabelledImages(images[agree], own[agree, 0])
    recipe = Recipe(steps=80, batch=64, lr=5e-3)
    trained = train(ensemble, [real, LabelledImages(images, own)], recipe=recipe)
    assert trained.network is ensemble
    for k, name in enumerate(ensemble.names):
        assert float(accuracy(ensemble.head(name), images, own[:, k])) > 0.95
    assert float(accuracy(ensemble, images[agree], own[agree, 0])) > 0.95


def test_a_batch_that_is_too_small_is_refused() -> None:
    with pytest.raises(ScmError, match="cannot hold 2 environments"):
        train(SmallCNN(3), sources(), recipe=Recipe(steps=1, batch=1))
    with pytest.raises(ScmError, match="0 environments"):
        train(SmallCNN(3), [], recipe=QUICK)
    with pytest.raises(ScmError, match="nothing to train"):
        train(nn.Flatten(), sources(), recipe=QUICK)
