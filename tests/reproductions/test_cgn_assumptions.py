"""A.1, the reproduction's explanations, and appendix H: their rulers, and their quick forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from scm.datasets.painting import background_hue
from scm.learning.cgn import settings_of, untrained
from scm.reproductions import Study, cgn_beta_vae, cgn_explain, cgn_irm_assumptions
from scm.reproductions.cgn_explain import share_between
from scm.reproductions.cgn_irm_assumptions import _thirds
from scm.reproductions.ink import Ruler, difference, ink, shuffled
from scm.reproductions.report import write_report

ACCURACIES = ("test accuracy, %", "accuracy on unbiased test digits, %")
COLOURS = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.8]])


def painted(rows: slice, colour: torch.Tensor) -> torch.Tensor:
    """One image `(1, 3, 8, 8)`, black but for some rows."""
    image = torch.zeros(1, 3, 8, 8)
    image[0, :, rows] = colour.view(3, 1, 1)
    return image


def test_ink_tells_colour_from_shape() -> None:
    red, blue = (painted(slice(0, 4), colour) for colour in COLOURS)
    colour, mask = ink(blue)
    torch.testing.assert_close(colour, COLOURS[1:])
    assert mask[0, :4].all()
    assert not mask[0, 4:].any()
    assert difference(red, blue) == pytest.approx(((1 + 0.8**2) ** 0.5, 0.0))
    half_over = painted(slice(2, 6), COLOURS[0])
    assert difference(red, half_over) == pytest.approx((0.0, 1 - 2 / 6))


def test_a_ruler_measures_in_differences_of_random_images() -> None:
    images = torch.cat([painted(slice(0, 4), COLOURS[k % 2]) for k in range(20)])
    images[::4] = painted(slice(4, 8), COLOURS[0])
    ruler = Ruler.of(images)
    one, other = shuffled(2000, 20, 0)
    colour, shape = ruler.moved(images[one], [images[other], images[one]])
    assert (colour, shape) == pytest.approx((50.0, 50.0))


def test_a_ruler_knows_the_class_of_a_colour() -> None:
    ruler = Ruler.of(torch.rand(10, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    each = torch.cat([painted(slice(0, 4), colour) for colour in ruler.means])
    assert ruler.class_of(each).tolist() == list(range(10))


def test_share_between_is_that_of_an_analysis_of_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(4, (200,), generator=generator)
    values = torch.randn(200, 3, generator=generator) + classes[:, None]
    one_hot = torch.nn.functional.one_hot(classes).double()
    fitted = one_hot @ torch.linalg.lstsq(one_hot, values.double()).solution
    residual, total = (v.square().sum() for v in (values - fitted, values - values.mean(0)))
    assert share_between(values, classes) == pytest.approx(float(1 - residual / total))
    assert share_between(values, torch.zeros(200)) == pytest.approx(0.0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CGNs that have not learned: what they show is not the subject here."""
    folder = tmp_path_factory.mktemp("models")
    for kind in ("coloured", "double", "wildlife"):
        untrained(settings_of(kind)).save(folder / f"{kind}-0.scm")
    return folder


def quick(module: Any, out: Path, models: Path) -> dict[tuple[str, str], Any]:
    study = Study(
        "trial",
        out,
        quick=True,
        options={"models": str(models)},
        progress=False,
        console=Console(quiet=True),
    )
    module.run(study)
    write_report(study, "a trial")
    rows = json.loads((out / "results.json").read_text())["rows"]
    for picture in study.pictures:
        assert picture.stat().st_size > 5_000
    scored = [row for row in rows if row["metric"] in ACCURACIES]
    assert scored
    assert all("selected: the last step, 20 of 20" in row["note"] for row in scored)
    return {(row["row"], row["metric"]): row["mean"] for row in rows}


def test_beta_vae_in_quick(tmp_path: Path, models: Path) -> None:
    found = quick(cgn_beta_vae, tmp_path, models)
    assert found["CGN, sweep of the texture's label", "masks changed, %"] == 0
    ceiling = found["images under do(colour): the ceiling", "test accuracy, %"]
    assert ceiling > 50 > found["original images", "test accuracy, %"]
    name = "10 latents, beta 1"
    digit, colour, both = (
        found[f"swapped, {name}", what] for what in ("digit kept, %", "colour taken, %", "both, %")
    )
    assert digit + colour - 100 - 1e-6 <= both <= min(digit, colour) + 1e-6
    assert found[f"most selective, {name}", "colour moved, % of two images"] > 0.1
    names = {path.stem for path in tmp_path.glob("*.png")}
    assert names == {"plane", "swaps", "traversals-1"}


def test_explain_in_quick(tmp_path: Path, models: Path) -> None:
    found = quick(cgn_explain, tmp_path, models)
    for name in ("coloured", "double-coloured", "Wildlife"):
        what = f"{name}, trained on original images"
        share = "share of the features' variance between classes of {}, %"
        parts = [found[what, share.format("digit")], found[what, share.format("foreground")]]
        assert all(0 < part < 100 for part in parts)
        assert 0 < found[what, "GradCAM IoU with the digit, last convolution (4x4)"] < 1
    # 20 steps suffice to learn that the background, which fills the image, gives the class away.
    what = "double-coloured, trained on original images"
    assert found[what, share.format("background")] > found[what, share.format("digit")]
    (kept,) = tmp_path.glob("cells/seed-0/wildlife-original-looked.*/shown.safetensors")
    shown = load_file(kept)
    assert shown["plane"].shape == (60, 2)
    assert shown["heat_last"].amax() == 1


def test_thirds_have_the_correlations_of_the_table(tmp_path: Path) -> None:
    study = Study("thirds", tmp_path, quick=True, console=Console(quiet=True))
    shares, images = [], []
    for shown, labels in _thirds(study, first=0):
        colours = background_hue(torch.arange(10)[:, None])
        corner = torch.cdist(shown[:, :, 0, 0], colours).argmin(1)
        shares.append(float((corner == labels).double().mean()))
        ink_of = (shown != shown[:, :, :1, :1]).any(1)
        images += [bytes(mask.flatten().byte().tolist()) for mask in ink_of]
    # Each of 166 or 167 binomial draws: 0.75 and 0.85 are over 6 standard deviations below.
    assert 0.75 < shares[0] < 1
    assert 0.85 < shares[1] < 1
    assert shares[2] == 1
    assert len(images) == 500
    assert len(set(images)) > 480  # all but the digits that have the colour of their background


def test_irm_assumptions_in_quick(tmp_path: Path, models: Path) -> None:
    found = quick(cgn_irm_assumptions, tmp_path, models)
    metric = "accuracy on unbiased test digits, %"
    for objective, name in (("ERM", "2 environments"), ("IRM", "5 wide environments")):
        assert 0 < found[f"{objective}, {name}", metric] < 100
    for factor in ("shape", "object colour", "background colour"):
        p = found[f"classifier of {factor}, on counterfactuals", "p-value of equal accuracies"]
        assert 0 <= p <= 1
    assert found["the factor that alone is stable", "is the shape, % of seeds"] in (0, 100)
