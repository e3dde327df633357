"""Each loss against its formula in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scm.errors import ScmError
from scm.learning.cgn import Weights, losses


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_reconstruction_is_a_normal_log_likelihood() -> None:
    a, b = random(5, 3, 4, 4), random(5, 3, 4, 4, seed=1)
    law = torch.distributions.Normal(b, 0.3)
    likelihood = (law.log_prob(a) - law.log_prob(b)).flatten(1).sum(1).mean()
    torch.testing.assert_close(losses.reconstruction(a, b, 0.3), -likelihood)


def test_divergence_is_that_of_torch() -> None:
    mean, log_scale = random(6, 4), random(6, 4, seed=1)
    q = torch.distributions.Normal(mean, log_scale.exp())
    p = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(q, p).sum(-1).mean()
    torch.testing.assert_close(losses.divergence(mean, log_scale), expected)


def test_binary_is_the_entropy_in_bits_and_its_gradient_is_finite_at_the_ends() -> None:
    m = random(4, 1, 6, 6)
    p = m.numpy()
    expected = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)).mean()
    assert losses.binary(m).item() == pytest.approx(expected)
    ends = torch.tensor([0.0, 1.0, 0.5], requires_grad=True)
    losses.binary(ends).backward()
    assert torch.isfinite(ends.grad).all()


@given(st.floats(0, 1), st.floats(0.01, 0.5))
def test_the_mask_loss_is_zero_within_its_interval_and_grows_outside(
    mean: float, tau: float
) -> None:
    m = torch.full((2, 1, 4, 4), mean, dtype=torch.float64)
    expected = max(0.0, tau - mean) + max(0.0, mean - (1 - tau))
    assert losses.mask(m, tau).item() == pytest.approx(expected, abs=1e-12)


def test_the_mask_loss_is_not_the_misprinted_one() -> None:
    half = torch.full((1, 1, 4, 4), 0.5)
    assert losses.mask(half, 0.1) == 0
    assert losses.mask(half, 0.1, 0.1) == pytest.approx(0.4)  # what equation 3 prints


def test_edge_is_the_reproductions_sum() -> None:
    m = random(3, 1, 9, 7)
    rows = np.minimum(np.arange(9), 8 - np.arange(9))[:, None]
    columns = np.minimum(np.arange(7), 6 - np.arange(7))[None]
    region = np.minimum(rows, columns) < 2
    expected = (m.numpy()[:, 0] * region).sum((1, 2)).mean() / 63
    assert losses.edge(m, 2).item() == pytest.approx(expected)


def test_adversarial_losses() -> None:
    s = random(9) * 4 - 2
    n = s.numpy()
    assert losses.lsgan(s, real=True).item() == pytest.approx(0.5 * ((n - 1) ** 2).mean())
    assert losses.lsgan(s, real=False).item() == pytest.approx(0.5 * (n**2).mean())


def test_the_texture_loss_sees_only_what_is_under_the_mask() -> None:
    f = random(2, 3, 6, 6)
    m = torch.zeros(2, 1, 6, 6, dtype=torch.float64)
    m[..., 2:4, 2:4] = 1
    x = torch.where(m > 0, f.mean((2, 3), keepdim=True), random(2, 3, 6, 6, seed=5))
    other = torch.where(m > 0, x, 1 - x)
    assert losses.texture(f, x, m) == losses.texture(f, other, m)
    assert losses.background(f, x, m) != losses.background(f, other, m)
    cov = [np.cov(f[i].flatten(1).numpy(), bias=True) for i in range(2)]
    expected = np.mean([(c**2).sum() for c in cov])  # equal means; x is constant under m
    assert losses.texture(f, x, m).item() == pytest.approx(expected)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ScmError, match="edge=-1"):
        Weights(edge=-1)


def test_the_mixture_is_the_likelihood_of_each_pixel() -> None:
    g = np.random.default_rng(4)
    m, front, back = (g.uniform(0.05, 0.95, (3, 1, 4, 4)) for _ in range(3))
    expected = -np.log(m * front + (1 - m) * back).sum((1, 2, 3)).mean()
    found = losses.mixture(*(torch.tensor(a) for a in (m, np.log(front), np.log(back))))
    assert found.item() == pytest.approx(expected)
