"""Estimators: what models and data say about effects."""

from __future__ import annotations

from scm.estimators.adjustment import adjusted_means, adjustment_set
from scm.estimators.binning import binned
from scm.estimators.bounds import (
    ContradictionWarning,
    StrategyComparison,
    WeakInstrumentWarning,
    compare_strategies,
    counterfactual_bounds,
    intervention_bounds,
    linear_ratio,
    natural_bounds,
    sharp_bounds,
)
from scm.estimators.causation import (
    probability_of_necessity,
    probability_of_necessity_and_sufficiency,
    probability_of_sufficiency,
)
from scm.estimators.effects import ate, cate, effect_curve
from scm.estimators.image_density import (
    cross_entropy_similarity,
    gaussian_similarity,
    log_densities,
    log_density,
    scott_width,
)
from scm.estimators.learners import PositivityWarning
from scm.estimators.mediation import natural_direct_effect, natural_indirect_effect
from scm.estimators.partitions import Partition, causal_partition, observational_partition
from scm.estimators.two_stage import two_stage_least_squares
from scm.estimators.visual_causes import VisualCauses, visual_causes
from scm.estimators.whitening import Whitening

__all__ = [
    "ContradictionWarning",
    "Partition",
    "PositivityWarning",
    "StrategyComparison",
    "VisualCauses",
    "WeakInstrumentWarning",
    "Whitening",
    "adjusted_means",
    "adjustment_set",
    "ate",
    "binned",
    "cate",
    "causal_partition",
    "compare_strategies",
    "counterfactual_bounds",
    "cross_entropy_similarity",
    "effect_curve",
    "gaussian_similarity",
    "intervention_bounds",
    "linear_ratio",
    "log_densities",
    "log_density",
    "natural_bounds",
    "natural_direct_effect",
    "natural_indirect_effect",
    "observational_partition",
    "probability_of_necessity",
    "probability_of_necessity_and_sufficiency",
    "probability_of_sufficiency",
    "scott_width",
    "sharp_bounds",
    "two_stage_least_squares",
    "visual_causes",
]
