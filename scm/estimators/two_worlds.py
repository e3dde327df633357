"""Two worlds of one unit: the laws and units that counterfactual effects are read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scm.errors import NotIdentifiedError, ScmError
from scm.estimators.units import Outcome, is_data, law_of, one_world
from scm.exact import Joint, Observed
from scm.model import SCM
from scm.worlds.samples import Samples
from scm.worlds.view import View

__all__ = ["drawn", "joint_of", "refuse_learning", "under_act"]


def under_act(joint: Joint, node: str, value: Any) -> Joint:
    """Return the law under an act as a law of its own, whose units may be acted on again."""
    tables = dict(joint._tables)
    levels = joint.levels[node]
    cut = joint.graph.without_incoming(node)
    at = joint._domain.code(node, value)
    tables[node] = np.eye(len(levels))[at]
    return Joint(cut, tables, joint.levels, joint._couplings)


def joint_of(source: Any, method: str | None, outcome: Outcome) -> Joint | None:
    """Return the exact law, or None where units are to be drawn.

    Raises:
        NotIdentifiedError: If data are given, or an observed margin.
    """
    plain = isinstance(source, Mapping) and not isinstance(source, Samples)
    if plain or hasattr(source, "columns"):
        raise NotIdentifiedError(
            "data show each unit in one world, and this compares two: give graph=, with which "
            "data may identify it; or fit a model, model.fit(data), and ask it; or ask for bounds, "
            "counterfactual_bounds, or graph.identify_counterfactual"
        )
    is_data(source, None)
    levels = [] if isinstance(outcome, str) else list(outcome.values())
    law = law_of(source, method, levels)
    if law is not None and not isinstance(law, Joint):
        raise NotIdentifiedError(
            "an observed margin shows each unit in one world, and this compares two: ask the joint "
            "itself, for bounds, or graph.identify_counterfactual"
        )
    return law


def refuse_learning(source: Any, options: Mapping[str, Any], monotone: bool = False) -> None:
    """Raise `ScmError` where options that are for data come with a model."""
    named = [*options, *(["monotone"] if monotone else [])]
    if named and isinstance(source, SCM | View | Joint | Observed | Samples):
        raise ScmError(
            f"{', '.join(named)} is for data, and {type(source).__name__} was given; leave it "
            "out, or give data with graph= to learn from data"
        )


def drawn(source: Any, n: int, seed: int | None) -> Samples:
    """Return `Samples` as they are, and ``n`` units of a model."""
    one_world(source)
    units = source if isinstance(source, Samples) else source.sample(n, seed)
    assert isinstance(units, Samples)
    return units
