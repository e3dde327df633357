"""Training: resumed bit for bit, seeded, switched by weights, and refused where it must be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scm.errors import ScmError
from scm.learning.cgn import CGN, Settings, Style, Weights, settings_of, train_cgn, untrained
from scm.learning.cgn.stages import Adversarial, Autoencoding, one_cycle
from scm.learning.perceptual import VGGFeatures
from scm.vision import torchvision
from tests.learning.cgn.shared import SmallVGG, tiny, toy

RUNS = {
    "autoencoder": tiny(),
    "patches": tiny("wildlife", patch=(3, 5), overlap=1, quilts=3),
    "adversarial": tiny("double", "adversarial", steps=8, batch=4),
}


class Killed(Exception):
    pass


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Kill a run in its step of this number, over all its stages."""
    from scm.learning.cgn import training

    count = iter(range(10**6))
    follow = training._Run._follow

    def killing(self: training._Run) -> None:
        if next(count) == step:
            raise Killed
        follow(self)

    monkeypatch.setattr(training._Run, "_follow", killing)


@pytest.mark.parametrize("settings", RUNS.values(), ids=RUNS)
def test_a_killed_run_ends_as_an_undisturbed_one(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = toy()
    whole = train_cgn(images, labels, settings, seed=3)
    path = tmp_path / "run.ckpt"
    step = int(torch.randint(1, settings.steps, (), generator=torch.Generator().manual_seed(9)))
    for kill in (step, 1):  # the second one counts from where the first left off
        with monkeypatch.context() as patch:
            kill_at(patch, kill)
            with pytest.raises(Killed):
                train_cgn(images, labels, settings, seed=3, checkpoint=path, every=2)
    torch.rand(5)  # the global generator is of no account
    resumed = train_cgn(images, labels, settings, seed=3, checkpoint=path, every=2)
    again = train_cgn(images, labels, settings, seed=3, checkpoint=path)  # finished: only read
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
        assert torch.equal(again.state_dict()[key], value), key
    assert list(tmp_path.iterdir()) == [path]


def test_seeds_tell_runs_apart_and_nothing_global_changes() -> None:
    images, labels = toy()
    before = torch.get_rng_state()
    one, two = (train_cgn(images, labels, tiny(), seed=s) for s in (0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(one.mechanisms["F"].linear.weight, two.mechanisms["F"].linear.weight)


def test_the_shape_is_frozen_at_first_and_only_then() -> None:
    images, labels = toy()
    settings = tiny(frozen=2)
    cgn = untrained(settings)
    stage = Autoencoding(cgn.train(), settings)
    shape = [p.detach().clone() for p in cgn.mechanisms["M"].parameters()]
    front = cgn.mechanisms["F"].linear.weight.detach().clone()
    for t in range(3):
        stage.step(t, images[:16], labels[:16], torch.Generator().manual_seed(t))
        same = [
            torch.equal(a, b) for a, b in zip(shape, cgn.mechanisms["M"].parameters(), strict=True)
        ]
        assert all(same) if t < 2 else not any(same)
    assert not torch.equal(front, cgn.mechanisms["F"].linear.weight)


@pytest.mark.parametrize(
    "name", ["reconstruction", "divergence", "binary", "mask", "edge", "texture", "background"]
)
def test_a_loss_of_weight_zero_is_left_out(name: str) -> None:
    images, labels = toy()
    on = {
        "reconstruction": 1.0,
        "divergence": 1.0,
        "binary": 5.0,
        "mask": 5.0,
        "edge": 5.0,
        "texture": 5.0,
        "background": 5.0,
    }
    start = tiny(binary_from=5.0, mass=(0.6, 0.9), divergence_ramp=0.0, frozen=0)

    def after_a_step(weights: Weights) -> torch.Tensor:
        cgn = untrained(start)
        stage = Autoencoding(cgn.train(), replace(start, weights=weights))
        for t in range(2):
            stage.step(t, images[:16], labels[:16], torch.Generator().manual_seed(t))
        return torch.cat([p.detach().flatten() for p in cgn.parameters()])

    everything, without = after_a_step(Weights(**on)), after_a_step(Weights(**{**on, name: 0.0}))
    assert not torch.equal(everything, without)


def test_the_adversarial_loss_alone_moves_the_mechanisms_where_it_is_on() -> None:
    images, labels = toy()

    def after_a_step(weight: float) -> torch.Tensor:
        off = replace(RUNS["adversarial"], binary_from=0.0, weights=Weights(adversarial=weight))
        cgn = untrained(off)
        stage = Adversarial(cgn.train(), off)
        stage.step(0, images[:4], labels[:4], torch.Generator().manual_seed(0))
        return torch.cat([p.detach().flatten() for p in cgn.parameters()])

    start = torch.cat([p.detach().flatten() for p in untrained(RUNS["adversarial"]).parameters()])
    assert torch.equal(after_a_step(0.0), start)
    assert not torch.equal(after_a_step(1.0), start)


@pytest.fixture
def style(monkeypatch: pytest.MonkeyPatch) -> Style:
    monkeypatch.setattr(torchvision("models"), "vgg16", SmallVGG)
    return Style(VGGFeatures("vgg16", layers=(3, 7), range=(0, 1)), (0.3, 0.1))


def test_the_style_loss_is_that_of_the_published_code(style: Style) -> None:
    made, real = (
        torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(s)) for s in (0, 1)
    )
    expected = 0.0
    pairs = zip(style.weights, style.vgg(made), style.vgg(real), strict=True)
    for weight, f, g in pairs:
        n, c, h, w = f.shape
        for i in range(n):
            grams = [v[i].reshape(c, -1).numpy() for v in (f, g)]
            a, b = (x @ x.T / (c * h * w) for x in grams)
            expected += 5e3 * weight**2 * float(np.abs(a - b).mean()) / n
    assert float(style(made, real)) == pytest.approx(expected, rel=1e-4)
    assert not style.vgg.trained


def test_a_style_loss_is_learned_and_belongs_to_the_run(style: Style, tmp_path: Path) -> None:
    images, labels = toy()
    plain = train_cgn(images, labels, RUNS["adversarial"])
    path = tmp_path / "run.ckpt"
    styled = train_cgn(images, labels, RUNS["adversarial"], style=style, checkpoint=path)
    moved = {
        node: not torch.equal(*(cgn.mechanisms[node].linear.weight for cgn in (plain, styled)))
        for node in ("M", "F", "B")
    }
    assert moved == dict.fromkeys("MFB", True)
    with pytest.raises(ScmError, match="another training's .style was"):
        train_cgn(images, labels, RUNS["adversarial"], checkpoint=path)
    with pytest.raises(ScmError, match="has no use for it; leave it out"):
        train_cgn(images, labels, tiny(), style=style)
    with pytest.raises(ScmError, match="expected 2 of 0 or more, one for each layer"):
        replace(style, weights=(1.0, 1.0, 1.0))
    with pytest.raises(ScmError, match=r"range=\(0, 1\)"):
        replace(style, vgg=VGGFeatures("vgg16", layers=(3, 7)))


def test_the_weights_are_the_moving_average_of_those_of_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from scm.learning.cgn import training

    seen: list[dict[str, torch.Tensor]] = []
    follow = training._Run._follow

    def noting(self: training._Run) -> None:
        if not seen:
            seen.append({k: v.clone() for k, v in self.average.items()})
        seen.append({k: v.detach().clone() for k, v in self.cgn.named_parameters()})
        follow(self)

    monkeypatch.setattr(training._Run, "_follow", noting)
    cgn = train_cgn(*toy(), tiny(steps=6, keep=0.75))
    assert len(seen) == 1 + 6
    for name, found in cgn.named_parameters():
        expected = 0.75**6 * seen[0][name]
        for age, step in enumerate(reversed(seen[1:])):
            expected = expected + 0.25 * 0.75**age * step[name]
        torch.testing.assert_close(found.detach(), expected)
    last = seen[-1].values()
    assert not all(torch.equal(a, b) for a, b in zip(cgn.parameters(), last, strict=True))


def test_training_fits_the_toy_set() -> None:
    images, labels = toy(400)
    weights = Weights(reconstruction=1.0, divergence=0.1, binary=1.0, mask=10.0, edge=10.0)
    settings = tiny(steps=150, batch=32, frozen=30, sigma=0.1, lr=1e-2, keep=0.9, weights=weights)
    cgn = train_cgn(images, labels, settings)
    units = cgn.abduct({"X": images, "Y": labels}, seed=0)
    rebuilt = units.do(Y1=labels)["X"]
    assert (rebuilt - images).square().mean() < 0.2 * images.var()


def test_one_cycle_is_torchs() -> None:
    """Theirs reaches its peak a step earlier."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.5, total_steps=101)
    theirs = []
    for _ in range(101):
        theirs.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if len(theirs) < 101:
            schedule.step()
    for t in range(100):
        near = theirs[max(0, t - 1) : t + 2]
        assert min(near) - 1e-3 <= one_cycle(t, 100, 0.5) <= max(near) + 1e-3


def test_bad_input_is_refused(tmp_path: Path) -> None:
    images, labels = toy(20)
    with pytest.raises(ScmError, match=r"expected \(n, 3, 32, 32\)"):
        train_cgn(images, labels, "double")
    for wrong in (labels + 1, labels - 1, labels.int(), labels.float()):
        with pytest.raises(ScmError, match="expected int64 classes 0 to 2"):
            train_cgn(images, wrong, tiny())
    for pixels in (255 * images, 2 * images - 1, images * torch.nan):
        with pytest.raises(ScmError, match=r"rescale them to \[0, 1\]"):
            train_cgn(pixels, labels, tiny())
    with pytest.raises(ScmError, match="images are torch.uint8"):
        train_cgn(images.round().byte(), labels, tiny())
    with pytest.raises(ScmError, match="no image has the label 1; expected some of each of 3"):
        train_cgn(images[labels != 1], labels[labels != 1], tiny())
    with pytest.raises(ScmError, match="every=0 was given"):
        train_cgn(images, labels, tiny(), every=0)
    with pytest.raises(ScmError, match=r"Settings\(lr=-1\)"):
        tiny(lr=-1)
    with pytest.raises(ScmError, match=r"binary_ramp=\(0.5, 0.5\)"):
        tiny(binary_ramp=(0.5, 0.5))
    with pytest.raises(ScmError, match=r"patch=\(4, 10\), overlap=2, size=8.*divides the size"):
        tiny("wildlife")
    for kind, stretch in (("double", -0.1), ("double", float("nan")), ("wildlife", 0.1)):
        with pytest.raises(ScmError, match=r"stretch=.*0 where textures are not of one colour"):
            tiny(kind, stretch=stretch)
    for kind, recipe, name in (
        ("double", "autoencoder", "adversarial"),
        ("wildlife", "autoencoder", "texture"),
        ("double", "adversarial", "divergence"),
    ):
        with pytest.raises(ScmError, match=rf"Weights\({name}=2\) was given, which recipe"):
            tiny(kind, recipe, weights=Weights(**{name: 2.0}))
    with pytest.raises(ScmError, match="did you mean 'coloured'"):
        train_cgn(images, labels, "colored")
    with pytest.raises(ScmError, match="no setting 'step'"):
        settings_of("double", step=3)
    with pytest.raises(ScmError, match="expected 'autoencoder' with"):
        settings_of("double", textures="conv")
    path = tmp_path / "run.ckpt"
    train_cgn(images, labels, tiny(steps=2), checkpoint=path)
    with pytest.raises(ScmError, match="seed was 0, is 1"):
        train_cgn(images, labels, tiny(steps=2), seed=1, checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ScmError, match="delete it to begin again"):
        train_cgn(images, labels, tiny(steps=2), checkpoint=path)
    with pytest.raises(ScmError, match="has room"):
        train_cgn(images, labels, tiny(steps=2), checkpoint=tmp_path / "none" / "run.ckpt")


def test_colours_are_stretched_once_they_are_trained(tmp_path: Path) -> None:
    images, labels = toy()
    plain, wide = (
        train_cgn(images, labels, tiny("coloured", stretch=e), seed=0) for e in (0.0, 0.2)
    )
    wide.save(tmp_path / "cgn.scm")
    wide = CGN.load(tmp_path / "cgn.scm")
    seen = {"X": images, "Y": labels}
    one, other = (cgn.abduct(seen, seed=0) for cgn in (plain, wide))
    torch.testing.assert_close(one["M"], other["M"], rtol=0, atol=0)
    for node in ("F", "B"):
        stretched = (1.4 * one[node] - 0.2).clamp(0, 1)
        torch.testing.assert_close(other[node], stretched)
        assert not torch.equal(one[node], other[node])
