"""A node that shows one of the recorded images of its class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scm.errors import MechanismError
from scm.mechanisms import Categorical, Image, Mechanism, Noise
from scm.mechanisms.assignment import broadcast
from scm.mechanisms.mechanism import Parents, Status

__all__ = ["Exemplars"]


class Exemplars(Mechanism):
    """A recorded image of the parent's class, `S := images_k[floor(m_k U)]` for class k.

    U is one uniform, and the m_k images of class k have equal weights. An image that is among
    them is abducted: U is drawn from the interval that gives it (or from one of several, where
    an image was recorded more than once).

    Args:
        images: Recorded images `(m, channels, height, width)`, which are not copied.
        labels: Their classes `(m,)`, int64; every class from 0 to the largest occurs.
        range: Values of black and white.

    Raises:
        MechanismError: If shapes do not match, pixels are out of range, a class has no image, or
            the node's parent is not one categorical node with as many levels as there are classes.

    Example:
        >>> import scm
        >>> images = torch.arange(4.0).view(4, 1, 1, 1) / 4
        >>> model = scm.SCM("K -> I", K=scm.Root.categorical([0.5, 0.5]),
        ...                 I=Exemplars(images, torch.tensor([0, 0, 1, 1])))
        >>> bool((model.do(K=1).sample(100, seed=0)["I"] >= 0.5).all())
        True
    """

    abduction: Status = "posterior"
    broadcasts = True
    noise = Noise("uniform")
    type: Image
    images: Tensor
    labels: Tensor

    def __init__(
        self, images: Tensor, labels: Tensor, range: tuple[float, float] = (0.0, 1.0)
    ) -> None:
        super().__init__()
        if images.ndim != 4 or labels.shape != images.shape[:1] or not len(labels):
            raise MechanismError(
                f"images of shape {tuple(images.shape)} and labels of shape {tuple(labels.shape)} "
                "were given; expected (m, channels, height, width) and (m,), with m > 0"
            )
        if labels.is_floating_point() or int(labels.min()) < 0:
            raise MechanismError(
                f"labels are {labels.dtype}, the least {labels.min()}; expected int64 classes from "
                "0 on"
            )
        if not (float(images.min()) >= range[0] and float(images.max()) <= range[1]):
            raise MechanismError(
                f"pixels from {float(images.min()):.3g} to {float(images.max()):.3g} were given; "
                f"rescale them to [{range[0]:g}, {range[1]:g}], or declare their range="
            )
        counts = torch.bincount(labels)
        if not counts.all():
            raise MechanismError(
                f"no image of the classes {(counts == 0).nonzero().flatten().tolist()} was given; "
                f"expected some of each from 0 to {len(counts) - 1}"
            )
        self.type = Image(tuple(images.shape[1:]), range)
        self.register_buffer("images", images, persistent=False)
        self.register_buffer("labels", labels, persistent=False)
        # Images of a class stand side by side in this order, from `_first[k]` on.
        self._order = labels.argsort(stable=True)
        self._counts, self._first = counts, counts.cumsum(0) - counts
        self._sorted: Any = None

    def on_bind(self) -> None:
        """Check that the parent is the class.

        Raises:
            MechanismError: If it is another.
        """
        kinds = list(self.parents.values())
        k = len(self._counts)
        if len(kinds) != 1 or not isinstance(kinds[0], Categorical) or kinds[0].size != k:
            raise MechanismError(
                f"{self.node!r} shows images of {k} classes, but its parents are "
                f"{ {name: str(kind) for name, kind in self.parents.items()} }; expected one node, "
                f"Categorical({k})"
            )

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        """Images `(*batch, channels, height, width)`."""
        assert noise is not None
        (label,) = parents.values()
        return self.images[self._pick(label, noise)]

    def _pick(self, label: Tensor, noise: Tensor) -> Tensor:
        """Positions of the images that classes and noise give."""
        counts, first, order = (
            t.to(label.device) for t in (self._counts, self._first, self._order)
        )
        m = counts[label]
        k = torch.minimum((noise.double() * m).long(), m - 1)
        found: Tensor = order[first[label] + k]
        return found

    def abduct(self, value: Tensor, parents: Parents, fresh: Tensor) -> Tensor:
        """A draw of U from the interval that gives the image, `(*batch,)`.

        Raises:
            MechanismError: If an image is none of the recorded ones.
        """
        (label,) = parents.values()
        batch = broadcast(value.shape[:-3], label.shape, fresh.shape)
        rows = value.expand(*batch, *self.type.event).reshape(-1, *self.type.event)
        label, fresh = label.expand(batch).reshape(-1), fresh.expand(batch).reshape(-1)
        keys, place = self._keys()
        wanted = _hash(rows, label)
        low, high = torch.searchsorted(keys, wanted), torch.searchsorted(keys, wanted, right=True)
        spread = fresh.double() * (high - low)
        which = torch.minimum(spread.long(), (high - low - 1).clamp_min(0))
        at = place[(low + which).clamp_max(len(place) - 1)]
        found = self._order.to(at.device)[at]
        same = (low < high) & (self.labels[found] == label)
        for part in torch.arange(len(rows), device=at.device).split(4096):
            equal = (self.images[found[part]] == rows[part]).flatten(1).all(1)
            same[part] &= equal
        if not same.all():
            row = int((~same).nonzero()[0])
            raise MechanismError(
                f"row {row % (batch[-1] if batch else 1)} holds an image of {self.node!r} that is "
                f"none of the {int(self._counts[int(label[row])])} recorded ones of class "
                f"{int(label[row])}; give recorded images, or make the model of the digits that "
                "they came from"
            )
        m, k = self._counts.to(at.device)[label], at - self._first.to(at.device)[label]
        noise = ((k + (spread - which)) / m).to(fresh)
        # The dtype of the noise may round it into a neighbour's interval.
        missed = self._pick(label, noise) != found
        return torch.where(missed, ((k + 0.5) / m).to(fresh), noise).reshape(batch)

    def _keys(self) -> tuple[Tensor, Tensor]:
        """Sorted hashes of the recorded images, and the position of each in `_order`."""
        if self._sorted is None or self._sorted[0].device != self.images.device:
            keys = _hash(self.images, self.labels)[self._order.to(self.images.device)]
            self._sorted = keys.sort()
        keys, place = self._sorted
        return keys, place

    def config(self) -> dict[str, Any]:
        """The recorded images and their classes."""
        return {"images": self.images, "labels": self.labels, "range": self.type.range}


def _hash(images: Tensor, labels: Tensor) -> Tensor:
    """A number of each image and its class, `(n,)` int64; equal images have equal numbers."""
    n, width = len(images), images.shape[1:].numel()
    generator = torch.Generator().manual_seed(0)
    odd = torch.randint(-(2**62), 2**62, (width + 1,), generator=generator) * 2 + 1
    odd = odd.to(images.device)
    found = torch.empty(n, dtype=torch.int64, device=images.device)
    for part in torch.arange(n, device=images.device).split(4096):
        # Integers add up exactly, in any order; 0.0 added makes one zero of the two.
        bits = (images[part].float() + 0.0).flatten(1).view(torch.int32).long()
        found[part] = (bits * odd[:width]).sum(1) + labels[part] * odd[width]
    return found
