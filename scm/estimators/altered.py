"""A copy of a model with some mechanisms changed."""

from __future__ import annotations

from collections.abc import Mapping

from scm.graph import CausalGraph
from scm.mechanisms.mechanism import Mechanism
from scm.model import SCM

__all__ = ["altered"]


def altered(model: SCM, changes: Mapping[str, Mechanism], graph: CausalGraph | None = None) -> SCM:
    """A copy of a model with other mechanisms; nodes keep their noise streams.

    Args:
        model: The model.
        changes: Mechanisms by node, in place of those of the model or for new nodes.
        graph: The graph, where it has new nodes.

    Raises:
        GraphError: If an SCM cannot have the graph.
        MechanismError: If a mechanism does not fit.
    """
    copy = model.rename({})
    other = SCM(graph or copy.graph, {**copy.mechanisms, **changes}, encoders=copy.view.encoders)
    other._streams |= copy._streams
    other._noise_device, other._like = copy._noise_device, copy._like
    return other
