from __future__ import annotations

import builtins
import importlib
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scm import ScmError
from scm.learning import ConvNet, HeadEnsemble, SmallCNN, features, grad_cam, mask_iou, tsne

IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_grad_cam_by_hand() -> None:
    """With a mean pool and a linear layer, a channel's weight is that of the layer, over h w."""
    pytest.importorskip("captum")

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 5, 3, padding=1)
            self.linear = nn.Linear(5, 4)

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.linear(self.convolution(images).mean((2, 3)))
            return logits

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Pooled()
    classes = torch.tensor([0, 1, 2, 3, 0, 1])
    found = grad_cam(network, IMAGES, classes, batch=4).numpy()
    with torch.no_grad():
        maps, weights = network.convolution(IMAGES).numpy(), network.linear.weight.numpy()
    for i in range(6):
        heat = np.maximum(np.einsum("c,chw->hw", weights[classes[i]] / 64, maps[i]), 0)
        np.testing.assert_allclose(found[i], heat / heat.max() if heat.max() else heat, atol=1e-5)
    assert network.training


def test_grad_cam_of_one_head_and_of_predictions() -> None:
    pytest.importorskip("captum")
    ensemble = HeadEnsemble(ConvNet()).eval()
    found = grad_cam(ensemble.head("texture"), IMAGES)
    assert found.shape == (6, 8, 8)
    assert 0 <= found.min() <= found.max() <= 1
    with torch.no_grad():
        predicted = ensemble.head("texture")(IMAGES).argmax(1)
    torch.testing.assert_close(found, grad_cam(ensemble.head("texture"), IMAGES, predicted))


@pytest.mark.parametrize("classes", [[0, 1, 2, 3, 4, 10], [0, 1, 2, 3, 4, -1], [0, 1]])
def test_grad_cam_of_classes_that_are_not(classes: list[int]) -> None:
    pytest.importorskip("captum")
    with pytest.raises(ScmError, match=r"for 6 images; expected \(6,\) from 0 to 9"):
        grad_cam(ConvNet(), IMAGES, torch.tensor(classes))
    with pytest.raises(ScmError, match="no images"):
        grad_cam(ConvNet(), IMAGES[:0])


def test_without_captum_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("captum"):
            raise ImportError("no captum")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ScmError, match=r"pip install 'neural-scm\[vision\]'"):
        grad_cam(SmallCNN(3), IMAGES)


def test_captum_is_not_imported_before_it_is_needed() -> None:
    assert "captum" not in vars(importlib.import_module("scm.learning.explanations"))
    assert sys.modules["scm.learning"] is not None


def test_mask_iou_by_brute_force() -> None:
    generator = torch.Generator().manual_seed(1)
    heat, masks = torch.rand(7, 5, 6, generator=generator), torch.rand(7, 5, 6, generator=generator)
    each = []
    for i in range(7):
        both = either = 0
        for y in range(5):
            for x in range(6):
                h, m = bool(heat[i, y, x] > 0.3), bool(masks[i, y, x] > 0.5)
                both, either = both + (h and m), either + (h or m)
        each.append(both / either)
    found = mask_iou(heat, masks, threshold=0.3)
    assert found.value == pytest.approx(np.mean(each))
    assert found.stderr == pytest.approx(np.std(each, ddof=1) / 7**0.5)
    assert mask_iou(heat, masks > 0.5, threshold=0.3) == found


def test_mask_iou_refuses_empty_masks() -> None:
    masks = torch.ones(3, 4, 4)
    masks[1] = 0
    with pytest.raises(ScmError, match="1 of 3 masks are empty \\(the first: image 1\\)"):
        mask_iou(torch.ones(3, 4, 4), masks)
    with pytest.raises(ScmError, match="expected \\(n, height, width\\)"):
        mask_iou(torch.ones(3, 4, 4), torch.ones(3, 8, 8))
    for heat in (2 * torch.ones(3, 4, 4), torch.full((3, 4, 4), torch.nan)):
        with pytest.raises(ScmError, match=r"expected \[0, 1\]: divide each map by its maximum"):
            mask_iou(heat, torch.ones(3, 4, 4))


def test_features_and_their_plane() -> None:
    network = ConvNet(widths=(4, 4, 8)).eval()
    found = features(network, IMAGES, batch=4)
    with torch.no_grad():
        torch.testing.assert_close(found, network.layers[:-1](IMAGES))
    two = torch.cat([IMAGES[:1].expand(20, -1, -1, -1), -IMAGES[:1].expand(20, -1, -1, -1)])
    noise = 0.01 * torch.randn(two.shape, generator=torch.Generator().manual_seed(0))
    plane = tsne(network, two + noise, perplexity=5, seed=0)
    assert plane.shape == (40, 2)
    assert torch.equal(plane, tsne(network, two + noise, perplexity=5, seed=0))
    distances = torch.cdist(plane, plane).fill_diagonal_(torch.inf)
    assert ((distances.argmin(1) < 20) == (torch.arange(40) < 20)).all()
    with pytest.raises(ScmError, match="more images than the perplexity"):
        tsne(network, IMAGES)
