r"""Whether an additive-noise model holds one way and fails the other: step 3 of the audit.

Functions are fitted on one set of samples and tested on disjoint blocks of others,

.. math:: p_f = \min(1, b \min_j p[\mathrm{HSIC}(s_c, s_e - f(s_c))]_{\text{block } j}),

and H is the mean HSIC over the b blocks. The null hypothesis of :math:`p_f` is that
:math:`s_e - \hat f(s_c)` is independent of :math:`s_c`, for the function that was fitted: a
fitted function misses the true one, so that large blocks reject the true direction as well, unless
there are many more samples to fit on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scm.discovery.independence import hsic_test
from scm.discovery.regression import spline

__all__ = ["Asymmetry", "asymmetries"]

_AT_ONCE = 16  # pairs


@dataclass(frozen=True)
class Asymmetry:
    """How the additive-noise model fares in both directions of a pair.

    Attributes:
        p_forward: p-value of the model c -> e.
        p_backward: p-value of the model e -> c.
        hsic_forward: Mean HSIC of the residuals of c -> e over the blocks.
        hsic_backward: That of e -> c.
    """

    p_forward: float
    p_backward: float
    hsic_forward: float
    hsic_backward: float


def asymmetries(
    fit: Tensor,
    blocks: Tensor,
    pairs: Sequence[tuple[int, int]],
    *,
    permutations: int = 2_500,
    seed: int = 0,
) -> list[Asymmetry]:
    """Test pairs of scores.

    Args:
        fit: Scores that the functions are fitted on, `[scores, n]`.
        blocks: Scores that they are tested on, `[scores, blocks, m]`.
        pairs: Which scores are c and e.
        permutations: Largest number of permutations of a test.
        seed: Seed of the permutations.

    Source: the project's PAPERS.md, "CAGE, calibrated", step 3.
    """
    parts = [pairs[k : k + _AT_ONCE] for k in range(0, len(pairs), _AT_ONCE)]
    return [found for part in parts for found in _tested(fit, blocks, part, permutations, seed)]


def _tested(
    fit: Tensor, blocks: Tensor, pairs: Sequence[tuple[int, int]], permutations: int, seed: int
) -> list[Asymmetry]:
    forward = torch.tensor(pairs, device=fit.device)
    c, e = torch.cat([forward, forward.flip(1)]).T
    model = spline(fit[c].double(), fit[e].double())
    causes, effects = blocks[c].double(), blocks[e].double()
    left = effects - model(causes.flatten(1)).reshape(causes.shape)
    test = hsic_test(causes, left, permutations=permutations, seed=seed)
    p = (blocks.shape[1] * test.p.amin(-1)).clamp(max=1).chunk(2)
    hsic = test.statistic.mean(-1).chunk(2)
    columns = torch.stack([*p, *hsic], 1).tolist()
    return [Asymmetry(*row) for row in columns]
