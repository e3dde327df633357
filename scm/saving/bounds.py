"""Bounded memory while a model is made from a description that somebody else wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from scm.errors import ScmError

__all__ = ["Bounded"]


class Bounded(TorchDispatchMode):
    """A context in which a tensor that would be too large is refused before it is made.

    Each operation runs first on torch's meta device, which knows shapes and holds no
    memory, and the size of its result is compared with the bounds.

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
        super().__init__()
        self.tensor, self.total, self.calls = tensor, total, calls
        self.returned = self.called = 0

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
        if not (func._schema.is_mutable or func.is_view):
            self._count(_bytes(func, args, kwargs))
        return func(*args, **kwargs)

    def _count(self, size: int) -> None:
        self.returned += size
        bound = self.tensor
        if size <= bound and self.total is not None:
            size, bound = self.returned, self.total
        if size > bound:
            raise ScmError(
                f"the model asks for a tensor of {size:,} bytes where {bound:,} are in "
                "proportion to its file; it was not made by SCM.save, or needs far more memory "
                "to run than to store: make it from code and load a state_dict into it"
            )


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


def _without_memory(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return torch.empty(value.shape, dtype=value.dtype, device="meta")
