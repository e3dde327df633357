"""Figure 5's claim on coloured MNIST: does a larger log P(x|z) mean a better causal classifier?

Each strategy z makes 20,000 images; a classifier is trained on them alone and tested on
MNIST's t10k with colours at random ("causal"). Strategies differ in the CVAE (2 or 16 latents), in
the nuisances that are set (latents, or principal directions of the output), in their scale, and in
where exemplars come from: the prior, or the encoder's latents of training images, whose digits are
what their labels say.

P(x|z) is measured with two query sets, confounded and randomised, and in six ways: by features of
a classifier, by pixels or by whitened components, over all images or within classes (see
`genint_candidates`).

Spearman's rank correlation over the strategies is given with a 95 % bootstrap interval over
strategies (figures are means over the seeds). The strategy that is chosen by log P(x|z) is chosen
without a test image; the best one in hindsight stands beside it. Theorem 1, on which the choice
rests, is no theorem (see `scm.estimators.image_density` and `scm.testing`): this is its test.

Source: GenInt, figure 5 and sections 5.4 and 9.A.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scm.reproductions.genint_candidates import DOMAINS, EVERY, MEASURES, Candidate
from scm.reproductions.pictures import new_figure
from scm.reproductions.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run", "spearman"]


def run(study: Study) -> None:
    """Train a classifier on the images of every strategy; correlate, tabulate and draw."""
    every = [EVERY[at] for at in (0, 3, -2)] if study.quick else EVERY
    scores: list[list[dict[str, Any]]] = [[] for _ in every]
    results: list[list[dict[str, Any]]] = [[] for _ in every]
    for seed in study.seeds:
        for at, candidate in enumerate(every):
            scores[at].append(candidate.score(study, seed))
            results[at].append(candidate.learnt(study, seed))
    names = [candidate.name for candidate in every]
    causal = np.array([[r["causal"] for r in rows] for rows in results])
    for name, rows, found in zip(names, results, scores, strict=True):
        figures = "; ".join(
            f"{d}: {', '.join(f'{np.mean([s[d][k] for s in found]):.4g}' for k in MEASURES)}"
            for d in DOMAINS
        )
        note = f"log P(x|z) by {' / '.join(MEASURES)}; {figures}"
        study.row(name, "causal test accuracy, %", [r["causal"] for r in rows], note=note)
    for domain in DOMAINS:
        for features in MEASURES:
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
    figure = new_figure(4.4 * len(DOMAINS), 3.4 * len(MEASURES))
    axes = figure.subplots(len(MEASURES), len(DOMAINS), squeeze=False)
    for row, features in zip(axes, MEASURES, strict=True):
        for place, domain in zip(row, DOMAINS, strict=True):
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
