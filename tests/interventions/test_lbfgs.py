"""Batched minimisation, against scipy and against closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from scm.interventions.lbfgs import minimise


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), l1=st.sampled_from([0.0, 0.3]))
def test_separable_squares_have_a_closed_form(seed, l1):
    generator = torch.Generator().manual_seed(seed)
    middle = 2 * torch.rand(7, 5, generator=generator, dtype=torch.float64) - 0.5
    scale = 0.2 + torch.rand(7, 5, generator=generator, dtype=torch.float64)
    centre, start = torch.rand(2, 7, 5, generator=generator, dtype=torch.float64)

    def function(x, rows):
        off = x - middle[rows]
        return (scale[rows] * off**2).sum(-1), 2 * scale[rows] * off

    found = minimise(function, start, centre, l1, evaluations=100, tolerance=1e-12)
    away = middle - centre
    shrunk = torch.sign(away) * (away.abs() - l1 / (2 * scale)).clamp(min=0)
    torch.testing.assert_close(found, (centre + shrunk).clamp(0, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_coupled_problems_as_scipy_has_them(seed):
    generator = np.random.default_rng(seed)
    roots = generator.normal(size=(9, 6, 6))
    matrices = torch.tensor(roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(6))
    linear = torch.tensor(generator.normal(size=(9, 6)))
    start = torch.tensor(generator.uniform(size=(9, 6)))

    def function(x, rows):
        product = (matrices[rows] @ x[..., None]).squeeze(-1)
        return (x * (0.5 * product + linear[rows])).sum(-1), product + linear[rows]

    found = minimise(function, start, start, evaluations=200, tolerance=1e-12)
    ours, _ = function(found, torch.arange(9))
    for row in range(9):

        def alone(x, row=row):
            value, gradient = function(torch.from_numpy(x)[None], torch.tensor([row]))
            return value.item(), gradient[0].numpy()

        theirs = minimize(alone, start[row].numpy(), jac=True, bounds=[(0, 1)] * 6).fun
        assert ours[row].item() == pytest.approx(theirs, abs=1e-5)


def test_no_row_gets_worse_and_rows_do_not_talk():
    def function(x, rows):
        return torch.cos(9 * x).sum(-1), -9 * torch.sin(9 * x)

    start = torch.rand(20, 4, generator=torch.Generator().manual_seed(0))
    found = minimise(function, start, start, evaluations=12)
    assert (function(found, None)[0] <= function(start, None)[0]).all()
    alone = minimise(function, start[3:5], start[3:5], evaluations=12)
    torch.testing.assert_close(alone, found[3:5], atol=1e-5, rtol=0)


def test_each_row_has_a_budget_of_its_own():
    asked = []

    def function(x, rows):
        asked.append(rows.tolist())
        return torch.cos(9 * x).sum(-1), -9 * torch.sin(9 * x)

    start = torch.rand(3, 4, generator=torch.Generator().manual_seed(1))
    together = minimise(function, start, start, evaluations=torch.tensor([3, 9, 5]), tolerance=0.0)
    assert [sum(k in rows for rows in asked) for k in range(3)] == [3, 9, 5]
    for k, budget in enumerate((3, 9, 5)):
        row = slice(k, k + 1)
        alone = minimise(function, start[row], start[row], evaluations=budget, tolerance=0.0)
        torch.testing.assert_close(alone, together[row], atol=1e-6, rtol=0)
