"""Learning not to learn: unlearn a bias that is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from scm.errors import ScmError, nearest
from scm.learning.layers import last_convolution, watching
from scm.learning.objectives.objective import Moment, Objective, cross_entropy, scores
from scm.learning.sources import Batch
from scm.mechanisms.seeding import seeded

__all__ = ["LNTL", "colour_bins", "reverse"]

IGNORED = -1


class LNTL(Objective):
    """`R + lambda E[sum_b q(b|h) log q(b|h)] - mu E[-log q(b|h)]`, q best at predicting the bias.

    h is the feature map of a convolution of the network, q(b|h) a predictor of the bias b (of
    the image's colour at each position of the map, in bins per channel). q minimises its
    cross-entropy; a layer that reverses the gradient lets the features maximise mu times the
    same, and the second term makes what q says of them uncertain, with q itself held fixed.

    Args:
        information: lambda, the weight of the mutual information.
        reversal: mu; the gradient is multiplied by `-mu`.
        bins: Bins of each colour channel, over [0, 1].
        bias: Function of images `(n, channels, height, width)` and a size `(h, w)` to the bins
            `(n, channels, h, w)` to unlearn, int64, -1 where there is nothing to predict;
            `colour_bins` by default.
        layer: Name of the module whose output is h, as `named_modules` has it; the last
            convolution by default. What is unlearned in an early layer, whose features say little
            of the class, does not work against the classifier.

    Source: Kim, Kim, Kim, Kim and Kim (2019), "Learning Not to Learn", section 3; 0.01, 0.1
    and 8 are their coloured MNIST's. The predictor (two 1x1 convolutions) and the places where it
    is asked are this library's.

    Example:
        >>> LNTL()
        LNTL(information=0.01, reversal=0.1, bins=8, layer=None)
    """

    def __init__(
        self,
        information: float = 0.01,
        reversal: float = 0.1,
        bins: int = 8,
        bias: Callable[[Tensor, tuple[int, int]], Tensor] | None = None,
        layer: str | None = None,
    ) -> None:
        super().__init__(information=information, reversal=reversal, bins=bins, layer=layer)
        self.layer = layer
        self.information, self.reversal, self.bins = information, reversal, bins
        self.bias = bias or (lambda images, size: colour_bins(images, size, bins))
        self.predictor: nn.Module = nn.Identity()

    def start(self, network: nn.Module, batches: Sequence[Batch], seed: int) -> None:
        """A new predictor that fits the network's features."""
        was_training = network.training
        network.eval()
        with torch.no_grad(), watching(self._watched(network)) as seen:
            network(batches[0].images[:2])
        network.train(was_training)
        width, channels = seen[0].shape[1], batches[0].images.shape[1]
        with seeded(seed):
            self.predictor = nn.Sequential(
                nn.Conv2d(width, 64, 1), nn.ReLU(), nn.Conv2d(64, channels * self.bins, 1)
            ).to(seen[0])

    def loss(self, network: nn.Module, batches: Sequence[Batch], at: Moment) -> Tensor:
        """Risk, certainty of the predictor, and its reversed risk."""
        with watching(self._watched(network)) as seen:
            found = scores(network, batches)
        features = seen[0]
        risk = torch.stack(
            [cross_entropy(f, b.labels) for f, b in zip(found, batches, strict=True)]
        ).mean()
        images = torch.cat([batch.images for batch in batches])
        height, width = features.shape[2:]
        target = self.bias(images, (height, width))
        there = target != IGNORED
        if not there.any():
            return risk
        fixed = {name: p.detach() for name, p in self.predictor.named_parameters()}
        certain = self._log_q(functional_call(self.predictor, fixed, (features,)), target)
        information = (certain.exp() * certain).sum(1)[there].mean()
        predicted = self._log_q(self.predictor(reverse(features, self.reversal)), target)
        bias = F.nll_loss(predicted, target, ignore_index=IGNORED)
        return risk + self.information * information + bias

    def _watched(self, network: nn.Module) -> nn.Module:
        if self.layer is None:
            return last_convolution(network)
        modules: dict[str, nn.Module] = dict(network.named_modules())
        if self.layer not in modules:
            known = nearest(self.layer, modules)
            raise ScmError(f"LNTL(layer={self.layer!r}) is no module of the network; {known}")
        return modules[self.layer]

    def _log_q(self, logits: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities `(n, bins, channels, h, w)`."""
        n, channels, height, width = target.shape
        shape = (n, self.bins, channels, height, width)
        if logits.numel() != n * self.bins * channels * height * width:
            raise ScmError(
                f"the bias is {tuple(target.shape)}; expected (n, channels, h, w) for features of "
                f"{tuple(logits.shape[2:])}"
            )
        return logits.view(shape).log_softmax(1)


def colour_bins(images: Tensor, size: tuple[int, int], bins: int = 8) -> Tensor:
    """Bin of each channel's colour at each position, -1 where the image is black.

    Images in [0, 1] are averaged over the pixels that a position stands for, those that are
    black (below 0.05 in each channel) left out.

    Args:
        images: `(n, channels, height, width)` in [0, 1].
        size: Height and width of the map of positions.
        bins: Bins of equal width.

    Returns:
        `(n, channels, *size)`, int64.

    Raises:
        ScmError: If the images are not in [0, 1].

    Example:
        >>> image = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
        >>> colour_bins(image, (2, 2))[0, :, 0, 0]
        tensor([7, 4, 0])
    """
    low, high = float(images.min()), float(images.max())
    if not 0 <= low <= high <= 1:
        raise ScmError(
            f"images in [{low:g}, {high:g}] were given, whose colours are to be put into bins; "
            "rescale them to [0, 1], or give LNTL a bias= of your own"
        )
    lit = (images > 0.05).any(1, keepdim=True).to(images)
    share = F.adaptive_avg_pool2d(lit, size)
    mean = F.adaptive_avg_pool2d(images * lit, size) / share.clamp(min=1e-12)
    return (mean * bins).long().clamp(0, bins - 1).masked_fill(share == 0, IGNORED)


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None


def reverse(values: Tensor, factor: float) -> Tensor:
    """Return the values; the gradient is multiplied by `-factor` on its way back.

    Source: Ganin and Lempitsky (2015), "Unsupervised Domain Adaptation by Backpropagation",
    section 3.1.

    Example:
        >>> x = torch.ones(2, requires_grad=True)
        >>> reverse(x, 0.1).sum().backward()
        >>> x.grad
        tensor([-0.1000, -0.1000])
    """
    passed: Tensor = _Reverse.apply(values, factor)  # type: ignore[no-untyped-call]
    return passed
