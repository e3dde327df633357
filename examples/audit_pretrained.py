"""Audit a published generator of MorphoMNIST: what moves when its thickness is moved?

    SCM_DATA=/path/to/data python examples/audit_pretrained.py [folder]

The generator is DeepSCM's: thickness -> intensity -> image. Thickness, intensity, slant and ink
are measured in its images, and a small network learns to read each of them, since an audit follows
gradients and a skeleton has none. First the paper's effects, of latent heads on what is measured;
then the audit of all six pairs, as a page in the folder (`out/audit-morphomnist`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from scm.discovery import Attribute, audit_report, gate
from scm.discovery.measures import ink, intensity, slant, thickness
from scm.mechanisms.deepscm import morphomnist_generator

MEASURES = {"thickness": thickness, "intensity": intensity, "slant": slant, "ink": ink}
SAMPLES = 3_000


def main(folder: str = "out/audit-morphomnist") -> None:
    weights = Path(os.environ["SCM_DATA"]) / "pretrained" / "deepscm_morphomnist"
    generator = morphomnist_generator(weights / "image_vae-epoch=643.ckpt", digit=3)
    latents = generator.draw(SAMPLES)
    images = generator.generate(latents)
    numbers = {name: measure(images) for name, measure in MEASURES.items()}
    measured = {name: Attribute.from_measure(name, MEASURES[name]) for name in MEASURES}
    for cause, effect in (("thickness", "intensity"), ("intensity", "thickness")):
        labels = (numbers[cause] > numbers[cause].median()).long()
        head = Attribute.from_labels(cause, generator, labels, latents=latents)
        print(f"{cause}: head of the latent, {head.score}")
        print(f"{cause} on {effect}, measured:", gate(generator, head, measured[effect], n=200))
    read = [
        Attribute.from_labels(name, generator, number, data=images, space="data", head="network")
        for name, number in numbers.items()
    ]
    for attribute in read:
        print(f"{attribute.name}: read off the image, {attribute.score}")
    title = "DeepSCM's VAE of MorphoMNIST, the digit 3"
    print(audit_report(generator, read, folder, title=title, resume=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
