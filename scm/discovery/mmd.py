"""Maximum mean discrepancy, between those who have an attribute and those who were given it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scm.discovery.attributes import Attribute
from scm.errors import ScmError

__all__ = ["mmd", "mmd_curve"]


def mmd(x: Tensor, y: Tensor, bandwidth: float | None = None) -> float:
    r"""Unbiased estimate of the squared MMD under a Gaussian kernel.

    :math:`E k(x, x') + E k(y, y') - 2 E k(x, y)` over distinct rows, with
    :math:`k(a, b) = \exp(-|a - b|^2 / 2 h^2)`; being unbiased, it may be negative.

    Args:
        x: Rows `(n, d)`.
        y: Rows `(m, d)`.
        bandwidth: h; the median distance of the pooled rows by default.

    Raises:
        ScmError: If there are fewer than two rows of either, or their widths differ.

    Source: Gretton, Borgwardt, Rasch, Schoelkopf and Smola (2012), lemma 6.

    Example:
        >>> mmd(torch.zeros(3, 1), torch.ones(3, 1), bandwidth=1.0)
        0.787
    """
    x, y = x.flatten(1).double(), y.flatten(1).double()
    if min(len(x), len(y)) < 2 or x.shape[1] != y.shape[1]:
        raise ScmError(
            f"rows {tuple(x.shape)} and {tuple(y.shape)} were given; expected two or more of each, "
            "of one width"
        )
    parts = {"xx": torch.cdist(x, x), "yy": torch.cdist(y, y), "xy": torch.cdist(x, y)}
    if bandwidth is None:
        pooled = torch.cat([d.flatten() for d in parts.values()])
        bandwidth = max(float(pooled[:: max(1, len(pooled) // 100_000)].median()), 1e-12)
    kernel = {name: torch.exp(-d.square() / (2 * bandwidth**2)) for name, d in parts.items()}
    own = (
        (kernel[name].sum() - len(rows)) / (len(rows) * (len(rows) - 1))
        for name, rows in (("xx", x), ("yy", y))
    )
    return float(sum(own) - 2 * kernel["xy"].mean())


def mmd_curve(
    attribute: Attribute, latents: Tensor, alphas: Sequence[float], most: int = 1000
) -> Tensor:
    """Squared MMD between conditional and counterfactual latents, for each alpha.

    The conditional ones are those read as treated; the counterfactual ones are the untreated,
    moved by alpha along the head's unit normal. One bandwidth, of the unmoved, serves all.

    Args:
        attribute: A linear latent head.
        latents: Latents of units `(n, *latent)`.
        alphas: Distances.
        most: Rows of either that are used.

    Returns:
        `(alphas,)`, float64.

    Source: CAGE, appendix E.
    """
    with torch.no_grad():
        treated = attribute.treated(attribute.read(latents))
    rows = latents.flatten(1)
    have, lack = rows[treated][:most], rows[~treated][:most]
    width = float(torch.pdist(torch.cat([have, lack])[:1000].double()).median())
    moved = [lack + alpha * attribute.direction.to(lack) for alpha in alphas]
    return torch.tensor([mmd(have, other, width) for other in moved], dtype=torch.float64)
