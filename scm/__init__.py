"""Declare a causal graph, bind each node to a mechanism; then intervene, ask, and audit."""

__version__ = "0.1.0"

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scm import (
        datasets,
        discovery,
        estimators,
        generation,
        interventions,
        learning,
        mechanisms,
        testing,
    )
    from scm.errors import (
        GraphError,
        InterventionError,
        MechanismError,
        NotIdentifiedError,
        ScmError,
    )
    from scm.estimate import Estimate, Interval
    from scm.generation import generate
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
    from scm.neighbours.pgmpy import from_pgmpy, to_pgmpy
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
    "Estimate",
    "Flow",
    "GraphError",
    "Image",
    "Interval",
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
    "datasets",
    "discovery",
    "estimators",
    "from_pgmpy",
    "generate",
    "generation",
    "interventions",
    "learning",
    "load",
    "mechanisms",
    "testing",
    "to_pgmpy",
]

# Names are imported when they are first asked for, so that `scm --help` needs no torch.
_HOMES = {
    "scm.errors": (
        "GraphError",
        "InterventionError",
        "MechanismError",
        "NotIdentifiedError",
        "ScmError",
    ),
    "scm.estimate": ("Estimate", "Interval"),
    "scm.generation": ("generate",),
    "scm.graph": ("CausalGraph",),
    "scm.mechanisms": (
        "CVAE",
        "Additive",
        "Categorical",
        "Encoder",
        "Flow",
        "Image",
        "Linear",
        "Macro",
        "Move",
        "PostNonlinear",
        "Real",
        "Root",
        "Structural",
        "Tabular",
    ),
    "scm.model": ("SCM", "load"),
    "scm.neighbours.pgmpy": ("from_pgmpy", "to_pgmpy"),
    "scm.worlds.acts": ("NATURAL",),
    "scm.worlds.samples": ("Samples",),
}
_PACKAGES = (
    "datasets",
    "discovery",
    "estimators",
    "generation",
    "interventions",
    "learning",
    "mechanisms",
    "testing",
)


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(home), name)
            return value
    if name in _PACKAGES:
        return import_module(f"scm.{name}")
    raise AttributeError(f"module 'scm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
