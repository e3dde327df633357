"""Figure 6 on coloured MNIST: log P(x|z) over truncation t, number of directions k, and scale s.

The generator is the CVAE with 16 latents of `genint_parts`, steered along the principal directions
of its image's logits over all classes; steps are in standard deviations of each (the reference
ranges are [-1, 1]; the paper's were chosen by eye). As in the paper, one direction is set in each
image. P(x|z) is measured with two query sets, held-out training images as they are and the same
digits with colours at random, by the penultimate features (256) of the paper's classifier (half as
wide) trained on the confounded images: the counterpart of the paper's ResNet18. Sums over
generated images as in section 9 ("log of sums"), 1/N each.

Source: GenInt, figure 6 and section 9.B.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import torch

from scm.interventions.permutation import independence
from scm.interventions.steering import SupportWarning
from scm.interventions.strategy import Strategy, ablation, realism
from scm.reproductions.genint_candidates import DOMAINS
from scm.reproductions.genint_generator import weights_of
from scm.reproductions.genint_images import steered
from scm.reproductions.genint_parts import extractor, queries, shared
from scm.reproductions.pictures import curves
from scm.reproductions.study import Study

__all__ = ["run"]

_LATENTS = 16
_BASE = Strategy(1.0, 3, 2.0)
_AXES: dict[str, tuple[float, ...]] = {
    "truncation": (0.125, 0.25, 0.5, 0.75, 1.0),
    "directions": (1, 2, 3, 6, 9, 12),
    "scale": (0.25, 0.5, 1.0, 1.5, 2.0, 3.0),
}
_SHOWN = {
    "truncation": ("truncation t", "k = 3, s = 2 sd", 1.0),
    "directions": ("directions k", "t = 1, s = 2 sd", 60.0),
    "scale": ("scale s, sd", "t = 1, k = 3", None),
}
"""Name of each axis, what is fixed, and the paper's choice (its scale is in other units)."""

_EVERY = Strategy(1.0, 3, 2.0, together=3)
_STATES = {"without intervention": Strategy(1.0), "all three set within 2 sd": _EVERY}


def run(study: Study) -> None:
    """Measure the three curves for both query sets; tabulate and draw."""
    found = []
    for seed in study.seeds:
        steered(study, seed, _LATENTS)
        extractor(study, seed)
        parts = {
            "generator": weights_of(study, seed, _LATENTS),
            "extractor": shared(study).path(f"seed-{seed}/original", "weights.safetensors"),
        }
        n = 200 if study.quick else 2000
        work = partial(_measure, study)
        found.append(study.cell(f"seed-{seed}/curves", work, seed=seed, n=n, **parts))
    for axis, values in _AXES.items():
        what, fixed, paper = _SHOWN[axis]
        series = {f"{d} queries": [list(c[d][axis].values()) for c in found] for d in DOMAINS}
        for name, rows in series.items():
            best = [values[max(range(len(row)), key=row.__getitem__)] for row in rows]
            means = (sum(column) / len(column) for column in zip(*rows, strict=True))
            shown = ", ".join(f"{v:g}: {m:.4f}" for v, m in zip(values, means, strict=True))
            note = f"{fixed}; log P(x|z) {shown}"
            study.row(f"{what} of the largest log P(x|z)", name, best, paper, note=note)
        study.picture(
            curves({f"log P(x|z), {fixed}": series}, what, at=values, low=None),
            f"Mean log P(x|z) over the {what} (figure 6), with held-out training images as "
            "queries, as they are and with colours at random.",
            axis,
        )
    for name in _STATES:
        study.row(
            f"colour directions of generated images and labels, {name}",
            "p of independence (HSIC, 999 permutations)",
            [c["p"][name] for c in found],
        )
        study.row(
            f"generated images, {name}",
            "share of the prior as far out as the median",
            [c["realism"][name] for c in found],
        )


def _measure(study: Study, seed: int, n: int, **parts: Any) -> dict[str, Any]:
    model, features = steered(study, seed, _LATENTS), extractor(study, seed)
    found: dict[str, Any] = {"p": {}, "realism": {}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SupportWarning)
        for domain in DOMAINS:
            tried = ablation(
                _BASE,
                model,
                queries(study, domain, n)[0],
                truncation=_AXES["truncation"],
                directions=[int(k) for k in _AXES["directions"]],
                scale=_AXES["scale"],
                features=features,
                n=n,
                seed=seed,
                progress=study.progress,
            )
            found[domain] = {
                axis: {f"{value:g}": score.value for value, score in curve.items()}
                for axis, curve in tried.items()
            }
        for name, strategy in _STATES.items():
            units = strategy.sample(model, n, seed)
            shown = torch.stack([units[f"Z{j + 1}"] for j in range(3)], 1)
            found["p"][name] = independence(shown, units["Y"], seed=seed).p_value
            found["realism"][name] = realism(units, model)
    return found
