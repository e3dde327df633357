"""Acting beyond a value: manipulators of images, generators steered along their nuisances."""

from scm.interventions.answering import ask_classes
from scm.interventions.augmentation import moved_images
from scm.interventions.calibration import calibrated
from scm.interventions.correlation import (
    NuisancePredictor,
    Predictability,
    label_predictability,
    train_nuisance_predictor,
)
from scm.interventions.directions import PAPER_RANGES, PrincipalDirections
from scm.interventions.generator import ConditionalGenerator, generator_of
from scm.interventions.manipulator import Manipulator
from scm.interventions.metrics import L1, L2, FeatureSpace, ImageKernel, metric_of
from scm.interventions.nearest_image import Manipulated, Objective, nearest_images
from scm.interventions.permutation import Independence, independence
from scm.interventions.rounds import Round
from scm.interventions.steering import SupportWarning, steerable
from scm.interventions.strategy import (
    STRATEGIES,
    Choice,
    SteeredImages,
    Strategy,
    ablation,
    choose,
    realism,
)
from scm.interventions.transfer import StyleTransfer, discrepancy, matching, vgg19_features
from scm.interventions.visual_cause import VisualCause

__all__ = [
    "L1",
    "L2",
    "PAPER_RANGES",
    "STRATEGIES",
    "Choice",
    "ConditionalGenerator",
    "FeatureSpace",
    "ImageKernel",
    "Independence",
    "Manipulated",
    "Manipulator",
    "NuisancePredictor",
    "Objective",
    "Predictability",
    "PrincipalDirections",
    "Round",
    "SteeredImages",
    "Strategy",
    "StyleTransfer",
    "SupportWarning",
    "VisualCause",
    "ablation",
    "ask_classes",
    "calibrated",
    "choose",
    "discrepancy",
    "generator_of",
    "independence",
    "label_predictability",
    "matching",
    "metric_of",
    "moved_images",
    "nearest_images",
    "realism",
    "steerable",
    "train_nuisance_predictor",
    "vgg19_features",
]
