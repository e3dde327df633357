"""Exogenous noise: a base law of fixed width, and the distributions it is pushed through.

Every node owns standard uniform or standard normal noise U of a fixed width. A
distribution is reached from it by its inverse distribution function, so that a unit's
noise is one small tensor whatever the law: `x = F^{-1}(u)`, and back by `u = F(x)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, distributions, nn

from scm.errors import MechanismError, ScmError

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


_NORMAL_BASE = (distributions.Normal, distributions.LogNormal, distributions.MultivariateNormal)


class Law(nn.Module):
    """A torch distribution as a push-forward of base noise.

    `push(u)` is `F^{-1}(u)` (or the affine map, where the base is normal), `pull(x)` its
    inverse, exact for continuous laws; for discrete ones `pull` draws from the interval of
    noise that gives x. Torch's `icdf` is used where there is one, scipy's otherwise.

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

    def __init__(self, distribution: distributions.Distribution) -> None:
        super().__init__()
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
        law: Literal["normal", "uniform"] = (
            "normal" if isinstance(distribution, _NORMAL_BASE) else "uniform"
        )
        self.noise = Noise(law, self.event)
        self.discrete = distribution.support.is_discrete  # type: ignore[union-attr]
        self._known: tuple[Any, tuple[bool, bool]] = (None, (False, False))
        if law == "uniform":
            self._uses_torch = not self.discrete and _has_torch_icdf(distribution)
            if not self._uses_torch and self.family.__name__ not in _SCIPY:
                raise MechanismError(_REFUSED.format(distribution))

    def distribution(self) -> distributions.Distribution:
        """The torch distribution with the present parameters."""
        values = {name: getattr(self, name) for name in self.names}
        return _within_support(self.family)(**values, validate_args=False)

    def push(self, noise: Tensor) -> Tensor:
        """Base noise `(*batch, *event)` to values of the same shape."""
        if self.family is distributions.Normal:
            centred, unit = self._plain()
            spread = noise if unit else self.scale * noise
            return spread if centred else self.loc + spread
        if self.family is distributions.LogNormal:
            return torch.exp(self.loc + self.scale * noise)
        if self.family is distributions.MultivariateNormal:
            return self.loc + noise @ self.scale_tril.mT
        if self._uses_torch:
            return self.distribution().icdf(noise)
        return self._scipy("ppf", noise)

    def around(self, mean: Tensor, noise: Tensor) -> Tensor:
        """`mean + push(noise)`, in one pass where the law is a centred normal."""
        if self.family is distributions.Normal and self._plain()[0] and not self._plain()[1]:
            return torch.addcmul(mean, self.scale, noise)
        return mean + self.push(noise)

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
            fresh: Fresh base noise of the same shape, used by discrete laws alone.
        """
        if self.family is distributions.Normal:
            return (value - self.loc) / self.scale
        if self.family is distributions.LogNormal:
            return (value.log() - self.loc) / self.scale
        if self.family is distributions.MultivariateNormal:
            centred = (value - self.loc).unsqueeze(-1)
            return torch.linalg.solve_triangular(self.scale_tril, centred, upper=False).squeeze(-1)
        if self.discrete:
            low, high = self._scipy("cdf", value - 1), self._scipy("cdf", value)
            return low + fresh * (high - low)
        if self._uses_torch:
            return self.distribution().cdf(value)
        return self._scipy("cdf", value)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of `(*batch, *event)`, summed over the event: `(*batch,)`."""
        density = self.distribution().log_prob(value)
        if self.family is distributions.MultivariateNormal:
            return density
        return density.flatten(density.ndim - len(self.event)).sum(-1) if self.event else density

    def fit(self, values: Tensor, *, centred: bool = False) -> None:
        """Set the parameters to their maximum-likelihood values, in closed form.

        Args:
            values: `(n, *event)`.
            centred: Leave the location where it is (noise around a fitted mean).

        Raises:
            MechanismError: If this family has no closed form here.
        """
        if self.family in (distributions.Normal, distributions.LogNormal):
            x = values.log() if self.family is distributions.LogNormal else values
            loc = self.loc if centred else x.mean(0)
            self._set(loc=loc, scale=(x - loc).square().mean(0).sqrt())
        elif self.family is distributions.Laplace:
            loc = self.loc if centred else values.median(0).values
            self._set(loc=loc, scale=(values - loc).abs().mean(0))
        elif self.family is distributions.Uniform:
            self._set(low=values.min(0).values, high=values.max(0).values)
        elif self.family is distributions.Exponential:
            self._set(rate=1 / values.mean(0))
        elif self.family is distributions.Poisson:
            self._set(rate=values.mean(0))
        elif self.family is distributions.MultivariateNormal:
            loc = self.loc if centred else values.mean(0)
            cov = (values - loc).mT @ (values - loc) / len(values)
            self._set(loc=loc, scale_tril=torch.linalg.cholesky(cov))
        else:
            raise MechanismError(
                f"no closed-form fit of {self.family.__name__} is known here; give its "
                "parameters, or use Flow() for a density to be learnt"
            )

    def _set(self, **values: Tensor) -> None:
        for name, value in values.items():
            if name == "scale" and not (value > 0).all():
                raise ScmError(
                    f"a {self.family.__name__} of scale {value.min():g} would fit these data, "
                    "which do not vary; declare the node Structural (deterministic) instead"
                )
            with torch.no_grad():
                getattr(self, name).copy_(value)

    def _scipy(self, function: str, value: Tensor) -> Tensor:
        from scipy import stats

        name, convert = _SCIPY[self.family.__name__]
        parameters = {p: getattr(self, p).double().cpu().numpy() for p in self.names}
        law = getattr(stats, name)(**convert(parameters))
        out = getattr(law, function)(value.detach().double().cpu().numpy())
        return torch.as_tensor(out).to(value)

    def extra_repr(self) -> str:
        values = ", ".join(f"{p}={_short(getattr(self, p))}" for p in self.names)
        return f"{self.family.__name__}({values})"


