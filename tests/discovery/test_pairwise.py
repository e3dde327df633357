import warnings

import pytest
import torch

from scm.discovery.pairwise import pairwise
from scm.errors import ScmError


def curved(pairs=1, n=300):
    source = torch.Generator().manual_seed(0)
    x, e = torch.randn(2, pairs, n, generator=source, dtype=torch.float64)
    return x, x + 0.5 * x**3 + e


@pytest.mark.parametrize("regression", ["gp", "spline"])
def test_anm_tells_cause_from_effect(regression):
    x, y = curved(pairs=4)
    found = pairwise(x, y, regression=regression, permutations=200)
    assert found.direction == ["x->y"] * 4
    assert (found.p_backward < 0.05).all()
    assert (found.p_forward > found.p_backward).all()


def test_swapping_turns_the_score_round():
    x, y = curved(pairs=2)
    there, back = (pairwise(a, b, permutations=1) for a, b in ((x, y), (y, x)))
    torch.testing.assert_close(there.score, -back.score, rtol=1e-6, atol=1e-6)


def test_p_values_by_a_gamma_law_of_all_rows():
    x, y = curved(pairs=2, n=1_100)
    found = pairwise(x, y, regression="spline", permutations=1, gamma=True, rows=None)
    assert found.direction == ["x->y"] * 2
    back = pairwise(y, x, regression="spline", permutations=1, gamma=True, rows=None)
    torch.testing.assert_close(found.score, -back.score, rtol=1e-6, atol=1e-6)
    # Of all rows there is nothing to draw.
    other = pairwise(x, y, regression="spline", permutations=1, gamma=True, rows=None, seed=1)
    torch.testing.assert_close(other.score, found.score)


def test_shapes_follow_the_pairs():
    x, y = curved(pairs=4)
    found = pairwise(x.reshape(2, 2, -1), y.reshape(2, 2, -1), regression="spline", permutations=1)
    assert found.score.shape == (2, 2)
    assert found.direction == [["x->y"] * 2] * 2
    assert isinstance(pairwise(x[0], y[0], regression="spline", permutations=1).direction, str)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (torch.zeros(9), torch.arange(9.0), {}, "x is constant"),
        (torch.arange(9.0), torch.arange(8.0), {}, "one shape"),
        (torch.arange(9.0), torch.arange(9.0), {"method": "amn"}, "did you mean 'anm'"),
        (torch.arange(9.0), torch.arange(9.0), {"regression": "tree"}, "no regression 'tree'"),
    ],
)
def test_bad_input(x, y, options, message):
    with pytest.raises(ScmError, match=message):
        pairwise(x, y, **options)


@pytest.mark.slow  # importing lingam and cdt takes ten seconds
def test_the_other_libraries_answer_and_say_nothing_else(capsys):
    pytest.importorskip("lingam")
    formatter = warnings.formatwarning
    source = torch.Generator().manual_seed(0)
    x, e = torch.rand(2, 400, generator=source)
    assert pairwise(x, x + e, "lingam").direction == "x->y"
    x, y = curved()
    few = x[:, :60], y[:, :60]  # cdt's takes seconds for hundreds of rows
    for method, two in (("cdt-igci", (x, y)), ("cdt-cds", (x, y)), ("cdt-anm", few)):
        score = pairwise(*two, method).score
        assert score.shape == (1,)
        assert score.isfinite().all()
    assert warnings.formatwarning is formatter
    assert capsys.readouterr().out == ""
