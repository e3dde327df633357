"""The protocol of a mechanism: `S := f(PA, U)`, and what it says it can do.

A mechanism is an `nn.Module` with a declared `type` of values and declared base `noise`.
It gets its parents by name and its noise explicitly, so that everything random about it
is an argument. What it can do beyond that (a density, a way back from a value to the
noise) it says itself, and whoever asks for more gets an error with the reason.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from scm.errors import MechanismError
from scm.mechanisms.noise import Noise
from scm.mechanisms.types import Categorical, NodeType

__all__ = ["Mechanism", "Parents", "Status", "deterministic_table"]

Parents = Mapping[str, Tensor]
Status = Literal["exact", "posterior", "approximate", "prior"]


class Mechanism(nn.Module):
    """The structural assignment of one node, `S := f(PA, U)`.

    A subclass sets `type` and `noise` and implements `forward`; it implements
    `distribution` if it has a density, and `abduct` (with `abduction`) if noise can be had
    back from a value. All tensors are `(*batch, *event)`.

    Attributes:
        type: Declared type of the node's values.
        noise: Base noise of one unit, or None where the mechanism is deterministic.
        abduction: How `abduct` finds the noise: "exact", "posterior" (drawn from the exact
            posterior), "approximate", or None where it cannot.
        latent_noise: Base noise of a latent Z given which there is a density `P(S | PA, Z)`,
            where there is none without it; None elsewhere.
        broadcasts: True if `forward` takes parents whose batches merely broadcast against
            each other; otherwise the engine flattens every batch to rows first.
        node: Name of the node that it is bound to, for messages.

    Example:
        >>> from scm.mechanisms import Categorical
        >>> from scm.model import SCM
        >>> class Coin(Mechanism):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.type, self.noise = Categorical(2), Noise("uniform")
        ...     def forward(self, parents, noise):
        ...         return (noise > 0.5).long()
        >>> SCM("C", C=Coin()).sample(1000, seed=0)["C"].double().mean()
        tensor(0.5, dtype=torch.float64)
    """

    type: NodeType  # type: ignore[assignment]
    noise: Noise | None = None
    abduction: Status | None = None
    latent_noise: Noise | None = None
    broadcasts: bool = False
    node: str = "?"
    parents: Mapping[str, NodeType]

    def __init__(self) -> None:
        super().__init__()
        self.parents = {}

    def bind(self, node: str, parents: Mapping[str, NodeType]) -> None:
        """Tell the mechanism its node and the types of its parents, in declared order.

        Binding the same mechanism to other parents is refused: the two nodes would share
        parameters and disagree on their shapes.

        Raises:
            MechanismError: If it cannot have these parents.
        """
        if self.node != "?" and dict(self.parents) != dict(parents):
            raise MechanismError(
                f"one mechanism was given to {self.node!r} with parents {list(self.parents)} "
                f"and to {node!r} with parents {list(parents)}; make a mechanism for each"
            )
        self.node, self.parents = node, dict(parents)
        self.on_bind()

    def renamed(self, names: Mapping[str, str]) -> Self:
        """A copy of the mechanism, free to be bound to nodes of other names."""
        from scm.mechanisms.assignment import Assignment

        other = copy.deepcopy(self)
        for module in other.modules():
            if isinstance(module, Assignment):
                module.rename(names)
        other.node, other.parents = "?", {}
        return other

    def on_bind(self) -> None:
        """Check the parents and create what depends on their types; for subclasses.

        Raises:
            MechanismError: If it cannot have these parents.
        """

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        """Value `(*batch, *event)` of the node from its parents and its noise."""
        raise NotImplementedError

    def forward_(self, parents: Parents, noise: Tensor | None) -> Tensor:
        """`forward`, which may overwrite the noise: the engine hands it what it drew itself."""
        return self.forward(parents, noise)

    def distribution(self, parents: Parents) -> Distribution:
        """`P(S | PA)` as a torch distribution with batch `(*batch,)` and event `event`.

        Raises:
            MechanismError: If the mechanism has no density.
        """
        raise MechanismError(
            f"{self.describe()} has no density; give the node a mechanism that has one "
            "(Tabular, Linear, Additive, PostNonlinear, Flow) or leave it out of the question"
        )

    @property
    def has_density(self) -> bool:
        """Whether `distribution` is there."""
        return type(self).distribution is not Mechanism.distribution

    def emission(self, parents: Parents, latent: Tensor) -> Distribution:
        """`P(S | PA, Z)`, where the mechanism has `latent_noise`.

        Raises:
            MechanismError: If it has none.
        """
        raise MechanismError(f"{self.describe()} has no latent")

    def log_prob(self, value: Tensor, parents: Parents) -> Tensor:
        """`log p(value | parents)`, shape `(*batch,)`; errors as in `distribution`."""
        return self.distribution(parents).log_prob(value)

    def abduct(self, value: Tensor, parents: Parents, fresh: Tensor) -> Tensor:
        """Noise under which the parents give this value.

        Args:
            fresh: Fresh base noise of the mechanism's own law and shape, which a sampled
                abduction turns into a draw from the posterior.

        Raises:
            MechanismError: If noise cannot be had back from a value.
        """
        raise MechanismError(
            f"{self.describe()} cannot be abducted: it has no inverse; give it one "
            "(Structural(..., inverse=g)), use an invertible mechanism (Additive, Flow), or "
            "weigh draws: abduct(data, method='importance', draws=K, bandwidth=h)"
        )

    def propose(self, value: Tensor, parents: Parents, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """A draw of the noise and its log importance weight `(*batch,)`.

        The weight is `log p(value, U | parents) - log q(U)`; where abduction is exact, or
        from the exact posterior, that is `log p(value | parents)`.

        Raises:
            MechanismError: If there is no inverse or no density.
        """
        return self.abduct(value, parents, fresh), self.log_prob(value, parents)

    def loss(self, value: Tensor, parents: Parents, generator: torch.Generator) -> Tensor:
        """Mean training loss of rows; the negative log-likelihood unless a subclass differs."""
        return -self.log_prob(value, parents).mean()

    def fit(self, value: Tensor, parents: Parents, **options: Any) -> None:
        """Fit to rows `(n, *event)`, by `scm.mechanisms.fitting.minimise` unless closed form.

        Args:
            value: Values of the node.
            parents: Values of its parents, by name.
            **options: `epochs`, `batch`, `lr`, `seed`, `progress`; closed forms ignore them.

        A mechanism without parameters is left as it is.

        Raises:
            MechanismError: If it has parameters but no density, or the data do not fit it.
        """
        from scm.mechanisms.fitting import minimise

        if not any(p.requires_grad for p in self.parameters()):
            return
        minimise(self, value, parents, **options)

    def table(self) -> Tensor:
        """`P(S | PA)` as a float64 table `(*levels of parents, levels)`, for exact answers.

        Raises:
            MechanismError: If the mechanism is not discrete.
        """
        raise MechanismError(f"{self.describe()} is not a table")

    def config(self) -> dict[str, Any]:
        """Arguments that make this mechanism again, for `model.save`.

        Values may be numbers, strings, lists, dictionaries, tensors, node types, `Law`s,
        modules and importable functions. Parameters and buffers are saved beside them.

        Raises:
            MechanismError: If the mechanism does not say how.
        """
        raise MechanismError(
            f"{self.describe()} does not say how to be saved: implement "
            f"{type(self).__name__}.config()"
        )

    def describe(self) -> str:
        """Short name for messages, such as `Structural node 'X'`."""
        return f"{type(self).__name__} node {self.node!r}"


def deterministic_table(mechanism: Mechanism) -> Tensor:
    """The 0/1 table of a deterministic discrete node of discrete parents.

    Raises:
        MechanismError: If the node or a parent is not categorical.
    """
    kind, kinds = mechanism.type, list(mechanism.parents.values())
    sizes = [k.size for k in kinds if isinstance(k, Categorical)]
    if not isinstance(kind, Categorical) or len(sizes) < len(kinds):
        return Mechanism.table(mechanism)
    grid = torch.tensor(list(itertools.product(*map(range, sizes)))).reshape(-1, len(sizes))
    rows = {p: grid[:, i] for i, p in enumerate(mechanism.parents)}
    with torch.no_grad():
        codes = mechanism.forward(rows, None).long()
    onehot = torch.nn.functional.one_hot(codes, kind.size).double()
    return onehot.reshape(*sizes, kind.size)
