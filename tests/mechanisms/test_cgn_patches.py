"""Quilts are chosen evenly by their noise; pixels are told apart by a label's own colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scm.errors import MechanismError
from scm.mechanisms import Categorical
from scm.mechanisms.cgn_patches import PixelOdds, QuiltTexture


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bound(*arguments: int) -> QuiltTexture:
    texture = QuiltTexture(*arguments)
    texture.bind("F", {"Y": Categorical(3)})
    return texture


def test_a_quilt_of_the_label_is_shown_shifted() -> None:
    texture = bound(6, 4)
    texture.bank.copy_(torch.rand(texture.bank.shape, generator=generator(0)))
    noise, labels = torch.randn(20, 3, generator=generator(1)), torch.arange(20) % 3
    out = texture.generate(noise, labels).numpy()
    chance = torch.special.ndtr(noise).numpy()
    for n in range(20):
        frame = texture.bank[labels[n], int(4 * chance[n, 0])].numpy()
        down, right = (int(6 * value) for value in chance[n, 1:])
        np.testing.assert_array_equal(out[n], np.roll(frame, (-down, -right), (1, 2)))


def test_each_quilt_is_as_likely() -> None:
    texture = bound(4, 5)
    texture.bank.copy_(torch.arange(5.0).view(1, 5, 1, 1, 1).expand_as(texture.bank))
    n = 20_000
    noise = torch.randn(n, 3, generator=generator(2))
    shown = texture.generate(noise, torch.zeros(n, dtype=torch.int64))[:, 0, 0, 0]
    share = torch.bincount(shown.long(), minlength=5) / n
    # 5 standard errors: once in a million runs by chance, over five shares
    assert (share - 0.2).abs().max() < 5 * (0.2 * 0.8 / n) ** 0.5


def test_extreme_noise_shows_the_last_quilt() -> None:
    texture = bound(4, 5)
    texture.bank[:, 4] = 0.75
    out = texture.generate(torch.full((1, 3), 40.0), torch.tensor([1]))
    assert out.unique().tolist() == [0.75]


def test_a_bank_of_nothing_is_refused() -> None:
    with pytest.raises(MechanismError, match=r"quilts=0.*at least one quilt"):
        QuiltTexture(8, 0)


def odds_by_hand() -> PixelOdds:
    odds = PixelOdds(size=2, classes=2, colours=2)
    odds.set_palette(0, torch.tensor([[0.0] * 3, [1.0] * 3]))
    odds.set_palette(1, torch.tensor([[1.0] * 3, [0.0] * 3]))
    odds.front.copy_(torch.tensor([[0.1, 0.9], [0.5, 0.5]]))
    odds.back.copy_(torch.tensor([[0.8, 0.2], [0.25, 0.75]]))
    return odds


def test_odds_are_those_of_the_nearest_colour() -> None:
    image = torch.tensor([[0.1, 0.9], [0.6, 0.2]]).expand(1, 3, 2, 2)
    bright, dark = 0.9 / (0.9 + 0.2), 0.1 / (0.1 + 0.8)
    expected = torch.tensor([[dark, bright], [bright, dark]])
    found = odds_by_hand()(image, torch.tensor([0]))
    torch.testing.assert_close(found[0, 0], expected, atol=1e-3, rtol=0)


def test_shares_count_the_pixels_of_each_label() -> None:
    odds = odds_by_hand()
    colours, labels = torch.tensor([[0, 0, 1], [1, 1, 1]]), torch.tensor([0, 1])
    weights = torch.tensor([[1.0, 2.0, 1.0], [0.5, 0.5, 0.5]])
    found = odds.shares(colours, labels, weights)
    torch.testing.assert_close(found, torch.tensor([[0.75, 0.25], [0.0, 1.0]]), atol=2e-3, rtol=0)
