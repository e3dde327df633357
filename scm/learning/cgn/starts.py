"""Where a training starts: the colours of object and background, guessed from the border.

No object reaches the border of an image, so what is seen there is background; what it does not
explain is the object. Without this guess a class may settle for the inverted mask, which explains
its images as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from scm.learning.cgn import losses
from scm.learning.cgn.model import CGN
from scm.learning.cgn.segmentation import odds_of
from scm.mechanisms.cgn import ColourTexture

__all__ = ["start_colours", "start_odds"]

_BORDER = 3  # pixels at the border in which there is background alone
_IMAGES = 500  # of a label that are looked at


def start_colours(
    cgn: CGN, images: Tensor, labels: Tensor, cover: float, generator: torch.Generator
) -> None:
    """Give textures of one colour their means: of the border, and of the pixels least like it.

    Args:
        cgn: The model, whose `ColourTexture`s are changed.
        images: Images `(n, 3, size, size)`.
        labels: Classes `(n,)`.
        cover: Share of an image that is taken for its object, of the pixels farthest in colour
            from the border's mean.
        generator: Draws the images looked at.
    """
    front, back = (cgn.mechanisms[node] for node in ("F", "B"))
    assert isinstance(front, ColourTexture)
    assert isinstance(back, ColourTexture)
    ring = losses.border(images, _BORDER).flatten()
    for label, rows in _looked_at(labels, cgn.classes, generator):
        seen = images[rows].flatten(2).mT
        around = seen[:, ring].mean(1, keepdim=True)
        far = torch.linalg.vector_norm(seen - around, dim=-1)
        chosen = far.topk(max(1, round(cover * far.shape[1])), dim=1).indices
        inside = seen.gather(1, chosen.unsqueeze(2).expand(-1, -1, 3))
        with torch.no_grad():
            for texture, colours in ((front, inside), (back, around)):
                texture.linear.bias[label] = torch.logit(colours.flatten(0, 1).mean(0), 0.01)


def start_odds(
    cgn: CGN, images: Tensor, labels: Tensor, cover: float, generator: torch.Generator
) -> None:
    """Give each label a palette, p_B from the border and p_F from what that leaves unexplained.

    Args:
        cgn: The model, whose encoder is changed.
        images: Images `(n, 3, size, size)`.
        labels: Classes `(n,)`.
        cover: Share of an image that its object covers.
        generator: Draws the images looked at.
    """
    odds = odds_of(cgn)
    ring = losses.border(images, _BORDER).flatten()
    for label, rows in _looked_at(labels, odds.classes, generator):
        seen = images[rows].flatten(2).mT
        odds.set_palette(label, _palette(seen[:60].flatten(0, 1), odds.colours, generator))
        own = labels[rows]
        colours = odds.nearest(images[rows], own)
        back = odds.shares(colours[:, ring], own, torch.ones_like(seen[:, ring, 0]))[label]
        everywhere = odds.shares(colours, own, torch.ones_like(seen[..., 0]))[label]
        front = torch.maximum(everywhere - (1 - cover) * back, 1e-2 * everywhere + 1e-5)
        odds.back[label], odds.front[label] = back, front / front.sum()


def _palette(pixels: Tensor, colours: int, generator: torch.Generator, rounds: int = 12) -> Tensor:
    """Centres `(colours, 3)` of pixels `(n, 3)` by k-means."""
    order = torch.randperm(len(pixels), generator=generator).to(pixels.device)
    centres = pixels[order[torch.arange(colours).to(order) % len(order)]].clone()
    for _ in range(rounds):
        own = torch.cdist(pixels, centres).argmin(1)
        count = torch.bincount(own, minlength=colours)[:, None]
        total = torch.zeros_like(centres).index_add_(0, own, pixels)
        centres = torch.where(count > 0, total / count.clamp_min(1), centres)
    return centres


def _looked_at(
    labels: Tensor, classes: int, generator: torch.Generator
) -> Iterator[tuple[int, Tensor]]:
    """Each label that there are images of, with the numbers of some of them."""
    for label in range(classes):
        rows = (labels == label).nonzero()[:, 0]
        if len(rows):
            drawn = torch.randint(len(rows), (_IMAGES,), generator=generator)
            yield label, rows[drawn.to(rows.device)]
