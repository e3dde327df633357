"""What classifiers look at, trained on confounded digits or on a CGN's counterfactuals of them.

*GradCAM* of the predicted class at the last convolution (4x4 maps, resized to 32x32), hot above
half of its maximum, against the binarised digit of the same image; and of the convolution before
it (8x8), whose maps can follow a stroke. The reproduction states neither its threshold nor the
class. Its figures for double-coloured and Wildlife compared masks and images of different sets
and are not valid. A blob in the middle overlaps with any digit: *shuffled* is the IoU with the
masks of other images, and what a map has above that it has from its own image.

*Features* are what enters the last linear layer, on unbiased images, where digit and colours are
independent: the share of their variance between the classes of a factor, `sum_k n_k |m_k - m|^2 /
sum_i |f_i - m|^2`, says what they encode. By chance it is (classes - 1) / (images - 1). The
reproduction shows t-SNE planes and prints no figure.

All on test digits under `do(colour)`. Source: the reproduction of CGN, section 4.2.2, figures
3 and 4.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scm.datasets import coloured_mnist, digits, unbiased
from scm.learning import ConvNet, Source, features, grad_cam, mask_iou, tsne
from scm.reproductions.cgn_parts import (
    KINDS,
    NAMES,
    classifier,
    counterfactuals,
    data_of,
    real_images,
)
from scm.reproductions.cgn_sources import kept_cgn
from scm.reproductions.pictures import image_grid, new_figure
from scm.reproductions.report import selected
from scm.reproductions.study import Study

__all__ = ["run", "share_between"]

_TRAINED = {"original": "original images", "cgn": "counterfactuals"}
_PUBLISHED = {  # GradCAM IoU of the reproduction, trained on original images and counterfactuals
    "coloured": {"original": 0.437, "cgn": 0.454},
    "double": {"original": 0.374, "cgn": 0.426},
    "wildlife": {"original": 0.388, "cgn": 0.442},
}
_LAYERS = {"last": -1, "middle": -2}
_FACTORS = ("digit", "foreground", "background")
_PLANE = 1000  # images in a t-SNE plane
_SHOWN = 8


def run(study: Study) -> None:
    """Train two classifiers a kind and seed, and look into them; tabulate and draw."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    seconds = []
    for seed in study.seeds:
        used = 0.0
        for kind in KINDS:
            kept = kept_cgn(study, kind, seed)
            sources: dict[str, Callable[[], Source]] = {
                "original": partial(real_images, study, kind)
            }
            if kept.cgn is not None:
                sources["cgn"] = partial(counterfactuals, study, kept.cgn, kind, seed)
            for name in _TRAINED:
                looked = _lost()
                if name in sources:
                    label = f"seed-{seed}/{kind}-{name}"
                    more: Any = {"cgn": kept.key} if name == "cgn" else {}
                    made = classifier(study, label, kind, seed, sources[name], **more)
                    weights = study.path(label, "weights.pt")
                    looked = made | _looked(study, label, kind, seed, weights)
                    used += made["seconds"] + looked["looking"]
                found.setdefault((kind, name), []).append(looked)
            used += kept.found.get("seconds", 0.0)
        seconds.append(used)
    _tabulate(study, found)
    study.row("a seed, all trainings", "processor time, s", seconds)
    _draw(study, found)


def _looked(study: Study, label: str, kind: str, seed: int, weights: Path) -> dict[str, Any]:
    label = f"{label}-looked"
    work = partial(_look, study, label)
    count, plane = (100, 60) if study.quick else (3_000, _PLANE)
    return study.cell(label, work, kind=kind, seed=seed, weights=weights, count=count, plane=plane)


def _look(
    study: Study, label: str, kind: str, seed: int, weights: Path, count: int, plane: int
) -> dict[str, Any]:
    """IoU of heat maps with digits, what the features encode, and what is drawn later."""
    start = time.process_time()
    shown = _test_images(study, kind, count)
    images, masks = shown["X"], shown["mask"]
    network = nn.Sequential(nn.Identity(), ConvNet()).to(study.device)
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.eval()
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    other = torch.randperm(len(masks), generator=torch.Generator().manual_seed(seed))
    found: dict[str, Any] = {}
    heats = {}
    for name, at in _LAYERS.items():
        heat = grad_cam(network, images, layer=convolutions[at])
        found[f"iou_{name}"] = mask_iou(heat, masks).value
        found[f"shuffled_{name}"] = mask_iou(heat, masks[other.to(masks.device)]).value
        heats[f"heat_{name}"] = heat[:_SHOWN]
    inside = features(network, images)
    for factor in _FACTORS:
        if factor in shown:
            found[factor] = 100 * share_between(inside, shown[factor])
    kept = {"plane": tsne(network, images[:plane], seed=seed), "X": images[:_SHOWN], **heats}
    kept |= {factor: shown[factor][:plane] for factor in _FACTORS if factor in shown}
    kept["mask"] = masks[:_SHOWN].float()
    file = study.path(label, "shown.safetensors")
    save_file({name: value.cpu().contiguous() for name, value in kept.items()}, file)
    return {**found, "looking": time.process_time() - start}


