"""Audit a published generator of MorphoMNIST: what moves when its thickness is moved?

    SCM_DATA=/path/to/data python examples/audit_pretrained.py

The generator is DeepSCM's: thickness -> intensity -> image. Its attributes are measured in its
images, read off its latent by linear heads, and moved, one head at a time. The paper's direction
score stands beside what the steepness of the heads alone predicts of it.
"""

from __future__ import annotations

import os
from pathlib import Path

from scm.discovery import Attribute, cage_paper, gate
from scm.discovery.measures import intensity, thickness
from scm.mechanisms.deepscm import morphomnist_generator

SAMPLES = 1_000


def main() -> None:
    folder = Path(os.environ["SCM_DATA"]) / "pretrained" / "deepscm_morphomnist"
    generator = morphomnist_generator(folder / "image_vae-epoch=643.ckpt", digit=3)
    images = generator.generate(generator.draw(SAMPLES))
    measured, heads = {}, {}
    for name, measure in (("thickness", thickness), ("intensity", intensity)):
        number = Attribute.from_measure(name, measure, float(measure(images).median()))
        measured[name] = number
        heads[name] = number.binary().in_latent(generator, SAMPLES)
        print(f"{name}: head of the latent, {heads[name].score}")
    for cause, effect in (("thickness", "intensity"), ("intensity", "thickness")):
        print(
            f"{cause} on {effect}, measured:",
            gate(generator, heads[cause], measured[effect], n=200),
        )
    print(cage_paper(generator, heads["thickness"], heads["intensity"], permutations=200))


if __name__ == "__main__":
    main()
