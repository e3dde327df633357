"""The classes of ImageNet, and the coarser ones that its predictions are read as."""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from scm.errors import ScmError

__all__ = [
    "cue_conflict_indices",
    "imagenet9_indices",
    "imagenet_ids",
    "imagenet_names",
    "to_cue_conflict",
    "to_imagenet9",
]


def imagenet_ids() -> tuple[str, ...]:
    """The 1,000 WordNet ids of ILSVRC 2012 in index order, which is also that of their names.

    Example:
        >>> imagenet_ids()[:2]
        ('n01440764', 'n01443537')
    """
    return tuple(line.split(" ", 1)[0] for line in _tables()["imagenet"])


def imagenet_names() -> tuple[str, ...]:
    """The names of the 1,000 classes, in index order, all different.

    Source:
        anishathalye/imagenet-simple-labels (public domain).

    Example:
        >>> imagenet_names()[:2]
        ('tench', 'goldfish')
    """
    return tuple(line.split(" ", 1)[1] for line in _tables()["imagenet"])


def imagenet9_indices() -> Mapping[str, tuple[int, ...]]:
    """ImageNet's indices in each of the nine classes of IN-9: 370 of the 1,000.

    Source:
        Xiao, Engstrom, Ilyas and Madry, "Noise or Signal" (2020); `in_to_in9.json` of
        github.com/MadryLab/backgrounds_challenge.

    Example:
        >>> list(imagenet9_indices())[:4], imagenet9_indices()["fish"][:3]
        (['dog', 'bird', 'wheeled vehicle', 'reptile'], (0, 1, 2))
    """
    return {name: _ranges(text) for name, text in _tables()["imagenet9"].items()}


def cue_conflict_indices() -> Mapping[str, tuple[int, ...]]:
    """ImageNet's indices in each of the 16 classes of the cue-conflict set: 207 of the 1,000.

    Source:
        Geirhos et al., "ImageNet-trained CNNs are biased towards texture" (2019);
        `human_categories.py` of github.com/rgeirhos/texture-vs-shape.

    Example:
        >>> cue_conflict_indices()["elephant"]
        (385, 386)
    """
    return {name: _ranges(text) for name, text in _tables()["cue_conflict"].items()}


def to_imagenet9(logits: Tensor) -> Tensor:
    """Class of IN-9, 0 to 8, of the largest of 1,000 logits; -1 where it belongs to none.

    The rule of the Backgrounds Challenge: the argmax over *all* 1,000 classes, then the table.
    A prediction outside the nine counts as wrong.

    Args:
        logits: Logits or probabilities `(*batch, 1000)`.

    Returns:
        Classes `(*batch,)`, int64.

    Raises:
        ScmError: If the last dimension is not 1,000.

    Source:
        `eval_model` in github.com/MadryLab/backgrounds_challenge, tools/model_utils.py.

    Example:
        >>> to_imagenet9(torch.eye(1000)[[0, 207, 404]])  # tench, golden retriever, airliner
        tensor([ 8,  0, -1])
    """
    _check(logits)
    found: Tensor = _imagenet9_table().to(logits.device)[logits.argmax(-1)]
    return found


def to_cue_conflict(logits: Tensor) -> Tensor:
    """Mean probability of each cue-conflict class, p_k = 1/|I_k| sum_{i in I_k} softmax(logits)_i.

    The 16 numbers do not sum to 1; their argmax is the decision. The mean, not the sum, so that
    a class of 109 breeds has no head start over one of a single ImageNet class.

    Args:
        logits: Logits `(*batch, 1000)`.

    Returns:
        Mean probabilities `(*batch, 16)`, in the order of `cue_conflict_indices()`.

    Raises:
        ScmError: If the last dimension is not 1,000.

    Source:
        github.com/rgeirhos/texture-vs-shape, README, "Shape bias and IN accuracies"; Geirhos
        et al., "Generalisation in humans and deep neural networks" (2018), appendix.

    Example:
        >>> decision = to_cue_conflict(20 * torch.eye(1000)[[385]]).argmax(-1)
        >>> list(cue_conflict_indices())[decision]
        'elephant'
    """
    _check(logits)
    return logits.softmax(-1) @ _cue_conflict_weights().to(logits)


def _check(logits: Tensor) -> None:
    if logits.ndim == 0 or logits.shape[-1] != 1000:
        raise ScmError(
            f"logits of shape {tuple(logits.shape)} were given; expected (*batch, 1000), one for "
            "each class of ImageNet in the order of imagenet_ids()"
        )


@functools.cache
def _tables() -> Any:
    file = importlib.resources.files("scm") / "datasets" / "tables" / "imagenet.json"
    return json.loads(file.read_text(encoding="utf-8"))


def _ranges(text: str) -> tuple[int, ...]:
    """Indices written as "8 10-12"."""
    bounds = [[int(bound) for bound in part.split("-")] for part in text.split()]
    return tuple(index for part in bounds for index in range(part[0], part[-1] + 1))


@functools.cache
def _imagenet9_table() -> Tensor:
    table = torch.full((1000,), -1)
    for label, indices in enumerate(imagenet9_indices().values()):
        table[list(indices)] = label
    return table


@functools.cache
def _cue_conflict_weights() -> Tensor:
    weights = torch.zeros(1000, 16, dtype=torch.float64)
    for label, indices in enumerate(cue_conflict_indices().values()):
        weights[list(indices), label] = 1.0 / len(indices)
    return weights
