from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from scm import ScmError
from scm.learning import (
    ConvNet,
    Grey,
    HeadEnsemble,
    SmallCNN,
    Standardise,
    predict,
    torchvision_classifier,
)
from scm.learning.layers import last_convolution, last_linear, watching

IMAGES = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [8, 28, 32])
def test_the_convnet_takes_any_size(size: int) -> None:
    assert ConvNet()(torch.rand(2, 3, size, size)).shape == (2, 10)


def test_initial_weights_come_from_the_seed_alone() -> None:
    before = torch.get_rng_state()
    a, b, c = (ConvNet(seed=s).layers[0].weight for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_standardise_is_the_z_score_of_each_channel_of_each_image() -> None:
    images = IMAGES.clone()
    images[0, 1] = 0.3
    values = images.double().numpy()
    mean, sd = values.mean((2, 3), keepdims=True), values.std((2, 3), keepdims=True)
    wanted = (values - mean) / np.sqrt(sd**2 + 1e-5)
    np.testing.assert_allclose(Standardise()(images).numpy(), wanted, atol=2e-4)
    # What it is for: colours do not reach the network.
    coloured = IMAGES * torch.tensor([0.9, 0.5, 0.4]).view(3, 1, 1) + 0.05
    seen = Standardise(eps=0.0)
    torch.testing.assert_close(seen(IMAGES), seen(coloured), atol=1e-4, rtol=1e-3)


def test_grey_keeps_luma_alone() -> None:
    grey = Grey()(IMAGES)
    wanted = np.einsum("c,nchw->nhw", [0.299, 0.587, 0.114], IMAGES.numpy())
    for channel in range(3):
        np.testing.assert_allclose(grey[:, channel].numpy(), wanted, atol=1e-6)
    with pytest.raises(ScmError, match="grey already"):
        Grey()(torch.rand(2, 1, 8, 8))


@pytest.mark.parametrize("network", [ConvNet(1), SmallCNN(1)], ids=["ConvNet", "SmallCNN"])
def test_images_of_other_channels_are_refused(network: nn.Module) -> None:
    with pytest.raises(ScmError, match=r"of 1 channel.*expected \(n, 1, height, width\)"):
        network(IMAGES)
    with pytest.raises(ScmError, match=r"expected \(n, channels, height, width\)"):
        Standardise()(IMAGES[0])


def test_an_ensemble_averages_log_probabilities() -> None:
    ensemble = HeadEnsemble(nn.Sequential(Standardise(), SmallCNN(3)), ("a", "b"), classes=4)
    with torch.no_grad():
        heads = [ensemble.head(name)(IMAGES).log_softmax(1).numpy() for name in ("a", "b")]
        np.testing.assert_allclose(ensemble(IMAGES).numpy(), sum(heads) / 2, rtol=1e-5)
        assert ensemble.heads(IMAGES).shape == (5, 2, 4)
    assert not np.allclose(heads[0], heads[1])
    with pytest.raises(ScmError, match="did you mean 'shape'"):
        HeadEnsemble(SmallCNN(3)).head("Shape")
    with pytest.raises(ScmError, match="distinct names"):
        HeadEnsemble(SmallCNN(3), ("a", "a"))


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v3_small"])
def test_any_torchvision_classifier_gets_heads(name: str) -> None:
    network = torchvision_classifier(name, classes=9)
    if name == "squeezenet1_1":
        with pytest.raises(ScmError, match=r"no nn\.Linear"):
            HeadEnsemble(network)
        return
    ensemble = HeadEnsemble(network).eval()
    with torch.no_grad():
        assert ensemble.heads(torch.rand(2, 3, 64, 64)).shape == (2, 3, 9)


def test_a_layer_that_is_not_the_output_is_found_out() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.output = nn.Linear(3, 4)
            self.hidden = nn.Linear(3, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.output(self.hidden(images.mean((2, 3))))
            return logits

    with pytest.raises(ScmError, match="not the network's output layer"):
        HeadEnsemble(Backwards())(IMAGES)


def test_a_head_leaves_the_mode_of_its_ensemble_alone() -> None:
    ensemble = HeadEnsemble(ConvNet()).eval()
    predict(ensemble.head("shape"), IMAGES)
    assert not any(module.training for module in ensemble.modules())


def test_weights_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(torchvision_classifier("resnet18", classes=9, seed=1).state_dict(), path)
    loaded = torchvision_classifier("resnet18", classes=9, weights=path)
    wanted = torchvision_classifier("resnet18", classes=9, seed=1)
    assert all(map(torch.equal, loaded.state_dict().values(), wanted.state_dict().values()))
    said = r"weights of this ResNet: fc\.weight has shape \(9, 512\), expected \(8, 512\); fc\.bias"
    with pytest.raises(ScmError, match=said):
        torchvision_classifier("resnet18", classes=8, weights=path)
    with pytest.raises(ScmError, match="there is no file"):
        torchvision_classifier("resnet18", weights=tmp_path / "none.pt")
    with pytest.raises(ScmError, match="did you mean 'resnet50'"):
        torchvision_classifier("Resnet50")


def test_layers_are_found_and_watched() -> None:
    network = SmallCNN(3)
    assert last_convolution(network) is network.layers[5]
    assert last_linear(network) == ("layers.9", network.layers[9])
    with watching(network.layers[9], inputs=True) as seen:
        network(IMAGES)
    network(IMAGES)
    assert [tuple(s.shape) for s in seen] == [(5, 288)]
    with pytest.raises(ScmError, match=r"no nn\.Conv2d"):
        last_convolution(nn.Linear(2, 2))
