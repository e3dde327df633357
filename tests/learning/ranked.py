"""What two processes do together in the tests of training on several devices."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scm.datasets import Generated
from scm.errors import ScmError
from scm.learning import (
    ERM,
    IRM,
    LNTL,
    Augmented,
    ConvNet,
    GroupDRO,
    HeadEnsemble,
    LabelledImages,
    Mixup,
    Objective,
    PixelNoise,
    Recipe,
    SmallCNN,
    VREx,
    Weighted,
    train,
    train_classifier,
    train_gan,
    training,
)
from scm.learning import gan as learning_gan
from scm.learning.cgn import train_cgn
from scm.learning.cgn import training as cgn_training
from scm.learning.checkpoint import write_checkpoint
from tests.learning.cgn.shared import tiny, toy

STEPS, EVERY = 4, 2
OBJECTIVES: dict[str, Objective] = {
    "ERM": ERM(),
    "IRM": IRM(2.0),
    "VREx": VREx(2.0),
    "Weighted": Weighted(1.0, 0.3),
    "GroupDRO": GroupDRO(groups=2, eta=0.5),
    "Mixup": Mixup(),
    "heads": ERM(),
}
# One plain step of rate 1: what the weights lose is the gradient.
ONE = Recipe(steps=1, batch=12, lr=1.0, optimiser="sgd", schedule="steps")
SEVERAL = Recipe(steps=STEPS, batch=12, lr=1e-2)
CGNS = {
    "autoencoder": tiny(steps=4, frozen=1),
    "patches": tiny("wildlife", patch=(3, 5), overlap=1, quilts=3, steps=4, frozen=1),
    "adversarial": tiny("double", "adversarial", steps=2, batch=4),
}


class Dropping(nn.Module):
    """A classifier with batch norm and dropout, in double precision."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.body = ConvNet(3, 8, (4, 4, 8))
        self.drop, self.last = nn.Dropout(p), nn.Linear(8, 4)
        nn.init.constant_(self.last.weight, 0.1)
        nn.init.zeros_(self.last.bias)
        with torch.no_grad():
            self.last.weight[:, :4] += torch.eye(4)
        self.double()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.drop(self.body(images)))
        return logits


def environments(heads: bool = False) -> list[Any]:
    """Two environments of noisy images with groups, the first with noise added to its pixels."""
    found: list[Any] = []
    for seed in (0, 1):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(4, (30,), generator=generator)
        images = torch.rand(30, 3, 8, 8, generator=generator, dtype=torch.float64)
        images[torch.arange(30), :, 2 * labels] += 0.5
        shown = labels if not heads or seed else torch.stack([labels, labels % 2], 1)
        found.append(LabelledImages(images, shown, None if heads else labels % 2))
    return [Augmented(found[0], PixelNoise(0.1)), found[1]]


def classifier(name: str, fabric: Any, recipe: Recipe, **options: Any) -> dict[str, Tensor]:
    """Weights of a classifier that was trained by the objective of a name."""
    network: nn.Module = Dropping()
    heads = name == "heads"
    if heads:
        network = HeadEnsemble(network, ("a", "b")).double()
    sources = environments(heads)
    if isinstance(OBJECTIVES[name], GroupDRO) is False and not heads:
        sources = [_without_groups(source) for source in sources]
    train(network, sources, OBJECTIVES[name], recipe=recipe, fabric=fabric, every=EVERY, **options)
    return network.state_dict()


def _without_groups(source: Any) -> Any:
    if isinstance(source, Augmented):
        return Augmented(_without_groups(source.source), source.transform)
    return LabelledImages(source.data.images, source.data.labels)


def generator(name: str, fabric: Any, **options: Any) -> dict[str, Tensor]:
    """Weights of a CGN that was trained by the recipe of a name."""
    images, labels = toy(60)
    cgn = train_cgn(images.double(), labels, CGNS[name], seed=3, fabric=fabric, **options)
    return cgn.state_dict()


