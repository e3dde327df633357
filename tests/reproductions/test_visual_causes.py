from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from scm.cli import app
from scm.datasets import gratings
from scm.learning import Simulator
from scm.reproductions.pictures import curves, image_grid
from scm.reproductions.vcfl_grating import _causes, _effect
from scm.reproductions.vcfl_mnist import _half


def test_the_true_effect_is_the_models() -> None:
    model = gratings(6)
    images = model.sample(6, seed=3)["I"]
    simulated = Simulator(model, trials=20_000)(images)
    # Six shares of 20,000 within 5 standard errors (0.0034 each): wrong once in 290,000 runs.
    assert (simulated - _effect(images)).abs().max() < 5 * 0.0034


def test_true_classes_are_numbered_as_the_learned_ones() -> None:
    images = torch.zeros(2, 1, 5, 5)
    images[1, 0, 2] = 1.0
    assert _causes(images, torch.tensor([0.3, 0.7])).tolist() == [0, 1]
    assert _causes(images, torch.tensor([0.2, 0.36, 0.6])).tolist() == [1, 2]
    assert _causes(images, torch.tensor([0.5])).tolist() == [0, 0]


def test_halves_are_drawn_without_replacement() -> None:
    positive = torch.arange(100) % 5 == 0
    rows = _half(positive, 15, torch.Generator().manual_seed(0))
    assert len(set(rows.tolist())) == 30
    assert positive[rows].tolist() == [True] * 15 + [False] * 15
    assert len(_half(positive, 50, torch.Generator().manual_seed(0))) == 20 + 50


def test_pictures_show_every_series_and_image() -> None:
    figure = curves({"error": {"ours": [[1, 2, 3], [3, 2, 1]], "theirs": [[0, 0, 1]]}}, first=0)
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["ours (mean of 2 seeds)", "theirs"]
    line, other = axes.get_lines()
    assert line.get_xdata().tolist() == [0, 1, 2]
    assert line.get_ydata().tolist() == [2, 2, 2]
    assert line.get_linestyle() != other.get_linestyle()

    image = torch.zeros(1, 4, 4)
    grid = image_grid({"one": [image, None, image], "two": [image]}, ["a", "b", "c"])
    shown = [bool(axes.get_images()) for axes in grid.axes]
    assert shown == [True, False, True, True, False, False]


def reproduce(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["reproduce", *arguments])


@pytest.mark.slow
def test_grating_in_quick(tmp_path: Path) -> None:
    done = reproduce("vcfl-grating", "--quick", "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    found = {(row["row"], row["metric"]): row["mean"] for row in rows}
    share = "true, % of 10,000 new images"
    assert found["learned causal class", share] >= 95
    assert found["same network, observational labels alone", share] < 60
    with_noise, without = (
        found[f"trained {how} noise, after round 3", "error, % of 1,000 new images"]
        for how in ("with", "without")
    )
    assert with_noise < 15 < without
    for name in ("rounds", "manipulations-noisy", "manipulations-plain"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5_000


@pytest.mark.slow
def test_mnist_in_quick_and_with_people(tmp_path: Path) -> None:
    done = reproduce("vcfl-mnist", "--quick", "--out", str(tmp_path / "run"))
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "run/results.json").read_text())["rows"]
    assert rows[0]["mean"] > 60
    assert sum("error by the judge" in row["metric"] for row in rows) == 2 * (2 * 2 + 1)

    people = ["--option", f"answers={tmp_path / 'people'}"]
    done = reproduce("vcfl-mnist", "--quick", "--out", str(tmp_path / "run"), *people)
    assert done.exit_code == 1
    assert "answers.csv" in done.stderr
    lines = (tmp_path / "people/digit-0/answers.csv").read_text().splitlines()
    assert len(lines[1:]) % 5 == 0  # five answers an image; less where images are equal
    assert 5 * 15 <= len(lines[1:]) <= 5 * 30
    assert (tmp_path / "people/digit-0/sheet-001.png").exists()


def test_a_data_set_that_is_not(tmp_path: Path) -> None:
    done = reproduce("vcfl-mnist", "--out", str(tmp_path), "--option", "data=cifar")
    assert done.exit_code == 1
    assert "data=cifar" in done.stderr
