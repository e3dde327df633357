"""The manipulator: images as near as possible to given ones, with another causal effect."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn

from scm.errors import ScmError, nearest
from scm.interventions.answering import Oracle, ask_classes
from scm.interventions.checks import check_functions, check_images, check_options, class_names
from scm.interventions.metrics import Metric, metric_of
from scm.interventions.nearest_image import Manipulated, Objective, Values, nearest_images
from scm.interventions.rounds import Round, Rounds, seed_of
from scm.interventions.visual_cause import VisualCause
from scm.learning import Augmented, LabelledImages, PixelNoise, Recipe, train
from scm.learning.causes.experimenters import fingerprint
from scm.mechanisms import Categorical
from scm.mechanisms.seeding import seeded
from scm.mechanisms.types import NodeType
from scm.progress import progress_bar

__all__ = ["Manipulator", "Network"]

Network = Callable[[int], nn.Module]
"""Makes an untrained network from a seed: logits `(n, classes)` of images `(n, *shape)`."""

_ANSWERS = "answers.jsonl"


class Manipulator:
    """The manipulator function `M(i, c) = argmin over j with C(j) = c of d(i, j)`.

    Made by `Manipulator.fit`. Calling it manipulates images; `macro` binds it to a graph, so that
    `model.do(C=c)` manipulates images.

    Attributes:
        objective: What it minimises; `objective.networks` read C.
        classes: Names of the causal classes, in the order of their codes.
        values: "grey" or "binary".
        shape: Shape of an image.
        history: What was measured in each round.
        images: Images that were asked about, `(m, *shape)`, in order.
        answers: Their classes by the oracle, `(m,)`; -1 for none.

    Source: Chalupka, Perona and Eberhardt (2015), definition 9 and algorithm 2.

    Example:
        >>> from scm.datasets import gratings, has_row
        >>> images = gratings(4, noise=0.0).sample(400, seed=0)["I"]
        >>> manipulator = Manipulator.fit(
        ...     images, has_row(images).long(), has_row, values="binary", rounds=0, ensemble=1
        ... )
        >>> made = manipulator(images[:5], 1)  # the nearest images that have a row
        >>> bool(has_row(made.images).all())
        True
    """

    def __init__(
        self,
        objective: Objective,
        classes: Sequence[Any],
        shape: Sequence[int],
        values: Values = "grey",
        history: Sequence[Round] = (),
        images: Tensor | None = None,
        answers: Tensor | None = None,
    ) -> None:
        self.objective, self.classes, self.values = objective, tuple(classes), values
        self.shape, self.history = tuple(shape), tuple(history)
        self.images = torch.zeros(0, *self.shape) if images is None else images
        self.answers = torch.zeros(0, dtype=torch.int64) if answers is None else answers

    @classmethod
    def fit(
        cls,
        images: Tensor,
        causes: Tensor,
        oracle: Oracle,
        *,
        classes: Sequence[Any] | None = None,
        network: Network | None = None,
        ensemble: int = 2,
        metric: str | Metric = "l2",
        alpha: float = 0.5,
        confidence: float = 0.9,
        rounds: int = 20,
        queries: int = 100,
        values: Values = "grey",
        keep: Callable[[Tensor], Tensor] | None = None,
        keep_weight: float = 1.0,
        stop: tuple[float | None, float | None] | None = None,
        steps: int = 400,
        batch: int = 256,
        lr: float = 5e-3,
        noise: float = 0.6,
        query_weight: int = 10,
        seed: int = 0,
        progress: bool = True,
        path: str | Path | None = None,
    ) -> Manipulator:
        """Learn a manipulator by algorithm 2: train, manipulate, ask, and learn from the answers.

        Each round trains the networks from scratch, on the causal data and all answers; takes
        starting images at random from both, and a target for each that is not its class;
        manipulates all of them at once; and asks the oracle. After the last round the networks
        are trained once more.

        Args:
            images: Images `(n, channels, height, width)` in [0, 1].
            causes: Their causal classes, codes `(n,)`.
            oracle: Any callable from images to causal classes; see `ask_classes`. It is asked
                about a round at once: of one that may break off within a round, `Answers` keeps
                what it said before, `Answers(oracle, batch=1, path="people.jsonl")`.
            classes: Names of the classes, or the numbers `P(T | man(I))` that they stand for, in
                the order of their codes; 0, 1, ... by default.
            network: Makes a network from a seed; one hidden layer of 100 units by default.
            ensemble: Number of networks, whose mean probability reads C.
            metric: "l1", "l2", or a distance of images.
            alpha: Weight of the distance, between 0 and 1.
            confidence: The probability that the median causal image shall have: the networks'
                logits are divided by a temperature that makes it so. Networks are far surer of
                themselves, and a manipulation that stops where they have just become sure of it
                is an adversarial example; here it goes on to where real images of the class lie.
            rounds: Number of rounds; 0 only trains.
            queries: Images manipulated in a round.
            values: "binary" for images of 0 and 1, "grey" for all between.
            keep: Reader of the spurious correlate S, as logits `(n, levels)` or, without a
                gradient, codes `(n,)`: then manipulations are asked to leave S as it is.
            keep_weight: Weight of a change of S.
            stop: Manipulation error and distance at or below which to stop; None for a
                criterion that does not count.
            steps: Training steps of a network.
            batch: Images per step.
            lr: Peak learning rate.
            noise: Standard deviation of the noise on the pixels in training; see `PixelNoise`.
                Without it most of the first rounds' images are adversarial examples.
            query_weight: How often an answered image counts for one of the causal data.
            seed: Seed of the networks, their training, and the queries.
            progress: Show a progress bar.
            path: Folder that keeps answers and rounds; with the same arguments, `fit` goes on
                from there, whatever stopped it.

        Raises:
            ScmError: If images, causes or options do not fit together, the oracle raises or
                gives other answers, or the folder is another manipulator's.

        Example:
            >>> from scm.datasets import gratings, has_row
            >>> images = gratings(4, noise=0.0).sample(400, seed=0)["I"]
            >>> found = Manipulator.fit(
            ...     images, has_row(images).long(), has_row, values="binary",
            ...     rounds=2, queries=20, ensemble=1, steps=200,
            ... )
            >>> found(images[:3], 1).images.shape
            torch.Size([3, 1, 4, 4])
        """
        names = class_names(images, causes, classes, values)
        metric = metric_of(metric)
        check_options(alpha, confidence, keep_weight, rounds, queries, ensemble, query_weight, stop)
        make = network or (lambda own: _perceptron(images[0].numel(), len(names), own))
        recipe: dict[str, Any] = {"steps": steps, "batch": batch, "lr": lr}
        identity = {
            "images": fingerprint(images),
            "causes": fingerprint(causes),
            "classes": str(names),
            "search": _without_addresses(
                (metric, alpha, confidence, queries, values, keep is not None, keep_weight)
            ),
            "training": str((network is not None, ensemble, *recipe.values(), noise, query_weight)),
            "seed": str(seed),
        }
        check_functions(images, len(names), make(seed).to(images).eval(), metric, keep)
        folder = None if path is None else Path(path)
        done = Rounds(images, causes, len(names), folder, identity)
        ask = ask_classes(oracle, names, None if folder is None else folder / _ANSWERS)

        def learned() -> Objective:
            data = LabelledImages(*done.training_set(query_weight))
            source = Augmented(data, PixelNoise(noise)) if noise else data
            networks = []
            for own in (seed_of(seed, len(done), k) for k in range(ensemble)):
                made = make(own).to(images)
                work = train(made, source, recipe=Recipe(**recipe), seed=own, progress=False)
                networks.append(work.network)
            temperature = _temperature(networks, images, causes, confidence)
            return Objective(networks, metric, alpha, keep, keep_weight, temperature)

        with progress_bar("manipulator", rounds, "rounds", progress) as advance:
            for _ in done.history:
                advance()
            while len(done) < rounds and not _satisfied(done.history, stop):
                starts, targets = done.draw(queries, seed_of(seed, len(done)))
                found = nearest_images(learned(), starts, targets, values=values)
                latest = done.add(found, targets, ask(found.images[found.reached]))
                advance(f"error {latest.error.value:.1%}")
        return cls(
            learned(), names, images.shape[1:], values, done.history, done.asked, done.answers
        )

    def __call__(self, images: Tensor, targets: Any) -> Manipulated:
        """The nearest images of the target classes.

        Args:
            images: Images `(n, *shape)` in [0, 1].
            targets: A class, or one for each image: codes, or names among `classes`.

        Returns:
            The images and what became of each. An image that has the class already is left
            as it is, and so is one for which no manipulation was found: it has not `reached` it.

        Raises:
            ScmError: If images or targets are not such as the manipulator was made for.
        """
        check_images(images, self.values, self.shape)
        codes = self._targets(targets, len(images)).to(images.device)
        return nearest_images(self.objective, images, codes, values=self.values, leave=True)

    manipulate = __call__

    def reading(self, images: Tensor) -> Tensor:
        """Codes `(n,)` of the classes that the networks read.

        Raises:
            ScmError: If the images have another shape or range.
        """
        check_images(images, "grey", self.shape)
        with torch.no_grad():
            return self.objective.log_probabilities(images).argmax(-1)

    def macro(self, type: NodeType | None = None, keeps: Sequence[str] = ()) -> VisualCause:
        """The visual cause C as a macro-variable: `do(C=c)` is this manipulator.

        Args:
            type: Declared type of C; the classes by default.
            keeps: Macro-variables of the image that a manipulation must leave as they are;
                the engine checks them for every unit.

        Raises:
            ScmError: If a network is a plain function, which cannot be saved.

        Example:
            >>> import scm
            >>> from scm.datasets import gratings, has_row
            >>> images = gratings(4, noise=0.0).sample(400, seed=0)["I"]
            >>> C = Manipulator.fit(
            ...     images, has_row(images).long(), has_row, values="binary", rounds=0, ensemble=1
            ... ).macro()
            >>> I = scm.Root.empirical(images, type=scm.Image((1, 4, 4)))
            >>> model = scm.SCM("I => C", I=I, C=C)
            >>> model.do(C=1).sample(3, seed=0)["C"]
            tensor([1, 1, 1])
        """
        o = self.objective
        if not all(isinstance(network, nn.Module) for network in o.networks):
            raise ScmError(
                "a macro-variable is saved with its networks, and one of these is a plain "
                "function; expected torch.nn.Module objects: wrap the function in one"
            )
        names = self.classes if all(isinstance(c, str) for c in self.classes) else None
        return VisualCause(
            [n for n in o.networks if isinstance(n, nn.Module)],
            o.metric,
            o.alpha,
            self.values,
            o.keep,
            o.keep_weight,
            o.temperature,
            keeps,
            type or Categorical(names or len(self.classes)),
        )

    def _targets(self, targets: Any, n: int) -> Tensor:
        names = {str(c): k for k, c in enumerate(self.classes)}
        several = [targets] * n if isinstance(targets, str) else targets
        if not isinstance(several, Tensor):
            single = not hasattr(several, "__len__")
            found = []
            for name in [several] * n if single else several:
                if isinstance(name, str) and name not in names:
                    raise ScmError(f"the target {name!r} is no class; {nearest(name, names)}")
                if not isinstance(name, (str, SupportsIndex)):
                    raise ScmError(
                        f"the target {name!r:.40} is no code; expected 0 to {len(names) - 1}, or "
                        f"one of the names {list(names)}"
                    )
                found.append(names[name] if isinstance(name, str) else operator.index(name))
            several = torch.tensor(found, dtype=torch.int64)
        codes = several.expand(n) if not several.ndim else several
        if codes.shape != (n,) or codes.is_floating_point():
            raise ScmError(
                f"targets are {codes.dtype} of shape {tuple(codes.shape)}; expected int64 codes "
                f"({n},), or one for all"
            )
        if n and not 0 <= int(codes.min()) <= int(codes.max()) < len(self.classes):
            raise ScmError(
                f"targets from {int(codes.min())} to {int(codes.max())} were given; expected codes "
                f"0 to {len(self.classes) - 1} of the classes {list(self.classes)}"
            )
        return codes.long()


def _perceptron(pixels: int, classes: int, seed: int) -> nn.Module:
    """The paper's network: one hidden layer of 100 units."""
    with seeded(seed):
        return nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, 100), nn.ReLU(), nn.Linear(100, classes)
        )


def _without_addresses(settings: tuple[Any, ...]) -> str:
    """Settings as text that is the same in another process: of functions, the names."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(settings))


def _temperature(
    networks: Sequence[nn.Module], images: Tensor, causes: Tensor, confidence: float
) -> float:
    """What makes the logit of the median image's own class that of the wanted confidence."""
    margins = []
    with torch.no_grad():
        for network in networks:
            logits = torch.cat([network(part) for part in images.split(4096)])
            own = logits.gather(1, causes.to(logits.device)[:, None])
            others = logits.scatter(1, causes.to(logits.device)[:, None], -torch.inf)
            margins.append(float((own.squeeze(1) - others.logsumexp(1)).median()))
    return max(1.0, sum(margins) / len(margins) / math.log(confidence / (1 - confidence)))


def _satisfied(history: Sequence[Round], stop: tuple[float | None, float | None] | None) -> bool:
    if stop is None or not history:
        return False
    measured = (history[-1].error.value, history[-1].distance.value)
    return all(want is None or got <= want for want, got in zip(stop, measured, strict=True))
