"""Declare a causal graph, bind each node to a mechanism; then intervene, ask, and audit."""

__version__ = "0.1.0.dev0"

from scm import mechanisms
from scm.errors import (
    GraphError,
    InterventionError,
    MechanismError,
    NotIdentifiedError,
    ScmError,
)
from scm.graph import CausalGraph
from scm.mechanisms import (
    CVAE,
    Additive,
    Categorical,
    Encoder,
    Flow,
    Image,
    Linear,
    Macro,
    Move,
    PostNonlinear,
    Real,
    Root,
    Structural,
    Tabular,
)
from scm.model import SCM, load
from scm.worlds.acts import NATURAL
from scm.worlds.samples import Samples

__all__ = [
    "CVAE",
    "NATURAL",
    "SCM",
    "Additive",
    "Categorical",
    "CausalGraph",
    "Encoder",
    "Flow",
    "GraphError",
    "Image",
    "InterventionError",
    "Linear",
    "Macro",
    "MechanismError",
    "Move",
    "NotIdentifiedError",
    "PostNonlinear",
    "Real",
    "Root",
    "Samples",
    "ScmError",
    "Structural",
    "Tabular",
    "load",
    "mechanisms",
]
