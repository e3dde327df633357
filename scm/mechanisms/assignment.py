"""How a person's own function or module is called with the parents of a node.

A plain function gets its parents as keyword arguments named like the nodes, with event
dimensions padded on the right to the rank of what it makes. An `nn.Module` gets one
tensor of features `(rows, width)`, or with `inputs="named"` its parents by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from scm.errors import MechanismError
from scm.mechanisms.types import NodeType

__all__ = [
    "Assignment",
    "Inputs",
    "batch_shape",
    "broadcast",
    "check_shape",
    "pad",
    "signature_names",
]

Inputs = Literal["concatenated", "named"]


class Assignment(nn.Module):
    """A function or module of the parents, called by the rules of the library.

    Args:
        f: The function or module.
        inputs: How a module takes its parents.
        extra: Types of what a function gets beside the parents (`noise`, `value`).
    """

    def __init__(
        self,
        f: Callable[..., Tensor],
        inputs: Inputs = "concatenated",
        extra: Mapping[str, NodeType] | None = None,
    ) -> None:
        super().__init__()
        if not callable(f):
            raise MechanismError(f"{f!r} was given; a function or an nn.Module was expected")
        if inputs not in ("concatenated", "named"):
            raise MechanismError(f"inputs={inputs!r}; expected 'concatenated' or 'named'")
        self.f = f
        self.inputs: Inputs = inputs
        self.extra = dict(extra or {})
        self.node = "?"
        self.parents: Mapping[str, NodeType] = {}
        self.arguments: dict[str, str] = {}

    def rename(self, names: Mapping[str, str]) -> None:
        """Keep the function's arguments while its parents take other names."""
        old = {p: self.arguments.get(p, p) for p in self.parents}
        self.arguments = {names.get(p, p): argument for p, argument in old.items()}

    def _by_argument(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {self.arguments.get(p, p): v for p, v in values.items()}

    @property
    def is_module(self) -> bool:
        """True for an `nn.Module`, which must see flat rows."""
        return isinstance(self.f, nn.Module)

    def bind(self, node: str, parents: Mapping[str, NodeType]) -> None:
        """Check the function's arguments against the parents.

        Raises:
            MechanismError: If they do not match, with both lists.
        """
        self.node, self.parents = node, parents
        taken = self._by_argument(parents)
        clash = set(self.extra) & set(taken)
        if clash:
            raise MechanismError(
                f"a parent of {node!r} is called {clash.pop()!r}, which is also what its function "
                "calls something else; rename the node"
            )
        if self.is_module and self.inputs == "concatenated":
            return
        f = self.f.forward if isinstance(self.f, nn.Module) else self.f
        required, optional, anything = signature_names(f)
        expected = [*taken, *self.extra]
        missing = [] if anything else [p for p in expected if p not in required + optional]
        unknown = [p for p in required if p not in expected]
        if missing or unknown:
            raise MechanismError(
                f"the function of {node!r} takes {required + optional}, but its arguments must be "
                f"named {expected}: the parents in the graph{' and the noise' * bool(self.extra)}"
            )

    def __call__(
        self, parents: Mapping[str, Tensor], event: tuple[int, ...], **extra: Tensor
    ) -> Tensor:
        """Value `(*batch, *event)`, where the batches of parents and extras broadcast."""
        values = {**parents, **extra}
        types = {**self.parents, **self.extra}
        batch = batch_shape(values, types)
        if not self.is_module:
            named = {p: pad(v, types[p], len(event)) for p, v in values.items()}
            out = self.f(**self._by_argument(named))
            return check_shape(out, batch, event, f"function of {self.node!r}")
        if self.inputs == "named":
            out = self.f(**self._by_argument(values))
        else:
            columns = [types[p].features(v) for p, v in values.items()]
            dtype = next((c.dtype for c in columns if c.is_floating_point()), None)
            weight = next(self._modules["f"].parameters(), None)  # type: ignore[union-attr]
            dtype = weight.dtype if weight is not None else dtype
            columns = [c.to(dtype).expand(*batch, -1) for c in columns]
            out = self.f(torch.cat(columns, -1))
        if isinstance(out, Tensor) and out.shape != batch + event and out.ndim > len(batch):
            features = out.shape[len(batch) :].numel()
            if out.shape[: len(batch)] == batch and features == torch.Size(event).numel():
                out = out.reshape(batch + event)
        return check_shape(out, batch, event, f"module of {self.node!r}")


def signature_names(f: Callable[..., Any]) -> tuple[list[str], list[str], bool]:
    """Required and optional argument names of a function, and whether it takes any keyword."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError) as error:
        raise MechanismError(
            f"{f!r} does not show its arguments; wrap it in a function whose arguments are "
            "named like the parents"
        ) from error
    kinds = inspect.Parameter
    named = [p for p in parameters if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    required = [p.name for p in named if p.default is kinds.empty]
    required += [f"*{p.name}" for p in parameters if p.kind is kinds.POSITIONAL_ONLY]
    optional = [p.name for p in named if p.default is not kinds.empty]
    return required, optional, any(p.kind is kinds.VAR_KEYWORD for p in parameters)


def batch_shape(values: Mapping[str, Tensor], types: Mapping[str, NodeType]) -> torch.Size:
    """Common batch shape of parents whose batches broadcast against each other."""
    return broadcast(*(v.shape[: v.ndim - len(types[name].event)] for name, v in values.items()))


def broadcast(*shapes: torch.Size) -> torch.Size:
    """Common shape of batches; `torch.broadcast_shapes` would import a computer algebra."""
    first = shapes[0] if shapes else torch.Size()
    if all(shape == first for shape in shapes):
        return first
    return torch.Size(np.broadcast_shapes(*shapes))


def pad(value: Tensor, kind: NodeType, rank: int) -> Tensor:
    """Append singleton event dimensions up to ``rank``, so a scalar times an image is one."""
    missing = rank - len(kind.event)
    return value[(..., *[None] * missing)] if missing > 0 else value


def check_shape(out: Any, batch: torch.Size, event: tuple[int, ...], what: str) -> Tensor:
    """Return ``out`` if it is a tensor of batch + event, world dimensions of size 1 allowed."""
    if not isinstance(out, Tensor):
        raise MechanismError(
            f"the {what} returned a {type(out).__name__}; a tensor of shape "
            f"{tuple(batch) + event} (units, then the event) was expected"
        )
    lead = out.shape[: len(batch)]
    fits = out.ndim == len(batch) + len(event) and tuple(out.shape[len(batch) :]) == event
    fits = fits and all(a in (1, b) for a, b in zip(lead[:-1], batch[:-1], strict=True))
    if not fits or (batch and lead[-1] != batch[-1]):
        raise MechanismError(
            f"the {what} returned shape {tuple(out.shape)}; expected {tuple(batch) + event} "
            "(units, then the event). It must compute one value a row: for a constant use "
            "torch.full_like(parent, c); for another event declare the node's type"
        )
    return out
