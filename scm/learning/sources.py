"""Where a classifier's images come from: tensors, streams, mixtures, augmentations.

A *source* yields batches without end. One source is one environment; `train` takes one or
several. What an image was (observed, stylised, generated, counterfactual) is a matter of the
source, never of the objective.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from scm.errors import ScmError

__all__ = ["Augmented", "Batch", "LabelledImages", "Mixed", "Source", "Stream"]


_ROUNDING = 1e-3  # of the probabilities of a soft label


class Batch(NamedTuple):
    """Images with their labels, and the group of each where groups are known.

    Attributes:
        images: `(n, channels, height, width)`.
        labels: Classes, int64: `(n,)`, or `(n, K)` for an ensemble of K heads; or soft labels,
            the probability of each class `(n, classes)`.
        groups: Groups `(n,)`, int64, or None.

    Example:
        >>> batch = Batch(torch.zeros(3, 1, 8, 8), torch.tensor([0, 1, 1]))
        >>> batch.rows(slice(1, 3)).labels, batch.groups is None
        (tensor([1, 1]), True)
    """

    images: Tensor
    labels: Tensor
    groups: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the same on a device."""
        groups = None if self.groups is None else self.groups.to(device)
        return Batch(self.images.to(device), self.labels.to(device), groups)

    def rows(self, rows: Tensor | slice) -> Batch:
        """Return some of the rows."""
        groups = None if self.groups is None else self.groups[rows]
        return Batch(self.images[rows], self.labels[rows], groups)

    @property
    def heads(self) -> int | None:
        """For how many heads of an ensemble there are labels; None where one label is for all."""
        labels = self.labels
        return None if labels.ndim < 2 or labels.is_floating_point() else labels.shape[1]


@runtime_checkable
class Source(Protocol):
    """Anything with `batches(size, seed)`.

    Example:
        >>> isinstance(LabelledImages(torch.zeros(5, 1, 8, 8), torch.arange(5)), Source)
        True
    """

    def batches(self, size: int, seed: int = 0) -> Iterator[Batch]:
        """Yield batches of ``size`` images without end; the same seed gives the same batches."""
        ...


def checked(batch: Batch) -> Batch:
    """Return the batch.

    Raises:
        ScmError: If images and labels do not match, images are no floating point, or labels
            neither classes nor probabilities of classes.
    """
    images, labels, groups = batch.images, batch.labels, batch.groups
    if images.ndim != 4 or labels.shape[:1] != images.shape[:1] or not len(labels):
        raise ScmError(
            f"images of shape {tuple(images.shape)} and labels of shape {tuple(labels.shape)} were "
            "given; expected (n, channels, height, width) and (n,), or (n, heads) for an ensemble"
        )
    if not images.is_floating_point():
        raise ScmError(
            f"images are {images.dtype}; expected floating point, such as images / 255 of bytes"
        )
    if labels.ndim == 2 and labels.is_floating_point():
        off = float((labels.sum(1) - 1).abs().max())
        if not (off <= _ROUNDING and float(labels.min()) >= 0):
            raise ScmError(
                f"soft labels of shape {tuple(labels.shape)} are no probabilities (a row's sum is "
                f"off by {off:.3g}, the least is {float(labels.min()):.3g}); expected (n, classes)"
            )
    elif labels.ndim not in (1, 2) or labels.dtype != torch.int64 or int(labels.min()) < 0:
        raise ScmError(
            f"labels are {labels.dtype} of shape {tuple(labels.shape)}; expected int64 classes 0, "
            "1, ..., or probabilities (n, classes)"
        )
    if groups is not None and (groups.shape != labels.shape[:1] or groups.dtype != torch.int64):
        raise ScmError(
            f"groups are {groups.dtype} of shape {tuple(groups.shape)}; expected int64 "
            f"({len(labels)},), one a row"
        )
    return batch


