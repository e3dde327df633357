"""Published generators, audited: DeepSCM's MorphoMNIST, whose truth is known, and a CGN."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scm.discovery.attributes import Attribute
from scm.discovery.gate import gate
from scm.discovery.measures import ink, intensity
from scm.discovery.readings import readings, units
from scm.mechanisms.deepscm import morphomnist_generator
from scm.mechanisms.latent import LatentGenerator

PRETRAINED = Path(os.environ.get("SCM_DATA", "")) / "pretrained"
pytestmark = pytest.mark.skipif(not PRETRAINED.is_dir(), reason="SCM_DATA has no pretrained")


def test_thickness_moves_intensity_in_deepscms_generator():
    checkpoint = PRETRAINED / "deepscm_morphomnist" / "image_vae-epoch=643.ckpt"
    generator = morphomnist_generator(checkpoint, digit=3)
    z = units(generator, 400)
    measured = Attribute.from_measure("intensity", intensity)
    found = readings(generator, [measured], z)["intensity"]
    # The truth: z_0 gives the thickness; the median image has 64 + 191 sigmoid(2 (1.93 - 2.5)).
    thick = Attribute.from_labels("thickness", generator, z[:, 0] > 0, latents=z)
    assert thick.direction[0] > 0.9
    effect = gate(generator, thick, measured, alpha=1.0, n=200)
    assert effect.effect.value > 0.5 * float(found.std())
    # Moving an axis that only draws the digit does much less.
    style = Attribute.from_labels("style", generator, z[:, 5] > 0, latents=z)
    other = gate(generator, style, measured, alpha=1.0, n=200)
    assert abs(other.effect.value) < 0.2 * effect.effect.value


def test_a_cgns_mask_and_its_background():
    from scm.learning.cgn import CGN
    from scm.mechanisms.cgn import compose

    cgn = CGN.from_published(PRETRAINED / "cgn_mnist" / "double_colored.pth")
    sizes = [cgn.mechanisms[node].noise.width for node in ("M", "F", "B")]
    label = torch.tensor([3])

    def images(z):
        parts = zip(("M", "F", "B"), z.split(sizes, 1), strict=True)
        made = [cgn.mechanisms[n].generate(u, label.expand(len(z))) for n, u in parts]
        return compose(*made)

    generator = LatentGenerator(images, sum(sizes), cgn.mechanisms["X"].type)
    number = Attribute.from_measure("ink", lambda x: ink((x + 1) / 2))
    head = replace(number.in_latent(generator, n=600, C=0.01), name="ink as the latent has it")
    assert head.score.sees
    effect = gate(generator, head, number, alpha=2.0, n=100)
    assert effect.effect.value > 2 * effect.effect.stderr
