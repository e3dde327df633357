"""Monitors of masks: what they measure, and what they stop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scm.errors import ScmError
from scm.learning.cgn import CollapsedMaskError, Limits, mask_health, train_cgn
from scm.learning.cgn.health import MaskMonitor
from tests.learning.cgn.shared import tiny, toy


def test_health_is_measured_by_class() -> None:
    g = torch.Generator().manual_seed(0)
    m, y = torch.rand(30, 1, 9, 9, generator=g), torch.randint(3, (30,), generator=g)
    health = mask_health(m, y, classes=4)
    p, labels = m[:, 0].double().numpy(), y.numpy()
    at_border = np.ones((9, 9), bool)
    at_border[3:6, 3:6] = False
    for k in range(3):
        own = p[labels == k]
        bits = -(own * np.log2(own) + (1 - own) * np.log2(1 - own))
        assert health.mean[k].item() == pytest.approx(own.mean())
        assert health.border[k].item() == pytest.approx(own[:, at_border].mean())
        assert health.entropy[k].item() == pytest.approx(bits.mean())
    assert health.mean[3].isnan()
    assert 3 not in health.problems(Limits())


@pytest.mark.parametrize(
    ("masks", "labels", "message"),
    [
        (torch.ones(2, 8, 8), torch.tensor([0, 1]), r"expected \(n, 1, height, width\)"),
        (torch.ones(2, 1, 8, 8), torch.tensor([0, 3]), "classes 0 to 2: give classes="),
        (torch.ones(2, 1, 8, 8), torch.tensor([-1, 0]), "classes 0 to 2: give classes="),
        (torch.ones(2, 1, 8, 8), torch.tensor([0.0, 1.0]), "labels are torch.float32"),
    ],
)
def test_what_are_no_masks_with_classes(
    masks: torch.Tensor, labels: torch.Tensor, message: str
) -> None:
    with pytest.raises(ScmError, match=message):
        mask_health(masks, labels, classes=3)


def test_a_monitor_forgets() -> None:
    monitor = MaskMonitor(1, keep=0.5)
    for value in (1.0, 0.0, 0.0):
        monitor.add(torch.full((4, 1, 8, 8), value), torch.zeros(4, dtype=torch.int64))
    assert monitor.health().mean.item() == pytest.approx(0.25 / 1.75)


def test_an_inverted_class_is_named_with_what_was_measured() -> None:
    m = torch.zeros(6, 1, 16, 16)
    m[..., 5:11, 5:11] = 1
    y = torch.arange(6) % 3
    m[y == 1] = 1 - m[y == 1]
    with pytest.raises(
        CollapsedMaskError, match=r"class 1: mean 0\.859, .* border mean 1\.000"
    ) as e:
        mask_health(m, y, 3).check(Limits())
    assert e.value.classes == (1,)


def test_a_collapsing_run_is_stopped_early() -> None:
    images, labels = toy()
    settings = tiny(steps=60, batch=8, watch_from=0.3, limits=Limits(mean=(0.9, 1.0)))
    with pytest.raises(CollapsedMaskError, match="by step 50 of autoencode: class 0: mean"):
        train_cgn(images, labels, settings)
