"""Roots: every distribution through the contract, and their own errors."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from scipy import stats
from torch import distributions as d

from scm.errors import MechanismError
from scm.mechanisms import Categorical, Empirical, Real, Root, Tabular
from tests.mechanisms.contract import REAL, Case, MechanismContract, draw, generator, run

ONE = torch.tensor(1.0)
TRIL = torch.tensor([[1.0, 0.0], [0.5, 2.0]])
MEAN = torch.tensor([1.0, -1.0])


class TestRoot(MechanismContract):
    cases: ClassVar = {
        "normal": Case(lambda: Root.normal(1.0, 2.0), log_prob=stats.norm(1, 2).logpdf),
        "vector normal": Case(
            lambda: Root.normal(torch.zeros(3), torch.tensor([1.0, 2.0, 3.0])),
            log_prob=lambda x: stats.norm(0, [1, 2, 3]).logpdf(x).sum(-1),
        ),
        "uniform": Case(lambda: Root.uniform(-1.0, 3.0), log_prob=stats.uniform(-1, 4).logpdf),
        "bernoulli": Case(lambda: Root.bernoulli(0.3), log_prob=stats.bernoulli(0.3).logpmf),
        "categorical": Case(lambda: Root.categorical([0.2, 0.5, 0.3])),
        "monotone": Case(lambda: Root.categorical([0.2, 0.5, 0.3], coupling="monotone")),
        "empirical": Case(lambda: Root.empirical([1.0, 2.0, 2.0, 5.0])),
        "empirical rows": Case(lambda: Root.empirical(torch.arange(12.0).reshape(4, 3))),
        "empirical levels": Case(lambda: Root.empirical([0, 2, 2, 1], Categorical(3))),
        "gamma": Case(
            lambda: Root(d.Gamma(2 * ONE, 3 * ONE)), log_prob=stats.gamma(2, scale=1 / 3).logpdf
        ),
        "student": Case(
            lambda: Root(d.StudentT(5 * ONE, ONE, 2 * ONE)),
            log_prob=stats.t(5, 1, 2).logpdf,
            range=(-300.0, 300.0),
        ),
        "laplace": Case(lambda: Root(d.Laplace(ONE, 2 * ONE)), log_prob=stats.laplace(1, 2).logpdf),
        "lognormal": Case(
            lambda: Root(d.LogNormal(ONE, 0.5 * ONE)),
            log_prob=stats.lognorm(0.5, scale=2.718281828).logpdf,
            range=(1e-6, 60.0),
        ),
        "exponential": Case(
            lambda: Root(d.Exponential(2 * ONE)), log_prob=stats.expon(0, 0.5).logpdf
        ),
        "beta": Case(lambda: Root(d.Beta(2 * ONE, 3 * ONE)), log_prob=stats.beta(2, 3).logpdf),
        "gumbel": Case(lambda: Root(d.Gumbel(ONE, ONE)), log_prob=stats.gumbel_r(1, 1).logpdf),
        "poisson": Case(lambda: Root(d.Poisson(3 * ONE)), log_prob=stats.poisson(3).logpmf),
        "multivariate": Case(
            lambda: Root(d.MultivariateNormal(MEAN, scale_tril=TRIL)),
            log_prob=stats.multivariate_normal(MEAN.numpy(), (TRIL @ TRIL.T).numpy()).logpdf,
        ),
        "batch": Case(lambda: Root(d.Independent(d.Laplace(torch.zeros(2), ONE), 1))),
    }


def test_roots_with_levels_are_tables() -> None:
    assert isinstance(Root(d.Bernoulli(0.3)), Tabular)
    named = Root(d.Categorical(torch.tensor([0.5, 0.5])), type=Categorical(("a", "b")))
    assert named.type.names == ("a", "b")
    with pytest.raises(MechanismError, match="expected Categorical"):
        Root(d.Bernoulli(0.3), type=Real())


@pytest.mark.parametrize("make", [Root.normal, Root.bernoulli, lambda: Root.empirical([1.0, 2.0])])
def test_a_root_has_no_parents(make) -> None:
    root = make()
    with pytest.raises(MechanismError, match="parent"):
        root.bind("S", {"A": REAL})


@pytest.mark.parametrize(
    "law",
    [
        d.Dirichlet(torch.ones(3)),
        d.Multinomial(3, torch.ones(3)),
        d.MultivariateNormal(torch.zeros(2, 2), torch.eye(2)),
        d.TransformedDistribution(d.Normal(0.0, 1.0), [d.ExpTransform()]),
    ],
)
def test_noise_that_cannot_be_inverted(law: d.Distribution) -> None:
    with pytest.raises(MechanismError, match="inverse distribution function.*MultivariateNormal"):
        Root(law)


def test_given_something_else() -> None:
    with pytest.raises(MechanismError, match=r"Root\(3\.0\).*Root\.normal"):
        Root(3.0)
    with pytest.raises(MechanismError, match=r"event \(\), not that of Real\(2,\)"):
        Root(d.Normal(0.0, 1.0), Real(2))


@pytest.mark.parametrize(
    ("law", "value"),
    [
        (d.Gamma(ONE, ONE), -1.0),
        (d.Exponential(ONE), -0.5),
        (d.LogNormal(ONE, ONE), -2.0),
        (d.Uniform(0.0, 1.0), 1.5),
        (d.Beta(ONE, ONE), 1.1),
        (d.Poisson(ONE), -1.0),
        (d.Poisson(ONE), 1.5),
        (d.VonMises(0.0, ONE), 4.0),
    ],
)
def test_values_outside_the_support(law: d.Distribution, value: float) -> None:
    root = Root(law)
    root.bind("S", {})
    given = torch.tensor([0.5 if not root.law.discrete else 1.0, value])
    with pytest.raises(MechanismError, match="1 of 2 values.*outside the support.*correct"):
        root.abduct(given, {}, torch.zeros(2))
    assert root.log_prob(given, {}).tolist()[1] == -torch.inf
    with pytest.raises(MechanismError, match="outside the support"):
        (root.law if not isinstance(law, d.Uniform) else Root(d.Gamma(ONE, ONE)).law).fit(
            torch.tensor([-7.5, 2.5])
        )


def test_an_impossibly_large_count() -> None:
    root = Root(d.Poisson(ONE))
    with pytest.raises(MechanismError, match="300 is so improbable"):
        root.abduct(torch.tensor([300.0]), {}, torch.zeros(1))


class TestEmpirical:
    def test_no_rows(self) -> None:
        with pytest.raises(MechanismError, match=r"expected rows"):
            Root.empirical([])
        root = Root.empirical([1.0])
        with pytest.raises(MechanismError, match="no rows"):
            root.fit(torch.zeros(0), {})

    def test_an_unknown_value(self) -> None:
        root = Root.empirical([1.0, 2.0])
        root.bind("S", {})
        with pytest.raises(MechanismError, match="row 1 .*'S'.* 2 recorded"):
            root.abduct(torch.tensor([1.0, 3.0]), {}, torch.rand(2, generator=generator()))

    def test_worlds_and_draws(self) -> None:
        root = Root.empirical(torch.arange(6.0).reshape(3, 2))
        value = root.values[torch.tensor([0, 2, 1, 1])].expand(1, 1, 4, 2)
        fresh = draw(root.noise, (5, 1, 4), generator())
        found = root.abduct(value, {}, fresh)
        assert found.shape == (5, 1, 4)
        assert torch.equal(run(root, {}, found), value.expand(5, 1, 4, 2))

    def test_many_records(self) -> None:
        root = Root.empirical(torch.arange(1_000_000.0))
        value = torch.arange(0.0, 1_000_000.0, 97.0)
        fresh = draw(root.noise, value.shape, generator())
        assert torch.equal(run(root, {}, root.abduct(value, {}, fresh)), value)

    def test_fit_records(self) -> None:
        root = Root.empirical([1.0])
        root.fit(torch.tensor([4.0, 5.0]), {})
        assert isinstance(root, Empirical)
        assert root.values.tolist() == [4.0, 5.0]

    def test_table(self) -> None:
        assert Root.empirical([0, 2, 2, 1], Categorical(3)).table().tolist() == [0.25, 0.25, 0.5]
        with pytest.raises(MechanismError, match="not a table"):
            Root.empirical([1.0]).table()


@pytest.mark.parametrize(
    ("start", "truth"),
    [
        (lambda: Root.normal(), lambda: Root.normal(3.0, 0.5)),
        (lambda: Root(d.Laplace(0.0, 1.0)), lambda: Root(d.Laplace(3.0, 0.5))),
        (lambda: Root(d.Exponential(1.0)), lambda: Root(d.Exponential(4.0))),
        (lambda: Root(d.Poisson(1.0)), lambda: Root(d.Poisson(4.0))),
        (lambda: Root(d.Gamma(ONE, ONE)), lambda: Root(d.Gamma(3 * ONE, 2 * ONE))),
        (lambda: Root(d.StudentT(ONE)), lambda: Root(d.StudentT(4 * ONE, 9.0, 2.0))),
        (lambda: Root(d.LogNormal(0.0, 1.0)), lambda: Root(d.LogNormal(1.0, 0.5))),
        (
            lambda: Root(d.MultivariateNormal(torch.zeros(2), torch.eye(2))),
            lambda: Root(d.MultivariateNormal(MEAN, scale_tril=TRIL)),
        ),
    ],
)
def test_fit_recovers_the_parameters(start, truth) -> None:
    """Within 4 standard errors, which a bootstrap of the fit itself gives."""
    root, known = start(), truth()
    n = 2000
    value = run(known, {}, draw(known.noise, (n,), generator(5)))
    root.fit(value, {})
    again, g = [], generator(6)
    for _ in range(8):
        other = truth()
        other.fit(value[torch.randint(n, (n,), generator=g)], {})
        again.append([getattr(other.law, p).clone() for p in other.law.names])
    for k, name in enumerate(root.law.names):
        stderr = torch.stack([values[k] for values in again]).std(0)
        error = (getattr(root.law, name) - getattr(known.law, name)).abs()
        assert (error <= 4 * stderr + 1e-6).all(), (name, error, stderr)


def test_fit_of_data_that_do_not_vary() -> None:
    root = Root.normal()
    with pytest.raises(MechanismError, match=r"does not vary.*Structural"):
        root.fit(torch.full((5,), 2.0), {})
    with pytest.raises(MechanismError, match="singular"):
        Root(d.MultivariateNormal(torch.zeros(2), torch.eye(2))).fit(
            torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), {}
        )
    assert root.law.loc == 0
