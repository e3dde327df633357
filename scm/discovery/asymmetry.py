r"""Whether an additive-noise model holds one way and fails the other: step 3 of the audit.

Functions are fitted on one set of samples and tested on disjoint blocks of others,

.. math:: p_f = \min(1, b \min_j p[\mathrm{HSIC}(s_c, s_e - f(s_c))]_{\text{block } j}),

and H is the mean HSIC over the b blocks. The null hypothesis of :math:`p_f` is that
:math:`s_e - \hat f(s_c)` is independent of :math:`s_c`, for the function that was fitted: a
fitted function misses the true one, so that large blocks reject the true direction as well, unless
there are many more samples to fit on.

A second opinion, for pairs that call for it: all is done again on scales that are bent until the
margins are normal. A pair that then fits both ways is linear-Gaussian behind its scales, and a
direction rests on how it is measured. (An effect `exp(c + noise)` of normal c and noise is an
additive-noise model of c, the wrong way.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scm.discovery.independence import hsic_test
from scm.discovery.regression import spline

__all__ = ["Asymmetry", "asymmetries", "normal_scores"]

_Both = tuple[float, float]
_AT_ONCE = 16  # pairs


@dataclass(frozen=True)
class Asymmetry:
    """How the additive-noise model fares in both directions of a pair.

    Attributes:
        p_forward: p-value of the model c -> e.
        p_backward: p-value of the model e -> c.
        hsic_forward: Mean HSIC of the residuals of c -> e over the blocks.
        hsic_backward: That of e -> c.
        normal: p-values of c -> e and of e -> c with normal margins; None where not asked.
    """

    p_forward: float
    p_backward: float
    hsic_forward: float
    hsic_backward: float
    normal: tuple[float, float] | None = None


def asymmetries(
    fit: Tensor,
    blocks: Tensor,
    pairs: Sequence[tuple[int, int]],
    *,
    permutations: int = 2_500,
    again: Callable[[Asymmetry], bool] | None = None,
    seed: int = 0,
) -> list[Asymmetry]:
    """Test pairs of scores.

    Args:
        fit: Scores that the functions are fitted on, `[scores, n]`.
        blocks: Scores that they are tested on, `[scores, blocks, m]`.
        pairs: Which scores are c and e.
        permutations: Largest number of permutations of a test.
        again: Whether a first finding calls for a second opinion; all do by default.
        seed: Seed of the permutations.

    Source: the project's PAPERS.md, "CAGE, calibrated", step 3.
    """
    tests = _Tests(fit.double(), blocks.double(), {"permutations": permutations, "seed": seed})
    parts = [pairs[k : k + _AT_ONCE] for k in range(0, len(pairs), _AT_ONCE)]
    found = [Asymmetry(*p, *hsic) for part in parts for p, hsic in tests.both_ways(part)]
    asked = [k for k, each in enumerate(found) if again is None or again(each)]
    if asked:
        normal = tests.on_normal_margins()
        for part in (asked[k : k + _AT_ONCE] for k in range(0, len(asked), _AT_ONCE)):
            opinions = normal.both_ways([pairs[k] for k in part])
            for k, (p, _) in zip(part, opinions, strict=True):
                found[k] = replace(found[k], normal=p)
    return found


@dataclass(frozen=True)
class _Tests:
    fit: Tensor
    blocks: Tensor
    options: dict[str, int]

    def on_normal_margins(self) -> _Tests:
        bent = normal_scores(self.fit, self.blocks.flatten(1)).reshape(self.blocks.shape)
        return _Tests(normal_scores(self.fit, self.fit), bent, self.options)

    def both_ways(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[_Both, _Both]]:
        """p-values, and mean HSICs, of c -> e and of e -> c of each pair."""
        forward = torch.tensor(pairs, device=self.fit.device)
        c, e = torch.cat([forward, forward.flip(1)]).T
        cause = self.blocks[c]
        model = spline(self.fit[c], self.fit[e])
        left = self.blocks[e] - model(cause.flatten(1)).reshape(cause.shape)
        test = hsic_test(cause, left, **self.options)
        p = (cause.shape[1] * test.p.amin(-1)).clamp(max=1)
        hsic = test.statistic.mean(-1)
        rows = torch.stack([*p.chunk(2), *hsic.chunk(2)], 1).tolist()
        return [((p_c, p_e), (hsic_c, hsic_e)) for p_c, p_e, hsic_c, hsic_e in rows]


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
