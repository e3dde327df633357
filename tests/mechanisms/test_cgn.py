"""Mechanisms of a CGN: the contract of mechanisms, and the randomness that is their noise."""

from __future__ import annotations

import itertools
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy import stats

from scm.errors import MechanismError
from scm.mechanisms import Categorical, Real
from scm.mechanisms.cgn import (
    ColourTexture,
    LinearByLabel,
    Shape,
    compose,
    toroidal_crop,
)
from scm.mechanisms.cgn_conv import ConvShape, ConvTexture, shuffle_patches
from scm.mechanisms.cgn_patches import QuiltTexture
from tests.mechanisms.contract import Case, MechanismContract, generator, run, trial

LABEL = {"Y": Categorical(3)}


class TestCGNMechanisms(MechanismContract):
    cases: ClassVar = {
        "shape": Case(lambda: Shape(8, 4, 8), LABEL),
        "shape, peak": Case(lambda: Shape(8, 4, 8, peak=True), LABEL),
        "colour": Case(lambda: ColourTexture(8), LABEL),
        "colour, stretched": Case(lambda: ColourTexture(8, stretch=0.1), LABEL),
        "quilts": Case(lambda: QuiltTexture(8, 5), LABEL),
        "published shape": Case(lambda: ConvShape(8, 4, 4), LABEL),
        "patches": Case(lambda: ConvTexture(8, 4, 4), LABEL),
        "crop": Case(lambda: ConvTexture(8, 4, 4, "crop"), LABEL),
    }

    def test_images_are_in_their_range(self, case: Case) -> None:
        mechanism = case.build()
        out = run(mechanism, *trial(mechanism, 50))
        assert out.min() >= 0
        assert out.max() <= 1


def test_a_layer_for_each_label_is_that_of_the_label() -> None:
    layer = LinearByLabel(3, 4, 5)
    u, y = torch.randn(9, 4, generator=generator(0)), torch.arange(9) % 3
    with torch.no_grad():
        layer.bias += 1.0
        out = layer(u, y)
        for row in range(9):
            expected = u[row] @ layer.weight[y[row]] + layer.bias[y[row]]
            torch.testing.assert_close(out[row], expected)


def test_the_composer_is_alpha_blending() -> None:
    g = np.random.default_rng(0)
    m, f, b = g.random((5, 1, 4, 4)), g.random((5, 3, 4, 4)), g.random((5, 3, 4, 4))
    ours = compose(*map(torch.tensor, (m, f, b))).numpy()
    np.testing.assert_allclose(ours, m * f + (1 - m) * b, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_patches_are_those_of_the_image_in_the_order_of_the_keys(k: int) -> None:
    image = torch.rand(1, 3, 8, 8, generator=generator(0))
    keys = torch.rand(1, k * k, generator=generator(1))
    out = shuffle_patches(image, keys)[0]
    side = 8 // k
    blocks = [
        image[0, :, i * side : (i + 1) * side, j * side : (j + 1) * side]
        for i, j in itertools.product(range(k), repeat=2)
    ]
    for place, source in enumerate(np.argsort(keys[0].numpy())):
        i, j = divmod(place, k)
        patch = out[:, i * side : (i + 1) * side, j * side : (j + 1) * side]
        assert torch.equal(patch, blocks[source])


def test_every_order_of_four_patches_is_as_likely() -> None:
    """Chi-square on 24 orders; false-alarm rate 1e-3, the seed is fixed."""
    image = torch.arange(4.0).reshape(1, 1, 2, 2).expand(4800, -1, -1, -1)
    out = shuffle_patches(image, torch.randn(4800, 4, generator=generator(2)))
    codes = (out.flatten(1) * torch.tensor([64.0, 16.0, 4.0, 1.0])).sum(1)
    counts = codes.unique(return_counts=True)[1].numpy()
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_toroidal_crop_is_a_window_of_the_tiled_canvas() -> None:
    canvas = torch.rand(40, 2, 6, 6, generator=generator(3))
    places = torch.randn(40, 2, generator=generator(4))
    out = toroidal_crop(canvas, places, 4)
    tiled = np.tile(canvas.numpy(), (1, 1, 2, 2))
    corners = np.floor(stats.norm.cdf(places.double().numpy()) * 6).astype(int)
    for i, (y, x) in enumerate(corners):
        np.testing.assert_array_equal(out[i].numpy(), tiled[i, :, y : y + 4, x : x + 4])


def test_extreme_noise_stays_on_the_canvas() -> None:
    canvas = torch.rand(2, 1, 4, 4, generator=generator(5))
    assert toroidal_crop(canvas, torch.tensor([[40.0, -40.0], [0.0, 40.0]]), 4).shape == (
        2,
        1,
        4,
        4,
    )


def test_a_texture_noise_beyond_the_latent_moves_it_and_changes_no_pixel_value() -> None:
    texture = ConvTexture(8, 4, 4, "crop")
    texture.bind("F", LABEL)
    parents, noise = trial(texture, 6)
    moved = noise.clone()
    moved[:, 4:] += 0.7
    before, after = run(texture, parents, noise), run(texture, parents, moved)
    assert not torch.equal(before, after)
    torch.testing.assert_close(before.flatten(2).sort().values, after.flatten(2).sort().values)


def test_a_temperature_sharpens_the_mask_about_a_half() -> None:
    shape = Shape(8, 4, 8)
    shape.bind("M", LABEL)
    parents, noise = trial(shape)
    plain = run(shape, parents, noise).double()
    shape.temperature = 2.0
    sharp = run(shape, parents, noise).double()
    torch.testing.assert_close(sharp.logit(), 2 * plain.logit(), rtol=1e-3, atol=1e-3)


def test_stretched_colours_reach_black_and_white() -> None:
    texture = ColourTexture(1, stretch=0.05)
    logits = torch.tensor([[-2.9, 0.0, 2.9], [-3.1, 1.0, 3.1]])  # sigmoid(-3.1) < e / (1 + 2 e)
    shown = texture.paint(logits)[:, :, 0, 0]
    expected = [[0.0074, 0.5, 0.9926], [0.0, 1.1 / (1 + np.exp(-1.0)) - 0.05, 1.0]]
    np.testing.assert_allclose(shown, expected, atol=1e-3)
    assert (shown[1, 0], shown[1, 2]) == (0, 1)
    with pytest.raises(MechanismError, match=r"stretch=-1\) was given; expected 0 or more"):
        ColourTexture(stretch=-1)


def test_a_peak_is_one() -> None:
    shape = Shape(8, 4, 8, peak=True)
    shape.bind("M", LABEL)
    torch.testing.assert_close(run(shape, *trial(shape)).amax((1, 2, 3)), torch.ones(12))


@pytest.mark.parametrize("parents", [{}, {"Y": Real()}, {"Y": Categorical(2), "Z": Categorical(2)}])
def test_other_parents_than_one_label_are_refused(parents: dict) -> None:
    with pytest.raises(MechanismError, match="Categorical label"):
        Shape(8).bind("M", parents)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MechanismError, match="8 divides"):
        Shape(12)
    with pytest.raises(MechanismError, match="patches and 4 divide"):
        ConvTexture(32, patches=5)
    with pytest.raises(MechanismError, match="multiple of 4, at least 8"):
        ConvShape(4)
