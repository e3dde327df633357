"""CGNs of random weights, for workers to load."""

from __future__ import annotations

from scm.learning.cgn import CGN, settings_of, untrained
from scm.mechanisms.cgn_conv import ConvShape, ConvTexture


def small() -> CGN:
    """The networks that `train_cgn` trains on double-coloured digits."""
    return untrained(settings_of("double"))


def published() -> CGN:
    """Networks of the published architecture."""
    textures = (ConvTexture(shuffle="crop", seed=seed) for seed in (1, 2))
    return CGN(ConvShape(), *textures)
