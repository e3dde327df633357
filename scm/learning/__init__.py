"""Learning from observed and from interventional data."""

from scm.learning import cgn
from scm.learning.augmentation import AutoAugment, PixelNoise
from scm.learning.causes import (
    Annotators,
    Answers,
    DoubtfulMergeWarning,
    Ensemble,
    LearnedCauses,
    Simulator,
    learn_causes,
    quantile_edges,
)
from scm.learning.classifier import train_classifier
from scm.learning.evaluation import accuracy, predict, probabilities
from scm.learning.explanations import features, grad_cam, mask_iou, tsne
from scm.learning.gan import ConditionalGAN, GeneratedImages, train_gan
from scm.learning.heads import HeadEnsemble
from scm.learning.image_sets import beyond_imagenet, mean_corruption_error, top_k
from scm.learning.inception import (
    FrechetDistance,
    InceptionScore,
    frechet_distance,
    inception_score,
)
from scm.learning.interventional import (
    GENINT_BASELINES,
    GENINT_VARIANTS,
    Variant,
    genint_baseline,
)
from scm.learning.networks import ConvNet, Grey, SmallCNN, Standardise, torchvision_classifier
from scm.learning.objectives import (
    ERM,
    IRM,
    LNTL,
    GroupDRO,
    Jump,
    Mixup,
    Objective,
    Ramp,
    VREx,
    Weighted,
)
from scm.learning.ranks import on_devices
from scm.learning.recipe import Recipe
from scm.learning.robustness import (
    background_gap,
    coarse,
    corruption_error,
    group_accuracies,
    shape_bias,
    worst_group_accuracy,
)
from scm.learning.sources import Augmented, Batch, LabelledImages, Mixed, Source, Stream
from scm.learning.stability import accuracies_across, stable_factor
from scm.learning.training import Trained, train

__all__ = [
    "ERM",
    "GENINT_BASELINES",
    "GENINT_VARIANTS",
    "IRM",
    "LNTL",
    "Annotators",
    "Answers",
    "Augmented",
    "AutoAugment",
    "Batch",
    "ConditionalGAN",
    "ConvNet",
    "DoubtfulMergeWarning",
    "Ensemble",
    "FrechetDistance",
    "GeneratedImages",
    "Grey",
    "GroupDRO",
    "HeadEnsemble",
    "InceptionScore",
    "Jump",
    "LabelledImages",
    "LearnedCauses",
    "Mixed",
    "Mixup",
    "Objective",
    "PixelNoise",
    "Ramp",
    "Recipe",
    "Simulator",
    "SmallCNN",
    "Source",
    "Standardise",
    "Stream",
    "Trained",
    "VREx",
    "Variant",
    "Weighted",
    "accuracies_across",
    "accuracy",
    "background_gap",
    "beyond_imagenet",
    "cgn",
    "coarse",
    "corruption_error",
    "features",
    "frechet_distance",
    "genint_baseline",
    "grad_cam",
    "group_accuracies",
    "inception_score",
    "learn_causes",
    "mask_iou",
    "mean_corruption_error",
    "on_devices",
    "predict",
    "probabilities",
    "quantile_edges",
    "shape_bias",
    "stable_factor",
    "top_k",
    "torchvision_classifier",
    "train",
    "train_classifier",
    "train_gan",
    "tsne",
    "worst_group_accuracy",
]
