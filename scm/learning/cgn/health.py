"""Is a mask still a mask? Its mean, its mass at the border, its entropy; by class too."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scm.errors import ScmError
from scm.learning.cgn.losses import border

__all__ = ["CollapsedMaskError", "Health", "Limits", "MaskMonitor", "mask_health"]


class CollapsedMaskError(ScmError):
    """Training was stopped because masks collapsed; the message says which, and how.

    Attributes:
        classes: The classes whose masks are beyond a limit.

    Example:
        >>> try:
        ...     raise CollapsedMaskError("the masks of class 3 are empty", (3,))
        ... except CollapsedMaskError as error:
        ...     print(error.classes)
        (3,)
    """

    def __init__(self, message: str, classes: tuple[int, ...]) -> None:
        super().__init__(message)
        self.classes = classes


@dataclass(frozen=True)
class Limits:
    """Between which values a healthy mask lies.

    Attributes:
        mean: Least and largest mean of a class.
        border: Largest mean of the pixels within 3 of the border.
        entropy: Largest mean entropy of a pixel, in bits.

    Example:
        >>> empty = mask_health(torch.zeros(2, 1, 8, 8), torch.tensor([0, 0]), classes=1)
        >>> empty.problems(Limits())
        {0: 'mean 0.000, expected 0.01 to 0.5'}
    """

    mean: tuple[float, float] = (0.01, 0.5)
    border: float = 0.15
    entropy: float = 0.6


@dataclass(frozen=True, eq=False)
class Health:
    """What was measured of masks, by class: NaN where a class had none.

    Attributes:
        mean: Mean of the masks, `(classes,)`.
        border: Mean of their pixels within 3 of the border, `(classes,)`.
        entropy: Mean entropy of a pixel in bits, `(classes,)`.
    """

    mean: Tensor
    border: Tensor
    entropy: Tensor

    def problems(self, limits: Limits) -> dict[int, str]:
        """What is wrong with the masks of each class that is beyond a limit."""
        low, high = limits.mean
        found = {}
        rows = zip(self.mean.tolist(), self.border.tolist(), self.entropy.tolist(), strict=True)
        for k, (mean, edge, entropy) in enumerate(rows):
            said = []
            if mean < low or mean > high:
                said.append(f"mean {mean:.3f}, expected {low:g} to {high:g}")
            if edge > limits.border:
                said.append(f"border mean {edge:.3f}, expected at most {limits.border:g}")
            if entropy > limits.entropy:
                said.append(f"entropy {entropy:.2f} bits, expected at most {limits.entropy:g}")
            if said:
                found[k] = "; ".join(said)
        return found

    def check(self, limits: Limits, when: str = "") -> None:
        """Raise if a class is beyond a limit.

        Raises:
            CollapsedMaskError: With the classes and what was measured.
        """
        problems = self.problems(limits)
        if problems:
            what = "; ".join(f"class {k}: {said}" for k, said in problems.items())
            raise CollapsedMaskError(
                f"masks collapsed{when}: {what}. Start again with another seed, raise the edge or "
                "mask weight, or freeze the shape for longer",
                tuple(problems),
            )


def mask_health(masks: Tensor, labels: Tensor, classes: int = 10) -> Health:
    """Measure masks `(n, 1, height, width)` by their labels `(n,)`.

    Raises:
        ScmError: If shapes do not fit, or a label is none of the classes.

    Example:
        >>> health = mask_health(torch.ones(2, 1, 8, 8), torch.tensor([0, 0]), classes=1)
        >>> health.problems(Limits())
        {0: 'mean 1.000, expected 0.01 to 0.5; border mean 1.000, expected at most 0.15'}
    """
    if masks.ndim != 4 or masks.shape[1] != 1 or labels.shape != masks.shape[:1]:
        raise ScmError(
            f"masks of shape {tuple(masks.shape)} and labels of shape {tuple(labels.shape)} were "
            "given; expected (n, 1, height, width) and (n,)"
        )
    found = set(labels.tolist())
    if labels.dtype != torch.int64 or not found <= set(range(classes)):
        raise ScmError(
            f"labels are {labels.dtype} and take the values {sorted(found)}; expected int64 "
            f"classes 0 to {classes - 1}: give classes= as many as there are"
        )
    monitor = MaskMonitor(classes)
    monitor.add(masks, labels)
    return monitor.health()


class MaskMonitor:
    """Running health of the masks of a training run: averages that forget.

    Args:
        classes: Number of classes.
        keep: Share of the past that a batch keeps.
    """

    def __init__(self, classes: int, keep: float = 0.9) -> None:
        self.keep = keep
        self.totals = torch.zeros(4, classes, dtype=torch.float64)

    def add(self, masks: Tensor, labels: Tensor) -> None:
        """Take in a batch of masks `(n, 1, height, width)` with labels `(n,)`."""
        with torch.no_grad():
            flat = masks.detach().flatten(1).double().cpu()
            at_border = border(masks, 3).flatten()
            bits = -(torch.xlogy(flat, flat) + torch.xlogy(1 - flat, 1 - flat)).mean(1)
            bits = bits / torch.log(torch.tensor(2.0))
            rows = torch.stack([flat.mean(1), flat[:, at_border].mean(1), bits])
            rows = torch.cat([rows, torch.ones(1, len(flat), dtype=rows.dtype)])
            self.totals *= self.keep
            self.totals.index_add_(1, labels.cpu(), rows)

    def health(self) -> Health:
        """What the batches so far say."""
        mean, at_border, entropy = self.totals[:3] / self.totals[3].where(
            self.totals[3] > 1e-9, torch.nan
        )
        return Health(mean, at_border, entropy)
