from __future__ import annotations

import time

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scm
from scm.estimators import Partition, causal_partition, observational_partition
from scm.estimators.partitions import _grouped

LEVELS = 6


def assignments(count: int) -> st.SearchStrategy[tuple[list[int], ...]]:
    one = st.lists(st.integers(0, 3), min_size=LEVELS, max_size=LEVELS)
    return st.tuples(*[one] * count)


def made(labels: list[int]) -> Partition:
    return Partition.by(dict(enumerate(labels)))


def blocks(graph: nx.Graph) -> set[frozenset[int]]:
    return set(map(frozenset, nx.connected_components(graph)))


def together(labels: list[int]) -> set[tuple[int, int]]:
    """The equivalence relation, as pairs."""
    return {(i, j) for i in range(LEVELS) for j in range(LEVELS) if labels[i] == labels[j]}


def relation(partition: Partition) -> set[tuple[int, int]]:
    return {(i, j) for cell in partition.cells for i in cell for j in cell}


@given(assignments(2))
def test_meet_and_join_are_those_of_equivalence_relations(labels: tuple[list[int], ...]) -> None:
    a, b = map(made, labels)
    first, second = map(together, labels)
    assert relation(a.meet(b)) == first & second
    chained = nx.Graph(first | second)
    assert set(map(frozenset, a.join(b).cells)) == blocks(chained)
    assert a.is_coarsening_of(b) == (second <= first)
    assert a.is_refinement_of(b) == (first <= second)
    assert (a == b) == (first == second)
    for partition in (a.meet(b), a.join(b)):
        assert [min(cell) for cell in partition.cells] == sorted(map(min, partition.cells))
        assert all(list(cell) == sorted(cell) for cell in partition.cells)


@given(assignments(3))
def test_partitions_are_a_lattice(labels: tuple[list[int], ...]) -> None:
    a, b, c = map(made, labels)
    assert a.meet(b) == b.meet(a)
    assert a.join(b) == b.join(a)
    assert hash(a.meet(b)) == hash(b.meet(a))
    assert a.meet(b).meet(c) == a.meet(b.meet(c))
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.meet(a.join(b)) == a == a.join(a.meet(b))
    assert a.meet(b).is_refinement_of(a)
    assert a.join(b).is_coarsening_of(a)


@given(assignments(2), st.lists(st.integers(0, 9), min_size=LEVELS, max_size=LEVELS).filter(any))
def test_entropy_rises_with_refinement(labels: tuple[list[int], ...], weights: list[int]) -> None:
    a, b = map(made, labels)
    chances = {k: w / sum(weights) for k, w in enumerate(weights)}
    masses = np.bincount(labels[0], weights=list(chances.values()))
    expected = sum(-p * np.log(p) for p in masses if p > 0)
    assert a.entropy(chances) == pytest.approx(expected, abs=1e-12)
    h_meet, h_join = a.meet(b).entropy(chances), a.join(b).entropy(chances)
    assert h_join <= a.entropy(chances) + 1e-12 <= h_meet + 2e-12
    assert h_meet <= a.entropy(chances) + b.entropy(chances) + 1e-12


def test_order_of_the_levels_is_kept() -> None:
    coarse = Partition((("small", "large"), ("middle",)), ("small", "middle", "large"))
    fine = coarse.meet(Partition((("large",), ("small", "middle")), ("small", "middle", "large")))
    assert str(fine) == "{small} {middle} {large}"
    assert coarse.cell_of("large") == 0
    assert str(coarse) == "{small, large} {middle}"


@pytest.mark.parametrize("cells", [((0, 1), (1, 2)), ((0,), ()), ((0, 0),)])
def test_what_is_no_partition_is_refused(cells: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(scm.GraphError, match="exactly one cell"):
        Partition(cells)


def test_errors_of_partitions() -> None:
    mine = Partition(((0,), (1,)))
    for ask in (mine.meet, mine.join, mine.is_coarsening_of, mine.is_refinement_of):
        with pytest.raises(scm.GraphError, match="expected the same levels"):
            ask(Partition(((0,), (2,))))
    with pytest.raises(scm.GraphError, match="5 is in no cell"):
        mine.cell_of(5)
    for chances in ({0: 0.5}, {0: 0.5, 1: 0.6}, {0: -0.5, 1: 1.5}, {}):
        with pytest.raises(scm.ScmError, match="expected a probability of each"):
            mine.entropy(chances)
    assert mine != "{0} {1}"


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=14),
    st.sampled_from([0.0, 1.0]),
)
def test_classes_are_chained_by_the_tolerance(
    rows: list[tuple[int, int]], tolerance: float
) -> None:
    near = nx.Graph()
    near.add_nodes_from(range(len(rows)))
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            if max(abs(x - y) for x, y in zip(a, b, strict=True)) <= tolerance:
                near.add_edge(i, j)
    found = _grouped(range(len(rows)), np.array(rows, dtype=float), tolerance)
    assert set(map(frozenset, found.cells)) == blocks(near)


