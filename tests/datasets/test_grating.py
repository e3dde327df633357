"""Gratings and bars, against enumeration by hand.

Each sampled frequency is held within 4.5 standard errors of the exact one: a false alarm of
7e-6 a comparison.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import scm
from scm import ScmError
from scm.datasets import bar_codes, bar_images, bars, gratings, has_column, has_row

CHANCES = ((0.1, 0.4), (0.6, 0.9))
N = 20_000


def read_by_hand(image: np.ndarray) -> tuple[bool, bool]:
    """Whether some row, and some column, is black all along: loops over pixels."""
    size = len(image)
    row = any(all(image[y][x] == 1 for x in range(size)) for y in range(size))
    column = any(all(image[y][x] == 1 for y in range(size)) for x in range(size))
    return row, column


@pytest.fixture(scope="module")
def units() -> scm.Samples:
    return gratings().sample(N, seed=7)


def test_bars_are_those_of_the_coins_and_of_no_other(units):
    for index in range(300):
        row, column = read_by_hand(units["I"][index, 0].numpy())
        assert (row, column) == (bool(units["H2"][index]), bool(units["H1"][index]))
    assert torch.equal(units["C"], units["H2"])
    assert torch.equal(units["S"], units["H1"])
    assert set(units["I"].unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(("size", "noise"), [(2, 0.6), (3, 0.3), (4, 0.5)])
def test_noise_completes_no_bar(size, noise):
    units = gratings(size, noise).sample(5000, seed=1)
    rows = (units["I"] == 1).all(-1).sum((1, 2))
    columns = (units["I"] == 1).all(-2).sum((1, 2))
    full = (units["I"] == 1).all(-1).all(-1).squeeze(1)
    assert not full.any()
    assert torch.equal(rows, units["H2"])
    assert torch.equal(columns, units["H1"])


def test_bars_stand_anywhere_and_noise_has_its_share(units):
    for bar, axis in (("H1", -2), ("H2", -1)):
        only = units["I"][units[bar] == 1]
        where = (only == 1).all(axis).float().argmax(-1).flatten()
        counts = torch.bincount(where, minlength=10).double() / len(where)
        assert (counts - 0.1).abs().max() < 4.5 * math.sqrt(0.09 / len(where))
    blank = units["I"][(units["H1"] == 0) & (units["H2"] == 0)]
    share = blank.double().mean()
    assert abs(share - 0.03) < 4.5 * math.sqrt(0.03 * 0.97 / blank.numel())
    assert not gratings(noise=0.0).do(H1=0, H2=0).sample(50, seed=0)["I"].any()


def test_behaviour_has_its_chances_observed_and_manipulated(units):
    model = gratings()
    for h, r in itertools.product((0, 1), repeat=2):
        image = torch.zeros(1, 10, 10)
        image[:, 4] = float(r)
        observed = units["T"][(units["H1"] == h) & (units["H2"] == r)].double()
        p = CHANCES[h][r]
        assert abs(observed.mean() - p) < 4.5 * math.sqrt(p * (1 - p) / len(observed))
        done = model.man(I=image).do(H1=h).sample(N, seed=3)["T"].double().mean()
        assert abs(done - p) < 4.5 * math.sqrt(p * (1 - p) / N)
    column = torch.zeros(1, 10, 10)
    column[:, :, 4] = 1.0
    share = model.man(I=column).sample(N, seed=5)["T"].double().mean()
    assert abs(share - 0.35) < 4.5 * math.sqrt(0.35 * 0.65 / N)


def test_behaviour_has_a_density_a_way_back_and_a_fit(units):
    model = gratings()
    behaviour = model.mechanisms["T"]
    parents = {"H1": units["H1"], "I": units["I"]}
    logs = behaviour.log_prob(units["T"], parents).exp()
    table = torch.tensor(CHANCES)[units["H1"], units["H2"]]
    expected = torch.where(units["T"] == 1, table, 1 - table)
    torch.testing.assert_close(logs, expected)
    back = behaviour.abduct(units["T"], parents, torch.rand(N, generator=torch.Generator()))
    assert torch.equal(behaviour(parents, back), units["T"])
    behaviour.fit(units["T"], parents)
    observed = units["T"][(units["H1"] == 1) & (units["H2"] == 0)].double().mean()
    torch.testing.assert_close(behaviour.probs[1, 0, 1], observed)
    with pytest.raises(ScmError, match="needs tables"):
        model.exact()


def test_model_is_saved_and_read(tmp_path: Path):
    model = gratings(size=4, noise=0.1)
    model.save(tmp_path / "model.scm")
    same = scm.load(tmp_path / "model.scm").sample(30, seed=2)
    for node, value in model.sample(30, seed=2).items():
        assert torch.equal(same[node], value)


def test_codes_are_bits_of_pixels():
    images = bar_images(3)
    assert images.shape == (512, 1, 3, 3)
    assert torch.equal(bar_codes(images), torch.arange(512))
    for code in (0, 1, 5, 256, 511):
        by_hand = [code >> p & 1 for p in range(9)]
        assert images[code].flatten().tolist() == by_hand


@pytest.mark.parametrize("size", [2, 3])
def test_bars_equal_an_enumeration(size):
    """P(T, I) by summing over coins and images in plain Python."""
    codes = range(2**size**2)
    readings = [
        read_by_hand(np.array([c >> p & 1 for p in range(size**2)]).reshape(size, size))
        for c in codes
    ]
    numbers = {key: readings.count(key) for key in itertools.product((False, True), repeat=2)}
    joint = bars(size).exact()
    given = joint.table("T", given="I").values
    done = joint.table("T", do="I").values
    for code, (row, column) in enumerate(readings):
        assert joint.prob({"I": code}) == pytest.approx(0.25 / numbers[row, column])
        assert given[code][1] == pytest.approx(CHANCES[column][row])
        effect = (CHANCES[0][row] + CHANCES[1][row]) / 2
        assert done[code][1] == pytest.approx(effect)


def test_readers_take_any_batch():
    images = bar_images(3).view(8, 64, 1, 3, 3)
    assert has_row(images).shape == has_column(images).shape == (8, 64)
    assert torch.equal(has_row(images), has_column(images.mT))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: gratings(1), "size >= 2"),
        (lambda: gratings(noise=1.0), "0 <= noise < 1"),
        (lambda: gratings(chances=((0.1, 0.2),)), "two rows of two"),
        (lambda: gratings(chances=((0.1, 0.2), (0.3, 1.2))), "between 0 and 1"),
        (lambda: bars(5), "2, 3 or 4"),
        (lambda: bars(1), "2, 3 or 4"),
    ],
)
def test_bad_input(make, match):
    with pytest.raises(ScmError, match=match):
        make()


def test_bars_of_four_answer():
    row = int(bar_codes(torch.eye(4)[:1].T.expand(1, 4, 4)))
    assert bars(4).exact().prob({"T": 1}, do={"I": row}) == pytest.approx(0.65)
