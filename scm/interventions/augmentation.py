"""Counterfactual augmentation: a generator's units are moved in its latent, and trained on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scm.errors import InterventionError
from scm.learning.sources import Batch, checked
from scm.mechanisms.latent import LatentGenerator

__all__ = ["moved_images"]


def moved_images(
    generator: LatentGenerator,
    latents: Tensor,
    direction: Tensor,
    alpha: float,
    label: int | Callable[[Tensor], Tensor],
    group: int | None = None,
) -> Batch:
    """Images of the same units after `man(Z=Move(h, alpha))`, that is `G(z + alpha h)`, labelled.

    To enlarge a rare group (cause g, effect y), CAGE moves units of cause g along the head of the
    effect, which respects cause -> effect; or units of effect y along the head of the cause, which
    does not: what the generator has learnt to follow from the cause changes too, and the hard label
    y may then be wrong.

    Args:
        generator: The generator.
        latents: Latents of the units, `(n, *latent)`, such as `generator.encode(images)`.
        direction: h, with as many numbers as a latent; unit length makes alpha a distance.
        alpha: How far; negative for the other way.
        label: The class that all of them get (hard), or a classifier of the moved latents (soft):
            P(1) `(n,)` of two classes, or probabilities `(n, classes)`.
        group: Their group, for `GroupDRO`.

    Returns:
        A batch of n images, with labels `(n,)`, or `(n, classes)` if soft.

    Raises:
        ScmError: If the direction does not fit the latents, or the classifier returns no
            probabilities of that shape.

    Source: CAGE, section 4.3, and appendix C for soft labels.

    Example:
        >>> from scm.mechanisms import Image
        >>> network = lambda z: z.view(-1, 1, 1, 2).sigmoid()
        >>> generator = LatentGenerator(network, 2, Image((1, 1, 2)))
        >>> z, h = generator.draw(3), torch.tensor([1.0, 0.0])
        >>> moved_images(generator, z, h, 2.0, label=1, group=3).labels
        tensor([1, 1, 1])
        >>> soft = moved_images(generator, z, h, 2.0, label=lambda z: z[:, 0].sigmoid())
        >>> soft.labels.shape, bool((soft.labels[:, 1] == soft.images[:, 0, 0, 0]).all())
        (torch.Size([3, 2]), True)
    """
    shape = generator.latent
    if direction.numel() != torch.Size(shape).numel() or not direction.isfinite().all():
        raise InterventionError(
            f"direction of shape {tuple(direction.shape)} was given; expected finite numbers, one "
            f"for each of a latent {shape}"
        )
    moved = latents + alpha * direction.reshape(shape).to(latents)
    images = generator.generate(moved)
    groups = None if group is None else torch.full((len(moved),), group, device=images.device)
    if not callable(label):
        return Batch(images, torch.full((len(moved),), label, device=images.device), groups)
    with torch.no_grad():
        chances = label(moved).to(images)
    if chances.ndim == 1:
        chances = torch.stack([1 - chances, chances], 1)
    return checked(Batch(images, chances, groups))
