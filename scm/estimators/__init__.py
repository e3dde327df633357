"""Estimators: what models and data say about effects."""

from __future__ import annotations

from scm.estimators.adjustment import adjusted_means, adjustment_set
from scm.estimators.causation import (
    probability_of_necessity,
    probability_of_necessity_and_sufficiency,
    probability_of_sufficiency,
)
from scm.estimators.effects import ate, cate, effect_curve
from scm.estimators.learners import PositivityWarning
from scm.estimators.mediation import natural_direct_effect, natural_indirect_effect
from scm.estimators.partitions import Partition, causal_partition, observational_partition

__all__ = [
    "Partition",
    "PositivityWarning",
    "adjusted_means",
    "adjustment_set",
    "ate",
    "cate",
    "causal_partition",
    "effect_curve",
    "natural_direct_effect",
    "natural_indirect_effect",
    "observational_partition",
    "probability_of_necessity",
    "probability_of_necessity_and_sufficiency",
    "probability_of_sufficiency",
]
