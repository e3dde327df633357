"""Figure 5's claim on coloured MNIST: does a larger log P(x|z) mean a better causal classifier?

Each strategy z makes 20,000 images; a classifier is trained on them alone and tested on
MNIST's t10k with colours at random ("causal"). Strategies differ in the CVAE (2 or 16 latents), in
the nuisances that are set (latents, or principal directions of the output), in their scale, and in
where exemplars come from: the prior, or the encoder's latents of training images, whose digits are
what their labels say.

P(x|z) is measured with two query sets x of 2,000 training images held out: as they are
("confounded"), and in random colours ("randomised"); and in three ways. "classifier" is the
paper's: penultimate features (256) of its classifier (half as wide) trained on the confounded
images, as its ResNet18 was on ImageNet; cross-entropy of their softmax; log of sums, 1/N. "pixels"
needs no training: a Gaussian kernel of standard deviation 0.2 on pixels averaged over 2x2.
"pixels, within classes" compares each query with the generated images of its own label alone,
log P(x | y, z): the paper's log P(x, y | z) of figure 5, whose P(y) is the same for all.

Spearman's rank correlation over the strategies is given with a 95 % bootstrap interval over
strategies (figures are means over the seeds). The strategy that is chosen by log P(x|z) is chosen
without a test image; the best one in hindsight stands beside it. Theorem 1, on which the choice
rests, is no theorem (see `scm.estimators.image_density` and `scm.testing`): this is its test.

Source: GenInt, figure 5 and sections 5.4 and 9.A.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scm.estimators import log_densities, log_density
from scm.interventions.steering import SupportWarning
from scm.reproductions.genint_images import EVERY, Candidate, generated, image_count, steered
from scm.reproductions.genint_parts import (
    Domain,
    Images,
    classify,
    exemplars,
    extractor,
    generator,
    queries,
    weights_of,
)
from scm.reproductions.pictures import new_figure
from scm.reproductions.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run", "spearman"]

_DOMAINS: tuple[Domain, ...] = ("confounded", "randomised")
_KINDS = ("classifier", "pixels", "pixels, within classes")
_WIDTH = 16  # of the classifiers: half the paper's, for there are many


def run(study: Study) -> None:
    """Train a classifier on the images of every strategy; correlate, tabulate and draw."""
    every = [EVERY[at] for at in (0, 3, -2)] if study.quick else EVERY
    scores: list[list[dict[str, Any]]] = [[] for _ in every]
    results: list[list[dict[str, Any]]] = [[] for _ in every]
    for seed in study.seeds:
        for at, candidate in enumerate(every):
            score, result = _of_candidate(study, seed, candidate)
            scores[at].append(score)
            results[at].append(result)
    names = [candidate.name for candidate in every]
    causal = np.array([[r["causal"] for r in rows] for rows in results])
    for name, rows, found in zip(names, results, scores, strict=True):
        figures = "; ".join(
            f"{d}: {', '.join(f'{np.mean([s[d][k] for s in found]):.4g}' for k in _KINDS)}"
            for d in _DOMAINS
        )
        note = f"log P(x|z) by {' / '.join(_KINDS)}; {figures}"
        study.row(name, "causal test accuracy, %", [r["causal"] for r in rows], note=note)
    for domain in _DOMAINS:
        for features in _KINDS:
            bound = np.array([[s[domain][features] for s in found] for found in scores])
            _conclude(study, f"{domain} queries, {features}", bound, causal, every)
    best = causal.mean(1).argmax()
    study.row(
        "the best strategy in hindsight",
        "causal test accuracy, %",
        causal[best].tolist(),
        note=f"{names[best]}; chosen by the test images, so none that anybody has",
    )
    study.picture(
        _draw(scores, causal, names),
        "Causal test accuracy over log P(x|z), one dot a strategy (mean over seeds, numbered as "
        "the table's rows); the claim is that dots rise to the right.",
        "bound",
    )


def _of_candidate(
    study: Study, seed: int, candidate: Candidate
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Its log P(x|z), and what a classifier learns from its images; each in a cell."""
    model = generator(study, seed, candidate.latents)
    steered_one = steered(study, seed, candidate.latents)
    extractor(study, seed)
    count = image_count(study)
    given: dict[str, Any] = {
        "candidate": repr(candidate),
        "images": count,
        "generator": weights_of(study, seed, candidate.latents),
    }

    def made(n: int = count, shift: int = 0) -> Images:
        if candidate.start == "prior":
            return generated(steered_one, candidate.strategy, n, seed + shift)
        latents, labels = exemplars(study, model, n, seed + shift)
        units = candidate.strategy.sample(steered_one, n, seed + shift, labels, latents)
        return units["X"].clamp(0, 1), units["Y"]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SupportWarning)
        found = study.cell(
            f"seed-{seed}/score-{candidate.label}",
            partial(_score, study, partial(made, min(count, 4000), 7)),
            seed=seed,
            extractor=study.path(f"seed-{seed}/extractor", "weights.safetensors"),
            **given,
        )
        label = f"classifier-{candidate.label}"
        return found, classify(study, label, made, seed, width=_WIDTH, **given)


