"""Experimenters: whoever says what an image does to the target, `P(T | man(I = i))`.

An experimenter is *any* callable that takes images `(n, *shape)` and gives answers:

- `(n,)` numbers in [0, 1], which are `P(T = 1 | man(I = i))` or single outcomes 0 and 1;
- or `(n, levels)` rows that sum to one, which are `P(T | man(I = i))` or one-hot outcomes.

`Simulator` asks a model, `Ensemble` trained classifiers, `Annotators` (in
`scm.learning.causes.annotators`) people. `Answers` stands between an experimenter and those
who ask: it checks what comes back and forgets nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.estimators.partitions import require_order
from scm.learning.causes.observational_classes import as_levels, check_edges
from scm.learning.evaluation import probabilities
from scm.mechanisms import Categorical
from scm.model import SCM
from scm.worlds.view import View

__all__ = ["Answers", "Ensemble", "Experimenter", "Simulator", "fingerprint"]

Experimenter = Callable[[Tensor], Any]


class Answers:
    """The answers of an experimenter: checked, remembered, and kept in a file if you like.

    Calling it with images gives float64 answers, `(n,)` where T has two levels and
    `(n, levels)` where it has more, on the device of the images. An image that was asked
    before, here or in an earlier run with the same file, is not asked again.

    Args:
        experimenter: Any callable from images `(n, *shape)` to answers, see above.
        levels: Number of levels of T.
        path: File that keeps the answers, one line of JSON for each; None for memory alone.
            A line that was half written when a run was killed is dropped.
        batch: Largest number of images that the experimenter gets at once. Answers are kept
            after each batch.

    Attributes:
        asked: Number of images that this object has put to the experimenter.

    Raises:
        ScmError: If the file is of something else, or, when called, if the experimenter raises
            or its answers are not such; what was answered before is kept.

    Example:
        >>> answers = Answers(lambda images: images.mean((1, 2, 3)))
        >>> images = torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1, 1)
        >>> answers(images), answers.asked
        (tensor([0., 1., 0.], dtype=torch.float64), 2)
    """

    def __init__(
        self,
        experimenter: Experimenter,
        levels: int = 2,
        path: str | Path | None = None,
        batch: int = 1000,
    ) -> None:
        if not callable(experimenter) or levels < 2 or batch < 1:
            raise ScmError(
                f"Answers({experimenter!r:.60}, levels={levels!r}, batch={batch!r}) was given; "
                "expected a function of images, at least 2 levels, and at least 1 image a batch"
            )
        self.experimenter, self.levels, self.batch = experimenter, levels, batch
        self.path = None if path is None else Path(path)
        self.asked = 0
        self._kept: dict[str, list[float]] = {}
        if self.path is not None and self.path.exists():
            self._kept = _read(self.path, levels)

    def __len__(self) -> int:
        """Number of answers kept."""
        return len(self._kept)

    def __call__(self, images: Tensor) -> Tensor:
        """Answers about images `(n, *shape)`."""
        if not isinstance(images, Tensor) or not images.ndim:
            raise ScmError(f"{images!r:.60} was asked about; expected a tensor (n, *shape)")
        keys = [fingerprint(image) for image in images]
        new = {key: row for row, key in reversed(list(enumerate(keys))) if key not in self._kept}
        rows = sorted(new.values())
        for start in range(0, len(rows), self.batch):
            part = rows[start : start + self.batch]
            found = self._ask(images[part], start, len(rows))
            self._keep({keys[row]: values for row, values in zip(part, found, strict=True)})
        table = torch.tensor([self._kept[key] for key in keys], dtype=torch.float64)
        table = table.reshape(len(keys), self.levels).to(images.device)
        return table[:, 1] if self.levels == 2 else table

    def _ask(self, images: Tensor, done: int, total: int) -> list[list[float]]:
        self.asked += len(images)
        try:
            given = self.experimenter(images)
        except ScmError:  # it says itself what to do
            raise
        except Exception as error:
            where = "in memory" if self.path is None else f"in {self.path}"
            raise ScmError(
                f"the experimenter raised {type(error).__name__}: {error}. {done} of {total} new "
                f"images were answered before; all {len(self)} answers are kept ({where}): call "
                "again to go on from there"
            ) from error
        rows: list[list[float]] = _checked(given, len(images), self.levels).tolist()
        return rows

    def _keep(self, found: dict[str, list[float]]) -> None:
        self._kept.update(found)
        if self.path is None:
            return
        new = not self.path.exists()
        with self.path.open("a", encoding="utf-8") as file:
            if new:
                file.write(_header(self.levels).decode() + "\n")
            for key, values in found.items():
                file.write(json.dumps({"image": key, "answer": values}) + "\n")
            file.flush()
            os.fsync(file.fileno())


class Simulator:
    r"""Answers from a model: the share of units with each outcome under `man(I = i)`.

    Each image gets ``trials`` units of its own. They depend on the images asked together and
    on the seed alone, so that the same question has the same answer.

    Args:
        model: A model, or a view of one.
        image: The node I.
        target: The node T.
        trials: Units for each image; with 1 the answers are single outcomes.
        seed: Seed of the units.
        edges: Where to bin a continuous T, see `quantile_edges`; None if T is discrete.

    Raises:
        GraphError: If a node is unknown, or T causes I.
        ScmError: If T is neither discrete nor binned, the edges make no sense, or there is no
            trial.

    Source: Chalupka, Perona and Eberhardt (2015), definition 2 and algorithm 1, step 2.

    Example:
        >>> from scm.datasets import gratings
        >>> row = torch.zeros(2, 1, 10, 10)
        >>> row[1, :, 3] = 1.0
        >>> Simulator(gratings(), trials=20_000)(row)  # 0.35 and 0.65, but for sampling
        tensor([0.35..., 0.64...], dtype=torch.float64)
    """

    def __init__(
        self,
        model: SCM | View,
        image: str = "I",
        target: str = "T",
        trials: int = 1,
        seed: int = 0,
        edges: Sequence[float] | Tensor | None = None,
    ) -> None:
        graph = model.program.graph
        require_order(graph, image, target)
        kind = model.program.mechanisms[target].type
        if trials < 1 or (not isinstance(kind, Categorical) and edges is None):
            raise ScmError(
                f"Simulator(target={target!r}, trials={trials!r}) was given, and {target} is "
                f"{kind}; expected at least 1 trial, and edges=(...) for a continuous target"
            )
        self.model, self.image, self.target = model, image, target
        self.trials, self.seed = trials, seed
        self.edges = None if edges is None else check_edges(edges)
        size = kind.size if isinstance(kind, Categorical) else 2
        self.levels = size if self.edges is None else len(self.edges) + 1
        self._micro = bool(graph.macros(image))

    def __call__(self, images: Tensor) -> Tensor:
        """Shares of the outcomes among the units of images `(n, *shape)`."""
        parts = [self._part(part) for part in images.split(max(1, _ROWS // self.trials))]
        shares = torch.cat(parts) if parts else torch.zeros(0, self.levels, dtype=torch.float64)
        return shares[:, 1] if self.levels == 2 else shares

    def _part(self, images: Tensor) -> Tensor:
        seed = int(fingerprint(images, str(self.seed)), 16) >> 65  # 63 bits
        wanted = {self.image: images.repeat_interleave(self.trials, 0)}
        # A node without macro-variables is manipulated by do, which is then the same.
        acted = self.model.man(wanted) if self._micro else self.model.do(wanted)
        outcome = acted.sample(len(images) * self.trials, seed)[self.target]
        if self.edges is not None:
            outcome = as_levels(outcome, self.edges)
        onehot = nn.functional.one_hot(outcome.long(), self.levels).double()
        return onehot.view(len(images), self.trials, self.levels).mean(1)


class Ensemble:
    """Answers of trained classifiers: the mean of their probabilities.

    Args:
        models: A network that gives logits `(n, classes)`, or several.
        target: Class whose probability alone is the answer; None for the probability of
            each class.

    Raises:
        ScmError: If there is no model; when called, if the outputs are no logits of two classes
            or more.

    Example:
        >>> from scm.learning import SmallCNN
        >>> nets = [SmallCNN(1, seed=seed) for seed in range(3)]
        >>> Ensemble(nets, target=7)(torch.zeros(4, 1, 8, 8)).shape
        torch.Size([4])
    """

    def __init__(self, models: nn.Module | Iterable[nn.Module], target: int | None = None) -> None:
        self.models = [models] if isinstance(models, nn.Module) else list(models)
        self.target = target
        if not self.models:
            raise ScmError("Ensemble() was given no classifier; expected one, or several")

    def __call__(self, images: Tensor) -> Tensor:
        """Mean probabilities of images `(n, *shape)`."""
        mean = torch.stack([probabilities(model, images) for model in self.models]).mean(0)
        if mean.ndim != 2 or mean.shape[1] < 2:
            raise ScmError(
                f"the classifiers gave outputs of shape {tuple(mean.shape)}; expected logits (n, "
                "classes) of at least 2 classes"
            )
        if self.target is None:
            return mean
        if not 0 <= self.target < mean.shape[1]:
            raise ScmError(
                f"class {self.target} was asked for; the classifiers know 0 to {mean.shape[1] - 1}"
            )
        return mean[:, self.target]


def fingerprint(image: Tensor, salt: str = "") -> str:
    """What an image is remembered by: a hash of its shape and of its pixels as float32."""
    pixels = image.detach().to("cpu", torch.float32).contiguous() + 0.0  # -0.0 is 0.0
    digest = hashlib.blake2b(f"{tuple(image.shape)}{salt}".encode(), digest_size=16)
    digest.update(pixels.numpy().tobytes())
    return digest.hexdigest()


_ROWS = 20_000  # units of a simulation held at once


def _checked(given: Any, n: int, levels: int) -> Tensor:
    """Answers as rows `(n, levels)` of float64 that sum to one."""
    try:
        answers = torch.as_tensor(given).detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ScmError(
            f"the experimenter gave {given!r:.80}; expected numbers, one an image"
        ) from error
    binary = levels == 2 and answers.shape == (n,)
    if not binary and answers.shape != (n, levels):
        also = f"({n},) or " if levels == 2 else ""
        raise ScmError(
            f"the experimenter gave answers of shape {tuple(answers.shape)} for {n} images; "
            f"expected {also}({n}, {levels})"
        )
    wrong = ~((answers >= 0) & (answers <= 1))
    if wrong.any():
        raise ScmError(
            f"the experimenter gave {answers[wrong][0]:g} among its answers ({int(wrong.sum())} of "
            f"{answers.numel()} are no probabilities); expected numbers in [0, 1]: outcomes 0 and "
            "1, or P(T | man(I = i))"
        )
    if binary:
        return torch.stack([1 - answers, answers], 1)
    off = (answers.sum(1) - 1).abs()
    if n and off.max() > 1e-4:
        worst = int(off.argmax())
        raise ScmError(
            f"the experimenter's answer to image {worst} sums to {answers[worst].sum():.6g}; "
            "expected rows of probabilities that sum to 1"
        )
    return answers / answers.sum(1, keepdim=True)


def _read(path: Path, levels: int) -> dict[str, list[float]]:
    """Answers of a file, whose last line is cut off if it was half written."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    kept: dict[str, list[float]] = {}
    try:
        if not whole and not _header(levels).startswith(content):
            raise ValueError("there is no whole line")
        lines = whole.split(b"\n")[:-1] or [_header(levels)]
        header = json.loads(lines[0])["answers"]
        for line in lines[1:]:
            entry = json.loads(line)
            values = [float(value) for value in entry["answer"]]
            if not isinstance(entry["image"], str) or not all(0 <= v <= 1 for v in values):
                raise ValueError("expected an image's name, and probabilities")
            kept[entry["image"]] = values
    except (ArithmeticError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ScmError(
            f"line {len(kept) + 1} or {len(kept) + 2} of {path} is no answer ({error}); the file "
            "was altered, or is not one that Answers wrote: name another"
        ) from error
    if header != levels or any(len(values) != levels for values in kept.values()):
        raise ScmError(
            f"{path} holds answers over {header} levels, and levels={levels} were asked for; name "
            "another file"
        )
    if not whole:
        path.unlink()
    elif whole != content:
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return kept


def _header(levels: int) -> bytes:
    return json.dumps({"answers": levels}).encode()
