"""Root nodes: mechanisms without parents."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributions
from torch.distributions import Distribution

from scm.errors import MechanismError
from scm.mechanisms.mechanism import Mechanism, Parents, Status
from scm.mechanisms.noise import Law, Noise
from scm.mechanisms.tabular import Tabular
from scm.mechanisms.types import Categorical, NodeType, Real

__all__ = ["Empirical", "Root"]


class Root(Mechanism):
    """A node without parents, `S := F^{-1}(U)` for a torch distribution.

    A root with finitely many levels is a table like any other, so `Root.bernoulli`,
    `Root.categorical` and `Root(Categorical(...))` make a `Tabular`.

    Args:
        distribution: A univariate distribution (a batch of them is a vector-valued node),
            or a `MultivariateNormal`.
        type: Declared type; `Real` of the distribution's shape unless given.

    Raises:
        MechanismError: If the distribution has no inverse distribution function, or the
            node has parents.

    Example:
        >>> Root(distributions.Gamma(torch.tensor(2.0), torch.tensor(1.0))).type
        Real(shape=())
    """

    abduction: Status = "exact"
    broadcasts = True

    def __new__(cls, distribution: Distribution | None = None, type: NodeType | None = None) -> Any:  # noqa: A002
        if isinstance(distribution, distributions.Bernoulli):
            p = distribution.probs
            return Tabular(torch.stack([1 - p, p], -1), levels=_levels(type))
        if isinstance(distribution, distributions.Categorical):
            return Tabular(distribution.probs, levels=_levels(type))
        return super().__new__(cls)

    def __init__(self, distribution: Distribution, type: NodeType | None = None) -> None:  # noqa: A002
        super().__init__()
        if not isinstance(distribution, Distribution):
            raise MechanismError(
                f"Root({distribution!r}) was given; expected a torch distribution, or one of "
                "Root.normal, Root.bernoulli, Root.categorical, Root.uniform, Root.empirical"
            )
        self.law = Law(distribution)
        self.type = type or Real(self.law.event)
        if self.type.event != self.law.event:
            raise MechanismError(f"{self.law} has event {self.law.event}, not that of {self.type}")
        self.noise = self.law.noise
        if self.law.discrete:
            self.abduction = "posterior"

    @staticmethod
    def normal(loc: float | Tensor = 0.0, scale: float | Tensor = 1.0) -> Root:
        """Normal root; the shapes of ``loc`` and ``scale`` are those of the node."""
        return Root(distributions.Normal(*_shared(loc, scale)))

    @staticmethod
    def uniform(a: float | Tensor = 0.0, b: float | Tensor = 1.0) -> Root:
        """Uniform root on `[a, b]`."""
        return Root(distributions.Uniform(*_shared(a, b)))

    @staticmethod
    def bernoulli(p: float = 0.5) -> Tabular:
        """Binary root with `P(S = 1) = p`.

        Example:
            >>> Root.bernoulli(0.25).table()
            tensor([0.7500, 0.2500], dtype=torch.float64)
        """
        return Tabular([1.0 - float(p), float(p)])

    @staticmethod
    def categorical(p: Any, levels: Any = None, coupling: str = "gumbel") -> Tabular:
        """Categorical root with level probabilities ``p``, shape `(K,)`."""
        return Tabular(p, levels=levels, coupling=coupling)

    @staticmethod
    def empirical(values: Any, type: NodeType | None = None) -> Mechanism:  # noqa: A002
        """Root that redraws recorded values `(m, *event)` with equal weights."""
        return Empirical(values, type)

    def on_bind(self) -> None:
        if self.parents:
            raise MechanismError(
                f"{self.node!r} has parents {list(self.parents)} but was given a Root, which has "
                "none; use Linear, Additive, Tabular, Flow or Structural"
            )

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        assert noise is not None
        return self.law.push(noise)

    def distribution(self, parents: Parents) -> Distribution:
        law = self.law.distribution()
        extra = len(law.batch_shape)
        return distributions.Independent(law, extra) if extra else law

    def abduct(self, value: Tensor, parents: Parents, fresh: Tensor) -> Tensor:
        return self.law.pull(value, fresh)

    def fit(self, value: Tensor, parents: Parents, **options: Any) -> None:
        self.law.fit(value)

    def config(self) -> dict[str, Any]:
        return {"distribution": self.law, "type": self.type}


class Empirical(Mechanism):
    """A root that redraws recorded values: `S := values[floor(m U)]`.

    Args:
        values: Recorded values, `(m, *event)`.
        type: Declared type; `Real` of the values' shape unless given.

    Raises:
        MechanismError: If there are no values, or the node has parents.
    """

    abduction: Status = "posterior"
    broadcasts = True
    noise = Noise("uniform")

    def __init__(self, values: Any, type: NodeType | None = None) -> None:  # noqa: A002
        super().__init__()
        like = torch.zeros((), dtype=torch.get_default_dtype())
        self.type = type or Real(tuple(torch.as_tensor(values).shape[1:]))
        encoded = self.type.encode(values, like)
        if encoded.ndim != 1 + len(self.type.event) or not len(encoded):
            raise MechanismError(
                f"values of shape {tuple(encoded.shape)} were given; expected rows (m, "
                f"{', '.join(map(str, self.type.event))}) of {self.type}"
            )
        self.register_buffer("values", encoded, persistent=False)

    def on_bind(self) -> None:
        if self.parents:
            raise MechanismError(
                f"{self.node!r} has parents {list(self.parents)}, but Root.empirical has none"
            )

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        assert noise is not None
        m = len(self.values)
        return self.values[(noise.double() * m).long().clamp_(0, m - 1)]

    def abduct(self, value: Tensor, parents: Parents, fresh: Tensor) -> Tensor:
        flat, records = value.flatten(1), self.values.flatten(1)
        if not self.type.event:
            flat, records = value.unsqueeze(-1), self.values.unsqueeze(-1)
        noise = torch.empty_like(fresh)
        m = len(records)
        for i, row in enumerate(flat):
            hits = (records == row).all(-1).nonzero().squeeze(-1)
            if not len(hits):
                raise MechanismError(
                    f"row {i} holds a value of {self.node!r} that is not among its {m} recorded "
                    "ones; its probability is zero under Root.empirical"
                )
            spread = fresh[i].double() * len(hits)
            k = spread.long().clamp(0, len(hits) - 1)
            noise[i] = ((hits[k] + (spread - k).clamp(1e-3, 1 - 1e-3)) / m).to(noise)
        return noise

    def fit(self, value: Tensor, parents: Parents, **options: Any) -> None:
        self.values = value.detach().clone()

    def table(self) -> Tensor:
        if not isinstance(self.type, Categorical):
            return super().table()
        counts = torch.bincount(self.values, minlength=self.type.size).double()
        return counts / counts.sum()

    @property
    def has_density(self) -> bool:
        return isinstance(self.type, Categorical)

    def distribution(self, parents: Parents) -> Distribution:
        if not self.has_density:
            return super().distribution(parents)
        logits = self.table().log().to(torch.get_default_dtype())
        return distributions.Categorical(logits=logits)

    def config(self) -> dict[str, Any]:
        return {"values": self.values, "type": self.type}


def _levels(kind: NodeType | None) -> Any:
    if kind is not None and not isinstance(kind, Categorical):
        raise MechanismError(f"a root with levels was declared {kind}; expected Categorical")
    return None if kind is None else kind.levels


def _shared(*values: float | Tensor) -> list[Tensor]:
    dtype = torch.get_default_dtype()
    tensors = [torch.as_tensor(v) for v in values]
    tensors = [t if t.is_floating_point() else t.to(dtype) for t in tensors]
    return list(torch.broadcast_tensors(*tensors))
