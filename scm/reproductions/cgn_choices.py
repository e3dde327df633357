"""What `cgn-mnist` chose on unbiased validation digits: LNTL's layer and strength, IRM's weight.

The CGN paper says of neither how it was set. Test digits are not looked at here.

Source: Sauer and Geiger (2021), table 2 and appendix C.4.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from scm.learning import ERM, IRM, LNTL, Objective, Ramp
from scm.reproductions.cgn_parts import NAMES, classifier
from scm.reproductions.cgn_sources import Images, environments, real
from scm.reproductions.report import selected
from scm.reproductions.study import Study

__all__ = ["run"]

_FIRST, _SECOND = "1.layers.0", "1.layers.3"
_ORIGINAL = partial(real, "confounded")
_TWO = partial(environments, (0.9, 1.0))


class _Trial(NamedTuple):
    kind: str
    title: str
    images: Callable[..., Images]
    objective: Callable[[], Objective]


def _lntl(kind: str, reversal: float, layer: str) -> _Trial:
    where = {_FIRST: "first", _SECOND: "second"}[layer]
    title = f"LNTL, reversal {reversal:g} in the {where} convolution"
    return _Trial(kind, title, _ORIGINAL, partial(LNTL, reversal=reversal, layer=layer))


def _irm(weight: float) -> _Trial:
    return _Trial("double", f"IRM, weight {weight:g}", _TWO, lambda: IRM(Ramp(weight)))


_TRIALS = (
    *(_lntl("coloured", reversal, _SECOND) for reversal in (0.1, 1.0, 10.0, 30.0, 100.0)),
    *(_lntl("double", reversal, _SECOND) for reversal in (1.0, 10.0, 30.0, 100.0, 300.0)),
    *(_lntl(kind, reversal, _FIRST) for kind in ("coloured", "double") for reversal in (1.0, 30.0)),
    _Trial("double", "ERM, IRM's 2 environments", _TWO, ERM),
    *(_irm(weight) for weight in (1.0, 10.0, 100.0)),
)


def run(study: Study) -> None:
    """Train a classifier by each, and tabulate its accuracy on validation digits."""
    for trial in _TRIALS:
        found = {}
        for seed in study.seeds:
            seen = trial.images(study, trial.kind, seed, None)
            assert seen.make is not None
            name = trial.objective().name
            found[seed] = classifier(
                study,
                f"seed-{seed}/{trial.kind}/{name}",
                trial.kind,
                seed,
                seen.make,
                objective=trial.objective,
                score="validation",
                minimises=name,
                **seen.settings,
            )
        study.row(
            f"{NAMES[trial.kind]}: {trial.title}",
            "unbiased validation accuracy, %",
            {seed: one["unbiased"] for seed, one in found.items()},
            note=selected(found.values()),
        )
