"""What the CGN reproductions share: images, trained CGNs, and classifiers with their scores.

Classifiers differ in their images, their objective and their input layer alone: the same
network, recipe and number of steps throughout. Settings were chosen on the 10,000 validation
digits, unbiased; the test digits are looked at where a cell says "test".
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from scm.datasets import coloured_mnist, confounded, digits, textures, unbiased
from scm.errors import ScmError
from scm.learning import (
    ConvNet,
    Grey,
    LabelledImages,
    Objective,
    Recipe,
    Source,
    Standardise,
    Stream,
    accuracy,
    train,
)
from scm.learning.cgn import (
    CGN,
    CollapsedMaskError,
    CounterfactualImages,
    Settings,
    Style,
    settings_of,
    train_cgn,
)
from scm.learning.cgn.health import mask_health
from scm.learning.checkpoint import fingerprint
from scm.reproductions.study import Study

__all__ = [
    "KINDS",
    "NAMES",
    "cgn_of",
    "classifier",
    "counterfactuals",
    "data_of",
    "images_of",
    "quicker",
    "real_images",
    "recipe_of",
    "steps_of",
]

KINDS = ("coloured", "double", "wildlife")
NAMES = {"coloured": "coloured", "double": "double-coloured", "wildlife": "Wildlife"}
_INPUTS: dict[str, Callable[[], nn.Module]] = {
    "plain": nn.Identity,
    "IN": Standardise,
    "grey": Grey,
}


def images_of(
    study: Study,
    kind: str,
    part: Literal["train", "validation", "test"] = "train",
    domain: Literal["confounded", "unbiased"] = "confounded",
    *,
    correlation: float = 1.0,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Images `(n, 3, 32, 32)` in [0, 1] and classes of one part of a data set.

    Args:
        study: The study, for its digits and device.
        kind: "coloured", "double" or "wildlife".
        part: Which digits.
        domain: "confounded", or "unbiased": the same digits under `do(colour)`.
        correlation: Of colour and class, where confounded.
        seed: Seed of colours and windows; 1 is the convention for a second environment.
    """
    images, labels = _draw(data_of(study), kind, part, domain, correlation, seed)
    n = 500 if study.quick else None
    return images[:n].to(study.device), labels[:n].to(study.device)


@lru_cache(maxsize=3)
def _draw(
    data: Literal["mnist", "digits"],
    kind: Any,
    part: Any,
    domain: str,
    correlation: float,
    seed: int,
) -> tuple[Tensor, Tensor]:
    shown = coloured_mnist(kind, correlation=correlation, digits=digits(data), part=part)
    units = (unbiased if domain == "unbiased" else confounded)(shown, seed=seed)
    return units["X"].contiguous(), units["label"].clone()


def data_of(study: Study) -> Literal["mnist", "digits"]:
    """Which digits the option `data` names.

    Raises:
        ScmError: If there are none of that name.
    """
    default = "mnist" if os.environ.get("SCM_DATA") and not study.quick else "digits"
    data = study.options.get("data", default)
    if data not in ("mnist", "digits"):
        raise ScmError(f"--option data={data} was given; expected mnist or digits")
    return "mnist" if data == "mnist" else "digits"


def cgn_of(
    study: Study, kind: str, seed: int, style: Style | None = None, **changes: Any
) -> tuple[CGN | None, dict[str, Any]]:
    """A CGN trained on the confounded images, in a cell of the study; and what is known of it.

    Args:
        study: The study. Its option `models` names a folder of trained ones, for CGNs of
            unchanged settings.
        kind: The data set.
        seed: Seed of the training.
        style: A style loss beside the others, of the recipe "adversarial".
        **changes: `recipe="adversarial"`, or fields of `Settings`.

    Returns:
        The CGN, and a dictionary: "seconds" of processor time, "minutes" by the clock, "mean",
        "border" and "entropy" of its masks by class, "collapsed" (why, or None). A run whose
        masks collapsed has no CGN.
    """
    folder = study.options.get("models")
    if folder is not None and not changes:
        file = Path(folder) / f"{kind}-{seed}.scm"
        if not file.exists():
            raise ScmError(
                f"--option models={folder} has no {file.name}; expected a folder that `scm "
                "reproduce cgn-mnist` left, of as many seeds as are asked for; or leave the option"
            )
        return _load(study, file), {}
    named = "-".join(str(v) for v in changes.values() if isinstance(v, (str, int, float)))
    label = f"seed-{seed}/{kind}-cgn{named and '-' + named}{'-style' * (style is not None)}"
    recipe = changes.pop("recipe", "autoencoder")
    own = settings_of(kind, recipe, **quicker(study, changes))
    key: dict[str, Any] = {"settings": asdict(own), "data": data_of(study)}
    if style is not None:
        key["vgg16"] = fingerprint(style.vgg, f"{style.vgg.at} {style.weights}")
    work = partial(_train, study, label, own, style)
    found = study.cell(label, work, kind=kind, seed=seed, **key)
    file = study.path(label, "cgn.scm")
    return (_load(study, file) if file.exists() else None), found


def _load(study: Study, file: Path) -> CGN:
    cgn = CGN.load(file)
    cgn.to(study.device)
    return cgn


def quicker(study: Study, changes: dict[str, Any]) -> dict[str, Any]:
    """The settings that differ, with what makes a quick run quick."""
    small = {"steps": 60, "batch": 32, "patches": 32, "quilts": 8, "frozen": 5, "watch_from": 2.0}
    return {**(small if study.quick else {}), **changes}


