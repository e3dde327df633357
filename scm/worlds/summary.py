"""What a notebook shows of a node's values: numbers in a word, images as images."""

from __future__ import annotations

import torch
from torch import Tensor

from scm.html import Markup
from scm.mechanisms.types import Categorical, Image, NodeType
from scm.png import strip

__all__ = ["summary"]

_IMAGES, _LEVELS = 8, 4


def summary(kind: NodeType, value: Tensor | None) -> str:
    """Shares of levels, mean and standard deviation of numbers, or the first images.

    Args:
        kind: The node's type.
        value: Its values, `[*batch, *event]`; None where they were not computed yet, which
            looking at them does not change.

    Example:
        >>> summary(Categorical(("no", "yes")), torch.tensor([0, 1, 1, 1]))
        'yes 75%, no 25%'
    """
    if value is None:
        return "computed when asked for"
    value = value.detach()
    if isinstance(kind, Categorical):
        counts = torch.bincount(value.flatten().cpu(), minlength=len(kind.names))
        order = counts.argsort(descending=True, stable=True)[:_LEVELS].tolist()
        shown = [f"{kind.names[k]} {counts[k] / counts.sum():.0%}" for k in order if counts[k]]
        return ", ".join(shown) + ", ..." * (int((counts > 0).sum()) > _LEVELS)
    if isinstance(kind, Image) and kind.shape[0] in (1, 3):
        low, high = kind.range
        images = value.reshape(-1, *kind.shape)[:_IMAGES]
        uri = strip((images - low) / (high - low), across=True)
        return Markup(f'<img alt="the first {len(images)}" src="{uri}">')
    if not value.numel():
        return "none"
    number = value.double()
    return f"mean {number.mean():.3g}, sd {number.std(correction=0):.3g}"
