"""What the classifier of each row of `cgn-mnist` learns from."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from scm.errors import ScmError, nearest
from scm.learning import (
    ConditionalGAN,
    GeneratedImages,
    Mixed,
    Source,
    Stream,
    train_gan,
)
from scm.learning.cgn import CGN, Style, settings_of
from scm.learning.perceptual import VGGFeatures
from scm.reproductions.cgn_parts import NAMES, cgn_of, counterfactuals, images_of, real_images
from scm.reproductions.study import Study

__all__ = [
    "PUBLISHED",
    "Images",
    "Kept",
    "adversarial",
    "chosen",
    "environments",
    "gan",
    "kept_cgn",
    "made",
    "published",
    "real",
]

PUBLISHED = {"coloured": "colored", "double": "double_colored", "wildlife": "wildlife"}
"""The authors' networks, `pretrained/cgn_mnist/{name}.pth` in the folder of SCM_DATA."""

_CONVOLUTIONAL: dict[str, Any] = {"noise": "prior", "temperature": None, "ratio": 10}
"""Counterfactuals of the paper's networks: no encoder, masks as they are, passes that are dear."""

_BEFORE_POOLING = (3, 8, 15, 22)
_STYLE_WEIGHTS = {  # of the published runs
    "coloured": (0.05, 0.1, 0.01, 0.0),
    "double": (0.0, 0.05, 0.0, 0.05),
    "wildlife": (0.01, 0.05, 0.0, 0.01),
}


@dataclass(frozen=True)
class Kept:
    """A trained CGN, or None where its masks collapsed, and what is known of it.

    Attributes:
        cgn: The CGN.
        found: What `cgn_of` found.
        key: What cells that use its images depend on: a digest of its file, and the settings of
            counterfactuals.
    """

    cgn: CGN | None
    found: dict[str, Any]
    key: dict[str, Any]


def kept_cgn(study: Study, kind: str, seed: int) -> Kept:
    """A CGN that the study trained, kept at `study.out/models/KIND-SEED.scm` for others too."""
    cgn, found = cgn_of(study, kind, seed)
    if cgn is None:
        return Kept(None, found, {})
    own = settings_of(kind)
    key = {"temperature": own.temperature, "jitter": own.jitter}
    given = study.options.get("models")
    if given is not None:
        return Kept(cgn, found, {**key, "cgn": _digest(Path(given, f"{kind}-{seed}.scm"))})
    file = study.path(f"seed-{seed}/{kind}-cgn", "cgn.scm")
    kept = study.out / "models" / f"{kind}-{seed}.scm"
    kept.parent.mkdir(exist_ok=True)
    beside = kept.with_name(f"{kept.name}.{os.getpid()}.tmp")
    shutil.copyfile(file, beside)
    beside.replace(kept)
    return Kept(cgn, found, {**key, "cgn": _digest(file)})


def chosen(study: Study, option: str, known: Sequence[str]) -> list[str]:
    """The values of an option that lists some of those known, in the order of these; else all.

    Raises:
        ScmError: If one is not known.
    """
    given = study.options.get(option)
    if given is None:
        return list(known)
    names = [name.strip() for name in given.split(",")]
    for name in names:
        if name not in known:
            raise ScmError(
                f"--option {option}={given} was given; expected some of {','.join(known)}; "
                f"{nearest(name, known)}"
            )
    return [name for name in known if name in names]


@dataclass(frozen=True)
class Images:
    """What a classifier learns from.

    Attributes:
        make: Makes the sources; None where there is nothing to learn from.
        settings: What they depend on, for a cell's key.
        note: What should be known of them.
    """

    make: Callable[[], Source | list[Source]] | None
    settings: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def real(domain: Literal["confounded", "unbiased"], study: Study, kind: str, *_: Any) -> Images:
    """The data set's own images."""
    return Images(lambda: real_images(study, kind, domain=domain), {"domain": domain})


