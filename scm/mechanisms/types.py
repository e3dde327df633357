"""What a node holds: the declared type of its values.

A type knows its event shape, reads what a person gives (numbers, arrays, level names)
into a tensor, and says clearly what was wrong when it cannot. Nothing is ever inferred
from values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scm.errors import MechanismError, ScmError, nearest

__all__ = ["Categorical", "Image", "NodeType", "Real"]


@dataclass(frozen=True)
class NodeType:
    """The type of a node's values; see `Real`, `Categorical` and `Image`.

    Example:
        >>> kinds = [Real(), Real((2, 3)), Categorical(("no", "yes")), Image((3, 8, 8))]
        >>> [isinstance(kind, NodeType) for kind in kinds]
        [True, True, True, True]
        >>> [kind.width for kind in kinds]
        [1, 6, 2, 192]
    """

    @property
    def event(self) -> tuple[int, ...]:
        """Shape of one unit's value, `()` for a scalar."""
        raise NotImplementedError

    @property
    def width(self) -> int:
        """Number of features that one value gives to an `nn.Module`."""
        return math.prod(self.event)

    def encode(self, value: Any, like: Tensor) -> Tensor:
        """Read a given value into a tensor `(..., *event)` of the dtype and device of ``like``.

        Raises:
            ScmError: If the value is not numeric, not finite, or not of this type.
        """
        tensor = _tensor(value)
        if tensor.is_complex():
            raise ScmError(f"complex numbers were given where {self} was declared; give real ones")
        tensor = tensor.to(like)
        n_event = len(self.event)
        if n_event and tuple(tensor.shape[-n_event:]) != self.event:
            raise ScmError(
                f"a value of shape {tuple(tensor.shape)} was given where {self} was declared; "
                f"its last {n_event} dimension(s) must be {self.event}"
            )
        bad = ~torch.isfinite(tensor)
        if bad.any():
            raise ScmError(
                f"{int(bad.sum())} of {tensor.numel()} numbers are NaN or infinite; drop or "
                "impute those rows first (a column left out altogether counts as unobserved)"
            )
        return tensor

    def features(self, value: Tensor) -> Tensor:
        """Flatten `(*batch, *event)` to the `(*batch, width)` that an `nn.Module` sees."""
        return value.flatten(value.ndim - len(self.event)) if self.event else value.unsqueeze(-1)


@dataclass(frozen=True)
class Real(NodeType):
    """Real numbers of a fixed shape.

    Example:
        >>> Real((3,)).width
        3
    """

    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _shape(self.shape))

    @property
    def event(self) -> tuple[int, ...]:
        return self.shape

    def __str__(self) -> str:
        return f"Real{self.shape}" if self.shape else "Real"


