"""A small image classifier: train it on one world, test it in another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.errors import ScmError
from scm.estimate import Estimate
from scm.progress import progress_bar

__all__ = ["SmallCNN", "accuracy", "train_classifier"]


class SmallCNN(nn.Module):
    """Three 3x3 convolutions with two poolings, and a linear layer on 3x3 maxima.

    Args:
        channels: Channels of the images.
        classes: Number of classes.
        width: Channels of the first convolutions; the last has twice as many.
        stride: Stride of the first convolution; 2 suits images of 28x28 and more.
        seed: Seed of the initial weights.

    Example:
        >>> SmallCNN(channels=3)(torch.zeros(5, 3, 8, 8)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self, channels: int, classes: int = 10, width: int = 16, stride: int = 1, seed: int = 0
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # noqa: TID251
            self.layers = nn.Sequential(
                nn.Conv2d(channels, width, 3, stride=stride, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(width, 2 * width, 3, padding=1),
                nn.ReLU(),
                nn.AdaptiveMaxPool2d(3),
                nn.Flatten(),
                nn.Linear(18 * width, classes),
            )

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(n, classes)` of images `(n, channels, height, width)`."""
        logits: Tensor = self.layers(images)
        return logits


def train_classifier(
    images: Tensor,
    labels: Tensor,
    *,
    model: nn.Module | None = None,
    steps: int = 400,
    batch: int = 128,
    lr: float = 5e-3,
    seed: int = 0,
    progress: bool = True,
    title: str = "classifier",
) -> nn.Module:
    """Train a classifier by cross-entropy, with Adam and a one-cycle learning rate.

    Args:
        images: Images `(n, channels, height, width)`.
        labels: Classes `(n,)`, int64.
        model: Network to train, in place; a `SmallCNN` by default.
        steps: Number of steps.
        batch: Images per step.
        lr: Peak learning rate.
        seed: Seed of the order of images, and of the default network's weights.
        progress: Show a progress bar, on a terminal or in a notebook.
        title: What the progress bar calls it.

    Returns:
        The network, in evaluation mode.

    Raises:
        ScmError: If images and labels do not match, or the loss stops being finite.
    """
    _check(images, labels)
    if model is None:
        model = SmallCNN(images.shape[1], int(labels.max()) + 1, seed=seed).to(images)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps + 1)
    model.train()
    order = torch.empty(0, dtype=torch.int64)
    bar = progress_bar(f"train {title}", steps, "steps", progress)
    with bar as advance, torch.enable_grad():
        for step in range(steps):
            while len(order) < batch:
                order = torch.cat([order, torch.randperm(len(labels), generator=generator)])
            rows, order = order[:batch].to(images.device), order[batch:]
            loss = F.cross_entropy(model(images[rows]), labels[rows])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            if step % 50 == 0 and not math.isfinite(loss.item()):
                raise ScmError(
                    f"the classifier's loss became {loss.item()} at step {step}; lower "
                    f"lr={lr:g}, or check that the images are finite"
                )
            advance()
    return model.eval()


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
        ScmError: If images and labels do not match, or there is no model.
    """
    _check(images, labels)
    several = [models] if isinstance(models, nn.Module) else list(models)
    if not several:
        raise ScmError("accuracy() was given no classifier; expected one, or several")
    with torch.no_grad():
        hits = torch.stack([_predict(model, images) == labels for model in several]).double()
    if len(several) == 1:
        return Estimate.proportion(int(hits.sum()), len(labels))
    over_images, over_models = Estimate.mean(hits.mean(0)), Estimate.mean(hits.mean(1))
    stderr = math.hypot(over_images.stderr, over_models.stderr)
    return Estimate(over_images.value, stderr, over_images.n)


def _predict(model: nn.Module, images: Tensor) -> Tensor:
    was_training = model.training
    model.eval()
    found = torch.cat([model(part).argmax(-1) for part in images.split(1024)])
    model.train(was_training)
    return found


def _check(images: Tensor, labels: Tensor) -> None:
    if images.ndim != 4 or labels.shape != images.shape[:1] or not len(labels):
        raise ScmError(
            f"images of shape {tuple(images.shape)} and labels of shape {tuple(labels.shape)} were "
            "given; expected (n, channels, height, width) and (n,)"
        )
    if labels.is_floating_point() or int(labels.min()) < 0:
        raise ScmError(f"labels are {labels.dtype}; expected int64 classes 0, 1, ...")
