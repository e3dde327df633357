r"""Couplings of a conditional probability table: one noise, a value under every parent.

A table :math:`P(v \mid pa)` says how often each level occurs under given parents. It does
not say what *the same unit* would have been under other parents; that is an assumption, and
a coupling is its name. With the uniform noise :math:`U` of a unit held fixed,

- ``"gumbel"``: :math:`v = \arg\max_k \log p_k + G_k` with :math:`K` independent Gumbels,
- ``"monotone"``: :math:`v = \#\{k : U \ge F_k\}`, the inverse distribution function,

and :meth:`Coupling.pair` is the joint law of the values under two parents.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scm.errors import MechanismError, nearest

__all__ = ["Coupling", "Gumbel", "Monotone", "coupling"]

# What is less probable than this is impossible: a float32 uniform could not encode it.
_IMPOSSIBLE = 2.0**-100


class Coupling(ABC):
    """How the noise of a unit and a distribution over ``K`` levels give a level.

    The leading dimensions of all arguments broadcast. Noise is uniform on ``[0, 1)``.
    """

    name: str

    @abstractmethod
    def width(self, levels: int) -> int:
        """Return how many uniforms a unit has at a node of ``levels`` levels."""

    @abstractmethod
    def value(self, probs: Tensor, noise: Tensor) -> Tensor:
        """Return the level of each unit; a level of probability zero never occurs.

        Args:
            probs: probabilities, ``(..., K)``.
            noise: uniforms, ``(..., width(K))``.

        Returns:
            int64 codes ``(...)``.
        """

    @abstractmethod
    def posterior(self, probs: Tensor, value: Tensor, fresh: Tensor) -> Tensor:
        """Return noise drawn from its law given that ``value`` was observed.

        ``self.value(probs, self.posterior(probs, value, fresh)) == value`` always.

        Args:
            probs: probabilities, ``(..., K)``.
            value: observed codes, int64, ``(...)``.
            fresh: uniforms that decide the draw, ``(..., width(K))``.

        Returns:
            Noise ``(..., width(K))`` in the dtype of ``fresh``.

        Raises:
            MechanismError: if an observed level is none of the ``K`` or has probability zero.
        """

    @abstractmethod
    def pair(
        self, p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Return the joint law of the values under ``p`` and under ``q`` for the same noise.

        Args:
            p: probabilities ``(..., K)``.
            q: probabilities ``(..., K)``; leading dimensions broadcast with those of ``p``.

        Returns:
            ``(..., K, K)``: entry ``k, l`` is P(value is k under p and l under q).
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _observed(self, probs: Tensor, value: Tensor, fresh: Tensor) -> tuple[Tensor, ...]:
        """Broadcast and check the arguments of :meth:`posterior`."""
        levels = probs.shape[-1]
        self._check(probs, fresh)
        if ((value < 0) | (value >= levels)).any():
            raise MechanismError(f"observed codes must lie in 0..{levels - 1}, got {value}")
        batch = np.broadcast_shapes(probs.shape[:-1], value.shape, fresh.shape[:-1])
        p = probs.double().expand(*batch, levels)
        at = value.expand(batch).unsqueeze(-1)
        if (p.gather(-1, at) < _IMPOSSIBLE).any():
            raise MechanismError(
                "evidence has probability zero: a level was observed that its table excludes "
                "under the observed parents; check the data, or the zeros of the table"
            )
        return p, at, fresh.expand(*batch, fresh.shape[-1])

    def _check(self, probs: Tensor, noise: Tensor) -> None:
        expected = self.width(probs.shape[-1])
        if noise.shape[-1] != expected:
            raise MechanismError(
                f"the {self.name} coupling of {probs.shape[-1]} levels takes {expected} uniforms "
                f"a unit in the last dimension; the noise has shape {tuple(noise.shape)}"
            )


class Gumbel(Coupling):
    r"""The Gumbel-max coupling (Oberst and Sontag 2019).

    .. math:: v = \arg\max_k\, \log p_k - \log(-\log(1 - U_k)) = \arg\min_k E_k / p_k,
        \qquad E_k = -\log(1 - U_k) \sim \mathrm{Exp}(1)

    It is counterfactually stable: a level that became relatively more probable than every
    other is kept. ``1 - U`` in place of ``U`` changes no law, and puts the winner of the
    race, which has a small :math:`E`, where floating-point numbers are dense.

    Example:
        >>> p = torch.tensor([0.2, 0.8])
        >>> Gumbel().value(p, torch.tensor([[0.1, 0.9], [0.9, 0.1]]))
        tensor([0, 1])
    """

    name = "gumbel"

    def width(self, levels: int) -> int:
        """Return one uniform for each level."""
        return levels

    def value(self, probs: Tensor, noise: Tensor) -> Tensor:
        """Return the level that finishes first."""
        self._check(probs, noise)
        return _times(probs.double(), noise).argmin(-1)

    def posterior(self, probs: Tensor, value: Tensor, fresh: Tensor) -> Tensor:
        r"""Draw :math:`U` given the winner of the race (top-down, Maddison et al. 2014).

        The winning time :math:`T \sim \mathrm{Exp}(1)` does not depend on who won, and by
        lack of memory :math:`E_j = p_j T + E'_j` for the losers.
        """
        p, at, fresh = self._observed(probs, value, fresh)
        info = torch.finfo(fresh.dtype)
        exponential = _exponential(fresh.clamp_min(info.eps / 4))  # room to run faster
        won = torch.zeros_like(p, dtype=torch.bool).scatter(-1, at, True)
        first = exponential.gather(-1, at) / p.sum(-1, keepdim=True)
        finish = p * first + exponential.masked_fill(won, 0.0)
        noise = (-torch.expm1(-finish)).to(fresh.dtype).clamp(info.tiny, 1 - info.eps / 2)

        # Rounding the noise to its dtype may let a close loser win: then the winner runs faster.
        p_won, noise_won = p.gather(-1, at), noise.gather(-1, at)
        second = _times(p, noise).masked_fill(won, torch.inf).amin(-1, keepdim=True)
        for faster in (1e-6, 1e-3, 0.5):
            late = _times(p_won, noise_won) >= second * (1 - 1e-12)
            if not late.any():
                break
            nudged = -torch.expm1(-p_won * second * (1 - faster))
            nudged = nudged.to(fresh.dtype).clamp(info.tiny, 1 - info.eps / 2)
            noise_won = torch.where(late, nudged, noise_won)
        return noise.scatter(-1, at, noise_won)

    def pair(
        self, p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        r"""Return the joint law of the winners of two races with the same exponentials.

        For :math:`k \ne l` let :math:`s` and :math:`t` be the winning times under p and q.
        Every :math:`E_i` exceeds :math:`\max(p_i s, q_i t)`, and with
        :math:`x = t / (s + t)` the integral over :math:`s + t` is elementary:

        .. math::
            P(k, l) = p_k q_l \int_{x_l}^{x_k} \frac{dx}{m(x)^2}, \quad
            m(x) = \sum_i \max(p_i (1 - x), q_i x), \quad x_i = \frac{p_i}{p_i + q_i}

        (zero if :math:`x_k \le x_l`). Between neighbouring :math:`x_i`, :math:`m` is linear
        and the integral is :math:`(b - a) / (m(a) m(b))`. The diagonal is
        :math:`P(k, k) = 1 / \sum_i \max(p_i / p_k, q_i / q_k)`.

        Example:
            >>> Gumbel().pair(np.array([0.5, 0.5]), np.array([0.2, 0.8])).round(4)
            array([[0.2, 0.3],
                   [0. , 0.5]])
        """
        p, q = np.broadcast_arrays(_normal(p), _normal(q))
        both = p + q
        x = np.divide(p, both, out=np.zeros_like(both), where=both > 0)
        at = x[..., :, None]
        m = np.maximum(p[..., None, :] * (1 - at), q[..., None, :] * at).sum(-1)
        order = np.argsort(x, axis=-1)
        xs, ms = np.take_along_axis(x, order, -1), np.take_along_axis(m, order, -1)
        integral = np.zeros_like(x)
        integral[..., 1:] = np.cumsum(np.diff(xs) / (ms[..., :-1] * ms[..., 1:]), axis=-1)
        upto = np.empty_like(x)
        np.put_along_axis(upto, order, integral, -1)
        gap = np.maximum(upto[..., :, None] - upto[..., None, :], 0.0)
        joint: npt.NDArray[np.float64] = p[..., :, None] * q[..., None, :] * gap

        slowest = np.maximum(p[..., None, :] * q[..., :, None], q[..., None, :] * p[..., :, None])
        total = slowest.sum(-1)
        same = np.divide(p * q, total, out=np.zeros_like(total), where=total > 0)
        k = np.arange(p.shape[-1])
        joint[..., k, k] = same
        return joint


class Monotone(Coupling):
    r"""The inverse distribution function: :math:`v = \#\{k : U \ge p_0 + \dots + p_k\}`.

    One uniform a unit, and levels are ordered: what raises the distribution lowers nobody.
    :math:`U` lies on a grid (steps of ``2**-24`` in float32, ``2**-53`` in float64); each
    :math:`F_k` is rounded to it, and a level of positive probability keeps at least one step.

    Example:
        >>> p = torch.tensor([0.2, 0.5, 0.3])
        >>> Monotone().value(p, torch.tensor([[0.1], [0.2], [0.9]]))
        tensor([0, 1, 2])
    """

    name = "monotone"

    def width(self, levels: int) -> int:
        """Return 1."""
        return 1

    def value(self, probs: Tensor, noise: Tensor) -> Tensor:
        """Return the level whose steps hold the noise."""
        self._check(probs, noise)
        steps = _grid(noise.dtype)
        cell = (noise.double() * steps).floor().clamp(0, steps - 1)
        return (cell >= _thresholds(probs.double(), steps)).sum(-1)

    def posterior(self, probs: Tensor, value: Tensor, fresh: Tensor) -> Tensor:
        """Draw :math:`U` uniformly from the steps that give the observed level."""
        p, at, fresh = self._observed(probs, value, fresh)
        steps = _grid(fresh.dtype)
        upper = _thresholds(p, steps)
        lower = torch.cat([torch.zeros_like(upper[..., :1]), upper[..., :-1]], -1)
        low, high = lower.gather(-1, at), upper.gather(-1, at)
        cell = low + (fresh.double() * (high - low)).floor()
        return (torch.maximum(low, torch.minimum(cell, high - 1)) / steps).to(fresh.dtype)

    def pair(
        self, p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Return the overlaps of the intervals of ``[0, 1]`` that give each level.

        Example:
            >>> Monotone().pair(np.array([0.5, 0.5]), np.array([0.2, 0.8])).round(4)
            array([[0.2, 0.3],
                   [0. , 0.5]])
        """
        (p_low, p_high), (q_low, q_high) = _intervals(p), _intervals(q)
        low = np.maximum(p_low[..., :, None], q_low[..., None, :])
        high = np.minimum(p_high[..., :, None], q_high[..., None, :])
        overlap: npt.NDArray[np.float64] = np.maximum(high - low, 0.0)
        return overlap


