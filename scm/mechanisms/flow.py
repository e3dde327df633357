"""Normalising flows as mechanisms, by zuko."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, TransformedDistribution, transforms

from scm.errors import MechanismError
from scm.mechanisms.fitting import require_variation
from scm.mechanisms.mechanism import Mechanism, Parents, Status
from scm.mechanisms.noise import Noise
from scm.mechanisms.seeding import seeded
from scm.mechanisms.types import Real

if TYPE_CHECKING:
    import zuko

__all__ = ["Flow"]


class Flow(Mechanism):
    """A conditional normalising flow, `S := m + s T^{-1}(U; PA)` with standard normal U.

    Fitting standardises the values by their mean m and standard deviation s, then
    maximises the likelihood.

    Args:
        event: Shape of the node, `()` for a scalar.
        kind: "spline" (neural spline flow) or "autoregressive" (masked affine).
        transforms: Number of autoregressive transformations.
        hidden: Widths of the hidden layers.
        bins: Number of spline bins; the spline kind alone.
        seed: Seed of the initial weights.

    Raises:
        MechanismError: If the kind is unknown.

    Source: zuko's `NSF` (Durkan et al. 2019) and `MAF` (Papamakarios et al. 2017).

    Example:
        >>> Flow(2).type
        Real(shape=(2,))
    """

    abduction: Status = "exact"
    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        event: int | Sequence[int] = (),
        kind: Literal["spline", "autoregressive"] = "spline",
        transforms: int = 3,
        hidden: Sequence[int] = (64, 64),
        bins: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if kind not in ("spline", "autoregressive"):
            raise MechanismError(f"kind={kind!r}; expected 'spline' or 'autoregressive'")
        self.type = Real((event,) if isinstance(event, int) else tuple(event))
        self.noise = Noise("normal", self.type.event)
        self.options: dict[str, Any] = {
            "kind": kind,
            "transforms": transforms,
            "hidden": list(hidden),
            "bins": bins,
            "seed": seed,
        }
        self.flow: zuko.flows.Flow | None
        self.flow = None
        self.register_buffer("loc", torch.zeros(self.type.event))
        self.register_buffer("scale", torch.ones(self.type.event))

    def on_bind(self) -> None:
        if self.flow is not None:
            return
        flows = _zuko_flows()
        context = sum(kind.width for kind in self.parents.values())
        options: dict[str, Any] = {
            "transforms": self.options["transforms"],
            "hidden_features": self.options["hidden"],
        }
        family = flows.MAF
        if self.options["kind"] == "spline":
            family, options["bins"] = flows.NSF, self.options["bins"]
        with seeded(self.options["seed"]):
            self.flow = family(self.type.width, context, **options).to(self.loc)

    def _law(self, parents: Parents) -> Any:
        assert self.flow is not None
        if not parents:
            return self.flow()
        columns = [self.parents[p].features(v).to(self.loc.dtype) for p, v in parents.items()]
        return self.flow(torch.cat(columns, -1))

    def _flat(self, value: Tensor) -> Tensor:
        return self.type.features(value)

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        assert noise is not None
        inner: Tensor = self._law(parents).transform.inv(self._flat(noise))
        return self.loc + self.scale * inner.reshape(noise.shape)

    def distribution(self, parents: Parents) -> Distribution:
        event = torch.Size(self.type.event)
        rank = len(event)
        shape = transforms.ReshapeTransform(torch.Size([self.type.width]), event)
        affine = transforms.AffineTransform(self.loc, self.scale, event_dim=rank)
        law = TransformedDistribution(self._law(parents), [shape, affine], validate_args=False)
        return law if rank == len(law.event_shape) else Independent(law, rank)

    def log_prob(self, value: Tensor, parents: Parents) -> Tensor:
        inner = self._flat((value - self.loc) / self.scale)
        density: Tensor = self._law(parents).log_prob(inner)
        return density - self.scale.log().sum()

    def abduct(self, value: Tensor, parents: Parents, fresh: Tensor) -> Tensor:
        inner = self._flat((value - self.loc) / self.scale)
        noise: Tensor = self._law(parents).transform(inner)
        return noise.reshape(value.shape)

    def fit(self, value: Tensor, parents: Parents, **options: Any) -> None:
        require_variation(self, value)
        scale = value.std(0, correction=0)
        with torch.no_grad():
            self.loc.copy_(value.mean(0))
            self.scale.copy_(scale)
        super().fit(value, parents, **options)

    def config(self) -> dict[str, Any]:
        return {"event": list(self.type.event), **self.options}


def _zuko_flows() -> Any:
    """`zuko.flows`; importing zuko turns off torch's argument checks, so they are put back."""
    checks = Distribution._validate_args
    from zuko import flows

    Distribution.set_default_validate_args(checks)
    return flows
