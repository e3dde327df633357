"""Baselines that learn a whole graph: DirectLiNGAM, linear NOTEARS, and how far a graph is off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scm.discovery.neighbours import neighbour, quietly
from scm.errors import ScmError

__all__ = ["LinearGraph", "direct_lingam", "notears", "structural_hamming_distance"]

_STEPS, _ROUNDS, _LR = 300, 12, 0.02
_RHO_MOST, _ACYCLIC = 1e12, 1e-8


@dataclass(frozen=True, eq=False)
class LinearGraph:
    """A linear graph that was learned.

    Attributes:
        weights: Effect of i on j, `[i, j]`; 0 where there is no edge.
        score: What was minimised, at these weights; NaN for DirectLiNGAM.
        acyclic: Whether the edges make no cycle.

    Example:
        >>> graph = LinearGraph(torch.tensor([[0.0, 0.8], [0.0, 0.0]]), score=0.4, acyclic=True)
        >>> graph.edges.nonzero().tolist()
        [[0, 1]]
    """

    weights: Tensor
    score: float
    acyclic: bool

    @property
    def edges(self) -> Tensor:
        """Truth values `[i, j]`."""
        return self.weights != 0


def direct_lingam(x: Any, *, threshold: float = 0.1, seed: int = 0) -> LinearGraph:
    """Learn a linear non-Gaussian graph without hidden causes, by lingam's DirectLiNGAM.

    Args:
        x: Numbers `(n, d)`.
        threshold: Effects below this, in standard deviations, are no edges.
        seed: Its random state.

    Raises:
        ScmError: If x is not as described, a column is constant, or lingam is not installed.

    Source: Shimizu et al. (2011).

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> cause, noise = torch.rand(2, 500, generator=generator)
        >>> direct_lingam(torch.stack([cause, cause + 0.5 * noise], 1)).edges.nonzero().tolist()
        [[0, 1]]
    """
    data = _standard(x)
    kind = neighbour("lingam:DirectLiNGAM")
    with quietly():
        fit = kind(random_state=seed).fit(data.cpu().numpy())
    weights = torch.as_tensor(fit.adjacency_matrix_.T.copy(), dtype=torch.float64)
    weights = torch.where(weights.abs() >= threshold, weights, 0.0)
    return LinearGraph(weights, float("nan"), _is_acyclic(weights))


def notears(
    x: Any,
    *,
    l1: float = 0.05,
    threshold: float = 0.3,
    restarts: int = 4,
    standardise: bool = False,
    seed: int = 0,
) -> LinearGraph:
    r"""Learn a linear graph by continuous optimisation, from several starts at once.

    .. math:: \min_W \tfrac{1}{2n} \| X - X W \|_F^2 + \lambda \|W\|_1 \quad
        \text{subject to } \mathrm{tr}\, e^{W \circ W} = d,

    by an augmented Lagrangian whose inner problems Adam solves, all restarts in one batch. The
    squared error depends on the scale of the columns, and so does the graph (Reisach et al. 2021):
    ``standardise=True`` takes that away, and with it most of what is found.

    Args:
        x: Numbers `(n, d)`.
        l1: lambda, for columns of mean variance one.
        threshold: Weights below this are no edges.
        restarts: Number of starts; the first from zero.
        standardise: Give every column unit variance; else all are scaled alike.
        seed: Seed of the other starts.

    Returns:
        The best graph by its score. Where the threshold leaves a cycle, the weakest edges of
        cycles are dropped.

    Raises:
        ScmError: If x is not as described, or a column is constant.

    Source: Zheng et al. (2018), DAGs with NO TEARS, equation 9 and algorithm 1.

    Example:
        >>> e = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
        >>> notears(torch.stack([e[:, 0], 2 * e[:, 0] + e[:, 1]], 1)).edges
        tensor([[False,  True],
                [False, False]])
    """
    data = _standard(x)
    if not standardise:
        raw = torch.as_tensor(x).double()
        data = data * raw.std(0) / raw.var(0).mean().sqrt()
    n, d = data.shape
    gram = data.mT @ data / n
    generator = torch.Generator().manual_seed(seed)
    w = 0.3 * torch.randn(restarts, d, d, generator=generator, dtype=torch.float64).to(data)
    w[0] = 0.0
    off = 1 - torch.eye(d, dtype=w.dtype, device=w.device)
    eye = torch.eye(d, dtype=w.dtype, device=w.device)
    alpha, rho = w.new_zeros(restarts), w.new_ones(restarts)
    last = w.new_full((restarts,), torch.inf)
    for _ in range(_ROUNDS):
        w = _inner(w, gram, off, l1, alpha, rho)
        h = _cycles(w)
        alpha = alpha + rho * h
        rho = torch.where(h > 0.25 * last, rho * 10, rho).clamp(max=_RHO_MOST)
        last = h
        if (h < _ACYCLIC).all():
            break
    kept = torch.stack([_broken(torch.where(each.abs() >= threshold, each, 0.0)) for each in w])
    scores = _loss(kept, gram, eye) + l1 * kept.abs().sum((1, 2))
    best = int(scores.argmin())
    return LinearGraph(kept[best], float(scores[best]), True)


def structural_hamming_distance(found: Tensor, truth: Tensor) -> int:
    """Edges to add, remove or turn round to get from one graph to the other; a turn counts one.

    Args:
        found: Edges i -> j, `[d, d]`; non-zero where there is one.
        truth: The same of the other graph.

    Raises:
        ScmError: If these are not two square matrices of one size.

    Source: Tsamardinos et al. (2006), for directed graphs.

    Example:
        >>> a, b = torch.zeros(2, 3, 3)
        >>> a[0, 1] = b[1, 0] = b[1, 2] = 1
        >>> structural_hamming_distance(a, b)
        2
    """
    if found.shape != truth.shape or found.ndim != 2 or found.shape[0] != found.shape[1]:
        raise ScmError(
            f"graphs {tuple(found.shape)} and {tuple(truth.shape)} were given; expected two square "
            "matrices of one size"
        )
    differs = (found != 0) != (truth != 0)
    return int(torch.triu(differs | differs.mT, 1).sum())


def _inner(w: Tensor, gram: Tensor, off: Tensor, l1: float, alpha: Tensor, rho: Tensor) -> Tensor:
    """Minimise the augmented Lagrangian by Adam, with the gradient in closed form."""
    mean, square = torch.zeros_like(w), torch.zeros_like(w)
    for k in range(1, _STEPS + 1):
        powers = torch.linalg.matrix_exp(w * w)
        h = powers.diagonal(dim1=1, dim2=2).sum(1) - w.shape[-1]
        push = (alpha + rho * h)[:, None, None] * powers.mT * 2 * w
        slope = (gram @ w - gram + l1 * w.sign() + push) * off
        mean = 0.9 * mean + 0.1 * slope
        square = 0.999 * square + 0.001 * slope.square()
        rate = _LR * (1 - k / (_STEPS + 1))
        step = mean / (1 - 0.9**k) / ((square / (1 - 0.999**k)).sqrt() + 1e-12)
        w = ((w - rate * step) * off).clamp(-5, 5)
    return w


def _cycles(w: Tensor) -> Tensor:
    excess: Tensor = torch.linalg.matrix_exp(w * w).diagonal(dim1=1, dim2=2).sum(1) - w.shape[-1]
    return excess


def _loss(w: Tensor, gram: Tensor, eye: Tensor) -> Tensor:
    left = eye - w
    return 0.5 * (left.mT @ gram @ left).diagonal(dim1=1, dim2=2).sum(1)


def _broken(w: Tensor) -> Tensor:
    """The same without the weakest edges, until no cycle is left."""
    w = w.clone()
    while not _is_acyclic(w):
        on_cycle = (w != 0) & _reaches(w).mT
        weakest = torch.where(on_cycle, w.abs(), torch.inf).argmin()
        w.view(-1)[weakest] = 0.0
    return w


def _reaches(w: Tensor) -> Tensor:
    """Whether a path leads from i to j."""
    paths = (w != 0).double()
    for _ in range(max(1, len(w) - 1).bit_length()):
        paths = ((paths + paths @ paths) > 0).double()
    return paths > 0


def _is_acyclic(w: Tensor) -> bool:
    return not bool(_reaches(w).diagonal().any())


def _standard(x: Any) -> Tensor:
    data = torch.as_tensor(x).double()
    if data.ndim != 2 or data.shape[0] < 5 or data.shape[1] < 2 or not data.isfinite().all():
        raise ScmError(
            f"data of shape {tuple(data.shape)} were given; expected finite numbers (n, d), n >= 5 "
            "rows of d >= 2 columns"
        )
    spread = data.std(0)
    if not (spread > 0).all():
        raise ScmError(f"the columns {(spread == 0).nonzero()[:, 0].tolist()} are constant; "
                       "leave them out")  # fmt: skip
    return (data - data.mean(0)) / spread
