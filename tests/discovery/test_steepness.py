"""The five numbers against simulation, and the laws of what they predict."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scm.discovery.steepness import Steepness

slopes = st.floats(0.2, 6.0)
biases = st.floats(-2.0, 2.0)
heads = st.builds(Steepness, slopes, biases, slopes, biases, st.floats(-0.95, 0.95))


def simulated(heads, alpha, soft, n=400_000):
    """GATE and its standard error from the vectors themselves, in two dimensions."""
    z = torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    h_c = torch.tensor([1.0, 0.0], dtype=torch.float64)
    h_e = torch.tensor([heads.cosine, math.sqrt(1 - heads.cosine**2)], dtype=torch.float64)

    def outcome(at):
        u = heads.effect_slope * at @ h_e + heads.effect_bias
        return torch.sigmoid(u) if soft else (u > 0).double()

    has = heads.cause_slope * z @ h_c + heads.cause_bias > 0
    with_it = torch.where(has[:, None], z, z + alpha * h_c)
    without = torch.where(has[:, None], z - alpha * h_c, z)
    effects = outcome(with_it) - outcome(without)
    return float(effects.mean()), float(effects.std()) / math.sqrt(n)


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize(
    ("five", "alpha"),
    [((1.0, 0.3, 4.0, -0.5, 0.6), 0.7), ((5.0, -1.0, 0.5, 1.0, -0.4), 2.0)],
)
def test_the_integral_is_the_simulation(five, alpha, soft):
    """Four standard errors: a false alarm in 6e-5 of runs; the seed is fixed."""
    mean, error = simulated(Steepness(*five), alpha, soft)
    assert abs(Steepness(*five).gate(alpha, soft) - mean) < 4 * error + 1e-3 * (not soft)


@settings(max_examples=40, deadline=None)
@given(heads, st.floats(0.1, 5.0))
def test_swapping_the_heads_turns_the_sign(five, alpha):
    assert five.swapped.delta_tau(alpha) == pytest.approx(-five.delta_tau(alpha), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(slopes, biases, st.floats(-0.95, 0.95), st.sampled_from([-1, 1]), st.floats(0.1, 5.0))
def test_it_vanishes_for_heads_as_steep_and_as_imbalanced(slope, bias, cosine, sign, alpha):
    assert Steepness(slope, bias, slope, sign * bias, cosine).delta_tau(alpha) == pytest.approx(
        0, abs=1e-9
    )


@settings(max_examples=40, deadline=None)
@given(heads.filter(lambda five: abs(five.cosine) > 0.1))
def test_a_small_move_calls_the_flatter_head_the_cause(five):
    delta = five.delta_tau(1e-3)
    if abs(delta) > 1e-6:
        assert (delta > 0) == (five.flatter == "cause")


def test_orthogonal_heads_do_not_move_each_other():
    assert Steepness(1.0, 0.5, 3.0, -1.0, 0.0).gate(2.0) == pytest.approx(0, abs=1e-12)
