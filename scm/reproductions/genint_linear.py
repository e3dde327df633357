"""Theorem 4 simulated: the effect of X on Y from an intervention on a nuisance, in linear models.

The model is GenInt's Figure 4, all linear and Gaussian: the unobserved C moves the nuisances
Z1, ..., Z6, ZU and Y; the nuisances and F make X; X makes Y with the effect b. The theorem says
that the ratio of two regressions on one *intervened* nuisance finds b whatever C does. So each
estimator sees data from before the intervention (Figure 4a) and after it (Figure 4c, `do(Z)` by
a draw of its own), and is held against regression and against two-stage least squares with all
that was intervened on. Every figure is of many samples: mean error, root mean square error, and
the share of 95% intervals that hold b.

Source: Mao et al. (2021), section 8, Theorem 4.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from torch.distributions import Normal

from scm.estimate import Estimate
from scm.estimators import WeakInstrumentWarning, linear_ratio, two_stage_least_squares
from scm.mechanisms import Linear, Root
from scm.model import SCM
from scm.reproductions.pictures import curves
from scm.reproductions.study import Study

__all__ = ["EFFECT", "MOVES", "run", "world"]

EFFECT = 1.5
"""b, the effect of X on Y."""

MOVES = {"Z1": 1.0, "Z2": 0.7, "Z3": 0.5, "Z4": 0.1, "Z5": 0.1, "Z6": 0.1}
"""How much each nuisance that can be intervened on moves X; the last three hardly do."""

_STRONG, _WEAK = ["Z1", "Z2", "Z3"], ["Z4", "Z5", "Z6"]
_CONFOUNDING = 0.6  # of C on each nuisance
_SHOWN = 1000  # the size of sample that the table is about

Rows = dict[str, np.ndarray]
Estimator = Callable[[Rows], Estimate]


def _regression(rows: Rows) -> Estimate:
    """Y regressed on X, with the robust standard error of `linear_ratio`."""
    return two_stage_least_squares({**rows, "itself": rows["X"]}, "Y", "X", ["itself"])


def _ratio(z: str) -> Estimator:
    return lambda rows: linear_ratio(rows, "Y", do="X", z=z)


def _two_stages(z: list[str]) -> Estimator:
    return lambda rows: two_stage_least_squares(rows, "Y", do="X", z=z)


_ESTIMATORS: dict[str, tuple[bool, Estimator]] = {  # by name: after the intervention?
    "regression of Y on X, observed": (False, _regression),
    "regression of Y on X, after do(Z)": (True, _regression),
    "ratio on Z1, observed (confounded)": (False, _ratio("Z1")),
    "Theorem 4: ratio on Z1, after do(Z1)": (True, _ratio("Z1")),
    "ratio on a weak Z4, after do(Z4)": (True, _ratio("Z4")),
    "two stages, Z1 to Z3, after do(Z)": (True, _two_stages(_STRONG)),
    "two stages, weak Z4 to Z6, after do(Z)": (True, _two_stages(_WEAK)),
    "two stages, Z1 to Z6, after do(Z)": (True, _two_stages(_STRONG + _WEAK)),
}
_GOALS = {"Theorem 4: ratio on Z1, after do(Z1)", "two stages, Z1 to Z3, after do(Z)"}
_DRAWN = {
    "regression of Y on X, observed": "regression",
    "Theorem 4: ratio on Z1, after do(Z1)": "ratio on Z1",
    "two stages, Z1 to Z3, after do(Z)": "two stages",
}
_NOTES = {"ratio on a weak Z4, after do(Z4)": "the ratio of two normals has no mean"}


def world() -> SCM:
    """Figure 4a, linear and Gaussian, with `MOVES`; `do` of its nuisances makes Figure 4c."""
    tied = math.sqrt(1 - _CONFOUNDING**2)
    nuisances = [*MOVES, "ZU"]
    return SCM(
        f"C -> {', '.join(nuisances)}; {', '.join(nuisances)}, F -> X; X, C -> Y",
        {
            "C": Root.normal(),
            "F": Root.normal(),
            **{z: Linear({"C": _CONFOUNDING}, noise=Normal(0.0, tied)) for z in nuisances},
            "X": Linear({**MOVES, "ZU": 1.2, "F": 0.7}, noise=Normal(0.0, 0.5)),
            "Y": Linear({"X": EFFECT, "C": 2.0}, noise=Normal(0.0, 1.0)),
        },
        latent=["C"],
    )


def run(study: Study) -> None:
    """Estimate b from many samples of each size, before and after intervention."""
    sizes, samples = ([100, 1000], 40) if study.quick else ([100, 1000, 10_000], 400)
    found = {
        (seed, n): study.cell(f"seed-{seed}/n-{n}", partial(_estimate, n=n), seed=seed, m=samples)
        for seed in study.seeds
        for n in sizes
    }
    note = f"of {samples} samples of {_SHOWN} a seed"
    for name in _ESTIMATORS:
        each = [found[seed, _SHOWN][name] for seed in study.seeds]
        told = f"{note}; {_NOTES[name]}" if name in _NOTES else note
        study.row(name, "mean error of b", [e["bias"] for e in each], note=told)
        study.row(name, "root mean square error", [e["rmse"] for e in each], note=told)
        study.row(
            name,
            "95% intervals that hold b, %",
            [e["coverage"] for e in each],
            goal=">= 93" if name in _GOALS and not study.quick else None,
            note=f"{note}; {_percent([e['weak'] for e in each])} warned of weak instruments",
        )
    panels = {
        title: {
            short: [[abs(found[seed, n][name][key]) for n in sizes] for seed in study.seeds]
            for name, short in _DRAWN.items()
        }
        for title, key in (("|mean error of b|", "bias"), ("root mean square error", "rmse"))
    }
    study.picture(
        curves(panels, x="size of the sample", at=sizes),
        "Regression on what was observed keeps its error however large the sample; the estimators "
        "that use an intervention lose theirs, that of all three nuisances sooner. Grey bands are "
        "the range over seeds.",
        "linear",
    )


def _estimate(seed: int, n: int, m: int) -> dict[str, dict[str, float]]:
    model = world()
    drawn = model.do({z: Normal(0.0, 1.0) for z in MOVES})
    columns = [*MOVES, "X", "Y"]
    observed, intervened = (
        {name: units[name].double().numpy().reshape(m, n) for name in columns}
        for units in (model.sample(m * n, seed=2 * seed), drawn.sample(m * n, seed=2 * seed + 1))
    )
    results: dict[str, dict[str, float]] = {}
    for name, (after, estimator) in _ESTIMATORS.items():
        rows = intervened if after else observed
        results[name] = _summary(
            [_one(estimator, {c: values[k] for c, values in rows.items()}) for k in range(m)]
        )
    return results


def _one(estimator: Estimator, rows: Rows) -> tuple[Estimate, bool]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", WeakInstrumentWarning)
        found = estimator(rows)
    return found, bool(caught)


def _summary(found: list[tuple[Estimate, bool]]) -> dict[str, Any]:
    errors = np.array([estimate.value - EFFECT for estimate, _ in found])
    covered = [EFFECT in estimate.interval() for estimate, _ in found]
    return {
        "bias": float(errors.mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "coverage": 100 * float(np.mean(covered)),
        "weak": float(np.mean([weak for _, weak in found])),
    }


def _percent(shares: list[float]) -> str:
    return f"{100 * sum(shares) / len(shares):.0f}%"
