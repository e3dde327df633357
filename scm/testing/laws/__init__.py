"""The laws of causality, by subject; `LAWS` lists one of each."""

from __future__ import annotations

from scm.testing.law import Law
from scm.testing.laws.bounds import NaturalBounds, Nesting, RandomisedBound, SharpBounds, Theorem4
from scm.testing.laws.calculus import (
    BackDoor,
    FrontDoor,
    Identification,
    Rule1,
    Rule2,
    Rule3,
    Unidentified,
)
from scm.testing.laws.engine import (
    AbductedWorlds,
    Abduction,
    Manipulation,
    Reading,
    SweepLoop,
    UnitsAlone,
    Writing,
)
from scm.testing.laws.factorisation import (
    ExactMarkov,
    Frequencies,
    LinearMarkov,
    Normalisation,
    TruncatedFactorisation,
)
from scm.testing.laws.partitions import Coarsening, CompleteDescription, SmallestDescription
from scm.testing.laws.units import (
    Commutation,
    Composition,
    Consistency,
    Effectiveness,
    NonDescendants,
    OwnNoise,
    Repeatable,
    Reversibility,
)

__all__ = ["LAWS"]

LAWS: tuple[Law, ...] = (
    Repeatable(),
    UnitsAlone(),
    OwnNoise(),
    Effectiveness(),
    Composition(),
    Reversibility(),
    Consistency(),
    NonDescendants(),
    Commutation(),
    SweepLoop(),
    Abduction(),
    AbductedWorlds(),
    Reading(),
    Manipulation(),
    Writing(),
    Normalisation(),
    TruncatedFactorisation(),
    Frequencies(),
    ExactMarkov(),
    LinearMarkov(),
    Rule1(),
    Rule2(),
    Rule3(),
    BackDoor(),
    FrontDoor(),
    Identification(),
    Unidentified(),
    NaturalBounds(),
    RandomisedBound(),
    Nesting(),
    Theorem4(),
    SharpBounds(),
    Coarsening(),
    CompleteDescription(),
    SmallestDescription(),
)
"""Every law, in the order in which `check` runs them."""
