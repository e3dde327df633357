"""Counterfactual augmentation for group DRO in CAGE: move the effect, or its cause?

An effect is to be told, and the group of one cause with one effect is rare. Group DRO gets nine
times as many images more of that group: units of its cause whose *effect* is moved (causal), or
units of its effect whose *cause* is moved (anti-causal). The causal direction is known here, not
inferred; `cage-morphomnist` shows what CAGE's score makes of one.

The paper has CelebA, a finetuned StyleGAN2 and a ResNet-50: blond hair is the effect, gender the
cause, and blond men are 0.85% of the training images. Here MorphoMNIST's strokes are coloured by
default: thin strokes stand for men and red for blond hair, with CelebA's shares, and the hues of
the two colours overlap, so that whoever knows the hue tells 89.4% of both. The generator is a VAE
of the same images (one hidden layer of 256, latent 16, normal likelihood, beta 4) with linear
heads of cause and effect (C = 1). MorphoMNIST as it is will not do: its thickness and intensity
correlate to .91, and the heads of a VAE are then one line (cosine .998).

Alpha and the step are chosen by the accuracy of the worst group on validation digits, each of
which is shown in both colours. The paper searches alpha from 1 to 20. Batches come from all images,
not from groups alike, where a rare group times ten would be the same training.

With `celeba` the same is done on CelebA's folder, with a VAE or with a `generator` and `encoder` of
yours. FID is that of Inception-v3 where `inception` names its weights; otherwise a classifier
stands in, as each row says, and its figures compare with one another alone.

Source: CAGE, section 4.3, table 2, figures 1 and 5, appendices B and C.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from scm.reproductions.cage_dro_moves import SIDES
from scm.reproductions.cage_dro_parts import ARMS, Experiment
from scm.reproductions.cage_dro_world import RARE, World
from scm.reproductions.pictures import curves, image_grid
from scm.reproductions.study import Study

__all__ = ["run"]

Found = dict[str, Any]

_ALPHAS = (0.5, 1.0, 2.0, 3.0, 4.0)
_BELOW = 19.5  # by how many % the paper's FID in the causal direction is below the other
_SHOWN = 8
_NAMES = {"causal": "effect moved (causal)", "anti-causal": "cause moved (anti-causal)"}


def run(study: Study) -> None:
    """Train every arm with each seed, tabulate and draw."""
    alphas = (1.0, 3.0) if study.quick else _ALPHAS
    experiments = [Experiment(study, seed) for seed in study.seeds]
    generators, distances = [], []
    tried: dict[str, list[list[Found]]] = {name: [] for name in ARMS}
    for experiment in experiments:
        generators.append(experiment.generator())
        for name, arm in ARMS.items():
            each = [experiment.classifier(name, a) for a in (alphas if arm.moves else (None,))]
            tried[name].append(each)
        distances.append(experiment.distances(alphas))
    best = {name: [max(each, key=_worst) for each in seeds] for name, seeds in tried.items()}
    names = experiments[0].world.names
    _accuracies(study, names, best)
    _fids(study, alphas, best, distances)
    for metric, key in (
        ("held-out accuracy of the head of the cause, %", "cause"),
        ("held-out accuracy of the head of the effect, %", "effect"),
        ("cosine of the two heads", "cosine"),
        ("variance that reconstructions explain, %", "explained"),
    ):
        study.row("generator", metric, [one[key] for one in generators])
    _curves(study, alphas, tried, distances)
    alpha = {side: _side(best, side)[0]["alpha"] for side in SIDES}
    study.picture(
        image_grid(_grid(experiments[0], alpha), cell=0.7),
        "Test images of each group, and training units with what the generator makes of them: as "
        f"they are (0), moved by half of the chosen alpha, and by it (seed {study.seeds[0]}).",
        "augmented",
    )


def _worst(found: Found) -> float:
    """Accuracy by which alpha is chosen; of equals `max` takes the first, the smallest alpha."""
    accuracies: list[float] = found["validation"]
    return min(accuracies)


def _each(found: list[Found], key: str) -> str:
    return ", ".join(f"{one[key]:g}" for one in found)


def _side(best: dict[str, list[Found]], side: str) -> list[Found]:
    """What was found with soft labels."""
    (name,) = (name for name, arm in ARMS.items() if arm.added == side and arm.soft)
    return best[name]


def _accuracies(study: Study, names: Sequence[str], best: dict[str, list[Found]]) -> None:
    for name, arm in ARMS.items():
        found = best[name]
        note = f"{found[0]['objective']}; by the worst group's validation accuracy: "
        if arm.moves:
            note += f"alpha {_each(found, 'alpha')}, "
        note += f"step {_each(found, 'step')}"
        mean_test, worst_test, mean_held, worst_held = arm.paper
        for metric, values, paper in (
            ("worst group, test, %", [min(one["test"]) for one in found], worst_test),
            ("mean of groups, test, %", [statistics.fmean(o["test"]) for o in found], mean_test),
            ("worst group, validation, %", [_worst(one) for one in found], worst_held),
            (
                "mean of groups, validation, %",
                [statistics.fmean(one["validation"]) for one in found],
                mean_held,
            ),
        ):
            study.row(arm.title, metric, values, paper=paper, note=note)
            note = ""
        for k, group in enumerate(names):
            rare = " (rare)" if k == RARE else ""
            study.row(arm.title, f"{group}{rare}, test, %", [one["test"][k] for one in found])


def _fids(
    study: Study,
    alphas: Sequence[float],
    best: dict[str, list[Found]],
    distances: Sequence[Found],
) -> None:
    title = distances[0]["name"]
    metric = f"{title} to the true rare group, mean of 10 bootstrap draws"
    for row, key in (
        ("rare group, other real images", "real"),
        ("rare group, reconstructed", "rebuilt"),
    ):
        study.row(row, metric, [one[key][0] for one in distances], note=_spread(distances, key))
    chosen: dict[str, list[float]] = {}
    for side in SIDES:
        at = [alphas.index(one["alpha"]) for one in _side(best, side)]
        chosen[side] = [one[side][k][0] for one, k in zip(distances, at, strict=True)]
        note = f"at the alpha of soft labels; {_spread(distances, side, at)}"
        study.row(_NAMES[side], metric, chosen[side], note=note)
        study.row(
            _NAMES[side],
            "P(effect of the rare group) by the head, mean over moved units, %",
            [one[f"{side}/effect"][k] for one, k in zip(distances, at, strict=True)],
            note="what a soft label is; a hard one is 100",
        )
    pairs = zip(chosen["causal"], chosen["anti-causal"], strict=True)
    below = [100 * (1 - causal / other) for causal, other in pairs]
    study.row("causal against anti-causal", f"{title}, lower by %", below, paper=_BELOW)


def _spread(distances: Sequence[Found], key: str, at: Sequence[int] | None = None) -> str:
    """Standard deviation of the draws, for each seed."""
    pairs = [one[key] if at is None else one[key][at[k]] for k, one in enumerate(distances)]
    return f"sd of the draws {', '.join(f'{sd:.2g}' for _, sd in pairs)}"


def _curves(
    study: Study,
    alphas: Sequence[float],
    tried: dict[str, list[list[Found]]],
    distances: Sequence[Found],
) -> None:
    accuracies = {
        arm.title.removeprefix("DRO + "): [[_worst(one) for one in each] for each in tried[name]]
        for name, arm in ARMS.items()
        if arm.moves
    }
    fids = {_NAMES[side]: [[f for f, _ in one[side]] for one in distances] for side in SIDES}
    panels = {
        "worst group's validation accuracy, %": accuracies,
        f"{distances[0]['name']} to the true rare group": fids,
    }
    study.picture(
        curves(panels, x="alpha", at=alphas, low=None),
        "How far units are moved: the accuracy that chooses alpha, and FID (bands from least to "
        "most over seeds).",
        "alpha",
    )


def _grid(experiment: Experiment, alpha: dict[str, float]) -> dict[str, list[Tensor | None]]:
    """Rows of images: true ones of each group, and units as they are moved."""
    world: World = experiment.world
    rows: dict[str, list[Tensor | None]] = {}
    for k, name in enumerate(world.names):
        rows[f"true: {name}"] = list(world.test.pair(k)[0][:_SHOWN])
    for side, (group, _) in SIDES.items():
        units = experiment.moves.units(side)[:_SHOWN]
        rows[f"{world.names[group]}, to be moved"] = list(units)
        for distance in (0.0, alpha[side] / 2, alpha[side]):
            made = experiment.moves.moved(units, side, distance, soft=False)
            rows[f"{_NAMES[side]}, {distance:g}"] = list(made.images)
    return rows
