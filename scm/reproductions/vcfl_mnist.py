"""MNIST: ten manipulators, each of which makes images show a digit, or stop showing it.

The paper asked people on Mechanical Turk, five for each image. Here networks stand for them: an
ensemble of convolutional networks, trained on other images than the manipulators see, answers
"which digit?", or '?' where it is not sure; '?' counts as "not this digit". A second
ensemble, trained on yet other images, answers no query and judges the outcome. With
`--option answers=FOLDER` people answer instead (see `scm.learning.Annotators`): the run stops
where answers are missing, and goes on when they are filled in.

**What a manipulator is, and is not.** Definition 9 asks for the nearest image that C puts into
the class, and the nearest image that a *network* puts there may be an adversarial example, not a
digit. The questions are to drive the network's classes towards the oracle's; but a thousand
answers do not cover the images that fool a network of 784 inputs. So the networks here are
trained with noise, see `scm.learning.PixelNoise`: this library's choice, not the paper's (maxout,
dropout). The same without noise stands beside it. Noise and alpha were chosen by an oracle's
answers about manipulated training images of the digits 2, 3 and 7. A manipulator may also have
learned what fools the oracle that it asked: hence the judge. That is a network too, and shares
its architecture with the oracle; only people can say what people see.

Source: Chalupka, Perona and Eberhardt (2015), section 4.2, figure 6, supplement E.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from scm.datasets import Digits, digits
from scm.errors import ScmError
from scm.interventions import Manipulator
from scm.learning import Annotators
from scm.reproductions.digit_oracle import DigitOracle
from scm.reproductions.pictures import curves, image_grid
from scm.reproductions.study import Study
from scm.reproductions.vcfl_grating import NAMES, NOISE

__all__ = ["run"]

_CLASSES = range(10)
_Found = dict[str, list[list[dict[str, Any]]]]
"""By kind of network: what was found, by seed and digit."""


@dataclass(frozen=True)
class _Work:
    """How much is done."""

    positives: int = 2500  # images of the digit, and as many others
    queries: int = 500
    rounds: int = 5
    steps: int = 300
    tried: int = 100  # held-out images that each manipulator is tried on
    networks: int = 3  # of an ensemble
    oracle_steps: int = 400
    stride: int = 2


_FULL = {
    "mnist": _Work(),
    "digits": _Work(positives=50, queries=100, oracle_steps=300, stride=1),
}
_QUICK = {
    "mnist": _Work(500, 50, 2, 100, 20, 2, 100),
    "digits": _Work(40, 30, 2, 60, 20, 2, 60, 1),
}


def run(study: Study) -> None:
    """Train the oracles, then ten manipulators with each seed; tabulate and draw."""
    default = "mnist" if os.environ.get("SCM_DATA") and not study.quick else "digits"
    data = study.options.get("data", default)
    if data not in _FULL:
        raise ScmError(f"--option data={data} was given; expected {' or '.join(_FULL)}")
    work = (_QUICK if study.quick else _FULL)[data]
    people = study.options.get("answers")
    oracles = {name: _oracle(study, data, name, work) for name in _PARTS if name != "manipulator"}
    settings = {"data": data, "people": people, **vars(work)}
    settings |= {"oracles": [study.path(name, "weights.safetensors") for name in oracles]}
    kinds = ["noisy"] if people is not None else list(NOISE)
    found: _Found = {kind: [[] for _ in study.seeds] for kind in kinds}
    for kind in kinds:
        for seed, made in zip(study.seeds, found[kind], strict=True):
            for digit in _CLASSES:
                label = f"seed-{seed}/{kind}/digit-{digit}"
                call = partial(_manipulate, study, label)
                options = {"digit": digit, "seed": seed, "noise": NOISE[kind], **settings}
                made.append(study.cell(label, call, **options))
    _tabulate(study, found, oracles, work, people)
    _draw(study, found, work)


_PARTS = {"manipulator": (0, 28), "oracle": (28, 44), "judge": (44, 60)}
"""Which sixtieths of the training images each learns from; 2,500 of each digit need the first."""


def _part(real: Digits, name: str) -> tuple[Tensor, Tensor]:
    first, last = (len(real.labels) * at // 60 for at in _PARTS[name])
    return real.images[first:last], real.labels[first:last]


def _oracle(study: Study, data: str, name: str, work: _Work) -> dict[str, Any]:
    def learn(data: str, networks: int, steps: int, stride: int, seed: int) -> dict[str, Any]:
        real = _digits(data)
        images, labels = (part.to(study.device) for part in _part(real, name))
        oracle = DigitOracle(networks, stride=stride, seed=seed)
        oracle.train(images, labels, steps, study.progress)
        oracle.save(study.path(name, "weights.safetensors"))
        right, unknown = oracle.score(
            real.test_images.to(study.device), real.test_labels.to(study.device)
        )
        return {"accuracy": 100 * right.value, "unknown": 100 * unknown.value}

    settings = {"networks": work.networks, "steps": work.oracle_steps, "stride": work.stride}
    seed = 100 if name == "oracle" else 200
    return study.cell(name, learn, data=data, seed=seed, **settings)


def _manipulate(
    study: Study,
    label: str,
    digit: int,
    seed: int,
    noise: float,
    data: str,
    people: str | None,
    oracles: list[Path],
    **options: int,
) -> dict[str, Any]:
    """One manipulator, and what it makes of held-out images after 0, 1, ... rounds."""
    work, real = _Work(**options), _digits(data)
    generator = torch.Generator().manual_seed(100 * seed + digit)
    images, labels = _part(real, "manipulator")
    rows = _half(labels == digit, work.positives, generator)
    causes = (labels[rows] == digit).long()
    oracle, judge = (DigitOracle(work.networks, stride=work.stride).load(file) for file in oracles)
    for one in (oracle, judge):
        one.members.to(study.device)
    asked: Any = oracle.about(digit)
    if people is not None:
        asked = Annotators(Path(people) / f"digit-{digit}", str(digit), [str(k) for k in _CLASSES])
    tried = _half(real.test_labels == digit, work.tried // 2, generator)
    originals = real.test_images[tried].to(study.device)
    targets = (real.test_labels[tried] != digit).long().to(study.device)
    keys = ("error", "oracle", "adding", "distance")
    found: dict[str, Any] = {key: [] for key in keys}
    sheet = [originals]
    for rounds in range(work.rounds + 1):  # the same folder: each call goes on where the last ended
        manipulator = Manipulator.fit(
            images[rows].to(study.device),
            causes.to(study.device),
            asked,
            noise=noise,
            ensemble=1,
            alpha=0.1,
            query_weight=1,  # supplement E adds the answered images to the data as they are
            rounds=rounds,
            queries=work.queries,
            steps=work.steps,
            seed=seed,
            progress=study.progress,
            path=study.path(label, "manipulator"),
        )
        made = manipulator(originals, targets)
        wrong, doubted = (
            100 * (~made.reached | (one.about(digit)(made.images) != targets)).double()
            for one in (judge, oracle)
        )
        measured = (wrong, doubted, wrong[targets == 1], made.distance)
        for key, values in zip(keys, measured, strict=True):
            found[key].append(float(values.mean()))
        sheet.append(made.images)
    found["history"] = [100 * one.error.value for one in manipulator.history]
    first = int((targets == 1).nonzero()[0, 0])  # they are in a random order
    save_file(
        {"sheet": torch.stack([s[first] for s in sheet]).cpu()},
        study.path(label, "shown.safetensors"),
    )
    return found


def _half(positive: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows of so many positives and as many others, drawn at random."""
    order = torch.randperm(len(positive), generator=generator)
    rows = [order[positive[order] == sign][:count] for sign in (True, False)]
    return torch.cat(rows)


