"""The grid of patches by brute force, and what cannot be cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from scm.errors import ScmError
from scm.learning.cgn import Patches, patch_grid


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grid_by_loops(image, mask, side, size, temperature, uniform):
    """The rule of `patch_grid` window by window, and its upscaling pixel by pixel."""
    height, width = mask.shape
    scores = []
    for top, left in itertools.product(range(height - size + 1), range(width - size + 1)):
        share = sum(
            mask[y, x] for y in range(top, top + size) for x in range(left, left + size)
        ) / (size * size)
        gumbel = -np.log(-np.log(uniform[len(scores)]))
        scores.append((share / temperature + gumbel, top, left))
    scores.sort(reverse=True)
    edge = side * size
    grid = np.zeros((image.shape[0], edge, edge))
    for k, (_, top, left) in enumerate(scores[: side * side]):
        y, x = size * (k // side), size * (k % side)
        grid[:, y : y + size, x : x + size] = image[:, top : top + size, left : left + size]

    def along(pixels: int) -> np.ndarray:
        matrix = np.zeros((pixels, edge))
        for p in range(pixels):
            at = min(max((p + 0.5) * edge / pixels - 0.5, 0), edge - 1)
            low = int(at)
            high = min(low + 1, edge - 1)
            matrix[p, low] += 1 - (at - low)
            matrix[p, high] += at - low
        return matrix

    return along(height) @ grid @ along(width).T


def test_the_patch_grid_is_that_of_a_search_by_brute_force() -> None:
    images = torch.rand(2, 3, 14, 11, generator=generator(), dtype=torch.float64)
    masks = torch.rand(2, 1, 14, 11, generator=generator(1), dtype=torch.float64)
    found = patch_grid(images, masks, side=3, size=3, temperature=0.05, seed=5)
    uniform = torch.rand(2, 12 * 9, generator=generator(5), dtype=torch.float64).numpy()
    for k in range(2):
        expected = grid_by_loops(images[k].numpy(), masks[k, 0].numpy(), 3, 3, 0.05, uniform[k])
        np.testing.assert_allclose(found[k], expected, atol=1e-12)


def test_patches_of_the_papers_size_come_from_under_the_mask() -> None:
    masks = torch.zeros(1, 1, 90, 90)
    masks[..., 20:60, 30:70] = 1
    images = torch.rand(1, 3, 90, 90, generator=generator())
    images = images.where(masks.bool(), torch.tensor(-1.0))
    grid = patch_grid(images, masks, temperature=1e-3)
    assert grid.shape == images.shape
    assert grid.min() >= 0
    assert not torch.equal(grid, patch_grid(images, masks, temperature=1e-3, seed=1))
    patches = grid.unfold(2, 15, 15).unfold(3, 15, 15).permute(0, 2, 3, 1, 4, 5).reshape(36, -1)
    assert len(patches.unique(dim=0)) == 36  # drawn without replacement


def test_patches_that_cannot_be_cut_are_refused() -> None:
    images, masks = torch.zeros(1, 3, 16, 16), torch.zeros(1, 1, 16, 16)
    with pytest.raises(ScmError, match="have 4 windows of 15x15, and a grid of 6x6 needs 36"):
        patch_grid(images, masks)
    with pytest.raises(ScmError, match=r"expected \(n, c, h, w\) and \(n, 1, h, w\)"):
        patch_grid(images, masks.expand(1, 3, 16, 16))
    with pytest.raises(ScmError, match="'composite' or 'biggan'"):
        Patches(source="mask")
