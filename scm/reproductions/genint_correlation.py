"""Figure 3 of GenInt on coloured MNIST: what nuisances say of the label, before and after.

A network learns to read the nuisances z (both latents of the paper's CVAE) off images whose z was
set at random, whatever their class. It is checked as in the paper: its absolute error against
that of the best guess; and a network of four layers that sees the nuisances read off such images
must not know their class. Then nuisances are read off each kind of training data, and a network
of four layers predicts the label from them, on images held out: how many times better than
chance? Chance is what its guesses would get if dealt out at random. The number of classes grows
along the axis, as in figure 3; each kind of data has its line.

Source: Mao et al. (2021), sections 3.1 and 10, figure 3; for the strips, figures 9 to 11.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from scm.interventions import (
    NuisancePredictor,
    Strategy,
    label_predictability,
    train_nuisance_predictor,
)
from scm.learning import Recipe, SmallCNN
from scm.reproductions import genint_parts as parts
from scm.reproductions.genint_colored_mnist import recoloured
from scm.reproductions.genint_generator import generator, weights_of
from scm.reproductions.genint_images import OBSERVED, PAPER, colour_strips, generated, steered
from scm.reproductions.pictures import curves
from scm.reproductions.study import Study

__all__ = ["KINDS", "run"]

KINDS = (
    "original data",
    "recoloured at random",
    "observational CVAE",
    "interventional CVAE",
    "interventional CVAE, nuisances as set",
    "the data under do(fill)",
)
"""Where nuisances are read; as set, they are not read at all."""

_CLASSES = (2, 4, 6, 8, 10)
_WIDE = Strategy(directions=2, scale=3.0, together=2)
_WORDS = "times better than chance, all ten classes"


def run(study: Study) -> None:
    """Read nuisances off every kind of data with each seed; tabulate and draw."""
    found = []
    for seed in study.seeds:
        generator(study, seed)
        work = partial(_analyse, study)
        given = {"weights": weights_of(study, seed), "classes": list(_CLASSES)}
        n = 400 if study.quick else 8_000
        found.append(study.cell(f"seed-{seed}/correlation", work, seed=seed, n=n, **given))
    study.row(
        "nuisance predictor",
        "absolute error on held-out pairs, % of chance",
        [100 * one["error"] / one["chance"] for one in found],
        paper=100 * 0.36 / 5.6,
        note="paper: 0.36 of 5.6; here "
        + ", ".join(f"{one['error']:.2g} of {one['chance']:.2g}" for one in found),
    )
    for kind in KINDS:
        last = [one["times"][kind][-1] for one in found]
        study.row(kind, _WORDS, [t["value"] for t in last], note=_intervals(last))
        if kind.startswith("interventional"):
            study.row(
                kind,
                "lower end of the 95% interval over the seeds, times chance",
                {study.seeds[0]: _over_seeds(last)[0]},
                goal=None if study.quick else "<= 1",
                note=f"upper end {_over_seeds(last)[1]:.3f}",
            )
    lines = {kind: [[t["value"] for t in one["times"][kind]] for one in found] for kind in KINDS}
    panels = {"no intervention on the generator": KINDS[:3], "after intervention": KINDS[3:]}
    study.picture(
        curves(
            {title: {kind: lines[kind] for kind in kinds} for title, kinds in panels.items()},
            "number of classes",
            at=_CLASSES,
        ),
        "How many times better than chance a label is predicted from nuisances, over the number of "
        "classes (figure 3). Before an intervention nuisances know the label; after it they should "
        "not (1). Bands are the range over seeds.",
        "correlation",
    )
    seed = study.seeds[0]
    model = steered(study, seed)
    strips = {
        "original": parts.data(study, "validation"),
        "observational": generated(model, OBSERVED, 600, seed + 3),
        "interventional": generated(model, PAPER, 600, seed + 3),
    }
    study.picture(
        colour_strips(strips),
        "Background colours of 40 images of each class (rows), sorted, of the training data, the "
        f"observational and the interventional CVAE (figures 9 to 11), seed {seed}.",
        "backgrounds",
    )


def _analyse(study: Study, seed: int, n: int, **_: Any) -> dict[str, Any]:
    begun, model = time.process_time(), steered(study, seed)
    recipe = Recipe(steps=20 if study.quick else 300, batch=64)
    pairs = _WIDE.sample(model, n, 10 * seed + 1)
    network = SmallCNN(3, 2, width=16, stride=2, seed=seed).to(study.device)
    settings: dict[str, Any] = {"seed": seed, "progress": study.progress}
    longer = Recipe(steps=3 * recipe.steps, batch=64)
    read = train_nuisance_predictor(
        pairs["X"].contiguous(), _nuisances(pairs), network=network, recipe=longer, **settings
    )
    settings |= {"recipe": recipe, "hidden": 64 if study.quick else 512}
    times: dict[str, list[dict[str, float]]] = {}
    for kind, made in _kinds(study, seed, n, read).items():
        nuisances, labels = made()
        times[kind] = []
        for count in _CLASSES:
            rows = labels < count
            told = label_predictability(nuisances[rows], labels[rows], **settings)
            times[kind].append({"value": told.times.value, "stderr": told.times.stderr})
    return {
        "error": read.error.value,
        "chance": read.chance.value,
        "times": times,
        "seconds": time.process_time() - begun,
    }


def _kinds(
    study: Study, seed: int, n: int, read: NuisancePredictor
) -> dict[str, Callable[[], tuple[Tensor, Tensor]]]:
    """For each kind of data, nuisances `(n, 2)` and labels `(n,)`."""
    model = steered(study, seed)
    images, labels = (part[:n] for part in parts.data(study, "validation"))
    drawn = {kind: s.sample(model, n, 10 * seed + 2) for kind, s in _STRATEGIES.items()}

    def off(pixels: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        return read(pixels), classes

    changed = recoloured(images, torch.Generator().manual_seed(seed))
    random = (part[:n] for part in parts.data(study, "validation", "randomised", seed=2))
    intervened = drawn["interventional CVAE"]
    return {
        "original data": partial(off, images, labels),
        "recoloured at random": partial(off, changed, labels),
        **{kind: partial(off, units["X"], units["Y"]) for kind, units in drawn.items()},
        "interventional CVAE, nuisances as set": lambda: (_nuisances(intervened), intervened["Y"]),
        "the data under do(fill)": partial(off, *random),
    }


_STRATEGIES = {"observational CVAE": OBSERVED, "interventional CVAE": PAPER}


def _nuisances(units: Any) -> Tensor:
    return torch.stack([units["Z1"], units["Z2"]], 1)


def _intervals(found: list[dict[str, float]]) -> str:
    low, high = _over_seeds(found)
    return f"95% interval over the seeds' images [{low:.2f}, {high:.2f}]"


def _over_seeds(found: list[dict[str, float]]) -> tuple[float, float]:
    """The normal 95% interval of the mean over seeds, given their standard errors."""
    mean = sum(t["value"] for t in found) / len(found)
    stderr = math.hypot(*(t["stderr"] for t in found)) / len(found)
    return mean - 1.96 * stderr, mean + 1.96 * stderr
