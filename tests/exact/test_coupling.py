"""Couplings: the noise gives the level, the posterior gives it back, and pairs are exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scm.errors import MechanismError
from scm.mechanisms.coupling import Coupling, Gumbel, Monotone, coupling

COUPLINGS = [Gumbel(), Monotone()]
DTYPES = [torch.float32, torch.float64]

weights = st.one_of(
    st.floats(1e-3, 1.0),
    st.sampled_from([0.0, 1e-12, 1e-20, 1e-7, 1 - 1e-7, 1.0, 1e6]),
)


@st.composite
def distributions(draw: st.DrawFn, levels: int | None = None) -> list[float]:
    k = levels or draw(st.integers(1, 6))
    w = draw(st.lists(weights, min_size=k, max_size=k))
    w[draw(st.integers(0, k - 1))] += draw(st.sampled_from([1e-9, 1.0]))
    return [x / sum(w) for x in w]


def uniforms(dtype: torch.dtype) -> st.SearchStrategy[float]:
    info = torch.finfo(dtype)
    edge = st.sampled_from([0.0, info.tiny, info.eps / 2, 0.5, 1 - info.eps, 1 - info.eps / 2])
    width = 32 if dtype == torch.float32 else 64
    return edge | st.floats(0.0, 1 - info.eps / 2, width=width)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("c", COUPLINGS, ids=repr)
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_posterior_gives_the_value_back(c: Coupling, dtype: torch.dtype, data: st.DataObject):
    p = data.draw(distributions())
    probs = torch.tensor(p, dtype=data.draw(st.sampled_from(DTYPES)))
    width = c.width(len(p))
    u = data.draw(st.lists(uniforms(dtype), min_size=width, max_size=width))
    fresh = torch.tensor(u, dtype=dtype)
    drawn = c.value(probs, fresh)
    assert probs[drawn] > 0
    for v in torch.nonzero(probs > 1e-30).flatten():
        noise = c.posterior(probs, v, fresh)
        assert noise.dtype == dtype
        assert noise.shape == fresh.shape
        assert ((noise >= 0) & (noise < 1)).all()
        assert c.value(probs, noise) == v


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("c", COUPLINGS, ids=repr)
@pytest.mark.parametrize(
    "p",
    [
        [0.3, 1e-12, 0.7 - 1e-12],
        [1 - 1e-7, 1e-7],
        [1e-7, 1 - 1e-7],
        [0.0, 1e-12, 1 - 2e-12, 1e-12, 0.0],
        [1e-12] * 5 + [1 - 5e-12] + [1e-12] * 5,
        [0.0, 1.0, 0.0],
        [0.25] * 4,
    ],
    ids=str,
)
def test_many_posteriors_of_extreme_tables(c: Coupling, dtype: torch.dtype, p: list[float]):
    probs = torch.tensor(p, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for v in torch.nonzero(probs).flatten():
        fresh = torch.rand(20_000, c.width(len(p)), generator=generator, dtype=dtype)
        value = v.expand(20_000)
        assert torch.equal(c.value(probs, c.posterior(probs, value, fresh)), value)


@pytest.mark.parametrize("c", COUPLINGS, ids=repr)
def test_values_follow_the_table_and_posteriors_mix_back_to_the_prior(c: Coupling):
    n = 200_000
    probs = torch.tensor([0.1, 0.0, 0.6, 0.3])
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(n, c.width(4), generator=generator)
    value = c.value(probs, noise)
    share = torch.bincount(value, minlength=4) / n
    assert (share - probs).abs().max() < 4 * 0.5 / n**0.5
    again = c.posterior(probs, value, torch.rand(n, c.width(4), generator=generator))
    # value ~ prior and U ~ posterior: U is uniform, and so are its values under any parents
    for column in again.T:
        sorted_ = column.double().sort().values
        steps = torch.arange(1, n + 1, dtype=torch.float64) / n
        assert (sorted_ - steps).abs().max() < 2.2 / n**0.5
    other = torch.tensor([0.4, 0.2, 0.2, 0.2])
    moved = c.value(other, again)
    joint = torch.zeros(4, 4).index_put_((value, moved), torch.tensor(1.0), accumulate=True) / n
    expected = c.pair(probs.double().numpy(), other.double().numpy())
    assert (joint.double() - torch.from_numpy(expected)).abs().max() < 4 * 0.5 / n**0.5


@pytest.mark.parametrize("c", COUPLINGS, ids=repr)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_pair_has_the_margins_and_is_the_identity_on_equal_tables(c: Coupling, data: st.DataObject):
    p = np.array(data.draw(distributions()))
    q = np.array(data.draw(distributions(levels=len(p))))
    joint = c.pair(p, q)
    assert (joint >= 0).all()
    np.testing.assert_allclose(joint.sum(1), p, atol=1e-13)
    np.testing.assert_allclose(joint.sum(0), q, atol=1e-13)
    np.testing.assert_allclose(joint, c.pair(q, p).T, atol=1e-13)
    np.testing.assert_allclose(c.pair(p, p), np.diag(p), atol=1e-13)


@pytest.mark.parametrize("c", COUPLINGS, ids=repr)
@pytest.mark.parametrize("seed", range(4))
def test_pair_is_what_common_noise_gives(c: Coupling, seed: int):
    rng = np.random.default_rng(seed)
    k, n = int(rng.integers(2, 6)), 200_000
    p, q = rng.dirichlet(np.full(k, 0.5), size=2)
    if seed == 3:
        p[0], q[-1] = 0.0, 0.0
        p, q = p / p.sum(), q / q.sum()
    noise = torch.rand(
        n, c.width(k), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    a, b = c.value(torch.tensor(p), noise).numpy(), c.value(torch.tensor(q), noise).numpy()
    expected = c.pair(p, q)
    for i, j in itertools.product(range(k), repeat=2):
        e = expected[i, j]
        assert abs(np.mean((a == i) & (b == j)) - e) <= 4 * np.sqrt(e * (1 - e) / n) + 1e-12


def test_gumbel_pair_against_quadrature():
    # P(k, l) = p_k q_l times the integral over t/s of dr / M(r)^2, by brute force
    rng = np.random.default_rng(7)
    p, q = rng.dirichlet(np.ones(4), size=2)
    expected = Gumbel().pair(p, q)
    for k, j in itertools.permutations(range(4), 2):
        low, high = p[j] / q[j], p[k] / q[k]
        if low >= high:
            assert expected[k, j] == 0
            continue
        edges = np.linspace(low, high, 400_001)
        r = (edges[1:] + edges[:-1]) / 2
        m = np.maximum(p, q * r[:, None]).sum(1)
        integral = np.sum(1 / m**2) * (high - low) / len(r)
        assert expected[k, j] == pytest.approx(p[k] * q[j] * integral, rel=1e-6)


@pytest.mark.parametrize("c", COUPLINGS, ids=repr)
def test_leading_dimensions_broadcast(c: Coupling):
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(3), size=(2, 1)), rng.dirichlet(np.ones(3), size=(1, 4))
    joint = c.pair(p, q)
    assert joint.shape == (2, 4, 3, 3)
    np.testing.assert_array_equal(joint[1, 2], c.pair(p[1, 0], q[0, 2]))
    probs, noise = torch.tensor(p), torch.rand(5, c.width(3), dtype=torch.float64)
    value = c.value(probs, noise)
    assert value.shape == (2, 5)
    assert value.dtype == torch.int64
    assert c.posterior(probs, value, noise).shape == (2, 5, c.width(3))


def test_errors_say_what_was_expected():
    with pytest.raises(MechanismError, match=r"gumbel.*monotone"):
        coupling("gumble")
    with pytest.raises(MechanismError, match="3 uniforms"):
        Gumbel().value(torch.ones(3) / 3, torch.rand(5, 2))
    for c in COUPLINGS:
        fresh = torch.rand(1, c.width(2))
        with pytest.raises(MechanismError, match="probability zero"):
            c.posterior(torch.tensor([1.0, 0.0]), torch.tensor([1]), fresh)
        with pytest.raises(MechanismError, match=r"0\.\.1"):
            c.posterior(torch.tensor([1.0, 0.0]), torch.tensor([2]), fresh)
