"""Random causal graphs, and definitions to hold the library against."""

from __future__ import annotations

from itertools import combinations

from hypothesis import strategies as st

from scm.graph import CausalGraph
from scm.graph.structure import Structure

NAMES = st.one_of(
    st.sampled_from(
        ["A", "B", "C1", "x.y", "_u", "naïve", "age (y)", 'a "b"', "c\\d", "1st", "->"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=4),
)


@st.composite
def graphs(draw, names=NAMES, max_nodes=7, constitutive=True):
    """Acyclic graphs with all three kinds of edge, declared in an order that is not causal."""
    order = draw(st.lists(names, min_size=0, max_size=max_nodes, unique=True))
    macros = {node for node in order if constitutive and draw(st.integers(0, 4)) == 0}
    plain = [node for node in order if node not in macros]
    pairs = list(combinations(plain, 2))
    some = st.lists(st.sampled_from(pairs), max_size=12) if pairs else st.just([])
    return CausalGraph(
        Structure(
            nodes=tuple(draw(st.permutations(order))),
            edges=tuple(draw(some)),
            bidirected=tuple(draw(some)),
            constitutive=tuple((i, m) for i in plain for m in macros if draw(st.booleans())),
            latent=tuple(node for node in order if draw(st.integers(0, 2)) == 0),
        )
    )


def letters(**options):
    """Graphs whose nodes have one-letter names."""
    return graphs(names=st.sampled_from("ABCDEFGH"), **options)


def same_order(a: CausalGraph, b: CausalGraph) -> bool:
    """Whether two equal graphs also agree on the order of nodes and parents."""
    return a == b and a.nodes == b.nodes and all(a.parents(n) == b.parents(n) for n in a)
