"""The plain case: train a classifier on images that are held in memory."""

from __future__ import annotations

import os

from torch import Tensor, nn

from scm.learning.networks import SmallCNN
from scm.learning.ranks import Fabric
from scm.learning.recipe import Recipe
from scm.learning.sources import LabelledImages
from scm.learning.training import train

__all__ = ["train_classifier"]


def train_classifier(
    images: Tensor,
    labels: Tensor,
    *,
    model: nn.Module | None = None,
    steps: int = 400,
    batch: int = 128,
    lr: float = 5e-3,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 100,
    progress: bool = True,
    title: str = "classifier",
    fabric: Fabric | None = None,
) -> nn.Module:
    """Train a classifier by cross-entropy, with Adam and a one-cycle learning rate.

    For other objectives, several environments, streams of images and model selection, use
    `train`, of which this is the plainest case.

    Args:
        images: Images `(n, channels, height, width)`.
        labels: Classes `(n,)`, int64.
        model: Network to train, in place; a `SmallCNN` by default.
        steps: Number of steps.
        batch: Images per step.
        lr: Peak learning rate.
        seed: Seed of the order of images, and of the default network's weights.
        checkpoint: File to go on from if it is there, and written while training.
        every: Steps between checkpoints.
        progress: Show a progress bar, on a terminal or in a notebook.
        title: What the progress bar calls it.
        fabric: To train on several devices; see `train`.

    Returns:
        The network, in evaluation mode.

    Raises:
        ScmError: If images and labels do not match, the loss stops being finite, or the
            checkpoint is another training's.

    Example:
        >>> import torch
        >>> images = torch.zeros(64, 1, 8, 8)
        >>> images[::2] = 1.0
        >>> labels = (images.mean((1, 2, 3)) > 0.5).long()
        >>> network = train_classifier(images, labels, steps=20, progress=False)
        >>> network(images).shape
        torch.Size([64, 2])
    """
    source = LabelledImages(images, labels)
    if model is None:
        model = SmallCNN(images.shape[1], int(labels.max()) + 1, seed=seed).to(images)
    recipe = Recipe(steps=steps, batch=batch, lr=lr)
    return train(
        model,
        source,
        recipe=recipe,
        seed=seed,
        checkpoint=checkpoint,
        every=every,
        progress=progress,
        title=title,
        fabric=fabric,
    ).network
