r"""The additive-noise model of a pair, for many pairs and both directions at once.

If y = f(x) + e with e independent of x, and f and the laws are in general position, no such
model holds backwards. So each is regressed on the other, and what is left is tested for
independence of the regressor.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scm.discovery.independence import IndependenceTest, hsic_gamma, hsic_test
from scm.discovery.regression import gaussian_process, spline
from scm.errors import ScmError, nearest

__all__ = ["REGRESSIONS", "AdditiveNoise", "additive_noise"]

REGRESSIONS = {"gp": gaussian_process, "spline": spline}
"""What y may be regressed on x by."""

_AT_ONCE = 64  # pairs


@dataclass(frozen=True)
class AdditiveNoise:
    """Tests of the additive-noise model x -> y and of y -> x, `[pairs]` each.

    Attributes:
        forward: HSIC of x and y - f(x).
        backward: HSIC of y and x - g(y).
        log_p: Of both, by a gamma law, `[2, pairs]`; None where they were not asked for.

    Example:
        >>> def test(hsic, p):
        ...     return IndependenceTest(torch.tensor([hsic]), torch.tensor([p]), torch.tensor([99]))
        >>> AdditiveNoise(forward=test(0.001, 0.6), backward=test(0.008, 0.01)).score  # log 8
        tensor([2.0794])
    """

    forward: IndependenceTest
    backward: IndependenceTest
    log_p: Tensor | None = None

    @property
    def score(self) -> Tensor:
        """Positive where x -> y fits better, `[pairs]`.

        log(HSIC backward / HSIC forward); or log(p forward / p backward) by a gamma law.
        """
        if self.log_p is not None:
            return self.log_p[0] - self.log_p[1]
        return self.backward.statistic.log() - self.forward.statistic.log()


def additive_noise(
    x: Tensor,
    y: Tensor,
    *,
    regression: str = "gp",
    rows: int | None = 1_000,
    gamma: bool = False,
    permutations: int = 1_000,
    stop_after: int | None = 20,
    seed: int = 0,
) -> AdditiveNoise:
    """Fit and test the additive-noise model in both directions, on the same rows.

    The p-values are those of residuals that were fitted on the rows they are tested on, which
    makes them look a little more independent than the noise is.

    Args:
        x: Numbers `[pairs, n]`.
        y: Numbers `[pairs, n]`.
        regression: "gp" or "spline".
        rows: Largest number of rows used; of more, so many are drawn. None for all.
        gamma: Whether p-values by a gamma law are compared, in place of the HSICs themselves; with
            all rows that is the ANM-pHSIC of Mooij et al.
        permutations: Largest number of permutations of each test.
        stop_after: Stop a test after so many statistics at least as large; None to draw all.
        seed: Seed of the rows and permutations.

    Raises:
        ScmError: If the regression is unknown, or the numbers are not as `hsic_test` needs them.

    Source: Hoyer et al. (2009), Nonlinear causal discovery with additive noise models; Mooij et
    al. (2016), Distinguishing cause from effect, algorithm 1.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> x, e = torch.randn(2, 1, 300, generator=generator)
        >>> additive_noise(x, x + 0.5 * x**3 + e).score > 0
        tensor([True])
    """
    if regression not in REGRESSIONS:
        raise ScmError(f"there is no regression {regression!r}; {nearest(regression, REGRESSIONS)}")
    generator = torch.Generator().manual_seed(seed)
    if rows is not None and x.shape[-1] > rows:
        chosen = torch.randperm(x.shape[-1], generator=generator)[:rows].to(x.device)
        x, y = x[:, chosen], y[:, chosen]
    tests, log_p = [], []
    for a, b in zip(x.split(_AT_ONCE), y.split(_AT_ONCE), strict=True):
        causes, effects = torch.cat([a, b]), torch.cat([b, a])
        causes, effects = _standard(causes), _standard(effects)
        left = effects - REGRESSIONS[regression](causes, effects)(causes)
        tests.append(
            hsic_test(causes, left, permutations=permutations, stop_after=stop_after, seed=seed)
        )
        if gamma:
            log_p.append(hsic_gamma(causes, left).reshape(2, -1))
    forward, backward = (_joined([_part(test, k) for test in tests]) for k in range(2))
    return AdditiveNoise(forward, backward, torch.cat(log_p, 1) if gamma else None)


def _standard(x: Tensor) -> Tensor:
    x = x.double()
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True).clamp(min=1e-300)


def _part(test: IndependenceTest, k: int) -> IndependenceTest:
    halves = (each.chunk(2)[k] for each in (test.statistic, test.p, test.permutations))
    return IndependenceTest(*halves)


def _joined(tests: list[IndependenceTest]) -> IndependenceTest:
    names = ("statistic", "p", "permutations")
    return IndependenceTest(*(torch.cat([getattr(t, name) for t in tests]) for name in names))
