from __future__ import annotations

from pathlib import Path

import torch

from scm.datasets import digits
from scm.reproductions.digit_oracle import UNKNOWN, DigitOracle, worn


def test_the_oracle_reads_digits_and_doubts_noise(tmp_path: Path) -> None:
    real = digits()
    oracle = DigitOracle(networks=1, width=8, stride=1)
    oracle.train(real.images, real.labels, steps=150, progress=False)
    right, unknown = oracle.score(real.test_images, real.test_labels)
    assert right.value > 0.85
    assert unknown.value < 0.15

    answers = oracle.answers(real.test_images)
    assert torch.equal(oracle.about(3)(real.test_images), (answers == 3).double())
    sceptic = DigitOracle(networks=1, width=8, stride=1, sure=1.01)
    oracle.save(tmp_path / "oracle.safetensors")
    sceptic.load(tmp_path / "oracle.safetensors")
    assert set(sceptic.answers(real.test_images).tolist()) == {UNKNOWN}
    assert sceptic.about(3)(real.test_images).sum() == 0
    sceptic.sure = 0.5
    assert torch.equal(sceptic.answers(real.test_images), answers)


def test_worn_images_are_shifted_and_specked() -> None:
    image = torch.zeros(1, 1, 9, 9)
    image[..., 4, 4] = 1.0
    generator = torch.Generator().manual_seed(0)
    moved = worn(image.expand(200, 1, 9, 9), generator, shift=2, noise=0.0)
    assert torch.equal(moved.flatten(1).sum(1), torch.ones(200))
    rows, columns = moved[:, 0].nonzero()[:, 1:].T
    assert set(rows.tolist()) == set(columns.tolist()) == {2, 3, 4, 5, 6}
    specked = worn(image.expand(200, 1, 9, 9), generator, shift=0, noise=0.4)
    assert specked.min() == 0.0
    assert specked.max() == 1.0
    off = specked.masked_select(image.expand(200, 1, 9, 9) == 0)
    # E max(0, s n) = E s / sqrt(2 pi) with s uniform on [0, 0.4]: 0.0798; 200 strengths, so that
    # the standard error is about 0.4 / sqrt(12 * 200) / sqrt(2 pi) = 0.0033, and 5 of them.
    assert abs(float(off.mean()) - 0.2 / (2 * torch.pi) ** 0.5) < 0.0165
