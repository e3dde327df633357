"""The ImageNet CGN, tiny: its images, which loss moves what, training, resuming."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.learning.cgn import (
    CGN,
    CollapsedMaskError,
    CounterfactualImages,
    Limits,
    read_counterfactuals,
)
from scm.learning.cgn.imagenet import (
    ImageNetWeights,
    Patches,
    backbones,
    imagenet_cgn,
    imagenet_losses,
    patch_grid,
    pseudo_images,
    truncate,
)
from scm.learning.cgn.imagenet_training import composites, train_imagenet_cgn
from scm.learning.inception import InceptionScore
from scm.learning.perceptual import VGGFeatures, style_loss
from scm.mechanisms.biggan import BigGAN
from scm.vision import torchvision
from tests.learning.cgn.shared import SmallVGG

pytest.importorskip("pytorch_pretrained_biggan")

TINY = {
    "output_dim": 16,
    "z_dim": 4,
    "class_embed_dim": 4,
    "channel_width": 8,
    "num_classes": 3,
    "layers": [[True, 16, 8], [False, 8, 4], [True, 4, 2], [False, 2, 1]],
    "attention_layer_position": 2,
}
PATCHES = Patches(side=2, size=5)
OFF = ImageNetWeights(0, 0, 0, 0, 0, 0)
RATES = {"lr_shape": 3e-4, "lr_texture": 3e-3, "lr_background": 3e-3}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Brightness(nn.Module):
    """What a U2-Net sees in a minute's work: bright is salient. It has no dead ReLUs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3, padding=1)
        nn.init.constant_(self.conv.weight, 0.2)
        nn.init.constant_(self.conv.bias, -6.0)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images).sigmoid()


@pytest.fixture(scope="module")
def vgg():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision("models"), "vgg16_bn", SmallVGG)
        return VGGFeatures()


@pytest.fixture(scope="module")
def with_u2net():
    return imagenet_cgn(TINY, small=True, shared=True)


@pytest.fixture(scope="module")
def template():
    cgn = imagenet_cgn(TINY, small=True)
    cgn.mechanisms["M"].saliency = Brightness()
    return cgn


@pytest.fixture
def cgn(template):
    return copy.deepcopy(template)


@pytest.fixture(scope="module")
def teacher():
    return BigGAN(TINY)


def train(cgn, teacher, vgg, **options):
    settings = {"steps": 2, "accumulate": 3, "patches": PATCHES, "progress": False, **RATES}
    return train_imagenet_cgn(cgn, teacher, vgg, **{**settings, **options})


def state(module: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in module.state_dict().items()}


def moved(cgn: CGN, before: dict[str, Tensor]) -> set[str]:
    """Nodes any of whose weights differ."""
    return {
        node
        for node in "MFB"
        for name, value in cgn.mechanisms[node].generator.state_dict().items()
        if not torch.equal(value, before[node][name])
    }


def weights_of(cgn: CGN) -> dict[str, dict[str, Tensor]]:
    return {node: state(cgn.mechanisms[node].generator) for node in "MFB"}


# --- the model


def test_at_first_the_composite_is_biggans_image(with_u2net, teacher) -> None:
    noise = torch.randn(2, 4, generator=generator())
    labels = torch.tensor([0, 2])
    with torch.no_grad():
        images = pseudo_images(with_u2net, teacher, noise, labels)
        assert torch.equal(images.truth, teacher.image(noise, labels))
    torch.testing.assert_close(images.composite, images.truth, rtol=0, atol=1e-6)
    for node, image in zip("FB", (images.foreground, images.background), strict=True):
        assert torch.equal(image, images.truth), node


def test_worlds_are_those_of_passes_by_hand_and_survive_saving(with_u2net, tmp_path) -> None:
    units = with_u2net.sample(2, seed=0)
    worlds = units.sweep(Y1=range(3)).sweep(Y2=[0, 1]).sweep(Y3=[2])["X"]
    shape, foreground, background = backbones(with_u2net)
    labels = [torch.full((2,), y) for y in range(3)]
    with torch.no_grad():
        m = shape.mask(shape.image(units["U"], labels[2]))
        f, b = foreground.image(units["U"], labels[1]), background.image(units["U"], labels[2])
    torch.testing.assert_close(worlds[2, 1, 0], m * f + (1 - m) * b, rtol=0, atol=1e-5)
    with_u2net.save(tmp_path / "cgn.scm")
    again = CGN.load(tmp_path / "cgn.scm")
    assert torch.equal(again.sample(2, seed=0)["X"], units["X"])


def test_mechanisms_have_their_own_noise_or_share_one(template, with_u2net) -> None:
    assert "U" not in template.mechanisms
    units = template.do(Y=1).sample(2, seed=0)
    assert not torch.equal(units["F"], units["B"])  # the same weights, other noise
    units = with_u2net.do(Y=1).sample(2, seed=0)
    assert torch.equal(units["F"], units["B"])


