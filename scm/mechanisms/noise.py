"""Exogenous noise: a base law of fixed width, and the distributions it is pushed through.

Every node owns standard uniform or standard normal noise U of a fixed width. A
distribution is reached from it by its inverse distribution function, so that a unit's
noise is one small tensor whatever the law: `x = F^{-1}(Phi(u))`, and back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, distributions, nn, special

from scm.errors import MechanismError
from scm.mechanisms.families import SCIPY, maximum_likelihood, within_support

__all__ = ["Law", "Noise"]


@dataclass(frozen=True)
class Noise:
    """Base noise of one node: its law and its shape per unit.

    Example:
        >>> Noise("normal", (2,)).width
        2
    """

    law: Literal["normal", "uniform"]
    shape: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Base numbers per unit."""
        return int(torch.Size(self.shape).numel())


_UNIFORM_BASE = (distributions.Uniform,)


class Law(nn.Module):
    """A torch distribution as a push-forward of base noise.

    `push(u)` is `F^{-1}(Phi(u))` of standard normal u, which is an affine map where F is
    itself normal (a `Uniform` has uniform u instead), and `pull(x)` its inverse: exact for
    continuous laws, a draw from the noise that gives x for discrete ones. Both work from the
    nearer tail in float64, so that x survives the way to a float32 u and back far out too.

    Args:
        distribution: Any univariate torch distribution, a batch of them (the batch is
            then the event), or a `MultivariateNormal`.

    Raises:
        MechanismError: If neither torch nor scipy knows the inverse distribution function.

    Example:
        >>> law = Law(distributions.Normal(1.0, 2.0))
        >>> law.push(torch.tensor([0.0, 1.0]))
        tensor([1., 3.])
    """

    loc: Tensor
    scale: Tensor
    scale_tril: Tensor
    rate: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, distribution: distributions.Distribution) -> None:
        super().__init__()
        if not isinstance(distribution, distributions.Distribution):
            raise MechanismError(
                f"{distribution!r} was given as a law; expected a torch distribution, such as "
                "Normal(0.0, 1.0)"
            )
        if isinstance(distribution, distributions.Independent):
            distribution = distribution.base_dist
        self.family = type(distribution)
        self.names = tuple(_parameters(distribution))
        for name in self.names:
            value = torch.as_tensor(getattr(distribution, name))
            value = value if value.is_floating_point() else value.to(torch.get_default_dtype())
            self.register_buffer(name, value.detach().clone())
        self.event = tuple(distribution.batch_shape + distribution.event_shape)
        multivariate = isinstance(distribution, distributions.MultivariateNormal)
        if distribution.event_shape and not (multivariate and not distribution.batch_shape):
            raise MechanismError(_REFUSED.format(distribution))
        uniform = isinstance(distribution, _UNIFORM_BASE)
        self.noise = Noise("uniform" if uniform else "normal", self.event)
        self._known: tuple[Any, tuple[bool, bool]] = (None, (False, False))
        support = distribution.support
        self.discrete = bool(support is not None and support.is_discrete)
        known = self.family in _CLOSED or self.family.__name__ in SCIPY
        if not known and (self.discrete or not _has_torch_icdf(distribution)):
            raise MechanismError(_REFUSED.format(distribution))

    def distribution(self) -> distributions.Distribution:
        """The torch distribution with the present parameters, batch or event `event`."""
        return self._distribution({name: getattr(self, name) for name in self.names})

    def _distribution(self, parameters: Mapping[str, Tensor]) -> distributions.Distribution:
        family = within_support(self.family)  # type: ignore[arg-type]
        law: distributions.Distribution = family(**parameters, validate_args=False)
        return law

    def push(self, noise: Tensor) -> Tensor:
        """Base noise `(*batch, *event)` to values of the same shape."""
        if self.family is distributions.Normal:
            centred, unit = self._plain()
            spread = noise if unit else self.scale * noise
            return spread if centred else self.loc + spread
        if self.family is distributions.LogNormal:
            return torch.exp(self.loc + self.scale * noise)
        if self.family is distributions.MultivariateNormal:
            return self.loc + noise @ self.scale_tril.mT.to(noise)
        if self.family is distributions.Uniform:
            return self.low + (self.high - self.low) * noise
        return self._quantile(noise.double()).to(noise)

    def around(self, mean: Tensor, noise: Tensor) -> Tensor:
        """`mean + push(noise)`, in one pass where the law is a centred normal."""
        if self.family is distributions.Normal and self._plain()[0] and not self._plain()[1]:
            return torch.addcmul(mean, self.scale, noise)
        return mean + self.push(noise)

    def around_(self, mean: Tensor, noise: Tensor) -> Tensor:
        """`around`, written over the noise where its shape allows that."""
        fits = mean.shape == noise.shape and mean.dtype == noise.dtype
        if self.family is not distributions.Normal or self.scale.ndim or not fits:
            return self.around(mean, noise)
        centred, unit = self._plain()
        if not unit:
            noise.mul_(self.scale)
        noise.add_(mean)
        return noise if centred else noise.add_(self.loc)

    def _plain(self) -> tuple[bool, bool]:
        """Whether a normal law has location zero, and scale one; found once for given values."""
        key = tuple((id(p), p._version) for p in (self.loc, self.scale))
        if self._known[0] != key:
            flags = (bool((self.loc == 0).all()), bool((self.scale == 1).all()))
            self._known = (key, flags)
        return self._known[1]

    def pull(self, value: Tensor, fresh: Tensor) -> Tensor:
        """Values `(*batch, *event)` to the base noise that gives them.

        Args:
            value: Values within the support.
            fresh: Fresh base noise of the same shape, used by discrete laws alone.

        Raises:
            MechanismError: If a value is outside the support, or so improbable that no
                noise gives it.
        """
        if self.family is distributions.Normal:
            return (value - self.loc) / self.scale
        if self.family is distributions.MultivariateNormal:
            centred = (value - self.loc).unsqueeze(-1)
            tril = self.scale_tril.to(centred)
            solved: Tensor = torch.linalg.solve_triangular(tril, centred, upper=False)
            return solved.squeeze(-1)
        value = self._supported(value)
        if self.family is distributions.LogNormal:
            return (value.log() - self.loc) / self.scale
        if self.family is distributions.Uniform:
            return (value - self.low) / (self.high - self.low)
        if self.discrete:
            return self._pull_discrete(value, fresh)
        lower, upper = self._tails(value.double())
        tail = torch.where(lower < upper, lower, upper).clamp_min(_SMALLEST)
        noise: Tensor = torch.where(lower < upper, 1.0, -1.0) * special.ndtri(tail)
        if noise.requires_grad or not value.requires_grad:
            return noise.to(value)
        density = self.distribution().log_prob(value.detach())
        slope: Tensor = torch.exp(density - _NORMAL.log_prob(noise))
        noise = noise + (value - value.detach()) * slope
        return noise.to(value)

    def _pull_discrete(self, value: Tensor, fresh: Tensor) -> Tensor:
        low = self._scipy("cdf", value.double() - 1)
        high = self._scipy("cdf", value.double())
        where = _phi(fresh.double())
        noise = special.ndtri(low + where * (high - low)).to(fresh)
        middle = special.ndtri((low + high) / 2).to(fresh)
        # The dtype of the noise may round it into a neighbour's interval.
        noise = torch.where(self.push(noise) == value, noise, middle)
        lost = self.push(noise) != value
        if lost.any():
            raise MechanismError(_IMPROBABLE.format(value[lost][0].item(), self))
        return noise

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of `(*batch, *event)`, summed over the event: `(*batch,)`.

        It is `-inf` outside the support.
        """
        inside, clamped = self._inside(value)
        density: Tensor = self.distribution().log_prob(clamped)
        if self.family is distributions.MultivariateNormal:
            return density
        density = density.masked_fill(~inside, -torch.inf)
        return density.flatten(density.ndim - len(self.event)).sum(-1) if self.event else density

    def _quantile(self, z: Tensor) -> Tensor:
        """`F^{-1}(Phi(z))` of float64 z."""
        if self.family is distributions.Exponential:
            waited: Tensor = -special.log_ndtr(-z) / self.rate
            return waited
        if self.family is distributions.Laplace:
            away: Tensor = -special.log_ndtr(-z.abs()) - math.log(2.0)
            return self.loc + self.scale * z.sign() * away
        if self.discrete:
            return self._scipy("ppf", _phi(z).clamp(_SMALLEST, _LARGEST))
        tail = _phi(-z.abs()).clamp_min(_SMALLEST)
        if self.family.__name__ not in SCIPY:
            probability = torch.where(z < 0, tail, 1 - tail).clamp_max(_LARGEST)
            value: Tensor = self._double().icdf(probability)
            return value
        lower = z < 0
        value = self._scipy("isf", tail, ~lower, self._scipy("ppf", tail, lower))
        if self.family is distributions.VonMises:
            value = _wrap(value)
        if not z.requires_grad:
            return value
        density = self._double().log_prob(value)
        slope: Tensor = torch.exp(_NORMAL.log_prob(z.detach()) - density)
        return value + (z - z.detach()) * slope

    def _tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """`F(x)` and `1 - F(x)` of float64 values."""
        if self.family is distributions.Exponential:
            return -torch.expm1(-self.rate * value), torch.exp(-self.rate * value)
        if self.family is distributions.Laplace:
            z = (value - self.loc) / self.scale
            tail = 0.5 * torch.exp(-z.abs())
            return torch.where(z < 0, tail, 1 - tail), torch.where(z < 0, 1 - tail, tail)
        if self.family is distributions.VonMises:
            value = self.loc + _wrap(value - self.loc)
        if self.family.__name__ in SCIPY:
            return self._scipy("cdf", value), self._scipy("sf", value)
        lower: Tensor = self._double().cdf(value)
        return lower, 1 - lower

    def _double(self) -> distributions.Distribution:
        return self._distribution({name: getattr(self, name).double() for name in self.names})

    def _inside(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Where values are in the support, and they moved into it if rounding put them out."""
        support = self.distribution().support
        if support is None or self.family is distributions.MultivariateNormal:
            return torch.ones_like(value, dtype=torch.bool), value
        low = getattr(support, "lower_bound", None)
        high = getattr(support, "upper_bound", None)
        if self.family is distributions.VonMises:
            low, high = -math.pi, math.pi
        moved = value
        if low is not None:
            moved = torch.maximum(moved, torch.as_tensor(low).to(value))
        if high is not None:
            moved = torch.minimum(moved, torch.as_tensor(high).to(value))
        slack = torch.finfo(value.dtype).eps ** 0.5 * (1 + value.abs()) * (not self.discrete)
        inside = (moved - value).abs() <= slack
        return inside & (moved == moved.round()) if self.discrete else inside, moved

    def _supported(self, value: Tensor) -> Tensor:
        inside, moved = self._inside(value)
        if not inside.all():
            wrong = value[~inside]
            raise MechanismError(
                f"{wrong.numel()} of {value.numel()} values, {wrong.flatten()[0].item():g} among "
                f"them, are outside the support of {self.extra_repr()}; correct the data or "
                "declare another distribution"
            )
        return moved

    def fit(self, values: Tensor, *, centred: bool = False) -> None:
        """Set the parameters to their maximum-likelihood values.

        In closed form where there is one, otherwise by L-BFGS from the present parameters
        (numbers of trials stay as they are).

        Args:
            values: `(n, *event)`.
            centred: Leave the location where it is (noise around a fitted mean).

        Raises:
            MechanismError: If the values do not vary, are outside the support, or have no
                maximum of the likelihood.
        """
        if not len(values):
            raise MechanismError(f"no rows were given to fit {self.extra_repr()}; give at least 2")
        estimate = maximum_likelihood(self, values.detach().double(), centred)
        constraints: Any = self.distribution().arg_constraints
        for name, value in estimate.items():
            constraint = constraints[name]
            good = torch.isfinite(value).all()
            if not getattr(constraint, "is_dependent", False):
                good = good & constraint.check(value).all()
            if not good or (name == "scale" and not (value > 0).all()):
                raise MechanismError(
                    f"{self.family.__name__} would need {name} = {_brief(value)} to fit these "
                    "data, which hardly vary; declare the node Structural (deterministic) instead"
                )
        with torch.no_grad():
            for name, value in estimate.items():
                getattr(self, name).copy_(value)

    def _scipy(
        self,
        function: str,
        value: Tensor,
        where: Tensor | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """Apply scipy's function of this law, where wanted, and leave ``out`` elsewhere."""
        from scipy import stats

        name, convert = SCIPY[self.family.__name__]
        x = value.detach().cpu().numpy()
        mask = np.ones(x.shape, bool) if where is None else where.cpu().numpy()
        result = np.empty_like(x) if out is None else out.cpu().numpy()
        parameters = {}
        for p in self.names:
            given = getattr(self, p).double().cpu().numpy()
            parameters[p] = given if not given.ndim else np.broadcast_to(given, x.shape)[mask]
        result[mask] = getattr(getattr(stats, name), function)(x[mask], **convert(parameters))
        return torch.as_tensor(result).to(value.device)

    def extra_repr(self) -> str:
        values = ", ".join(f"{p}={_short(getattr(self, p))}" for p in self.names)
        return f"{self.family.__name__}({values})"


_NORMAL = distributions.Normal(0.0, 1.0)
_SMALLEST, _LARGEST = 1e-300, 1 - 2.0**-53
_CLOSED = (
    distributions.Normal,
    distributions.LogNormal,
    distributions.MultivariateNormal,
    distributions.Uniform,
    distributions.Exponential,
    distributions.Laplace,
)
_IMPROBABLE = (
    "a value {:g} is so improbable under {} that no noise of floating-point numbers gives it; "
    "correct the data or declare another distribution"
)
_REFUSED = (
    "{} has no inverse distribution function in torch or scipy, so its noise cannot be "
    "addressed by unit; use one that has (Normal, Laplace, Gamma, StudentT, ...), "
    "MultivariateNormal, or Flow() for a vector-valued law"
)


def _parameters(distribution: distributions.Distribution) -> list[str]:
    names: list[str] = list(distribution.arg_constraints)
    if isinstance(distribution, distributions.MultivariateNormal):
        return ["loc", "scale_tril"]
    if "probs" in names and "logits" in names:
        names.remove("logits")
    if "total_count" not in names and hasattr(distribution, "total_count"):
        names.insert(0, "total_count")
    if isinstance(distribution, distributions.Chi2):
        return ["df"]
    if not names:
        raise MechanismError(_REFUSED.format(distribution))
    return names


def _has_torch_icdf(distribution: distributions.Distribution) -> bool:
    half = torch.full(distribution.batch_shape, 0.5, dtype=torch.float64)
    try:
        distribution.cdf(distribution.icdf(half))
    except (NotImplementedError, RuntimeError, ValueError):
        return False
    return True


def _phi(z: Tensor) -> Tensor:
    """The normal distribution function; torch's `ndtr` is zero below -8.3."""
    return 0.5 * torch.erfc(-z * math.sqrt(0.5))


def _wrap(angle: Tensor) -> Tensor:
    return (angle + math.pi).remainder(2 * math.pi) - math.pi


def _brief(value: Tensor) -> str:
    return f"{value.flatten()[0].item():g}" if value.numel() == 1 else f"{value.tolist()!s:.60}"


def _short(value: Tensor) -> str:
    return f"{value.item():g}" if value.ndim == 0 else f"tensor{tuple(value.shape)}"
