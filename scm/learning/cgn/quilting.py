"""Textures of patches that continue one another."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["quilt"]

_CHOICES = 3


def quilt(patches: Tensor, n: int, size: int, overlap: int, generator: torch.Generator) -> Tensor:
    """Textures `(n, c, size, size)` of patches, whose opposite sides meet.

    From left to right and from top to bottom, each place gets one of the three patches that
    differ least, in squares, from what they overlap; there, the two are averaged. The last ones of
    a row and of a column overlap the first. (The source cuts overlaps along a path, and has no
    such torus.)

    Args:
        patches: Patches `(k, c, side, side)`, with values of any range.
        n: Number of textures.
        size: Side of a texture, a multiple of `side - overlap`.
        overlap: Pixels that a patch shares with its neighbours.
        generator: Draws the first patch, and which of three; on the CPU.

    Source: Efros and Freeman (2001), "Image Quilting for Texture Synthesis and Transfer", SIGGRAPH,
    section 2.

    Example:
        >>> stripes = torch.arange(7) % 4 // 2 * torch.ones(1, 4, 7)
        >>> patches = stripes.unfold(2, 4, 1).movedim(2, 0).repeat(3, 1, 1, 1)
        >>> made = quilt(patches, 5, 8, 2, torch.Generator().manual_seed(0))
        >>> made.shape, bool((made == made[:, :, :1]).all())     # stripes go on as stripes
        (torch.Size([5, 1, 8, 8]), True)
    """
    k, channels, side, _ = patches.shape
    made = patches.new_zeros(n, channels, size, size)
    known = torch.zeros(size, size, dtype=torch.bool, device=patches.device)
    along = torch.arange(side, device=patches.device)
    starts = range(0, size, side - overlap)
    for top in starts:
        for left in starts:
            rows, columns = (along[:, None] + top) % size, (along + left) % size
            here, shared = made[:, :, rows, columns], known[rows, columns]
            chosen = torch.randint(k, (n, 1), generator=generator).to(patches.device)
            if shared.any():
                wanted, offered = (one[:, :, shared].flatten(1) for one in (here, patches))
                best = torch.cdist(wanted, offered).topk(min(_CHOICES, k), largest=False).indices
                chosen = best.gather(1, chosen % best.shape[1])
            new = patches[chosen[:, 0]]
            made[:, :, rows, columns] = torch.where(shared, (here + new) / 2, new)
            known[rows, columns] = True
    return made
