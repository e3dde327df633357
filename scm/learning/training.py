"""The one training loop of classifiers: environments x objective x network."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.estimate import Estimate
from scm.learning.checkpoint import digest_of, read_checkpoint, write_checkpoint
from scm.learning.evaluation import accuracy
from scm.learning.objectives import ERM, Moment, Objective
from scm.learning.ranks import Fabric, Ranks
from scm.learning.recipe import Recipe
from scm.learning.sources import Batch, Source
from scm.mechanisms.seeding import seeded
from scm.progress import progress_bar

__all__ = ["Selection", "Trained", "train"]

Selection = Literal["last", "validation", "worst-group", "oracle"]
_MEANING = {
    "last": "the last step",
    "validation": "best on held-out images of the training domain",
    "worst-group": "best on the worst group of held-out images of the training domain",
    "oracle": "best on held-out images of the test domain (oracle)",
}


@dataclass(frozen=True)
class Trained:
    """A trained classifier, and how it came about.

    Attributes:
        network: The classifier, in evaluation mode, with the selected weights.
        objective: The objective with its settings.
        recipe: The settings of the training.
        seed: The seed.
        selection: How the weights were selected.
        step: Steps after which the network had them.
        score: Accuracy on the validation images then; None where the last step was taken. It is
            the largest of several, hence biased upwards.
        history: Mean loss between evaluations.

    Example:
        >>> Trained(nn.Identity(), "ERM()", Recipe(steps=400), 0, "last", 400).note
        'ERM(), seed 0, selected: the last step, 400 of 400'
    """

    network: nn.Module
    objective: str
    recipe: Recipe
    seed: int
    selection: Selection
    step: int
    score: Estimate | None = None
    history: tuple[float, ...] = field(default=(), repr=False)

    @property
    def note(self) -> str:
        """One line on how the weights were selected, to stand beside each figure."""
        score = "" if self.score is None else f", accuracy there {self.score}"
        return (
            f"{self.objective}, seed {self.seed}, selected: {_MEANING[self.selection]}, "
            f"{self.step} of {self.recipe.steps}{score}"
        )


def train(
    network: nn.Module,
    environments: Source | Sequence[Source],
    objective: Objective | None = None,
    *,
    recipe: Recipe | None = None,
    selection: Selection = "last",
    validation: tuple[Tensor, Tensor] | Sequence[tuple[Tensor, Tensor]] | None = None,
    every: int = 100,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = True,
    title: str = "classifier",
    fabric: Fabric | None = None,
) -> Trained:
    """Train a network, in place, by an objective on one or several environments.

    The same seed, data and network give the same weights, bit for bit on a CPU, also when a
    training was interrupted and went on from its checkpoint (the batches of the steps done are
    drawn again, and not used).

    Args:
        network: The classifier, on the device where it is to be trained.
        environments: One source, or several; each gives an equal part of each batch, or as much
            as the recipe says.
        objective: What to minimise; `ERM()` by default.
        recipe: The settings; `Recipe()` by default.
        selection: Which weights to return: "last"; "validation", the best on held-out images of
            the training domain; "worst-group", the best where these are worst; "oracle", the best
            on held-out images of the *test* domain, which nobody has who needs the classifier.
        validation: Images and labels `(n,)` for all but "last", or one such pair an environment or
            group, whose mean accuracy counts, or the lowest of "worst-group". Never the test
            images themselves.
        every: Steps between evaluations and checkpoints.
        seed: Seed of the order of images and of the objective's randomness.
        checkpoint: File to go on from if it is there, and written while training.
        progress: Show a progress bar, on a terminal or in a notebook.
        title: What the progress bar calls it.
        fabric: A launched `lightning_fabric.Fabric`, to train on several devices: each rank calls
            this alike, draws the same batches, and runs the network on its rows. Weights then
            differ from one process's in the rounding of sums alone, and a checkpoint goes on with
            any number of ranks. See `on_devices`.

    Returns:
        The network with the selected weights, and how they were selected.

    Raises:
        ScmError: If the data do not fit together or the network, if validation images are
            missing or not asked for, if the loss stops being finite, or if the checkpoint is
            another training's. On several ranks, if they cannot have equal parts of a batch, do
            not begin alike, or the objective has parameters (`LNTL`), which look inside a network
            that sees a part of the batch there.

    Example:
        >>> from scm.learning import LabelledImages, SmallCNN
        >>> labels = torch.arange(64) % 2
        >>> images = labels.view(-1, 1, 1, 1) * torch.ones(64, 1, 8, 8)
        >>> trained = train(
        ...     SmallCNN(1, classes=2), LabelledImages(images, labels), recipe=Recipe(steps=20)
        ... )
        >>> print(trained.note)
        ERM(), seed 0, selected: the last step, 20 of 20
    """
    objective, recipe = objective or ERM(), recipe or Recipe()
    sources: list[Source] = (
        list(environments) if isinstance(environments, Sequence) else [environments]
    )
    held_out = _held_out(selection, validation)
    if not sources or every < 1:
        raise ScmError(f"{len(sources)} environments and every={every}; expected one or more")
    weights = next(network.parameters(), None)
    if weights is None:
        raise ScmError(f"{type(network).__name__} has no parameters, so there is nothing to train")
    device = weights.device
    sizes = recipe.batches(len(sources))
    ranks = Ranks(fabric)
    ranks.rows(sum(sizes))
    with seeded(seed, device), torch.enable_grad():
        streams = [
            _on(device, source.batches(size, seed + k))
            for k, (source, size) in enumerate(zip(sources, sizes, strict=True))
        ]
        first = [next(stream) for stream in streams]
        objective.start(network, first, seed)
        if ranks.size > 1 and any(True for _ in objective.parameters()):
            raise ScmError(
                f"{objective.name} has parameters of its own, and on {ranks.size} ranks it would "
                "train them on a part of each batch; train with it in one process, without fabric="
            )
        batches = itertools.chain([first], zip(*streams, strict=True))
        identity = {
            "objective": objective.name,
            "recipe": repr(recipe),
            "run": repr((seed, selection, every, len(sources))),
            "data": digest_of(*(part for b in first for part in (b.images, b.labels))),
        }
        worst = selection == "worst-group"
        run = _Run(network, objective.to(device), recipe, seed, identity, held_out, worst, ranks)
        if checkpoint is not None and Path(checkpoint).exists():
            run.resume(checkpoint)
        ranks.agree(network.state_dict(), identity, run.step)
        shown = progress and ranks.rank == 0
        with progress_bar(f"train {title}", recipe.steps, "steps", shown) as advance:
            for _ in range(run.step):
                next(batches)
                advance()
            run.restore_global_generator()
            while run.step < recipe.steps:
                run.take(next(batches), title)
                if run.step % every == 0 or run.step == recipe.steps:
                    run.evaluate()
                    if checkpoint is not None:
                        run.save(checkpoint)
                advance()
    return run.finish(selection)


class _Run:
    """A training on its way: all that a checkpoint keeps."""

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        recipe: Recipe,
        seed: int,
        identity: dict[str, str],
        held_out: Sequence[tuple[Tensor, Tensor]],
        worst: bool,
        ranks: Ranks,
    ) -> None:
        self.network, self.objective, self.recipe, self.seed = network, objective, recipe, seed
        self.identity, self.held_out, self.worst, self.ranks = identity, held_out, worst, ranks
        self.spread = ranks.spread(network)
        parameters = [*network.parameters(), *objective.parameters()]
        self.optimiser, self.schedule = recipe.make(parameters)
        self.generator = torch.Generator()
        self.step, self.losses = 0, list[float]()
        self.history: list[float] = []
        self.best: dict[str, Any] | None = None
        self.global_state: Tensor | None = None
        network.train()

    def take(self, batches: Sequence[Batch], title: str) -> None:
        # A generator of the step's own, so that a resumed run needs no more than its number.
        self.generator.manual_seed((self.seed + 1) * 0x9E3779B97F4A7C15 + self.step & 2**63 - 1)
        moment = Moment(self.step, self.recipe.steps, self.generator)
        loss = self.objective.loss(self.spread, batches, moment)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ScmError(
                f"the {title}'s loss became {value} at step {self.step}; lower "
                f"lr={self.recipe.lr:g}, or check that the images are finite"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.add_gradients(self.network.parameters())
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        self.losses.append(value)

    def evaluate(self) -> None:
        self.history.append(sum(self.losses) / len(self.losses))
        self.losses = []
        if not self.held_out:
            return
        scores = [accuracy(self.network, images, labels) for images, labels in self.held_out]
        if self.worst:
            scores = [min(scores, key=float)]
        value = sum(s.value for s in scores) / len(scores)
        if self.best is None or value > self.best["value"]:
            error = math.hypot(*(s.stderr for s in scores)) / len(scores)
            state = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
            count = sum(s.n or 0 for s in scores)
            self.best = {
                "value": value, "stderr": error, "n": count, "step": self.step, "state": state,
            }  # fmt: skip

    def finish(self, selection: Selection) -> Trained:
        step, score = self.step, None
        if self.best is not None:
            self.network.load_state_dict(self.best["state"])
            step = self.best["step"]
            score = Estimate(self.best["value"], self.best["stderr"], self.best["n"])
        return Trained(
            self.network.eval(), self.objective.name, self.recipe, self.seed, selection, step,
            score, tuple(self.history),
        )  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> None:
        state = {
            "identity": self.identity,
            "step": self.step,
            "history": self.history,
            "best": self.best,
            "network": self.network.state_dict(),
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": torch.get_rng_state(),
        }
        self.ranks.write(partial(write_checkpoint, path, state))

    def resume(self, path: str | os.PathLike[str]) -> None:
        state = read_checkpoint(path, self.identity)
        try:
            self.network.load_state_dict(state["network"])
            self.objective.load_state_dict(state["objective"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError) as error:
            raise ScmError(
                f"the checkpoint {os.fspath(path)} is of another network: {error}; delete it, or "
                "give the path of another"
            ) from error
        self.schedule.load_state_dict(state["schedule"])
        self.step, self.history, self.best = state["step"], state["history"], state["best"]
        self.global_state = state["generator"]

    def restore_global_generator(self) -> None:
        """Go on where dropout was, after a resumed run drew its past batches again."""
        if self.global_state is not None:
            torch.set_rng_state(self.global_state)


def _on(device: torch.device, batches: Iterator[Batch]) -> Iterator[Batch]:
    return (batch.to(device) for batch in batches)


def _held_out(selection: Selection, validation: Any) -> Sequence[tuple[Tensor, Tensor]]:
    if selection not in get_args(Selection):
        raise ScmError(
            f"selection={selection!r} was given; expected 'last', 'validation' (held-out images of "
            "the training domain), 'worst-group' (of its groups) or 'oracle' (of the test domain)"
        )
    if (selection == "last") != (validation is None):
        raise ScmError(
            f"selection={selection!r} was given with{'out' if validation is None else ''} "
            "validation images; give images and labels as validation=, and say whether they are of "
            "the training domain (selection='validation', 'worst-group') or the test domain "
            "('oracle')"
        )
    if validation is None:
        return []
    pairs = [validation] if isinstance(validation[0], Tensor) else list(validation)
    if selection == "worst-group" and len(pairs) < 2:
        raise ScmError(
            "selection='worst-group' was given one pair of validation images and labels; expected "
            "a pair for each group"
        )
    return pairs
