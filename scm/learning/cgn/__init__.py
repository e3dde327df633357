"""Counterfactual generative networks for small images: the model, its training, its images.

    cgn = train_cgn(images, labels, "double")
    units = cgn.abduct({"X": images, "Y": labels})
    units.sweep(Y1=range(10)).sweep(Y2=range(10)).sweep(Y3=range(10))["X"]
    data = CounterfactualImages(cgn, 100_000, ratio=10, images=images, labels=labels)

Source: Sauer and Geiger (2021), "Counterfactual Generative Networks".
"""

from scm.learning.cgn.counterfactuals import CounterfactualImages, read_counterfactuals
from scm.learning.cgn.health import CollapsedMaskError, Limits, mask_health
from scm.learning.cgn.losses import Weights
from scm.learning.cgn.model import CGN
from scm.learning.cgn.settings import SETTINGS, Settings, settings_of
from scm.learning.cgn.training import train_cgn, untrained

__all__ = [
    "CGN",
    "SETTINGS",
    "CollapsedMaskError",
    "CounterfactualImages",
    "Limits",
    "Settings",
    "Weights",
    "mask_health",
    "read_counterfactuals",
    "settings_of",
    "train_cgn",
    "untrained",
]
