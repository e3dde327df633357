"""The pieces of `cage-dro` that are cells of its study: generator, classifiers, distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from torch.nn import functional as F

from scm.errors import ScmError
from scm.learning import (
    ERM,
    FrechetDistance,
    GroupDRO,
    LabelledImages,
    Mixed,
    Recipe,
    SmallCNN,
    Source,
    group_accuracies,
    predict,
    torchvision_classifier,
    train,
    train_classifier,
)
from scm.reproductions.cage_dro_moves import FACTOR, SIDES, Moves, fit_generator
from scm.reproductions.cage_dro_world import RARE, World, digits_in_colour, faces
from scm.reproductions.study import Study

__all__ = ["ARMS", "Arm", "Experiment"]

_DECAY, _BATCH, _LR, _EVERY = 1e-3, 128, 2e-3, 25


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        title: What the table calls it.
        added: What enlarges the rare group tenfold: nothing, copies, or moved units.
        soft: Whether moved units are labelled by the head of the effect.
        robust: Whether group DRO or the mean risk is minimised.
        paper: Figures of table 2: mean and worst test, mean and worst validation accuracy.
    """

    title: str
    added: Literal["nothing", "copies", "causal", "anti-causal"] = "nothing"
    soft: bool = False
    robust: bool = True
    paper: tuple[float | None, ...] = (None,) * 4

    @property
    def moves(self) -> bool:
        """Whether it has an alpha."""
        return self.added in SIDES


ARMS = {
    "erm": Arm("ERM", robust=False),
    "dro": Arm("group DRO", paper=(89.6, 86.7, 89.0, 85.2)),
    "copies": Arm(f"group DRO, rare group x {FACTOR}", "copies"),
    "causal-hard": Arm("DRO + causal, hard labels", "causal"),
    "causal-soft": Arm("DRO + causal, soft labels", "causal", True, paper=(90.7, 89.4, 89.2, 86.3)),
    "anti-hard": Arm("DRO + anti-causal, hard labels", "anti-causal"),
    "anti-soft": Arm(
        "DRO + anti-causal, soft labels", "anti-causal", True, paper=(88.0, 75.0, 90.4, 88.5)
    ),
}


