"""Conditional probability tables."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, distributions
from torch.distributions import Distribution

from scm.errors import MechanismError
from scm.mechanisms.assignment import broadcast
from scm.mechanisms.coupling import coupling as find_coupling
from scm.mechanisms.mechanism import Mechanism, Parents, Status
from scm.mechanisms.noise import Noise
from scm.mechanisms.types import Categorical

__all__ = ["Tabular"]


class Tabular(Mechanism):
    """A discrete node given discrete parents, `P(S = k | PA = pa) = table[pa, k]`.

    The table alone does not fix counterfactuals; the coupling does: with `"gumbel"`,
    `S := argmax_k (log p_k + G_k)` for standard Gumbel noise (Oberst and Sontag 2019), with
    `"monotone"`, `S := F^{-1}(U | PA)`. The table stays in float64 whatever the model's dtype.

    Args:
        table: `(*levels of parents, levels)`, last axis sums to one; None for a uniform one
            that `fit` is to fill.
        coupling: "gumbel" or "monotone".
        levels: Number or names of the node's levels, where the table does not say.

    Raises:
        MechanismError: If the table is negative, does not sum to one, or does not have the
            shape that the parents' levels ask for.

    Example:
        >>> Tabular([[0.9, 0.1], [0.2, 0.8]]).table().shape
        torch.Size([2, 2])
    """

    type: Categorical
    probs: Tensor
    abduction: Status = "posterior"
    broadcasts = True

    def __init__(
        self,
        table: Any = None,
        coupling: str = "gumbel",
        levels: int | Sequence[Any] | None = None,
    ) -> None:
        super().__init__()
        self.coupling_name = coupling
        self.coupling = find_coupling(coupling)
        self.unfitted = table is None
        if table is None:
            if levels is None:
                raise MechanismError("Tabular() needs a table, or levels= and a later fit")
            size = levels if isinstance(levels, int) else len(levels)
            table = torch.full((size,), 1.0 / size)
        try:
            probs = torch.as_tensor(table, dtype=torch.float64).detach().clone()
        except (TypeError, ValueError, RuntimeError) as error:
            raise MechanismError(
                f"{table!r:.60} was given as a table; expected probabilities (*levels of "
                "parents, levels) whose last axis sums to 1"
            ) from error
        self._check_probabilities(probs)
        self.register_buffer("probs", probs / probs.sum(-1, keepdim=True))
        k = int(probs.shape[-1])
        names = k if levels is None or isinstance(levels, int) else tuple(levels)
        self.type = Categorical(names)
        if self.type.size != k or (isinstance(levels, int) and levels != k):
            raise MechanismError(f"a table over {k} levels was given with levels={levels!r}")
        width = self.coupling.width(k)
        self.noise = Noise("uniform", (width,) if width > 1 else ())

    @staticmethod
    def _check_probabilities(probs: Tensor) -> None:
        if not probs.ndim or not probs.numel():
            raise MechanismError(
                f"a table of shape {tuple(probs.shape)} was given; expected (*levels of parents, "
                "levels), with at least one level"
            )
        if not torch.isfinite(probs).all() or (probs < 0).any():
            raise MechanismError(
                f"a table of shape {tuple(probs.shape)} with entries from {probs.min():g} to "
                f"{probs.max():g} was given; probabilities must be finite and non-negative"
            )
        off = (probs.sum(-1) - 1).abs()
        if off.max() > 1e-6:
            where = [int(i) for i in (off == off.max()).nonzero()[0]]
            raise MechanismError(
                f"row {where} of the table sums to {probs.sum(-1)[tuple(where)]:.6g}, not 1; the "
                "last axis holds the node's own levels, so divide by table.sum(-1, keepdims=True)"
            )

    def on_bind(self) -> None:
        shape = []
        for name, kind in self.parents.items():
            if not isinstance(kind, Categorical):
                raise MechanismError(
                    f"parent {name!r} of the table {self.node!r} is {kind}, not Categorical; use "
                    "Additive, Flow or Structural, or bin the parent in a Structural node"
                )
            shape.append(kind.size)
        expected = (*shape, self.type.size)
        if self.unfitted and tuple(self.probs.shape) != expected:
            self.probs = self.probs.expand(expected).clone()
        if tuple(self.probs.shape) != expected:
            axes = ", ".join([*self.parents, self.node])
            raise MechanismError(
                f"the table of {self.node!r} has shape {tuple(self.probs.shape)}; expected "
                f"{expected}, the levels of ({axes}) in the order in which the graph declares them"
            )

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Tabular:
        exact = self.probs
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.probs.dtype != exact.dtype:
            self.probs = exact.to(self.probs.device)
        return self

    def rows(self, parents: Parents) -> Tensor:
        """The table's rows at the parents' values, `(*batch, levels)`."""
        return self.probs[tuple(parents.values())] if parents else self.probs

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        assert noise is not None
        return self.coupling.value(self.rows(parents), self._wide(noise))

    def abduct(self, value: Tensor, parents: Parents, fresh: Tensor) -> Tensor:
        rows = self.rows(parents)
        batch = broadcast(rows.shape[:-1], value.shape)
        rows, value = rows.expand(*batch, -1), value.expand(batch)
        chance = rows.gather(-1, value.unsqueeze(-1)).squeeze(-1)
        if (chance <= 0).any():
            bad = (chance <= 0).nonzero()[0].tolist()
            raise MechanismError(
                f"row {bad[-1]} has {self.node} = {int(value[tuple(bad)])}, which its table gives "
                "probability zero there; correct the row or the table"
            )
        noise = self.coupling.posterior(rows, value, self._wide(fresh))
        return noise if self._vector else noise.squeeze(-1)

    @property
    def _vector(self) -> bool:
        return bool(self.noise and self.noise.shape)

    def _wide(self, noise: Tensor) -> Tensor:
        return noise if self._vector else noise.unsqueeze(-1)

    def distribution(self, parents: Parents) -> Distribution:
        logits = self.rows(parents).log().to(torch.get_default_dtype())
        return distributions.Categorical(logits=logits)

    def log_prob(self, value: Tensor, parents: Parents) -> Tensor:
        rows = self.rows(parents)
        rows = rows.expand(*broadcast(rows.shape[:-1], value.shape), rows.shape[-1])
        chance = rows.gather(-1, value.expand(rows.shape[:-1]).unsqueeze(-1)).squeeze(-1)
        return chance.log().to(torch.get_default_dtype())

    def fit(self, value: Tensor, parents: Parents, **options: Any) -> None:
        """Fill the table with relative frequencies, `(n(pa, k) + s) / (n(pa) + s K)`.

        Args:
            value: Codes `(n,)`.
            parents: Codes of the parents, `(n,)` each.
            **options: `smoothing` is s, 0 by default; the others are ignored.

        Warns:
            UserWarning: If a combination of the parents never occurs; its row is uniform.
        """
        smoothing = float(options.get("smoothing", 0.0))
        flat = torch.zeros_like(value)
        for code, size in zip([*parents.values(), value], self.probs.shape, strict=True):
            flat = flat * size + code
        counts = torch.bincount(flat, minlength=self.probs.numel()).double()
        counts = counts.view_as(self.probs) + smoothing
        empty = counts.sum(-1) == 0
        if empty.any():
            warnings.warn(
                f"{int(empty.sum())} of {math.prod(empty.shape)} combinations of the parents of "
                f"{self.node!r} never occur in the data; their rows are set to uniform",
                stacklevel=2,
            )
            counts[empty] = 1.0
        self.probs.copy_(counts / counts.sum(-1, keepdim=True))

    def table(self) -> Tensor:
        return self.probs

    def config(self) -> dict[str, Any]:
        return {"table": self.probs, "coupling": self.coupling_name, "levels": self.type.levels}
