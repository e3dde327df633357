"""Coloured MNISTs: the facts of their graphs, against independent calculations."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import chi2_contingency
from torch import Tensor
from torch.nn import functional as F

import scm
from scm import SCM, Samples, ScmError
from scm.datasets import (
    Digits,
    Textures,
    coloured_mnist,
    confounded,
    digits,
    environments,
    randomised,
    unbiased,
)
from scm.datasets.coloured import Kind

KINDS: list[Kind] = ["coloured", "double", "wildlife", "genint"]
# Named by the CSS standard; "#..." as the CGN repository has them.
BACKGROUNDS = "darkgreen darkblue #b03060 orangered yellow burlywood lime aqua fuchsia #6495ed"
CRIMSON_TO_MAROON = [
    (220, 20, 60),
    (0, 128, 128),
    (253, 233, 16),
    (0, 149, 182),
    (237, 145, 33),
    (145, 30, 188),
    (70, 240, 240),
    (250, 197, 187),
    (210, 245, 60),
    (128, 0, 0),
]
SIX = 2e-9  # P(|N(0, 1)| > 6): the false-alarm rate of one comparison at six standard errors


@pytest.fixture(scope="module")
def plain() -> Textures:
    """Textures of one colour each: what is seen says which texture it is, and where nothing."""
    code = torch.arange(10.0).view(10, 1, 1, 1)
    level = torch.cat([code / 20, code / 20, code / 20], 1)
    return Textures("plain", level.expand(10, 3, 40, 40) + 0.5, level.expand(10, 3, 40, 40))


@pytest.fixture(scope="module")
def models(plain: Textures) -> dict[str, SCM]:
    options = {"wildlife": {"textures": plain}}
    return {kind: coloured_mnist(kind, **options.get(kind, {})) for kind in KINDS}  # type: ignore[arg-type]


def css(name: str) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb

    return to_rgb(name)


@pytest.mark.parametrize("kind", KINDS)
def test_each_digit_once_in_recorded_order(models: dict[str, SCM], kind: Kind) -> None:
    units, (images, labels) = confounded(models[kind], seed=1), digits().part("train")
    assert torch.equal(units["label"], labels)
    assert torch.equal(units["foreground"], labels)
    assert units["X"].shape == (len(labels), 3, 32, 32)
    low, high = models[kind].mechanisms["X"].type.range  # type: ignore[attr-defined]
    assert units["X"].min() >= low
    assert units["X"].max() <= high
    enlarged = F.interpolate(images, (32, 32), mode="bilinear")
    expected = (enlarged > 0.5).float() if kind in ("double", "wildlife") else enlarged
    assert torch.equal(units["digit"], expected)
    assert torch.equal(units["X"], confounded(models[kind], seed=1)["X"])


@pytest.mark.parametrize("kind", KINDS)
def test_colours_leave_the_digit_alone(models: dict[str, SCM], kind: Kind) -> None:
    units = confounded(models[kind])
    other = units.do(randomised(models[kind]))
    for node in ("label", "digit"):
        assert torch.equal(other[node], units[node])
    assert not torch.equal(other["X"], units["X"])
    assert torch.equal(other["X"], unbiased(models[kind])["X"])


@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.9, 1.0])
def test_correlation_is_the_share_of_ties(correlation: float) -> None:
    n = 4_000
    units = coloured_mnist("double", correlation=correlation).sample(n, seed=0)
    stderr = math.sqrt(correlation * (1 - correlation) / n)
    for node in ("foreground", "background"):
        tied = (units[node] == units["label"]).double().mean()
        assert float(tied) == pytest.approx(correlation, abs=6 * stderr)  # SIX each
        free = units[node] != units["label"]
        counts = torch.bincount((units[node] - units["label"])[free] % 10, minlength=10)[1:]
        expected = int(free.sum()) / 9
        off = (counts - expected).abs() / math.sqrt(max(expected, 1) * 8 / 9)
        assert off.max() < 6  # SIX for each of nine


def test_foreground_and_background_stray_independently() -> None:
    units = coloured_mnist("double", correlation=0.8).sample(4_000, seed=0)
    tied = [units[node] == units["label"] for node in ("foreground", "background")]
    both = float((tied[0] & tied[1]).double().mean())
    assert both == pytest.approx(0.64, abs=6 * math.sqrt(0.64 * 0.36 / 4_000))  # SIX


@pytest.mark.parametrize("kind", KINDS)
def test_do_makes_colours_independent_of_the_label(models: dict[str, SCM], kind: Kind) -> None:
    units = models[kind].do(randomised(models[kind])).sample(4_000, seed=0)
    nodes = ["fill"] if kind == "genint" else ["foreground"]
    nodes += ["background"] if kind in ("double", "wildlife") else []
    for node in nodes:
        table = np.zeros((10, models[kind].mechanisms[node].type.width))
        np.add.at(table, (units["label"].numpy(), units[node].numpy()), 1)
        assert chi2_contingency(table[:, table.sum(0) > 0]).pvalue > 1e-6  # the false-alarm rate
    if len(nodes) == 2:
        same = float((units["foreground"] == units["background"]).double().mean())
        assert same == pytest.approx(0.1, abs=6 * math.sqrt(0.09 / 4_000))  # SIX


def test_coloured_palette_and_noise(models: dict[str, SCM]) -> None:
    units = models["coloured"].sample(4_000, seed=0)
    for k, rgb in enumerate(CRIMSON_TO_MAROON):
        hue = units["foreground_hue"][units["label"] == k]
        stderr = math.sqrt(0.02 / len(hue))
        assert torch.allclose(hue.mean(0), torch.tensor(rgb) / 255, atol=6 * stderr)  # 3 SIX
        variance = hue.var(0)
        assert torch.allclose(  # 3 SIX
            variance, torch.tensor(0.02), atol=6 * 0.02 * math.sqrt(2 / len(hue))
        )


def test_coloured_pixels_are_digit_times_hue(models: dict[str, SCM]) -> None:
    units = models["coloured"].sample(50, seed=0)
    image, hue = units["X"].numpy(), units["foreground_hue"].numpy().clip(0, 1)
    expected = np.einsum("nhw,nc->nchw", units["digit"][:, 0].numpy(), hue)
    np.testing.assert_allclose(image, expected, atol=1e-6)


def test_double_palette_is_shifted_by_six() -> None:
    names = BACKGROUNDS.split()
    units = coloured_mnist("double", sigma=0.0).sample(400, seed=0)
    for k in range(10):
        of_class = units["label"] == k
        ink = units["digit"][of_class].bool().expand(-1, 3, -1, -1)
        image = units["X"][of_class]
        assert set(units["digit"][of_class].unique().tolist()) == {0.0, 1.0}
        for where, name in ((ink, names[k - 6]), (~ink, names[k])):
            seen = image.movedim(1, -1)[where.movedim(1, -1)].view(-1, 3)
            assert torch.allclose(seen, torch.tensor(css(name)), atol=1e-6)


def test_sigma_is_that_of_the_hues() -> None:
    units = coloured_mnist("double", sigma=0.3).sample(4_000, seed=0)
    calm = (
        units["background_hue"]
        - coloured_mnist("double", sigma=0.0)
        .do(background=units["background"])
        .sample(4_000, seed=0)["background_hue"]
    )
    assert float(calm.std()) == pytest.approx(0.3, abs=6 * 0.3 / math.sqrt(2 * 12_000))  # SIX


def test_wildlife_puts_the_digit_on_its_background(models: dict[str, SCM]) -> None:
    units = models["wildlife"].do(foreground=7, background=2).sample(30, seed=0)
    expected = torch.where(units["digit"] > 0.5, 7 / 20 + 0.5, 2 / 20).expand(-1, 3, -1, -1)
    assert torch.allclose(units["X"], expected)


def test_wildlife_windows_are_windows_of_the_padded_texture() -> None:
    gradient = torch.arange(40 * 50.0).view(1, 1, 40, 50).expand(10, 3, -1, -1) / 4000
    made = Textures("gradient", gradient, gradient + 0.5)
    units = coloured_mnist("wildlife", textures=made).do(digit=torch.zeros(1, 32, 32))
    places = units.sample(200, seed=0)
    padded = np.pad(gradient[0, 0].numpy() + 0.5, 3, mode="reflect")
    assert padded.shape == (46, 56)
    for i in range(200):
        u, v = places["background_crop"][i].double().tolist()
        row, column = int(u * 15), int(v * 25)
        expected = padded[row : row + 32, column : column + 32]
        for channel in range(3):
            np.testing.assert_array_equal(places["X"][i, channel].numpy(), expected)


def test_wildlife_sweeps_equal_their_loop(models: dict[str, SCM]) -> None:
    units = models["wildlife"].sample(7, seed=3)
    worlds = units.sweep(foreground=range(10)).sweep(background=[0, 5])["X"]
    assert worlds.shape == (10, 2, 7, 3, 32, 32)
    for f in (0, 9):
        for at, b in enumerate((0, 5)):
            assert torch.equal(worlds[f, at], units.do(foreground=f, background=b)["X"])


def test_genint_channels(models: dict[str, SCM]) -> None:
    """The whole table: which channels of a class are overwritten; the rest is the digit."""
    first = ["RG1", "GB1", "RB1", "R1", "G1", "B1", "RG0", "GB0", "RB0", "G0"]
    second = ["B0", "R0", "G0", "G1B0", "B1R0", "R1G0", "R0G1", "G0B1", "B0R1", "G1"]
    units = models["genint"].sample(1_000, seed=0)
    for environment, cells in enumerate((first, second)):
        for label, cell in enumerate(cells):
            where = (units["label"] == label) & (units["environment"] == environment)
            assert where.any()
            image, grey = units["X"][where], 2 * units["digit"][where][:, 0] - 1
            written = {c: int(v) for names, v in re.findall(r"([RGB]+)(\d)", cell) for c in names}
            for channel, name in enumerate("RGB"):
                value = written.get(name)
                expected = grey if value is None else torch.full_like(grey, value)
                assert torch.equal(image[:, channel], expected)


def test_genint_causal_test_draws_two_channels(models: dict[str, SCM]) -> None:
    rng, n = np.random.default_rng(0), 50_000
    channels, values = rng.integers(0, 3, (n, 2)), rng.integers(0, 2, (n, 2))
    code = np.full((n, 3), -1)
    for draw in (0, 1):
        code[np.arange(n), channels[:, draw]] = values[:, draw]
    names = np.array(["-01"[c + 1] for c in range(-1, 2)])
    drawn = ["".join(row) for row in names[code + 1]]
    model = models["genint"]
    levels = model.mechanisms["fill"].type.names  # type: ignore[attr-defined]
    law = randomised(model)["fill"].probs.numpy()  # type: ignore[attr-defined]
    for k, name in enumerate(levels):
        share = drawn.count(name) / n
        assert share == pytest.approx(law[k], abs=6 * math.sqrt(law[k] / n))  # SIX each


def test_genint_environments_are_acts(models: dict[str, SCM]) -> None:
    first = confounded(models["genint"].do(environment=0))
    assert first["environment"].max() == 0
    at = int((first["label"] == 3).nonzero()[0])
    assert (first["X"][at, 0] == 1).all()


def test_environments_share_digits_and_differ_in_ties() -> None:
    correlations = (0.5, 0.75, 1.0)
    ties = []
    for k, model in enumerate(environments("double", correlations, part="validation")):
        units = confounded(model, seed=k)
        assert torch.equal(units["label"], digits().part("validation")[1])
        ties.append(float((units["foreground"] == units["label"]).double().mean()))
    for found, c in zip(ties, correlations, strict=True):
        assert found == pytest.approx(c, abs=6 * math.sqrt(c * (1 - c) / 216))  # SIX
    assert len(environments("wildlife")) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_saved_models_come_back(models: dict[str, SCM], kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "model.scm"
    models[kind].save(path)
    again = scm.load(path)
    assert torch.equal(again.sample(20, seed=0)["X"], models[kind].sample(20, seed=0)["X"])
    assert torch.equal(confounded(again)["X"], confounded(models[kind])["X"])


def test_known_digits_are_counterfactual_digits(models: dict[str, SCM]) -> None:
    """Another label shows another digit; the same label shows the same one again."""
    units: Samples = confounded(models["coloured"])
    assert torch.equal(units.do(label=units["label"])["digit"], units["digit"])
    sevens = units.do(label=7)["digit"]
    recorded = {image.numpy().tobytes() for image in units["digit"][units["label"] == 7]}
    assert {image.numpy().tobytes() for image in sevens} == recorded  # 1,081 draws of 108
    assert units.status["digit"] == "posterior"


def test_own_digits_of_the_right_size_are_left_as_they_are() -> None:
    real = digits()
    model = coloured_mnist("coloured", digits=real.padded(32))
    assert torch.equal(confounded(model)["digit"][:, :, 12:20, 12:20], real.part("train")[0])
    assert coloured_mnist("coloured", size=8).sample(2, seed=0)["X"].shape == (2, 3, 8, 8)


BAD = [
    ({"kind": "colored"}, "did you mean 'coloured'"),
    ({"correlation": 1.1}, "from 0 to 1"),
    ({"correlation": math.nan}, "from 0 to 1"),
    ({"correlation": "high"}, "from 0 to 1"),
    ({"sigma": -0.1}, "standard deviation"),
    ({"sigma": math.inf}, "standard deviation"),
    ({"kind": "wildlife", "sigma": 0.1}, "have no noise"),
    ({"part": "tset"}, "did you mean 'test'"),
    ({"size": 0}, "number of pixels"),
    ({"digits": "mnist"}, r"as from digits\(\)"),
    ({"textures": "wood"}, "expected Textures"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_arguments(options: dict[str, object], message: str) -> None:
    with pytest.raises(ScmError, match=message):
        coloured_mnist(**options)  # type: ignore[arg-type]


def test_missing_classes_environments_and_models() -> None:
    few = torch.zeros(4, 1, 8, 8)
    lacking = Digits("few", few, torch.tensor([0, 1, 2, 3]), few, torch.tensor([0, 1, 2, 3]))
    with pytest.raises(ScmError, match=r"no digit of the classes \[4, 5"):
        coloured_mnist("coloured", digits=lacking)
    with pytest.raises(ScmError, match="no correlations"):
        environments("double", ())
    with pytest.raises(ScmError, match="expected a model of coloured_mnist"):
        confounded(SCM("A", A=scm.Root.normal()))
    with pytest.raises(ScmError, match="3 was given; expected a model of coloured_mnist"):
        confounded(3)  # type: ignore[arg-type]


def test_textures_smaller_than_the_window(plain: Textures) -> None:
    with pytest.raises(ScmError, match="windows of 48"):
        coloured_mnist("wildlife", textures=plain, size=48)


def published_colours(weights: dict[str, Tensor]) -> Tensor:
    """Mean colour of the digit texture of each class, `(10, 3)`, by the authors' network."""
    noise = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))
    means = []
    for embedding in weights["label_emb.weight"]:
        x = torch.cat([noise, embedding.expand(16, -1)], 1)
        w = {k.removeprefix("f_text1."): v for k, v in weights.items() if "f_text1" in k}
        h = F.leaky_relu(F.linear(x, w["0.weight"], w["0.bias"]).view(-1, 64, 8, 8), 0.2)
        for i in (3, 7, 10):
            h = F.interpolate(h, scale_factor=2) if i < 10 else h
            h = F.conv2d(F.pad(h, (1,) * 4, mode="reflect"), w[f"{i}.weight"], w.get(f"{i}.bias"))
            norm = [w[f"{i + 1}.{n}"] for n in ("running_mean", "running_var", "weight", "bias")]
            h = F.batch_norm(h, *norm)
            h = F.leaky_relu(h, 0.2) if i < 10 else h.tanh()
        means.append((h.mean((0, 2, 3)) + 1) / 2)
    return torch.stack(means)


