"""Bounded memory while a model is made from a description that somebody else wrote."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from scm.errors import ScmError
from scm.mechanisms.assignment import broadcast

__all__ = ["Bounded"]


_PRODUCTS = {"mm", "addmm", "bmm", "baddbmm"}
# A result no larger than the arguments together.
_STEADY = {
    *("_log_softmax", "_softmax", "_to_copy", "allclose", "cat", "clone", "native_batch_norm"),
    *("native_group_norm", "native_layer_norm", "stack"),
}


class Bounded(TorchDispatchMode):
    """A context in which a tensor that would be too large is refused before it is made.

    An operation that could be large runs first on torch's meta device, which knows shapes
    and holds no memory, and the size of its result is compared with the bound.

    Args:
        tensor: Bytes that one operation may return.
        total: Bytes that all of them together may return.
        calls: Number of operations.

    Raises:
        ScmError: Inside the context, at the operation that is out of bounds.

    Example:
        >>> with Bounded(tensor=1_000_000):
        ...     torch.zeros(1_000, 1_000)
        Traceback (most recent call last):
        scm.errors.ScmError: the model asks for a tensor of 4,000,000 bytes ...
    """

    def __init__(self, tensor: int, total: int | None = None, calls: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tensor, self.total, self.calls = tensor, total, calls
        self.returned = self.called = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or torch would import its compiler for this, which takes seconds

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation, if its result is within bounds."""
        kwargs = kwargs or {}
        self.called += 1
        if self.calls is not None and self.called > self.calls:
            raise ScmError(
                f"the model takes more than {self.calls:,} operations to make, out of all "
                "proportion to the tensors in the file; it was not made by SCM.save"
            )
        if func._schema.is_mutable or func.is_view:
            return func(*args, **kwargs)
        if _at_most(func, args, kwargs) > self.tensor:
            _refuse_above(self.tensor, _bytes(func, args, kwargs))
        out = func(*args, **kwargs)
        self.returned += _held(out)
        if self.total is not None:
            _refuse_above(self.total, self.returned)
        return out


def _refuse_above(bound: int, size: int) -> None:
    if size > bound:
        raise ScmError(
            f"the model asks for a tensor of {size:,} bytes where {bound:,} are in proportion to "
            "its file; it was not made by SCM.save, or needs far more memory to run than to "
            "store: make it from code and load a state_dict into it"
        )


def _at_most(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> float:
    """A bound on the bytes of a result that costs next to nothing.

    In general it is the product of all sizes that are given: no operation makes more
    elements than that, whether it broadcasts, pads, repeats, joins or takes a size.
    """
    leaves = tree_leaves((args, kwargs))
    there: list[Tensor] = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    name = func._schema.name.removeprefix("aten::")
    if torch.Tag.pointwise in func.tags:
        elements: int = broadcast(*(t.shape for t in there)).numel()
        return 16.0 * elements
    if name in _PRODUCTS:
        a, b = there[-2:]
        rows: int = a.shape[:-1].numel()
        return 16.0 * rows * b.shape[-1]
    if name in _STEADY:
        return 16.0 * sum(t.numel() for t in there)
    bound = 16.0 * math.prod(t.numel() + 1.0 for t in there)
    for leaf in leaves:
        if isinstance(leaf, (int, float)) and math.isfinite(leaf) and leaf:
            bound *= max(abs(leaf), 1 / abs(leaf)) + 1
    return bound


def _bytes(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """Bytes that an operation would return; 0 where it has no rule for shapes."""
    there = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    device = kwargs.get("device")
    if device is not None and torch.device(device).type == "meta":
        return 0
    if device is None and there and all(t.is_meta for t in there):
        return 0
    kwargs = dict(tree_map(_without_memory, dict(kwargs)))
    if any(argument.name == "device" for argument in func._schema.arguments):
        kwargs["device"] = torch.device("meta")
        kwargs.pop("pin_memory", None)
    try:
        out = func(*tree_map(_without_memory, tuple(args)), **kwargs)
    except Exception:
        return 0
    return sum(t.numel() * t.element_size() for t in tree_leaves(out) if isinstance(t, Tensor))


def _held(out: Any) -> int:
    tensors = [t for t in tree_leaves(out) if isinstance(t, Tensor) and not t.is_meta]
    return sum(t.numel() * t.element_size() for t in tensors)


def _without_memory(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return torch.empty(value.shape, dtype=value.dtype, device="meta")
