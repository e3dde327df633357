"""Distances between images."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import scm
from scm.interventions import L1, L2, FeatureSpace, ImageKernel, metric_of

METRICS = [L1(), L2(), ImageKernel(0.8), FeatureSpace(nn.Sequential(nn.Flatten(), nn.Tanh()))]


def pictures(seed, n=3, size=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, 1, size, size, generator=generator, dtype=torch.float64).unbind(1)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: type(m).__name__)
@given(seed=st.integers(0, 10_000))
def test_a_metric_is_one(metric, seed):
    a, b, c = pictures(seed)
    assert metric(a, b).shape == (3,)
    assert torch.equal(metric(a, a), torch.zeros(3, dtype=torch.float64))
    assert (metric(a, b) > 0).all()
    torch.testing.assert_close(metric(a, b), metric(b, a))
    assert (metric(a, c) <= metric(a, b) + metric(b, c) + 1e-12).all()


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: type(m).__name__)
def test_gradients_are_finite_even_at_distance_zero(metric):
    a, b, _ = pictures(0)
    for other in (a, b):
        x = other.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(metric(a, x).sum(), x)
        assert torch.isfinite(gradient).all()


def test_the_image_kernel_by_its_definition():
    a, b, _ = pictures(1, n=1, size=4)
    width, n = 0.8, 4
    weights = [[math.exp(-((i - j) ** 2) / (2 * width**2)) for j in range(n)] for i in range(n)]
    weights = [[w / sum(row) for w in row] for row in weights]

    def smooth(image):
        return [
            sum(
                weights[i][k] * weights[j][m] * image[k][m].item()
                for k in range(n)
                for m in range(n)
            )
            for i in range(n)
            for j in range(n)
        ]

    def kernel(x, y):
        return sum(p * q for p, q in zip(smooth(x), smooth(y), strict=True)) / n**2

    x, y = a[0, 0], b[0, 0]
    expected = math.sqrt(kernel(x, x) + kernel(y, y) - 2 * kernel(x, y))
    assert ImageKernel(width)(a, b).item() == pytest.approx(expected, rel=1e-9)


@given(grey=st.floats(0, 1), other=st.floats(0, 1))
def test_constant_images_are_as_far_apart_as_their_greys(grey, other):
    a, b = (torch.full((1, 1, 6, 6), g, dtype=torch.float64) for g in (grey, other))
    for metric in METRICS[:3]:
        assert metric(a, b).item() == pytest.approx(abs(grey - other), abs=2e-6)


def test_names():
    assert metric_of("L2") == L2()
    assert metric_of(METRICS[2]) is METRICS[2]
    with pytest.raises(scm.ScmError, match="unknown; .*'l1', 'l2'"):
        metric_of("l3")
    with pytest.raises(scm.ScmError, match="above 0"):
        ImageKernel(0.0)
