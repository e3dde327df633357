"""Annotators: people as experimenters, by way of pictures and a table to be filled in."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from scm.errors import ScmError, nearest
from scm.figures import new_figure
from scm.learning.causes.experimenters import fingerprint

__all__ = ["Annotators"]

_COLUMNS = ["image", "annotator", "answer"]
_UNKNOWN = "?"
_SIDE = 5  # images a row, and rows a sheet


class Annotators:
    """People who say what each image shows; 1 where the majority says the target label.

    Asked about images that lack answers, it writes `sheet-001.png`, ... (five rows of five
    images, each under its name) and the table `answers.csv` (image, annotator, answer) into
    the folder, with an empty row for each answer that is missing, and raises an error that
    says so. Fill in the table, by hand or from what people sent, and call again. Answers that
    are there stay. Any table with those three columns will do, whoever wrote it.

    An image gets 1 if more than half of its answers are the target, 0 if more than half are
    another label, and ``undecided`` otherwise: a tie, or too many '?'.

    Args:
        folder: Where the pictures and the table are; made if missing.
        target: Label that counts as T = 1.
        labels: All labels that may be answered, besides '?' for "cannot be recognised".
        people: Answers that each image needs, from different people.
        undecided: Answer where neither has a majority; 0 counts it as "not the target".

    Raises:
        ScmError: If an argument, or a row of the table, makes no sense; when called, if
            answers are missing, with what to do.

    Source: Chalupka, Perona and Eberhardt (2015), supplement E.

    Example:
        >>> import tempfile
        >>> people = Annotators(tempfile.mkdtemp(), target="7", labels="0123456789")
        >>> people.people, people.undecided
        (5, 0.0)
    """

    def __init__(
        self,
        folder: str | Path,
        target: str,
        labels: Sequence[str],
        people: int = 5,
        undecided: float = 0.0,
    ) -> None:
        self.folder, self.target = Path(folder), str(target)
        self.labels = [str(label) for label in labels]
        self.people, self.undecided = people, undecided
        if self.target not in self.labels:
            raise ScmError(f"target={target!r} is no label; {nearest(target, self.labels)}")
        if people < 1 or not 0 <= undecided <= 1:
            raise ScmError(
                f"Annotators(people={people!r}, undecided={undecided!r}) was given; expected at "
                "least one answer an image, and a number in [0, 1]"
            )

    @property
    def table(self) -> Path:
        """The table to be filled in."""
        return self.folder / "answers.csv"

    def __call__(self, images: Tensor) -> Tensor:
        """What the majority says of images `(n, channels, height, width)`: `(n,)`."""
        names = [fingerprint(image)[:12] for image in images]
        votes = self._votes()
        given = {name: [v for v in votes.get(name, {}).values() if v] for name in names}
        lacking = {
            name: row
            for row, name in reversed(list(enumerate(names)))
            if len(given[name]) < self.people
        }
        if lacking:
            rows = sorted(lacking.values())
            self._ask([names[row] for row in rows], images[rows], votes)
            missing = sum(self.people - len(given[name]) for name in lacking)
            raise ScmError(
                f"{missing} answers about {len(lacking)} of {len(given)} images are missing: look "
                f"at the pictures sheet-*.png in {self.folder}, fill in the column 'answer' of "
                f"{self.table} (one of {', '.join(self.labels)}, or {_UNKNOWN}), and call again"
            )
        majority = [self._majority(given[name]) for name in names]
        return torch.tensor(majority, dtype=torch.float64, device=images.device)

    def _majority(self, answers: list[str]) -> float:
        yes = answers.count(self.target)
        no = len(answers) - yes - answers.count(_UNKNOWN)
        half = len(answers) / 2
        return 1.0 if yes > half else 0.0 if no > half else self.undecided

    def _votes(self) -> dict[str, dict[str, str]]:
        """Answers, empty ones too, by image and annotator."""
        votes: dict[str, dict[str, str]] = {}
        if not self.table.exists():
            return votes
        with self.table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lacking = [c for c in _COLUMNS if c not in (reader.fieldnames or [])]
            if lacking:
                raise ScmError(f"{self.table} has columns {reader.fieldnames}; expected {_COLUMNS}")
            for number, row in enumerate(reader, 2):
                image, person, answer = ((row[c] or "").strip() for c in _COLUMNS)
                if answer and answer not in self.labels and answer != _UNKNOWN:
                    raise ScmError(
                        f"line {number} of {self.table} answers {answer!r}; expected "
                        f"{_UNKNOWN!r} or a label; {nearest(answer, self.labels)}"
                    )
                before = votes.setdefault(image, {}).get(person, "")
                if before and answer and before != answer:
                    raise ScmError(
                        f"line {number} of {self.table} answers {answer!r}, but annotator "
                        f"{person!r} answered {before!r} about {image} before; keep one of them, "
                        "or name the annotators apart"
                    )
                votes[image][person] = answer or before
        return votes

    def _ask(self, names: list[str], images: Tensor, votes: dict[str, dict[str, str]]) -> None:
        """Draw the images and give each a row in the table for each answer that it lacks."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            people = votes.setdefault(name, {})
            free = (str(k) for k in range(1, 2 * self.people + len(people)) if str(k) not in people)
            while len(people) < self.people:
                people[next(free)] = ""
        part = self.table.with_suffix(".part")
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            writer.writerows([i, p, a] for i, people in votes.items() for p, a in people.items())
        os.replace(part, self.table)
        self._draw(names, images)

    def _draw(self, names: list[str], images: Tensor) -> None:
        for old in self.folder.glob("sheet-[0-9][0-9][0-9].png"):
            old.unlink()
        pixels = images.detach().float().cpu().clamp(0, 1)
        for sheet in range(math.ceil(len(names) / _SIDE**2)):
            figure = new_figure(8, 8.8)
            figure.set_facecolor("0.7")  # neither black nor white
            axes = figure.subplots(_SIDE, _SIDE).flatten()
            figure.subplots_adjust(0.01, 0.01, 0.99, 0.96, 0.05, 0.2)
            for k, axis in enumerate(axes, sheet * _SIDE**2):
                axis.axis("off")
                if k < len(names):
                    shown = pixels[k].permute(1, 2, 0)
                    axis.imshow(shown.numpy(), cmap="gray", vmin=0, vmax=1)
                    axis.set_title(names[k], fontsize=8, family="monospace")
            figure.savefig(self.folder / f"sheet-{sheet + 1:03}.png", dpi=110)
