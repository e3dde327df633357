"""The edge loss of the reproduction: does it keep masks from collapsing, and what is it worth?

The reproduction shows, over runs, how many of ten digits came out, and says without a figure
that their number "correlated strongly" with the classifier's accuracy. Here a digit is *correct*
if its masks overlap the true ones (see `scm.reproductions.cgn_masks`).

`group=edge` trains CGNs with and without the loss. The shipped recipe has other aids, under which
hardly a mask collapses: a shape that starts in the centre, and textures that start with the
colours of the border and of what is least like it. Both are left out here, in every run, so that
the loss alone makes the difference; trainings are short, and the classifiers learn from the
counterfactuals of each.

`group=collapse` trains the coloured variants as shipped, at full length, and counts the runs
whose masks collapsed, with an exact interval of the rate; `steps=` shortens it.

Source: "[Re] Counterfactual Generative Networks", appendix C with figures 6 and 7; Clopper and
Pearson (1934); Fisher (1915) for the interval of a correlation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from scm.errors import ScmError, nearest
from scm.learning.cgn import CGN
from scm.reproductions.cgn_masks import CORRECT, cgn_under, kinds_of, mask_scores
from scm.reproductions.cgn_parts import NAMES, cgn_of, classifier, counterfactuals, images_of
from scm.reproductions.pictures import image_grid, new_figure
from scm.reproductions.report import selected
from scm.reproductions.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]

_STEPS, _BATCH = 600, 64
_UNAIDED = {"cover": 0.0, "centre": 0.0}
_EDGE: dict[str, dict[str, float]] = {"with the edge loss": {}, "without it": {"edge": 0.0}}
_Runs = dict[str, list[dict[str, Any]]]
"""By row, what each seed gave."""


def run(study: Study) -> None:
    """Train CGNs with and without the edge loss, or as shipped; tabulate and draw."""
    groups = {"edge": _edge, "collapse": _collapse}
    group = study.options.get("group", "edge")
    if group not in groups:
        raise ScmError(f"--option group={group} was given; {nearest(group, groups)}")
    groups[group](study)


def _length(study: Study, default: int | None) -> dict[str, Any]:
    """The setting `steps`, of the option of that name."""
    given = study.options.get("steps")
    if given is not None and not (given.isdigit() and int(given)):
        raise ScmError(f"--option steps={given} was given; expected a number of steps, such as 600")
    steps = default if given is None else int(given)
    return {} if steps is None or (study.quick and given is None) else {"steps": steps}


def _edge(study: Study) -> None:
    runs: _Runs = {}
    shown: dict[str, list[Tensor | None]] = {}
    for kind in kinds_of(study, "coloured"):
        for name, weights in _EDGE.items():
            row = f"{NAMES[kind]}, {name}"
            runs[row] = []
            for seed in study.seeds:
                label = f"seed-{seed}/{kind}/{name.replace(' ', '-')}"
                changes = {**_UNAIDED, **_length(study, _STEPS)}
                if not study.quick:
                    changes["batch"] = _BATCH
                cgn, known = cgn_under(study, f"{label}/cgn", kind, seed, weights, **changes)
                learned = classifier(
                    study,
                    f"{label}/classifier",
                    kind,
                    seed,
                    partial(counterfactuals, study, cgn, kind, seed),
                    cgn=study.path(f"{label}/cgn", "cgn.scm"),
                )
                learned |= {"accuracy": learned["unbiased"]}
                runs[row].append({**known, **learned})
                shown[f"{row}, seed {seed}"] = _masks(study, cgn, kind)
    _tabulate(study, runs)
    every = [known for each in runs.values() for known in each]
    shares = [100 * known["correct"] for known in every]
    accuracies = [known["accuracy"] for known in every]
    value, interval = correlation(shares, accuracies)
    study.row(
        "correct masks and accuracy, over runs",
        "correlation",
        {study.seeds[0]: value},
        note=f"{interval}; {len(every)} runs. The reproduction: 'correlated strongly', no figure",
    )
    study.picture(
        _draw(runs),
        "Runs by the number of correct digits (the reproduction's figure 7), and the share of "
        "correct masks against the accuracy of a classifier that learned from the counterfactuals.",
        "correct-masks",
    )
    study.picture(
        image_grid(shown, [str(k) for k in range(10)]),
        "The first held-out mask of each digit, in each run.",
        "masks",
    )


def _masks(study: Study, cgn: CGN, kind: str) -> list[Tensor | None]:
    """The mask of the first held-out image of each digit."""
    images, labels = images_of(study, kind, "validation")
    rows = [int((labels == k).nonzero()[0, 0]) for k in range(10)]
    return [*cgn.abduct({"X": images[rows], "Y": labels[rows]}, seed=0)["M"]]


def _tabulate(study: Study, runs: _Runs) -> None:
    for row, each in runs.items():
        accuracy = 89.8 if row == "coloured, with the edge loss" else None
        note = f"intersection over union with the digit {CORRECT:g} or more"
        study.row(
            row, "correct digits, of 10", [float(known["classes"]) for known in each], note=note
        )
        study.row(row, "correct masks, %", [100 * known["correct"] for known in each])
        border = [fmean(known["border"]) for known in each]
        study.row(row, "mask mean within 3 pixels of the border", border)
        values = [known["accuracy"] for known in each]
        metric, note = "test accuracy of a classifier, %", selected(each)
        study.row(row, metric, values, reproduced=accuracy, note=note)


def correlation(a: Sequence[float], b: Sequence[float]) -> tuple[float, str]:
    """Pearson's correlation of two rows, and its 95% interval in words.

    Example:
        >>> correlation([0, 1, 2, 3, 4], [0, 1, 3, 2, 4])
        (0.9, '95% interval 0.0861 to 0.993 (Fisher)')
    """
    from scipy.stats import pearsonr

    if len(a) < 4 or min(np.ptp(a), np.ptp(b)) < 1e-9:
        return math.nan, "undefined: fewer than four runs, or all alike"
    found = pearsonr(a, b)
    low, high = found.confidence_interval(0.95)
    return round(float(found.statistic), 12), f"95% interval {low:.3g} to {high:.3g} (Fisher)"


def rate(hits: int, n: int) -> str:
    """A share in words, with its exact binomial 95% interval.

    Example:
        >>> rate(0, 10)
        '0 of 10; Clopper-Pearson 95%: 0 to 30.8%'
    """
    from scipy.stats import binomtest

    exact = binomtest(hits, n).proportion_ci(0.95, method="exact")
    low, high = 100 * exact.low, 100 * exact.high
    return f"{hits} of {n}; Clopper-Pearson 95%: {low:.3g} to {high:.3g}%"


def _collapse(study: Study) -> None:
    changes = _length(study, None)
    length = f"; {changes['steps']} steps" if changes else ""
    every: list[float] = []
    for kind in kinds_of(study, "coloured,double"):
        collapsed, classes, least = [], [], []
        for seed in study.seeds:
            cgn, _ = cgn_of(study, kind, seed, **changes)
            scores = None if cgn is None else mask_scores(study, cgn, kind)
            collapsed.append(100.0 * (scores is None))
            classes.append(scores["classes"] if scores else math.nan)
            least.append(min(scores["overlap"]) if scores else math.nan)
        every += collapsed
        row = f"{NAMES[kind]}, as shipped{length}"
        note = rate(sum(value > 0 for value in collapsed), len(collapsed))
        study.row(row, "runs stopped for collapsed masks, %", collapsed, goal="<= 0", note=note)
        study.row(row, "correct digits, of 10", classes, note="of runs that were not stopped")
        study.row(row, "least overlap of a digit's masks, intersection over union", least)
    study.row(
        "the variants together",
        "runs stopped for collapsed masks, %",
        {study.seeds[0]: fmean(every)},
        goal="<= 0",
        note=rate(sum(value > 0 for value in every), len(every)),
    )


def _draw(runs: _Runs) -> Figure:
    figure = new_figure(8.4, 3.2)
    counts, points = figure.subplots(1, 2)
    places = np.arange(11)
    width = 0.8 / len(runs)
    fills = ("0.25", "0.75", "white", "0.5")
    markers = ("o", "s", "^", "x")
    for number, (row, each) in enumerate(runs.items()):
        found = np.bincount([known["classes"] for known in each], minlength=11)
        look = {"color": fills[number % 4], "edgecolor": "black"}
        offset = (number - (len(runs) - 1) / 2) * width
        counts.bar(places + offset, found, width, label=f"{row} ({len(each)} runs)", **look)
        shares = [100 * known["correct"] for known in each]
        accuracies = [known["accuracy"] for known in each]
        style = {"color": fills[number % 2], "markeredgecolor": "black"}
        points.plot(shares, accuracies, linestyle="", marker=markers[number % 4], **style)
    counts.set(xlabel="correct digits, of 10", ylabel="runs", xticks=places)
    counts.yaxis.get_major_locator().set_params(integer=True)
    points.set(xlim=(-3, 103), xlabel="correct masks, %", ylabel="test accuracy of a classifier, %")
    for axes in (counts, points):
        axes.spines[["top", "right"]].set_visible(False)
    counts.set_ylim(top=counts.get_ylim()[1] * (1 + 0.1 * len(runs)))  # room for the legend
    counts.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    return figure