def _score(
    study: Study, make: Callable[[], Images], seed: int, **given: Any
) -> dict[str, dict[str, float]]:
    images, labels = make()
    found: dict[str, dict[str, float]] = {}
    for domain in _DOMAINS:
        real, own = queries(study, domain)
        pairs = [(_pixels(real[own == k]), _pixels(images[labels == k])) for k in range(10)]
        within = [log_densities(a, b, similarity=_gaussian) for a, b in pairs if len(a) and len(b)]
        found[domain] = {
            "classifier": log_density(real, images, extractor(study, seed)).value,
            "pixels": log_density(_pixels(real), _pixels(images), similarity=_gaussian).value,
            "pixels, within classes": float(torch.cat(within).mean()),
        }
    return found


def _pixels(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, 2).flatten(1)


def _gaussian(a: Tensor, b: Tensor, sd: float = 0.2) -> Tensor:
    """Logarithm of a Gaussian kernel, up to a constant."""
    return -torch.cdist(a, b).square() / (2 * sd**2)


def _conclude(study: Study, what: str, bound: Any, causal: Any, every: Sequence[Candidate]) -> None:
    """The rank correlation with its interval, and the strategies that would be chosen."""
    value, low, high = spearman(bound.mean(1), causal.mean(1))
    study.row(
        what,
        "rank correlation of log P(x|z) and causal accuracy",
        [float(_ranked(bound[:, s], causal[:, s])) for s in range(bound.shape[1])],
        note=f"of the means over seeds {value:.2f}, 95 % bootstrap interval over {len(every)} "
        f"strategies [{low:.2f}, {high:.2f}]",
    )
    choices = {"all": every, "those of the encoder": [c for c in every if c.start == "encoder"]}
    for among, some in choices.items():
        rows = [every.index(candidate) for candidate in some]
        chosen = [rows[at] for at in bound[rows].argmax(0)]
        study.row(
            f"chosen among {among} by log P(x|z), {what}",
            "causal test accuracy, %",
            [float(causal[at, s]) for s, at in enumerate(chosen)],
            goal=">= 75" if what.startswith("randomised") and not study.quick else None,
            note="; ".join(dict.fromkeys(every[at].name for at in chosen)),
        )


def spearman(
    x: Any, y: Any, *, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float, float]:
    """Spearman's rank correlation with a percentile bootstrap interval over the pairs.

    Args:
        x: Values `(n,)`.
        y: Values `(n,)`.
        draws: Number of bootstrap samples; those without variation count as 0.
        seed: Seed of them.
        level: Coverage of the interval.

    Example:
        >>> spearman([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 40.0, 30.0], draws=200)[0]
        0.8
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    rows = np.random.default_rng(seed).integers(len(x), size=(draws, len(x)))
    drawn = _ranked(x[rows], y[rows])
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return round(float(_ranked(x, y)), 12), float(low), float(high)


def _ranked(x: Any, y: Any) -> Any:
    """Spearman's correlation along the last axis; 0 where there is no variation."""
    from scipy.stats import rankdata

    a, b = (rankdata(v, axis=-1) - (v.shape[-1] + 1) / 2 for v in (x, y))
    norm = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    return (a * b).sum(-1) / np.where(norm > 0, norm, 1.0)


def _draw(scores: Sequence[Sequence[dict[str, Any]]], causal: Any, names: Sequence[str]) -> Figure:
    figure = new_figure(4.4 * len(_DOMAINS), 3.4 * len(_KINDS))
    axes = figure.subplots(len(_KINDS), len(_DOMAINS), squeeze=False)
    for row, features in zip(axes, _KINDS, strict=True):
        for place, domain in zip(row, _DOMAINS, strict=True):
            bound = [np.mean([s[domain][features] for s in found]) for found in scores]
            place.plot(bound, causal.mean(1), "o", color="black", markersize=4)
            for at, (x, y) in enumerate(zip(bound, causal.mean(1), strict=True)):
                place.annotate(
                    str(at + 1), (x, y), xytext=(4, 3), textcoords="offset points", fontsize=8
                )
            place.set(
                title=f"{domain} queries, {features}",
                xlabel="mean log P(x|z)",
                ylabel="causal test accuracy, %",
            )
            place.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure
