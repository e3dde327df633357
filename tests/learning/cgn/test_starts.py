"""Trainings start with the colours of object and background the right way round."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from scm.learning.cgn.starts import start_colours
from scm.learning.cgn.training import untrained
from tests.learning.cgn.shared import COLOURS, tiny, toy

CHANNEL = st.floats(0.05, 0.95)
COLOUR = st.tuples(CHANNEL, CHANNEL, CHANNEL)


def started(images: torch.Tensor, labels: torch.Tensor, cover: float) -> list[torch.Tensor]:
    cgn = untrained(tiny(size=images.shape[-1]), seed=0)
    start_colours(cgn, images, labels, cover, torch.Generator().manual_seed(0))
    return [torch.sigmoid(cgn.mechanisms[node].linear.bias.detach()) for node in ("F", "B")]


@given(front=st.tuples(COLOUR, COLOUR, COLOUR), back=st.tuples(COLOUR, COLOUR, COLOUR))
def test_two_colours_of_a_class_are_found_whatever_they_are(front, back) -> None:
    """On 16x16 images with a square of 16 pixels, of which 5% (13 pixels) are taken for it."""
    labels = torch.arange(3).repeat(4)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 6:10, 6:10] = 1
    f, b = (torch.tensor(colours)[labels][:, :, None, None] for colours in (front, back))
    found = started(mask * f + (1 - mask) * b, labels, cover=0.05)
    torch.testing.assert_close(found[0], torch.tensor(front), atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1], torch.tensor(back), atol=1e-4, rtol=0)


def test_a_class_without_images_keeps_its_colours() -> None:
    images, labels = toy()  # the bar and the square: 8 and 16 pixels
    images, labels = F.pad(images[labels < 2], (4, 4, 4, 4), mode="replicate"), labels[labels < 2]
    front, back = started(images, labels, cover=8 / 256)
    torch.testing.assert_close(front[:2], COLOURS[:2], atol=0.02, rtol=0)
    torch.testing.assert_close(back[:2], COLOURS[1:], atol=1e-4, rtol=0)
    torch.testing.assert_close(front[2], torch.full((3,), 0.5))
