"""Inception Score and FID: against torchmetrics, their bounds, what stands in for Inception-v3."""

import math

import pytest
import torch
from torch import nn

from scm.errors import ScmError
from scm.learning import SmallCNN
from scm.learning.inception import (
    FrechetDistance,
    InceptionScore,
    frechet_distance,
    inception_score,
)
from scm.vision import torchvision


def probabilities(n: int, classes: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, classes, generator=torch.Generator().manual_seed(seed)).softmax(1)


def test_the_score_is_torchmetrics() -> None:
    torchvision()  # torchmetrics imports it, and cannot do so beside a torch without CUDA
    image = pytest.importorskip("torchmetrics.image.inception")
    images = torch.randn(40, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = nn.Sequential(nn.Flatten(), nn.Linear(48, 7))
    with pytest.warns(UserWarning, match="memory footprint"):
        theirs = image.InceptionScore(feature=classifier, splits=1, normalize=False)
    theirs.update(images)
    with pytest.warns(UserWarning, match="degrees of freedom"):  # of one split
        mean, _ = theirs.compute()
    ours = InceptionScore(classifier=classifier, name="a linear layer")
    assert ours(images.split(7)) == pytest.approx(float(mean), rel=1e-5)


def test_the_score_is_between_one_and_the_number_of_classes() -> None:
    assert inception_score(torch.eye(5)) == pytest.approx(5)
    assert inception_score(torch.full((9, 5), 0.2)) == pytest.approx(1)
    assert 1 < inception_score(probabilities(50, 5)) < 5


def test_the_score_is_the_mutual_information_of_image_and_class() -> None:
    rows = probabilities(6, 3).tolist()
    marginal = [sum(row[k] for row in rows) / 6 for k in range(3)]
    information = sum(p * math.log(p / marginal[k]) for row in rows for k, p in enumerate(row)) / 6
    assert inception_score(torch.tensor(rows)) == pytest.approx(math.exp(information), rel=1e-5)


def test_what_stands_in_is_named_and_its_mode_restored() -> None:
    classifier = nn.Sequential(nn.Dropout(0.5), nn.Flatten())
    score = InceptionScore(classifier=classifier, name="pixels")
    assert (score.name, score.trained) == ("Inception Score by pixels (stand-in)", False)
    images = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    assert score([images]) == score([images])
    assert classifier.training
    with pytest.raises(ScmError, match="no images were given"):
        score([])
    with pytest.raises(ScmError, match="weights for Inception-v3 or a classifier"):
        InceptionScore("weights.pth", classifier)


def test_inception_is_shown_images_in_its_range_alone(monkeypatch) -> None:
    monkeypatch.setattr("scm.learning.inception._inception", lambda seed: nn.Flatten())
    score, images = InceptionScore(), torch.rand(2, 3, 4, 4)
    assert score([2 * images - 1]) >= 1
    for wrong in (255 * images, images * torch.nan):
        with pytest.raises(ScmError, match=r"rescale them to \[-1, 1\]"):
            score([wrong])


@pytest.mark.slow
def test_inception_v3_reads_torchvisions_weights(tmp_path) -> None:
    random = InceptionScore(seed=3)
    assert random.name == "Inception Score by random weights (stand-in)"
    with pytest.raises(ScmError, match=r"no file .*take https://\S+/inception_v3_google-\w+\.pth"):
        InceptionScore(tmp_path / "inception.pth")
    torch.save(random.classifier.state_dict(), tmp_path / "inception.pth")
    read = InceptionScore(tmp_path / "inception.pth")
    assert (read.name, read.trained) == ("Inception Score", True)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).tanh()
    assert read([images]) == random([images])


def test_the_distance_is_torchmetrics() -> None:
    torchvision()  # as above
    image = pytest.importorskip("torchmetrics.image.fid")
    generator = torch.Generator().manual_seed(0)
    made, real = (scale * torch.randn(60, 3, 8, 8, generator=generator) for scale in (1.0, 1.4))
    classifier = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(12, 2))
    ours = FrechetDistance(classifier=classifier)
    theirs = image.FrechetInceptionDistance(
        feature=classifier[:2], input_img_size=(3, 8, 8), normalize=True
    )
    theirs.set_dtype(torch.float64)
    theirs.update(real.double(), real=True)
    theirs.update(made.double(), real=False)
    found = frechet_distance(ours.features(made), ours.features(real))
    assert found == pytest.approx(float(theirs.compute()), rel=1e-4)


def test_the_distance_of_normal_laws_that_are_known() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(500, 4, generator=generator, dtype=torch.float64)
    rows = (rows - rows.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(rows.T.cov())).T
    scales, shift = torch.tensor([1.0, 2.0, 0.5, 3.0]), torch.tensor([1.0, 0.0, -2.0, 0.0])
    # White rows against scaled and shifted ones: |shift|^2 + sum (1 - scale)^2.
    assert frechet_distance(rows, scales * rows + shift) == pytest.approx(5 + 0 + 1 + 0.25 + 4)
    assert frechet_distance(rows, rows) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ScmError, match="two rows or more"):
        frechet_distance(rows, rows[:1])


def test_bootstrapped_distances() -> None:
    generator = torch.Generator().manual_seed(0)
    made, real = (torch.rand(40, 1, 8, 8, generator=generator) for _ in range(2))
    fid = FrechetDistance(classifier=SmallCNN(1, width=2), name="digits")
    assert (fid.name, fid.trained) == ("FID by digits (stand-in)", False)
    found = fid(made, real, seed=3)
    assert found == fid(made, real, seed=3) != fid(made, real, seed=4)
    assert found.value > frechet_distance(fid.features(made), fid.features(real))
    assert 0 < found.stderr < found.value
    assert fid.classifier.training
    with pytest.raises(ScmError, match="draws=1 was given"):
        fid(made, real, draws=1)
    with pytest.raises(ScmError, match="FrechetDistance.. takes weights"):
        FrechetDistance("weights.pth", fid.classifier)
