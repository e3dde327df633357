"""Root nodes: mechanisms without parents."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributions
from torch.distributions import Distribution

from scm.errors import MechanismError
from scm.mechanisms.assignment import broadcast
from scm.mechanisms.fitting import require_variation
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

    def __new__(
        cls, distribution: Distribution | Law | None = None, type: NodeType | None = None
    ) -> Any:
        if isinstance(distribution, distributions.Bernoulli):
            p = distribution.probs
            return Tabular(torch.stack([1 - p, p], -1), levels=_levels(type))
        if isinstance(distribution, distributions.Categorical):
            return Tabular(distribution.probs, levels=_levels(type))
        return super().__new__(cls)

    def __init__(self, distribution: Distribution | Law, type: NodeType | None = None) -> None:
        super().__init__()
        if not isinstance(distribution, (Distribution, Law)):
            raise MechanismError(
                f"Root({distribution!r}) was given; expected a torch distribution, or one of "
                "Root.normal, Root.bernoulli, Root.categorical, Root.uniform, Root.empirical"
            )
        self.law = distribution if isinstance(distribution, Law) else Law(distribution)
        self.type = type or Real(self.law.event)
        if self.type.event != self.law.event:
            raise MechanismError(f"{self.law} has event {self.law.event}, not that of {self.type}")
        self.noise = self.law.noise
        if self.law.discrete:
            self.abduction = "posterior"

    @staticmethod
    def normal(loc: float | Tensor = 0.0, scale: float | Tensor = 1.0) -> Root:
        """Normal root; the shapes of ``loc`` and ``scale`` are those of the node."""
        loc, scale = _shared(loc, scale)
        return Root(distributions.Normal(loc, scale))

    @staticmethod
    def uniform(a: float | Tensor = 0.0, b: float | Tensor = 1.0) -> Root:
        """Uniform root on `[a, b]`."""
        a, b = _shared(a, b)
        return Root(distributions.Uniform(a, b))

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
    def empirical(values: Any, type: NodeType | None = None) -> Mechanism:
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

    def log_prob(self, value: Tensor, parents: Parents) -> Tensor:
        return self.law.log_prob(value)

    def abduct(self, value: Tensor, parents: Parents, fresh: Tensor) -> Tensor:
        return self.law.pull(value, fresh)

    def fit(self, value: Tensor, parents: Parents, **options: Any) -> None:
        require_variation(self, value)
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

    Example:
        >>> from scm.model import SCM
        >>> ages = Empirical([31.0, 47.0, 52.0])
        >>> set(SCM("age", age=ages).sample(50, seed=0)["age"].tolist()) <= {31.0, 47.0, 52.0}
        True
    """

    abduction: Status = "posterior"
    broadcasts = True
    noise = Noise("uniform")
    values: Tensor

    def __init__(self, values: Any, type: NodeType | None = None) -> None:
        super().__init__()
        like = torch.zeros((), dtype=torch.get_default_dtype())
        if isinstance(values, Tensor) and values.is_floating_point():
            like = like.to(values)
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
        return self.values[self._pick(noise)]

    def abduct(self, value: Tensor, parents: Parents, fresh: Tensor) -> Tensor:
        rank, m = len(self.type.event), len(self.values)
        batch = broadcast(value.shape[: value.ndim - rank], fresh.shape)
        rows = value.expand(*batch, *self.type.event).reshape(-1, *self.type.event)
        together = torch.cat([self.values.to(rows.dtype), rows])
        axis = 0 if rank else None  # without an axis it is much faster
        kind = together.unique(dim=axis, return_inverse=True)[1]
        order = kind[:m].argsort(stable=True)
        count = torch.bincount(kind[:m], minlength=int(kind.max()) + 1)
        first, hits = (count.cumsum(0) - count)[kind[m:]], count[kind[m:]]
        if not hits.all():
            raise MechanismError(
                f"row {int((hits == 0).nonzero()[0]) % max(1, batch[-1] if batch else 1)} holds a "
                f"value of {self.node!r} that is not among its {m} recorded ones; its probability "
                "is zero under Root.empirical"
            )
        spread = fresh.expand(batch).reshape(-1).double() * hits
        k = torch.minimum(spread.long(), hits - 1)
        pick = order[first + k]
        noise = ((pick + (spread - k)) / m).to(fresh)
        # The dtype of the noise may round it into a neighbour's interval.
        missed = self._pick(noise) != pick
        return torch.where(missed, ((pick + 0.5) / m).to(fresh), noise).reshape(batch)

    def _pick(self, noise: Tensor) -> Tensor:
        m = len(self.values)
        return (noise.double() * m).long().clamp_(0, m - 1)

    def fit(self, value: Tensor, parents: Parents, **options: Any) -> None:
        """Record these rows in place of the earlier ones.

        Raises:
            MechanismError: If there are none.
        """
        if not len(value):
            raise MechanismError(f"no rows were given to fit {self.describe()}; give at least one")
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
