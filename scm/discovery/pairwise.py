"""Which of two numbers is the cause, by the asymmetries of their joint law alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scm.discovery.additive_noise import additive_noise
from scm.discovery.neighbours import neighbour, quietly
from scm.errors import ScmError, nearest

Array: TypeAlias = npt.NDArray[np.float64]

__all__ = ["METHODS", "Pairwise", "pairwise"]

METHODS = {
    "anm": "additive noise: regression and HSIC, this library's own",
    "lingam": "DirectLiNGAM of two variables, by lingam",
    "cdt-anm": "additive noise, by cdt (about 15 s for 1,000 rows)",
    "cdt-igci": "information geometry, by cdt",
    "cdt-cds": "conditional distribution similarity, by cdt",
}
"""What `pairwise` can be asked for."""


@dataclass(frozen=True)
class Pairwise:
    """What a method says of each pair.

    Attributes:
        method: Name of the method.
        score: Positive for x -> y, negative for y -> x, 0 for no verdict, `[*pairs]`.
        p_forward: p-value of the model x -> y, `[*pairs]`; None where a method has none.
        p_backward: p-value of the model y -> x.

    Example:
        >>> Pairwise("anm", torch.tensor([1.3, -0.2, 0.0])).direction
        ['x->y', 'y->x', 'none']
    """

    method: str
    score: Tensor
    p_forward: Tensor | None = None
    p_backward: Tensor | None = None

    @property
    def direction(self) -> Any:
        """A word for one pair, "x->y", "y->x" or "none"; nested lists of them for more."""
        words = np.array(["y->x", "none", "x->y"])
        return words[self.score.sign().long().cpu().numpy() + 1].tolist()


def pairwise(x: Any, y: Any, method: str = "anm", **options: Any) -> Pairwise:
    """Say which of x and y is the cause, if one of them is and nothing else is a cause of both.

    Each method rests on an assumption that it cannot test: that exactly one of x -> y and
    y -> x holds, without a common cause, and that the mechanism is of its kind. All of them
    give an answer where the assumption fails.

    Args:
        x: Numbers `[*pairs, n]`.
        y: Numbers `[*pairs, n]`.
        method: One of `METHODS`.
        **options: For "anm" those of `additive_noise` (`regression="gp"` or "spline", `rows`,
            `gamma`, `permutations`, `seed`); for the others those of the class that is named there.

    Raises:
        ScmError: If the method is unknown, its library is not installed, or x and y are not
            finite numbers of one shape, neither constant, with at least 5 rows.

    Source: Mooij et al. (2016) for ANM; Shimizu et al. (2011) for DirectLiNGAM; Daniusis et al.
    (2010) for IGCI; Fonollosa (2016) for CDS.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> x, e = torch.randn(2, 500, generator=generator)
        >>> pairwise(x, x + 0.5 * x**3 + e).direction
        'x->y'
    """
    if method not in METHODS:
        raise ScmError(f"there is no method {method!r}; {nearest(method, METHODS)}")
    a, b = torch.as_tensor(x).double(), torch.as_tensor(y).double()
    _check(a, b)
    shape = a.shape[:-1]
    rows_a, rows_b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
    if method == "anm":
        found = additive_noise(rows_a, rows_b, **options)
        p = (found.forward.p.reshape(shape), found.backward.p.reshape(shape))
        return Pairwise(method, found.score.reshape(shape), *p)
    scores = _SCORES[method](rows_a.cpu().numpy(), rows_b.cpu().numpy(), options)
    return Pairwise(method, torch.tensor(scores, dtype=torch.float64).reshape(shape))


def _lingam(x: Array, y: Array, options: dict[str, Any]) -> list[float]:
    """The effect of the first of DirectLiNGAM's order on the second, in standard units."""
    kind = neighbour("lingam:DirectLiNGAM")
    scores = []
    for a, b in zip(x, y, strict=True):
        with quietly():
            fit = kind(**options).fit(np.stack([a, b], 1))
        effect = fit.adjacency_matrix_
        scores.append(
            float(abs(effect[1, 0]) * a.std() / b.std() - abs(effect[0, 1]) * b.std() / a.std())
        )
    return scores


def _cdt(name: str) -> Callable[[Array, Array, dict[str, Any]], list[float]]:
    def scores(x: Array, y: Array, options: dict[str, Any]) -> list[float]:
        kind = neighbour(f"cdt.causality.pairwise:{name}")
        with quietly():
            model = kind(**options)
            return [float(model.predict_proba((a, b))) for a, b in zip(x, y, strict=True)]

    return scores


_SCORES = {
    "lingam": _lingam,
    "cdt-anm": _cdt("ANM"),
    "cdt-igci": _cdt("IGCI"),
    "cdt-cds": _cdt("CDS"),
}


def _check(x: Tensor, y: Tensor) -> None:
    fits = x.shape == y.shape and x.ndim > 0 and x.shape[-1] >= 5
    if not fits or not (torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise ScmError(
            f"x of shape {tuple(x.shape)} and y of shape {tuple(y.shape)} were given; expected "
            "finite numbers of one shape, [*pairs, n] of n >= 5 rows"
        )
    for name, values in (("x", x), ("y", y)):
        if (values == values[..., :1]).all(-1).any():
            raise ScmError(f"{name} is constant, so it is neither cause nor effect; leave it out")
