"""The reproductions of CAGE, in quick runs; what they say of their own settings."""

import json
import warnings

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import nn

from scm.errors import ScmError
from scm.mechanisms.seeding import seeded
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


@pytest.mark.slow  # ANM, LiNGAM and NOTEARS, three times each for two pairs
def test_weights_of_ones_own_are_audited_in_w(tmp_path):
    pytest.importorskip("lingam")
    pytest.importorskip("matplotlib")
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's, of TorchScript
        parts = {"mapping": [nn.Linear(8, 8), nn.Tanh()], "generator": [nn.Linear(8, 12)]}
        networks = {name: nn.Sequential(*layers).eval() for name, layers in parts.items()}
        for name, network in networks.items():
            torch.jit.trace(network, torch.zeros(2, 8)).save(str(tmp_path / f"{name}.pt"))
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        w = networks["mapping"](torch.randn(600, 8, generator=source))
    names = sorted({name for pair in cage_celebahq.PAIRS for name in pair})
    noise = 0.1 * torch.randn(600, len(names), generator=source)
    labels = {n: (w[:, k % 8] + noise[:, k] > 0).float() for k, n in enumerate(names)}
    save_file({"latents": w, **labels}, tmp_path / "w.safetensors")
    options = {name: str(tmp_path / f"{name}.pt") for name in parts}
    run = study("cage-celebahq", tmp_path, latents=str(tmp_path / "w.safetensors"), **options)
    cage_celebahq.run(run)
    assert not any("tiny generator" in row.note for row in run.rows)
    kept = json.loads(next(tmp_path.glob("cells/**/result.json")).read_text())["result"]
    assert all(pair["curve_predicted"] == [] for pair in kept.values())  # W is not normal
