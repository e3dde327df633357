"""What is known of the families of distributions: scipy's names, and maximum likelihood."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributions
from torch.distributions import transform_to

from scm.errors import MechanismError

if TYPE_CHECKING:
    from scm.mechanisms.noise import Law

__all__ = ["SCIPY", "maximum_likelihood", "within_support"]

_Arguments = Callable[[Mapping[str, Any]], dict[str, Any]]


def _same(*names: str) -> _Arguments:
    return lambda p: {name: p[name] for name in names}


# torch family -> (scipy law, how torch's parameters become scipy's)
SCIPY: dict[str, tuple[str, _Arguments]] = {
    "Bernoulli": ("bernoulli", lambda p: {"p": p["probs"]}),
    "Beta": ("beta", lambda p: {"a": p["concentration1"], "b": p["concentration0"]}),
    "Binomial": ("binom", lambda p: {"n": p["total_count"], "p": p["probs"]}),
    "Cauchy": ("cauchy", _same("loc", "scale")),
    "Chi2": ("chi2", _same("df")),
    "FisherSnedecor": ("f", lambda p: {"dfn": p["df1"], "dfd": p["df2"]}),
    "Gamma": ("gamma", lambda p: {"a": p["concentration"], "scale": 1 / p["rate"]}),
    "Geometric": ("geom", lambda p: {"p": p["probs"], "loc": -1}),
    "Gumbel": ("gumbel_r", _same("loc", "scale")),
    "HalfCauchy": ("halfcauchy", _same("scale")),
    "HalfNormal": ("halfnorm", _same("scale")),
    "InverseGamma": ("invgamma", lambda p: {"a": p["concentration"], "scale": p["rate"]}),
    "NegativeBinomial": ("nbinom", lambda p: {"n": p["total_count"], "p": 1 - p["probs"]}),
    "Pareto": ("pareto", lambda p: {"b": p["alpha"], "scale": p["scale"]}),
    "Poisson": ("poisson", lambda p: {"mu": p["rate"]}),
    "StudentT": ("t", _same("df", "loc", "scale")),
    "VonMises": ("vonmises", lambda p: {"kappa": p["concentration"], "loc": p["loc"]}),
    "Weibull": ("weibull_min", lambda p: {"c": p["concentration"], "scale": p["scale"]}),
}


class _WithinSupport:
    """The density is zero outside the support, where torch without its checks invents one."""

    def log_prob(self, value: Tensor) -> Tensor:
        density: Tensor = super().log_prob(value)  # type: ignore[misc]
        inside = self.support.check(value)  # type: ignore[attr-defined]
        return torch.where(inside, density, -torch.inf)


@cache
def within_support(family: type) -> Any:
    """The family, with a density of zero outside its support."""
    real = (distributions.constraints.real, distributions.constraints.real_vector)
    if family.support in real:  # type: ignore[attr-defined]
        return family
    return type(family.__name__, (_WithinSupport, family), {})


def maximum_likelihood(law: Law, x: Tensor, centred: bool) -> dict[str, Tensor]:
    """Parameters of the law's family under which rows are most likely.

    Args:
        law: Its family, and the parameters to start from.
        x: Rows `(n, *event)` in float64.
        centred: Leave the location where it is.

    Raises:
        MechanismError: If rows are outside the support, or there is no maximum.
    """
    family = law.family
    if family is not distributions.Uniform:
        law._supported(x)
    loc = getattr(law, "loc", torch.zeros(())).double()
    if family in (distributions.Normal, distributions.LogNormal):
        x = x.log() if family is distributions.LogNormal else x
        loc = loc if centred else x.mean(0)
        return {"loc": loc, "scale": (x - loc).square().mean(0).sqrt()}
    if family is distributions.Laplace:
        loc = loc if centred else x.median(0).values
        return {"loc": loc, "scale": (x - loc).abs().mean(0)}
    if family is distributions.Uniform:
        low, high = x.min(0).values, x.max(0).values
        if not (low < high).all():
            raise MechanismError(
                f"a Uniform from {low.min():g} to {high.min():g} would fit these data, which do "
                "not vary; declare the node Structural (deterministic) instead"
            )
        return {"low": low, "high": high}
    if family is distributions.Exponential:
        return {"rate": 1 / x.mean(0)}
    if family is distributions.Poisson:
        return {"rate": x.mean(0)}
    if family is distributions.MultivariateNormal:
        loc = loc if centred else x.mean(0)
        tril, failed = torch.linalg.cholesky_ex((x - loc).mT @ (x - loc) / len(x))
        if failed:
            raise MechanismError(
                f"the covariance of {len(x)} rows of {x.shape[1]} numbers is singular: some "
                "combination of them does not vary; drop one, or give more rows"
            )
        return {"loc": loc, "scale_tril": tril}
    if family in (distributions.Pareto, distributions.GeneralizedPareto):
        raise MechanismError(f"no fit of {law.extra_repr()} is known here; give its parameters")
    return _climb(law, x, centred)


def _climb(law: Law, x: Tensor, centred: bool) -> dict[str, Tensor]:
    """L-BFGS in parameters without bounds."""
    values = {name: getattr(law, name).detach().double() for name in law.names}
    free = [n for n in law.names if n != "total_count" and not (centred and n == "loc")]
    if "loc" in free:
        values["loc"] = x.median(0).values
    if {"loc", "scale"} <= values.keys():
        values["scale"] = (x - values["loc"]).abs().median(0).values.clamp_min(1e-12)
    constraints: Any = law.distribution().arg_constraints
    maps = {n: transform_to(constraints[n]) for n in free}
    inner = [maps[n].inv(values[n]).clone().requires_grad_() for n in free]

    def parameters() -> dict[str, Tensor]:
        return {**values, **{n: maps[n](v) for n, v in zip(free, inner, strict=True)}}

    optimiser = torch.optim.LBFGS(inner, max_iter=200, line_search_fn="strong_wolfe")

    def misfit() -> float:
        optimiser.zero_grad()
        loss = -law._distribution(parameters()).log_prob(x).mean(0).sum()
        loss.backward()
        return loss  # type: ignore[return-value]

    with torch.enable_grad():
        optimiser.step(misfit)
    found = parameters()
    return {name: found[name].detach() for name in free}