def _digits(data: str) -> Digits:
    return digits("mnist" if data == "mnist" else "digits")


def _mean(found: list[list[dict[str, Any]]], key: str) -> list[list[float]]:
    """Means over the ten manipulators, `(seeds, rounds)`."""
    return [[sum(v) / len(v) for v in zip(*(m[key] for m in one), strict=True)] for one in found]


def _tabulate(
    study: Study,
    found: _Found,
    oracles: dict[str, dict[str, Any]],
    work: _Work,
    people: str | None,
) -> None:
    for name, learned in oracles.items():
        if name == "judge" or people is None:
            title = {"oracle": "oracle that is asked", "judge": "held-out judge"}[name]
            accuracy = {study.seeds[0]: learned["accuracy"]}
            note = f"{work.networks} networks; '?' to {learned['unknown']:.1f}%"
            study.row(title, "accuracy, % of held-out digits", accuracy, note=note)
    for kind, each in found.items():
        for at in (0, work.rounds):
            note = f"{work.queries} queries a round and digit; supplement E: 1,000" if at else ""
            goal = "< 10" if kind == "noisy" and at else None
            for metric, key, more in (
                (f"error by the judge, % of {10 * work.tried}", "error", (goal, note)),
                ("error by the judge where the digit was to appear, %", "adding", (None, "")),
                ("error by the oracle, %", "oracle", (None, "")),
                ("distance, root mean square", "distance", (None, "")),
            ):
                values = [one[at] for one in _mean(each, key)]
                name = f"networks {NAMES[kind]}, {at} rounds"
                study.row(name, metric, values, goal=more[0], note=more[1])
        worst = [max(one["error"][-1] for one in made) for made in each]
        study.row(f"networks {NAMES[kind]}, worst digit", "error by the judge, %", worst)


def _draw(study: Study, found: _Found, work: _Work) -> None:
    panels = {
        title: {NAMES[kind]: _mean(made, key) for kind, made in found.items()}
        for title, key in (("error by the judge, %", "error"), ("distance (L2)", "distance"))
    }
    study.picture(
        curves(panels, x="rounds of questions", first=0),
        "Manipulation error by the held-out judge, and distance, of ten manipulators on held-out "
        "digits after 0, 1, ... rounds of questions.",
        "rounds",
    )
    for kind in found:
        rows: dict[str, list[Tensor | None]] = {}
        for digit in _CLASSES:
            file = study.path(f"seed-{study.seeds[0]}/{kind}/digit-{digit}", "shown.safetensors")
            rows[f"to {digit}"] = [*load_file(file)["sheet"]]
        titles = ["original", *(str(k) for k in range(work.rounds + 1))]
        study.picture(
            image_grid(rows, titles, cell=0.7),
            "Held-out digits, drawn at random, made to show each digit by its manipulator after "
            f"0, 1, ... rounds of questions (the paper's figure 6); networks {NAMES[kind]}.",
            f"manipulations-{kind}",
        )
