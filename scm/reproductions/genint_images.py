"""The images of GenInt's coloured MNIST experiments: how they are generated, and their colours.

The paper's CVAE is steered along its two latents, whose exemplars are drawn from the prior. One
with more latents draws digits of more shapes, but its encoder, which does not see the label, puts
some of the shape of the class into them: its exemplars are *abducted* from training images,
`row -> H, Y` (a row of the data is what confounds the two), and keep their style. Its first
principal directions over all classes, of the decoder's output (`LAYER`), are colours; a
strategy sets them to values that do not depend on the class.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scm.interventions import PrincipalDirections, Strategy, SupportWarning, steerable
from scm.mechanisms import Real, Root, Structural
from scm.model import SCM
from scm.reproductions import genint_parts as parts
from scm.reproductions.pictures import image_grid
from scm.reproductions.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CANDIDATES",
    "LAYER",
    "OBSERVED",
    "PAPER",
    "abducted",
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

CANDIDATES: Mapping[int, Sequence[Strategy]] = {
    2: (OBSERVED, PAPER, Strategy(directions=2, scale=4.0, together=2)),
    16: (
        OBSERVED,
        *(Strategy(directions=3, scale=s, together=3) for s in (1.0, 1.7, 2.5, 4.0, 6.0)),
        *(Strategy(directions=6, scale=s, together=6) for s in (1.0, 2.5, 4.0)),
    ),
}
"""Strategies by the number of the CVAE's latents."""

_DIRECTIONS = 12  # of a CVAE with many latents


def steered(study: Study, seed: int, latents: int = 2) -> SCM:
    """The CVAE of a seed (trained where that is still to do), steered along its nuisances."""
    cvae = parts.generator(study, seed, latents).mechanisms["X"]
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
    images, labels = parts.data(study)
    rows = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    rows = rows[: image_count(study)].to(labels.device)
    return abducted(
        steerable(cvae, found, at="layer"),
        parts.generator(study, seed, latents),
        images[rows],
        labels[rows],
        seed,
    )


def abducted(model: SCM, generator: SCM, images: Tensor, labels: Tensor, seed: int) -> SCM:
    """A steerable model whose exemplars are those of images: `row -> H, Y` in place of a prior.

    Args:
        model: As `steerable` makes it.
        generator: The model `Y -> X` it was made from, which abducts the latents.
        images: Images `(m, 3, 32, 32)`.
        labels: Their classes `(m,)`.
        seed: Seed of the abduction.
    """
    latent = generator.abduct({"X": images, "Y": labels}, seed=seed).noise["X"]

    def chosen(row: Tensor) -> Tensor:
        return (row * len(labels)).long().clamp(max=len(labels) - 1)

    nodes = {name: model.mechanisms[name] for name in model.graph.nodes}
    nodes |= {
        "row": Root.uniform(torch.tensor(0.0), torch.tensor(1.0)),
        "H": Structural(lambda row: latent[chosen(row[..., 0])], type=Real((latent.shape[1],))),
        "Y": Structural(lambda row: labels[chosen(row)], type=model.mechanisms["Y"].type),
    }
    return SCM(f"row -> H, Y; {model.graph}", nodes, latent=["row"])


def generated(model: SCM, strategy: Strategy, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images `(n, 3, 32, 32)` in [0, 1] and classes `(n,)` under a strategy."""
    images, labels = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SupportWarning)  # some strategies go far on purpose
        for start in range(0, n, 2_000):
            units = strategy.sample(model, min(2_000, n - start), 100_000 * seed + start)
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
    """Draw the background colours of some images of each class, sorted, for each kind of data.

    Args:
        kinds: By name, images `(n, 3, height, width)` and classes `(n,)`, 0 to 9.
        shown: How many images of a class.

    Source: Mao et al. (2021), figures 9 to 11.
    """
    rows = {}
    for k in range(10):
        strips = []
        for images, labels in kinds.values():
            colours = backgrounds(images[labels == k][:shown])
            order = (colours.round(decimals=1) @ colours.new_tensor([1.0, 3.0, 9.0])).argsort()
            strips.append(colours[order].T[:, None, :].expand(-1, max(1, len(order) // 5), -1))
        rows[str(k)] = strips
    return image_grid(rows, list(kinds), cell=1.5)


def sheet(images: Tensor, labels: Tensor, shown: int = 12) -> Figure:
    """Draw the first images of each class, one row a class."""
    return image_grid({str(k): list(images[labels == k][:shown]) for k in range(10)})
