"""The rounds of algorithm 2: what was asked, what was measured, and how it is kept."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scm.errors import ScmError
from scm.estimate import Estimate
from scm.interventions.answering import NONE
from scm.interventions.nearest_image import Manipulated
from scm.learning.checkpoint import read_checkpoint, write_checkpoint

__all__ = ["Round", "Rounds", "seed_of"]

_FILE = "rounds.pt"


@dataclass(frozen=True)
class Round:
    """One round of algorithm 2, measured before its answers were learned from.

    Attributes:
        error: Share of manipulations that did not get the class that was wanted; those that
            were not found are among them. Equation 2, where it counts classes alike.
        distance: Mean distance of the manipulations that were found; NaN where none was.
            Equation 3.
        kept: Share of those that left S as it was; None where no S was given.
        unreached: Number of images for which no manipulation was found.

    Example:
        >>> Round(Estimate(0.06, 0.02, 100), Estimate(3.1, 0.2, 98), kept=None, unreached=2).queries
        100
    """

    error: Estimate
    distance: Estimate
    kept: Estimate | None
    unreached: int

    @property
    def queries(self) -> int:
        """Number of images."""
        return self.error.n or 0


class Rounds:
    """The causal data of a manipulator, which grow by the answers of each round.

    Args:
        images: Images `(n, *shape)` to begin with.
        causes: Their classes `(n,)`.
        count: Number of classes.
        folder: Where rounds are kept after each; None for nowhere.
        identity: What the manipulator is; a folder of another one is refused.

    Attributes:
        history: What was measured.

    Raises:
        ScmError: If the folder holds another manipulator's rounds.
    """

    def __init__(
        self,
        images: Tensor,
        causes: Tensor,
        count: int,
        folder: Path | None,
        identity: Mapping[str, str],
    ) -> None:
        self.count, self.identity = count, dict(identity)
        self.images, self.causes, self._first = images, causes.to(images.device), len(images)
        self.history: list[Round] = []
        self._file = None if folder is None else folder / _FILE
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ScmError(f"{folder} cannot be a folder ({error}); give another path") from error
        if self._file.exists():
            self._read(read_checkpoint(self._file, self.identity))

    def __len__(self) -> int:
        """Number of rounds done."""
        return len(self.history)

    @property
    def asked(self) -> Tensor:
        """Images that were asked about, `(m, *shape)`."""
        return self.images[self._first :]

    @property
    def answers(self) -> Tensor:
        """Their classes `(m,)`, -1 for none."""
        return self.causes[self._first :]

    def training_set(self, weight: int) -> tuple[Tensor, Tensor]:
        """Images and labels, answered images repeated ``weight`` times.

        An image in none of the classes stands there with each of them in turn, so that no
        class becomes probable.
        """
        known, none = self.answers != NONE, self.answers == NONE
        asked, answers = self.asked[known], self.answers[known]
        labels = torch.arange(self.count, device=self.causes.device)
        blank = self.asked[none].repeat_interleave(self.count, 0)
        images = [self.images[: self._first]] + [asked] * weight
        causes = [self.causes[: self._first]] + [answers] * weight
        copies = -(-weight // self.count)
        return (
            torch.cat([*images, *[blank] * copies]),
            torch.cat([*causes, *[labels.repeat(int(none.sum()))] * copies]),
        )

    def draw(self, queries: int, seed: int) -> tuple[Tensor, Tensor]:
        """Starting images at random from the causal data, and targets that differ from theirs."""
        generator = torch.Generator().manual_seed(seed)
        there = (self.causes != NONE).nonzero().squeeze(-1)
        at = torch.randint(len(there), (queries,), generator=generator).to(there.device)
        rows = there[at]
        shift = torch.randint(1, self.count, (queries,), generator=generator).to(rows.device)
        return self.images[rows], (self.causes[rows] + shift) % self.count

    def add(self, found: Manipulated, targets: Tensor, answers: Tensor) -> Round:
        """Measure a round, add what was answered, and keep it.

        Args:
            found: The manipulations `(n, ...)`.
            targets: What they were meant to be `(n,)`.
            answers: Answers `(m,)` about those that were found.
        """
        wanted, reached = targets[found.reached], found.reached
        hits = int((answers == wanted).sum())
        m = len(answers)
        kept = None
        if found.kept is not None and m:
            kept = Estimate.proportion(int(found.kept[reached].sum()), m)
        distance = found.distance[reached].double()
        lone = Estimate(float(distance.mean()), math.nan, m or len(targets))
        measured = Round(
            Estimate.proportion(len(targets) - hits, len(targets)),
            Estimate.mean(distance) if m > 1 else lone,
            kept,
            len(targets) - m,
        )
        self.images = torch.cat([self.images, found.images[reached]])
        self.causes = torch.cat([self.causes, answers])
        self.history.append(measured)
        if self._file is not None:
            write_checkpoint(self._file, self._state())
        return measured

    def _state(self) -> dict[str, Any]:
        return {
            "identity": self.identity,
            "images": self.asked.cpu().clone(),
            "answers": self.answers.cpu().clone(),
            "history": [
                {
                    "error": _numbers(done.error),
                    "distance": _numbers(done.distance),
                    "kept": None if done.kept is None else _numbers(done.kept),
                    "unreached": done.unreached,
                }
                for done in self.history
            ],
        }

    def _read(self, state: Mapping[str, Any]) -> None:
        self.images = torch.cat([self.images, state["images"].to(self.images)])
        self.causes = torch.cat([self.causes, state["answers"].to(self.causes)])
        for done in state["history"]:
            kept = None if done["kept"] is None else Estimate(*done["kept"])
            error, distance = Estimate(*done["error"]), Estimate(*done["distance"])
            self.history.append(Round(error, distance, kept, done["unreached"]))


def seed_of(*numbers: int) -> int:
    """A seed of 63 bits from several numbers, unlike for unlike numbers."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _numbers(estimate: Estimate) -> list[Any]:
    return [estimate.value, estimate.stderr, estimate.n]