def test_truncation_makes_units_more_alike(cgn) -> None:
    def spread() -> float:
        return float(cgn.do(Y=0).sample(64, seed=0)["F"].std(0).mean())

    wide = spread()
    assert truncate(cgn, 0.1) is cgn
    assert spread() < 0.5 * wide
    with pytest.raises(ScmError, match="above 0 and at most 1"):
        truncate(cgn, 2.0)


def test_counterfactual_images_of_biggans_are_written_as_pictures(template, tmp_path) -> None:
    options = {"ratio": 2, "noise": "prior", "batch": 4, "assignment": "independent"}
    data = CounterfactualImages(truncate(copy.deepcopy(template), 0.5), 8, **options)
    images, labels = (torch.cat(parts) for parts in zip(*data, strict=True))
    assert (images.shape, labels.shape) == ((8, 3, 16, 16), (8, 3))
    assert images.min() < 0  # a BigGAN's range is [-1, 1], a picture's [0, 1]
    ((shown, written),) = read_counterfactuals(data.write(tmp_path / "cf"))
    torch.testing.assert_close(shown, (images + 1) / 2, rtol=0, atol=0.5 / 255 + 1e-6)
    assert torch.equal(written, labels)
    assert not torch.equal(
        images, torch.cat([x for x, _ in CounterfactualImages(template, 8, **options)])
    )


# --- training


@pytest.mark.parametrize(
    ("loss", "nodes"),
    [
        ("l1", "MFB"),
        ("perceptual", "MFB"),
        ("binary", "M"),
        ("mask", "M"),
        ("texture", "F"),
        ("background", "B"),
    ],
)
def test_a_loss_moves_its_own_mechanisms_and_no_other(cgn, vgg, loss, nodes) -> None:
    other = BigGAN(TINY, seed=9)  # other weights than the CGN's, lest there be nothing to rebuild
    if nodes == "MFB":  # of equal textures, the composite does not know its mask
        cgn.mechanisms["B"].generator.load_state_dict(BigGAN(TINY, seed=8).generator.state_dict())
    if loss == "mask":  # nothing is salient: the mask is too small
        nn.init.constant_(cgn.mechanisms["M"].saliency.conv.bias, -9.0)
    before = weights_of(cgn)
    limits = Limits(mean=(0, 1), border=2, entropy=2)
    on = ImageNetWeights(**{**asdict(OFF), loss: 1.0})
    trained = train(cgn, other, vgg, steps=1, weights=on, limits=limits)
    assert moved(cgn, before) == set(nodes)
    assert asdict(OFF).keys() & trained.history[0].keys() == {loss}


@pytest.mark.parametrize(
    ("rate", "node"), [("lr_shape", "M"), ("lr_texture", "F"), ("lr_background", "B")]
)
def test_each_mechanism_has_its_own_learning_rate(cgn, teacher, vgg, rate, node) -> None:
    before = weights_of(cgn)
    train(cgn, teacher, vgg, steps=1, accumulate=1, **{**dict.fromkeys(RATES, 0.0), rate: 1e-4})
    assert moved(cgn, before) == {node}


@pytest.mark.parametrize("source", ["composite", "biggan"])
def test_the_texture_loss_compares_styles_with_patches_of_its_source(cgn, vgg, source) -> None:
    noise, labels = torch.randn(2, 4, generator=generator()), torch.tensor([0, 1])
    patches = Patches(side=2, size=5, source=source)
    with torch.no_grad():
        images = pseudo_images(cgn, BigGAN(TINY, seed=9), noise, labels)
        losses = imagenet_losses(images, nn.Identity(), vgg, replace(OFF, texture=1), patches, 7)
        cut_from = images.composite if source == "composite" else images.truth
        grid = patch_grid(cut_from, images.mask, 2, 5, seed=7)
        expected = style_loss(vgg(images.foreground), vgg(grid))
    assert losses == {"texture": expected}
    assert expected > 0


def test_all_losses_end_to_end(cgn, teacher, vgg) -> None:
    before, saliency = weights_of(cgn), state(cgn.mechanisms["M"].saliency)
    score = InceptionScore(classifier=nn.Flatten(), name="pixels")
    trained = train(
        cgn,
        teacher,
        vgg,
        steps=6,
        monitors={score.name: score},
        watched=6,
        every=3,
    )
    first, last = trained.history[0], trained.history[-1]
    assert last["loss"] < 0.9 * first["loss"]
    assert last["background"] < 0.9 * first["background"]
    weighed = sum(value * first[name] for name, value in asdict(ImageNetWeights()).items())
    assert first["loss"] == pytest.approx(weighed, rel=1e-5)
    assert moved(cgn, before) == set("MFB")
    assert all(torch.equal(v, saliency[k]) for k, v in state(cgn.mechanisms["M"].saliency).items())
    assert [score.name in row for row in trained.history] == [False, False, True] * 2
    assert last[score.name] == pytest.approx(score(composites(cgn, 6)), rel=1e-5)
    assert 0 < last["mask mean"] < 1
    assert "random weights stands in" in trained.note


