"""The reproductions of CAGE, in quick runs; what they say of their own settings."""

import json

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from scm.errors import ScmError
from scm.reproductions import cage_celebahq, cage_toy
from scm.reproductions.study import Study


def study(name, path, **options):
    quiet = Console(quiet=True)
    return Study(name, path, quick=True, progress=False, console=quiet, options=options)


def test_the_mixtures_are_as_described():
    points, three = cage_toy.mixtures(4000, 0)
    assert points[three == 0].mean(0).abs().max() < 0.2
    assert (points[three == 1].mean(0) - 3).abs().max() < 0.2
    # The mixture decides the effect of most points, and not of all: the two are not one attribute.
    side = points.mean(1) < 2.5
    assert 0.8 < (side == (three == 0)).float().mean() < 0.95


@pytest.mark.slow
def test_the_toy_in_quick(tmp_path):
    run = study("cage-toy", tmp_path)
    cage_toy.run(run)
    found = {(row.row, row.metric): row.mean for row in run.rows}
    assert found["as the paper", "p of the GATE, permuted labels"] <= 0.5
    assert abs(found["as the paper", "GATE of mixture on side"]) > 0.05
    assert next(iter(run.pictures)).stat().st_size > 10_000


@pytest.mark.slow  # ANM, LiNGAM and NOTEARS, three times each for two pairs
def test_table_1_on_a_tiny_generator(tmp_path):
    pytest.importorskip("lingam")
    pytest.importorskip("matplotlib")
    run = study("cage-celebahq", tmp_path)
    cage_celebahq.run(run)
    metrics = {row.metric for row in run.rows}
    assert {f"{m}, 1: ->, -1: <-" for m in ("ANM", "LiNGAM", "NOTEARS", "delta-tau")} <= metrics
    for row in run.rows:
        if "1: ->" in row.metric and row.mean is not None:
            assert row.mean in (-1.0, 0.0, 1.0)
    kept = json.loads(next(tmp_path.glob("cells/**/result.json")).read_text())
    assert set(kept["result"]) == {"Male/Mustache", "Male/Bald"}


def test_the_papers_table_agrees_with_its_prior_on_four_of_seven():
    assert sum(said[3] == said[4] for said in cage_celebahq.PAIRS.values()) == 4


def test_weights_without_annotated_latents_are_refused(tmp_path):
    with pytest.raises(ScmError, match="expected a .safetensors"):
        cage_celebahq.run(study("cage-celebahq", tmp_path, generator="g.pt2"))
    save_file({"latents": torch.zeros(2, 3)}, tmp_path / "z.safetensors")
    options = {"generator": "g.pt2", "latents": str(tmp_path / "z.safetensors")}
    with pytest.raises(ScmError, match="lacks"):
        cage_celebahq.run(study("cage-celebahq", tmp_path, **options))
