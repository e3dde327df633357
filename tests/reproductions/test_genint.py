"""What the GenInt reproductions are made of; the quick runs are slow tests."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from scm.estimators import linear_ratio
from scm.interventions import Strategy
from scm.reproductions import genint_generator
from scm.reproductions.genint_ablation import Convolutions
from scm.reproductions.genint_candidates import EVERY, Candidate
from scm.reproductions.genint_colored_mnist import recoloured
from scm.reproductions.genint_images import OBSERVED, backgrounds, colour_strips
from scm.reproductions.genint_linear import EFFECT, MOVES, _regression, world
from scm.reproductions.study import Study


def test_the_linear_world_is_confounded_until_its_nuisances_are_drawn() -> None:
    """40,000 units: each figure within 5 standard errors of it, a false alarm of 1e-6 each."""
    model, n = world(), 40_000
    observed = {k: v.double().numpy() for k, v in model.sample(n, seed=0).items()}
    drawn = model.do({z: torch.distributions.Normal(0.0, 1.0) for z in MOVES}).sample(n, seed=1)
    intervened = {k: v.double().numpy() for k, v in drawn.items()}
    for z in MOVES:
        assert abs(np.corrcoef(observed[z], observed["C"])[0, 1] - 0.6) < 5 / n**0.5
        assert abs(np.corrcoef(intervened[z], intervened["C"])[0, 1]) < 5 / n**0.5
    found = linear_ratio(intervened, "Y", do="X", z="Z1")
    assert abs(found.value - EFFECT) < 5 * found.stderr
    # Cov(X, C) = 0.6 (sum of moves + 1.2) and Cov(X, Y) = b Var(X) + 2 Cov(X, C).
    tied = 0.6 * (sum(MOVES.values()) + 1.2)
    spread = sum(m**2 for m in MOVES.values()) + 1.2**2
    variance = spread * (1 - 0.36) + tied**2 + 0.7**2 + 0.5**2
    slope = _regression(observed)
    assert abs(slope.value - (EFFECT + 2 * tied / variance)) < 5 * slope.stderr


def test_recolouring_keeps_every_shape_and_only_that() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(50, 3, 6, 6, generator=generator)
    changed = recoloured(images, torch.Generator().manual_seed(1))
    assert changed.min() >= 0
    assert changed.max() <= 1
    for before, after in zip(images, changed, strict=True):
        rows = torch.cat([before.flatten(1), after.flatten(1)])
        share = torch.corrcoef(rows)[:3, 3:].abs()
        places = share.argmax(0)
        assert sorted(places.tolist()) == [0, 1, 2]  # each channel once, up to slope and offset
        assert (share.max(0).values > 1 - 1e-4).all()
    assert torch.equal(changed, recoloured(images, torch.Generator().manual_seed(1)))


def test_backgrounds_are_the_borders_mean() -> None:
    images = torch.zeros(2, 3, 8, 8)
    images[0, 0, 2:6, 2:6] = 1.0
    images[1, 2, :2] = 1.0
    found = backgrounds(images)
    assert found[0].tolist() == [0.0, 0.0, 0.0]
    assert found[1].tolist() == pytest.approx([0.0, 0.0, 16 / 48])
    labels = torch.arange(10).repeat_interleave(3)
    plain = torch.rand(30, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    strips = colour_strips({"a": (plain.expand(30, 3, 8, 8), labels)}, shown=20)
    ((picture,),) = [axes.get_images() for axes in strips.axes]
    drawn = picture.get_array()
    assert drawn.shape == (20, 20, 3)
    for k in range(10):
        wanted = sorted(plain[3 * k : 3 * k + 3, :, 0, 0].tolist())
        found = sorted(drawn[2 * k, :3].tolist())
        assert np.allclose(found, wanted, atol=1e-6)
        assert np.all(drawn[2 * k, 3:] == 1)


def test_features_of_a_transfer_are_the_convolutions_outputs() -> None:
    first, second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
    inner = nn.Sequential(first, nn.ReLU(), nn.Sequential(nn.MaxPool2d(2), second), nn.Flatten())
    network = nn.Sequential(inner, nn.Linear(20, 7))
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    one, two = Convolutions(network)(images)
    assert torch.equal(one, first(images))
    assert torch.equal(two, second(nn.functional.max_pool2d(first(images).relu(), 2)))


def test_candidates_start_from_the_prior_or_from_training_images(tmp_path: Path) -> None:
    quiet = Console(quiet=True)
    study = Study("genint", tmp_path, seeds=[0], quick=True, progress=False, console=quiet)
    cvae = genint_generator.generator(study, 0, 16)
    latents, labels = genint_generator.exemplars(study, cvae, 40, seed=3)
    images, classes = Candidate(16, OBSERVED, "encoder").draw(study, 0, 40, shift=3)
    assert torch.equal(classes, labels)
    with torch.no_grad():
        wanted = cvae.mechanisms["X"].decode(latents, {"Y": labels})
    torch.testing.assert_close(images, wanted, atol=1e-5, rtol=0)
    colours = Strategy(directions=3, scale=2.5, together=3)
    changed, same = Candidate(16, colours, "encoder").draw(study, 0, 40, shift=3)
    assert torch.equal(same, labels)
    assert (changed - images).abs().mean() > 0.01
    prior, others = Candidate(16, OBSERVED).draw(study, 0, 40, shift=3)
    assert prior.shape == images.shape
    assert not torch.equal(others, labels)
    assert len({candidate.label for candidate in EVERY}) == len(EVERY) >= 12


QUICK = ("genint-linear", "genint-colored-mnist", "genint-ablation", "genint-correlation")


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_quick(name: str, tmp_path: Path) -> None:
    from scm.reproductions.report import write_report

    study = Study(
        name, tmp_path, seeds=[0], quick=True, progress=False, console=Console(quiet=True)
    )
    module = import_module(f"scm.reproductions.{name.replace('-', '_')}")
    module.run(study)
    write_report(study, name)
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert all(row["mean"] is not None for row in rows)
    assert all(0 <= row["mean"] <= 100 for row in rows if row["metric"].endswith("accuracy, %"))
    assert all((tmp_path / path.name).stat().st_size > 2_000 for path in study.pictures)
    if name == "genint-colored-mnist":
        papers = [row["paper"] for row in rows if row["row"] == "original data"]
        assert papers == [99.45, 8.261]
