"""Clusters against brute force, the number of classes against simulations, bins, bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from scm import ScmError
from scm.learning.causes.observational_classes import (
    _criterion,
    as_levels,
    cluster,
    observational_classes,
    quantile_edges,
)


def cost(points: torch.Tensor, labels: torch.Tensor) -> float:
    groups = [points[labels == k] for k in labels.unique()]
    return float(sum((g - g.mean(0)).square().sum() for g in groups))


def two(values: torch.Tensor) -> torch.Tensor:
    return torch.stack([1 - values, values], 1)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_clusters_on_a_line_are_the_best_of_all(k):
    generator = torch.Generator().manual_seed(k)
    values = torch.rand(6, generator=generator, dtype=torch.float64).mul(500).round() / 500
    found = cluster(two(values), k, 0)
    best = min(
        cost(values, torch.tensor(labels)) for labels in itertools.product(range(k), repeat=6)
    )
    assert int(found.max()) == k - 1
    assert cost(values, found) == pytest.approx(best)


def test_clusters_of_more_levels_are_found():
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    truth = torch.arange(300) % 3
    points = centres[truth] + 0.03 * torch.randn(300, 3, generator=generator)
    found = cluster(points.double(), 3, 0)
    assert len({(int(a), int(b)) for a, b in zip(truth, found, strict=True)}) == 3


@pytest.mark.parametrize("chances", [(0.35, 0.65), (0.1, 0.5, 0.8), (0.1, 0.4, 0.6, 0.9)])
def test_number_of_classes_is_found(chances):
    """From predictions with an error of 0.04, and 4,000 outcomes: right in 19 of 20 or more.

    A rule that is right in 99% falls below that with 1.7%.
    """
    generator = torch.Generator().manual_seed(9)
    right = 0
    for _ in range(20):
        p = torch.tensor(chances, dtype=torch.float64)[
            torch.randint(len(chances), (4000,), generator=generator)
        ]
        outcomes = (torch.rand(4000, generator=generator) < p).long()
        noise = 0.04 * torch.randn(4000, generator=generator)
        points = two((p + noise).clamp(0, 1))
        scores = [_criterion(cluster(points, k, 0), outcomes, 2) for k in range(1, 7)]
        right += int(np.argmin(scores)) + 1 == len(chances)
    assert right >= 19


def test_criterion_by_hand():
    labels, outcomes = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([1, 0, 0, 1, 1])
    by_hand = -2 * (np.log(1 / 3) + 2 * np.log(2 / 3)) + 3 * np.log(5)
    assert _criterion(labels, outcomes, 2) == pytest.approx(by_hand)


def test_bins_of_a_continuous_target():
    outcomes = torch.arange(100.0)
    edges = quantile_edges(outcomes, 4)
    assert as_levels(outcomes, edges).bincount().tolist() == [25, 25, 25, 25]
    assert as_levels(torch.tensor([1.0, 2.0, 3.0]), [1.0, 2.5]).tolist() == [0, 1, 2]
    lost = torch.tensor([1.0, torch.nan, 2.0])
    for given, match in (
        (torch.zeros(9), "too many are equal"),
        (torch.zeros(0), "give 2"),
        (torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 1.0]), "too many are equal"),
        (lost, "1 of 3 outcomes are NaN"),
    ):
        with pytest.raises(ScmError, match=match):
            quantile_edges(given, 3)
    with pytest.raises(ScmError, match="quantile_edges"):
        as_levels(outcomes, None)
    with pytest.raises(ScmError, match="outcome -1"):
        as_levels(torch.tensor([-1, 0]), None)
    with pytest.raises(ScmError, match="1 of 3 outcomes are NaN"):
        as_levels(lost, [0.5])
    for wrong in ([2.0, 1.0], [], [torch.nan], 0.5):
        with pytest.raises(ScmError, match="ascending order"):
            as_levels(outcomes, wrong)


@pytest.mark.parametrize(
    ("images", "outcomes", "options", "match"),
    [
        (torch.zeros(50, 8, 8), torch.zeros(50).long(), {}, r"expected finite floats \(n, chan"),
        (torch.zeros(50, 1, 8, 8), torch.zeros(49).long(), {}, r"50 images .*\(49,\)"),
        (torch.full((50, 1, 8, 8), torch.nan), torch.zeros(50).long(), {}, "finite"),
        (torch.zeros(50, 1, 8, 8), torch.full((50,), 2), {}, "levels=2"),
        (torch.zeros(50, 1, 8, 8), torch.zeros(50).long(), {"folds": 1}, "2 folds"),
        (torch.zeros(50, 1, 8, 8), torch.zeros(50).long(), {"classes": 0}, "1 class"),
    ],
)
def test_bad_input(images, outcomes, options, match):
    with pytest.raises(ScmError, match=match):
        observational_classes(images, outcomes, **{"classes": 2, **options})


def test_network_of_another_size_is_refused():
    images = torch.zeros(60, 1, 4, 4)
    with pytest.raises(ScmError, match="expected logits"):
        observational_classes(
            images,
            torch.arange(60) % 2,
            classes=2,
            network=lambda classes, seed: torch.nn.Sequential(
                torch.nn.Flatten(), torch.nn.Linear(16, classes + 1)
            ),
            steps=2,
            progress=False,
        )
