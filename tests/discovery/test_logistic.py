"""Logistic heads against scikit-learn, and permuted refits against Newton's optimum."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scm.discovery.logistic import fit_logistic, permutation_refits, permuted
from scm.errors import ScmError


def examples(n=800, d=12, seed=0, share=0.4):
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=source, dtype=torch.float64)
    u = x @ torch.randn(d, generator=source, dtype=torch.float64) / d**0.5
    u = u + 0.5 * torch.randn(n, generator=source)
    return x, (u > u.quantile(1 - share)).long()


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_a_head_is_scikit_learns(C):
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = examples()
    weights, bias = fit_logistic(x, y, C)
    other = linear.LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(x.numpy(), y.numpy())
    torch.testing.assert_close(weights, torch.from_numpy(other.coef_[0]), rtol=1e-4, atol=1e-6)
    assert float(bias) == pytest.approx(other.intercept_[0], rel=1e-4, abs=1e-6)


def test_a_separable_head_has_a_finite_optimum():
    weights, _ = fit_logistic(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]))
    # 0 = w + 2 sigma'(...) of two mirrored rows: w = 2 / (1 + e^w)
    w = float(weights)
    assert w == pytest.approx(2 / (1 + torch.tensor(w).exp().item()), rel=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.1, 0.5]), st.sampled_from([0.1, 1.0, 10.0]))
def test_refits_are_the_optimum_of_each_permutation(seed, share, C):
    x, y = examples(1000, 8, seed, share)
    weights, biases = permutation_refits(x, y, 5, C, seed=seed, progress=False)
    for k, order in enumerate(permuted(len(y), 5, seed)):
        exact, bias = fit_logistic(x, y[order], C)
        assert (weights[k] - exact).norm() < 0.01 * exact.norm()
        assert abs(biases[k] - bias) < 0.01


def test_refits_do_not_depend_on_how_many_are_asked_for():
    x, y = examples()
    few = permutation_refits(x, y, 3, tolerance=1e-8, steps=50, seed=1, progress=False)[0]
    many = permutation_refits(x, y, 10, tolerance=1e-8, steps=50, seed=1, progress=False)[0]
    torch.testing.assert_close(many[:3], few, rtol=1e-5, atol=1e-8)


def test_refits_that_do_not_settle_say_so():
    x, y = examples(60, 50)
    with pytest.raises(ScmError, match="few for 50 features"):
        permutation_refits(x, y, 3, C=1e6, progress=False)


@pytest.mark.parametrize("labels", [torch.zeros(4), torch.ones(4), torch.tensor([0, 1])])
def test_what_cannot_be_fitted_is_refused(labels):
    with pytest.raises(ScmError, match="both classes"):
        fit_logistic(torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), labels)
