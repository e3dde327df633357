"""How much nuisances say of the label: read off images by a network that saw interventions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from scm.errors import ScmError
from scm.estimate import Estimate
from scm.learning import LabelledImages, Recipe, SmallCNN, predict, train
from scm.mechanisms.seeding import seeded
from scm.progress import progress_bar

__all__ = [
    "NuisancePredictor",
    "Predictability",
    "label_predictability",
    "train_nuisance_predictor",
]


@dataclass(frozen=True, eq=False)
class NuisancePredictor:
    """A network that reads nuisances off images, and how well it did on pairs held out.

    Attributes:
        network: From images to standardised nuisances `(n, k)`, in evaluation mode.
        centre: Median of each nuisance where it was intervened on, `(k,)`.
        scale: Mean distance from it, `(k,)`.
        error: Mean absolute error, in the nuisances' own units, over held-out pairs.
        chance: That of the best guess without an image, the median.

    Example:
        >>> mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> read = NuisancePredictor(
        ...     mean, torch.zeros(1), torch.ones(1), error=Estimate(0.1), chance=Estimate(0.8)
        ... )
        >>> read(torch.full((2, 1, 4, 4), 0.5))
        tensor([[0.5000],
                [0.5000]])
    """

    network: nn.Module
    centre: Tensor
    scale: Tensor
    error: Estimate
    chance: Estimate

    def __call__(self, images: Tensor | Dataset[tuple[Tensor, int]], batch: int = 256) -> Tensor:
        """Nuisances `(n, k)` of images `(n, channels, height, width)`, or of those of a folder.

        Args:
            images: A tensor, or a data set of images and labels such as an `ImageSet`.
            batch: Images at a time.
        """
        device = self.centre.device
        parts = images.split(batch) if isinstance(images, Tensor) else _batches(images, batch)
        with torch.no_grad():
            found = [self.network(part.to(device)) * self.scale + self.centre for part in parts]
        return torch.cat(found)


def train_nuisance_predictor(
    images: Tensor,
    nuisances: Tensor,
    moved: Tensor | None = None,
    *,
    network: nn.Module | None = None,
    held_out: float = 0.2,
    recipe: Recipe | None = None,
    seed: int = 0,
    progress: bool = True,
) -> NuisancePredictor:
    """Learn to read nuisances off images whose nuisances were set, by the absolute error.

    Args:
        images: Generated images `(n, channels, height, width)`.
        nuisances: What each nuisance was set to, `(n, k)`.
        moved: Which of them were set, `(n, k)` bool: others do not count, as where each image
            moves along one direction. All by default.
        network: From images to `(n, k)`; a `SmallCNN` by default, a ResNet34 in the paper.
        held_out: Share of the pairs that the error is measured on; the paper's is 20%.
        recipe: Settings of the training.
        seed: Seed of the split, the weights and the batches.
        progress: Show a progress bar, on a terminal or in a notebook.

    Raises:
        ScmError: If pairs do not match, or a nuisance was never set or does not vary.

    Source: Mao et al. (2021), section 10: there the error is 0.36, and chance 5.6.

    Example:
        >>> z = torch.linspace(-1, 1, 200)[:, None]
        >>> images = z[:, :, None, None].expand(-1, 1, 8, 8)
        >>> read = train_nuisance_predictor(images, z, recipe=Recipe(steps=100))
        >>> read.error.value < 0.3 * read.chance.value
        True
    """
    n = len(images)
    moved = torch.ones_like(nuisances, dtype=torch.bool) if moved is None else moved
    if images.ndim != 4 or nuisances.ndim != 2 or len(nuisances) != n:
        raise ScmError(
            f"images {tuple(images.shape)} and nuisances {tuple(nuisances.shape)} were given; "
            "expected (n, channels, height, width) and (n, k)"
        )
    if moved.shape != nuisances.shape or moved.dtype != torch.bool:
        raise ScmError(
            f"moved is {moved.dtype} of shape {tuple(moved.shape)}; expected bool "
            f"{tuple(nuisances.shape)}, for each nuisance of each image whether it was set"
        )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(n, generator=generator)
    test, fit = order[: round(held_out * n)], order[round(held_out * n) :]
    if not len(test) or not len(fit) or not bool(moved[fit].any(0).all()):
        raise ScmError(
            f"{len(fit)} pairs to train on and {len(test)} held out were given, with "
            f"{moved[fit].sum(0).tolist()} of each nuisance set; expected some of each"
        )
    missing = nuisances.masked_fill(~moved, torch.nan)
    centre = missing[fit].nanmedian(0).values
    scale = (missing[fit] - centre).abs().nanmean(0)
    if not bool((scale > 0).all()):
        raise ScmError(f"nuisances have the spreads {scale.tolist()}; each must be set at random")
    if network is None:
        network = SmallCNN(images.shape[1], nuisances.shape[1], seed=seed).to(images)
    wanted = (nuisances - centre) / scale
    recipe = recipe or Recipe(steps=600)
    _regress(network, images[fit], wanted[fit], moved[fit], recipe, seed, progress)
    unknown = Estimate(0.0)
    found = NuisancePredictor(network.eval(), centre, scale, unknown, unknown)
    guesses = found(images[test])
    error, chance = (
        Estimate.mean((guess - missing[test]).abs().nanmean(1)[moved[test].any(1)])
        for guess in (guesses, centre.expand_as(guesses))
    )
    return NuisancePredictor(network, centre, scale, error, chance)


@dataclass(frozen=True)
class Predictability:
    """How well nuisances predict a label, on rows held out.

    Attributes:
        accuracy: Share of labels predicted.
        chance: Share that the same guesses would get if dealt out at random, `sum_k p_k q_k`
            with the shares p of labels and q of guesses: what holds where nuisances and labels
            are independent, also if classes are unequally frequent.
        times: accuracy / chance, the figure of the paper; 1 where nothing is known.

    Example:
        >>> told = Predictability(Estimate(0.3, 0.01, 500), 0.1, Estimate(3.0, 0.1, 500))
        >>> print(told.times)
        3.0 +- 0.1 (n = 500)
    """

    accuracy: Estimate
    chance: float
    times: Estimate


def label_predictability(
    nuisances: Tensor,
    labels: Tensor,
    *,
    hidden: int = 512,
    held_out: float = 0.5,
    recipe: Recipe | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Predictability:
    """Train a network of four layers to predict the label from nuisances, and try it on others.

    Nuisances are read with an error and may be a part of all, so that this is a lower bound of
    what they say of the label.

    Args:
        nuisances: `(n, k)`, such as a `NuisancePredictor` reads off natural images.
        labels: Classes `(n,)`.
        hidden: Width of the hidden layers.
        held_out: Share of rows that the accuracy is measured on.
        recipe: Settings of the training.
        seed: Seed of the split, the weights and the batches.
        progress: Show a progress bar, on a terminal or in a notebook.

    Raises:
        ScmError: If rows do not match, or there are fewer than two classes.

    Source: Mao et al. (2021), sections 3.1 and 10, figure 3.

    Example:
        >>> labels = torch.arange(400) % 2
        >>> told = label_predictability(labels[:, None] + 0.0, labels, recipe=Recipe(steps=40))
        >>> told.times.value
        2.0
    """
    classes, codes = labels.unique(return_inverse=True)
    if nuisances.ndim != 2 or labels.shape != nuisances.shape[:1] or len(classes) < 2:
        raise ScmError(
            f"nuisances {tuple(nuisances.shape)} and labels {tuple(labels.shape)} of "
            f"{len(classes)} classes were given; expected (n, k), (n,) and two classes or more"
        )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    cut = round(held_out * len(labels))
    test, fit = order[:cut], order[cut:]
    if min(len(test), len(fit)) < 2:
        raise ScmError(f"{len(labels)} rows were given; expected enough for two parts")
    spread = nuisances[fit].std(0).clamp(min=1e-12)
    rows = ((nuisances - nuisances[fit].mean(0)) / spread)[:, :, None, None]
    network = _four_layers(nuisances.shape[1], hidden, len(classes), seed).to(nuisances)
    source = LabelledImages(rows[fit], codes[fit])
    train(network, source, recipe=recipe or Recipe(steps=600), seed=seed, progress=progress)
    return _against_chance(predict(network, rows[test]), codes[test], len(classes))


def _against_chance(guesses: Tensor, labels: Tensor, classes: int) -> Predictability:
    p, q = (x.bincount(minlength=classes).double() / len(x) for x in (labels, guesses))
    hits = (guesses == labels).double()
    accuracy, chance = Estimate.proportion(int(hits.sum()), len(hits)), float(p @ q)
    # What each row adds to the ratio of two means, by the delta method.
    ratio = accuracy.value / chance
    agreed = p[guesses] + q[labels] - 2 * chance
    rows = ratio + (hits - accuracy.value - ratio * agreed) / chance
    return Predictability(accuracy, chance, Estimate.mean(rows))


def _regress(
    network: nn.Module,
    images: Tensor,
    wanted: Tensor,
    moved: Tensor,
    recipe: Recipe,
    seed: int,
    progress: bool,
) -> None:
    """Minimise the mean absolute error over the nuisances that were set."""
    (size,) = recipe.batches(1)
    source = LabelledImages(images, torch.arange(len(images), device=images.device))
    batches = source.batches(min(size, len(images)), seed)
    optimiser, schedule = recipe.make(network.parameters())
    network.train()
    with (
        seeded(seed, images.device),
        torch.enable_grad(),
        progress_bar("train nuisance predictor", recipe.steps, "steps", progress) as advance,
    ):
        for _ in range(recipe.steps):
            batch = next(batches)
            rows = batch.labels
            misses = (network(batch.images) - wanted[rows]).abs()[moved[rows]]
            optimiser.zero_grad(set_to_none=True)
            misses.mean().backward()
            optimiser.step()
            schedule.step()
            advance()


def _four_layers(inputs: int, hidden: int, classes: int, seed: int) -> nn.Module:
    widths = [inputs, hidden, hidden, hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    with seeded(seed):
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        layers.append(nn.Linear(hidden, classes))
    return nn.Sequential(*layers)


def _batches(images: Dataset[tuple[Tensor, int]], batch: int) -> Iterator[Tensor]:
    for part, _ in DataLoader(images, batch_size=batch):
        yield part
