"""p-values of many hypotheses, adjusted."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["benjamini_hochberg", "holm"]


def holm(p: Tensor) -> Tensor:
    r"""Adjusted p-values, :math:`\max_{k \le j} \min(1, (m - k + 1) p_{(k)})`.

    Rejecting those below a makes the chance of any false rejection at most a.

    Args:
        p: p-values `(m,)`.

    Source: Holm (1979).

    Example:
        >>> holm(torch.tensor([0.01, 0.04, 0.02]))
        tensor([0.0300, 0.0400, 0.0400])
    """
    order, m = p.argsort(), len(p)
    steps = p[order] * torch.arange(m, 0, -1, device=p.device)
    out = torch.empty_like(p)
    out[order] = steps.cummax(0).values.clamp(max=1) if m else steps
    return out


def benjamini_hochberg(p: Tensor) -> Tensor:
    r"""Adjusted p-values, :math:`\min_{k \ge j} \min(1, m p_{(k)} / k)`.

    Rejecting those below a makes the expected share of false rejections at most a, if the
    p-values are independent or positively dependent.

    Args:
        p: p-values `(m,)`.

    Source: Benjamini and Hochberg (1995).

    Example:
        >>> benjamini_hochberg(torch.tensor([0.01, 0.04, 0.02]))
        tensor([0.0300, 0.0400, 0.0300])
    """
    order, m = p.argsort(descending=True), len(p)
    steps = p[order] * m / torch.arange(m, 0, -1, device=p.device)
    out = torch.empty_like(p)
    out[order] = steps.cummin(0).values.clamp(max=1) if m else steps
    return out