_COUPLINGS: dict[str, Coupling] = {c.name: c for c in (Gumbel(), Monotone())}


def coupling(name: str | Coupling) -> Coupling:
    """Return the coupling called ``name``.

    Raises:
        MechanismError: if there is none of that name.

    Example:
        >>> coupling("monotone").width(5)
        1
    """
    if isinstance(name, Coupling):
        return name
    if name not in _COUPLINGS:
        raise MechanismError(f"no coupling is called {name!r}: {nearest(name, _COUPLINGS)}")
    return _COUPLINGS[name]


def _exponential(noise: Tensor) -> Tensor:
    """Return ``-log(1 - noise)`` in float64; an exact 0 stands for the middle of its step."""
    eps = torch.finfo(noise.dtype).eps
    inside = torch.where(noise > 0, noise, eps / 4).clamp_max(1 - eps / 2)
    return -torch.log1p(-inside.double())


def _times(p: Tensor, noise: Tensor) -> Tensor:
    """Return when each level would finish the race: infinity where it cannot."""
    return torch.where(p < _IMPOSSIBLE, torch.inf, _exponential(noise) / p)


def _grid(dtype: torch.dtype) -> float:
    return 2.0 / torch.finfo(dtype).eps


def _thresholds(p: Tensor, steps: float) -> Tensor:
    """Return the distribution function in whole steps; a possible level has at least one."""
    possible = (p >= _IMPOSSIBLE).double().cumsum(-1)
    upto = p.cumsum(-1)
    exact = (upto / upto[..., -1:] * steps).round()
    widened = possible + (exact - possible).cummax(-1).values.clamp_min(0)
    return torch.minimum(widened, steps - (possible[..., -1:] - possible))


def _normal(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    p = np.asarray(p, dtype=np.float64)
    return np.asarray(p / p.sum(-1, keepdims=True))


def _intervals(
    p: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    upper = np.cumsum(np.asarray(p, dtype=np.float64), axis=-1)
    upper /= upper[..., -1:]
    return np.concatenate([np.zeros_like(upper[..., :1]), upper[..., :-1]], -1), upper