def test_rows_that_no_single_coordinate_parts() -> None:
    """Every coordinate is covered without a gap, yet the two rows of a ring do not touch."""
    ring = [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (3, 2), (3, 3), (0, 3), (1, 3), (0, 2)]
    found = _grouped(range(len(ring)), np.array([(2.0 * x, 2.0 * y) for x, y in ring]), 2.0)
    assert found.cells == ((0, 1, 2, 3, 4, 5, 6), (7, 8, 9))


def table_model(rows: torch.Tensor) -> scm.SCM:
    n = len(rows)
    return scm.SCM("I -> T", I=scm.Tabular(torch.full((n,), 1 / n)), T=scm.Tabular(rows))


def test_thousands_of_levels() -> None:
    """Four thousand images in seven classes, and as many in classes of their own."""
    rng = torch.Generator().manual_seed(0)
    rows = torch.rand(7, 3, generator=rng, dtype=torch.float64).softmax(-1)
    label = torch.arange(4000) % 7
    start = time.process_time()
    few = observational_partition(table_model(rows[label]), "I", "T")
    many = causal_partition(table_model(torch.rand(4000, 3, generator=rng).softmax(-1)), "I", "T")
    assert time.process_time() - start < 5.0  # takes 0.3 s
    assert few.cells == tuple(tuple(range(k, 4000, 7)) for k in range(7))
    assert len(many) == 4000


def test_images_of_no_chance() -> None:
    model = scm.SCM(
        "I -> T",
        I=scm.Tabular([0.5, 0.5, 0.0]),
        T=scm.Tabular([[0.5, 0.5], [0.1, 0.9], [0.5, 0.5]]),
    )
    with pytest.raises(scm.InterventionError, match=r"never \[2\]"):
        observational_partition(model, "I", "T")
    assert causal_partition(model, "I", "T").cells == ((0, 2), (1,))


def test_an_image_that_is_no_cause_has_one_class() -> None:
    rows = [[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]]
    model = scm.SCM(
        "W -> I; W -> T",
        W=scm.Tabular([0.2, 0.5, 0.3]),
        I=scm.Tabular([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.1, 0.1, 0.8]]),
        T=scm.Tabular(rows),
    )
    assert len(causal_partition(model, "I", "T")) == 1
    assert len(observational_partition(model, "I", "T")) == 3


def test_images_too_many_to_enumerate() -> None:
    target = scm.Structural(lambda I: (I.flatten(-3).sum(-1) > 9).long(), type=scm.Categorical(2))  # noqa: E741
    images = scm.Root(
        torch.distributions.Uniform(torch.zeros(1, 28, 28), torch.ones(1, 28, 28)),
        type=scm.Image((1, 28, 28)),
    )
    model = scm.SCM("I -> T", I=images, T=target)
    for ask in (observational_partition, causal_partition):
        with pytest.raises(scm.ScmError, match=r"784 pixels: about 10\^236 .*learn_causes"):
            ask(model, "I", "T")
    line = scm.SCM("I -> T", I=scm.Root.normal(), T=scm.Additive(lambda I: I))  # noqa: E741
    with pytest.raises(scm.ScmError, match=r"a continuum of values .*learn_causes"):
        causal_partition(line, "I", "T")
    n = 2**17
    big = scm.SCM("I -> T", I=scm.Tabular(levels=n), T=scm.Tabular(torch.full((n, 2), 0.5)))
    for given_model in (big, big.exact()):
        with pytest.raises(scm.ScmError, match=r"131,072 values.*65,536.*learn_causes"):
            observational_partition(given_model, "I", "T")


def test_a_target_that_causes_the_image() -> None:
    model = scm.SCM(
        "T -> M -> I",
        T=scm.Root.bernoulli(0.5),
        M=scm.Tabular([[0.9, 0.1], [0.2, 0.8]]),
        I=scm.Tabular([[0.9, 0.1], [0.2, 0.8]]),
    )
    for ask in (observational_partition, causal_partition):
        for given_model in (model, model.exact()):
            with pytest.raises(scm.GraphError, match="T causes I"):
                ask(given_model, image="I", target="T")
            with pytest.raises(scm.GraphError, match="'Image'"):
                ask(given_model, image="Image", target="T")
    with pytest.raises(scm.GraphError, match="or is I itself"):
        causal_partition(model, image="I", target="I")


@pytest.mark.parametrize("tolerance", [-1e-3, float("nan")])
def test_a_tolerance_that_is_none(tolerance: float) -> None:
    for ask in (observational_partition, causal_partition):
        with pytest.raises(scm.ScmError, match="0 or more"):
            ask(table_model(torch.eye(2)), "I", "T", tolerance)


def test_a_continuous_target_is_to_be_binned() -> None:
    model = scm.SCM("I -> T", I=scm.Root.bernoulli(), T=scm.Linear({"I": [0.0, 1.0]}))
    with pytest.raises(scm.MechanismError, match="binned"):
        causal_partition(model, "I", "T")
