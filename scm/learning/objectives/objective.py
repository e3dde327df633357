"""The protocol of objectives, what they are made of, and the plainest of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.errors import ScmError
from scm.learning.sources import Batch

__all__ = ["ERM", "Moment", "Objective", "cross_entropy", "scores"]


class Moment(NamedTuple):
    """Where a training stands.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        generator: Source of the randomness of this step, on the CPU.

    Example:
        >>> at = Moment(step=50, steps=200, generator=torch.Generator().manual_seed(0))
        >>> at.step / at.steps
        0.25
    """

    step: int
    steps: int
    generator: torch.Generator


class Objective(nn.Module):
    """What training minimises, over one batch from each environment.

    It is a module since it may have parameters, which are trained with the network's, and
    buffers, which a checkpoint keeps. Subclasses define `loss` and, where they have any
    parameters or buffers, `start`.

    Example:
        >>> class Brier(Objective):
        ...     def loss(self, network, batches, at):
        ...         losses = []
        ...         for batch, logits in zip(batches, scores(network, batches), strict=True):
        ...             wanted = torch.nn.functional.one_hot(batch.labels, logits.shape[1])
        ...             losses.append((logits.softmax(1) - wanted).square().sum(1).mean())
        ...         return torch.stack(losses).mean()
        >>> Brier().name
        'Brier()'
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings

    @property
    def name(self) -> str:
        """The objective with its settings, as in a table."""
        shown = ", ".join(f"{key}={value!r}" for key, value in self.settings.items())
        return f"{type(self).__name__}({shown})"

    def __repr__(self) -> str:
        return self.name

    def start(self, network: nn.Module, batches: Sequence[Batch], seed: int) -> None:
        """Forget an earlier training; make parameters and buffers for these batches."""

    def loss(self, network: nn.Module, batches: Sequence[Batch], at: Moment) -> Tensor:
        """The scalar to minimise."""
        raise NotImplementedError


class ERM(Objective):
    """Empirical risk minimisation: the mean over environments of the cross-entropy, `mean_e R_e`.

    Source: Vapnik (1991), with several environments as in Arjovsky et al. (2019), section 2.

    Example:
        >>> ERM()
        ERM()
    """

    def loss(self, network: nn.Module, batches: Sequence[Batch], at: Moment) -> Tensor:
        """Mean of the environments' risks."""
        found = scores(network, batches)
        return torch.stack(
            [cross_entropy(f, b.labels) for f, b in zip(found, batches, strict=True)]
        ).mean()


def scores(network: nn.Module, batches: Sequence[Batch]) -> list[Tensor]:
    """Logits of the images of each batch, from one pass over all, so that batch norm sees all.

    Returns:
        Logits `(n, classes)`, or of a batch with labels `(n, K)` those of each head,
        `(n, K, classes)`.

    Raises:
        ScmError: If the images have several shapes, or labels `(n, K)` meet a network without
            K heads.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))

        >>> a = Batch(torch.zeros(3, 1, 2, 2), torch.tensor([0, 1, 1]))
        >>> b = Batch(torch.ones(5, 1, 2, 2), torch.zeros(5, dtype=torch.int64))
        >>> [tuple(logits.shape) for logits in scores(network, [a, b])]
        [(3, 2), (5, 2)]
    """
    sizes = [len(batch.labels) for batch in batches]
    shapes = {tuple(batch.images.shape[1:]) for batch in batches}
    if len(shapes) > 1:
        raise ScmError(f"environments have images of shapes {shapes}; resize them to one")
    images = torch.cat([batch.images for batch in batches])
    heads = {batch.heads for batch in batches if batch.heads is not None}
    if not heads:
        return list(network(images).split(sizes))
    names = getattr(network, "names", ())
    if heads != {len(names)}:
        raise ScmError(
            f"labels for {sorted(heads)} heads were given to a {type(network).__name__} with "
            f"{len(names)}; give a HeadEnsemble with as many, or labels (n,)"
        )
    each: Sequence[Tensor] = network.heads(images).split(sizes)  # type: ignore[operator]
    return [
        found.mean(1) if batch.heads is None else found
        for found, batch in zip(each, batches, strict=True)
    ]


def cross_entropy(found: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """Risk `-log softmax(f)_y`, the mean over images, and over the heads where there are some.

    Of a soft label p it is `-sum_k p_k log softmax(f)_k`.

    Args:
        found: Logits `(n, classes)` or `(n, K, classes)`.
        labels: Classes `(n,)` or `(n, K)`, or probabilities `(n, classes)`.
        reduction: "mean" for a scalar, "none" for `(n,)`.

    Raises:
        ScmError: If a label is not among the classes, or has other classes than the logits.

    Example:
        >>> cross_entropy(torch.zeros(4, 10), torch.arange(4))
        tensor(2.3026)
    """
    classes = found.shape[-1]
    if labels.is_floating_point():
        if labels.shape != found.shape:
            raise ScmError(
                f"soft labels of shape {tuple(labels.shape)} were given to logits of shape "
                f"{tuple(found.shape)}; expected the probability of each class"
            )
        return F.cross_entropy(found, labels, reduction=reduction)
    if int(labels.max()) >= classes:
        raise ScmError(
            f"label {int(labels.max())} was given to a network with {classes} classes; expected "
            f"0 to {classes - 1}"
        )
    risks = F.cross_entropy(found.flatten(0, -2), labels.flatten(), reduction=reduction)
    return risks if reduction == "mean" else risks.view(len(labels), -1).mean(1)
