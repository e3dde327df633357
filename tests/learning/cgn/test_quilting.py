"""Quilts hold nothing but their patches, which continue one another around a torus."""

from __future__ import annotations

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from scm.learning.cgn.quilting import quilt


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    period=st.integers(2, 3),
    step=st.integers(1, 4),
    overlap=st.integers(1, 3),
    repeats=st.integers(1, 2),
    seed=st.integers(0, 2**32),
)
def test_windows_of_a_periodic_texture_are_put_together_to_that_texture(
    period: int, step: int, overlap: int, repeats: int, seed: int
) -> None:
    tile = torch.rand(2, period, period, generator=generator(seed))
    side, size = step + overlap, period * step * repeats
    assume(period <= side <= size)  # else an overlap does not tell where in the period it is
    shifts = [(i, j) for i in range(period) for j in range(period)]
    whole = tile.repeat(1, size // period, size // period)
    shifted = torch.stack([whole.roll(shift, (1, 2)) for shift in shifts])
    windows = shifted[:, :, :side, :side].repeat(3, 1, 1, 1)  # so that three of them fit
    made = quilt(windows, 4, size, overlap, generator(seed))
    apart = (made[:, None] - shifted[None]).abs().amax((2, 3, 4)).amin(1)
    assert apart.max() < 1e-6


def test_without_overlaps_cells_are_patches_and_each_is_as_likely() -> None:
    patches = torch.rand(5, 3, 2, 2, generator=generator(1))
    n = 2000
    made = quilt(patches, n, 6, 0, generator(2))
    cells = made.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
    which = (cells[:, None] == patches).all(-1).all(-1).all(-1)
    assert which.any(1).all()
    share = which.float().mean(0)
    # 5 standard errors of 9 n draws
    assert (share - 0.2).abs().max() < 5 * (0.2 * 0.8 / (9 * n)) ** 0.5


def test_patches_follow_those_that_they_fit() -> None:
    """Against a loop over places which takes the nearest patch, where all three are alike."""
    offered = torch.rand(7, 1, 3, 3, generator=generator(3))
    patches = offered.repeat(3, 1, 1, 1)
    (made,) = quilt(patches, 1, 4, 1, generator(4))
    first = int(torch.randint(21, (1, 1), generator=generator(4))) % 7
    expected, known = torch.zeros(4, 4), torch.zeros(4, 4, dtype=torch.bool)
    for top in (0, 2):
        for left in (0, 2):
            places = [((top + i) % 4, (left + j) % 4, i, j) for i in range(3) for j in range(3)]
            costs = [
                sum(float(expected[y, x] - p[0, i, j]) ** 2 for y, x, i, j in places if known[y, x])
                for p in offered
            ]
            best = first if not known.any() else costs.index(min(costs))
            for y, x, i, j in places:
                new = float(offered[best, 0, i, j])
                expected[y, x] = (float(expected[y, x]) + new) / 2 if known[y, x] else new
            for y, x, _, _ in places:
                known[y, x] = True
    torch.testing.assert_close(made[0], expected)
