"""Published generators, audited: DeepSCM's MorphoMNIST, whose truth is known, and a CGN."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from scm.discovery.attributes import Attribute
from scm.discovery.audit import audit
from scm.discovery.gate import gate
from scm.discovery.measures import ink, intensity
from scm.discovery.readings import readings, units
from scm.mechanisms.deepscm import morphomnist_generator

PRETRAINED = Path(os.environ.get("SCM_DATA", "")) / "pretrained"
SMALL = {"fit": 300, "block": 100, "moved": 50, "gauges": 0, "diagnosis": False, "progress": False}
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
    pair = [measured, Attribute.from_measure("ink", ink)]
    told = audit(generator, pair, **SMALL)["intensity", "ink"]
    assert told.association < 0.01
    assert told.doses[1].value == pytest.approx(0.5, abs=0.1)
    assert told.forward.value > 1.96 * told.forward.stderr  # a brighter stroke is more ink


@pytest.fixture(scope="module")
def threes():
    from scm.learning.cgn import CGN

    return CGN.from_published(PRETRAINED / "cgn_mnist" / "double_colored.pth").as_generator(3)


INK = Attribute.from_measure("ink", lambda x: ink((x + 1) / 2))


def test_a_head_of_a_cgns_latent_moves_its_ink(threes):
    head = replace(INK.in_latent(threes, n=300, C=0.01), name="ink as the latent has it")
    assert head.score.sees
    effect = gate(threes, head, INK, alpha=2.0, n=50)
    assert effect.effect.value > 2 * effect.effect.stderr


@pytest.mark.slow  # three convolutional networks, there and back
def test_a_cgn_is_audited(threes):
    corner = Attribute.from_measure("corner", lambda x: x[..., :4, :4].mean((1, 2, 3)))
    told = audit(threes, [INK, corner], **SMALL)["ink", "corner"]
    assert told.doses[1].value == pytest.approx(0.5, abs=0.1)
    assert told.backward.value > 1.96 * told.backward.stderr  # a brighter ground is more ink
