"""The Inception Score: are generated images each of one class, and all classes among them?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.errors import ScmError
from scm.mechanisms.seeding import seeded
from scm.mechanisms.weights import load_into
from scm.vision import torchvision

__all__ = ["InceptionScore", "inception_score"]


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


class InceptionScore:
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

    def __init__(
        self,
        weights: str | Path | None = None,
        classifier: nn.Module | None = None,
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        if weights is not None and classifier is not None:
            raise ScmError("InceptionScore() takes weights for Inception-v3 or a classifier")
        self.trained = weights is not None
        self.own = classifier is not None
        self.classifier = _inception(seed) if classifier is None else classifier
        if weights is not None:
            load_into(self.classifier, weights)
        said = name or ("a " + type(classifier).__name__ if self.own else "random weights")
        self.name = "Inception Score" + ("" if self.trained else f" by {said} (stand-in)")

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

    def _logits(self, images: Tensor) -> Tensor:
        self.classifier.to(images.device)
        if not self.own:  # it was trained on images of this size in [-1, 1]
            low, high = float(images.min()), float(images.max())
            if not -1.01 <= low <= high <= 1.01:
                raise ScmError(f"images in [{low:g}, {high:g}] were given; rescale them to [-1, 1]")
            images = F.interpolate(images, (299, 299), mode="bilinear", antialias=True)
        logits: Tensor = self.classifier(images)
        return logits


def _inception(seed: int) -> nn.Module:
    models = torchvision("models")
    with seeded(seed):
        network: nn.Module = models.inception_v3(
            weights=None, init_weights=False, transform_input=False
        )
    return network