def _train(
    study: Study,
    label: str,
    own: Settings,
    style: Style | None,
    kind: str,
    seed: int,
    **_: Any,
) -> dict[str, Any]:
    images, labels = images_of(study, kind)
    start, clock = time.process_time(), time.perf_counter()
    found: dict[str, Any] = {"collapsed": None}
    try:
        cgn = train_cgn(
            images,
            labels,
            own,
            seed=seed,
            style=style,
            checkpoint=study.path(label, "checkpoint.pt"),
            progress=study.progress,
        )
    except CollapsedMaskError as error:
        found["collapsed"] = str(error)
    else:
        cgn.save(study.path(label, "cgn.scm"))
        health = mask_health(*_masks(cgn, images, labels))
        found |= {name: getattr(health, name).tolist() for name in ("mean", "border", "entropy")}
    minutes = (time.perf_counter() - clock) / 60
    return {**found, "seconds": time.process_time() - start, "minutes": minutes}


def _masks(cgn: CGN, images: Tensor, labels: Tensor, n: int = 2000) -> tuple[Tensor, Tensor]:
    if cgn.encoder is None:
        units = cgn.sample(n, seed=0)
        return units["M"], units["Y"]
    units = cgn.abduct({"X": images[:n], "Y": labels[:n]}, seed=0)
    return units["M"], labels[:n]


def counterfactuals(
    study: Study, cgn: CGN, kind: str, seed: int, n: int = 10**7, **options: Any
) -> Stream:
    """The source of counterfactual images with the shape's label, of a CGN of given kind.

    Args:
        study: The study.
        cgn: The CGN.
        kind: The data set on whose images it was trained, and whose noise is abducted.
        seed: Seed of what is drawn.
        n: Number of images, after which they come again.
        **options: Of `CounterfactualImages`, such as `noise="prior"` or `ratio=10`.
    """
    own = settings_of(kind)
    given: dict[str, Any] = {
        "ratio": 1,  # as many shapes as images: better than 4 on validation digits
        "temperature": own.temperature,
        "jitter": own.jitter,
        **options,
    }
    if given.get("noise") != "prior":
        given["images"], given["labels"] = images_of(study, kind)
    return Stream(CounterfactualImages(cgn, n, seed=seed, **given), factor=0)


def steps_of(study: Study) -> int:
    """Steps of every classifier."""
    return 20 if study.quick else 1200


def recipe_of(study: Study, **changes: Any) -> Recipe:
    """The recipe of every classifier: Adam, one cycle up to 2e-3, batches of 64."""
    return Recipe(**{"steps": steps_of(study), "batch": 64, **changes})


def classifier(
    study: Study,
    label: str,
    kind: str,
    seed: int,
    sources: Callable[[], Source | Sequence[Source]],
    *,
    inputs: Literal["plain", "IN", "grey"] = "plain",
    objective: Callable[[], Objective] | None = None,
    score: Literal["test", "validation"] = "test",
    **settings: Any,
) -> dict[str, Any]:
    """Train the classifier in a cell of the study, and score it on unbiased images.

    Args:
        study: The study.
        label: Name of the cell, such as "seed-0/double/original".
        kind: The data set.
        seed: Seed of weights and batches.
        sources: Makes its images; called where the cell is not kept from before.
        inputs: Input layer: none, `Standardise` or `Grey`.
        objective: Makes the objective; `ERM` by default.
        score: Which digits to score on.
        **settings: Other `steps`, or another `batch`; and whatever else the result depends on,
            for the cell's key: the cell of the CGN, its path, the number of images.

    Returns:
        "unbiased" and "confounded" accuracy in %, "note" on the selection of weights,
        "seconds" of processor time, and the weights at `study.path(label, "weights.pt")`.
    """
    work = partial(_classify, study, label, sources, objective)
    given = {"kind": kind, "seed": seed, "inputs": inputs, "score": score}
    given |= {"steps": steps_of(study), "data": data_of(study), **settings}
    if kind == "wildlife" and (drawn := textures().name) != "describable":
        given["drawn"] = drawn
    return study.cell(label, work, **given)


def _classify(
    study: Study,
    label: str,
    sources: Callable[[], Source | Sequence[Source]],
    objective: Callable[[], Objective] | None,
    kind: str,
    seed: int,
    inputs: str,
    score: Any,
    steps: int,
    batch: int = 64,
    drawn: str = "",
    **_: Any,
) -> dict[str, Any]:
    start = time.process_time()
    network = nn.Sequential(_INPUTS[inputs](), ConvNet(seed=seed)).to(study.device)
    # Half as fast again on a CPU.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = train(
        network,
        sources(),
        None if objective is None else objective(),
        recipe=recipe_of(study, steps=steps, batch=batch),
        seed=seed,
        checkpoint=study.path(label, "checkpoint.pt"),
        every=250,
        progress=study.progress,
        title=label,
    )
    torch.save(network.state_dict(), study.path(label, "weights.pt"))
    note = "; ".join(filter(None, (trained.note, drawn and f"{drawn} textures")))
    found: dict[str, Any] = {"note": note, "seconds": time.process_time() - start}
    for domain in ("unbiased", "confounded"):
        shown = images_of(study, kind, score, domain, seed=1)
        found[domain] = 100 * accuracy(network, *shown).value
    return found


def real_images(study: Study, kind: str, **options: Any) -> LabelledImages:
    """The source of a data set's own images; `domain="unbiased"` is the ceiling's."""
    return LabelledImages(*images_of(study, kind, **options))
