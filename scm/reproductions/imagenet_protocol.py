"""The ImageNet experiments of the CGN paper, piece by piece: sets, networks, what is measured.

Each piece is a cell of the study. All classifiers answer with ImageNet's 1,000 classes (that of
Mixed-Rand with IN-9's nine) and are judged by the rules of the sets' authors; where a folder
lacks classes, those that the training folder has count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from scm.datasets.imagenet import (
    ImageSet,
    cue_conflict_indices,
    image_folder_set,
    imagenet_transform,
)
from scm.errors import ScmError
from scm.learning import (
    ConvNet,
    HeadEnsemble,
    InceptionScore,
    LabelledImages,
    Recipe,
    Source,
    Stream,
    coarse,
    shape_bias,
    top_k,
    torchvision_classifier,
    train,
)
from scm.learning.cgn import CGN, CounterfactualImages, ImageNetWeights, Limits, Patches
from scm.learning.cgn.imagenet import backbones, imagenet_cgn
from scm.learning.cgn.imagenet_training import composites, train_imagenet_cgn
from scm.learning.perceptual import VGGFeatures
from scm.mechanisms.biggan import BigGAN
from scm.reproductions.study import Study
from scm.reproductions.tiny_networks import SETTINGS, Saliency, fit_biggan, fit_saliency

__all__ = ["HEADS", "SETS", "TRAININGS", "Protocol", "Work"]

HEADS = ("shape", "texture", "background")
TRAININGS = {
    "IN": ("IN",),
    "SIN": ("SIN",),
    "IN + SIN": ("IN", "SIN"),
    "Mixed-Rand": ("Mixed-Rand train",),
    "IN + CGN": ("IN",),
}
"""The classifiers of tables 3 and 4, and the folders that they learn from."""

SETS: dict[str, tuple[str, str, dict[str, str]]] = {
    "IN": ("imagenet", "imagenet", {"split": "train"}),
    "IN val": ("imagenet", "imagenet", {"split": "val"}),
    "SIN": ("imagenet_stylized", "imagenet-stylized", {"split": "train"}),
    "IN-9": ("imagenet9", "bg_challenge", {"variant": "original"}),
    "Mixed-Same": ("imagenet9", "bg_challenge", {"variant": "mixed_same"}),
    "Mixed-Rand": ("imagenet9", "bg_challenge", {"variant": "mixed_rand"}),
    "Mixed-Rand train": ("imagenet9", "bg_challenge", {"variant": "mixed_rand", "split": "train"}),
    "cue conflict": ("cue_conflict", "style-transfer-preprocessed-512", {}),
}
"""Loader, folder and variant of each set."""

_HELD = 2**30  # bytes of images that are kept in memory; what is larger is read as it is needed
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Work:
    """How much is done.

    Attributes:
        recipe: How classifiers are trained.
        patches: How the texture loss takes patches.
        generator: Steps of the tiny BigGAN.
        saliency: Steps of the tiny saliency network.
        steps: Steps of a CGN.
        accumulate: Images of such a step.
        batch: Of these, at a time.
        rates: Learning rates of shape, texture and background.
        counterfactuals: Counterfactual images to train on, after which they come again.
        watched: Composites that the Inception Score looks at.
    """

    recipe: Recipe
    patches: Patches
    generator: int = 250
    saliency: int = 120
    steps: int = 20
    accumulate: int = 16
    batch: int = 16
    rates: tuple[float, float, float] = (3e-4, 3e-3, 3e-3)
    counterfactuals: int = 1_000
    watched: int = 64


class Protocol:
    """The pieces of the experiment on the folders below a root.

    Args:
        study: The study.
        root: Folder that holds the sets' folders.
        work: How much is done.
        tiny: Whether the folders are the tiny ones, with tiny networks.
    """

    def __init__(self, study: Study, root: Path, work: Work, tiny: bool) -> None:
        self.study, self.root, self.work, self.tiny = study, root, work, tiny
        self.options = study.options
        self.partial = tiny or self.options.get("partial") == "yes"
        self.size = 16 if tiny else int(self.options.get("size", "224"))

    def images(self, name: str) -> ImageSet:
        """One of `SETS`, checked.

        Raises:
            ScmError: If its folder is missing or incomplete.
        """
        loader, folder, variant = SETS[name]
        if loader == "imagenet" and self.options.get("train") == "imagenet-mini":
            loader, folder = "imagenet_mini", "imagenet-mini"
        resize = self.size if self.tiny or loader in ("imagenet9", "cue_conflict") else None
        transform = imagenet_transform(resize or self.size * 256 // 224, self.size)
        where, options = self.root / folder, {"partial": self.partial, "transform": transform}
        return image_folder_set(loader, where, **options, **variant)

    @cached_property
    def present(self) -> Tensor:
        """ImageNet's indices of the classes that the training folder has."""
        found: Tensor = self.images("IN").labels.unique()
        return found

    def cell(self, label: str, function: Any, **settings: Any) -> dict[str, Any]:
        """A cell of the study that depends on folders, options and the amount of work as well."""
        common = {"root": self.root, "options": self.options, "work": repr(self.work)}
        return self.study.cell(label, lambda **_: function(label, **settings), **settings, **common)

    # Networks that the paper takes as given.

    def networks(self) -> dict[str, Any]:
        """What stands for trained BigGAN and U2-Net: how well they draw, and find objects."""
        return self.cell("networks", self._networks)

    def _networks(self, label: str) -> dict[str, Any]:
        device, progress = self.study.device, self.study.progress
        generator, error = fit_biggan(self.work.generator, device=device, progress=progress)
        saliency, overlap = fit_saliency(generator, self.work.saliency, progress=progress)
        for name, network in (("biggan", generator.generator), ("saliency", saliency)):
            _save(network, self.study.path(label, f"{name}.safetensors"))
        return {"error": error, "overlap": overlap}

    @cached_property
    def _vgg(self) -> VGGFeatures:
        """The network that compares styles; tiny images have room for two poolings."""
        layers = (6, 13) if self.tiny else None
        found = VGGFeatures(layers=layers, weights=self.options.get("vgg"))
        return found.to(self.study.device)

    def _cgn(self, seed: int) -> tuple[CGN, BigGAN]:
        """A CGN before its training, and its teacher."""
        if not self.tiny:
            given, saliency = self.options["biggan"], self.options["u2net"]
            cgn = imagenet_cgn(pretrained=given, saliency=saliency, seed=seed)
            teacher = BigGAN.from_pretrained(given)
        else:
            file = self.study.path("networks", "biggan.safetensors")
            cgn, teacher = imagenet_cgn(SETTINGS, small=True, seed=seed), BigGAN(SETTINGS)
            for mechanism in (teacher, *backbones(cgn)):
                mechanism.generator.load_state_dict(load_file(file))
            finds = Saliency()
            finds.load_state_dict(load_file(file.with_name("saliency.safetensors")))
            backbones(cgn)[0].saliency = finds.eval()  # type: ignore[assignment]
        for network in (cgn, teacher):
            network.to(self.study.device)
        return cgn, teacher

    # The CGN.

    def cgn(self, seed: int, name: str, weights: ImageNetWeights, judge: str) -> dict[str, Any]:
        """Train a CGN; returns the mask's mean, and Inception Scores of its and BigGAN's images.

        Args:
            seed: The seed.
            name: Which losses there are.
            weights: The losses' weights.
            judge: Cell of the classifier that stands for Inception-v3.
        """
        settings = {"weights": vars(weights), "seed": seed, "judge": self._weights(judge)}
        label = f"seed-{seed}/cgn {name}".replace(" ", "-")
        return self.cell(label, self._train_cgn, **settings)

    def _train_cgn(
        self, label: str, weights: dict[str, float], seed: int, judge: Path
    ) -> dict[str, Any]:
        cgn, teacher = self._cgn(seed)
        work, score = self.work, self._score(judge)
        shape, texture, background = work.rates
        bound = score(self._watched(cgn, seed))  # at first its composites are BigGAN's images
        trained = train_imagenet_cgn(
            cgn,
            teacher,
            self._vgg,
            steps=work.steps,
            accumulate=work.accumulate,
            batch=work.batch,
            lr_shape=shape,
            lr_texture=texture,
            lr_background=background,
            weights=ImageNetWeights(**weights),
            patches=work.patches,
            limits=Limits((0, 1), torch.inf, torch.inf),  # a collapse is what is to be seen
            checkpoint=self.study.path(label, "checkpoint.pt"),
            every=10,
            seed=seed,
            progress=self.study.progress,
        )
        _save(cgn, self.study.path(label, "cgn.safetensors"))
        return {
            "mask": trained.history[-1]["mask mean"],
            "IS": score(self._watched(cgn, seed)),
            "bound": bound,
            "score": score.name,
        }

    def _watched(self, cgn: CGN, seed: int) -> Iterator[Tensor]:
        return composites(cgn, self.work.watched, self.work.batch, seed)

    def _score(self, judge: Path) -> InceptionScore:
        if (file := self.options.get("inception")) is not None:
            return InceptionScore(file)
        network = self._classifier("IN", 0)
        network.load_state_dict(load_file(judge))
        standardised = nn.Sequential(_Standardised(self.size), network.to(self.study.device))
        return InceptionScore(classifier=standardised, name="the IN classifier")

    def load_cgn(self, seed: int, name: str) -> CGN:
        """A CGN that `cgn` trained."""
        cgn, _ = self._cgn(seed)
        label = f"seed-{seed}/cgn {name}".replace(" ", "-")
        cgn.load_state_dict(load_file(self.study.path(label, "cgn.safetensors")))
        return cgn

    # Classifiers.

    def classifier(self, seed: int, name: str) -> dict[str, Any]:
        """Train one of `TRAININGS`; returns all that is measured of it, in %."""
        settings: dict[str, Any] = {"name": name, "seed": seed}
        if name == "IN + CGN":
            settings["start"] = self._weights(f"seed-{seed}/IN")
            settings["cgn"] = self.study.path(f"seed-{seed}/cgn-all", "cgn.safetensors")
        return self.cell(f"seed-{seed}/{name}", self._train_classifier, **settings)

    def _train_classifier(
        self, label: str, name: str, seed: int, start: Path | None = None, cgn: Path | None = None
    ) -> dict[str, Any]:
        study = self.study
        network = self._classifier(name, seed)
        sources = [self._source(one, seed) for one in TRAININGS[name]]
        if start is not None:
            network.load_state_dict(load_file(start))
            network = HeadEnsemble(network, HEADS, seed=seed)
            sources.append(self._counterfactuals(seed))
        network = network.to(study.device)
        trained = train(
            network,
            sources,
            recipe=self.work.recipe,
            seed=seed,
            checkpoint=study.path(label, "checkpoint.pt"),
            progress=study.progress,
            title=label,
        )
        _save(network, self.study.path(label, "weights.safetensors"))
        return {**self._measure(network.eval()), "note": trained.note}

    def _classifier(self, name: str, seed: int) -> nn.Module:
        classes = 9 if name == "Mixed-Rand" else 1000
        if self.tiny:
            return ConvNet(3, classes, widths=(16, 32, 64), seed=seed)
        weights = None if name == "Mixed-Rand" else self.options.get("weights")
        return torchvision_classifier(
            self.options.get("network", "resnet50"), classes, weights, seed
        )

    def _source(self, name: str, seed: int) -> Source:
        images = self.images(name)
        draws = torch.Generator().manual_seed(seed)
        if 12 * self.size**2 * len(images) > _HELD:
            return Stream(DataLoader(images, 64, shuffle=True, generator=draws))
        return LabelledImages(
            torch.stack([images[i][0] for i in range(len(images))]), images.labels
        )

    def _counterfactuals(self, seed: int) -> Source:
        """Images of independent shape, texture and background, with the labels of each."""
        cgn = self.load_cgn(seed, "all")
        known = torch.arange(1000) if cgn.classes == 1000 else self.present
        if cgn.classes != len(known):
            raise ScmError(
                f"the BigGAN has {cgn.classes} classes and the training folder {len(known)}; "
                "expected as many, or ImageNet's 1,000"
            )
        made = CounterfactualImages(
            cgn,
            self.work.counterfactuals,
            noise="prior",
            fresh=False,
            assignment="independent",
            batch=32,
            seed=seed,
        )
        shown = _Shown(made, _Standardised(self.size), known)
        if 12 * self.size**2 * made.n > _HELD:
            return Stream(shown)
        images, labels = (torch.cat(parts) for parts in zip(*shown, strict=True))
        return LabelledImages(images, labels)

    def _weights(self, label: str) -> Path:
        return self.study.path(label, "weights.safetensors")

    def _measure(self, network: nn.Module) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in ("IN-9", "Mixed-Same", "Mixed-Rand"):
            found[name] = 100 * top_k(network, self.images(name), (1,), progress=False)[1].value
        found["gap"] = found["Mixed-Same"] - found["Mixed-Rand"]
        first = network(torch.zeros(1, 3, self.size, self.size, device=self.study.device))
        if first.shape[1] < 1000:
            return found
        tops = top_k(network, self.images("IN val"), (1, 5), progress=False)
        found |= {f"top-{k}": 100 * share.value for k, share in tops.items()}
        judged = {"shape bias": network}
        if isinstance(network, HeadEnsemble):
            judged |= {f"shape bias, {head}": network.head(head) for head in HEADS}
        return found | {key: self._shape_bias(one) for key, one in judged.items()}

    def _shape_bias(self, network: nn.Module) -> float:
        """Shape bias in %, NaN where no image decides."""
        images, has = self.images("cue conflict"), set(self.present.tolist())
        members = [[i for i in indices if i in has] for indices in cue_conflict_indices().values()]
        kept = [k for k, indices in enumerate(members) if indices]
        number = torch.full((len(members),), -1)
        number[kept] = torch.arange(len(kept))
        shape, texture = number[images.labels], number[torch.as_tensor(images.metadata["texture"])]
        both = (shape >= 0) & (texture >= 0)
        with torch.no_grad():
            probabilities = torch.cat(
                [
                    network(part.to(self.study.device)).softmax(-1).cpu()
                    for part, _ in DataLoader(images, 256)
                ]
            )
        predicted = coarse(probabilities, [members[k] for k in kept])
        try:
            return 100 * shape_bias(predicted[both], shape[both], texture[both]).value
        except ScmError:
            return torch.nan


class _Standardised(nn.Module):
    """Images in [-1, 1] as classifiers get them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        mean, deviation = (images.new_tensor(v)[:, None, None] for v in (_MEAN, _DEVIATION))
        if images.shape[-1] != self.size:
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        return ((images + 1) / 2 - mean) / deviation


@dataclass(frozen=True)
class _Shown:
    """Batches of counterfactual images as a classifier gets them, with ImageNet's labels."""

    made: CounterfactualImages
    standardised: _Standardised
    classes: Tensor

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self.made:
            yield self.standardised(images), self.classes[labels.cpu()].to(labels.device)


def _save(network: nn.Module, path: Path) -> None:
    save_file({k: v.detach().clone() for k, v in network.state_dict().items()}, path)