def made(
    study: Study, kind: str, seed: int, kept: Kept | None, mixed: bool = False, **options: Any
) -> Images:
    """Counterfactual images, of noise abducted or drawn; mixed with as many original ones."""
    assert kept is not None
    cgn = kept.cgn
    if cgn is None:
        return Images(None, note=kept.found["collapsed"])

    def make() -> Source:
        stream = counterfactuals(study, cgn, kind, seed, **options)
        return Mixed([real_images(study, kind), stream]) if mixed else stream

    return Images(make, {**kept.key, "mixed": mixed, **options})


def published(study: Study, kind: str, seed: int, _: Any) -> Images | None:
    """Counterfactual images of the authors' networks; None, with a printed line, without them."""
    data = os.environ.get("SCM_DATA")
    file = Path(data or "", "pretrained", "cgn_mnist", f"{PUBLISHED[kind]}.pth")
    if data is None or not file.is_file():
        where = file if data else "SCM_DATA, which is unset"
        study.console.print(f"  {NAMES[kind]}, published networks: left out, no {where}")
        return None

    def make() -> Source:
        cgn = CGN.from_published(file)
        cgn.to(study.device)
        return counterfactuals(study, cgn, kind, seed, **_CONVOLUTIONAL)

    return Images(make, {"cgn": _digest(file), **_CONVOLUTIONAL})


def adversarial(study: Study, kind: str, seed: int, _: Any) -> Images:
    """Images of a CGN of the paper's recipe, of as many steps as a CPU can take."""
    steps = 40 if study.quick else 3000
    weights = study.options.get("vgg16")
    style, said = None, "without the style loss of VGG16 that the published code adds (no weights)"
    if weights is not None:
        vgg = VGGFeatures("vgg16", layers=_BEFORE_POOLING, weights=weights, range=(0, 1))
        style = Style(vgg.to(study.device), _STYLE_WEIGHTS[kind])
        said = f"with the published code's style loss of VGG16, {Path(weights).name}"
    cgn, found = cgn_of(study, kind, seed, style, recipe="adversarial", steps=steps)
    note = f"{said}; {steps} of the paper's 46,875 steps, {found['minutes']:.1f} min by the clock"
    if cgn is None:
        return Images(None, note=f"{note}, and stopped: {found['collapsed']}")
    suffix = "-style" * (style is not None)
    file = study.path(f"seed-{seed}/{kind}-cgn-adversarial-{steps}{suffix}", "cgn.scm")
    make = partial(counterfactuals, study, cgn, kind, seed, **_CONVOLUTIONAL)
    return Images(make, {"cgn": _digest(file), **_CONVOLUTIONAL}, note)


def gan(study: Study, kind: str, seed: int, _: Any) -> Images:
    """Original images and a GAN's, which are as confounded."""
    label = f"seed-{seed}/{kind}-gan"
    steps, width = (10, 16) if study.quick else (600, 64)
    settings = {"kind": kind, "seed": seed, "steps": steps, "width": width, "lr": 1e-3}
    study.cell(label, partial(_train_gan, study, label), **settings)
    file = study.path(label, "gan.pt")

    def make() -> Source:
        images = real_images(study, kind)
        gan = ConditionalGAN((3, 32, 32), width=width)
        gan.load_state_dict(torch.load(file, weights_only=True))
        return Mixed([images, Stream(GeneratedImages(gan.to(study.device), seed=seed))])

    return Images(make, {"gan": file}, f"GAN of {steps} steps of 64 images")


def _train_gan(study: Study, label: str, kind: str, **settings: Any) -> dict[str, Any]:
    gan = train_gan(*images_of(study, kind), progress=study.progress, **settings)
    torch.save(gan.state_dict(), study.path(label, "gan.pt"))
    return {}


def environments(correlations: tuple[float, ...], study: Study, kind: str, *_: Any) -> Images:
    """One source for each correlation, of all digits, with 64 images each a step; 3,600 steps.

    What tells shape from colour are the few images (5 in 100) whose colours are those of any
    class, and it takes that many steps to learn from them.
    """

    def make() -> list[Source]:
        return [
            real_images(study, kind, correlation=correlation, seed=k)
            for k, correlation in enumerate(correlations)
        ]

    steps = 20 if study.quick else 3600
    settings = {"correlations": correlations, "steps": steps, "batch": 64 * len(correlations)}
    return Images(make, settings)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
