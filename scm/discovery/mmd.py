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
    across = torch.cdist(x, y)
    if bandwidth is None:
        pooled = torch.cat([torch.cdist(x, x).flatten(), torch.cdist(y, y).flatten(),
                            across.flatten()])  # fmt: skip
        bandwidth = max(float(pooled[:: max(1, len(pooled) // 100_000)].median()), 1e-12)
    own = _within(x, bandwidth) + _within(y, bandwidth)
    return own - 2 * float(_kernel(across, bandwidth).mean())


def _within(rows: Tensor, bandwidth: float) -> float:
    """Mean of the kernel over distinct rows."""
    n = len(rows)
    whole = float(_kernel(torch.cdist(rows, rows), bandwidth).sum())
    return (whole - n) / (n * (n - 1))


def _kernel(distances: Tensor, bandwidth: float) -> Tensor:
    return torch.exp(-distances.square() / (2 * bandwidth**2))


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

    Example:
        >>> from scm.mechanisms.latent import LatentGenerator
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(lambda z: z, 2, Real((2,)))
        >>> z = generator.draw(300)
        >>> a = Attribute.from_labels("A", generator, z[:, 0] > 0, latents=z)
        >>> curve = mmd_curve(a, z, [0.0, 1.0])
        >>> bool(curve[1] < curve[0])  # the move makes the untreated more like the treated
        True
    """
    with torch.no_grad():
        treated = attribute.treated(attribute.read(latents))
    rows = latents.flatten(1).double()
    have, lack = rows[treated][:most], rows[~treated][:most]
    width = float(torch.pdist(torch.cat([have, lack])[:1000]).median())
    # A move of all rows leaves the distances between them.
    own, step = _within(have, width) + _within(lack, width), attribute.direction.to(lack)
    across = [_kernel(torch.cdist(have, lack + alpha * step), width).mean() for alpha in alphas]
    return own - 2 * torch.stack(across).cpu()
