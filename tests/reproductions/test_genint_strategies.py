from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import spearmanr

from scm.errors import ScmError
from scm.reproductions import (
    Study,
    genint_biggan,
    genint_bound,
    genint_generator,
    genint_parts,
    genint_strategy,
)
from scm.reproductions.genint_candidates import EVERY


def study(name: str, out: Path, **options: str) -> Study:
    console = Console(quiet=True)
    return Study(name, out, quick=True, progress=False, console=console, options=options)


def test_the_data_are_the_papers(tmp_path: Path) -> None:
    here = study("genint", tmp_path)
    images, labels = genint_parts.data(here)
    assert images.shape[1:] == (3, 32, 32)
    assert float(images.min()) == 0
    assert float(images.max()) == 1
    fives = images[labels == 5]  # blue at 1, or red at 1 and green at 0 (grey, 0.5 here)
    first = (fives[:, 2] == 1).flatten(1).all(1)
    second = (fives[:, 0] == 1).flatten(1).all(1) & (fives[:, 1] == 0.5).flatten(1).all(1)
    assert bool((first ^ second).all())
    one, _ = genint_parts.data(here, environment=0)
    assert bool((one[labels == 5][:, 2] == 1).all())
    # In random colours a channel is overwritten whatever the class: of two draws from three
    # channels, one is left alone with 4 in 9; 500 images, sd 0.022.
    free, _ = genint_parts.data(here, domain="randomised")
    flat = (free.flatten(2).amax(2) == free.flatten(2).amin(2)).double()
    assert (flat.mean(0) - 5 / 9).abs().max() < 5 * 0.0223


def test_the_generator_is_the_papers_and_is_kept(tmp_path: Path) -> None:
    model = genint_generator.generator(study("genint", tmp_path), 0, 2)
    cvae = model.mechanisms["X"]
    assert cvae.latent == 2
    images, labels = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
    blind = [cvae._encode(images, {"Y": y})[0] for y in (labels, labels.flip(0))]
    assert torch.equal(*blind)  # the encoder does not see the label
    latent = torch.zeros(4, 2)
    shown = [cvae.decode(latent, {"Y": y}) for y in (labels, labels.flip(0))]
    assert not torch.equal(*shown)  # the decoder does
    again = genint_generator.generator(study("genint", tmp_path), 0, 2).mechanisms["X"]
    assert torch.equal(again.decode(latent, {"Y": labels}), shown[0])


def test_the_classifier_is_the_papers(tmp_path: Path) -> None:
    network = genint_parts.GenIntNet()
    shapes = [tuple(p.shape) for p in network.parameters() if p.ndim > 1]
    assert shapes == [(32, 3, 5, 5), (32, 32, 5, 5), (64, 32, 5, 5), (256, 1024), (10, 256)]
    here = study("genint", tmp_path)
    found = genint_parts.classify(here, "original", lambda: genint_parts.data(here), 0, steps=80)
    # colours give the class away, and mislead where they are random
    assert found["confounded"] > 80
    assert found["causal"] < found["confounded"] - 30


def test_the_curves_of_figure_6(tmp_path: Path) -> None:
    here = study("genint-strategy", tmp_path)
    genint_strategy.run(here)
    rows = {(row.row, row.metric): row for row in here.rows}
    for what, values in (
        ("truncation t", (0.125, 0.25, 0.5, 0.75, 1.0)),
        ("directions k", (1, 2, 3, 6, 9, 12)),
        ("scale s, sd", (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)),
    ):
        for domain in ("confounded", "randomised"):
            row = rows[f"{what} of the largest log P(x|z)", f"{domain} queries"]
            assert row.mean in values
            assert row.note.count(": -") == len(values)  # log probabilities, one a value
    assert {path.name for path in here.pictures} == {
        "truncation.png",
        "directions.png",
        "scale.png",
    }


