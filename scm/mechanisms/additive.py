"""Invertible noise around a function of the parents: Additive, Linear, PostNonlinear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, distributions, nn
from torch.distributions import Distribution, transforms

from scm.errors import MechanismError, nearest
from scm.mechanisms.assignment import Assignment, Inputs
from scm.mechanisms.fitting import require_variation
from scm.mechanisms.mechanism import Mechanism, Parents, Status
from scm.mechanisms.noise import Law
from scm.mechanisms.types import Categorical, Real

__all__ = ["Additive", "Linear", "PostNonlinear"]

_NORMAL = distributions.Normal(0.0, 1.0)


class Additive(Mechanism):
    """Additive noise, `S := f(PA) + N` with `N = F^{-1}(U)`.

    Args:
        f: Function of the parents by name, or an `nn.Module` of their features.
        noise: Continuous distribution of N; its shape is the node's event.
        inputs: How a module takes its parents, "concatenated" or "named".

    Raises:
        MechanismError: If the noise cannot be inverted, or the function's arguments do not
            match the parents.

    Example:
        >>> import scm
        >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=Additive(lambda A: A**2))
        >>> model.sample(3, seed=0)["B"].shape
        torch.Size([3])
    """

    abduction: Status = "exact"

    def __init__(
        self,
        f: Callable[..., Tensor],
        noise: Distribution = _NORMAL,
        inputs: Inputs = "concatenated",
    ) -> None:
        super().__init__()
        self.law: Law = noise if isinstance(noise, Law) else Law(noise)
        if self.law.discrete:
            raise MechanismError(
                f"{self.law} was given as additive noise; it must be continuous, since a value "
                "has to give its noise back. Use Structural for discrete noise"
            )
        self.f = Assignment(f, inputs)
        self.type = Real(self.law.event)
        self.noise = self.law.noise
        self.broadcasts = not self.f.is_module

    def on_bind(self) -> None:
        self.f.bind(self.node, self.parents)

    def mean(self, parents: Parents) -> Tensor:
        """`f(PA)`, `(*batch, *event)`."""
        return self.f(parents, self.type.event)

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        assert noise is not None
        return self.law.around(self.mean(parents), noise)

    def forward_(self, parents: Parents, noise: Tensor | None) -> Tensor:
        if type(self).forward is not Additive.forward or noise is None:
            return self.forward(parents, noise)
        return self.law.around_(self.mean(parents), noise)

    def distribution(self, parents: Parents) -> Distribution:
        mean = self.mean(parents)
        law = self.law.distribution()
        rank = len(self.type.event)
        if isinstance(law, distributions.Normal):
            shifted: Distribution = distributions.Normal(mean + law.loc, law.scale)
        else:
            shift = transforms.AffineTransform(mean, 1.0, event_dim=len(law.event_shape))
            base = law.expand(mean.shape[: mean.ndim - len(law.event_shape)])
            shifted = distributions.TransformedDistribution(base, [shift], validate_args=False)
        return distributions.Independent(shifted, rank - len(law.event_shape))

    def log_prob(self, value: Tensor, parents: Parents) -> Tensor:
        return self.law.log_prob(value - self.mean(parents))

    def abduct(self, value: Tensor, parents: Parents, fresh: Tensor) -> Tensor:
        return self.law.pull(value - self.mean(parents), fresh)

    def fit(self, value: Tensor, parents: Parents, **options: Any) -> None:
        """Maximise the likelihood of f's parameters under the declared noise, then fit the noise.

        A function without parameters stays as it is, and the noise takes its location too.

        Raises:
            MechanismError: If the values do not vary.
        """
        require_variation(self, value)
        Mechanism.fit(self, value, parents, **options)
        with torch.no_grad():
            self.law.fit(self._residual(value, parents), centred=self._has_bias)

    def _residual(self, value: Tensor, parents: Parents) -> Tensor:
        return value - self.mean(parents)

    @property
    def _has_bias(self) -> bool:
        return any(p.requires_grad for p in self.f.parameters())

    def config(self) -> dict[str, Any]:
        return {"f": self.f.f, "noise": self.law, "inputs": self.f.inputs}


class Linear(Additive):
    """Linear in the parents, `S := sum_p W_p p + b + N`.

    Args:
        weights: Weight of each parent by name: a number for a scalar parent, or a tensor
            `(*event, *parent event)`, `(*event, levels)` for a categorical parent. None:
            zeros for `fit`.
        bias: b, a number or a tensor `(*event)`.
        noise: Continuous distribution of N; its shape is the node's event.

    Raises:
        MechanismError: If the weights do not name the parents or have other shapes.

    Example:
        >>> import scm
        >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=Linear({"A": 2.0}, bias=1.0))
        >>> model.do(A=3.0).sample(50_000, seed=0)["B"].mean().round(decimals=1)
        tensor(7.)
    """

    def __init__(
        self,
        weights: Mapping[str, Any] | None = None,
        bias: Any = 0.0,
        noise: Distribution = _NORMAL,
    ) -> None:
        super().__init__(_unused, noise)
        self.broadcasts = True
        self.given = None if weights is None else dict(weights)
        event = self.type.event
        start = torch.as_tensor(bias, dtype=torch.get_default_dtype())
        if start.numel() != 1 and tuple(start.shape) != event:
            raise MechanismError(
                f"a bias of shape {tuple(start.shape)} was given to Linear, whose noise {self.law} "
                f"has shape {event}; give a number or that shape"
            )
        self.bias = nn.Parameter(start.expand(event).clone())
        self.weights = nn.ParameterList()

    def on_bind(self) -> None:
        if len(self.weights):
            return
        given = dict.fromkeys(self.parents, 0.0) if self.given is None else self.given
        for name in given:
            if name not in self.parents:
                raise MechanismError(
                    f"a weight for {name!r} was given to {self.node!r}, which has no such "
                    f"parent; {nearest(name, self.parents)}"
                )
        missing = [p for p in self.parents if p not in given]
        if missing:
            raise MechanismError(
                f"{self.node!r} has no weight for its parents {missing}; give one (0.0 for none)"
            )
        for name, kind in self.parents.items():
            shape = (self.type.width, kind.width)
            weight = torch.as_tensor(given[name], dtype=self.bias.dtype)
            own = self.type.event
            expected = (*own, *((kind.width,) if isinstance(kind, Categorical) else kind.event))
            # One number for many features would weigh their sum, which for the levels of a
            # category is the constant one: hardly ever what is meant.
            number = weight.numel() == 1 and (kind.width == 1 or not weight.any())
            if not number and tuple(weight.shape) not in (expected, (*own, kind.width)):
                raise MechanismError(
                    f"the weight of {name!r} in {self.node!r} has shape {tuple(weight.shape)}; "
                    f"expected {expected}: {own or 'the scalar node'}, then "
                    f"{'the levels' if isinstance(kind, Categorical) else 'the shape'} of {kind}"
                )
            weight = weight.reshape(shape) if weight.numel() > 1 else weight.expand(shape)
            self.weights.append(nn.Parameter(weight.clone()))

    def mean(self, parents: Parents) -> Tensor:
        event = self.type.event
        total: Tensor = self.bias
        for (name, value), weight in zip(parents.items(), self.weights, strict=True):
            kind = self.parents[name]
            if weight.numel() == 1 and not isinstance(kind, Categorical):
                part = value.reshape(value.shape[: value.ndim - len(kind.event)] + event)
                total = torch.addcmul(total, part, weight.reshape(()))
                continue
            part = kind.features(value).to(weight.dtype) @ weight.mT
            total = total + part.reshape(part.shape[:-1] + event)
        return total

    def fit(self, value: Tensor, parents: Parents, **options: Any) -> None:
        """Ordinary least squares, then the noise from the residuals.

        The location of the noise stays as declared; the bias takes what it would be.

        Raises:
            MechanismError: If the values do not vary, or the noise has no location, so that
                nothing tells its mean from the bias.
        """
        require_variation(self, value)
        located = "loc" in self.law.names and self.law.family is not distributions.LogNormal
        if not located and self.law.family is not distributions.Uniform:
            raise MechanismError(
                f"least squares cannot tell the bias of {self.node!r} from the mean of its noise "
                f"{self.law}; declare noise with a location (Normal, Laplace, StudentT), or Flow()"
            )
        columns = [self.parents[p].features(v).double() for p, v in parents.items()]
        ones = torch.ones(len(value), 1, dtype=torch.float64, device=value.device)
        design = torch.cat([*columns, ones], -1)
        target = value.double().reshape(len(value), -1)
        solution = torch.linalg.lstsq(design, target, driver="gelsd").solution
        residual = (target - design @ solution).reshape(value.shape)
        declared = self.law.loc.clone() if located else torch.zeros(())
        with torch.no_grad():
            self.law.fit(residual)
            shift = torch.zeros(())
            if located:
                shift = (self.law.loc - declared).double()
                self.law.loc.copy_(declared)
            start = 0
            for weight in self.weights:
                weight.copy_(solution[start : start + weight.shape[1]].mT)
                start += weight.shape[1]
            self.bias.copy_(solution[-1].reshape(self.bias.shape) + shift)

    def config(self) -> dict[str, Any]:
        return {"noise": self.law}


def _unused(**parents: Tensor) -> Tensor:
    raise AssertionError("a Linear mechanism computes its own mean")


class PostNonlinear(Additive):
    """Post-nonlinear noise, `S := g(f(PA) + N)` with g invertible.

    Args:
        f: As in `Additive`.
        g: An elementwise `torch.distributions.transforms.Transform`, such as `ExpTransform()`.
        noise: As in `Additive`.
        inputs: As in `Additive`.

    Raises:
        MechanismError: If g is not an invertible elementwise transform.

    Source: Zhang and Hyvarinen (2009), equation 2.

    Example:
        >>> import scm
        >>> g = transforms.ExpTransform()
        >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=PostNonlinear(lambda A: A, g))
        >>> bool((model.sample(5, seed=0)["B"] > 0).all())
        True
    """

    def __init__(
        self,
        f: Callable[..., Tensor],
        g: transforms.Transform,
        noise: Distribution = _NORMAL,
        inputs: Inputs = "concatenated",
    ) -> None:
        super().__init__(f, noise, inputs)
        if not isinstance(g, transforms.Transform) or not g.bijective or g.domain.event_dim:
            raise MechanismError(
                f"g={g!r} was given; expected an invertible elementwise transform from "
                "torch.distributions.transforms, such as ExpTransform()"
            )
        self.g = g

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        value: Tensor = self.g(super().forward(parents, noise))
        return value

    def _inner(self, value: Tensor) -> Tensor:
        inner: Tensor = self.g.inv(value)
        if not (torch.isfinite(inner) & self.g.codomain.check(value)).all():
            raise MechanismError(
                f"a value of {self.node!r} is outside the range of {type(self.g).__name__}; "
                "correct the data or take another g"
            )
        return inner

    def distribution(self, parents: Parents) -> Distribution:
        return distributions.TransformedDistribution(
            super().distribution(parents), [self.g], validate_args=False
        )

    def log_prob(self, value: Tensor, parents: Parents) -> Tensor:
        inner = self._inner(value)
        jacobian: Tensor = self.g.log_abs_det_jacobian(inner, value)
        rank = len(self.type.event)
        jacobian = jacobian.flatten(jacobian.ndim - rank).sum(-1) if rank else jacobian
        return super().log_prob(inner, parents) - jacobian

    def abduct(self, value: Tensor, parents: Parents, fresh: Tensor) -> Tensor:
        return super().abduct(self._inner(value), parents, fresh)

    def _residual(self, value: Tensor, parents: Parents) -> Tensor:
        return self._inner(value) - self.mean(parents)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "g": self.g}
