"""Additive, Linear and PostNonlinear."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy import stats
from torch import distributions as d
from torch import nn
from torch.distributions import transforms

from scm.errors import MechanismError
from scm.mechanisms import Additive, Categorical, Linear, Mechanism, PostNonlinear
from tests.mechanisms.contract import (
    IMAGE,
    LEVELS,
    REAL,
    VECTOR,
    Case,
    MechanismContract,
    draw,
    generator,
    global_random_state_untouched,
    run,
    small,
    trial,
)

TRIL = torch.tensor([[1.0, 0.0], [0.5, 2.0]])
TWO = d.Normal(torch.zeros(2), torch.tensor([0.5, 1.0]))
PAIR = {"A": REAL, "B": REAL}


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = small(2)

    def forward(self, A, B):
        return self.net(torch.stack([A, B], -1)).squeeze(-1)


class TestAdditive(MechanismContract):
    cases: ClassVar = {
        "function": Case(
            lambda: Additive(lambda A, B: A * B, d.Normal(0.5, 2.0)),
            PAIR,
            log_prob=lambda x, A, B: stats.norm(A * B + 0.5, 2).logpdf(x),
        ),
        "module": Case(lambda: Additive(small(4)), {"A": REAL, "B": LEVELS}),
        "named module": Case(lambda: Additive(Named(), inputs="named"), PAIR),
        "laplace": Case(
            lambda: Additive(lambda A: A, d.Laplace(0.0, 0.7)),
            {"A": REAL},
            log_prob=lambda x, A: stats.laplace(A, 0.7).logpdf(x),
        ),
        "student": Case(
            lambda: Additive(lambda A: A, d.StudentT(torch.tensor(5.0))),
            {"A": REAL},
            range=(-300.0, 300.0),
        ),
        "exponential": Case(
            lambda: Additive(lambda A: 100 * A, d.Exponential(2.0)),
            {"A": REAL},
            range=(-400.0, 400.0),
        ),
        "vector": Case(
            lambda: Additive(lambda A, B: A * B, TWO),
            {"A": REAL, "B": VECTOR},
            log_prob=lambda x, A, B: stats.norm(A[:, None] * B, [0.5, 1]).logpdf(x).sum(-1),
        ),
        "vector laplace": Case(
            lambda: Additive(lambda A: A, d.Laplace(torch.zeros(2), 1.0)), {"A": VECTOR}
        ),
        "vector module": Case(lambda: Additive(small(2, 2), TWO), {"A": VECTOR}),
        "multivariate": Case(
            lambda: Additive(lambda A: A, d.MultivariateNormal(torch.zeros(2), scale_tril=TRIL)),
            {"A": VECTOR},
            log_prob=lambda x, A: stats.multivariate_normal([0, 0], (TRIL @ TRIL.T).numpy()).logpdf(
                x - A
            ),
        ),
    }


class TestLinear(MechanismContract):
    cases: ClassVar = {
        "scalar": Case(
            lambda: Linear({"A": 2.0, "B": -1.0}, bias=0.5, noise=d.Normal(0.0, 2.0)),
            PAIR,
            log_prob=lambda x, A, B: stats.norm(2 * A - B + 0.5, 2).logpdf(x),
        ),
        "vector": Case(
            lambda: Linear({"A": [[1.0, 2.0], [3.0, 4.0]]}, bias=[1.0, -1.0], noise=TWO),
            {"A": VECTOR},
            log_prob=lambda x, A: (
                stats.norm(A @ np.array([[1, 3], [2, 4.0]]) + [1, -1], [0.5, 1]).logpdf(x).sum(-1)
            ),
        ),
        "levels": Case(
            lambda: Linear({"A": [1.0, 2.0, 4.0]}),
            {"A": LEVELS},
            log_prob=lambda x, A: stats.norm(np.array([1.0, 2.0, 4.0])[A], 1).logpdf(x),
        ),
        "one level": Case(
            lambda: Linear({"A": 3.0}),
            {"A": Categorical(1)},
            log_prob=lambda x, A: stats.norm(3.0, 1).logpdf(x),
        ),
        "image": Case(lambda: Linear({"A": torch.ones(1, 3, 3)}), {"A": IMAGE}),
        "no parents": Case(lambda: Linear({}, bias=2.0)),
        "zeros": Case(lambda: Linear(), PAIR),
        "laplace": Case(lambda: Linear({"A": 1.0}, noise=d.Laplace(0.0, 1.0)), {"A": REAL}),
    }


class TestPostNonlinear(MechanismContract):
    cases: ClassVar = {
        "exp": Case(
            lambda: PostNonlinear(lambda A: A, transforms.ExpTransform(), d.Normal(0.0, 0.3)),
            {"A": REAL},
            log_prob=lambda x, A: stats.norm(A, 0.3).logpdf(np.log(x)) - np.log(x),
            range=(1e-6, 60.0),
        ),
        "affine module": Case(
            lambda: PostNonlinear(small(1), transforms.AffineTransform(1.0, -2.0)), {"A": REAL}
        ),
        "vector": Case(
            lambda: PostNonlinear(lambda A: A / 4, transforms.SigmoidTransform(), TWO),
            {"A": VECTOR},
        ),
    }


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda A, C: A, r"'S' takes \['A', 'C'\], but .*named \['A', 'B'\]"),
        (lambda A: A, r"takes \['A'\].*\['A', 'B'\]"),
        (torch.add, "does not show its arguments; wrap it"),
        (3.0, "3.0 was given; a function or an nn.Module"),
    ],
)
def test_arguments_must_be_the_parents(function, message: str) -> None:
    with pytest.raises(MechanismError, match=message):
        Additive(function).bind("S", PAIR)


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (lambda A: 3.0, "float"),
        (lambda A: A.mean(), r"\(\)"),
        (lambda A: A[:, None], r"\(12, 1\)"),
        (lambda A: A[:, None].expand(-1, 2), r"\(12, 2\)"),
        (lambda A: A[:1], r"\(1,\)"),
    ],
)
def test_outputs_of_another_shape(function, given: str) -> None:
    mechanism = Additive(function)
    mechanism.bind("S", {"A": REAL})
    message = rf"function of 'S' returned (a )?(shape )?{given}.*\(12,\)"
    with pytest.raises(MechanismError, match=message):
        run(mechanism, *trial(mechanism))


def test_noise_that_does_not_fit() -> None:
    with pytest.raises(MechanismError, match=r"Poisson\(rate=1\).*continuous.*Structural"):
        Additive(lambda A: A, d.Poisson(1.0))
    with pytest.raises(MechanismError, match="inverse distribution function"):
        Additive(lambda A: A, d.Dirichlet(torch.ones(2)))
    with pytest.raises(MechanismError, match="1.0 was given as a law; expected a torch"):
        Additive(lambda A: A, 1.0)
    mechanism = Additive(lambda A: A, d.Exponential(1.0))
    mechanism.bind("S", {"A": REAL})
    with pytest.raises(MechanismError, match="outside the support"):
        mechanism.abduct(torch.tensor([1.0]), {"A": torch.tensor([2.0])}, torch.zeros(1))


def test_weights_that_do_not_fit() -> None:
    with pytest.raises(MechanismError, match="weight for 'C' .*'S'.*Known: 'A', 'B'"):
        Linear({"A": 1.0, "B": 1.0, "C": 1.0}).bind("S", PAIR)
    with pytest.raises(MechanismError, match=r"no weight for its parents \['B'\]; give one"):
        Linear({"A": 1.0}).bind("S", PAIR)
    with pytest.raises(MechanismError, match=r"shape \(3, 2\); expected \(2, 3\)"):
        Linear({"A": torch.ones(3, 2)}, noise=TWO).bind("S", {"A": LEVELS})
    with pytest.raises(MechanismError, match=r"bias of shape \(3,\).*shape \(2,\)"):
        Linear({}, bias=[1.0, 2.0, 3.0], noise=TWO)


@pytest.mark.parametrize("g", [torch.exp, transforms.AbsTransform(), transforms.SoftmaxTransform()])
def test_g_must_be_an_invertible_transform(g) -> None:
    with pytest.raises(MechanismError, match=r"expected an invertible elementwise transform"):
        PostNonlinear(lambda A: A, g)


@pytest.mark.parametrize(
    ("g", "value"),
    [(transforms.ExpTransform(), -1.0), (transforms.SigmoidTransform(), 1.5)],
)
def test_values_outside_the_range_of_g(g, value: float) -> None:
    mechanism = PostNonlinear(lambda A: A, g)
    mechanism.bind("S", {"A": REAL})
    rows = {"A": torch.zeros(1)}
    with pytest.raises(MechanismError, match=rf"'S' is outside the range of {type(g).__name__}"):
        mechanism.abduct(torch.tensor([value]), rows, torch.zeros(1))
    with pytest.raises(MechanismError, match="outside the range"):
        mechanism.log_prob(torch.tensor([value]), rows)


def sampled(truth: Mechanism, n: int, seed: int = 4):
    parents, _ = trial(truth, n, seed)
    return parents, run(truth, parents, draw(truth.noise, (n,), generator(seed + 1)))


@pytest.mark.parametrize("noise", [d.Normal(0.0, 2.0), d.Laplace(0.0, 1.4142)])
def test_least_squares_recovers_the_weights(noise: d.Distribution) -> None:
    """Within 4 standard errors of least squares, sqrt(sigma^2 diag((X'X)^-1))."""
    truth = Linear({"A": 2.0, "B": [1.0, -1.0, 0.5]}, bias=3.0, noise=noise)
    fitted = Linear(noise=type(noise)(0.0, 1.0))
    for mechanism in (truth, fitted):
        mechanism.bind("S", {"A": REAL, "B": LEVELS})
    n = 4000
    parents, value = sampled(truth, n)
    fitted.fit(value, parents)
    assert fitted.law.loc == 0
    design = np.column_stack([parents["A"], np.eye(3)[parents["B"]]])
    stderr = 2 * np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    found = [fitted.weights[0].item(), *(fitted.weights[1] + fitted.bias).flatten().tolist()]
    assert (np.abs(np.array(found) - [2.0, 4.0, 2.0, 3.5]) < 4 * stderr).all()
    assert fitted.law.scale.item() == pytest.approx(noise.scale.item(), rel=4 / np.sqrt(n))


def test_least_squares_of_noise_off_centre() -> None:
    truth = Linear({"A": 1.0}, noise=d.Gumbel(0.0, 1.0))
    fitted = Linear(noise=d.Gumbel(0.0, 5.0))
    for mechanism in (truth, fitted):
        mechanism.bind("S", {"A": REAL})
    parents, value = sampled(truth, 4000)
    fitted.fit(value, parents)
    assert fitted.bias.item() == pytest.approx(0.0, abs=0.08)
    assert fitted.law.scale.item() == pytest.approx(1.0, abs=0.08)
    skewed = Linear({"A": 1.0}, noise=d.Exponential(1.0))
    skewed.bind("S", {"A": REAL})
    with pytest.raises(MechanismError, match="bias of 'S' from the mean .*Exponential"):
        skewed.fit(value, parents)


@pytest.mark.parametrize("make", [lambda: Linear(), lambda: Additive(small(1))])
def test_data_that_do_not_vary(make) -> None:
    mechanism = make()
    mechanism.bind("S", {"A": REAL})
    before = {k: v.clone() for k, v in mechanism.state_dict().items()}
    with pytest.raises(MechanismError, match=r"'S'.*does not vary.*Structural"):
        mechanism.fit(torch.full((9,), 2.0), {"A": torch.arange(9.0)})
    assert all(torch.equal(v, before[k]) for k, v in mechanism.state_dict().items())


@pytest.mark.parametrize("post", [False, True])
def test_training_comes_close_to_the_truth(post: bool) -> None:
    g = transforms.ExpTransform()
    noise = d.Normal(0.0, 0.2)
    truth = Additive(lambda A: A.sin(), noise)
    fitted = Additive(small(1), d.Normal(0.0, 1.0))
    if post:
        truth = PostNonlinear(lambda A: A.sin(), g, noise)
        fitted = PostNonlinear(small(1), g, d.Normal(0.0, 1.0))
    for mechanism in (truth, fitted):
        mechanism.bind("S", {"A": REAL})
    parents, value = sampled(truth, 1000)
    held_out, test = sampled(truth, 1000, seed=40)
    start = fitted.log_prob(test, held_out).mean()
    with global_random_state_untouched():
        fitted.fit(value, parents, epochs=40, batch=100, lr=0.02, progress=False)
    found = fitted.log_prob(test, held_out).mean()
    best = truth.log_prob(test, held_out).mean()
    assert found > start + 0.3
    assert found > best - 0.1
    assert fitted.law.loc == 0


def test_noise_takes_the_location_where_the_function_has_no_parameters() -> None:
    mechanism = Additive(lambda A: A)
    mechanism.bind("S", {"A": REAL})
    parents = {"A": torch.randn(500, generator=generator())}
    mechanism.fit(parents["A"] + 3 + torch.randn(500, generator=generator(1)), parents)
    assert mechanism.law.loc.item() == pytest.approx(3.0, abs=0.2)


def test_far_residuals_come_back_exactly() -> None:
    """A float32 uniform would lose them: 1 - e^-30 is 1."""
    mechanism = Additive(lambda A: A, d.Laplace(0.0, 1.0))
    mechanism.bind("S", {"A": REAL})
    value = torch.tensor([-200.0, -30.0, 0.0, 15.0, 30.0, 200.0])
    parents = {"A": torch.zeros(6)}
    found = mechanism.abduct(value, parents, torch.zeros(6))
    torch.testing.assert_close(run(mechanism, parents, found), value, rtol=1e-5, atol=1e-6)
