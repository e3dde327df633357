r"""What delta-tau is a function of: the steepness, bias and angle of two linear heads.

With z ~ N(0, I) and linear heads :math:`u_k = w_k \cdot z + b_k`, the pair :math:`(u_c, u_e)` is
exactly bivariate Gaussian, and a move along the unit normal of one shifts the other by
:math:`\alpha |w| \cos\theta`. So both GATEs, and delta-tau with them, are functions of five
numbers, none of which knows a causal direction. They are here in closed form, but for an
integral over one normal variable.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scm.discovery.attributes import Attribute

__all__ = ["Steepness"]

_POINTS, _REACH = 2001, 9.0  # of the integral, in standard deviations


@dataclass(frozen=True)
class Steepness:
    """Five numbers of a pair of linear heads, and the delta-tau that they alone predict.

    Attributes:
        cause_slope: :math:`|w_c|`.
        cause_bias: :math:`b_c`.
        effect_slope: :math:`|w_e|`.
        effect_bias: :math:`b_e`.
        cosine: Cosine of the angle between the heads.

    Example:
        >>> heads = Steepness(1.0, 0.0, 4.0, 0.0, 0.5)
        >>> heads.swapped.delta_tau(1.0) + heads.delta_tau(1.0)
        0.0
        >>> Steepness(2.0, 1.0, 2.0, -1.0, 0.5).delta_tau(1.0)  # as steep, as imbalanced
        0.0
    """

    cause_slope: float
    cause_bias: float
    effect_slope: float
    effect_bias: float
    cosine: float

    @classmethod
    def of(cls, cause: Attribute, effect: Attribute) -> Steepness:
        """The five numbers of two linear latent heads.

        Raises:
            ScmError: If one is no linear latent head.
        """
        (w_c, b_c), (w_e, b_e) = cause.line, effect.line
        cosine = float(cause.direction @ effect.direction)
        return cls(float(w_c.norm()), float(b_c), float(w_e.norm()), float(b_e), cosine)

    @property
    def swapped(self) -> Steepness:
        """Cause and effect in each other's place."""
        return Steepness(
            self.effect_slope, self.effect_bias, self.cause_slope, self.cause_bias, self.cosine
        )

    def gate(self, alpha: float, soft: bool = True) -> float:
        """The GATE of the cause on the effect, of equation 6, under a standard normal prior."""
        t = torch.linspace(-_REACH, _REACH, _POINTS, dtype=torch.float64)
        density = torch.exp(-0.5 * t.square())
        density = density / density.sum()
        spread = max(1 - self.cosine**2, 1e-12) ** 0.5
        # Given the effect's logit, the chance that a unit was treated as it is.
        treated = torch.special.ndtr(
            (self.cause_bias / self.cause_slope + self.cosine * t) / spread
        )
        u = self.effect_bias + self.effect_slope * t
        shift = alpha * self.effect_slope * self.cosine
        up, down = self._read(u + shift, soft), self._read(u - shift, soft)
        stays = self._read(u, soft)
        return float((density * ((1 - treated) * (up - stays) + treated * (stays - down))).sum())

    def delta_tau(self, alpha: float, soft: bool = True) -> float:
        """Equation 7 of these heads, whatever the generator knows of causes."""
        return abs(self.gate(alpha, soft)) - abs(self.swapped.gate(alpha, soft))

    @property
    def flatter(self) -> str:
        r"""Which head a small move changes less, :math:`|w| E\sigma'(u)`: "cause" or "effect".

        For small alpha, delta-tau is :math:`\alpha |\cos| (s_e E\sigma'(u_e) - s_c E\sigma'(u_c))`,
        so that it calls the flatter or more imbalanced head the cause.
        """
        return "cause" if self._response() <= self.swapped._response() else "effect"

    def __str__(self) -> str:
        return (
            f"|w_c| = {self.cause_slope:.3g}, b_c = {self.cause_bias:.3g}, "
            f"|w_e| = {self.effect_slope:.3g}, b_e = {self.effect_bias:.3g}, "
            f"cos = {self.cosine:.3g}"
        )

    def _response(self) -> float:
        """`|w| E sigma'(u)` of the cause's head."""
        t = torch.linspace(-_REACH, _REACH, _POINTS, dtype=torch.float64)
        p = (self.cause_bias + self.cause_slope * t).sigmoid()
        density = torch.exp(-0.5 * t.square())
        return self.cause_slope * float((density * p * (1 - p)).sum() / density.sum())

    @staticmethod
    def _read(u: Tensor, soft: bool) -> Tensor:
        return u.sigmoid() if soft else (u > 0).double()
