"""MNIST: ten manipulators, each of which makes images show a digit, or stop showing it.

The paper asked people on Mechanical Turk, five for each image. Here networks stand for them: an
ensemble of convolutional networks, trained on other images than the manipulators see, answers
"which digit?", or '?' where it is not sure; '?' counts as "not this digit". A second
ensemble, trained on yet other images, answers no query and judges the outcome. With
`--option answers=FOLDER` people answer instead (see `scm.learning.Annotators`): the run stops
where answers are missing, and goes on when they are filled in.

**What a manipulator is, and is not.** Definition 9 asks for the nearest image that C puts into
the class, and the nearest image that a *network* puts there is an adversarial example, not a
digit. The rounds of questions are what drives the network's classes towards the oracle's. Of the
manipulators here the networks are trained on noisy images, whose classes change less abruptly;
that is this library's choice, not the paper's (maxout, dropout). A manipulator that has been
trained against one ensemble may have learned what fools that ensemble: hence the second one. It
still is a network; only people can say what people see.

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
from torch import Tensor, nn

from scm.datasets import Digits, digits
from scm.errors import ScmError
from scm.interventions import Manipulator
from scm.learning import Annotators
from scm.reproductions.digit_oracle import DigitOracle
from scm.reproductions.pictures import curves, image_grid
from scm.reproductions.study import Study

__all__ = ["run"]

_CLASSES = range(10)


@dataclass(frozen=True)
class _Work:
    """How much is done."""

    positives: int = 2500  # images of the digit, and as many others
    queries: int = 1000
    rounds: int = 5
    steps: int = 300
    tried: int = 100  # held-out images that each manipulator is tried on
    networks: int = 3  # of an ensemble
    oracle_steps: int = 400
    stride: int = 2


_FULL = {
    "mnist": _Work(queries=300),
    "digits": _Work(positives=40, queries=100, oracle_steps=300, stride=1),
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
    settings |= {"oracles": [study.path(name, "weights") for name in oracles]}
    found: list[list[dict[str, Any]]] = []
    for seed in study.seeds:
        found.append([])
        for digit in _CLASSES:
            label = f"seed-{seed}/digit-{digit}"
            call = partial(_manipulate, study, label)
            found[-1].append(study.cell(label, call, digit=digit, seed=seed, **settings))
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
        oracle.save(study.path(name, "weights"))
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
    found: dict[str, Any] = {"history": [], "error": [], "oracle": [], "distance": [], "adding": []}
    sheet = [originals]
    for rounds in range(work.rounds + 1):  # the same folder: each call goes on where the last ended
        manipulator = Manipulator.fit(
            images[rows].to(study.device),
            causes.to(study.device),
            asked,
            network=partial(_network, originals[0].numel()),
            ensemble=1,
            alpha=0.1,
            rounds=rounds,
            queries=work.queries,
            steps=work.steps,
            seed=seed,
            progress=study.progress,
            path=study.path(label, "manipulator"),
        )
        made = manipulator(originals, targets)
        wrong = ~made.reached | (judge.about(digit)(made.images) != targets)
        found["error"].append(_share(wrong))
        found["adding"].append(_share(wrong[targets == 1]))
        found["oracle"].append(
            _share(~made.reached | (oracle.about(digit)(made.images) != targets))
        )
        found["distance"].append(float(made.distance.mean()))
        sheet.append(made.images)
    found["history"] = [100 * one.error.value for one in manipulator.history]
    first = int((targets == 1).nonzero()[seed % int(targets.sum()), 0])  # at random: they are mixed
    save_file({"sheet": torch.stack([s[first] for s in sheet]).cpu()}, study.path(label, "shown"))
    return found


class _Noise(nn.Module):
    """Normal noise on images in training."""

    def forward(self, images: Tensor) -> Tensor:
        return images + torch.randn_like(images) if self.training else images


def _network(pixels: int, seed: int) -> nn.Module:
    """One hidden layer of 100 units, as in GRATING, on noisy images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # noqa: TID251
        layers = [nn.Flatten(), nn.Linear(pixels, 100), nn.ReLU(), nn.Linear(100, 2)]
    return nn.Sequential(_Noise(), *layers)


def _half(positive: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows of so many positives and as many others, drawn at random."""
    order = torch.randperm(len(positive), generator=generator)
    rows = [order[positive[order] == sign][:count] for sign in (True, False)]
    return torch.cat(rows)


def _digits(data: str) -> Digits:
    return digits("mnist" if data == "mnist" else "digits")


def _share(wrong: Tensor) -> float:
    return 100 * float(wrong.double().mean())


def _mean(found: list[list[dict[str, Any]]], key: str) -> list[list[float]]:
    """Means over the ten manipulators, `(seeds, rounds)`."""
    return [[sum(v) / len(v) for v in zip(*(m[key] for m in one), strict=True)] for one in found]


def _tabulate(
    study: Study,
    found: list[list[dict[str, Any]]],
    oracles: dict[str, dict[str, Any]],
    work: _Work,
    people: str | None,
) -> None:
    who = "people" if people is not None else f"{work.networks} networks"
    for name, made in oracles.items():
        title = {"oracle": f"oracle, {who}", "judge": f"held-out judge, {work.networks} networks"}
        if name == "judge" or people is None:
            accuracy = dict.fromkeys(study.seeds, made["accuracy"])
            note = f"'?' to {made['unknown']:.1f}% of them"
            study.row(title[name], "accuracy, % of held-out digits", accuracy, note=note)
    tried = f"% of {work.tried} held-out images a digit"
    sizes = f"{work.queries} queries a round and digit; supplement E: 1,000"
    for at in (0, work.rounds):
        name, judged = f"manipulators after {at} rounds", [one[at] for one in _mean(found, "error")]
        goal, note = ("< 10", sizes) if at else (None, "adversarial: it fools the network alone")
        study.row(name, f"error by the judge, {tried}", judged, goal=goal, note=note)
        adding = [one[at] for one in _mean(found, "adding")]
        study.row(name, "error by the judge where the digit was to appear, %", adding)
        row = [one[at] for one in _mean(found, "oracle")]
        study.row(name, f"error by the oracle that was asked, {tried}", row)
        row = [one[at] for one in _mean(found, "distance")]
        study.row(name, "distance, root mean square", row)
    worst = [max(m["error"][-1] for m in one) for one in found]
    study.row("the worst of the ten", f"error by the judge, {tried}", worst)


def _draw(study: Study, found: list[list[dict[str, Any]]], work: _Work) -> None:
    errors = {
        "held-out judge": _mean(found, "error"),
        "oracle that was asked": _mean(found, "oracle"),
    }
    panels = {
        "manipulation error, %": errors,
        "manipulation distance (L2)": {"ten manipulators": _mean(found, "distance")},
    }
    study.picture(
        curves(panels, x="rounds of questions", first=0),
        "Manipulation error and distance of the ten manipulators on held-out digits, after 0, 1, "
        "... rounds of questions. In the paper, too, the distance grows as the error falls.",
        "rounds",
    )
    rows: dict[str, list[Tensor | None]] = {}
    for digit in _CLASSES:
        shown = load_file(study.path(f"seed-{study.seeds[0]}/digit-{digit}", "shown"))["sheet"]
        rows[f"to {digit}"] = [*shown]
    titles = ["original", *(f"{k}" for k in range(work.rounds + 1))]
    study.picture(
        image_grid(rows, titles, cell=0.7),
        "Held-out digits, drawn at random, made to show each digit by its manipulator after 0, 1, "
        "... rounds of questions (the paper's figure 6).",
        "manipulations",
    )