def test_scores_compare_queries_with_images_within_their_class_or_with_all(tmp_path: Path) -> None:
    here = study("genint-bound", tmp_path)
    candidate = EVERY[1]
    found = candidate.score(here, 0)
    assert set(found) == {"confounded", "randomised"}
    images, labels = candidate.draw(here, 0, 200, shift=7)
    shown, own = genint_parts.queries(here, "randomised")

    def halved(x: torch.Tensor) -> np.ndarray:
        return x.double().numpy().reshape(len(x), 3, 16, 2, 16, 2).mean((3, 5)).reshape(len(x), -1)

    a, b = halved(shown), halved(images)
    kernel = -cdist(a, b, "sqeuclidean") / (2 * 0.2**2) - 768 / 2 * np.log(2 * np.pi * 0.2**2)
    every = logsumexp(kernel, axis=1) - np.log(len(b))
    same = own.numpy()[:, None] == labels.numpy()[None]
    within = logsumexp(kernel, axis=1, b=same) - np.log(same.sum(1))
    assert found["randomised"]["pixels"] == pytest.approx(every.mean(), rel=1e-3)
    assert found["randomised"]["pixels, within classes"] == pytest.approx(within.mean(), rel=1e-3)


def test_reproductions_share_what_they_train(tmp_path: Path) -> None:
    first = study("genint-bound", tmp_path / "first", models=str(tmp_path / "models"))
    second = study("genint-strategy", tmp_path / "second", models=str(tmp_path / "models"))
    one = genint_generator.generator(first, 0, 2).mechanisms["X"].state_dict()
    weights = genint_generator.weights_of(first, 0, 2)
    written = weights.stat().st_mtime_ns
    other = genint_generator.generator(second, 0, 2).mechanisms["X"].state_dict()
    assert weights.is_relative_to(tmp_path / "models")
    assert genint_generator.weights_of(second, 0, 2) == weights
    assert weights.stat().st_mtime_ns == written  # not trained again
    assert all(torch.equal(one[name], other[name]) for name in one)
    alone = study("genint-bound", tmp_path / "alone")
    assert genint_parts.shared(alone) is alone


@pytest.mark.slow
def test_the_bound_and_accuracy(tmp_path: Path) -> None:
    here = study("genint-bound", tmp_path)
    genint_bound.run(here)
    names = [row.row for row in here.rows]
    assert names[0] == "2 latents of the prior, no intervention"
    correlations = [r for r in here.rows if r.metric.startswith("rank correlation")]
    assert len(correlations) == 8  # two query sets, four ways
    assert all(r.mean is not None and -1 <= r.mean <= 1 for r in correlations)
    causal = [r.mean for r in here.rows[: names.index(correlations[0].row)]]
    (best,) = (r for r in here.rows if r.row == "the best strategy in hindsight")
    assert best.mean == max(causal)  # type: ignore[type-var]
    assert (tmp_path / "bound.png").stat().st_size > 5_000


def test_rank_correlation_is_spearmans() -> None:
    noise = np.random.default_rng(1)
    x = noise.standard_normal(30)
    y = np.round(x + noise.standard_normal(30))  # with ties
    value, low, high = genint_bound.spearman(x, y)
    assert value == pytest.approx(spearmanr(x, y).statistic)
    assert low < value < high
    # Fisher's approximate interval, of half-width 1.06 * 1.96 / sqrt(27) in atanh
    wide = np.tanh(np.arctanh(value) + np.array([-1, 1]) * 1.06 * 1.96 / 27**0.5)
    assert (low, high) == pytest.approx(tuple(wide), abs=0.12)


def test_a_sheet_of_random_weights(tmp_path: Path) -> None:
    here = study("genint-biggan", tmp_path, weights="random")
    genint_biggan.run(here)
    rows = {(row.row, row.metric): row.mean for row in here.rows}
    change = "mean change of a pixel at the ends, % of the range"
    angle = "principal angle to incremental PCA, degrees"
    assert 0 < rows["first 10 directions of generator.gen_z", angle] < 90  # type: ignore[operator]
    share = "share of the prior as far out as the ends' median"
    paper = "component 0, steps from -3 to 3 sd"
    assert rows[paper, change] > 0  # type: ignore[operator]
    assert 0 < rows[paper, share] < 0.5  # type: ignore[operator]
    assert {path.name for path in here.pictures} == {f"component-{j}.png" for j in range(3)}


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"config\.json and pytorch_model\.bin.*weights=FOLDER"):
        genint_biggan.run(study("genint-biggan", tmp_path))
    with pytest.raises(ScmError, match=r"does not hold config\.json"):
        genint_biggan.run(study("genint-biggan", tmp_path, weights=str(tmp_path)))
