"""Audit published generators: what goes with what in them, and what moves when it is moved?

    SCM_DATA=/path/to/data python examples/audit_pretrained.py [morphomnist|cgn] [folder]

`morphomnist` is DeepSCM's VAE, of which the truth is known: thickness -> intensity -> image.
Thickness, intensity, slant and ink are measured in its images; a skeleton has no gradient for an
audit to follow, so a small network learns to read them. First come the paper's effects, of latent
heads on what is measured; then the audit of all six pairs.

`cgn` is the authors' counterfactual generative network of double-coloured digits, all of them a 3:
digit and background have noises of their own, so that neither's brightness is a cause of the
other's.

The report is a page in the folder, `out/audit-morphomnist` or `out/audit-cgn`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from torch import Tensor

from scm.discovery import Attribute, audit_report, gate
from scm.discovery.measures import ink, intensity, slant, thickness
from scm.learning.cgn import CGN
from scm.mechanisms import LatentGenerator
from scm.mechanisms.deepscm import morphomnist_generator

DIGIT, SAMPLES = 3, 3_000


def effects(generator: LatentGenerator, measured: dict[str, Attribute]) -> None:
    """GATEs of latent heads on what is measured."""
    latents = generator.draw(SAMPLES)
    images = generator.generate(latents)
    for cause, effect in (("thickness", "intensity"), ("intensity", "thickness")):
        numbers = measured[cause].read(images)
        labels = numbers > numbers.median()
        head = Attribute.from_labels(cause, generator, labels, latents=latents)
        print(f"{cause}: head of the latent, {head.score}")
        print(f"{cause} on {effect}, measured:", gate(generator, head, measured[effect], n=200))


def centre(images: Tensor) -> Tensor:
    """Brightness of the middle, which is the digit's."""
    return images[..., 12:20, 12:20].mean((1, 2, 3))


def border(images: Tensor) -> Tensor:
    """Brightness of the outer three pixels, which is the background's."""
    edge = images.mean(1)
    inside = edge[:, 3:-3, 3:-3]
    return (edge.sum((1, 2)) - inside.sum((1, 2))) / (edge[0].numel() - inside[0].numel())


def main(which: str = "morphomnist", folder: str = "") -> None:
    weights = Path(os.environ["SCM_DATA"]) / "pretrained"
    if which == "morphomnist":
        checkpoint = weights / "deepscm_morphomnist" / "image_vae-epoch=643.ckpt"
        generator, title = morphomnist_generator(checkpoint, DIGIT), "DeepSCM's VAE of MorphoMNIST"
        measures = {"thickness": thickness, "intensity": intensity, "slant": slant, "ink": ink}
        measured = {name: Attribute.from_measure(name, f) for name, f in measures.items()}
        effects(generator, measured)
        attributes = [each.in_data(generator, SAMPLES) for each in measured.values()]
    else:
        cgn = CGN.from_published(weights / "cgn_mnist" / "double_colored.pth")
        generator, title = cgn.as_generator(DIGIT), "the CGN authors' double-coloured digits"
        attributes = [Attribute.from_measure(f.__name__, f) for f in (centre, border)]
    for attribute in attributes:
        print(f"{attribute.name}: {attribute.score or 'measured'}")
    title += f", the digit {DIGIT}"
    print(audit_report(generator, attributes, folder or f"out/audit-{which}", title=title))


if __name__ == "__main__":
    main(*sys.argv[1:])
