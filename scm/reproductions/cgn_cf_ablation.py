"""How many counterfactual images, and how many of each unit: appendix A.3 of the CGN paper.

The images are a finite set that comes again when it is used up: n images of n / ratio units,
each unit's shape with `ratio` textures and backgrounds. All classifiers take as many steps, so
a small set is seen more often: 76,800 images in all, so that 10^5 are not all seen.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from itertools import product

from scm.errors import ScmError
from scm.reproductions.cgn_parts import KINDS, NAMES, classifier, counterfactuals, recipe_of
from scm.reproductions.cgn_sources import chosen, kept_cgn
from scm.reproductions.pictures import curves
from scm.reproductions.report import selected
from scm.reproductions.study import Study

__all__ = ["run"]

_Found = dict[tuple[str, int, int], dict[int, float]]
"""By kind, ratio and number of images: accuracy in %, by seed."""


def run(study: Study) -> None:
    """Train a classifier on each set of counterfactual images; tabulate and draw."""
    kinds = chosen(study, "kinds", KINDS)
    counts = _numbers(study, "images", (256, 1024) if study.quick else (10_000, 30_000, 100_000))
    ratios = _numbers(study, "ratios", (1, 5) if study.quick else (1, 5, 10, 20))
    found: _Found = {}
    every = []
    for seed, kind in product(study.seeds, kinds):
        kept = kept_cgn(study, kind, seed)
        if kept.cgn is None:
            study.console.print(f"  {NAMES[kind]}, seed {seed}: {kept.found['collapsed']}")
            continue
        for n, ratio in product(counts, ratios):
            one = classifier(
                study,
                f"seed-{seed}/{kind}-{n}-{ratio}",
                kind,
                seed,
                partial(counterfactuals, study, kept.cgn, kind, seed, n, ratio=ratio),
                **kept.key,
                n=n,
                ratio=ratio,
            )
            found.setdefault((kind, ratio, n), {})[seed] = one["unbiased"]
            every.append(one)
    for kind in kinds:
        _tabulate(study, kind, counts, ratios, found, selected(every))
    _draw(study, kinds, counts, ratios, found)


def _numbers(study: Study, option: str, default: Sequence[int]) -> list[int]:
    given = study.options.get(option)
    if given is None:
        return list(default)
    numbers = given.split(",")
    if not all(number.strip().isdecimal() and int(number) for number in numbers):
        raise ScmError(
            f"--option {option}={given} was given; expected positive whole numbers, such as "
            f"{','.join(map(str, default))}"
        )
    return sorted({int(number) for number in numbers})


def _tabulate(
    study: Study,
    kind: str,
    counts: Sequence[int],
    ratios: Sequence[int],
    found: _Found,
    chosen_by: str = "",
) -> None:
    recipe = recipe_of(study)
    assert isinstance(recipe.batch, int)
    seen = recipe.steps * recipe.batch
    for ratio, n in product(ratios, counts):
        if values := found.get((kind, ratio, n)):
            times = f"each seen {seen / n:.1f} times" if n < seen else f"{seen:,} of them are seen"
            row = f"{NAMES[kind]}: {n:,} counterfactual images, CF ratio {ratio}"
            note = "; ".join(part for part in (times, chosen_by) if part)
            study.row(row, "unbiased test accuracy, %", values, note=note)
    several = [ratio for ratio in ratios if ratio > 1]
    if len(counts) > 1:
        gains = _difference(kind, (ratios, counts[-1:]), (ratios, counts[:1]), found)
        row = f"{NAMES[kind]}: {counts[-1]:,} images against {counts[0]:,}"
        note = "mean over the ratios; the paper: the more the better (figure 7, no figures printed)"
        study.row(row, "gain, points", gains, note=note)
    if several and 1 in ratios:
        gains = _difference(kind, (several, counts), ([1], counts), found)
        row = f"{NAMES[kind]}: CF ratios above 1 against 1"
        note = (
            "mean over the numbers of images; the paper: advantageous, the reproduction: no effect"
        )
        study.row(row, "gain, points", gains, note=note)


_Sets = tuple[Sequence[int], Sequence[int]]
"""Ratios and numbers of images."""


def _difference(kind: str, better: _Sets, worse: _Sets, found: _Found) -> dict[int, float]:
    """Mean accuracy on some sets of images less that on others, by seed."""

    def mean(sets: _Sets, seed: int) -> float:
        return statistics.fmean(found[kind, ratio, n][seed] for ratio, n in product(*sets))

    seeds = next((each for (of, *_), each in found.items() if of == kind), {})
    return {seed: mean(better, seed) - mean(worse, seed) for seed in seeds}


def _draw(
    study: Study,
    kinds: Sequence[str],
    counts: Sequence[int],
    ratios: Sequence[int],
    found: _Found,
) -> None:
    panels = {
        f"{NAMES[kind]}, accuracy in %": {
            f"CF ratio {ratio}": [
                [found[kind, ratio, n][seed] for n in counts]
                for seed in found[kind, ratio, counts[0]]
            ]
            for ratio in ratios
        }
        for kind in kinds
        if (kind, ratios[0], counts[0]) in found
    }
    if panels:
        study.picture(
            curves(panels, "counterfactual images", at=counts, low=None),
            "Accuracy on unbiased test digits against the number of counterfactual images, by "
            "counterfactuals of each unit (the paper's figure 7).",
            "ablation",
        )
