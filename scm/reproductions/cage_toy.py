"""CAGE's toy experiment: two mixtures, a masked autoregressive flow, nulls, and the alpha curve.

m_c says which mixture a point is from, m_e whether the mean of its coordinates is below 2.5. The
paper gives neither centres and scales nor widths, optimiser and regularisation. Here: 8 Gaussians
on a circle of radius 2 about the origin and 3 on a circle of radius 1 about (3, 3), all with
standard deviation 0.3, both mixtures as likely (about (4, 4) the two attributes would be one, and
have the same head); layers of 4 x 32 units ("4 blocks per layer"); Adam with a peak of 1e-3 on
batches of 500; heads with C = 1, calibrated; 5,000 units of the prior.

Beside the paper's direction stands what the steepness of the two heads alone predicts, and what
delta-tau becomes where the effect's labels are noisier or a head is penalised harder.

Source: CAGE, section 4.1, figure 3 and appendix B.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from scm.discovery.attributes import Attribute
from scm.discovery.cage import CageAudit, cage_paper
from scm.mechanisms.flow import Flow
from scm.mechanisms.latent import LatentGenerator
from scm.model import SCM
from scm.reproductions.cage_pictures import nulls_and_curves
from scm.reproductions.study import Study

__all__ = ["mixtures", "run"]

_N, _SCALE, _CUT = 5_000, 0.3, 2.5
_ALPHAS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
_VARIANTS = {  # inverse penalty of the heads of cause and effect, share of wrong labels of effect
    "as the paper": (1.0, 1.0, 0.0),
    "cause's head penalised": (0.003, 1.0, 0.0),
    "effect's head penalised": (1.0, 0.003, 0.0),
    "a fifth of the effect's labels wrong": (1.0, 1.0, 0.2),
}


def mixtures(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Points `(n, 2)` and which mixture each is from, `(n,)` of 0 (eight) and 1 (three)."""
    source = torch.Generator().manual_seed(seed)
    three = torch.rand(n, generator=source) < 0.5
    turn = torch.rand(n, generator=source)
    parts = torch.where(three, (3 * turn).floor() / 3, (8 * turn).floor() / 8) * 2 * math.pi
    circle = torch.stack([parts.cos(), parts.sin()], 1)
    centres = torch.where(three[:, None], 3 + circle, 2 * circle)
    return centres + _SCALE * torch.randn(n, 2, generator=source), three.long()


def run(study: Study) -> None:
    """Train the flow with each seed, audit it, tabulate and draw."""
    steps, permutations = (300, 99) if study.quick else (5_000, 1_000)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in _VARIANTS}
    for seed in study.seeds:
        label = f"seed-{seed}/audit"
        settings = {"seed": seed, "steps": steps, "permutations": permutations}
        audits = study.cell(label, partial(_audit, study, label), **settings)
        for name in _VARIANTS:
            found[name].append(audits[name])

    def row(name: str, metric: str, key: str, **more: Any) -> None:
        study.row(name, metric, [one[key] for one in found[name]], **more)

    for name in _VARIANTS:
        note = "the paper's figure 3 shows a positive curve" if name == "as the paper" else ""
        row(name, "GATE of mixture on side", "forward")
        row(name, "GATE of side on mixture", "backward")
        row(name, "delta-tau, alpha = 1", "delta", note=note)
        row(name, "delta-tau from steepness alone, alpha = 1", "predicted")
        row(name, "p of the GATE, permuted labels", "p_gate")
        row(name, "p of delta-tau, random directions", "p_random")
    first = {name: each[0] for name, each in found.items()}
    study.picture(
        nulls_and_curves(
            {k: (v["null"], v["forward"], "GATE of mixture on side") for k, v in first.items()},
            {k: (_ALPHAS, v["curve"], v["curve_predicted"]) for k, v in first.items()},
        ),
        "GATE under permuted labels and as found; delta-tau over alpha, with what the steepness, "
        f"bias and angle of the heads alone predict (seed {study.seeds[0]}). One generator "
        "throughout: only the heads differ.",
        "nulls-and-curves",
    )


def _audit(study: Study, label: str, seed: int, steps: int, permutations: int) -> dict[str, Any]:
    """Train the flow; audit it with each variant of the heads."""
    points, mixture = mixtures(_N, seed)
    flow = Flow(2, "autoregressive", transforms=10, hidden=(32,) * 4, seed=seed)
    model = SCM("X", X=flow)
    epochs = max(1, steps * 500 // _N)
    model.fit({"X": points}, epochs=epochs, batch=500, seed=seed, progress=study.progress)
    generator = LatentGenerator.of(flow.eval().requires_grad_(False))
    save_file({"samples": generator.generate(generator.draw(1_000, seed))}, study.path(label, "x"))
    side = (points.mean(1) < _CUT).long()
    lost = torch.rand(_N, generator=torch.Generator().manual_seed(seed))
    audits = {}
    for name, (c, e, share) in _VARIANTS.items():
        wrong = torch.where(lost < share, 1 - side, side)
        make = partial(Attribute.from_labels, generator=generator, data=points, seed=seed)
        cause, effect = make("mixture", labels=mixture, C=c), make("side", labels=wrong, C=e)
        audit = cage_paper(
            generator,
            cause,
            effect,
            alphas=_ALPHAS,
            permutations=permutations,
            seed=seed,
            progress=study.progress,
        )
        audits[name] = summary(audit)
    return audits


def summary(audit: CageAudit) -> dict[str, Any]:
    """What JSON can hold of an audit."""
    predicted = audit.predicted
    return {
        "forward": audit.forward.value,
        "backward": audit.backward.value,
        "delta": audit.delta_tau.value,
        "predicted": audit.steepness.delta_tau(audit.alpha, audit.soft),
        "p_gate": audit.p_gate,
        "p_random": audit.p_random,
        "null": audit.permuted.forward.tolist(),
        "null_delta": audit.random.delta.tolist(),
        "curve": audit.curve.tolist(),
        "curve_predicted": [] if predicted is None else predicted.tolist(),
        "mmd": audit.mmd.tolist(),
        "heads": str(audit.steepness),
    }
