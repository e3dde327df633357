"""Counterfactual augmentation for group DRO, in quick runs on folders that the tests make."""

import gzip

import numpy as np
import pytest
import torch
from rich.console import Console

from scm.errors import ScmError
from scm.mechanisms import Image
from scm.mechanisms.latent import LatentGenerator
from scm.reproductions import cage_dro
from scm.reproductions.cage_dro_moves import Moves
from scm.reproductions.cage_dro_parts import ARMS, Experiment
from scm.reproductions.cage_dro_world import RARE, Part, World, digits_in_colour, faces
from scm.reproductions.study import Study
from tests.datasets.celeba_folder import write_celeba


def study(path, quick=True, **options):
    console = Console(quiet=True)
    return Study("cage-dro", path, quick=quick, progress=False, console=console, options=options)


def write_idx(path, array):
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()))


@pytest.fixture(scope="module")
def strokes(tmp_path_factory):
    """A folder in MorphoMNIST's layout: bars, which class 0 has upright and class 1 lying."""
    folder = tmp_path_factory.mktemp("data") / "MorphoMNIST"
    folder.mkdir()
    rng = np.random.default_rng(0)
    n = 1_800
    thickness, intensity = rng.uniform(2, 5, n), rng.integers(80, 250, n)
    classes = rng.integers(2, size=n).astype(np.uint8)
    across = np.abs(np.arange(14) - 6.5 - rng.integers(-2, 3, (n, 1)))
    bars = np.clip(thickness[:, None] / 2 - across + 0.5, 0, 1)[:, None] * np.ones((14, 1))
    bars[:, :2], bars[:, -2:] = 0, 0
    bars[classes == 1] = bars[classes == 1].swapaxes(1, 2)
    images = (bars * intensity[:, None, None]).round().astype(np.uint8)
    write_idx(folder / "t10k-images-idx3-ubyte.gz", images)
    write_idx(folder / "t10k-labels-idx1-ubyte.gz", classes)
    rows = [f"{k},{t},{i}" for k, (t, i) in enumerate(zip(thickness, intensity, strict=True))]
    text = "\n".join(["index,thickness,intensity", *rows]) + "\n"
    (folder / "t10k-morpho.csv").write_text(text)
    return folder


