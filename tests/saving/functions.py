"""Functions and classes that saved models name by import path."""

from __future__ import annotations

from os import system  # a name that is not this module's own  # noqa: F401
from typing import Any

import torch
from torch import Tensor, nn

from scm.mechanisms import Mechanism, Noise, Real


def double(A: Tensor) -> Tensor:
    return 2 * A


def plus_noise(A: Tensor, noise: Tensor) -> Tensor:
    return A + noise


def minus_parent(A: Tensor, value: Tensor) -> Tensor:
    return value - A


def total(A: Tensor) -> Tensor:
    return A.mean(-1)


def set_total(micro: Tensor, wanted: Tensor) -> Tensor:
    return micro - micro.mean(-1, keepdim=True) + wanted


@torch.no_grad()
def decorated(A: Tensor) -> Tensor:
    return A + 1


class Tools:
    @staticmethod
    def triple(A: Tensor) -> Tensor:
        return 3 * A


def make(k: float) -> Any:
    def inner(A: Tensor) -> Tensor:
        return k * A

    return inner


made = make(2.0)


class Net(nn.Module):
    """A module of a person's own."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(1, width)
        self.register_buffer("shift", torch.ones(()), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        return self.layer(rows).sum(-1, keepdim=True) + self.shift


class Scaled(Mechanism):
    """A mechanism of a person's own."""

    noise = Noise("normal")
    abduction = "exact"
    broadcasts = True

    def __init__(self, scale: float, offset: Tensor, options: dict[Any, Any] | None = None) -> None:
        super().__init__()
        self.scale, self.offset, self.options = scale, offset, options
        self.type = Real()
        self.weight = nn.Parameter(torch.tensor(scale))

    def forward(self, parents: Any, noise: Tensor | None) -> Tensor:
        return sum(parents.values()) * self.weight + self.offset + noise

    def abduct(self, value: Tensor, parents: Any, fresh: Tensor) -> Tensor:
        return value - sum(parents.values()) * self.weight - self.offset

    def config(self) -> dict[str, Any]:
        return {"scale": self.scale, "offset": self.offset, "options": self.options}


class Forgetful(Scaled):
    """Its config() does not make it again."""

    def config(self) -> dict[str, Any]:
        return {"scale": self.scale}


class Wordless(Scaled):
    """It has no config()."""

    def config(self) -> dict[str, Any]:
        return Mechanism.config(self)
