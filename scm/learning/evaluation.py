"""What a classifier says of images, and how often it is right."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.estimate import Estimate
from scm.learning.sources import Batch, checked

__all__ = ["accuracy", "predict", "probabilities"]


def probabilities(model: nn.Module, images: Tensor, batch: int = 1024) -> Tensor:
    """Probabilities `(n, classes)` that a classifier gives, in evaluation mode, without gradients.

    Args:
        model: The classifier; its mode is restored.
        images: Images `(n, channels, height, width)`.
        batch: Images at a time.

    Example:
        >>> probabilities(nn.Flatten(), torch.zeros(1, 1, 1, 2))
        tensor([[0.5000, 0.5000]])
    """
    was_training = model.training
    model.eval()
    with torch.no_grad():
        found = torch.cat([model(part).softmax(-1) for part in images.split(batch)])
    model.train(was_training)
    return found


def predict(model: nn.Module, images: Tensor, batch: int = 1024) -> Tensor:
    """Classes `(n,)` that a classifier finds most probable.

    Example:
        >>> predict(nn.Flatten(), torch.tensor([[0.0, 1.0], [1.0, 0.0]]).view(2, 1, 1, 2))
        tensor([1, 0])
    """
    return probabilities(model, images, batch).argmax(-1)


def accuracy(models: nn.Module | Sequence[nn.Module], images: Tensor, labels: Tensor) -> Estimate:
    """Share of images that are classified correctly.

    With one model the standard error is binomial. With several, trained alike from different
    seeds, it is that of their mean accuracy over new images *and* new seeds, the two variances
    (over images of the models' mean, over models of the images' mean) added; this errs on the
    large side.

    Args:
        models: A classifier, or several.
        images: Images `(n, channels, height, width)`.
        labels: Classes `(n,)`.

    Raises:
        ScmError: If images and labels do not match, a label is outside the classes, or there is
            no model.

    Example:
        >>> model = nn.Flatten()  # the two pixels are the logits
        >>> images = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]).view(4, 1, 1, 2)
        >>> print(accuracy(model, images, torch.tensor([1, 0, 1, 0])))
        0.75 +- 0.22 (n = 4)
    """
    checked(Batch(images, labels))
    if labels.ndim != 1:
        raise ScmError(f"labels of shape {tuple(labels.shape)} were given; expected (n,)")
    several = [models] if isinstance(models, nn.Module) else list(models)
    if not several:
        raise ScmError("accuracy() was given no classifier; expected one, or several")
    hits = torch.stack([_hits(model, images, labels) for model in several]).double()
    if len(several) == 1:
        return Estimate.proportion(int(hits.sum()), len(labels))
    over_images, over_models = Estimate.mean(hits.mean(0)), Estimate.mean(hits.mean(1))
    stderr = math.hypot(over_images.stderr, over_models.stderr)
    return Estimate(over_images.value, stderr, over_images.n)


def _hits(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    found = probabilities(model, images)
    classes = found.shape[-1]
    if int(labels.max()) >= classes:
        raise ScmError(
            f"label {int(labels.max())} was given to judge a classifier of {classes} classes by; "
            f"expected 0 to {classes - 1}"
        )
    return found.argmax(-1) == labels
