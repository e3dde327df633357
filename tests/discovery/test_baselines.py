import networkx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scm.discovery.baselines import (
    _broken,
    direct_lingam,
    notears,
    structural_hamming_distance,
)
from scm.errors import ScmError


def chain(n=500, uniform=False):
    source = torch.Generator().manual_seed(0)
    e = (torch.rand if uniform else torch.randn)(n, 3, generator=source, dtype=torch.float64)
    a = e[:, 0]
    b = 1.5 * a + e[:, 1]
    return torch.stack([a, b, -1.2 * b + e[:, 2]], 1)


TRUTH = torch.tensor([[0, 1, 0], [0, 0, 1], [0, 0, 0]])


def test_notears_finds_a_chain_of_equal_noise():
    found = notears(chain(), restarts=2)
    assert structural_hamming_distance(found.weights, TRUTH) == 0
    assert found.acyclic


def test_notears_survives_equal_columns():
    x = chain()
    found = notears(torch.cat([x, x[:, :1]], 1), restarts=2)
    assert found.weights.isfinite().all()
    assert networkx.is_directed_acyclic_graph(networkx.DiGraph(found.edges.numpy()))


@given(st.lists(st.floats(-1, 1), min_size=16, max_size=16))
def test_breaking_cycles_leaves_a_graph_without_them(values):
    w = torch.tensor(values, dtype=torch.float64).reshape(4, 4)
    left = _broken(w)
    graph = networkx.DiGraph((left != 0).numpy())
    assert networkx.is_directed_acyclic_graph(graph)
    assert ((left == w) | (left == 0)).all()
    if networkx.is_directed_acyclic_graph(networkx.DiGraph((w != 0).numpy())):
        assert torch.equal(left, w)


matrices = st.lists(st.booleans(), min_size=9, max_size=9).map(
    lambda v: torch.tensor(v).reshape(3, 3) & ~torch.eye(3, dtype=torch.bool)
)


@given(matrices, matrices)
def test_the_distance_counts_pairs_that_differ(a, b):
    pairs = [(i, j) for i in range(3) for j in range(i)]
    expected = sum((a[i, j], a[j, i]) != (b[i, j], b[j, i]) for i, j in pairs)
    assert structural_hamming_distance(a, b) == structural_hamming_distance(b, a) == expected


def test_bad_input():
    with pytest.raises(ScmError, match="constant"):
        notears(torch.ones(9, 2))
    with pytest.raises(ScmError, match="finite numbers"):
        notears(torch.ones(9))
    with pytest.raises(ScmError, match="square"):
        structural_hamming_distance(torch.ones(2, 2), torch.ones(3, 3))


@pytest.mark.slow  # importing lingam takes six seconds
def test_direct_lingam_finds_a_non_gaussian_chain():
    pytest.importorskip("lingam")
    found = direct_lingam(chain(1_000, uniform=True))
    assert structural_hamming_distance(found.weights, TRUTH) == 0
