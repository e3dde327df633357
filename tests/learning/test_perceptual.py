"""Gram matrices and losses against loops; VGG's features, fixed, from files or marked as random."""

from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn

from scm.errors import ScmError
from scm.learning.perceptual import VGGFeatures, content_loss, gram, style_loss
from scm.vision import torchvision
from tests.learning.cgn.shared import SmallVGG


@pytest.fixture
def small_vgg(monkeypatch):
    monkeypatch.setattr(torchvision("models"), "vgg16_bn", SmallVGG)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gram_by_loops(features: np.ndarray) -> np.ndarray:
    n, c, h, w = features.shape
    out = np.zeros((n, c, c))
    for i, a, b in np.ndindex(n, c, c):
        for y, x in np.ndindex(h, w):
            out[i, a, b] += features[i, a, y, x] * features[i, b, y, x] / (c * h * w)
    return out


def test_style_loss_is_the_squared_distance_of_gram_matrices_written_by_hand() -> None:
    found = [normal(2, 3, 4, 5), normal(2, 2, 3, 3, seed=1)]
    wanted = [normal(2, 3, 4, 5, seed=2), normal(2, 2, 3, 3, seed=3)]
    expected = 0.0
    for f, g, weight in zip(found, wanted, (0.5, 2.0), strict=True):
        difference = gram_by_loops(f.double().numpy()) - gram_by_loops(g.double().numpy())
        expected += weight * sum(np.sum(d**2) for d in difference) / 2
    assert float(style_loss(found, wanted, (0.5, 2.0))) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gram(found[0]), gram_by_loops(found[0].numpy()), atol=1e-6)


def test_content_loss_is_the_mean_squared_difference() -> None:
    found, wanted = [normal(1, 2, 3, 3), normal(1, 2, 2, 2)], [normal(1, 2, 3, 3, seed=1)]
    wanted.append(normal(1, 2, 2, 2, seed=4))
    expected = sum(
        np.mean((f.numpy() - g.numpy()) ** 2) for f, g in zip(found, wanted, strict=True)
    )
    assert float(content_loss(found, wanted)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.usefixtures("small_vgg")
def test_features_are_the_networks_after_each_max_pooling() -> None:
    vgg, images = VGGFeatures(range=(0.0, 1.0), seed=3), normal(2, 3, 16, 16).sigmoid()
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    here = torch.tensor(
        (images.numpy() - mean[:, None, None]) / deviation[:, None, None], dtype=torch.float32
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        blocks = SmallVGG().eval().features
    for k, found in enumerate(vgg(images)):
        here = blocks[4 * k : 4 * k + 4](here)
        torch.testing.assert_close(found, here)


@pytest.mark.usefixtures("small_vgg")
def test_a_relu_does_not_overwrite_the_layer_before_it() -> None:
    images = normal(1, 3, 16, 16)
    (alone,) = VGGFeatures(layers=(1,))(images)
    together = VGGFeatures(layers=(1, 2))(images)
    assert torch.equal(alone, together[0])
    assert torch.equal(alone.relu(), together[1])
    assert alone.min() < 0


@pytest.mark.usefixtures("small_vgg")
def test_the_network_stays_as_it_is_and_lets_gradients_through() -> None:
    vgg, images = VGGFeatures(), normal(1, 3, 16, 16).requires_grad_()
    vgg.train()
    before = {k: v.clone() for k, v in vgg.state_dict().items()}
    vgg(images)[-1].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert all(p.grad is None for p in vgg.parameters())
    assert all(torch.equal(v, before[k]) for k, v in vgg.state_dict().items())


@pytest.mark.usefixtures("small_vgg")
def test_weights_are_read_from_a_file_and_random_ones_are_marked(tmp_path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(11)
        torch.save(SmallVGG().state_dict(), tmp_path / "vgg.pth")
    images = normal(1, 3, 16, 16)
    read, random = VGGFeatures(weights=tmp_path / "vgg.pth"), VGGFeatures(seed=11)
    assert (read.trained, random.trained) == (True, False)
    assert all(torch.equal(a, b) for a, b in zip(read(images), random(images), strict=True))
    assert not torch.equal(read(images)[-1], VGGFeatures(seed=0)(images)[-1])
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ScmError, match=r"features\.0\.bias is missing"):
        VGGFeatures(weights=tmp_path / "other.pth")
    with pytest.raises(ScmError, match=r"no file .*take https://\S+/vgg16_bn-\w+\.pth"):
        VGGFeatures(weights=tmp_path / "none.pth")


def test_weights_that_cannot_be_downloaded_say_what_to_do(monkeypatch) -> None:
    def offline(weights: str) -> nn.Module:
        assert weights == "IMAGENET1K_V1"
        raise URLError("Name or service not known")

    monkeypatch.setattr(torchvision("models"), "vgg16_bn", offline)
    said = r"vgg16_bn are not in .*checkpoints.*Name or service not known.*weights=FILE"
    with pytest.raises(ScmError, match=said):
        VGGFeatures(weights="cache")


def test_what_is_no_vgg_is_refused() -> None:
    with pytest.raises(ScmError, match="expected 'vgg16', 'vgg16_bn' or 'vgg19'"):
        VGGFeatures("vgg11")


@pytest.mark.slow
def test_the_published_layout_of_vgg16_loads(tmp_path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        torch.save(torchvision("models").vgg16_bn(weights=None).state_dict(), tmp_path / "vgg.pth")
    read = VGGFeatures(weights=tmp_path / "vgg.pth", layers=(6,))
    images = normal(1, 3, 32, 32)
    assert torch.equal(read(images)[0], VGGFeatures(layers=(6,), seed=1)(images)[0])
    assert read(images)[0].shape == (1, 64, 16, 16)
