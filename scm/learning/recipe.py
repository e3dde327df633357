"""How a classifier is trained: optimiser, learning rate, batch, number of steps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR

from scm.errors import ScmError

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """Settings of a training.

    Attributes:
        steps: Number of steps.
        batch: Images per step, of all environments together, in equal parts; or of each
            environment, such as (256, 64, 256).
        lr: Learning rate; the peak of a one-cycle schedule.
        optimiser: "adam", "adadelta" or "sgd".
        schedule: "one-cycle", or "steps" for a constant rate that is multiplied by ``factor``
            at each of the ``milestones``.
        milestones: Steps at which the rate changes.
        factor: What it is multiplied by.
        momentum: Momentum of SGD.
        weight_decay: Weight of the squared norm of the parameters.

    Raises:
        ScmError: If a setting is out of its range.

    Example:
        >>> Recipe.adadelta(50_000).steps
        7820
    """

    steps: int = 1_000
    batch: int | tuple[int, ...] = 128
    lr: float = 2e-3
    optimiser: Literal["adam", "adadelta", "sgd"] = "adam"
    schedule: Literal["one-cycle", "steps"] = "one-cycle"
    milestones: tuple[int, ...] = ()
    factor: float = 1.0
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        parts = self.batch if isinstance(self.batch, tuple) else (self.batch,)
        if self.steps < 1 or not parts or min(parts) < 1 or not self.lr > 0:
            raise ScmError(
                f"steps={self.steps}, batch={self.batch}, lr={self.lr} were given; expected at "
                "least one step of at least one image, and a positive learning rate"
            )
        if self.optimiser not in ("adam", "adadelta", "sgd"):
            raise ScmError(f"optimiser={self.optimiser!r}; expected 'adam', 'adadelta' or 'sgd'")
        if self.schedule not in ("one-cycle", "steps"):
            raise ScmError(f"schedule={self.schedule!r}; expected 'one-cycle' or 'steps'")

    @classmethod
    def adadelta(cls, n: int, epochs: int = 10, batch: int = 64) -> Recipe:
        """Adadelta at rate 1, times 0.7 after each epoch of n images: the CGN paper's on MNIST.

        Source: CGN's published classifier (appendix C.4 gives no optimiser).
        """
        epoch = math.ceil(n / batch)
        return cls(
            steps=epochs * epoch,
            batch=batch,
            lr=1.0,
            optimiser="adadelta",
            schedule="steps",
            milestones=tuple(range(epoch, epochs * epoch, epoch)),
            factor=0.7,
        )

    @classmethod
    def imagenet(
        cls,
        n: int,
        epochs: int = 70,
        batch: int | tuple[int, ...] = 512,
        lr: float = 0.1,
        factor: float = 1e-3,
    ) -> Recipe:
        """SGD at 0.1, momentum 0.9, weight decay 1e-4, the rate times a factor after 30, 60 epochs.

        An epoch is n images of the first environment. CGN has a factor of 0.001, its published
        code 45 epochs at 1e-3; GenInt 90 epochs, batches of 256 and a factor of 0.1.

        Source: CGN, appendix C.4; GenInt, section 5.3.
        """
        epoch = math.ceil(n / (batch if isinstance(batch, int) else batch[0]))
        return cls(
            steps=epochs * epoch,
            batch=batch,
            lr=lr,
            optimiser="sgd",
            schedule="steps",
            milestones=tuple(e * epoch for e in (30, 60) if e < epochs),
            factor=factor,
            momentum=0.9,
            weight_decay=1e-4,
        )

    def batches(self, environments: int) -> tuple[int, ...]:
        """Images per step of each of so many environments.

        Raises:
            ScmError: If the batch is too small, or has parts for another number of environments.

        Example:
            >>> Recipe(batch=128).batches(2), Recipe(batch=(256, 64)).batches(2)
            ((64, 64), (256, 64))
        """
        if isinstance(self.batch, int):
            each = (self.batch // environments,) * environments
        else:
            each = self.batch
        if len(each) != environments or min(each) < 1:
            raise ScmError(
                f"a batch of {self.batch} images cannot hold {environments} environments; enlarge "
                "Recipe(batch=...), or give the part of each, such as batch=(256, 64)"
            )
        return each

    def make(self, parameters: Iterable[nn.Parameter]) -> tuple[torch.optim.Optimizer, LRScheduler]:
        """Make the optimiser of some parameters, and the schedule of its learning rate."""
        trainable = [p for p in parameters if p.requires_grad]
        decay = self.weight_decay
        optimiser: torch.optim.Optimizer
        if self.optimiser == "adam":
            optimiser = torch.optim.Adam(trainable, self.lr, weight_decay=decay, fused=True)
        elif self.optimiser == "adadelta":
            optimiser = torch.optim.Adadelta(trainable, self.lr, weight_decay=decay)
        else:
            optimiser = torch.optim.SGD(trainable, self.lr, self.momentum, weight_decay=decay)
        if self.schedule == "one-cycle":
            return optimiser, OneCycleLR(optimiser, self.lr, total_steps=self.steps + 1)
        return optimiser, MultiStepLR(optimiser, list(self.milestones), self.factor)
