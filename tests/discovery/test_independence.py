from itertools import permutations as orders_of

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, gamma

from scm.discovery.independence import _log_gamma_tail, chi_square_test, hsic_gamma, hsic_test
from scm.errors import ScmError


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense_kernel(v):
    distance = np.abs(v[:, None] - v[None])
    width = np.sort(distance[np.triu_indices(len(v), 1)])
    width = width[(len(width) - 1) // 2]  # the lower median, as torch's
    h = np.eye(len(v)) - 1 / len(v)
    return h @ np.exp(-0.5 * (distance / width) ** 2) @ h


def test_hsic_is_that_of_the_whole_kernels():
    x, e = draws(2, 300)
    y = x.square() + e
    dense = np.trace(dense_kernel(x.numpy()) @ dense_kernel(y.numpy())) / 300**2
    assert float(hsic_test(x, y, permutations=1).statistic) == pytest.approx(dense, rel=0.01)


def test_p_is_the_share_of_all_orders():
    x, y = draws(2, 6, seed=4)
    k, m = dense_kernel(x.numpy()), dense_kernel(y.numpy())
    every = [np.trace(k @ m[np.ix_(o, o)]) for o in map(list, orders_of(range(6)))]
    share = np.mean(np.array(every) >= every[0] * (1 - 1e-4))
    p = float(hsic_test(x, y, permutations=4_000, stop_after=None).p)
    assert abs(p - share) < 4.5 * (share * (1 - share) / 4_000) ** 0.5 + 1 / 4_000  # 1 in 10^5


def test_the_gamma_law_is_grettons():
    """Written out on whole kernels; features leave a hundredth out."""
    x, e = draws(2, 120, seed=5)
    for y in (e, x.square() + e, 0.3 * x + e):
        n, (k, m) = 120, (dense_kernel(v.numpy()) for v in (x, y))
        squares = (k * m) ** 2
        variance = (squares.sum() - np.trace(squares)) / (n * (n - 1))
        variance *= 2 * (n - 4) * (n - 5) / (n * (n - 1) * (n - 2) * (n - 3))
        mean = np.trace(k) * np.trace(m) / (n - 1) ** 2 / n
        law = gamma(mean**2 / variance, scale=n * variance / mean)
        assert float(hsic_gamma(x, y)) == pytest.approx(law.logsf((k * m).sum() / n), rel=0.03)


def test_the_tail_goes_on_where_p_is_zero():
    shape, x = (torch.tensor(v, dtype=torch.float64) for v in ([2.0, 9.0, 3.0], [0.5, 30.0, 2e3]))
    torch.testing.assert_close(
        _log_gamma_tail(shape, x)[:2],
        torch.from_numpy(gamma.logsf(x[:2].numpy(), shape[:2].numpy())),
    )
    # Gamma of shape 3: P(> x) = exp(-x) (1 + x + x^2 / 2), which is zero in float64 from 750 on.
    expected = -2e3 + np.log(1 + 2e3 + 2e3**2 / 2)
    assert float(_log_gamma_tail(shape, x)[2]) == pytest.approx(expected, rel=1e-12)


def test_chi_square_is_scipys():
    source = torch.Generator().manual_seed(0)
    x, y = (torch.randint(0, k, (200,), generator=source) for k in (2, 3))
    table = np.zeros((2, 3))
    np.add.at(table, (x.numpy(), y.numpy()), 1)
    expected = chi2_contingency(table, correction=False).statistic
    assert float(chi_square_test(x, y, permutations=1).statistic) == pytest.approx(expected)


def test_early_stopping_ends_early_and_agrees_where_it_does_not():
    x, e = draws(2, 300, seed=1)
    pairs = torch.stack([x, x]), torch.stack([x + e, e])
    early = hsic_test(*pairs, permutations=1_000, stop_after=20)
    every = hsic_test(*pairs, permutations=1_000, stop_after=None)
    assert early.permutations[0] == 1_000
    assert early.permutations[1] < 1_000
    assert early.p[0] == every.p[0] == 1 / 1_001
    assert early.p[1] == 20 / int(early.permutations[1])


def test_pairs_of_a_batch_do_not_touch_each_other():
    x, y = draws(3, 80, seed=2), draws(3, 80, seed=3)
    together = hsic_test(x, y, permutations=50)
    alone = hsic_test(x[1], y[1], permutations=50)
    torch.testing.assert_close(together.statistic[1], alone.statistic, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(10), torch.arange(10.0), "x is constant"),
        (torch.arange(10.0), torch.arange(9.0), "one shape"),
        (torch.arange(4.0), torch.arange(4.0), "n >= 5"),
        (torch.full((9,), torch.nan), torch.arange(9.0), "finite"),
    ],
)
def test_bad_numbers(x, y, message):
    with pytest.raises(ScmError, match=message):
        hsic_test(x, y)


def test_bad_codes_and_counts():
    with pytest.raises(ScmError, match="expected codes"):
        chi_square_test(torch.arange(9.0), torch.arange(9))
    with pytest.raises(ScmError, match="positive"):
        hsic_test(torch.arange(9.0), torch.arange(9.0), permutations=0)
