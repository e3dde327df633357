"""GRATING: a horizontal bar is the cause, a vertical one goes with the behaviour and is none.

Algorithm 1 learns the visual cause from 10,000 observations and a few experiments: ten images of
each observational class, each shown to 30 units under `man`. Algorithm 2 then learns to add
and remove it, in 20 rounds of 100 manipulations, each of which is judged by the true cause. It
is asked to leave S as it is, which the paper only hopes for, and is given the reader of S that
the model declares; what the same networks do to S when not asked stands beside it. Its networks
are trained with noise on the pixels (see `scm.learning.PixelNoise`) and, beside that, without,
as the paper's. The paper does not print P(T | H1, h-bar): `_CHANCES` is the one taken here. Run
k has the seed 500 + k, since settings were chosen on smaller seeds.

Source: Chalupka, Perona and Eberhardt (2015), section 4.1 and figure 5.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from scm.datasets import gratings, has_column, has_row
from scm.interventions import Manipulator
from scm.learning import Simulator, SmallCNN, learn_causes, predict, train_classifier
from scm.model import SCM
from scm.reproductions.pictures import curves, image_grid
from scm.reproductions.study import Study

__all__ = ["NAMES", "NOISE", "run"]

NOISE = {"noisy": 0.6, "plain": 0.0}
"""Standard deviation of the noise on the pixels, by kind of training."""

NAMES = {"noisy": "trained with noise", "plain": "trained without noise"}
"""What the tables call them."""

_CHANCES = ((0.1, 0.4), (0.6, 0.9))  # P(T = 1 | H1, h-bar)
_FIRST = 500
_TRIALS = 30  # units that each image is shown to
_KINDS = {  # whether the bar was to be added, and whether the cause changed
    "bar added": (True, True),
    "removed": (False, True),
    "NOT added": (True, False),
    "NOT removed": (False, False),
}
_WHEN = ("before", "after", "free")  # the first round, the last one; the last, free to change S
_SHOWN = 4  # examples of each kind


def run(study: Study) -> None:
    """Learn the cause and the manipulator with each seed; tabulate and draw."""
    images, steps, training, rounds, queries = 10_000, 300, 600, 20, 100
    if study.quick:
        images, steps, training, rounds, queries = 6_000, 150, 150, 3, 50
    causes: list[dict[str, Any]] = []
    manipulators: dict[str, list[dict[str, Any]]] = {kind: [] for kind in NOISE}
    for seed in study.seeds:
        label = f"seed-{seed}/cause"
        learn = partial(_learn, study, label)
        causes.append(study.cell(label, learn, seed=_FIRST + seed, images=images, steps=steps))
        classes, values = study.path(label, "classes.safetensors"), causes[-1]["values"]
        settings = {"seed": _FIRST + seed, "images": images, "classes": classes, "values": values}
        settings |= {"rounds": rounds, "queries": queries, "steps": training}
        for kind, noise in NOISE.items():
            label = f"seed-{seed}/manipulator-{kind}"
            manipulators[kind].append(
                study.cell(label, partial(_manipulate, study, label), noise=noise, **settings)
                if len(values) > 1
                else _nothing(rounds)
            )

    def row(found: list[dict[str, Any]], name: str, metric: str, key: str, **more: Any) -> None:
        study.row(name, metric, [one[key] for one in found], **more)

    share = "% of 10,000 new images"
    row(causes, "learned causal class", f"true, {share}", "causal", goal=">= 95")
    row(
        causes,
        "same network, observational labels alone",
        f"true, {share}",
        "observational",
        note="it predicts T, which goes more with the vertical bar",
    )
    row(causes, "learned spurious correlate", f"true, {share}", "correlate")
    row(causes, "algorithm 1", "images asked about", "asked", note=f"each shown to {_TRIALS} units")
    for kind, found in manipulators.items():
        aims = kind == "noisy"
        for at, paper in ((1, 40.0), (rounds, 6.0)):
            name, metric = f"{NAMES[kind]}, round {at}", f"manipulation error, % of {queries}"
            errors, goal = [one["errors"][at - 1] for one in found], "<= 2" if aims else None
            study.row(name, metric, errors, paper=paper, goal=goal if at > 1 else None)
            distances = [one["distances"][at - 1] for one in found]
            study.row(name, "distance, root mean square", distances)
        name, kept = f"{NAMES[kind]}, after round {rounds}", "S unchanged, % of manipulations"
        row(found, name, "error, % of 1,000 new images", "error_after")
        row(found, name, kept, "kept_after", goal=">= 95" if aims else None)
        row(found, f"{name}, not asked to keep S", "error, % of 1,000 new images", "error_free")
        row(found, f"{name}, not asked to keep S", kept, "kept_free", note="the paper's way")
    parts = (causes, *manipulators.values())
    seconds = [sum(part["seconds"] for part in of_seed) for of_seed in zip(*parts, strict=True)]
    study.row("a seed, both trainings", "processor time, s", seconds)
    _draw(study, manipulators, rounds)
    minutes = {study.seeds[0]: study.seconds / 60}
    study.row("all seeds, one after the other", "minutes by the clock", minutes, goal="<= 10")


def _learn(study: Study, label: str, seed: int, images: int, steps: int) -> dict[str, Any]:
    """Algorithm 1, and beside it the same network trained on what was observed alone."""
    start, model = time.process_time(), _model(study)
    units, new = model.sample(images, seed), model.sample(10_000, _new(seed))
    work: dict[str, Any] = {"steps": steps, "seed": seed, "progress": study.progress}
    causes = learn_causes(units["I"], units["T"], Simulator(model, trials=_TRIALS), **work)
    network = SmallCNN(1, 2, seed=seed).to(study.device)
    observational = train_classifier(units["I"], units["T"], model=network, **work)
    save_file({"classes": causes.classes.cpu()}, study.path(label, "classes.safetensors"))
    truth = _causes(new["I"], causes.values[:, 1])
    return {
        "values": causes.values[:, 1].tolist(),
        "asked": sum(causes.queries),
        "causal": _share(causes.cause(new["I"]) == truth),
        "observational": _share(predict(observational, new["I"]) == truth),
        "correlate": _share(causes.correlate(new["I"]) == has_column(new["I"]).long()),
        "seconds": time.process_time() - start,
    }


def _manipulate(
    study: Study,
    label: str,
    seed: int,
    images: int,
    noise: float,
    classes: Path,
    values: list[float],
    **work: Any,
) -> dict[str, Any]:
    """Algorithm 2, judged by the true cause; then its manipulations of new images."""
    start, model = time.process_time(), _model(study)
    units, new = model.sample(images, seed), model.sample(1_000, _new(seed))["I"]
    learned = load_file(classes)["classes"].to(study.device)

    def fit(rounds: int) -> Manipulator:
        folder = study.path(label, f"rounds-{rounds}")
        return Manipulator.fit(
            units["I"],
            learned,
            _effect,
            classes=values,
            values="binary",
            keep=has_column,
            noise=noise,
            **{**work, "rounds": rounds},
            seed=seed,
            progress=study.progress,
            path=folder,
        )

    before, after = fit(0), fit(work["rounds"])
    free = Manipulator(replace(after.objective, keep=None), after.classes, after.shape, "binary")
    history = after.history
    found: dict[str, Any] = {
        "errors": [100 * one.error.value for one in history],
        "distances": [one.distance.value for one in history],
    }
    targets = (_causes(new, torch.tensor(values)) + 1) % len(values)
    shown = {}
    for when, manipulator in zip(_WHEN, (before, after, free), strict=True):
        made = manipulator(new, targets)
        right = made.reached & (_causes(made.images, torch.tensor(values)) == targets)
        kept = has_column(made.images) == has_column(new)
        found |= {f"error_{when}": _share(~right), f"kept_{when}": _share(kept[made.reached])}
        for kind, (adds, succeeds) in _KINDS.items():
            chosen = made.reached & (has_row(new) != adds) & (right == succeeds)
            rows = chosen.nonzero()[:_SHOWN, 0]
            shown[f"{when}, {kind}"] = torch.stack([new[rows], made.images[rows]]).cpu()
    save_file(shown, study.path(label, "shown.safetensors"))
    return {**found, "seconds": time.process_time() - start}


def _nothing(rounds: int) -> dict[str, Any]:
    """What there is to say of a manipulator where no cause was found."""
    lost = float("nan")
    names = [f"{what}_{when}" for what in ("error", "kept") for when in _WHEN]
    each = dict.fromkeys(("errors", "distances"), [lost] * rounds)
    return dict.fromkeys([*names, "seconds"], lost) | each


def _model(study: Study) -> SCM:
    return gratings(chances=_CHANCES).to(study.device)


def _new(seed: int) -> int:
    """Seed of images that were not learned from."""
    return seed + 1_000


def _effect(images: Tensor) -> Tensor:
    """The true P(T = 1 | man(I)): the mean over H1 of the model's P(T | H1, row)."""
    effects = torch.tensor(_CHANCES, dtype=torch.float64, device=images.device).mean(0)
    return effects[has_row(images).long()]


