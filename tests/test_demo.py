from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from scm import demo
from scm.cli import app


def test_the_demo_shows_what_it_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results: list[demo.Result] = []
    run = demo.run
    monkeypatch.setattr(demo, "run", lambda *a: results.append(run(*a)))
    done = CliRunner().invoke(app, ["demo", "--quick", "--out", str(tmp_path / "pictures")])
    assert done.exit_code == 0, done.output
    for words in ("hidden: cause", "Accuracy on held-out real digits", "do(colour), generated"):
        assert words in done.stdout
    assert "scm.SCM(" in done.stdout

    (result,) = results
    for path in result.pictures:
        assert path.read_bytes().startswith(b"\x89PNG")
    observed, generated, recoloured = result.rows
    assert float(observed.tied) > 0.9
    assert float(observed.free) < 0.4
    assert float(generated.free) > float(observed.free) + 0.4
    assert float(generated.free) > 0.85
    assert float(recoloured.free) > 0.9


def test_the_model_ties_the_colour_to_the_digit() -> None:
    model = demo.declare((1, 8, 8))
    units = model.sample(20_000, seed=0)
    assert torch.equal(units["digit"], units["colour"])
    free = model.do(colour=torch.distributions.Categorical(torch.ones(10))).sample(20_000, seed=0)
    assert abs(float((free["digit"] == free["colour"]).double().mean()) - 0.1) < 0.01


def test_paint_is_a_product() -> None:
    grey = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    colour = torch.tensor([0, 2, 5, 9])
    image = demo.paint(grey, colour[:, None, None, None])
    white = list(demo.COLOURS).index("white")
    assert image.shape == (4, 3, 8, 8)
    assert torch.equal(image[3], grey[3].expand(3, 8, 8))
    assert white == 9