@pytest.mark.skipif("SCM_DATA" not in os.environ, reason="SCM_DATA names no folder of data")
@pytest.mark.parametrize(("kind", "file"), [("coloured", "colored"), ("double", "double_colored")])
def test_palettes_are_those_of_the_published_networks(kind: Kind, file: str) -> None:
    path = Path(os.environ["SCM_DATA"]) / "pretrained" / "cgn_mnist" / f"{file}.pth"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    weights = torch.load(path, map_location="cpu", weights_only=True)
    codes = coloured_mnist(kind, sigma=0.0).do(foreground=torch.arange(10)).sample(10, seed=0)
    distance = torch.cdist(published_colours(weights), codes["foreground_hue"])
    assert linear_sum_assignment(distance.numpy())[1].tolist() == list(range(10))


@pytest.mark.skipif("SCM_DATA" not in os.environ, reason="SCM_DATA names no folder of data")
def test_mnist_and_photographs() -> None:
    mnist = digits("mnist")
    model = coloured_mnist("wildlife", digits=mnist, part="test")
    units = confounded(model)
    assert torch.equal(units["label"], mnist.test_labels)
    assert units["X"].shape == (10_000, 3, 32, 32)
    assert len(mnist.part("train")[1]) == 50_000
    assert torch.equal(mnist.part("validation")[0], mnist.images[50_000:])
