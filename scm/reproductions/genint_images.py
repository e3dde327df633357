"""The images of GenInt's coloured MNIST experiments: how they are generated, and their colours.

The paper's CVAE is steered along its two latents. One with more latents draws digits of more
shapes, but its encoder, which does not see the label, puts some of the shape of the class into
them: exemplars are better *abducted* from training images ("encoder") than drawn from the prior.
Its first principal directions over all classes, of the decoder's output (`LAYER`), are colours; a
strategy sets them to values that do not depend on the class.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scm.interventions import PrincipalDirections, Strategy, SupportWarning, steerable
from scm.model import SCM
from scm.reproductions.genint_generator import generator
from scm.reproductions.pictures import image_grid
from scm.reproductions.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "LAYER",
    "OBSERVED",
    "PAPER",
    "backgrounds",
    "colour_strips",
    "generated",
    "image_count",
    "sheet",
    "steered",
]

LAYER = "last"
"""The decoder's output before the sigmoid, where a CVAE of many latents is steered."""

OBSERVED = Strategy()
"""No intervention."""

PAPER = Strategy(directions=2, scale=2.23, together=2)
"""Both latents, as wide as the paper's grid, but uniform."""

_DIRECTIONS = 12  # of a CVAE with many latents


@lru_cache(maxsize=8)
def steered(study: Study, seed: int, latents: int = 2) -> SCM:
    """The CVAE of a seed (trained where that is still to do), steered along its nuisances."""
    cvae = generator(study, seed, latents).mechanisms["X"]
    if latents == 2:
        return steerable(cvae, PrincipalDirections.axes(cvae))
    found = PrincipalDirections.of(
        cvae,
        LAYER,
        _DIRECTIONS,
        label=None,
        samples=500 if study.quick else 4_000,
        seed=seed,
        progress=study.progress,
    )
    return steerable(cvae, found, at="layer")


def generated(
    model: SCM, strategy: Strategy, n: int, seed: int, **given: Tensor
) -> tuple[Tensor, Tensor]:
    """Images `(n, 3, 32, 32)` in [0, 1] and classes `(n,)` under a strategy.

    Args:
        model: What `steered` returned.
        strategy: What is set.
        n: How many.
        seed: Seed of what is drawn.
        **given: `exemplars` and `labels` `(n, ...)`, in place of the prior's.
    """
    images, labels = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SupportWarning)  # some strategies go far on purpose
        for start in range(0, n, 2_000):
            rows: Any = {name: value[start : start + 2_000] for name, value in given.items()}
            units = strategy.sample(model, min(2_000, n - start), 100_000 * seed + start, **rows)
            images.append(units["X"].clamp(0, 1))
            labels.append(units["Y"])
    return torch.cat(images), torch.cat(labels)


def image_count(study: Study) -> int:
    """How many images a classifier gets from a generator."""
    return 500 if study.quick else 20_000


def backgrounds(images: Tensor) -> Tensor:
    """Colour `(n, 3)` of each background: the mean of the two outermost pixels on each side."""
    outside = torch.ones(images.shape[2:], dtype=torch.bool, device=images.device)
    outside[2:-2, 2:-2] = False
    return images[:, :, outside].mean(2)


def colour_strips(kinds: Mapping[str, tuple[Tensor, Tensor]], shown: int = 40) -> Figure:
    """Draw the background colours of some images of each class, sorted: a square a kind of data.

    Args:
        kinds: By name, images `(n, 3, height, width)` and classes `(n,)`, 0 to 9 from the top.
        shown: How many images of a class.

    Source: Mao et al. (2021), figures 9 to 11.
    """
    squares: list[Tensor | None] = []
    for images, labels in kinds.values():
        square = images.new_ones(3, 10, shown)
        for k in range(10):
            colours = backgrounds(images[labels == k][:shown])
            order = (colours.round(decimals=1) @ colours.new_tensor([1.0, 3.0, 9.0])).argsort()
            square[:, k, : len(order)] = colours[order].T
        squares.append(square.repeat_interleave(max(1, shown // 10), 1))
    return image_grid({"class 0\nto 9": squares}, list(kinds), cell=2.2)


def sheet(images: Tensor, labels: Tensor, shown: int = 12) -> Figure:
    """Draw the first images of each class, one row a class."""
    return image_grid({str(k): list(images[labels == k][:shown]) for k in range(10)})
