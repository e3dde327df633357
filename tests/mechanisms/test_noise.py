"""Laws: base noise to values and back, for every family."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import distributions as d

from scm.errors import MechanismError
from scm.mechanisms import Law, Noise
from tests.mechanisms.contract import generator

positive = st.floats(0.3, 5.0)
where = st.floats(-10.0, 10.0)


def tensors(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(v) for v in values]


def family(make, *parameters):
    return st.tuples(*parameters).map(lambda p: make(*tensors(*p)))


CONTINUOUS = {
    "Normal": family(d.Normal, where, positive),
    "LogNormal": family(d.LogNormal, st.floats(-2.0, 2.0), positive),
    "Laplace": family(d.Laplace, where, positive),
    "Uniform": st.tuples(where, positive).map(lambda p: d.Uniform(p[0], p[0] + p[1])),
    "Exponential": family(d.Exponential, positive),
    "Gamma": family(d.Gamma, positive, positive),
    "Chi2": family(d.Chi2, positive),
    "Beta": family(d.Beta, positive, positive),
    "StudentT": family(d.StudentT, st.floats(2.0, 9.0), where, positive),
    "FisherSnedecor": family(d.FisherSnedecor, st.floats(2.0, 9.0), st.floats(4.0, 9.0)),
    "InverseGamma": family(d.InverseGamma, st.floats(2.0, 5.0), positive),
    "VonMises": family(d.VonMises, st.floats(-3.0, 3.0), positive),
    "Cauchy": family(d.Cauchy, where, positive),
    "Gumbel": family(d.Gumbel, where, positive),
    "HalfNormal": family(d.HalfNormal, positive),
    "HalfCauchy": family(d.HalfCauchy, positive),
    "Weibull": family(d.Weibull, positive, positive),
    "Pareto": family(d.Pareto, positive, st.floats(2.0, 5.0)),
    "Kumaraswamy": family(d.Kumaraswamy, positive, positive),
}
DISCRETE = {
    "Bernoulli": family(d.Bernoulli, st.floats(0.01, 0.99)),
    "Poisson": family(d.Poisson, st.floats(0.1, 200.0)),
    "Geometric": family(d.Geometric, st.floats(0.05, 0.95)),
    "Binomial": st.tuples(st.integers(1, 50), st.floats(0.05, 0.95)).map(
        lambda p: d.Binomial(p[0], torch.tensor(p[1]))
    ),
    "NegativeBinomial": st.tuples(st.integers(1, 9), st.floats(0.05, 0.9)).map(
        lambda p: d.NegativeBinomial(p[0], torch.tensor(p[1]))
    ),
}
DTYPES = [torch.float32, torch.float64]


def base(law: Law, z: torch.Tensor) -> torch.Tensor:
    """Normal numbers as base noise of a law."""
    if law.noise.law == "normal":
        return z
    step = torch.finfo(z.dtype).eps / 2
    return (0.5 * torch.erfc(-z / math.sqrt(2))).clamp(step / 2, 1 - step)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONTINUOUS)
@settings(max_examples=8)
@given(data=st.data())
def test_pull_inverts_push(name: str, dtype: torch.dtype, data: st.DataObject) -> None:
    law = Law(data.draw(CONTINUOUS[name])).to(dtype)
    z = data.draw(st.lists(st.floats(-4.0, 4.0), min_size=1, max_size=20))
    value = law.push(base(law, torch.tensor(z, dtype=dtype)))
    found = law.pull(value, torch.zeros_like(value))
    assert torch.isfinite(value).all()
    assert value.dtype == found.dtype == dtype
    rtol = 2e-4 if dtype == torch.float32 else 1e-8
    torch.testing.assert_close(law.push(found), value, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", DISCRETE)
@settings(max_examples=8)
@given(data=st.data(), seed=st.integers(0, 99))
def test_pull_draws_from_the_noise_that_gives_a_count(
    name: str, dtype: torch.dtype, data: st.DataObject, seed: int
) -> None:
    law = Law(data.draw(DISCRETE[name])).to(dtype)
    g = generator(seed)
    value = law.push(torch.randn(200, generator=g, dtype=dtype))
    found = law.pull(value, torch.randn(200, generator=g, dtype=dtype))
    assert torch.equal(law.push(found), value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
@settings(max_examples=4)
@given(data=st.data())
def test_extreme_noise_stays_finite(name: str, dtype: torch.dtype, data: st.DataObject) -> None:
    """The farthest that 53 bits of a uniform, or 1e15 normal draws, would go."""
    law = Law(data.draw({**CONTINUOUS, **DISCRETE}[name])).to(dtype)
    z = torch.tensor([-8.0, -6.0, 6.0, 8.0], dtype=dtype)
    if dtype == torch.float32 and name in ("StudentT", "Cauchy", "HalfCauchy"):
        z = z.clamp(-6, 6)
    value = law.push(base(law, z))
    assert torch.isfinite(value).all()
    if not law.discrete:
        assert torch.isfinite(law.pull(value, torch.zeros_like(value))).all()
        assert (value.diff() >= 0).all() or name == "VonMises"


@pytest.mark.parametrize("name", sorted({*CONTINUOUS, *DISCRETE} - {"VonMises"}))
@settings(max_examples=3)
@given(data=st.data())
def test_samples_have_the_law(name: str, data: st.DataObject) -> None:
    """KS against torch's own sampler at 1e-4; torch draws inside fork_rng."""
    law = Law(data.draw({**CONTINUOUS, **DISCRETE}[name]))
    value = law.push(base(law, torch.randn(3000, generator=generator(1))))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(2)
        other = law.distribution().sample((3000,))
    assert stats.ks_2samp(value.numpy(), other.numpy(), method="asymp").pvalue > 1e-4


