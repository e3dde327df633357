"""ID* and IDC*: against every world of every unit, counted out; and the literature's examples."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from .models import named_latents, random_admg

from scm.errors import GraphError, NotIdentifiedError
from scm.exact import Joint
from scm.graph import CausalGraph


class Units:
    """A random discrete model as its units: each is the noise of all nodes, with a probability.

    Every observed node is a random function of its parents and of noise of its own.
    """

    def __init__(self, graph: CausalGraph, rng: np.random.Generator, noise: int = 3):
        self.graph = named_latents(graph)
        self.order = self.graph.topological_order()
        hidden = set(self.graph.latent)
        self.law = {n: rng.dirichlet(np.full(2 if n in hidden else noise, 2.0)) for n in self.order}
        self.functions = {
            n: rng.integers(0, 2, (2,) * len(self.graph.parents(n)) + (noise,))
            for n in self.order
            if n not in hidden
        }

    def world(self, noise: dict[str, int], do: dict[str, int]) -> dict[str, int]:
        values: dict[str, int] = {}
        for n in self.order:
            if n in do:
                values[n] = do[n]
            elif n not in self.functions:
                values[n] = noise[n]
            else:
                parents = tuple(values[p] for p in self.graph.parents(n))
                values[n] = int(self.functions[n][(*parents, noise[n])])
        return values

    def chance(self, *worlds: tuple[dict[str, int], dict[str, int]]) -> float:
        total = 0.0
        for codes in product(*(range(len(self.law[n])) for n in self.order)):
            noise = dict(zip(self.order, codes, strict=True))
            if all(
                all(found[n] == k for n, k in event.items())
                for event, found in ((e, self.world(noise, do)) for e, do in worlds)
            ):
                total += float(np.prod([self.law[n][k] for n, k in noise.items()]))
        return total

    def joint(self) -> Joint:
        tables = {}
        for n in self.order:
            if n not in self.functions:
                tables[n] = self.law[n]
            else:
                onehot = np.eye(2)[self.functions[n]]  # (*parents, noise, 2)
                tables[n] = np.einsum("...un,u->...n", onehot, self.law[n])
        return Joint(self.graph, tables)


def positive_units(graph: CausalGraph, rng: np.random.Generator) -> Units:
    """Units whose tables have no zero, so that every condition occurs."""
    while True:
        units = Units(graph, rng)
        joint = units.joint()
        rows = (joint.table(n, given=joint.graph.parents(n)).values for n in units.functions)
        if all((row > 0).all() for row in rows):
            return units


def check(graph, worlds, given, rng, repeats=2) -> bool:
    """Return whether it is identified; then the formula must equal the count."""
    try:
        estimand = graph.identify_counterfactual(worlds, given=given)
    except NotIdentifiedError:
        return False
    except GraphError as error:
        assert "contradicts itself" in str(error) or "two levels" in str(error)
        return False
    for _ in range(repeats):
        units = positive_units(graph, rng)
        below = units.chance(*given) if given else 1.0
        if below < 1e-9:
            continue
        truth = units.chance(*worlds, *given) / below
        assert estimand.evaluate(units.joint()) == pytest.approx(truth, abs=1e-9), str(estimand)
    return True


def random_world(graph, rng, most=2):
    names = list(graph.nodes)
    event = {n: int(rng.integers(2)) for n in rng.permutation(names)[: rng.integers(1, most + 1)]}
    act = {n: int(rng.integers(2)) for n in rng.permutation(names)[: rng.integers(0, 2)]}
    return {str(n): v for n, v in event.items()}, {str(n): v for n, v in act.items()}


@pytest.mark.parametrize("seed", range(300))
def test_formulas_equal_the_count(seed):
    rng = np.random.default_rng(seed)
    for _ in range(4):
        graph = random_admg(rng, 3, edge=0.6, confounded=0.2)
        worlds = [random_world(graph, rng, 1) for _ in range(rng.integers(1, 4))]
        given = [random_world(graph, rng, 1) for _ in range(rng.integers(0, 3))]
        check(graph, worlds, given, rng, repeats=1)
