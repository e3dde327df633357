r"""Whether an additive-noise model holds one way and fails the other: step 3 of the audit.

Functions are fitted on one set of samples and tested on disjoint blocks of others,

.. math:: p_f = \min(1, b \min_j p[\mathrm{HSIC}(s_c, s_e - f(s_c))]_{\text{block } j}),

and H is the mean HSIC over the b blocks. The null hypothesis of :math:`p_f` is that
:math:`s_e - \hat f(s_c)` is independent of :math:`s_c`, for the function that was fitted: a
fitted function misses the true one, so that large blocks reject the true direction as well, unless
there are many more samples to fit on.

All is done twice, the second time on scales that are bent until the margins are normal.
A pair that then fits both ways is linear-Gaussian behind its scales: what direction it shows as it
is measured rests on how it is measured. (An effect `exp(c + noise)` of normal c and noise is an
additive-noise model of c, the wrong way.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scm.discovery.independence import hsic_test
from scm.discovery.regression import spline

__all__ = ["Asymmetry", "asymmetries", "normal_scores"]

_AT_ONCE = 16  # pairs


@dataclass(frozen=True)
class Asymmetry:
    """How the additive-noise model fares in both directions of a pair.

    Attributes:
        p_forward: p-value of the model c -> e.
        p_backward: p-value of the model e -> c.
        hsic_forward: Mean HSIC of the residuals of c -> e over the blocks.
        hsic_backward: That of e -> c.
        normal_forward: p-value of c -> e with normal margins.
        normal_backward: That of e -> c.
    """

    p_forward: float
    p_backward: float
    hsic_forward: float
    hsic_backward: float
    normal_forward: float = 0.0
    normal_backward: float = 0.0

    def of_scales(self, level: float) -> bool:
        """Whether both directions are kept at a level, once margins are normal."""
        return min(self.normal_forward, self.normal_backward) >= level


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
    fit, blocks = fit.double(), blocks.double()
    options = {"permutations": permutations, "seed": seed}
    p, hsic = _independence(fit[c], fit[e], blocks[c], blocks[e], **options)
    bent, tested = normal_scores(fit, fit), normal_scores(fit, blocks.flatten(1))
    tested = tested.reshape(blocks.shape)
    normal, _ = _independence(bent[c], bent[e], tested[c], tested[e], **options)
    columns = torch.stack([*p.chunk(2), *hsic.chunk(2), *normal.chunk(2)], 1).tolist()
    return [Asymmetry(*row) for row in columns]


def _independence(
    causes: Tensor, effects: Tensor, cause: Tensor, effect: Tensor, **options: int
) -> tuple[Tensor, Tensor]:
    """p-value and mean HSIC of each model, fitted on `[pairs, n]`, tested on blocks of others."""
    model = spline(causes, effects)
    left = effect - model(cause.flatten(1)).reshape(cause.shape)
    test = hsic_test(cause, left, **options)
    return (cause.shape[1] * test.p.amin(-1)).clamp(max=1), test.statistic.mean(-1)


def normal_scores(known: Tensor, scores: Tensor) -> Tensor:
    r"""Scores on the scale on which the known ones are standard normal, :math:`\Phi^{-1}(F(s))`.

    Args:
        known: Scores `[rows, n]`, whose distribution function is F; of ties the middle.
        scores: Scores `[rows, m]`.

    Example:
        >>> normal_scores(torch.tensor([[1.0, 2.0, 100.0]]), torch.tensor([[2.0, 0.0]]))
        tensor([[ 0.0000, -1.1503]])
    """
    ordered = known.sort(-1).values
    below, above = (
        torch.searchsorted(ordered, scores.contiguous(), right=right) for right in (False, True)
    )
    share = (below + above).to(scores) / 2
    bent: Tensor = torch.special.ndtri((share + 0.5) / (known.shape[-1] + 1))
    return bent
