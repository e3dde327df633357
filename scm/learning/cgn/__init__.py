"""Counterfactual generative networks: the model, its training, its images.

    cgn = train_cgn(images, labels, "double")
    units = cgn.abduct({"X": images, "Y": labels})
    units.sweep(Y1=range(10)).sweep(Y2=range(10)).sweep(Y3=range(10))["X"]
    data = CounterfactualImages(cgn, 100_000, ratio=10, images=images, labels=labels)

For ImageNet the mechanisms are BigGANs, and no images are needed:

    cgn = imagenet_cgn(pretrained="biggan-deep-256", saliency="u2net.pth")
    train_imagenet_cgn(cgn, BigGAN.from_pretrained("biggan-deep-256"), VGGFeatures(weights="cache"))

Source: Sauer and Geiger (2021), "Counterfactual Generative Networks".
"""

from scm.learning.cgn.counterfactuals import CounterfactualImages, read_counterfactuals
from scm.learning.cgn.health import CollapsedMaskError, Limits, mask_health
from scm.learning.cgn.imagenet import (
    ImageNetWeights,
    Patches,
    imagenet_cgn,
    patch_grid,
    truncate,
)
from scm.learning.cgn.imagenet_training import ImageNetTraining, train_imagenet_cgn
from scm.learning.cgn.losses import Style, Weights
from scm.learning.cgn.model import CGN
from scm.learning.cgn.settings import SETTINGS, Settings, settings_of
from scm.learning.cgn.training import train_cgn, untrained

__all__ = [
    "CGN",
    "SETTINGS",
    "CollapsedMaskError",
    "CounterfactualImages",
    "ImageNetTraining",
    "ImageNetWeights",
    "Limits",
    "Patches",
    "Settings",
    "Style",
    "Weights",
    "imagenet_cgn",
    "mask_health",
    "patch_grid",
    "read_counterfactuals",
    "settings_of",
    "train_cgn",
    "train_imagenet_cgn",
    "truncate",
    "untrained",
]