def _lost() -> dict[str, Any]:
    """What there is to say where the masks of the CGN collapsed."""
    keys = [f"{what}_{layer}" for what in ("iou", "shuffled") for layer in _LAYERS]
    return dict.fromkeys([*keys, *_FACTORS, "unbiased"], float("nan"))


def _test_images(study: Study, kind: Any, count: int) -> dict[str, Tensor]:
    """Unbiased test images, their digits where there is ink, and the class of each factor."""
    real = digits(data_of(study))
    model = coloured_mnist(kind, digits=real, part="test")
    threshold = 0.5 if real.name == "digits" else 0.1  # those at which the data sets are binary
    units = unbiased(model, seed=1)
    order = torch.randperm(len(units["X"]), generator=torch.Generator().manual_seed(1))[:count]
    found = {"digit": units["label"], "X": units["X"], "mask": units["digit"][:, 0] > threshold}
    found |= {f: units[f] for f in _FACTORS[1:] if f in model.graph.nodes}
    return {name: value[order].to(study.device) for name, value in found.items()}


def share_between(values: Tensor, classes: Tensor) -> float:
    """Share of the variance of values `(n, width)` that lies between classes `(n,)`.

    Example:
        >>> share_between(torch.tensor([[0.0], [0.0], [1.0], [1.0]]), torch.tensor([0, 0, 1, 1]))
        1.0
    """
    deviation = values.double() - values.double().mean(0)
    between = torch.zeros((), dtype=torch.float64, device=values.device)
    for k in classes.unique():
        rows = deviation[classes == k]
        between += len(rows) * rows.mean(0).square().sum()
    return float(between / deviation.square().sum())


def _tabulate(study: Study, found: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    for (kind, name), each in found.items():
        what = f"{NAMES[kind]}, trained on {_TRAINED[name]}"
        invalid = "" if kind == "coloured" else "reproduced: masks and images of different sets"
        for layer, size in (("last", "4x4"), ("middle", "8x8")):
            study.row(
                what,
                f"GradCAM IoU with the digit, {layer} convolution ({size})",
                [one[f"iou_{layer}"] for one in each],
                reproduced=_PUBLISHED[kind][name] if layer == "last" else None,
                note=invalid if layer == "last" else "",
            )
            shuffled = [one[f"shuffled_{layer}"] for one in each]
            study.row(what, f"the same with digits of other images ({size})", shuffled)
        for factor in _FACTORS[: 2 if kind == "coloured" else 3]:
            metric = f"share of the features' variance between classes of {factor}, %"
            study.row(what, metric, [one[factor] for one in each])
        accuracies = [one["unbiased"] for one in each]
        study.row(what, "test accuracy, %", accuracies, note=selected(each))


def _draw(study: Study, found: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    seed = study.seeds[0]
    for kind in KINDS:
        shown = {
            name: load_file(study.path(f"seed-{seed}/{kind}-{name}-looked", "shown.safetensors"))
            for name in _TRAINED
            if "looking" in found[kind, name][0]
        }
        first = next(iter(shown.values()))
        rows: dict[str, list[Tensor | None]] = {
            "image": list(first["X"]),
            "digit": list(first["mask"][:, None]),
        }
        for name, kept in shown.items():
            for layer in _LAYERS:
                rows[f"{_TRAINED[name]}, {layer}"] = list(kept[f"heat_{layer}"][:, None])
        study.picture(
            image_grid(rows, cell=0.8),
            f"GradCAM of classifiers on unbiased {NAMES[kind]} test images (black: 1), trained on "
            f"original images and on counterfactuals, at the last and the middle convolution; seed "
            f"{seed}.",
            f"heat-{kind}",
        )
        _planes(study, kind, shown)


def _planes(study: Study, kind: str, shown: dict[str, dict[str, Tensor]]) -> None:
    colour = "foreground" if kind == "coloured" else "background"
    figure = new_figure(7.2, 3.4 * len(shown))
    grid = figure.subplots(len(shown), 2, squeeze=False)
    for line, (name, kept) in zip(grid, shown.items(), strict=True):
        plane = kept["plane"].numpy()
        for axes, factor in zip(line, ("digit", colour), strict=True):
            axes.scatter(*plane.T, s=0)
            for (x, y), k in zip(plane, kept[factor].tolist(), strict=True):
                axes.text(x, y, str(k), size=5, ha="center", va="center", color=f"C{k}")
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"{_TRAINED[name]}: {factor}", size=9)
    figure.tight_layout()
    study.picture(
        figure,
        f"t-SNE of the features of classifiers on unbiased {NAMES[kind]} test images: the same "
        f"points with the digit (left) and the class whose {colour} it has (right) written; seed "
        f"{study.seeds[0]}.",
        f"features-{kind}",
    )
