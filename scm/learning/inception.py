"""Generated images as a classifier sees them: Inception Score, and Frechet (Inception) distance."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.errors import ScmError
from scm.estimate import Estimate
from scm.learning.layers import last_linear, watching
from scm.mechanisms.seeding import seeded
from scm.mechanisms.weights import load_into
from scm.vision import torchvision

__all__ = ["FrechetDistance", "InceptionScore", "frechet_distance", "inception_score"]

_BATCH = 256


def inception_score(probabilities: Tensor) -> float:
    r"""`exp(E_x KL(p(y | x) || p(y)))`, from 1 (says nothing) to the number of classes.

    Args:
        probabilities: `(n, classes)`, a row an image. The score of few images is too low.

    Source: Salimans et al. (2016), section 4.

    Example:
        >>> round(inception_score(torch.eye(4)), 6), inception_score(torch.full((3, 4), 0.25))
        (4.0, 1.0)
    """
    p = probabilities.double()
    divergence = torch.xlogy(p, p).sum(1) - torch.xlogy(p, p.mean(0)).sum(1)
    return float(divergence.mean().exp())


class _Judge:
    """Inception-v3, or the classifier that stands in for it, and what a table calls it."""

    title = ""

    def __init__(
        self,
        weights: str | Path | None = None,
        classifier: nn.Module | None = None,
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        if weights is not None and classifier is not None:
            raise ScmError(
                f"{type(self).__name__}() takes weights for Inception-v3 or a classifier"
            )
        self.trained = weights is not None
        self.own = classifier is not None
        self.classifier = _inception(seed) if classifier is None else classifier
        if weights is not None:
            known = torchvision("models").get_model_weights("inception_v3")
            load_into(self.classifier, weights, known.IMAGENET1K_V1.url)
        said = name or ("a " + type(classifier).__name__ if self.own else "random weights")
        self.name = self.title + ("" if self.trained else f" by {said} (stand-in)")

    def _logits(self, images: Tensor) -> Tensor:
        self.classifier.to(images.device)
        if not self.own:  # it was trained on images of this size in [-1, 1]
            low, high = float(images.min()), float(images.max())
            if not -1.01 <= low <= high <= 1.01:
                raise ScmError(f"images in [{low:g}, {high:g}] were given; rescale them to [-1, 1]")
            images = F.interpolate(images, (299, 299), mode="bilinear", antialias=True)
        logits: Tensor = self.classifier(images)
        return logits


class InceptionScore(_Judge):
    """Inception Score of batches of images in [-1, 1], by Inception-v3 or another classifier.

    Published scores come from the Inception network of 2015; torchvision's weights give values
    near to those, not the same.

    Args:
        weights: File of torchvision's published state dict of Inception-v3; None for *random*
            weights, which stand in where there are no others. `name` then says so.
        classifier: Another classifier, `(n, 3, h, w)` to logits, in the place of Inception-v3.
        name: What the table calls that classifier.
        seed: Seed of random weights.

    Attributes:
        name: "Inception Score", with what stands in for Inception-v3's weights, if anything.
        trained: Whether it is Inception-v3 with trained weights.

    Raises:
        ScmError: If both are given, torchvision is missing, or the file does not hold the
            network.

    Example:
        >>> score = InceptionScore(classifier=nn.Flatten(), name="pixels")
        >>> score.name
        'Inception Score by pixels (stand-in)'
    """

    title = "Inception Score"

    def __call__(self, batches: Iterable[Tensor]) -> float:
        """Score of all images together; they are looked at batch by batch.

        Raises:
            ScmError: If there is no image, or Inception-v3 is shown one outside [-1, 1].
        """
        was_training = self.classifier.training
        self.classifier.eval()
        with torch.no_grad():
            found = [self._logits(images).float().softmax(1).cpu() for images in batches]
        self.classifier.train(was_training)
        if not found:
            raise ScmError("no images were given; an Inception Score needs some thousands")
        return inception_score(torch.cat(found))


def frechet_distance(first: Tensor, second: Tensor) -> float:
    r"""`|m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))`, of features' means and covariances.

    It is the squared 2-Wasserstein distance of two normal laws. That of few rows is too large.

    Args:
        first: Features `(n, width)`, a row an image.
        second: Features `(m, width)`.

    Raises:
        ScmError: If the widths differ, or there are fewer than two rows of either.

    Source: Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter (2017), equation 6.

    Example:
        >>> rows = torch.tensor([[0.0], [2.0]])
        >>> frechet_distance(rows, rows + 3), round(frechet_distance(rows, 2 * rows), 6)
        (9.0, 3.0)
    """
    if first.ndim != 2 or first.shape[1:] != second.shape[1:] or min(map(len, (first, second))) < 2:
        raise ScmError(
            f"features of shape {tuple(first.shape)} and {tuple(second.shape)} were given; "
            "expected (n, width) and (m, width), two rows or more"
        )
    means = [rows.double().mean(0) for rows in (first, second)]
    spread, other = (torch.atleast_2d(rows.double().T.cov()) for rows in (first, second))
    # The roots of C_1 C_2's eigenvalues, which are those of a product of two positive matrices.
    roots = torch.linalg.eigvals(spread @ other).real.clamp_min(0).sqrt()
    apart = (means[0] - means[1]).square().sum()
    return float(apart + spread.trace() + other.trace() - 2 * roots.sum())


class FrechetDistance(_Judge):
    """FID of generated images to real ones, by Inception-v3 or another classifier.

    Features are what enters the classifier's last linear layer. As with `InceptionScore`,
    torchvision's weights give values near to published ones, not the same.

    Args:
        weights: File of torchvision's published state dict of Inception-v3; None for *random*
            weights, which stand in where there are no others. `name` then says so.
        classifier: Another classifier, `(n, channels, h, w)` to logits, in the place of
            Inception-v3.
        name: What the table calls that classifier.
        seed: Seed of random weights.

    Attributes:
        name: "FID", with what stands in for Inception-v3's weights, if anything.
        trained: Whether it is Inception-v3 with trained weights.

    Raises:
        ScmError: If both are given, torchvision is missing, or the file does not hold the
            network.

    Source: Heusel et al. (2017); ten bootstrap draws, CAGE, section 4.3.

    Example:
        >>> from scm.learning import SmallCNN
        >>> fid, images = FrechetDistance(classifier=SmallCNN(1)), torch.rand(50, 1, 8, 8)
        >>> fid.name, fid(images, images).value < fid(1 - images, images).value
        ('FID by a SmallCNN (stand-in)', True)
    """

    title = "FID"

    def __call__(self, made: Tensor, real: Tensor, draws: int = 10, seed: int = 0) -> Estimate:
        """Mean over bootstrap draws of both sets' rows, with their standard deviation as its error.

        A draw repeats rows, so that the mean lies above the distance of the sets themselves.

        Args:
            made: Generated images `(n, channels, h, w)`; for Inception-v3 with three channels in
                [-1, 1].
            real: Real ones `(m, channels, h, w)`.
            draws: Number of draws, 2 or more.
            seed: Seed of the draws.

        Raises:
            ScmError: If there are fewer than two draws, or images of either set, or Inception-v3
                is shown images outside [-1, 1].
        """
        if draws < 2:
            raise ScmError(f"draws={draws} was given; expected 2 or more, 10 in CAGE")
        sets = [self.features(images) for images in (made, real)]
        source = torch.Generator().manual_seed(seed)
        found = []
        for _ in range(draws):
            drawn = [torch.randint(len(r), (len(r),), generator=source) for r in sets]
            found.append(frechet_distance(*(r[k] for r, k in zip(sets, drawn, strict=True))))
        each = torch.tensor(found, dtype=torch.float64)
        return Estimate(float(each.mean()), float(each.std()), len(made))

    def features(self, images: Tensor) -> Tensor:
        """Features `(n, width)` of images, on the CPU.

        Raises:
            ScmError: If the classifier has no linear layer.
        """
        was_training = self.classifier.training
        self.classifier.eval()
        with torch.no_grad(), watching(last_linear(self.classifier)[1], inputs=True) as seen:
            for part in images.split(_BATCH):
                self._logits(part)
        self.classifier.train(was_training)
        return torch.cat(seen).float().cpu()


def _inception(seed: int) -> nn.Module:
    models = torchvision("models")
    with seeded(seed):
        network: nn.Module = models.inception_v3(
            weights=None, init_weights=False, transform_input=False
        )
    return network
