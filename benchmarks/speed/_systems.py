"""One model, of 20 nodes, in this library, by hand and in each peer; and whether they agree."""

from __future__ import annotations

import functools
import importlib.util
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import scm

# 20 nodes, 24 edges, child <- {parent: weight} in causal order. `S := tanh(sum_p w_p p) + N`,
# and `S := N` for the roots X0, X1, X2; N is normal.
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
EARLY, LATE = "X3", "X17"  # of their descendants, X3 has nine and X17 has X18 alone

ENGINE, HAND, NUMPY = "this engine", "torch by hand", "numpy by hand"
PYRO, CHIRHO, DOWHY = "pyro.do", "chirho", "dowhy.gcm"

Run = Callable[[int, dict[str, Any]], Mapping[str, Any]]
"""(units, values of the nodes intervened on) -> values by node."""


def weighted(node: str, values: Mapping[str, Any]) -> Any:
    """`sum_p w_p p`, for tensors and arrays alike."""
    terms = (weight * values[parent] for parent, weight in EDGES[node].items())
    return functools.reduce(operator.add, terms)  # sum() would begin with a pass of 0 + term


def tanh_mean(node: str) -> Callable[..., Tensor]:
    return lambda **parents: torch.tanh(weighted(node, parents))


def model(linear: bool = False) -> scm.SCM:
    arrows = [f"{', '.join(parents)} -> {child}" for child, parents in EDGES.items()]
    mechanisms: dict[str, Any] = {node: scm.Root.normal() for node in NODES}
    for node, weights in EDGES.items():
        mechanisms[node] = scm.Linear(weights) if linear else scm.Additive(tanh_mean(node))
    return scm.SCM("; ".join(arrows), mechanisms)


def engine(linear: bool = False) -> Run:
    made = model(linear)
    return lambda n, do: made.do(do).sample(n, seed=0)


def torch_by_hand(linear: bool = False) -> Run:
    def run(n: int, do: dict[str, Any]) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        values: dict[str, Tensor] = {}
        for node in NODES:
            if node in do:
                value = torch.as_tensor(do[node], dtype=torch.float32)
                values[node] = value if value.ndim else torch.full((n,), float(value))
                continue
            noise = torch.randn(n, generator=generator)
            if node in EDGES:
                mean = weighted(node, values)
                noise = noise + (mean if linear else torch.tanh(mean))
            values[node] = noise
        return values

    return run


def normal_draws(n: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, generator=generator) for _ in NODES[1:]]


def numpy_by_hand() -> Run:
    def run(n: int, do: dict[str, Any]) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(0)
        values: dict[str, np.ndarray] = {}
        for node in NODES:
            if node in do:
                values[node] = np.full(n, do[node], dtype=np.float32)
                continue
            noise = generator.standard_normal(n, dtype=np.float32)
            values[node] = noise + np.tanh(weighted(node, values)) if node in EDGES else noise
        return values

    return run


def _pyro_model() -> Callable[[int], dict[str, Tensor]]:
    import pyro
    from pyro.distributions import Normal

    def program(n: int) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        with pyro.plate("units", n):
            for node in NODES:
                mean = torch.tanh(weighted(node, values)) if node in EDGES else 0.0
                values[node] = pyro.sample(node, Normal(mean, 1.0))
        return values

    return program


def by_pyro() -> Run:
    import pyro

    program = _pyro_model()

    def run(n: int, do: dict[str, Any]) -> dict[str, Tensor]:
        data = {node: torch.full((n,), value) for node, value in do.items()}
        with torch.no_grad(), pyro.validation_enabled(False):
            return pyro.do(program, data=data)(n)

    return run


def by_chirho() -> Run:
    import pyro
    from chirho.interventional.handlers import do as act

    program = _pyro_model()

    def run(n: int, do: dict[str, Any]) -> dict[str, Tensor]:
        actions = {node: torch.full((n,), value) for node, value in do.items()}
        with torch.no_grad(), pyro.validation_enabled(False), act(actions=actions):
            return program(n)

    return run


def by_dowhy() -> Run:
    import networkx as nx
    from dowhy import gcm
    from dowhy.gcm.causal_models import PARENTS_DURING_FIT
    from scipy import stats

    class TanhOfSum(gcm.ml.PredictionModel):
        def __init__(self, weights: Sequence[float]) -> None:
            self.weights = np.array(weights)

        def fit(self, X: np.ndarray, Y: np.ndarray) -> None:
            """Nothing to fit: the weights are given."""

        def predict(self, X: np.ndarray) -> np.ndarray:
            return np.tanh(X @ self.weights).reshape(-1, 1)

        def clone(self) -> TanhOfSum:
            return TanhOfSum(self.weights)

    gcm.config.disable_progress_bars()
    causal = gcm.StructuralCausalModel(nx.DiGraph([(p, c) for c in EDGES for p in EDGES[c]]))
    for node in NODES:
        parents = sorted(EDGES.get(node, {}))  # the order in which dowhy gives the columns
        noise = gcm.ScipyDistribution(stats.norm, loc=0.0, scale=1.0)
        if parents:
            mean = TanhOfSum([EDGES[node][p] for p in parents])
            causal.set_causal_mechanism(node, gcm.AdditiveNoiseModel(mean, noise))
        else:
            causal.set_causal_mechanism(node, noise)
        causal.graph.nodes[node][PARENTS_DURING_FIT] = parents

    def run(n: int, do: dict[str, Any]) -> Mapping[str, Any]:
        acts = {node: (lambda _, value=value: value) for node, value in do.items()}
        return gcm.interventional_samples(causal, acts, num_samples_to_draw=n)

    return run


def peers(wanted: bool) -> dict[str, Run | None]:
    """The peers that are installed; None for the others."""
    made: dict[str, Run | None] = {}
    for name, make, needs in (
        (PYRO, by_pyro, "pyro"),
        (CHIRHO, by_chirho, "chirho"),
        (DOWHY, by_dowhy, "dowhy"),
    ):
        there = wanted and importlib.util.find_spec(needs) is not None
        made[name] = make() if there else None
    return made


def check_agreement(n: int, runs: Mapping[str, Run | None], reference: str = HAND) -> None:
    """Compare mean and spread of every node under do with those of one system.

    Raises:
        AssertionError: If a mean or a standard deviation is 7 standard errors away.
    """
    tables = {name: _moments(run(n, {EARLY: 1.0})) for name, run in runs.items() if run}
    mean, sd = tables[reference]
    allowed = 7.0 * sd * math.sqrt(2.0 / n)
    for name, (other_mean, other_sd) in tables.items():
        wrong = (np.abs(other_mean - mean) > allowed) | (np.abs(other_sd - sd) > allowed)
        assert not wrong.any(), f"{name} disagrees on {[NODES[i] for i in np.flatnonzero(wrong)]}"


def _moments(values: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    columns = [np.asarray(values[node], dtype=np.float64) for node in NODES]
    return np.array([c.mean() for c in columns]), np.array([c.std() for c in columns])
