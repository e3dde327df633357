"""GenInt's ablations in coloured-MNIST form: tables 4, 6, 7 and 8.

- Table 4, generated images alone: the CVAE without intervention, its latents truncated at 2 and
  scaled by t, against both latents set independently of the class.
- Table 6, L = Le(X) + lambda1 Le(Xint) + lambda2 Le(Xitr): A observed images alone, B with
  intervened ones, C with transferred ones, D with both, going on from C's weights (for half the
  steps). Transferred are observed images with the style of intervened ones, which are matched
  independently of the class, in 20 to 70 steps of LBFGS.
- Table 7, how many intervened images a step has; table 8, lambda1.

Batches are a quarter of the paper's (64 observed, 16 intervened, 64 transferred), and their rows
bear the paper's sizes. VGG19 needs its weights (`--option vgg19=FILE`); without, the three
convolutions of variant A's classifier take its place, of which the last is matched. The paper's
figures are top-1 accuracies on ImageNet (table 4) and ObjectNet, and say which way
things should go, not how far.

Source: Mao et al. (2021), tables 4, 6, 7 and 8; sections 4.1, 4.3 and 11.A.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scm.interventions import Strategy, StyleTransfer, matching, vgg19_features
from scm.learning import LabelledImages, Source, Variant, accuracy, train
from scm.reproductions import genint_parts as parts
from scm.reproductions.genint_generator import weights_of
from scm.reproductions.genint_images import PAPER, generated, image_count, steered
from scm.reproductions.pictures import image_grid
from scm.reproductions.study import Study

__all__ = ["BATCHES", "LAMBDAS", "VARIANTS", "Convolutions", "run"]

TRUNCATIONS: Mapping[str, tuple[Strategy, float]] = {
    "observational, t = 1": (Strategy(1.0), 39.07),
    "observational, t = 1.5": (Strategy(1.5), 42.65),
    "observational, t = 2": (Strategy(2.0), 40.98),
    "interventional, t = 1": (Strategy(1.0, 2, PAPER.scale, together=2), 45.06),
}
"""Table 4: what is generated, and the paper's top-1 accuracy."""

VARIANTS: Mapping[str, tuple[Variant, float]] = {
    "A": (Variant((1.0, 0.0, 0.0), (64, 0, 0)), 20.48),
    "B": (Variant((1.0, 0.05, 0.0), (64, 16, 0)), 22.07),
    "C": (Variant((1.0, 0.0, 1.0), (64, 0, 64)), 22.29),
    "D": (Variant((1.0, 0.02, 1.0), (64, 16, 64)), 22.34),
}
"""Table 6: weights and batches, and the paper's top-1 accuracy."""

BATCHES: Mapping[int, float] = {32: 21.89, 64: 22.07, 128: 22.47, 256: 21.92}
"""Table 7: images of Xint in a batch of the paper's, four times ours, and its top-1 accuracy."""

LAMBDAS: Mapping[float, float | None] = {0.02: 21.86, 0.05: 22.07, 0.2: 21.69, 1.0: None}
"""Table 8: lambda1, and the paper's top-1 accuracy; the last is not the paper's."""

_STEPS = 300
_METRICS = {"confounded test accuracy, %": "confounded", "causal test accuracy, %": "causal"}
Found = dict[str, Any]


class Convolutions(nn.Module):
    """The outputs of a classifier's convolutions, finest first, as features for a transfer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for layer in network.modules():
            if isinstance(layer, nn.Linear):
                break
            if not list(layer.children()):
                self.layers.append(layer)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features `(n, c_l, h_l, w_l)` of each convolution."""
        found = []
        for layer in self.layers:
            images = layer(images)
            if isinstance(layer, nn.Conv2d):
                found.append(images)
        return found


def run(study: Study) -> None:
    """Train every variant with each seed; tabulate and draw."""
    found = [_of_seed(study, seed) for seed in study.seeds]
    papers: dict[str, float | None] = {
        **{f"table 4: generated alone, {k}": v[1] for k, v in TRUNCATIONS.items()},
        **{f"table 6: variant {k}": v[1] for k, v in VARIANTS.items()},
        "table 7: batch of Xint 0": VARIANTS["A"][1],
        **{f"table 7: batch of Xint {k}": v for k, v in BATCHES.items()},
        "table 8: lambda1 = 0": VARIANTS["A"][1],
        **{f"table 8: lambda1 = {k:g}": v for k, v in LAMBDAS.items()},
    }
    for name, paper in papers.items():
        note = f"paper: top 1 on {'ImageNet' if name.startswith('table 4') else 'ObjectNet'}"
        for metric, key in _METRICS.items():
            values, told = [one[name][key] for one in found], key == "causal" and paper is not None
            study.row(name, metric, values, paper if told else None, note=note if told else "")
    _draw(study)