class _WithinSupport:
    """The density is zero outside the support, where torch without its checks invents one."""

    def log_prob(self, value: Tensor) -> Tensor:
        density: Tensor = super().log_prob(value)  # type: ignore[misc]
        inside = self.support.check(value)  # type: ignore[attr-defined]
        return torch.where(inside, density, -torch.inf)


@cache
def _within_support(family: type) -> Any:
    real = (distributions.constraints.real, distributions.constraints.real_vector)
    if family.support in real:  # type: ignore[attr-defined]
        return family
    return type(family.__name__, (_WithinSupport, family), {})


_REFUSED = (
    "{} has no inverse distribution function in torch or scipy, so its noise cannot be "
    "addressed by unit; use one that has (Normal, Laplace, Gamma, StudentT, ...), "
    "MultivariateNormal, or Flow() for a vector-valued law"
)


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


# torch family -> (scipy law, how torch's parameters become scipy's)
_SCIPY = {
    "Gamma": ("gamma", lambda p: {"a": p["concentration"], "scale": 1 / p["rate"]}),
    "Chi2": ("chi2", lambda p: {"df": p["df"]}),
    "Beta": ("beta", lambda p: {"a": p["concentration1"], "b": p["concentration0"]}),
    "StudentT": ("t", lambda p: {"df": p["df"], "loc": p["loc"], "scale": p["scale"]}),
    "FisherSnedecor": ("f", lambda p: {"dfn": p["df1"], "dfd": p["df2"]}),
    "InverseGamma": ("invgamma", lambda p: {"a": p["concentration"], "scale": p["rate"]}),
    "VonMises": ("vonmises", lambda p: {"kappa": p["concentration"], "loc": p["loc"]}),
    "Poisson": ("poisson", lambda p: {"mu": p["rate"]}),
    "Geometric": ("geom", lambda p: {"p": p["probs"], "loc": -1}),
    "Binomial": ("binom", lambda p: {"n": p["total_count"], "p": p["probs"]}),
    "NegativeBinomial": ("nbinom", lambda p: {"n": p["total_count"], "p": 1 - p["probs"]}),
}


def _parameters(distribution: distributions.Distribution) -> list[str]:
    names = list(distribution.arg_constraints)
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
    half = torch.full(distribution.batch_shape, 0.5)
    try:
        distribution.cdf(distribution.icdf(half))
    except (NotImplementedError, RuntimeError, ValueError):
        return False
    return True


def _short(value: Tensor) -> str:
    return f"{value.item():g}" if value.ndim == 0 else f"tensor{tuple(value.shape)}"
