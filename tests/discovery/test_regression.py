import torch
from scipy.interpolate import CubicSpline
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from scm.discovery.regression import _design, _natural, gaussian_process, spline


def noisy_sine(n, pairs=1, seed=0):
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(pairs, n, generator=source, dtype=torch.float64)
    return x, (1.5 * x).sin() + 0.3 * torch.randn(x.shape, generator=source)


def test_the_basis_is_that_of_natural_cubic_splines():
    at = torch.tensor([[-2.0, -1.0, 0.5, 0.7, 3.0]], dtype=torch.float64)
    values = torch.tensor([1.0, -2.0, 0.0, 4.0, 1.0], dtype=torch.float64)
    new = torch.linspace(-2, 3, 50, dtype=torch.float64)[None]
    curvature, _ = _natural(at)
    expected = CubicSpline(at[0].numpy(), values.numpy(), bc_type="natural")
    found = (_design(new, at, curvature) @ values)[0]
    torch.testing.assert_close(found, torch.from_numpy(expected(new[0].numpy())))
    # Beyond the outer knots it goes on straight, with the slope it had there.
    ends = torch.tensor([[-4.0, 5.0]], dtype=torch.float64)
    slopes = expected([-2.0, 3.0], 1)
    straight = [values[0] - 2 * slopes[0], values[-1] + 2 * slopes[1]]
    found = (_design(ends, at, curvature) @ values)[0]
    torch.testing.assert_close(found, torch.tensor(straight, dtype=torch.float64))


def test_both_find_the_curve_and_leave_the_noise():
    x, y = noisy_sine(600, pairs=3)
    inside = x.abs() < 2
    for fit in (spline, gaussian_process):
        error = (fit(x, y)(x) - (1.5 * x).sin())[inside]
        assert error.square().mean().sqrt() < 0.08, fit


def test_the_gaussian_process_is_near_scikit_learns():
    x, y = noisy_sine(150, seed=3)
    kernel = ConstantKernel() * RBF(0.6) + WhiteKernel(0.1)
    other = GaussianProcessRegressor(kernel).fit(x[0, :, None].numpy(), y[0].numpy())
    new = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64)[None]
    expected = torch.from_numpy(other.predict(new[0, :, None].numpy()))
    assert (gaussian_process(x, y)(new)[0] - expected).abs().max() < 0.1


def test_pairs_of_a_batch_do_not_touch_each_other():
    x, y = noisy_sine(200, pairs=2)
    for fit in (spline, gaussian_process):
        alone = fit(x[1:], y[1:])(x[1:])
        torch.testing.assert_close(fit(x, y)(x)[1:], alone, rtol=1e-6, atol=1e-6)


def test_repeated_values_get_their_means():
    x = torch.arange(4.0, dtype=torch.float64).repeat(100)[None]
    for fit in (spline, gaussian_process):
        torch.testing.assert_close(fit(x, x**2)(x), x**2, rtol=0, atol=0.05)
