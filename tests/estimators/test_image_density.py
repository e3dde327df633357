"""log P(x|z) of images, against the formulas written out."""

from __future__ import annotations

import math

import pytest
import torch

from scm.errors import ScmError
from scm.estimators.image_density import log_densities, log_density


def images(n: int, seed: int, d: int = 6) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


REAL, MADE = images(11, 0), images(17, 1)
LOG_P = (REAL.softmax(1)[:, None] * MADE.log_softmax(1)[None]).sum(-1)


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_both_forms_and_both_weights(batch):
    def found(**options):
        return log_densities(REAL, MADE, batch=batch, **options)

    torch.testing.assert_close(found(weight="1"), LOG_P.exp().sum(1).log())
    torch.testing.assert_close(found(), LOG_P.exp().mean(1).log())
    torch.testing.assert_close(found(form="sum of logs", weight="1"), LOG_P.sum(1))
    torch.testing.assert_close(found(form="sum of logs"), LOG_P.mean(1))
    assert (found(form="sum of logs") <= found()).all()


@pytest.mark.parametrize("k", [1, 3, 17])
@pytest.mark.parametrize("batch", [1, 2, 5, 50])
def test_nearest(k, batch):
    best = LOG_P.sort(1, descending=True).values[:, :k]
    found = log_densities(REAL, MADE, nearest=k, batch=batch)
    torch.testing.assert_close(found, best.logsumexp(1) - math.log(17))
    found = log_densities(REAL, MADE, nearest=k, batch=batch, form="sum of logs")
    torch.testing.assert_close(found, best.mean(1))
    if k == 1:
        one = log_densities(REAL, MADE, nearest=1, batch=batch, weight="1")
        torch.testing.assert_close(one, best[:, 0])


def test_no_more_than_batch_by_batch_and_features_once():
    sizes, extracted = [], []

    def similarity(a, b):
        sizes.append((len(a), len(b)))
        return -torch.cdist(a, b)

    def features(x):
        extracted.append(len(x))
        return x.flatten(1)

    real, made = REAL.reshape(11, 2, 3), (part for part in MADE.reshape(17, 2, 3).split(6))
    found = log_densities(real, made, features, similarity=similarity, batch=4)
    torch.testing.assert_close(found, (-torch.cdist(REAL, MADE)).exp().mean(1).log())
    assert max(max(pair) for pair in sizes) <= 4
    assert sum(extracted) == 11 + 17


def test_the_mean_has_its_error_and_prefers_the_nearer_strategy():
    close, far = REAL + 0.1 * images(11, 2), 3 * images(11, 3)
    near = log_density(REAL, close)
    assert near.value > log_density(REAL, far).value
    assert near.n == 11
    values = log_densities(REAL, close)
    assert near.value == pytest.approx(values.mean().item())
    assert near.stderr == pytest.approx(values.std().item() / math.sqrt(11))


def test_bad_input():
    with pytest.raises(ScmError, match="training mode"):
        log_densities(REAL, MADE, torch.nn.Dropout())
    with pytest.raises(ScmError, match="have as many dimensions"):
        log_densities(REAL, images(4, 0, d=5))
    with pytest.raises(ScmError, match="no generated images"):
        log_densities(REAL, MADE[:0])
    with pytest.raises(ScmError, match="expected one row for each image"):
        log_densities(REAL.reshape(11, 2, 3), MADE)
    with pytest.raises(ScmError, match="finite"):
        log_densities(REAL, MADE * math.nan)
    with pytest.raises(ScmError, match="only 17 images"):
        log_densities(REAL, MADE, nearest=18)
    with pytest.raises(ScmError, match="expected 1 or more"):
        log_densities(REAL, MADE, batch=0)
    with pytest.raises(ScmError, match="'log of sums' or 'sum of logs'"):
        log_densities(REAL, MADE, form="logs")


@pytest.mark.gpu
def test_on_the_gpu():
    found = log_densities(REAL, MADE, device="cuda", batch=5)
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), LOG_P.exp().mean(1).log())