def _of_seed(study: Study, seed: int) -> dict[str, Found]:
    model, count, steps = steered(study, seed), image_count(study), 20 if study.quick else _STEPS
    weights = weights_of(study, seed)
    found: dict[str, Found] = {}
    for name, (strategy, _) in TRUNCATIONS.items():
        given: dict[str, Any] = {"strategy": repr(strategy), "images": count, "weights": weights}
        source = partial(generated, model, strategy, count, seed)
        label = f"alone-{name.replace(', ', '-').replace(' = ', '-')}"
        found[f"table 4: generated alone, {name}"] = parts.classify(
            study, label, source, seed, steps=steps, **given
        )
    intervened = partial(generated, model, PAPER, count, seed)
    kept: dict[Variant, Found] = {}

    def variant(one: Variant, label: str, start: Path | None = None, **inputs: Any) -> Found:
        """The accuracies of a variant, trained once however many tables it stands in."""
        if one not in kept:
            work = partial(_train, study, f"seed-{seed}/{label}", one, intervened)
            settings = {"weights_of_generator": weights, "start": start, **inputs}
            settings |= {"objective": repr(one), "steps": steps, "images": count}
            kept[one] = study.cell(f"seed-{seed}/{label}", work, seed=seed, **settings)
        return kept[one]

    observed, with_both = (VARIANTS[k][0] for k in "AB")
    for name in "ABCD":
        start, inputs = None, {}
        if name in "CD":
            inputs["transferred"] = _transferred(study, seed, intervened, weights)
        if name == "D":
            start = study.path(f"seed-{seed}/variant-C", "weights.safetensors")
        one = VARIANTS[name][0]
        found[f"table 6: variant {name}"] = variant(one, f"variant-{name}", start, **inputs)
    found["table 7: batch of Xint 0"] = found["table 8: lambda1 = 0"] = variant(observed, "")
    for size in BATCHES:
        one = Variant(with_both.weights, (64, size // 4, 0))
        found[f"table 7: batch of Xint {size}"] = variant(one, f"batch-{size}")
    for weight in LAMBDAS:
        one = Variant((1.0, weight, 0.0), with_both.batches)
        found[f"table 8: lambda1 = {weight:g}"] = variant(one, f"lambda-{weight:g}")
    return found


def _network(study: Study, seed: int) -> nn.Module:
    return parts.GenIntNet(8 if study.quick else parts.WIDTH, seed).to(study.device)


def _train(
    study: Study,
    label: str,
    variant: Variant,
    intervened: Callable[[], tuple[Tensor, Tensor]],
    seed: int,
    steps: int,
    start: Path | None,
    transferred: Path | None = None,
    **_: Any,
) -> Found:
    """One classifier by the weighted objective, from new weights or on from others."""
    begun = time.process_time()
    network = _network(study, seed)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if start is not None:
        network.load_state_dict(load_file(start))
        steps = max(1, steps // 2)
    sources: list[Source | None] = [LabelledImages(*parts.data(study)), None, None]
    if variant.weights[1]:
        sources[1] = LabelledImages(*intervened())
    if variant.weights[2] and transferred is not None:
        held = {k: v.to(study.device) for k, v in load_file(transferred).items()}
        sources[2] = LabelledImages(held["images"], held["labels"])
    train(
        network,
        variant.sources(*sources),
        variant.objective,
        recipe=parts.recipe_of(study, steps=steps, batch=variant.batch),
        seed=seed,
        progress=study.progress,
        title=label,
    )
    parts.save_weights(network, study.path(label, "weights.safetensors"))
    found: Found = {"seconds": time.process_time() - begun}
    for key, domain in (("confounded", "confounded"), ("causal", "randomised")):
        shown = parts.data(study, "test", domain, seed=1)  # type: ignore[arg-type]
        found[key] = 100 * accuracy(network, *shown).value
    return found


def _transferred(
    study: Study, seed: int, intervened: Callable[[], tuple[Tensor, Tensor]], weights: Path
) -> Path:
    """Observed images after the transfer, in a cell of their own: path of images and labels."""
    label = f"seed-{seed}/transferred"
    given = {
        "vgg19": study.options.get("vgg19"),
        "weights_of_generator": weights,
        "weights_of_features": study.path(f"seed-{seed}/variant-A", "weights.safetensors"),
    }
    work = partial(_transfer, study, label, intervened)
    study.cell(label, work, seed=seed, n=20 if study.quick else 1_000, **given)
    return study.path(label, "transferred.safetensors")


def _transfer(
    study: Study,
    label: str,
    intervened: Callable[[], tuple[Tensor, Tensor]],
    seed: int,
    n: int,
    vgg19: str | None,
    weights_of_features: Path,
    **_: Any,
) -> dict[str, float]:
    begun = time.process_time()
    if vgg19 is not None:
        network: nn.Module = vgg19_features(vgg19, range=(0.0, 1.0)).to(study.device)
        transfer = StyleTransfer(network, range=(0.0, 1.0))
    else:
        classifier = _network(study, seed)
        classifier.load_state_dict(load_file(weights_of_features))
        transfer = StyleTransfer(Convolutions(classifier), content=-1, range=(0.0, 1.0))
    images, labels = parts.data(study)
    rows = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))[:n]
    natural, labels = images[rows.to(images.device)], labels[rows.to(labels.device)]
    styles, theirs = intervened()
    chosen = styles[matching(labels, theirs, "independent", seed)]
    steps = (2, 5) if study.quick else (20, 70)
    made = transfer(natural, chosen, steps=steps, seed=seed, progress=study.progress)
    kept = {"images": made, "labels": labels, "natural": natural, "generated": chosen}
    save_file(
        {name: tensor.cpu().contiguous() for name, tensor in kept.items()},
        study.path(label, "transferred.safetensors"),
    )
    return {"seconds": time.process_time() - begun}


def _draw(study: Study) -> None:
    seed = study.seeds[0]
    held = load_file(study.path(f"seed-{seed}/transferred", "transferred.safetensors"))
    rows = {
        title: list(held[name][:12])
        for title, name in (
            ("observed", "natural"), ("intervened", "generated"), ("transferred", "images")
        )
    }  # fmt: skip
    network = "VGG19" if study.options.get("vgg19") else "variant A's convolutions"
    study.picture(
        image_grid(rows),
        f"Transfer (table 6, C and D): observed images, the intervened images they are matched "
        f"with, and the result; features of {network}, seed {seed}.",
        "transfer",
    )
