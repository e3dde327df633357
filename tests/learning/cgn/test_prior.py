"""Standardised noise: the same shapes of real images, and typical ones from the prior."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from scm.learning.cgn import untrained
from scm.learning.cgn.prior import standardise
from tests.learning.cgn.shared import tiny, toy


def test_noise_is_standard_in_each_class_and_shapes_stay() -> None:
    images, labels = toy(400)
    cgn = untrained(tiny("double"))
    net, shape = cgn.encoder.net, cgn.mechanisms["M"]
    shown = torch.cat([images.flatten(1), F.one_hot(labels, 3).float()], 1)
    with torch.no_grad():
        last = net.layers[-1]
        last.weight.copy_(
            torch.randn(last.weight.shape, generator=torch.Generator().manual_seed(1))
        )
        last.bias.add_(0.5)
        before = shape.generate(net(shown).chunk(2, 1)[0][:, :3], labels)
        standardise(cgn, images, labels)
        mean, log_scale = (part[:, :3] for part in net(shown).chunk(2, 1))
        after = shape.generate(mean, labels)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=0)
    for label in range(3):
        own = mean[labels == label]
        assert own.mean(0).abs().max() < 1e-3
        variance = own.var(0, correction=0) + (2 * log_scale[labels == label]).exp().mean(0)
        torch.testing.assert_close(variance, torch.ones(3), atol=1e-2, rtol=0)


def test_a_class_without_images_stays_as_it_is() -> None:
    images, labels = toy(60)
    cgn = untrained(tiny("double"))
    with torch.no_grad():
        cgn.encoder.net.layers[-1].bias.add_(0.5)
    standardise(cgn, images[labels != 1], labels[labels != 1])
    assert torch.equal(cgn.mechanisms["M"].spread[1], torch.eye(3))
    assert not torch.equal(cgn.mechanisms["M"].spread[0], torch.eye(3))