def _causes(images: Tensor, values: Tensor) -> Tensor:
    """The true causal classes, by the numbers of those learned: where P(T | man(I)) is nearest."""
    return (_effect(images)[:, None] - values.to(images)).abs().argmin(-1)


def _share(right: Tensor) -> float:
    return 100 * float(right.double().mean())


def _draw(study: Study, found: dict[str, list[dict[str, Any]]], rounds: int) -> None:
    panels = {
        title: {NAMES[kind]: [one[key] for one in each] for kind, each in found.items()}
        for title, key in (("manipulation error, %", "errors"), ("distance (L2)", "distances"))
    }
    study.picture(
        curves(panels),
        "Manipulation error (equation 2) and distance (equation 3) of each round, measured before "
        "its answers were learned from. Lines are means of the seeds, grey bands their range. The "
        "paper's error goes from about 40% to 6%.",
        "rounds",
    )
    for kind in found:
        if (
            file := study.path(f"seed-{study.seeds[0]}/manipulator-{kind}", "shown.safetensors")
        ).exists():
            _sheet(study, kind, load_file(file), rounds)


def _sheet(study: Study, kind: str, shown: dict[str, Tensor], rounds: int) -> None:
    rows: dict[str, list[Tensor | None]] = {}
    titles = [title for name in _KINDS for title in (name, *[""] * _SHOWN)][:-1]
    for when, name in (("before", "round 1"), ("after", f"after {rounds}")):
        for k, part in enumerate(("original", "manipulated")):
            line: list[Tensor | None] = []
            for result in _KINDS:
                examples = list(shown[f"{when}, {result}"][k])
                line += [*examples, *[None] * (_SHOWN - len(examples)), None]
            rows[f"{name}: {part}"] = line[:-1]
    study.picture(
        image_grid(rows, titles),
        "Manipulations of new images by the manipulator of round 1 and by the one after the last "
        f"round ({NAMES[kind]}, seed {study.seeds[0]}): the first {_SHOWN} of each kind, fewer "
        "where there were fewer. NOT added, NOT removed: the manipulator believes that it changed "
        "the cause, and did not.",
        f"manipulations-{kind}",
    )