class Experiment:
    """One seed of the experiment.

    Args:
        study: The study, with its options.
        seed: The seed.

    Raises:
        ScmError: If one of the options `generator` and `encoder` lacks the other.
    """

    def __init__(self, study: Study, seed: int) -> None:
        self.study, self.seed = study, seed
        options = study.options
        self.programs: dict[str, str] = {
            name: options[name] for name in ("generator", "encoder") if name in options
        }
        if len(self.programs) == 1:
            raise ScmError(
                f"--option {next(iter(self.programs))}=... was given alone; expected generator= "
                "and encoder=, programs of latents -> images in [0, 1] and of images -> latents"
            )
        self.data: dict[str, Any] = {
            "celeba": options.get("celeba", ""),
            "size": int(options.get("size", 64)),
            "partial": options.get("partial", "") == "yes",
        }

    @cached_property
    def world(self) -> World:
        """The images, on the study's device."""
        if root := self.data["celeba"]:
            size, partial = self.data["size"], self.data["partial"]
            world = faces(root, size, partial, self.study.progress)
        else:
            sizes = (1_500, 100, 200) if self.study.quick else (6_000, 1_000, 3_000)
            world = digits_in_colour(self.seed, sizes)
        return world.to(self.study.device)

    @cached_property
    def moves(self) -> Moves:
        """The generator, its heads, and the units that they move; after `generator()`."""
        return Moves(self._kept, self.world, self.programs, self.seed)

    def generator(self) -> dict[str, float]:
        """A generator and heads of cause and effect: how good they are."""
        label = self._label("generator")
        settings = {"epochs": 8 if self.study.quick else 40, "programs": self.programs}
        found: dict[str, float] = self.study.cell(
            label, self._fit, seed=self.seed, **settings, **self.data
        )
        self._kept = self.study.path(label, "generator.safetensors")
        return found

    def classifier(self, name: str, alpha: float | None = None) -> dict[str, Any]:
        """Accuracies by group of an arm's classifier; after `generator()`."""
        found: dict[str, Any] = self.study.cell(
            self._label(name + (f"-{alpha:g}" if alpha else "")),
            self._classify,
            arm=name,
            seed=self.seed,
            steps=10 if self.study.quick else 400,
            alpha=alpha,
            network=self.study.options.get("network", ""),
            kept=self._kept,
        )
        return found | {"alpha": alpha}

    def distances(self, alphas: Sequence[float]) -> dict[str, Any]:
        """FID of moved units, of reconstructions and of real images to the true rare group."""
        found: dict[str, Any] = self.study.cell(
            self._label("fid"),
            self._distances,
            seed=self.seed,
            alphas=list(alphas),
            inception=self.study.options.get("inception", ""),
            kept=self._kept,
        )
        return found

    def _label(self, name: str) -> str:
        return f"seed-{self.seed}/{name}"

    def _fit(self, seed: int, epochs: int, programs: dict[str, str], **data: Any) -> Any:
        path = self.study.path(self._label("generator"), "generator.safetensors")
        return fit_generator(path, self.world, programs, seed, epochs, self.study.progress)

    def _classify(
        self, arm: str, seed: int, steps: int, alpha: float | None, network: str, kept: Path
    ) -> dict[str, Any]:
        how, world, real = ARMS[arm], self.world, self.world.train
        labels = F.one_hot(real.effect, 2).to(real.images) if how.soft else real.effect
        source: Source = LabelledImages(real.images, labels, real.groups)
        if how.added != "nothing":
            source = Mixed([source, self._added(how, alpha)], [len(labels), self.moves.count])
        small = SmallCNN(real.images.shape[1], 2, stride=2, seed=seed)
        trained = train(
            (torchvision_classifier(network, 2, seed=seed) if network else small).to(real.images),
            source,
            GroupDRO(groups=4) if how.robust else ERM(),
            recipe=Recipe(steps=steps, batch=_BATCH, lr=_LR, weight_decay=_DECAY),
            selection="worst-group",
            validation=[world.validation.pair(group) for group in range(4)],
            every=_EVERY,
            seed=seed,
            progress=self.study.progress,
            title=how.title,
        )
        found: dict[str, Any] = {"objective": trained.objective, "step": trained.step}
        for name in ("validation", "test"):
            part = getattr(world, name)
            right = (predict(trained.network, part.images) == part.effect).cpu()
            each = group_accuracies(right, part.groups.cpu())
            found[name] = [100 * each[group].value for group in range(4)]
        return found

    def _added(self, how: Arm, alpha: float | None) -> LabelledImages:
        """What the rare group gets; batches hold nine times as much of it as of the group."""
        if alpha is not None:
            units = self.moves.units(how.added)
            return LabelledImages(*self.moves.moved(units, how.added, alpha, how.soft))
        images, ones = self.world.train.pair(RARE)
        return LabelledImages(images, ones, RARE * ones)

    def _distances(
        self, seed: int, alphas: list[float], inception: str, kept: Path
    ) -> dict[str, Any]:
        world, moves = self.world, self.moves
        fid = FrechetDistance(inception) if inception else self._judge()
        truth, other = world.test.pair(RARE)[0], world.validation.pair(RARE)[0][: moves.count]

        def distance(images: Tensor) -> list[float]:
            made, real = (2 * part - 1 if inception else part for part in (images, truth))
            found = fid(made, real, seed=seed)
            return [found.value, found.stderr]

        rebuilt = moves.generator.generate(moves.generator.encode(other))
        found: dict[str, Any] = {"name": fid.name}
        found |= {"real": distance(other), "rebuilt": distance(rebuilt)}
        for side in SIDES:
            units = moves.units(side)
            batches = [moves.moved(units, side, alpha, soft=True) for alpha in alphas]
            found[side] = [distance(batch.images) for batch in batches]
            found[f"{side}/effect"] = [100 * float(b.labels[:, 1].mean()) for b in batches]
        return found

    def _judge(self) -> FrechetDistance:
        """What stands in for Inception-v3: a classifier of something else in these images."""
        world, study = self.world, self.study
        classes = int(world.content.max()) + 1
        judge = SmallCNN(world.train.images.shape[1], classes, width=8, stride=2, seed=self.seed)
        options: dict[str, Any] = {"seed": self.seed, "progress": study.progress}
        options |= {"steps": 20 if study.quick else 400, "model": judge.to(study.device)}
        train_classifier(world.train.images, world.content, **options)
        return FrechetDistance(classifier=judge, name=f"a classifier of {world.judge}")
