"""How fast units are drawn, acted on and multiplied into worlds, against peers.

    python benchmarks/speed/sampling.py [--quick] [--units 1000000] [--out FILE] [--no-peers]

prints one table of ratios measured in one run and writes `results/sampling.json`. Every
system runs the same model, and before a clock starts their values are compared: equal
where they share noise, equal in mean and spread where they do not. Peers are optional
(the extra `bench`).
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from table import Table
from torch import Tensor, nn

import scm

# The model of the first works: 20 nodes, 24 edges, parent -> child by weight, children in
# causal order. `S := tanh(sum_p w_p p) + N`, and `S := N` for the three roots X0, X1, X2.
NODES = [f"X{i}" for i in range(20)]
EDGES: dict[str, dict[str, float]] = {
    "X3": {"X0": 0.8},
    "X4": {"X0": -0.6, "X1": 1.1},
    "X5": {"X1": 0.7},
    "X6": {"X2": 1.2, "X3": -0.4},
    "X7": {"X3": 0.9},
    "X8": {"X4": 0.5, "X5": -0.8},
    "X9": {"X5": 1.0},
    "X10": {"X6": 0.6, "X7": 0.9},
    "X11": {"X7": -1.1},
    "X12": {"X8": 0.7, "X10": 0.5},
    "X13": {"X9": 1.3},
    "X14": {"X11": -0.9, "X12": 0.4},
    "X15": {"X12": 0.8},
    "X16": {"X13": 0.6},
    "X17": {"X14": 1.0},
    "X18": {"X15": 0.7, "X17": -0.5},
    "X19": {"X16": 0.9},
}
EARLY, LATE = "X3", "X17"
"""Where the works intervene: X3 has 11 descendants, X17 has X18 alone."""

ENGINE = "this engine"
HAND = "hand-written torch loop"

Values = Mapping[str, Any]
Values_of = Callable[[int, dict[str, Any]], Values]


# --- the tanh model in each system: run(units, {node: value}) -> values by node


def mean_of(node: str, parents: Mapping[str, Any], tanh: Callable[[Any], Any]) -> Any:
    """`tanh(sum_p w_p p)`, the same for tensors and arrays."""
    return tanh(sum(weight * parents[p] for p, weight in EDGES[node].items()))


def by_engine() -> Values_of:
    def additive(node: str) -> scm.Additive:
        return scm.Additive(lambda **parents: mean_of(node, parents, torch.tanh))

    text = "; ".join([*NODES[:3], *(f"{', '.join(p)} -> {c}" for c, p in EDGES.items())])
    roots = {node: scm.Root.normal() for node in NODES if node not in EDGES}
    model = scm.SCM(text, {**roots, **{node: additive(node) for node in EDGES}})
    return lambda n, do: model.do(do).sample(n, seed=0)


def by_engine_sweep() -> Callable[[int, list[float]], Values]:
    def run(n: int, points: list[float]) -> Values:
        return model_of(run_one).sweep({LATE: points}).sample(n, seed=0)

    run_one = by_engine()
    return run


def model_of(run: Values_of) -> Any:
    """The `SCM` that `by_engine` closed over."""
    return run.__closure__[0].cell_contents  # type: ignore[attr-defined,index]
