"""The squared MMD against sums written out, and its curve."""

import itertools
import math

import pytest
import torch

from scm.discovery.attributes import Attribute
from scm.discovery.mmd import mmd, mmd_curve
from scm.errors import ScmError


def written_out(x, y, h):
    def k(a, b):
        return math.exp(-sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / (2 * h * h))

    own = [
        sum(k(a, b) for a, b in itertools.permutations(rows, 2)) / (len(rows) * (len(rows) - 1))
        for rows in (x, y)
    ]
    across = sum(k(a, b) for a in x for b in y) / (len(x) * len(y))
    return sum(own) - 2 * across


def test_it_is_the_sum_over_pairs():
    source = torch.Generator().manual_seed(0)
    x, y = torch.randn(7, 3, generator=source), 1 + torch.randn(5, 3, generator=source)
    assert mmd(x, y, 1.3) == pytest.approx(written_out(x.tolist(), y.tolist(), 1.3), rel=1e-6)


def test_it_is_about_zero_between_draws_of_one_law():
    """The mean of 40 draws within 4 standard errors: a false alarm in 6e-5; the seed is fixed."""
    source = torch.Generator().manual_seed(1)
    draws = torch.tensor(
        [mmd(*(torch.randn(50, 2, generator=source) for _ in range(2)), 1.0) for _ in range(40)]
    )
    assert abs(draws.mean()) < 4 * draws.std() / math.sqrt(40)


def test_counterfactuals_come_near_the_conditional_law_and_then_go_past_it():
    z = torch.randn(2000, 3, generator=torch.Generator().manual_seed(2))
    weights, bias = torch.tensor([3.0, 0.0, 0.0]), torch.tensor(0.0)
    head = Attribute(
        "A", lambda t: (t @ weights).sigmoid(), "latent", "binary", weights=weights, bias=bias
    )
    curve = mmd_curve(head, z, [0.0, 1.6, 6.0])
    have, lack = (z[side][:1000] for side in (z[:, 0] > 0, z[:, 0] <= 0))
    width = float(torch.pdist(torch.cat([have, lack])[:1000].double()).median())
    written = [mmd(have, lack + a * weights / 3, width) for a in (0.0, 1.6, 6.0)]
    assert curve.tolist() == pytest.approx(written, abs=1e-6)
    assert curve[1] < 0.3 * curve[0]
    assert curve[2] > curve[0]


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(ScmError, match="of one width"):
        mmd(torch.zeros(3, 2), torch.zeros(3, 1))
