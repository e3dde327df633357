"""Answers by enumeration in plain Python: shares no code with what it checks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

Codes = Mapping[str, int]


@dataclass
class Network:
    parents: dict[str, list[str]]  # in topological order
    tables: dict[str, np.ndarray]

    @property
    def spec(self) -> str:
        return "; ".join(f"{', '.join(p)} -> {n}" if p else n for n, p in self.parents.items())

    def card(self, node: str) -> int:
        return self.tables[node].shape[-1]

    def row(self, node: str, world: Codes) -> Sequence[float]:
        table = self.tables[node].tolist()
        for p in self.parents[node]:
            table = table[world[p]]
        return table

    def worlds(self, do: Codes) -> Iterator[tuple[dict[str, int], float]]:
        """Every assignment with its probability, by truncated factorisation."""
        for codes in itertools.product(*(range(self.card(n)) for n in self.parents)):
            world = dict(zip(self.parents, codes, strict=True))
            chance = 1.0
            for node, code in world.items():
                if node in do:
                    chance *= code == do[node]
                else:
                    chance *= self.row(node, world)[code]
            if chance:
                yield world, chance

    def chance(self, event: Codes, do: Codes | None = None) -> float:
        return sum(c for w, c in self.worlds(do or {}) if all(w[n] == k for n, k in event.items()))

    def monotone_counterfactual(self, outcome: Codes, do: Codes, given: Codes) -> float:
        """Enumerate, node by node, the cells of its uniform that fix its value in both worlds."""
        joint = within = 0.0
        for first, second, chance in self._two_worlds(list(self.parents), {}, {}, 1.0, do):
            if all(first[n] == k for n, k in given.items()):
                within += chance
                joint += chance * all(second[n] == k for n, k in outcome.items())
        return joint / within

    def _two_worlds(
        self, left: list[str], first: Codes, second: Codes, chance: float, do: Codes
    ) -> Iterator[tuple[Codes, Codes, float]]:
        if not left:
            yield first, second, chance
            return
        node, *rest = left
        a, b = self.row(node, first), self.row(node, second)
        cuts = sorted({0.0, 1.0, *itertools.accumulate(a), *itertools.accumulate(b)})
        for low, high in itertools.pairwise(cuts):
            if high - low < 1e-15:
                continue
            u = (low + high) / 2
            if u > 1:
                continue
            i, j = _inverse(a, u), _inverse(b, u)
            yield from self._two_worlds(
                rest,
                {**first, node: i},
                {**second, node: do.get(node, j)},
                chance * (high - low),
                do,
            )


def _inverse(row: Sequence[float], u: float) -> int:
    total = 0.0
    for k, p in enumerate(row):
        total += p
        if u < total:
            return k
    return max(k for k, p in enumerate(row) if p > 0)


@st.composite
def networks(
    draw: st.DrawFn, most: int = 5, levels: int = 3, zeros: bool = False, least: int = 2
) -> Network:
    n = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    names = [f"V{i}" for i in range(n)]
    cards = {name: draw(st.integers(1 if zeros else 2, levels)) for name in names}
    parents = {}
    for i, name in enumerate(names):
        chosen = draw(st.lists(st.sampled_from(names[:i]), max_size=3, unique=True)) if i else []
        parents[name] = chosen
    tables = {}
    for name, chosen in parents.items():
        shape = tuple(cards[p] for p in chosen)
        table = rng.dirichlet(np.ones(cards[name]), size=shape)
        if zeros and draw(st.booleans()):  # a deterministic node
            table = np.eye(cards[name])[rng.integers(0, cards[name], size=shape)]
        tables[name] = table
    return Network(parents, tables)


def random_network(n: int, seed: int, window: int = 5, most_parents: int = 3) -> Network:
    """A long network of small treewidth."""
    rng = np.random.default_rng(seed)
    names = [f"V{i}" for i in range(n)]
    cards = dict(zip(names, rng.integers(2, 5, n), strict=True))
    parents: dict[str, list[str]] = {}
    tables = {}
    for i, name in enumerate(names):
        near = names[max(0, i - window) : i]
        k = min(len(near), int(rng.integers(1, most_parents + 1)))
        parents[name] = [str(p) for p in rng.choice(near, k, replace=False)] if near else []
        shape = tuple(cards[p] for p in parents[name])
        tables[name] = rng.dirichlet(np.ones(cards[name]), size=shape)
    return Network(parents, tables)