def test_the_quick_run(strokes, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("SCM_DATA", str(strokes.parent))
    run = study(tmp_path)
    cage_dro.run(run)
    rows = {(row.row, row.metric): row for row in run.rows}
    worst, groups = "worst group, test, %", [f"thick, {c}, test, %" for c in ("green", "red")]
    for arm in ARMS.values():
        least = rows[arm.title, worst].mean
        assert least <= min(rows[arm.title, group].mean for group in groups)
        assert least <= rows[arm.title, "mean of groups, test, %"].mean <= 100
        assert "alpha" in rows[arm.title, worst].note or not arm.moves
    assert rows["group DRO", worst].paper == 86.7
    assert rows["DRO + causal, soft labels", worst].paper == 89.4
    assert rows["DRO + anti-causal, soft labels", worst].paper == 75.0
    named = [row for row in run.rows if "FID" in row.metric]
    assert len(named) == 5
    assert all("FID by a classifier of digits (stand-in)" in row.metric for row in named)
    assert {path.name for path in run.pictures} == {"alpha.png", "augmented.png"}


def test_the_world_has_the_groups_that_it_says(strokes, monkeypatch):
    monkeypatch.setenv("SCM_DATA", str(strokes.parent))
    world = digits_in_colour(0, (900, 100, 100))
    red = [world.train.effect[world.train.cause == cause].double().mean() for cause in (0, 1)]
    assert 0.15 < red[0] < 0.33  # of 450: 0.24, more than 4 standard errors
    assert red[1] < 0.05  # 0.02
    for part in (world.validation, world.test):
        images, other = (part.images[part.effect == effect] for effect in (0, 1))
        assert len(images) == len(other) == 100
        assert torch.allclose(images.amax(1) > 0, other.amax(1) > 0)  # the same strokes
        redder = other.sum((2, 3))[:, 0] - images.sum((2, 3))[:, 0]
        assert (redder > 0).all()  # the same noise of the hue
    thin, thick = (world.test.images[world.test.cause == c].sum() for c in (1, 0))
    assert thin < thick
    assert (world.train.images[:, 2] <= 0.25).all()
    again = digits_in_colour(0, (900, 100, 100))
    assert torch.equal(world.train.images, again.train.images)
    assert not torch.equal(digits_in_colour(1, (900, 100, 100)).train.effect, world.train.effect)
    with pytest.raises(ScmError, match="1,800 digits are there"):
        digits_in_colour(0, (1_700, 100, 1))


def exact():
    """A world whose generator is known: cause and effect are coordinates of image and latent."""
    z = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    network = torch.nn.Unflatten(1, (2, 1, 1))
    generator = LatentGenerator(network, 2, Image((2, 1, 1)), encoder=lambda x: x.flatten(1))
    part = Part(network(z), (z[:, 0] > 0).long(), (z[:, 1] > 1.5).long())
    world = World(("a", "b", "c", "d"), part, part, part, part.cause, "signs", latent=2)
    return world, generator


def test_units_move_along_one_head_from_the_group_beside_the_rare_one(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    world, generator = exact()
    lines = {"cause": [3.0, 0.0], "effect": [0.0, 5.0]}
    kept = {f"{name}.weights": torch.tensor(w) for name, w in lines.items()}
    kept |= {"cause.bias": torch.zeros(()), "effect.bias": torch.tensor(-7.5)}
    save_file(kept, tmp_path / "kept.safetensors")
    monkeypatch.setattr(Moves, "_generator", lambda self, programs: generator)
    moves = Moves(tmp_path / "kept.safetensors", world, {}, seed=0)
    rare = len(world.train.pair(RARE)[0])
    assert moves.count == 9 * rare > 0
    causal, anti = moves.units("causal"), moves.units("anti-causal")
    assert len(causal) == len(anti) == moves.count
    assert (causal[:, 0] > 0).all()
    assert (causal[:, 1] <= 1.5).all()
    assert (anti[:, 0] <= 0).all()
    assert (anti[:, 1] > 1.5).all()
    up = moves.moved(causal, "causal", 2.0, soft=True)
    assert torch.allclose(up.images - causal, torch.tensor([0.0, 2.0]).view(2, 1, 1), atol=1e-6)
    assert torch.allclose(up.labels[:, 1], (5 * up.images[:, 1, 0, 0] - 7.5).sigmoid())
    assert set(up.groups.tolist()) == {RARE}
    over = moves.moved(anti, "anti-causal", 2.0, soft=False)
    assert torch.allclose(over.images - anti, torch.tensor([2.0, 0.0]).view(2, 1, 1), atol=1e-6)
    assert over.labels.tolist() == [1] * moves.count


def test_celebas_folder_is_such_a_world(tmp_path):
    rows = {}
    for k in range(24):  # two of each group in each part, blond men the brightest
        male, blond = k // 2 % 2, k // 4 % 2
        rows[f"{k:06d}.jpg"] = ((blond, male, k % 2), k // 8, 40 + 60 * male + 90 * blond)
    write_celeba(tmp_path / "celeba", ("Blond_Hair", "Male", "Smiling"), rows)
    world = faces(tmp_path / "celeba", size=8, partial=True, progress=False)
    for part in (world.train, world.validation, world.test):
        assert part.images.shape == (8, 3, 8, 8)
        assert torch.bincount(part.groups).tolist() == [2, 2, 2, 2]
        means = [255 * part.pair(group)[0].mean() for group in range(4)]
        assert means == pytest.approx([40, 130, 100, 190], abs=2)
    assert (world.names[RARE], world.content.tolist()) == ("blond men", [0, 1] * 4)
    run = Experiment(study(tmp_path / "out", celeba=str(tmp_path / "celeba"), partial="yes"), 0)
    assert run.world.train.images.shape == (8, 3, 64, 64)


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("SCM_DATA", str(tmp_path))
    with pytest.raises(ScmError, match=r"Download t10k-images.*MorphoMNIST/t10k.*SCM_DATA"):
        cage_dro.run(study(tmp_path / "out"))
    (tmp_path / "MorphoMNIST").mkdir()
    with pytest.raises(ScmError, match=r"t10k-images-idx3-ubyte.gz is missing"):
        cage_dro.run(study(tmp_path / "out"))
    with pytest.raises(ScmError, match=r"generator=... was given alone"):
        cage_dro.run(study(tmp_path / "out", generator="network.pt2"))
