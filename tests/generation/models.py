"""Python files that define models, for workers to load."""

from __future__ import annotations

TABLE = """
import torch
from torch.distributions import Normal

import scm

model = scm.SCM(
    "H -> C; C -> X; X -> Y; V",
    latent=["H"],
    H=scm.Root.normal(),
    C=scm.Structural(lambda H: (H > 0).long(), type=scm.Categorical(("red", "blue"))),
    X=scm.Additive(lambda C: 1.0 * C, noise=Normal(0.0, 1.0)),
    Y=scm.Additive(lambda X: torch.tanh(X), noise=Normal(0.0, 0.1)),
    V=scm.Root(Normal(torch.zeros(3), 1.0)),
)
"""

PICTURES = """
import torch

import scm

def paint(X, Z):
    grid = torch.linspace(0, 1, 60).reshape(3, 4, 5)
    return torch.sigmoid(X + Z) * grid

model = scm.SCM(
    "X, Z -> I; V",
    X=scm.Root.normal(),
    Z=scm.Root.normal(),
    I=scm.Structural(paint, type=scm.Image((3, 4, 5))),
    V=scm.Root(torch.distributions.Normal(torch.zeros(2), 1.0)),
)
"""
