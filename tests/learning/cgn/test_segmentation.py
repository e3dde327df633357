"""Shapes are found where colours tell object from background; textures are of where masks say."""

from __future__ import annotations

import torch
from torch import Tensor

from scm.learning.cgn import train_cgn
from scm.learning.cgn.segmentation import odds_of
from tests.learning.cgn.shared import tiny


def textured(n: int = 300) -> tuple[Tensor, Tensor, Tensor]:
    """Squares and crosses of two colours on grounds of two others, by class; and their masks."""
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (n,), generator=g)
    masks = torch.zeros(2, 1, 16, 16)
    masks[0, :, 5:11, 5:11] = masks[1, :, 4:12, 7:10] = masks[1, :, 6:9, 4:12] = 1
    colours = torch.tensor([[[1.0, 0, 0], [1, 1, 0]], [[0, 0, 1.0], [0, 1, 1]]])
    chosen = torch.randint(2, (2, n, 16, 16), generator=g)
    front, back = (
        colours[which, picked].permute(0, 3, 1, 2)
        for which, picked in zip(
            ((labels)[:, None, None], (1 - labels)[:, None, None]), chosen, strict=True
        )
    )
    m = masks[labels]
    return m * front + (1 - m) * back, labels, m


def test_a_shape_is_what_tells_colours_apart() -> None:
    images, labels, truth = textured()
    settings = tiny(
        "wildlife", size=16, classes=2, patch=(3, 5), overlap=1, steps=300, batch=32, colours=8,
        patches=60, quilts=8, frozen=5, shape_width=16, encoder_width=8,
    )  # fmt: skip
    cgn = train_cgn(images, labels, settings, seed=0)
    odds = odds_of(cgn)
    front, back = odds.log_chances(images, labels)
    assert (((front > back).float() - truth).abs().mean()) < 0.01
    masks = cgn.abduct({"X": images, "Y": labels}, seed=0)["M"].round()
    inside, either = (masks * truth).sum(), (masks + truth).clamp(max=1).sum()
    assert inside / either > 0.85
    # red and yellow, blue and cyan: the first class's objects hold no blue, its grounds no red
    assert cgn.mechanisms["F"].bank[0][:, 2].mean() < 0.1
    assert cgn.mechanisms["B"].bank[0][:, 0].mean() < 0.01
    assert cgn.mechanisms["F"].bank[1][:, 0].mean() < 0.1
    units = cgn.sample(200, seed=1)
    assert units.do(Y3=0)["B"][:, 0].max() < 0.01
