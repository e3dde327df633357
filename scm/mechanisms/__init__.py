"""Mechanisms: what is bound to a node.

A mechanism is the structural assignment `S := f(PA, U)` of one node, with a declared type
of values and declared exogenous noise. Read `mechanism` for the protocol.

| mechanism | assignment |
|---|---|
| `Root` | `F^{-1}(U)`, or recorded values |
| `Tabular` | a conditional probability table with a named coupling |
| `Linear`, `Additive` | `f(PA) + N` |
| `PostNonlinear` | `g(f(PA) + N)` |
| `Flow` | a conditional normalising flow |
| `Structural` | any function, with or without noise |
| `CVAE` | a conditional image generator |
| `LatentGenerator` | a pretrained generator, `G(Z)` |
| `Macro` | a function of a micro node, with a reader and a writer |
"""

from scm.mechanisms.additive import Additive, Linear, PostNonlinear
from scm.mechanisms.cvae import CVAE
from scm.mechanisms.encoder import Encoder
from scm.mechanisms.flow import Flow
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.macro import Macro, Move
from scm.mechanisms.mechanism import Mechanism
from scm.mechanisms.noise import Law, Noise
from scm.mechanisms.roots import Empirical, Root
from scm.mechanisms.structural import Structural
from scm.mechanisms.tabular import Tabular
from scm.mechanisms.types import Categorical, Image, NodeType, Real

__all__ = [
    "CVAE",
    "Additive",
    "Categorical",
    "Empirical",
    "Encoder",
    "Flow",
    "Image",
    "LatentGenerator",
    "Law",
    "Linear",
    "Macro",
    "Mechanism",
    "Move",
    "NodeType",
    "Noise",
    "PostNonlinear",
    "Real",
    "Root",
    "Structural",
    "Tabular",
]
