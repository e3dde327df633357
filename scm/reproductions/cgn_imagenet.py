"""The CGN paper's ImageNet experiments: which losses are needed, shape bias, backgrounds.

By default on tiny folders that the run draws itself, in the sets' published layouts, with a tiny
BigGAN that learned to draw them: what runs is the paper's protocol, and the figures are none to
compare. With `--option root=FOLDER` the real sets are read from there, with ResNet-50s at 224
pixels and the paper's numbers of steps, and `biggan=` and `u2net=` name the trained networks that
the CGN starts from.

- Table 1: one loss switched off at a time; Inception Score of composites, and the masks' mean.
- Table 3: shape bias on cue-conflict images, and accuracy on ImageNet, of classifiers trained on
  ImageNet (IN), on Stylized-ImageNet (SIN), on both, and on IN and counterfactuals with one head
  a factor, whose averaged log-probabilities are the classifier.
- Table 4: accuracy on IN-9, on Mixed-Same and on Mixed-Rand, and their gap, of the same, and of
  one trained on Mixed-Rand.

Source: Sauer and Geiger (2021), sections 4.2 and 4.3, tables 1, 3 and 4 and appendix C; "[Re]
Counterfactual Generative Networks", tables 2, 4 and 5.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scm.errors import ScmError
from scm.learning import Recipe
from scm.learning.cgn import CGN, ImageNetWeights, Patches
from scm.reproductions.imagenet_protocol import SETS, TRAININGS, Protocol, Work
from scm.reproductions.pictures import image_grid, new_figure
from scm.reproductions.report import selected
from scm.reproductions.study import Study
from scm.reproductions.tiny_imagenet import write_folders

__all__ = ["run"]

_PATCHES = Patches(side=2, size=5)
_FULL = Work(Recipe(steps=150, batch=64), _PATCHES)
_QUICK = Work(
    Recipe(steps=30, batch=32), _PATCHES, generator=60, saliency=30, steps=3, accumulate=8,
    batch=8, counterfactuals=200, watched=32,
)  # fmt: skip
_SIZES = {"train": 20, "test": 8}  # images of a class in a quick run
_PAPER = Work(
    Recipe.imagenet(1_281_167), Patches(), steps=300, accumulate=4000, batch=1,
    rates=(8e-6, 1e-5, 1e-5), counterfactuals=1_281_167, watched=2000,
)  # fmt: skip

# Losses switched off, and in the paper and its reproduction: Inception Score and mask mean.
_LOSSES: dict[str, tuple[tuple[str, ...], tuple[float, float], tuple[float, float]]] = {
    "all": ((), (130.2, 0.3), (156.1, 0.3)),
    "no shape loss": (("binary", "mask"), (85.9, 0.2), (100.8, 0.3)),
    "no texture loss": (("texture",), (198.4, 0.9), (186.5, 0.4)),
    "no background loss": (("background",), (195.6, 0.1), (200.9, 0.1)),
    "no reconstruction loss": (("l1", "perceptual"), (38.39, 0.3), (19.3, 0.4)),
}
_UPPER_BOUND = 202.9  # BigGAN's Inception Score, in both

_TABLE_3 = {  # shape bias, top-1, top-5
    "IN": (21.39, 76.13, 92.86),
    "SIN": (81.37, 60.18, 82.62),
    "IN + SIN": (34.65, 74.59, 90.03),
    "IN + CGN": (None, 73.98, 91.71),
}
_HEADS = {"shape": (54.82, 49.1), "texture": (16.67, 20.5), "background": (22.89, 25.7)}
_TABLE_4 = {  # IN-9, Mixed-Same, Mixed-Rand, gap
    "IN": (95.6, 86.2, 78.9, 7.3),
    "SIN": (89.2, 73.1, 63.7, 9.4),
    "IN + SIN": (94.7, 85.9, 78.5, 7.4),
    "Mixed-Rand": (73.3, 71.5, 71.3, 0.2),
    "IN + CGN": (94.2, 83.4, 80.1, 3.3),
}
_MINI = {  # the reproduction's, which trained on ImageNet-mini
    "top-1": 56.2, "top-5": 79.1, "IN-9": 86.8, "Mixed-Same": 73.2, "Mixed-Rand": 68.3, "gap": 4.9,
}  # fmt: skip

Found = dict[str, list[dict[str, Any]]]


def run(study: Study) -> None:
    """Train the CGNs and the classifiers with each seed; tabulate and draw."""
    protocol = _protocol(study)
    with_cgn = protocol.tiny or study.options["biggan"] != "none"
    trainings = [name for name in TRAININGS if with_cgn or name != "IN + CGN"]
    losses = list(_LOSSES) if with_cgn else []
    if protocol.tiny:
        _stand_ins(study, protocol.networks())
    made: Found = {name: [] for name in losses}
    classifiers: Found = {name: [] for name in trainings}
    for seed in study.seeds:
        classifiers["IN"].append(protocol.classifier(seed, "IN"))
        for name in losses:
            off = dict.fromkeys(_LOSSES[name][0], 0.0)
            weights = replace(ImageNetWeights(), **off)
            made[name].append(protocol.cgn(seed, name, weights, f"seed-{seed}/IN"))
        for name in trainings[1:]:
            classifiers[name].append(protocol.classifier(seed, name))
    _table_1(study, protocol, made)
    _table_3(study, protocol, classifiers)
    _table_4(study, protocol, classifiers)
    if with_cgn:
        _draw_counterfactuals(study, protocol)
    _draw_classifiers(study, classifiers)


def _protocol(study: Study) -> Protocol:
    """The pieces, on folders that are there and complete.

    Raises:
        ScmError: If they are not, or options are missing or belong to a root that is not given.
    """
    root, options = study.options.get("root"), study.options
    if root is None:
        strange = sorted(set(options) - {"vgg", "inception"})
        if strange:
            raise ScmError(
                f"--option {strange[0]}={options[strange[0]]} was given without root=FOLDER; give "
                "the folder of the real sets, or leave the option"
            )
        sizes = _SIZES if study.quick else {}

        def draw(**sizes: int) -> dict[str, int]:
            return write_folders(study.path("folders", "sets"), **sizes)

        study.cell("folders", draw, **sizes)
        return Protocol(
            study, study.path("folders", "sets"), _QUICK if study.quick else _FULL, tiny=True
        )
    if not ("biggan" in options and ("u2net" in options or options["biggan"] == "none")):
        raise ScmError(
            f"root={root} was given without {'u2net' if 'biggan' in options else 'biggan'}=; the "
            "CGN starts from a trained BigGAN-deep and U2-Net: give --option biggan=FOLDER and "
            "--option u2net=FILE, or --option biggan=none, which leaves the CGN out"
        )
    for name, known in (("train", ("imagenet", "imagenet-mini")), ("partial", ("yes", "no"))):
        if options.get(name, known[0]) not in known:
            raise ScmError(
                f"--option {name}={options[name]} was given; expected {' or '.join(known)}"
            )
    if not options.get("size", "224").isdigit():
        raise ScmError(f"--option size={options['size']} was given; expected pixels, such as 224")
    protocol = Protocol(study, Path(root), _QUICK if study.quick else _PAPER, tiny=False)
    # All folders are looked at before hours of work.
    held = {name: len(protocol.images(name)) for name in SETS}
    if not study.quick:
        protocol.work = replace(_PAPER, recipe=Recipe.imagenet(held["IN"]))
    return protocol


def _stand_ins(study: Study, found: dict[str, Any]) -> None:
    first = study.seeds[0]
    study.row(
        "tiny BigGAN",
        "mean absolute error, of 2",
        {first: found["error"]},
        note="stands for BigGAN-deep: learned to draw the tiny pictures",
    )
    study.row(
        "tiny saliency network",
        "Jaccard index of its masks, %",
        {first: 100 * found["overlap"]},
        note="stands for U2-Net: learned to find the objects of tiny pictures",
    )


def _note(protocol: Protocol, more: str = "") -> str:
    tiny = "tiny folders stand for ImageNet: no comparison" if protocol.tiny else ""
    return "; ".join(part for part in (more, tiny) if part)


def _table_1(study: Study, protocol: Protocol, made: Found) -> None:
    vgg = "" if "vgg" in study.options else "VGG16 with random weights stands in"
    for name, found in made.items():
        _, paper, reproduced = _LOSSES[name]
        title = f"CGN, {name if name != 'all' else 'all losses'}"
        score = found[0]["score"]
        for k, (metric, key) in enumerate(((score, "IS"), ("mean of the masks", "mask"))):
            values = [one[key] for one in found]
            note = _note(protocol, vgg)
            study.row(title, metric, values, paper=paper[k], reproduced=reproduced[k], note=note)
    if made:
        bound, bounds = made["all"], [one["bound"] for one in made["all"]]
        study.row(
            "BigGAN (upper bound)",
            bound[0]["score"],
            bounds,
            paper=_UPPER_BOUND,
            reproduced=_UPPER_BOUND,
            note=_note(protocol),
        )


def _table_3(study: Study, protocol: Protocol, found: Found) -> None:
    for name, paper in _TABLE_3.items():
        for metric, figure in zip(("shape bias", "top-1", "top-5"), paper, strict=True):
            values = [one[metric] for one in found.get(name, [])]
            if not values:
                continue
            cgn = name == "IN + CGN"
            note = "the average of its heads; " if cgn else ""
            note += selected(found[name])
            reproduced = _MINI.get(metric) if cgn else None
            title = metric if metric == "shape bias" else f"{metric} accuracy on IN"
            study.row(name, f"{title}, %", values, figure, reproduced, note=_note(protocol, note))
    for head, (figure, reproduced) in _HEADS.items():
        if found.get("IN + CGN"):
            values = [one[f"shape bias, {head}"] for one in found["IN + CGN"]]
            title = f"IN + CGN, {head} head"
            note = _note(protocol, selected(found["IN + CGN"]))
            study.row(title, "shape bias, %", values, figure, reproduced, note=note)


def _table_4(study: Study, protocol: Protocol, found: Found) -> None:
    for name, paper in _TABLE_4.items():
        for metric, figure in zip(("IN-9", "Mixed-Same", "Mixed-Rand", "gap"), paper, strict=True):
            values = [one[metric] for one in found.get(name, [])]
            if values:
                gap = metric == "gap"
                study.row(
                    f"{name} (trained)" if name == "Mixed-Rand" else name,
                    "background gap, points" if gap else f"accuracy on {metric}, %",
                    values,
                    figure,
                    _MINI[metric] if name == "IN + CGN" else None,
                    note=_note(protocol, selected(found[name])),
                )


def _draw_counterfactuals(study: Study, protocol: Protocol, shown: int = 8) -> None:
    """Draw what the mechanisms make, and what is composed of them."""
    cgn: CGN = protocol.load_cgn(study.seeds[0], "all")
    own = torch.arange(shown) * (cgn.classes // shown if cgn.classes > shown else 1) % cgn.classes
    first, second = (cgn.classes + shown - 1) // shown, 3
    units = cgn.do(Y=own).sample(shown, seed=study.seeds[0])
    changed = units.do(Y2=(own + first) % cgn.classes, Y3=(own + second) % cgn.classes)
    rows: dict[str, list[Tensor | None]] = {}
    for name, node in (("mask", "M"), ("texture", "F"), ("background", "B"), ("composite", "X")):
        rows[name] = [_pixels(image) for image in units[node]]
    for name, node in (("texture, set", "F"), ("background, set", "B"), ("counterfactual", "X")):
        rows[name] = [_pixels(image) for image in changed[node]]
    study.picture(
        image_grid(rows, cell=0.8),
        f"A CGN's units, a column each (seed {study.seeds[0]}): what its mechanisms make of one "
        "class and their composite; then the same units with the classes of texture and "
        "background set to others.",
        "counterfactuals",
    )


def _pixels(image: Tensor) -> Tensor:
    return image if len(image) == 1 else (image + 1) / 2


def _draw_classifiers(study: Study, found: Found) -> None:
    """Draw shape bias and accuracy of the classifiers, and the paper's."""
    bias: dict[str, float | None] = {n: _TABLE_3[n][0] for n in found if n in _TABLE_3}
    gaps: dict[str, float | None] = {name: _TABLE_4[name][3] for name in found}
    measured = {name: [one["shape bias"] for one in found[name]] for name in bias}
    for head, (theirs, _) in _HEADS.items():
        if "IN + CGN" in found:
            bias[f"{head} head"] = theirs
            measured[f"{head} head"] = [one[f"shape bias, {head}"] for one in found["IN + CGN"]]
    panels = (
        ("shape bias, %", bias, measured),
        ("background gap, points", gaps, {n: [one["gap"] for one in found[n]] for n in found}),
    )
    figure = new_figure(9.0, 3.2)
    for axes, (title, paper, values) in zip(figure.subplots(1, 2), panels, strict=True):
        names = list(paper)
        for y, name in enumerate(names):
            dots = values[name]
            axes.plot(dots, [y] * len(dots), "o", color="black", markersize=4, label="a seed")
            if (published := paper[name]) is not None:
                axes.plot([published], [y], "x", color="0.45", markersize=7, label="paper")
        axes.set(title=title, yticks=range(len(names)), yticklabels=names)
        axes.invert_yaxis()
        axes.grid(axis="x", color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        axes.legend(unique.values(), unique.keys(), frameon=False, fontsize=8)
    figure.tight_layout()
    study.picture(
        figure,
        "Shape bias on cue-conflict images, and background gap, of each classifier and seed; "
        "crosses are the paper's, on ImageNet.",
        "classifiers",
    )
