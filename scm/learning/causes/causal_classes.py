r"""Causal classes of images, learned from observations and few experiments.

Data show the observational classes, images that share :math:`P(T \mid I)`. The causal ones,
that share :math:`P(T \mid man(I))`, are almost surely unions of these (the causal coarsening
theorem), so that a few experiments with images of each observational class tell which to merge:
as many experiments as there are classes, not as there are images.

The `cfl` package (Causal Feature Learning, by the authors' group) also works in two steps:
it estimates P(Y | X) of micro-variables X and Y, then clusters X (and, for macro-effects, Y)
by that estimate; k-means with a number of clusters chosen by the user is what its notes
recommend, any clustering of scikit-learn will do. Its classes are those of
*observed* conditional probabilities, macro-causes if nothing confounds X and Y. What differs
here: predictions are held out, the number of classes is chosen by a stated criterion,
experiments then merge classes that differ by confounding alone (with a stated error rate),
what the merged classes still distinguish is named (the spurious correlate S), and effects
come with standard errors. What cfl has and this has not: a target that is itself
high-dimensional, and macro-effects.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.estimate import Estimate
from scm.learning.causes.experimenters import Answers, Experimenter, fingerprint
from scm.learning.causes.merging import Merging, effect, merge
from scm.learning.causes.observational_classes import (
    NetworkFactory,
    ObservationalClasses,
    as_levels,
    check_images,
    default_network,
    nearest_centre,
    observational_classes,
)
from scm.learning.classifier import train_classifier
from scm.learning.evaluation import probabilities

__all__ = ["DoubtfulMergeWarning", "Effects", "LearnedCauses", "learn_causes"]


class DoubtfulMergeWarning(UserWarning):
    """Classes were merged that the experiments told apart, since others are like both.

    Example:
        >>> from scm.learning.causes.merging import merge
        >>> yes = lambda k: torch.tensor([[1.0, 0.0]] * (20 - k) + [[0.0, 1.0]] * k)
        >>> merging = merge([yes(0), yes(6), yes(14)], 0.01)  # the second is like both others
        >>> merging.groups, merging.doubtful
        ((0, 0, 0), ((0, 2),))
        >>> issubclass(DoubtfulMergeWarning, UserWarning)
        True
    """


@dataclass(frozen=True, eq=False)
class Effects:
    """Estimates of `P(T | man(I = i))` for many images, with standard errors.

    Attributes:
        value: `P(T = 1 | man(I))`, `(n,)`; `(n, levels)` where T has more than two levels.
        stderr: Their standard errors, of the same shape.
        answers: Number of the experimenter's answers behind them.

    Example:
        >>> print(Effects(torch.tensor([0.25]), torch.tensor([0.1]), answers=40)[0])
        0.25 +- 0.10 (n = 40)
    """

    value: Tensor
    stderr: Tensor
    answers: int

    def __len__(self) -> int:
        """Number of images."""
        return len(self.value)

    def __getitem__(self, where: int | tuple[int, int]) -> Estimate:
        """The estimate of an image, or of an image and a level of T."""
        value, stderr = self.value[where], self.stderr[where]
        if value.ndim:
            raise ScmError(f"[{where}] names no single estimate; write [image, level]")
        return Estimate(float(value), float(stderr), self.answers)


@dataclass(frozen=True, eq=False)
class LearnedCauses:
    """The visual cause C and the spurious correlate S of a target T, learned.

    Causal classes are numbered in the order of the mean level of T under man(I), so of a
    binary T, C = 0 has the smallest effect. S numbers the observational classes in each causal
    class in the order of P(T | I).

    Attributes:
        observational: The observational classes.
        coarsening: Causal class of each observational class.
        values: `P(T | man(I))` in each causal class, `(C, levels)`.
        stderrs: Their standard errors, from the pooled answers.
        merging: The tests that merged the observational classes.
        classes: Causal class of each training image, `(n,)`.
        network: Network whose outputs are logits over the causal classes; None if there is one
            class only.
        answers: The experimenter's answers.
        queries: Number of images of each observational class that were asked about.

    Example:
        >>> light = torch.arange(400).remainder(2).view(-1, 1, 1, 1)
        >>> images = 0.5 * light + torch.linspace(0, 0.4, 16).view(1, 1, 4, 4)
        >>> asked = lambda images: 0.2 + 0.6 * (images.mean((1, 2, 3)) > 0.45)  # P(T = 1 | man(I))
        >>> found = learn_causes(images, light.flatten(), asked, steps=20, progress=False)
        >>> len(found), found.values[:, 1]
        (2, tensor([0.2000, 0.8000], dtype=torch.float64))
    """

    observational: ObservationalClasses
    coarsening: tuple[int, ...]
    values: Tensor
    stderrs: Tensor
    merging: Merging
    classes: Tensor
    network: nn.Module | None
    answers: Answers
    queries: tuple[int, ...]

    def __len__(self) -> int:
        """Number of causal classes."""
        return len(self.values)

    def probabilities(self, images: Tensor) -> Tensor:
        """Probability of each causal class, `(n, C)` in float64.

        Raises:
            ScmError: If the images have another shape than those that were learned from, or are
                not finite floats.
        """
        check_images(images, self.observational.shape)
        if self.network is None:
            return torch.ones(len(images), 1, dtype=torch.float64, device=images.device)
        found = probabilities(self.network, images).double()
        return found / found.sum(-1, keepdim=True)  # they came as float32

    def cause(self, images: Tensor) -> Tensor:
        """C of images: the most probable causal class, `(n,)` int64."""
        return self.probabilities(images).argmax(-1)

    def correlate(self, images: Tensor) -> Tensor:
        """S of images, `(n,)`: the number, within C, of the nearest observational class."""
        cause, chances = self.cause(images), self.observational.probabilities(images)
        found = torch.zeros_like(cause)
        for c in range(len(self)):
            members = [k for k, into in enumerate(self.coarsening) if into == c]
            here = cause == c
            found[here] = nearest_centre(chances[here], self.observational.centres[members])
        return found

    def predict(self, images: Tensor) -> Effects:
        r"""`P(T | man(I = i))` of images, with standard errors.

        With `q_c` the probability of causal class c, the estimate is :math:`\sum_c q_c p_c` and
        its variance, by the law of total variance, :math:`\sum_c q_c s_c^2 + \sum_c q_c (p_c -
        \sum_k q_k p_k)^2`: the error of the pooled answers, and doubt about the class.
        """
        q = self.probabilities(images)
        values, errors = self.values.to(q), self.stderrs.to(q)
        mean = q @ values
        doubt = (q @ values.square() - mean.square()).clamp_min(0.0)
        stderr = (q @ errors.square() + doubt).sqrt()
        if values.shape[1] == 2:
            mean, stderr = mean[:, 1], stderr[:, 1]
        return Effects(mean, stderr, sum(self.queries))

    def __str__(self) -> str:
        lines = [
            f"{len(self)} causal of {len(self.coarsening)} observational classes "
            f"({len(self.classes):,} images, {sum(self.queries)} asked about)",
            "  C  S   images  P(T | I)        P(T | man(I))",
        ]
        seen = [0] * len(self)
        sizes = torch.bincount(self.observational.labels, minlength=len(self.coarsening)).tolist()
        for k in sorted(range(len(sizes)), key=lambda k: (self.coarsening[k], k)):
            c = self.coarsening[k]
            observed = _row(self.observational.chances[k])
            done = f"{_row(self.values[c])} +- {float(self.stderrs[c].max()):.3f}"
            lines.append(f"{c:3}{seen[c]:3}{sizes[k]:9,}  {observed:<14}  {done}")
            seen[c] += 1
        if len(self.coarsening) == 1:
            lines.append("No observational information on T was found: C is constant.")
        else:
            lines.append(
                f"A difference of {self.merging.detectable:.2g} between two classes would have "
                "been seen with probability 0.8."
            )
        if self.merging.doubtful:
            lines.append(_doubt(self.merging))
        return "\n".join(lines)


def learn_causes(
    images: Tensor,
    outcomes: Tensor,
    experimenter: Experimenter,
    *,
    queries: int = 10,
    classes: int | None = None,
    error_rate: float = 0.05,
    tolerance: float = 0.01,
    edges: Sequence[float] | Tensor | None = None,
    folds: int = 2,
    network: NetworkFactory | None = None,
    steps: int = 300,
    seed: int = 0,
    progress: bool = True,
) -> LearnedCauses:
    r"""Learn the visual cause of T from observed images and outcomes, and a few experiments.

    1. Estimate P(T | I), and find the observational classes (`observational_classes`).
    2. Ask the experimenter about ``queries`` images of each: different ones, drawn from the
       half of the class that is nearest to its centre.
    3. Merge classes whose answers show no difference (`scm.learning.causes.merging.merge`).
    4. Train C on all images and the causal class of each.

    All is drawn from the seed, so that after a stop the same call asks the same questions: give
    `Answers(experimenter, path=...)`, and none is asked twice.

    Args:
        images: Images `(n, channels, height, width)`.
        outcomes: T, `(n,)`: int64 levels 0, 1, ..., or numbers to be cut at ``edges``.
        experimenter: Any callable from images to answers, see
            `scm.learning.causes.experimenters`; for a continuous T its rows are probabilities
            of the bins.
        queries: Images of each observational class to ask about.
        classes: Number of observational classes; None to choose it.
        error_rate: Largest probability that two classes with the same P(T | man(I)) are kept
            apart.
        tolerance: A difference of P(T | man(I)) up to this is none.
        edges: Where to cut a continuous T, see `quantile_edges`.
        folds: Number of folds of the cross-fitted estimate of P(T | I).
        network: Makes a network from the number of its outputs and a seed; by default a
            `SmallCNN`.
        steps: Steps of training of each network.
        seed: Seed of everything random.
        progress: Show progress bars.

    Raises:
        ScmError: If images and outcomes do not match, an argument is out of its range, or the
            experimenter fails.

    Warns:
        DoubtfulMergeWarning: If classes that differ were merged by way of others.

    Source: Chalupka, Perona and Eberhardt (2015), algorithm 1; the module says how this differs
        from the two steps of the `cfl` package.

    Example:
        >>> mixed = torch.Generator().manual_seed(0)
        >>> light = torch.randint(2, (1000, 1, 1, 1), generator=mixed)
        >>> images = 0.5 * light + 0.5 * torch.rand(1000, 1, 4, 4, generator=mixed)
        >>> outcomes = torch.bernoulli(0.2 + 0.6 * light.flatten(), generator=mixed).long()
        >>> experimenter = lambda asked: 0.3 + 0.4 * (asked.mean((1, 2, 3)) > 0.5)
        >>> causes = learn_causes(images, outcomes, experimenter, steps=60, progress=False)
        >>> bool((causes.classes == light.flatten()).all())
        True
        >>> causes.values[:, 1]  # P(T = 1 | man(I)) of each causal class
        tensor([0.3000, 0.7000], dtype=torch.float64)
    """
    if queries < 1:
        raise ScmError(f"queries={queries!r} was given; expected at least one a class")
    outcomes = as_levels(outcomes, edges)
    if edges is not None:
        levels = len(edges) + 1
    elif isinstance(experimenter, Answers):
        levels = experimenter.levels
    else:
        levels = max(2, int(outcomes.max()) + 1) if len(outcomes) else 2
    answers = experimenter if isinstance(experimenter, Answers) else Answers(experimenter, levels)
    if answers.levels != levels:
        raise ScmError(
            f"Answers over {answers.levels} levels were given for a target of {levels}; write "
            f"Answers(experimenter, levels={levels})"
        )
    found = observational_classes(
        images,
        outcomes,
        levels=levels,
        classes=classes,
        folds=folds,
        network=network,
        steps=steps,
        seed=seed,
        progress=progress,
    )
    asked = _representatives(images, found, queries, seed)
    given = answers(images[torch.cat(asked)])
    rows = torch.stack([1 - given, given], 1) if levels == 2 else given
    of_class = [part.cpu() for part in rows.split([len(part) for part in asked])]
    merging = merge(of_class, error_rate, tolerance)
    if merging.doubtful:
        warnings.warn(_doubt(merging), DoubtfulMergeWarning, stacklevel=2)
    coarsening, values, stderrs = _ordered(merging.groups, of_class)
    labels = torch.tensor(coarsening, device=images.device)[found.labels]
    trained: nn.Module | None = None
    if len(values) > 1:
        make = network or default_network(images)
        trained = train_classifier(
            images,
            labels,
            model=make(len(values), seed + folds).to(images.device),
            steps=steps,
            seed=seed + folds,
            progress=progress,
            title="the cause C",
        )
    sizes = tuple(len(part) for part in asked)
    return LearnedCauses(
        found, coarsening, values, stderrs, merging, labels, trained, answers, sizes
    )


def _doubt(merging: Merging) -> str:
    pairs = ", ".join(map(str, merging.doubtful))
    return (
        f"Observational classes {pairs} differ in what they do to T, yet others are like both, and "
        "all were merged: give more images, queries or trials, or fewer classes (classes=)."
    )


def _representatives(
    images: Tensor, found: ObservationalClasses, queries: int, seed: int
) -> list[Tensor]:
    """Rows of different images near the centre of each class, at most ``queries`` of each."""
    generator = torch.Generator().manual_seed(seed)
    away = (found.heldout - found.centres[found.labels]).square().sum(-1)
    chosen = []
    for k in range(len(found)):
        rows = (found.labels == k).nonzero().flatten()
        rows = rows[away[rows].argsort()]
        near = max(queries, len(rows) // 2)
        mixed = torch.randperm(len(rows[:near]), generator=generator).to(rows.device)
        distinct: dict[str, int] = {}
        for row in [*rows[:near][mixed].tolist(), *rows[near:].tolist()]:
            distinct.setdefault(fingerprint(images[row]), row)
            if len(distinct) == queries:
                break
        chosen.append(torch.tensor(list(distinct.values()), device=images.device))
    return chosen


def _ordered(
    groups: tuple[int, ...], answers: list[Tensor]
) -> tuple[tuple[int, ...], Tensor, Tensor]:
    """Causal class of each class, the effect of each, and its error, by mean level of T."""
    pooled = [
        effect(torch.cat([rows for rows, into in zip(answers, groups, strict=True) if into == g]))
        for g in range(max(groups) + 1)
    ]
    values, stderrs = (torch.stack(part) for part in zip(*pooled, strict=True))
    order = (values @ torch.arange(values.shape[1]).to(values)).argsort()
    place = order.argsort().tolist()
    return tuple(place[g] for g in groups), values[order], stderrs[order]


def _row(chances: Tensor) -> str:
    """Probabilities as text: of T = 1 alone where T is binary."""
    shown = chances.tolist()[1:] if len(chances) == 2 else chances.tolist()
    return " ".join(f"{p:.3f}" for p in shown)