class LabelledImages:
    """Images that are held in memory, in a new random order each pass.

    Args:
        images: `(n, channels, height, width)`.
        labels: Classes, int64: `(n,)`, or `(n, K)` for an ensemble of K heads; or soft labels,
            probabilities `(n, classes)`.
        groups: Groups `(n,)`, int64, for `GroupDRO`.

    Raises:
        ScmError: If they do not match.

    Example:
        >>> source = LabelledImages(torch.zeros(5, 1, 8, 8), torch.arange(5))
        >>> batches = source.batches(3)
        >>> sorted(torch.cat([next(batches).labels for _ in range(5)]).tolist())
        [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    """

    def __init__(self, images: Tensor, labels: Tensor, groups: Tensor | None = None) -> None:
        self.data = checked(Batch(images, labels, groups))

    def __len__(self) -> int:
        return len(self.data.labels)

    def batches(self, size: int, seed: int = 0) -> Iterator[Batch]:
        """Yield batches without end."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.empty(0, dtype=torch.int64)
        while True:
            while len(order) < size:
                order = torch.cat([order, torch.randperm(len(self), generator=generator)])
            rows, order = order[:size], order[size:]
            yield self.data.rows(rows.to(self.data.images.device))


class Stream:
    """Images that are made or read as they are needed, and never held whole.

    Args:
        parts: An iterable of `(images, labels)` or `(images, labels, groups)` of any number of
            rows, in the order in which they are to be used: a data loader, or an object whose
            iterator draws counterfactual images from a model. When it is exhausted it is
            iterated again. Its own seed decides what it yields.
        factor: Column of labels `(n, K)` to keep, such as 0 for the shape's; all by default, for
            an ensemble of K heads.

    Example:
        >>> part = (torch.zeros(5, 1, 8, 8), torch.arange(5))
        >>> next(Stream([part, part]).batches(7)).labels
        tensor([0, 1, 2, 3, 4, 0, 1])
    """

    def __init__(self, parts: Iterable[tuple[Tensor, ...]], factor: int | None = None) -> None:
        self.parts, self.factor = parts, factor

    def batches(self, size: int, seed: int = 0) -> Iterator[Batch]:
        """Yield batches without end; the seed changes nothing.

        Raises:
            ScmError: If what is iterated is exhausted and cannot be iterated again, is empty, or
                yields what is no batch.
        """
        held: list[Batch] = []
        while True:
            rows = 0
            for part in self.parts:
                held.append(self._batch(Batch(*part)))
                rows += len(part[1])
                while sum(len(b.labels) for b in held) >= size:
                    together = _join(held)
                    yield together.rows(slice(size))
                    rest = together.rows(slice(size, None))
                    held = [rest] if len(rest.labels) else []
            if not rows:
                raise ScmError(
                    "a stream of images is empty, or was exhausted and cannot begin again; give "
                    "Stream() something that can be iterated repeatedly (a list, a DataLoader, an "
                    "object with __iter__) in place of a generator, or a generator without end"
                )

    def _batch(self, batch: Batch) -> Batch:
        if self.factor is not None:
            if batch.labels.ndim != 2 or not 0 <= self.factor < batch.labels.shape[1]:
                raise ScmError(
                    f"factor={self.factor} of labels {tuple(batch.labels.shape)} was asked for; "
                    "expected labels (n, K) with more columns than that"
                )
            batch = batch._replace(labels=batch.labels[:, self.factor])
        return checked(batch)


class Mixed:
    """Batches that are put together from several sources, with stated shares.

    Original with counterfactual images is `Mixed([original, counterfactual], (1, 1))`.

    Args:
        sources: The sources.
        shares: Share of each, in any unit; equal ones by default. A batch holds as many images of
            each as its share says, rounded to the nearest whole ones that sum up to the batch.

    Raises:
        ScmError: If there are no sources, or the shares do not fit.

    Source: CGN, section 3.2 (evenly sized batches of real and counterfactual images).

    Example:
        >>> a = LabelledImages(torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64))
        >>> b = LabelledImages(torch.zeros(4, 1, 8, 8), torch.ones(4, dtype=torch.int64))
        >>> next(Mixed([a, b], (3, 1)).batches(8)).labels
        tensor([0, 0, 0, 0, 0, 0, 1, 1])
    """

    def __init__(self, sources: Sequence[Source], shares: Sequence[float] | None = None) -> None:
        self.sources = list(sources)
        self.shares = [1.0] * len(self.sources) if shares is None else [float(s) for s in shares]
        if not self.sources or len(self.shares) != len(self.sources) or min(self.shares) <= 0:
            raise ScmError(
                f"{len(self.sources)} sources and the shares {self.shares} were given; expected a "
                "positive share for each of one source or more"
            )

    def batches(self, size: int, seed: int = 0) -> Iterator[Batch]:
        """Yield batches without end.

        Raises:
            ScmError: If a batch is too small to hold an image of each source.
        """
        ends = list(itertools.accumulate(self.shares))
        cuts = [0, *(math.floor(size * end / ends[-1] + 0.5) for end in ends)]
        counts = [after - before for before, after in itertools.pairwise(cuts)]
        if min(counts) < 1:
            raise ScmError(
                f"a batch of {size} images holds {counts} of the sources with shares "
                f"{self.shares}; enlarge the batch"
            )
        streams = [
            source.batches(count, seed + k)
            for k, (source, count) in enumerate(zip(self.sources, counts, strict=True))
        ]
        while True:
            yield _join([next(stream) for stream in streams])


class Augmented:
    """A source whose images pass through a random transformation; labels stay as they are.

    Args:
        source: The source.
        transform: Function of images `(n, channels, height, width)` and a generator that
            returns images, such as `AutoAugment()`.

    Example:
        >>> source = LabelledImages(torch.zeros(4, 1, 8, 8), torch.arange(4))
        >>> brighter = Augmented(source, lambda images, generator: images + 0.5)
        >>> next(brighter.batches(2)).images.mean()
        tensor(0.5000)
    """

    def __init__(
        self, source: Source, transform: Callable[[Tensor, torch.Generator], Tensor]
    ) -> None:
        self.source, self.transform = source, transform

    def batches(self, size: int, seed: int = 0) -> Iterator[Batch]:
        """Yield batches without end."""
        generator = torch.Generator().manual_seed(seed)
        for batch in self.source.batches(size, seed):
            yield checked(batch._replace(images=self.transform(batch.images, generator)))


def _join(parts: Sequence[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    shapes = {
        (b.images.shape[1:], b.labels.shape[1:], b.labels.dtype, b.groups is None) for b in parts
    }
    if len(shapes) > 1:
        shown = [(tuple(b.images.shape), tuple(b.labels.shape)) for b in parts]
        raise ScmError(
            f"images and labels of shapes {shown} do not fit into one batch; resize the images, "
            "and give all of them the same kind of labels (soft ones of classes are "
            "torch.nn.functional.one_hot(labels).float()), and groups or none; or train on the "
            "sources as separate environments"
        )
    images, labels = torch.cat([b.images for b in parts]), torch.cat([b.labels for b in parts])
    groups = [b.groups for b in parts if b.groups is not None]
    return Batch(images, labels, torch.cat(groups) if groups else None)
