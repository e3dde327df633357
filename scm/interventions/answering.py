"""What an oracle says of manipulated images, as causal classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from scm.errors import ScmError
from scm.learning.causes.experimenters import Answers

__all__ = ["NONE", "Oracle", "ask_classes"]

Oracle = Callable[[Tensor], Any]
"""From images `(n, *shape)` to their causal classes, see `ask_classes`."""

NONE = -1
"""The code of an image that is in none of the classes."""

_UNKNOWN = ("?", None)


def ask_classes(
    oracle: Oracle, classes: Sequence[Any], path: str | Path | None = None
) -> Callable[[Tensor], Tensor]:
    """The oracle as a function from images to codes `(n,)`, checked and remembered.

    An answer to an image is one of

    - a code, 0, 1, ..., or -1 for none of the classes;
    - a number that is not whole, where the classes are numbers or two: the class nearest to it,
      so that an experimenter's `P(T = 1 | man(I = i))` may be given as it is;
    - a name among the classes, or "?" for none of them;
    - a row of probabilities of the classes: the largest.

    Args:
        oracle: Whoever answers.
        classes: Names of the classes, or the numbers that they stand for.
        path: File that keeps the answers.

    Raises:
        ScmError: If the oracle is no function, or, when asked, if its answers are others, or of
            another number than the images; what was answered before is kept.

    Example:
        >>> ask = ask_classes(lambda images: ["cat", "?", "dog"], classes=("dog", "cat"))
        >>> ask(torch.arange(3.0).view(3, 1, 1, 1))
        tensor([ 1, -1,  0])
    """
    if not callable(oracle):
        raise ScmError(f"the oracle {oracle!r:.60} was given; expected a function of images")
    count = len(classes)

    def one_hot(images: Tensor) -> Tensor:
        codes = _codes(oracle(images), len(images), classes)
        return F.one_hot(torch.where(codes == NONE, count, codes), count + 1).double()

    answers = Answers(one_hot, levels=count + 1, path=path)

    def ask(images: Tensor) -> Tensor:
        codes = answers(images).argmax(-1)
        return torch.where(codes == count, NONE, codes)

    return ask


def _codes(given: Any, n: int, classes: Sequence[Any]) -> Tensor:
    if not isinstance(given, Tensor):
        given = list(given)
        if any(isinstance(answer, str) or answer is None for answer in given):
            return _named(given, n, classes)
    try:
        answers = torch.as_tensor(given).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ScmError(f"the answers are {given!r:.80}; expected one class an image") from error
    if answers.shape == (n, len(classes)) and answers.is_floating_point():
        if not ((answers >= 0) & (answers <= 1)).all():
            raise ScmError("the answers are rows that are no probabilities of the classes")
        return answers.argmax(-1)
    if answers.shape != (n,):
        raise ScmError(
            f"the answers have the shape {tuple(answers.shape)} for {n} images; expected ({n},) "
            f"classes, or ({n}, {len(classes)}) probabilities"
        )
    if answers.is_floating_point():
        return _nearest(answers.double(), classes)
    codes = answers.long()
    wrong = (codes < NONE) | (codes >= len(classes))
    if wrong.any():
        raise ScmError(
            f"the answer {int(codes[wrong][0])} is no class; expected 0 to {len(classes) - 1}, or "
            "-1 for none of them"
        )
    return codes


def _nearest(answers: Tensor, classes: Sequence[Any]) -> Tensor:
    """The class whose number is nearest; answers must lie within their range, or be -1."""
    numeric = all(isinstance(c, (int, float)) for c in classes)
    numbers = torch.tensor(classes if numeric else range(len(classes)), dtype=torch.float64)
    whole = bool((numbers == numbers.round()).all())
    low, high = float(numbers.min()), float(numbers.max())
    if not whole or len(classes) == 2:
        low, high = min(0.0, low), max(1.0, high)
    none = answers == NONE
    wrong = ~(((answers >= low) & (answers <= high)) | none)
    if whole and len(classes) > 2:
        wrong |= answers != answers.round()
    if wrong.any():
        raise ScmError(
            f"the answer {answers[wrong][0]:g} is no class; expected numbers from {low:g} to "
            f"{high:g} near one of {numbers.tolist()}, or -1 for none of them"
        )
    return torch.where(none, NONE, (answers[:, None] - numbers).abs().argmin(-1))


def _named(given: list[Any], n: int, classes: Sequence[Any]) -> Tensor:
    code = {str(name): k for k, name in enumerate(classes)} | dict.fromkeys(_UNKNOWN, NONE)
    keys = [answer if answer is None else str(answer) for answer in given]
    unknown = [key for key in keys if key not in code]
    if unknown or len(keys) != n:
        raise ScmError(
            f"{len(keys)} answers were given for {n} images"
            + (f", among them {unknown[0]!r}" if unknown else "")
            + f"; expected one of {[str(c) for c in classes]} for each, or '?'"
        )
    return torch.tensor([code[key] for key in keys])
