"""MorphoMNIST in CAGE: does a generator know that thickness makes a stroke brighter?

In MorphoMNIST thickness is a cause of intensity. The paper audits a MintNet; here it is a VAE that
is trained on the 10,000 rendered images (one hidden layer of 400, latent 16, Bernoulli), and
DeepSCM's published VAE behind its own structural equations, whose latent holds the noise of
thickness and of intensity as coordinates of their own. Labels are measured in 3,000 samples of
each generator and cut at their medians, which the paper does not describe; heads have C = 1.

Beside the paper's score stands what the steepness of the heads alone predicts, and the verdict of
`scm.discovery.direction`, whose heads are small networks of the image.

Data: `MorphoMNIST/t10k-images-idx3-ubyte.gz` and `pretrained/deepscm_morphomnist/
image_vae-epoch=643.ckpt` in the folder that the environment variable SCM_DATA names.

Source: CAGE, section 4.2 and figure 4; Pawlowski, Castro and Glocker (2020), section 4.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from scm.datasets.digits import read_idx
from scm.discovery.attributes import Attribute
from scm.discovery.cage import cage_paper
from scm.discovery.direction import direction
from scm.discovery.measures import intensity, thickness
from scm.errors import ScmError
from scm.mechanisms.cvae import CVAE
from scm.mechanisms.deepscm import morphomnist_generator
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.types import Image
from scm.model import SCM
from scm.reproductions.cage_pictures import nulls_and_curves
from scm.reproductions.cage_toy import summary
from scm.reproductions.pictures import image_grid
from scm.reproductions.study import Study

__all__ = ["GENERATORS", "run"]

GENERATORS = {"trained": "a VAE trained here", "published": "DeepSCM's VAE"}
"""What is audited, and what the table calls it."""

_ALPHAS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
_STRIP, _SHOWN = (0.0, -1.0, -2.0, -3.0, -4.0), 8
_AFTER = 3.0  # the move whose measured changes are tabulated
_SIGNS = {"c->e": 1.0, "e->c": -1.0}


def run(study: Study) -> None:
    """Audit both generators with each seed, tabulate and draw."""
    few = study.quick
    settings = {
        "samples": 300 if few else 3_000,
        "permutations": 99 if few else 1_000,
        "epochs": 2 if few else 40,
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in GENERATORS}
    strips = {}
    for seed in study.seeds:
        for name in GENERATORS:
            label = f"seed-{seed}/{name}"
            audit = partial(_audit, study, label)
            found[name].append(study.cell(label, audit, name=name, seed=seed, **settings))
            if seed == study.seeds[0]:
                strips[name] = load_file(study.path(label, "strips.safetensors"))["strips"]
    for name, title in GENERATORS.items():
        for metric, key in (
            ("held-out accuracy of thickness's head, %", "accuracy_thickness"),
            ("held-out accuracy of intensity's head, %", "accuracy_intensity"),
            ("GATE of thickness on intensity", "forward"),
            ("GATE of intensity on thickness", "backward"),
            ("delta-tau, alpha = 1 (the paper's is positive)", "delta"),
            ("delta-tau from steepness alone, alpha = 1", "predicted"),
            ("p of the GATE, permuted labels", "p_gate"),
            ("p of delta-tau, random directions", "p_random"),
            (f"thickness after -{_AFTER:g} along its head, change in pixels", "thinner"),
            (f"intensity after -{_AFTER:g} along thickness's head, change of 255", "dimmer"),
        ):
            study.row(title, metric, [one[key] for one in found[name]])
        verdicts = [one["verdict"] for one in found[name]]
        study.row(
            title,
            "the default's arrow, 1: thickness -> intensity, -1: <-, 0: no arrow",
            [_SIGNS.get(verdict, 0.0) for verdict in verdicts],
            note="; ".join(verdicts),
        )
        rows = {
            f"{alpha:g}": list(strip) for alpha, strip in zip(_STRIP, strips[name], strict=True)
        }
        study.picture(
            image_grid(rows, cell=0.8),
            f"{title[0].upper()}{title[1:]}: the same units, moved by alpha (left) along the unit "
            f"normal of thickness's head (seed {study.seeds[0]}).",
            f"strips-{name}",
        )
    first = {title: found[name][0] for name, title in GENERATORS.items()}
    study.picture(
        nulls_and_curves(
            {
                k: (v["null"], v["forward"], "GATE of thickness on intensity")
                for k, v in first.items()
            },
            {k: (_ALPHAS, v["curve"], v["curve_predicted"]) for k, v in first.items()},
        ),
        "GATE under permuted labels and as found; delta-tau over alpha, with what the steepness, "
        f"bias and angle of the heads alone predict (seed {study.seeds[0]}).",
        "nulls-and-curves",
    )


def _audit(
    study: Study, label: str, name: str, seed: int, samples: int, permutations: int, epochs: int
) -> dict[str, Any]:
    """Train or read the generator; audit it as the paper does, and by default."""
    generator = _trained(study, epochs, seed) if name == "trained" else _published()
    latents = generator.draw(samples, seed)
    images = generator.generate(latents)
    numbers = {"thickness": thickness(images), "intensity": 255 * intensity(images)}
    heads = [
        Attribute.from_labels(
            n, generator, (values > values.median()).long(), latents=latents, seed=seed
        )
        for n, values in numbers.items()
    ]
    paper = cage_paper(
        generator,
        *heads,
        alphas=_ALPHAS,
        permutations=permutations,
        seed=seed,
        progress=study.progress,
    )
    readers = [
        Attribute.from_labels(
            n, generator, values, data=images, space="data", head="network", seed=seed
        )
        for n, values in numbers.items()
    ]
    few: dict[str, Any] = {"fit": 500, "block": 200, "moved": 50} if study.quick else {}
    told = direction(generator, *readers, seed=seed, progress=study.progress, **few)
    _save_strips(study, label, generator, latents[:_SHOWN], heads[0].direction)
    moved = generator.generate(latents[:500] - _AFTER * heads[0].direction)
    accuracies = [head.score.accuracy for head in heads if head.score and head.score.accuracy]
    return summary(paper) | {
        "accuracy_thickness": 100 * accuracies[0].value,
        "accuracy_intensity": 100 * accuracies[1].value,
        "thinner": float((thickness(moved) - numbers["thickness"][:500]).mean()),
        "dimmer": float((255 * intensity(moved) - numbers["intensity"][:500]).mean()),
        "verdict": told.verdict,
        "warnings": list(told.warnings),
    }


def _save_strips(
    study: Study, label: str, generator: LatentGenerator, latents: Tensor, along: Tensor
) -> None:
    strips = [generator.generate(latents + alpha * along) for alpha in _STRIP]
    save_file({"strips": torch.stack(strips)}, study.path(label, "strips.safetensors"))


def _trained(study: Study, epochs: int, seed: int) -> LatentGenerator:
    path = _data() / "MorphoMNIST" / "t10k-images-idx3-ubyte.gz"
    images = torch.from_numpy(read_idx(path, 3)).float().div(255).unsqueeze(1)
    vae = CVAE(Image((1, 28, 28)), latent=16, hidden=(400,), likelihood="bernoulli", seed=seed)
    model = SCM("X", X=vae)
    options: dict[str, Any] = {"epochs": epochs, "seed": seed, "progress": study.progress}
    model.fit({"X": images[:1_000] if study.quick else images}, batch=128, **options)
    return LatentGenerator.of(vae.eval().requires_grad_(False))


def _published() -> LatentGenerator:
    folder = _data() / "pretrained" / "deepscm_morphomnist"
    return morphomnist_generator(folder / "image_vae-epoch=643.ckpt")


def _data() -> Path:
    folder = os.environ.get("SCM_DATA")
    if not folder:
        raise ScmError(
            "cage-morphomnist needs the folders MorphoMNIST and pretrained/deepscm_morphomnist; "
            "let the environment variable SCM_DATA name the folder that holds them"
        )
    return Path(folder)
