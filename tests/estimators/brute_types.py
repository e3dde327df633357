"""Response types by enumeration in plain Python: shares no code with what it checks.

For graphs with one latent cause ``U`` of some nodes. Works on the whole joint P(v), where
`scm.estimators` works on c-factors.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from scipy.optimize import linprog

from scm.exact import Joint
from scm.graph import CausalGraph


class Types:
    def __init__(self, graph: CausalGraph, joint: Joint) -> None:
        self.graph, self.joint = graph, joint
        self.order = [n for n in graph.topological_order() if n not in graph.latent]
        self.card = {n: len(joint.levels[n]) for n in self.order}
        self.confounded = [n for n in self.order if "U" in graph.parents(n)]
        self.parents = {n: [p for p in graph.parents(n) if p != "U"] for n in self.order}
        per_node = []
        for n in self.confounded:
            inputs = list(itertools.product(*(range(self.card[p]) for p in self.parents[n])))
            outputs = itertools.product(range(self.card[n]), repeat=len(inputs))
            per_node.append([dict(zip(inputs, out, strict=True)) for out in outputs])
        self.types = list(itertools.product(*per_node))
        self.others = {
            n: joint.table(n, given=self.parents[n]).values.numpy()
            for n in self.order
            if n not in self.confounded
        }

    def chance(self, world: Mapping[str, int], do: Mapping[str, int]) -> np.ndarray:
        """P(world | do, type) for each type."""
        result = np.ones(len(self.types))
        for n in self.order:
            at = tuple(world[p] for p in self.parents[n])
            if n in do:
                result *= world[n] == do[n]
            elif n in self.others:
                result *= self.others[n][(*at, world[n])]
            else:
                i = self.confounded.index(n)
                result *= np.array([t[i][at] == world[n] for t in self.types])
        return result

    def worlds(self):
        for codes in itertools.product(*(range(self.card[n]) for n in self.order)):
            yield dict(zip(self.order, codes, strict=True))

    def programme(self):
        """The equations of the observed joint."""
        rows = [self.chance(w, {}) for w in self.worlds()]
        table = self.joint.table(*self.order).values.numpy().ravel()
        return np.array([*rows, np.ones(len(self.types))]), np.array([*table, 1.0])

    def effect(self, outcome: Mapping[str, int], do: Mapping[str, int]) -> np.ndarray:
        worlds = [w for w in self.worlds() if all(w[n] == k for n, k in outcome.items())]
        return np.sum([self.chance(w, do) for w in worlds], axis=0)

    def optimum(self, cost: np.ndarray) -> np.ndarray:
        matrix, targets = self.programme()
        found = linprog(cost, A_eq=matrix, b_eq=targets, bounds=(0, None), method="highs")
        assert found.status == 0, found.message
        return np.clip(found.x, 0, None)

    def model(self, p: np.ndarray) -> Joint:
        """The model in which U is the response type, with distribution p."""
        tables = {"U": p / p.sum()}
        for n in self.order:
            parents = self.graph.parents(n)
            if n in self.others:
                tables[n] = self.others[n]
                continue
            shape = tuple(len(self.types) if q == "U" else self.card[q] for q in parents)
            table = np.zeros((*shape, self.card[n]))
            i = self.confounded.index(n)
            for codes in itertools.product(*map(range, shape)):
                at = dict(zip(parents, codes, strict=True))
                level = self.types[at["U"]][i][tuple(at[q] for q in self.parents[n])]
                table[(*codes, level)] = 1.0
            tables[n] = table
        return Joint(self.graph, tables)


def random_joint(graph: CausalGraph, rng: np.random.Generator, cards=None, latent=3) -> Joint:
    cards = {n: latent if n in graph.latent else (cards or {}).get(n, 2) for n in graph.nodes}
    tables = {}
    for n in graph.nodes:
        shape = tuple(cards[p] for p in graph.parents(n))
        tables[n] = rng.dirichlet(np.full(cards[n], 0.7), size=shape)
    return Joint(graph, tables)


def sample(joint: Joint, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    names = joint.graph.observed
    table = joint.table(*names).values.numpy()
    codes = np.unravel_index(rng.choice(table.size, size=n, p=table.ravel()), table.shape)
    return dict(zip(names, codes, strict=True))