def test_the_u2net_trains_its_backbone_and_stays_as_it_is(with_u2net, teacher, vgg) -> None:
    cgn = copy.deepcopy(with_u2net)
    before, saliency = weights_of(cgn), state(cgn.mechanisms["M"].saliency)
    trained = train(cgn, teacher, vgg, steps=2, accumulate=1)
    assert moved(cgn, before) == set("MFB")
    assert all(torch.equal(v, saliency[k]) for k, v in state(cgn.mechanisms["M"].saliency).items())
    assert trained.history[1]["background"] < trained.history[0]["background"]


def test_a_pseudo_batch_is_its_images_however_they_are_passed(cgn, teacher, vgg) -> None:
    alone = train(copy.deepcopy(cgn), teacher, vgg, accumulate=4, batch=1)
    together = train(cgn, teacher, vgg, accumulate=4, batch=3)  # 3 and 1
    for row, other in zip(alone.history, together.history, strict=True):
        assert other == pytest.approx(row, rel=1e-3, abs=1e-5)


def test_mixed_precision_is_near_to_full(cgn, teacher, vgg) -> None:
    full = train(copy.deepcopy(cgn), teacher, vgg, accumulate=1)
    mixed = train(cgn, teacher, vgg, accumulate=1, mixed=True)
    assert mixed.history[1]["loss"] == pytest.approx(full.history[1]["loss"], rel=0.03)
    assert mixed.history[1] != full.history[1]
    assert all(p.dtype == torch.float32 for p in cgn.parameters())


@pytest.mark.gpu
def test_a_step_on_cuda_is_that_on_the_cpu(cgn, teacher, vgg) -> None:
    on_cuda = [copy.deepcopy(network).to("cuda") for network in (cgn, teacher, vgg)]
    expected = train(cgn, teacher, vgg, steps=1).history[0]
    for mixed, tolerance in ((False, 1e-3), (True, 0.03)):
        found = train(*on_cuda, steps=1, mixed=mixed, lr_shape=0, lr_texture=0, lr_background=0)
        assert found.history[0] == pytest.approx(expected, rel=tolerance, abs=tolerance)
    with pytest.raises(ScmError, match="move them to one device"):
        train(on_cuda[0], teacher, vgg)


def test_a_killed_training_goes_on_bit_for_bit(cgn, teacher, vgg, tmp_path) -> None:
    whole = train(copy.deepcopy(cgn), teacher, vgg, steps=3, accumulate=1)
    calls: list[int] = []

    class Killed(Exception):
        pass

    def monitor(batches):
        calls.append(1)
        if len(calls) == 2:  # after Adam's second step, before its checkpoint
            raise Killed
        return 0.0

    watch = {"monitors": {"none": monitor}, "watched": 1}
    options = {"steps": 3, "accumulate": 1, "checkpoint": tmp_path / "training.pt", **watch}
    with pytest.raises(Killed):
        train(copy.deepcopy(cgn), teacher, vgg, **options)
    again = train(copy.deepcopy(cgn), teacher, vgg, **options)
    assert len(calls) == 4
    plain = [{k: v for k, v in row.items() if k != "none"} for row in again.history]
    assert plain == list(whole.history)
    expected = whole.cgn.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in again.cgn.state_dict().items())
    with pytest.raises(ScmError, match="is another training's"):
        train(cgn, teacher, vgg, **options, seed=1)


def test_collapsed_masks_stop_the_training_before_they_are_learned(cgn, teacher, vgg) -> None:
    before = weights_of(cgn)
    with pytest.raises(CollapsedMaskError, match=r"step 1 collapsed: mean 0\.\d+, expected 0.9"):
        train(cgn, teacher, vgg, limits=Limits(mean=(0.9, 1.0), border=2, entropy=2))
    assert moved(cgn, before) == set()


def test_what_does_not_fit_is_refused(cgn, teacher, vgg) -> None:
    with pytest.raises(ScmError, match="expected the same"):
        train(cgn, BigGAN({**TINY, "num_classes": 4}), vgg)
    with pytest.raises(ScmError, match=r"ImageNetWeights\(perceptual=0, texture=0\)"):
        train(cgn, teacher, None)
    with pytest.raises(ScmError, match="every loss is switched off"):
        train(cgn, teacher, vgg, weights=OFF)
    with pytest.raises(ScmError, match="accumulate=0"):
        train(cgn, teacher, vgg, accumulate=0)
    with pytest.raises(ScmError, match=r"expected 0 \(off\) or more"):
        ImageNetWeights(mask=-1)
    with torch.no_grad():
        next(cgn.mechanisms["B"].generator.parameters()).fill_(torch.nan)
    with pytest.raises(ScmError, match="stopped being finite in step 1"):
        train(cgn, teacher, vgg)