@dataclass(frozen=True)
class Categorical(NodeType):
    """One of finitely many levels, held as int64 codes `0, ..., K - 1`.

    Args:
        levels: The number of levels, or their names in order. Tensors hold codes; anything
            else that is given holds names, or codes where the names are words.

    Raises:
        MechanismError: If there is no level, or two have one name.

    Example:
        >>> Categorical(("red", "green")).encode(["green", "red"], torch.zeros(()))
        tensor([1, 0])
    """

    levels: int | tuple[Any, ...] = 2

    def __post_init__(self) -> None:
        levels = self.levels
        if not isinstance(levels, int):
            if isinstance(levels, str) or not isinstance(levels, Iterable):
                raise MechanismError(
                    f"Categorical({levels!r}) was given; expected the number of levels, or a list "
                    "of their names"
                )
            levels = tuple(levels)
        object.__setattr__(self, "levels", levels)
        if self.size < 1 or len(set(self.names)) != self.size:
            raise MechanismError(
                f"Categorical({self.levels!r}) was given; a positive number of levels or a "
                "list of distinct names was expected"
            )

    @property
    def event(self) -> tuple[int, ...]:
        return ()

    @property
    def size(self) -> int:
        """Number of levels K."""
        return self.levels if isinstance(self.levels, int) else len(self.levels)

    @property
    def names(self) -> tuple[Any, ...]:
        """Names of the levels, in the order of their codes."""
        return tuple(range(self.levels)) if isinstance(self.levels, int) else self.levels

    @property
    def width(self) -> int:
        return self.size

    def encode(self, value: Any, like: Tensor) -> Tensor:
        if not isinstance(value, Tensor):
            array = np.asarray(value)
            if array.dtype.kind in "OUS" or not isinstance(self.levels, int):
                value = self._codes(array)
        tensor = _tensor(value)
        if not torch.isfinite(tensor).all():
            raise ScmError(
                "codes of levels are NaN or infinite; drop those rows first (a column left out "
                "altogether counts as unobserved)"
            )
        codes = tensor.to(device=like.device, dtype=torch.int64)
        wrong = (codes != tensor.to(codes.device)) | (codes < 0) | (codes >= self.size)
        if wrong.any():
            given = tensor.to(codes.device)[wrong].flatten()[:5].tolist()
            raise ScmError(f"{given} among the values is no level of {self}")
        return codes

    def _codes(self, array: np.ndarray) -> np.ndarray:
        code = {name: k for k, name in enumerate(self.names)}
        words = all(isinstance(name, str) for name in self.names)
        if words and array.dtype.kind in "iub":
            return array
        unknown = sorted({str(v) for v in array.flatten() if v not in code})
        if unknown:
            raise ScmError(
                f"{unknown[0]!r} is no level of {self}; "
                + nearest(unknown[0], [str(name) for name in self.names])
            )
        codes: np.ndarray = np.vectorize(code.__getitem__, otypes=[np.int64])(array)
        return codes

    def features(self, value: Tensor) -> Tensor:
        return F.one_hot(value, self.size).to(torch.get_default_dtype())

    def __str__(self) -> str:
        return f"Categorical({self.levels})"


@dataclass(frozen=True)
class Image(NodeType):
    """An image of shape `(channels, height, width)` with pixels in a declared range.

    The range says what black and white are. A mechanism with pixel noise may step a
    little outside it; values given by a person that miss it by more than half its width
    are refused, since they are almost always images scaled otherwise (0 to 255, say).

    Raises:
        MechanismError: If the shape has not three sizes, or the range is empty.

    Example:
        >>> Image((1, 8, 8)).width
        64
    """

    shape: tuple[int, ...] = (1, 28, 28)
    range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _shape(self.shape))
        object.__setattr__(self, "range", (float(self.range[0]), float(self.range[1])))
        if len(self.shape) != 3 or not self.range[0] < self.range[1]:
            raise MechanismError(
                f"{self} was given; a shape (channels, height, width) and a range (low, high) "
                "were expected"
            )

    @property
    def event(self) -> tuple[int, ...]:
        return self.shape

    def encode(self, value: Any, like: Tensor) -> Tensor:
        tensor = super().encode(value, like)
        low, high = self.range
        slack = (high - low) / 2
        if tensor.numel() and (tensor.min() < low - slack or tensor.max() > high + slack):
            raise ScmError(
                f"pixels from {tensor.min():.3g} to {tensor.max():.3g} were given where {self} "
                f"was declared; rescale them to [{low:g}, {high:g}]"
            )
        return tensor

    def __str__(self) -> str:
        return f"Image({self.shape}, range={self.range})"


def _shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    sizes = (shape,) if isinstance(shape, int) else tuple(int(s) for s in shape)
    if any(s < 0 for s in sizes):
        raise MechanismError(f"the shape {shape} was given; expected sizes that are not negative")
    return sizes


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value):
        return torch.stack([torch.as_tensor(v) for v in value])
    try:
        return torch.as_tensor(np.array(value)) if not np.isscalar(value) else torch.tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ScmError(
            f"{value!r:.60} was given; a number, an array or a tensor was expected"
        ) from error
