"""How a penalty's weight grows during training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scm.errors import ScmError

__all__ = ["Jump", "Ramp", "Weight", "weigh"]


@dataclass(frozen=True)
class Ramp:
    """Linear growth from 0 to ``weight``, `weight * step / steps`.

    Source: CGN, appendix C.4 ("starting from 0, then linearly increasing it").

    Example:
        >>> Ramp(100.0)(250, 1000)
        25.0
    """

    weight: float

    def __call__(self, step: int, steps: int) -> float:
        """Weight at a step of so many."""
        return self.weight * step / steps


@dataclass(frozen=True)
class Jump:
    """No penalty before step ``start``, then ``weight``.

    GenInt's run: `Jump(9e4, start=190)`, in 501 steps.

    Source: GenInt, section 7.A, with the figures of its published run.

    Example:
        >>> jump = Jump(9e4, start=190)
        >>> jump(189, 501), jump(190, 501)
        (0.0, 90000.0)
    """

    weight: float
    start: int

    def __call__(self, step: int, steps: int) -> float:
        """Weight at a step of so many."""
        return self.weight if step >= self.start else 0.0


Weight = float | Ramp | Jump | Callable[[int, int], float]


def weigh(weight: Weight, step: int, steps: int) -> float:
    """Weight at a step: a constant, or a schedule's.

    Raises:
        ScmError: If it is negative.
    """
    found = float(weight(step, steps)) if callable(weight) else float(weight)
    if not found >= 0:
        raise ScmError(f"the weight of a penalty is {found:g} at step {step}; expected 0 or more")
    return found
