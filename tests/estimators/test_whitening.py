"""Whitened images, and densities of them, against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde
from sklearn.decomposition import PCA

from scm.errors import ScmError
from scm.estimators import Whitening, gaussian_similarity, log_densities, scott_width

IMAGES = torch.randn(200, 2, 3, generator=torch.Generator().manual_seed(0)) @ torch.randn(
    3, 3, generator=torch.Generator().manual_seed(1)
)


@pytest.mark.parametrize("n", [200, 5])  # more images than pixels, and fewer
def test_principal_components_of_unit_variance(n):
    images = IMAGES[:n]
    found = Whitening(images, 4)
    known = PCA(4, whiten=True).fit(images.flatten(1).numpy())
    ours, theirs = found(images).numpy(), known.transform(images.flatten(1).numpy())
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-3)
    assert found.share == pytest.approx(known.explained_variance_ratio_.sum(), abs=1e-4)


def test_density_is_scipys():
    made, real = (
        torch.randn(n, 3, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
        for n in (50, 7)
    )
    whiten = Whitening(made, 3)
    similarity = gaussian_similarity(scott_width(50, 3))
    found = log_densities(whiten(real), whiten(made), similarity=similarity)
    # scipy's kernel has the points' covariance: the same up to the volume of the map.
    volume = torch.linalg.slogdet(whiten.directions).logabsdet
    known = gaussian_kde(made.numpy().T, "scott").logpdf(real.numpy().T)
    np.testing.assert_allclose((found + volume).numpy(), known, rtol=1e-9)


@pytest.mark.parametrize("components", [0, 200])
def test_as_many_components_as_images(components):
    with pytest.raises(ScmError, match="from 1 component to n - 1"):
        Whitening(IMAGES, components)


def test_images_that_do_not_vary_so_much():
    flat = IMAGES.flatten(1)[:, :2] @ torch.ones(2, 5)
    with pytest.raises(ScmError, match="vary in 1 directions; ask for fewer"):
        Whitening(flat, 2)


@pytest.mark.parametrize("wrong", [lambda: gaussian_similarity(0.0), lambda: scott_width(0, 3)])
def test_no_width(wrong):
    with pytest.raises(ScmError, match="expected"):
        wrong()