@pytest.mark.parametrize("name", ["Gamma", "Beta", "StudentT", "Gumbel", "Exponential", "Laplace"])
def test_gradients_through_push_and_pull(name: str) -> None:
    """Also where scipy computes the value: dx/dz = phi(z) / f(x)."""
    parameters = {
        "Gamma": (2.0, 3.0),
        "Beta": (2.0, 3.0),
        "StudentT": (5.0, 0.0, 1.0),
        "Gumbel": (0.0, 2.0),
        "Exponential": (2.0,),
        "Laplace": (0.0, 2.0),
    }[name]
    law = Law(getattr(d, name)(*tensors(*parameters))).double()
    z = torch.tensor([-1.5, -0.2, 0.4, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(law.push, (z,))
    x = law.push(z).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: law.pull(v, torch.zeros_like(v)), (x,))


def test_base_noise() -> None:
    assert Law(d.Normal(torch.zeros(3), 1.0)).noise == Noise("normal", (3,))
    assert Law(d.Uniform(0.0, 1.0)).noise == Noise("uniform")
    assert Law(d.MultivariateNormal(torch.zeros(2), torch.eye(2))).noise.width == 2


def test_a_law_of_other_precision_than_the_noise() -> None:
    law = Law(d.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double()))
    value = law.push(torch.ones(3, 2))
    torch.testing.assert_close(law.pull(value, value).double(), torch.ones(3, 2).double())


def test_repr_shows_the_parameters() -> None:
    assert repr(Law(d.Normal(1.0, 2.0))) == "Law(Normal(loc=1, scale=2))"


def test_angles_stay_on_the_circle() -> None:
    law = Law(d.VonMises(torch.tensor(3.0), torch.tensor(1.0)))
    value = law.push(torch.randn(100, generator=generator()))
    assert value.abs().max() <= math.pi + 1e-6
    centred = (value - 3.0 + math.pi) % (2 * math.pi) - math.pi
    assert stats.kstest(centred.numpy(), "vonmises", (1.0,)).pvalue > 1e-3


def test_families_without_a_fit() -> None:
    with pytest.raises(MechanismError, match="no fit of Pareto.*give its parameters"):
        Law(d.Pareto(1.0, 2.0)).fit(torch.tensor([2.0, 3.0]))
    with pytest.raises(MechanismError, match="no rows"):
        Law(d.Normal(0.0, 1.0)).fit(torch.zeros(0))
