"""Random discrete models of a causal graph, and the answers they give by enumeration."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, combinations_with_replacement, permutations, product

import numpy as np

from scm.exact import Joint
from scm.graph import CausalGraph
from scm.graph.structure import Structure


def named_latents(graph: CausalGraph) -> CausalGraph:
    """The same graph with a latent node in the place of each ``<->``, and macros as effects."""
    s = graph.structure
    names = {pair: f"U_{'_'.join(pair)}" for pair in s.bidirected}
    return CausalGraph(
        Structure(
            nodes=(*s.nodes, *names.values()),
            edges=(*s.edges, *s.constitutive, *((u, n) for pair, u in names.items() for n in pair)),
            latent=(*s.latent, *names.values()),
        )
    )


def random_joint(
    graph: CausalGraph, rng: np.random.Generator, levels: int = 2, floor: float = 0.05
) -> Joint:
    """A model of ``graph`` with random tables, all entries positive."""
    full = named_latents(graph)
    tables = {}
    for node in full:
        shape = (levels,) * len(full.parents(node))
        table = rng.dirichlet(np.ones(levels), size=shape)
        tables[node] = table * (1 - levels * floor) + floor
    return Joint(full, tables)


def random_admg(
    rng: np.random.Generator, n: int, edge: float = 0.4, confounded: float = 0.25
) -> CausalGraph:
    names = [f"V{i}" for i in range(n)]
    pairs = list(combinations(names, 2))
    edges = tuple(p for p in pairs if rng.random() < edge)
    bidirected = tuple(p for p in pairs if rng.random() < confounded)
    return CausalGraph(Structure(tuple(names), edges, bidirected))


def dags(n: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Every DAG on n nodes up to isomorphism, as edges (i, j) with i < j."""
    pairs = list(combinations(range(n), 2))
    seen = set()
    for keep in product((False, True), repeat=len(pairs)):
        edges = tuple(p for p, kept in zip(pairs, keep, strict=True) if kept)
        form = min(
            tuple(sorted((order[a], order[b]) for a, b in edges))
            for order in permutations(range(n))
        )
        if form not in seen:
            seen.add(form)
            yield edges


def latent_graphs(n: int, latents: int = 2) -> Iterator[CausalGraph]:
    """Every DAG on n observed nodes with up to ``latents`` latent common causes.

    A latent node is a root with two or more observed children. Up to isomorphism; latents
    with the same children, or whose children another one also has, are kept.
    """
    groups = [g for k in range(2, n + 1) for g in combinations(range(n), k)]
    for edges in dags(n):
        orders = [
            order
            for order in permutations(range(n))
            if {(order[a], order[b]) for a, b in edges} == set(edges)
        ]
        seen = set()
        for k in range(latents + 1):
            for chosen in combinations_with_replacement(groups, k):
                form = min(
                    tuple(sorted(tuple(sorted(order[i] for i in group)) for group in chosen))
                    for order in orders
                )
                if form in seen:
                    continue
                seen.add(form)
                yield CausalGraph(
                    Structure(
                        nodes=tuple("ABCD"[:n]) + tuple(f"L{i}" for i in range(k)),
                        edges=tuple(("ABCD"[a], "ABCD"[b]) for a, b in edges)
                        + tuple((f"L{i}", "ABCD"[j]) for i, g in enumerate(chosen) for j in g),
                        latent=tuple(f"L{i}" for i in range(k)),
                    )
                )
