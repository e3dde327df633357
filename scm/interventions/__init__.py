"""Acting beyond a value: manipulators of images."""

from scm.interventions.answering import ask_classes
from scm.interventions.manipulator import Manipulator
from scm.interventions.metrics import L1, L2, FeatureSpace, ImageKernel, metric_of
from scm.interventions.nearest_image import Manipulated, Objective, nearest_images
from scm.interventions.rounds import Round
from scm.interventions.visual_cause import VisualCause

__all__ = [
    "L1",
    "L2",
    "FeatureSpace",
    "ImageKernel",
    "Manipulated",
    "Manipulator",
    "Objective",
    "Round",
    "VisualCause",
    "ask_classes",
    "metric_of",
    "nearest_images",
]
