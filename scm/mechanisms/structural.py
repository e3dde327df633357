"""Any function of the parents, with or without noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from scm.errors import MechanismError
from scm.mechanisms.assignment import Assignment, Inputs
from scm.mechanisms.mechanism import Mechanism, Parents, Status, deterministic_table
from scm.mechanisms.noise import Law
from scm.mechanisms.types import Categorical, NodeType, Real

__all__ = ["Structural"]


class Structural(Mechanism):
    """Any assignment, `S := f(PA)` or `S := f(PA, noise=N)`.

    Args:
        f: Function of the parents by name (and of `noise`, where there is one), or an
            `nn.Module`, which gets the noise as its last features.
        noise: Distribution of N; None for a deterministic node.
        type: Declared type of the values.
        inverse: Function of the parents and `value` that gives N back, for abduction.
        inputs: How a module takes its parents, "concatenated" or "named".

    Raises:
        MechanismError: If the function's arguments do not match the parents.

    Example:
        >>> import scm
        >>> model = scm.SCM(
        ...     "Z, F -> X",
        ...     Z=scm.Root.normal(), F=scm.Root.normal(), X=Structural(lambda Z, F: Z + F),
        ... )
        >>> units = model.sample(4, seed=0)
        >>> bool((units["X"] == units["Z"] + units["F"]).all())
        True
    """

    def __init__(
        self,
        f: Callable[..., Tensor],
        noise: Distribution | Law | None = None,
        type: NodeType = Real(),  # noqa: B008
        inverse: Callable[..., Tensor] | None = None,
        inputs: Inputs = "concatenated",
    ) -> None:
        super().__init__()
        self.type = type
        self.law = noise if isinstance(noise, Law) or noise is None else Law(noise)
        if inverse is not None and (self.law is None or self.law.discrete):
            raise MechanismError("inverse= gives noise back; it needs a continuous noise=")
        self.f = Assignment(f, inputs, {"noise": Real(self.law.event)} if self.law else None)
        self.inverse = Assignment(inverse, inputs, {"value": type}) if inverse else None
        self.noise = self.law.noise if self.law else None
        modules = self.f.is_module or (self.inverse is not None and self.inverse.is_module)
        self.broadcasts = not modules
        self.abduction: Status | None = "exact" if self.law is None or inverse else None

    def on_bind(self) -> None:
        self.f.bind(self.node, self.parents)
        if self.inverse is not None:
            self.inverse.bind(self.node, self.parents)

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        event = self.type.event
        if noise is None or self.law is None:
            return self.f(parents, event)
        return self.f(parents, event, noise=self.law.push(noise))

    def abduct(self, value: Tensor, parents: Parents, fresh: Tensor) -> Tensor:
        if self.inverse is None or self.law is None:
            return super().abduct(value, parents, fresh)
        noise = self.inverse(parents, self.law.event, value=value)
        return self.law.pull(noise, fresh)

    def loss(self, value: Tensor, parents: Parents, generator: torch.Generator) -> Tensor:
        """Mean squared error of a deterministic node; with noise there is no density to fit.

        Raises:
            MechanismError: If the node has noise or levels.
        """
        if self.law is not None or isinstance(self.type, Categorical):
            raise MechanismError(
                f"{self.describe()} has no density that could be fitted; train its module with a "
                "loss of your own, or use Additive, Flow, Tabular or CVAE"
            )
        return (self.forward(parents, None) - value).square().mean()

    def table(self) -> Tensor:
        return super().table() if self.law is not None else deterministic_table(self)

    def config(self) -> dict[str, Any]:
        return {
            "f": self.f.f,
            "noise": self.law,
            "type": self.type,
            "inverse": self.inverse.f if self.inverse else None,
            "inputs": self.f.inputs,
        }
