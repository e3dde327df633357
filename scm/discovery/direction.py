r"""The honest default: which way an arrow goes, or that it cannot be told."""

from __future__ import annotations

from typing import Any

from scm.discovery.attributes import Attribute
from scm.discovery.audit import audit
from scm.discovery.verdicts import Direction
from scm.mechanisms.latent import LatentGenerator

__all__ = ["direction"]


def direction(
    generator: LatentGenerator, cause: Attribute, effect: Attribute, **options: Any
) -> Direction:
    """Ask which of two attributes the generator has learnt to be the cause: `audit` of one pair.

    Args:
        generator: The generator.
        cause: One attribute, c.
        effect: The other, e.
        **options: Those of `audit`.

    Returns:
        A verdict, "c->e", "e->c", "both respond (direction not identified)", "none" or "abstain",
        with what it rests on.

    Raises:
        ScmError: As `audit`.

    Source: the project's PAPERS.md, "CAGE, calibrated".

    Example:
        >>> import torch
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(torch.nn.Identity(), 2, Real((2,)))
        >>> a = Attribute.from_measure("a", lambda x: x[:, 0])
        >>> b = Attribute.from_measure("b", lambda x: x[:, 1])
        >>> direction(generator, a, b, progress=False, diagnosis=False).verdict
        'none'
    """
    return audit(generator, [cause, effect], **options)[cause.name, effect.name]