def gan(fabric: Any, **options: Any) -> dict[str, Tensor]:
    """Weights of a GAN, whose networks have batch norm and dropout, in single precision."""
    given = {"steps": 2, "batch": 8, "lr": 1e-2, "width": 16, "seed": 1, **options}
    return train_gan(*toy(60), fabric=fabric, **given).state_dict()


def plain(fabric: Any, **options: Any) -> dict[str, Tensor]:
    """Weights of the plainest classifier."""
    images, labels = toy(60)
    model = SmallCNN(3, 3).double()
    given = {"model": model, "steps": STEPS, "batch": 12, "fabric": fabric, **options}
    return train_classifier(images.double(), labels, **given).state_dict()


RESUMED: dict[str, Callable[..., dict[str, Tensor]]] = {
    "train": partial(classifier, "IRM", recipe=SEVERAL),
    "train_classifier": partial(plain, every=EVERY),
    "train_cgn": partial(generator, "autoencoder", every=EVERY),
    "train_gan": partial(gan, steps=STEPS, every=EVERY),
}


@contextmanager
def half_kept() -> Iterator[None]:
    """Inside, the first checkpoint of a file is kept beside it, as a killed run leaves it."""

    def writing(path: Path, state: Any) -> None:
        write_checkpoint(path, state)
        half = path.with_name(f"{path.name}-half")
        if not half.exists():
            shutil.copy(path, half)

    with pytest.MonkeyPatch.context() as patch:
        for module in (training, cgn_training, learning_gan):
            patch.setattr(module, "write_checkpoint", writing)
        yield


def everything(fabric: Any, folder: Path) -> None:
    """Train all there is on two ranks; keep weights and refusals of each rank."""
    kept: dict[str, dict[str, Tensor]] = {}
    for name in OBJECTIVES:
        kept[f"gradient of {name}"] = classifier(name, fabric, ONE)
        kept[f"several of {name}"] = classifier(name, fabric, SEVERAL)
    for name in CGNS:
        kept[f"CGN {name}"] = generator(name, fabric)
    kept["GAN"] = gan(fabric)
    for name, work in RESUMED.items():
        with half_kept():
            work(fabric, checkpoint=folder / f"two-{name}")
        kept[f"{name} from one"] = work(fabric, checkpoint=folder / f"one-{name}-half")
    torch.save(kept, folder / f"{fabric.global_rank}.pt")
    rows = [row["unit"] for row in Generated(folder / "data").stream()]
    (folder / f"{fabric.global_rank}-rows.json").write_text(json.dumps(rows))
    (folder / f"{fabric.global_rank}.json").write_text(json.dumps(_refusals(fabric, folder)))


def _refusals(fabric: Any, folder: Path) -> dict[str, str]:
    images, labels = toy(60)
    rank = fabric.global_rank

    def odd() -> None:
        train_classifier(images, labels, steps=1, batch=7, fabric=fabric)

    def other_data() -> None:
        train_classifier(images + rank, labels, steps=1, batch=8, fabric=fabric)

    def other_weights() -> None:
        model = SmallCNN(3, 3, seed=rank)
        train_classifier(images, labels, model=model, steps=1, batch=8, fabric=fabric)

    def looking_inside() -> None:
        train(SmallCNN(3, 3), LabelledImages(images, labels), LNTL(), recipe=ONE, fabric=fabric)

    def other_chance() -> None:
        model = nn.Sequential(SmallCNN(3, 3), nn.AlphaDropout(0.5))
        train(model, LabelledImages(images, labels), recipe=ONE, fabric=fabric)

    def no_folder() -> None:
        path = folder / "nowhere" / "run.ckpt"
        classifier("ERM", fabric, ONE, checkpoint=path)

    def odd_cgn() -> None:
        train_cgn(images, labels, tiny(batch=15), fabric=fabric)

    told = {}
    cases = (odd, other_data, other_weights, looking_inside, other_chance, no_folder, odd_cgn)
    for work in cases:
        try:
            work()
            told[work.__name__] = "nothing was refused"
        except ScmError as error:
            told[work.__name__] = str(error)
    return told
