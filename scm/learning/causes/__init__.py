"""Learning what an image causes: from observations, and a few experiments."""

from scm.learning.causes.annotators import Annotators
from scm.learning.causes.causal_classes import (
    DoubtfulMergeWarning,
    LearnedCauses,
    learn_causes,
)
from scm.learning.causes.experimenters import Answers, Ensemble, Simulator
from scm.learning.causes.observational_classes import quantile_edges

__all__ = [
    "Annotators",
    "Answers",
    "DoubtfulMergeWarning",
    "Ensemble",
    "LearnedCauses",
    "Simulator",
    "learn_causes",
    "quantile_edges",
]
