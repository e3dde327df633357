"""Finding layers of any network, and reading what passes through them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from scm.errors import ScmError

__all__ = ["last_convolution", "last_linear", "watching"]


def last_convolution(network: nn.Module) -> nn.Conv2d:
    """Return the two-dimensional convolution that was registered last.

    Raises:
        ScmError: If there is none.

    Example:
        >>> last_convolution(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 9, 3))).out_channels
        9
    """
    found = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    if not found:
        raise ScmError(f"{type(network).__name__} has no nn.Conv2d; name the layer= to look at")
    return found[-1]


def last_linear(network: nn.Module) -> tuple[str, nn.Linear]:
    """Name and module of the linear layer that was registered last.

    Raises:
        ScmError: If there is none.
    """
    found = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.Linear)]
    if not found:
        raise ScmError(
            f"{type(network).__name__} has no nn.Linear, so that its output layer is not known; "
            "use a classifier that ends in one"
        )
    return found[-1]


@contextmanager
def watching(layer: nn.Module, inputs: bool = False) -> Iterator[list[Tensor]]:
    """Inside, the outputs of a layer (or its first inputs) are appended to what this yields.

    Example:
        >>> import torch
        >>> layer = nn.Linear(3, 2)
        >>> with watching(layer) as seen:
        ...     y = layer(torch.zeros(5, 3))
        >>> torch.equal(seen[0], y)
        True
    """
    seen: list[Tensor] = []

    def keep(module: nn.Module, given: tuple[Any, ...], returned: Any) -> None:
        seen.append(given[0] if inputs else returned)

    handle = layer.register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()
