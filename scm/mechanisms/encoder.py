"""Joint abduction: a network that gives the noise of several nodes from the evidence."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from scm.errors import MechanismError
from scm.mechanisms.types import NodeType

__all__ = ["Encoder", "quantile"]


class Encoder(nn.Module):
    """An amortised posterior `q(U_nodes | evidence)` over the noise of unobserved nodes.

    The network gets the evidence in the order of ``given`` and returns, for each unit, the
    base noise of ``nodes`` side by side `(n, sum of widths)`, or twice as many numbers (mean
    and log standard deviation of a normal posterior), or a torch distribution over it.

    Args:
        nodes: Nodes whose noise it gives.
        given: Observed nodes that it looks at.
        net: The network; or a function of the evidence by name.
        inputs: "concatenated" features, or the evidence "named".

    Raises:
        MechanismError: If there are no unobserved or no observed nodes, or a node is both.

    Example:
        >>> Encoder(nodes=("Z",), given=("X",), net=torch.nn.Linear(1, 1)).nodes
        ('Z',)
    """

    def __init__(
        self,
        nodes: Sequence[str],
        given: Sequence[str],
        net: Any,
        inputs: str = "concatenated",
    ) -> None:
        super().__init__()
        self.nodes = (nodes,) if isinstance(nodes, str) else tuple(nodes)
        self.given = (given,) if isinstance(given, str) else tuple(given)
        if not self.nodes or not self.given or set(self.nodes) & set(self.given):
            raise MechanismError(
                f"Encoder(nodes={self.nodes}, given={self.given}) was given; name the unobserved "
                "nodes and the observed ones, with none in both"
            )
        self.net = net
        self.inputs = inputs
        self.arguments = {g: g for g in self.given}
        self.types: Mapping[str, NodeType] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def bind(self, types: Mapping[str, NodeType], shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Learn the types of the evidence and the noise shapes of the nodes.

        Raises:
            MechanismError: If one of the nodes has no noise to be found.
        """
        silent = [node for node in self.nodes if node not in shapes]
        if silent:
            raise MechanismError(f"an Encoder is to give the noise of {silent}, which have none")
        self.types = {g: types[g] for g in self.given}
        self.shapes = {node: shapes[node] for node in self.nodes}

    def renamed(self, names: Mapping[str, str]) -> Encoder:
        """A copy of the encoder for nodes of other names."""
        other = copy.deepcopy(self)
        other.nodes = tuple(names.get(n, n) for n in self.nodes)
        other.given = tuple(names.get(g, g) for g in self.given)
        other.arguments = {names.get(g, g): a for g, a in self.arguments.items()}
        return other

    @property
    def width(self) -> int:
        """Base numbers per unit over all its nodes."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def posterior(self, evidence: Mapping[str, Tensor]) -> Tensor | Distribution:
        """Noise `(n, width)` of the units, or its distribution.

        Raises:
            MechanismError: If the network returns another shape.
        """
        if self.inputs == "named" or not isinstance(self.net, nn.Module):
            out = self.net(**{self.arguments[g]: evidence[g] for g in self.given})
        else:
            columns = [self.types[g].features(evidence[g]) for g in self.given]
            dtype = next((p.dtype for p in self.net.parameters()), columns[0].dtype)
            out = self.net(torch.cat([c.to(dtype) for c in columns], -1))
        if isinstance(out, Distribution):
            return out
        assert isinstance(out, Tensor)
        if out.ndim == 2 and out.shape[-1] == 2 * self.width:
            mean, log_scale = out.chunk(2, -1)
            return Independent(Normal(mean, log_scale.exp()), 1)
        if out.ndim != 2 or out.shape[-1] != self.width:
            raise MechanismError(
                f"the network of the Encoder for {self.nodes} returned {tuple(out.shape)}; "
                f"expected (units, {self.width}): the base noise of those nodes side by side, or "
                "twice as many numbers (means, then log standard deviations)"
            )
        return out

    def split(self, noise: Tensor) -> dict[str, Tensor]:
        """Noise `(*batch, width)` by node, each `(*batch, *noise shape)`."""
        parts = noise.split([math.prod(shape) for shape in self.shapes.values()], -1)
        return {
            node: part.reshape(*part.shape[:-1], *shape)
            for (node, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def config(self) -> dict[str, Any]:
        """Arguments that make this encoder again, for `model.save`."""
        return {
            "nodes": list(self.nodes),
            "given": list(self.given),
            "net": self.net,
            "inputs": self.inputs,
        }


def quantile(law: Distribution, uniform: Tensor) -> Tensor:
    """`F^{-1}(u)` of a posterior with independent coordinates, for uniforms `(*batch, width)`.

    Raises:
        MechanismError: If torch has no inverse distribution function for it.
    """
    base = law.base_dist if isinstance(law, Independent) else law
    if isinstance(base, Normal):
        draw: Tensor = base.loc + base.scale * torch.special.ndtri(uniform)
        return draw
    try:
        inverse: Tensor = law.icdf(uniform)
        return inverse
    except NotImplementedError as error:
        raise MechanismError(
            f"the Encoder returned a {type(law).__name__}, which has no inverse distribution "
            "function; return means and log standard deviations, or an Independent(Normal)"
        ) from error
