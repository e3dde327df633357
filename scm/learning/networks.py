"""Image classifiers, and the input layers that are rows of their own in every table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from scm.errors import ScmError, nearest
from scm.mechanisms.seeding import seeded
from scm.mechanisms.weights import load_into
from scm.vision import torchvision

__all__ = ["ConvNet", "Grey", "SmallCNN", "Standardise", "torchvision_classifier"]


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
        self.channels = channels
        with seeded(seed):
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
        """Logits `(n, classes)` of images `(n, channels, height, width)`.

        Raises:
            ScmError: If the images have another shape.
        """
        _check(self, images)
        logits: Tensor = self.layers(images)
        return logits


class ConvNet(nn.Module):
    """The classifier of the MNIST variants: three 3x3 convolutions of stride 2 with batch norm.

    Convolution, batch norm, ReLU, three times; 4x4 adaptive max pooling, which does nothing to
    images of 32x32; one linear layer. The paper says only that one CNN serves all experiments
    (appendix C.4), so layers and widths are this library's: small enough that a hundred of
    them are trained on two cores.

    Args:
        channels: Channels of the images.
        classes: Number of classes.
        widths: Channels of the three convolutions.
        seed: Seed of the initial weights.

    Example:
        >>> ConvNet()(torch.zeros(5, 3, 32, 32)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        channels: int = 3,
        classes: int = 10,
        widths: Sequence[int] = (32, 64, 128),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.channels = channels
        first, second, third = widths
        with seeded(seed):
            self.layers = nn.Sequential(
                *_block(channels, first),
                *_block(first, second),
                *_block(second, third),
                nn.AdaptiveMaxPool2d(4),
                nn.Flatten(),
                nn.Linear(16 * third, classes),
            )

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(n, classes)` of images `(n, channels, height, width)`.

        Raises:
            ScmError: If the images have another shape.
        """
        _check(self, images)
        logits: Tensor = self.layers(images)
        return logits


def _check(network: SmallCNN | ConvNet, images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != network.channels:
        name, channels = type(network).__name__, network.channels
        raise ScmError(
            f"a {name} of {channels} channel(s) was given images of shape {tuple(images.shape)}; "
            f"expected (n, {channels}, height, width): make it with {name}(channels=...)"
        )


def _block(channels: int, width: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(width), nn.ReLU()


class Standardise(nn.Module):
    """Input layer "IN": each channel of each image to mean 0 and variance 1, `(x - m) / s`.

    Put it before a network, `nn.Sequential(Standardise(), ConvNet())`. It removes the mean
    colour of an image, and with it much of what a coloured data set confounds, so that its
    merit is not a generator's: give it a row of its own.

    Args:
        eps: What is added to the variance, so that a constant channel becomes 0.

    Example:
        >>> seen = Standardise()(torch.rand(2, 3, 8, 8))
        >>> bool(seen.mean((2, 3)).abs().max() < 1e-6)
        True
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, images: Tensor) -> Tensor:
        """Standardised images, of the same shape.

        Raises:
            ScmError: If they are not `(n, channels, height, width)`.
        """
        if images.ndim != 4:
            raise ScmError(
                f"Standardise() was given images of shape {tuple(images.shape)}; expected "
                "(n, channels, height, width)"
            )
        variance, mean = torch.var_mean(images, (2, 3), correction=0, keepdim=True)
        return (images - mean) * torch.rsqrt(variance + self.eps)


class Grey(nn.Module):
    """Input layer of the greyscale control: luma `0.299 R + 0.587 G + 0.114 B` in each channel.

    Source: ITU-R BT.601.

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        >>> Grey()(red).flatten()
        tensor([0.2990, 0.2990, 0.2990])
    """

    def forward(self, images: Tensor) -> Tensor:
        """Grey images, of the same shape.

        Raises:
            ScmError: If the images do not have three channels.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ScmError(
                f"Grey() was given images of shape {tuple(images.shape)}; expected (n, 3, height, "
                "width): leave the layer out for images that are grey already"
            )
        luma = (images * images.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, True)
        return luma.expand_as(images)


def torchvision_classifier(
    name: str,
    classes: int = 1000,
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> nn.Module:
    """Any classifier of torchvision, with random weights or those of a file.

    Args:
        name: Such as "resnet50" (the paper's, appendix C.4); torchvision lists them all.
        classes: Number of classes.
        weights: File of a `state_dict`, or of safetensors; nothing is downloaded.
        seed: Seed of the initial weights.

    Raises:
        ScmError: If torchvision is missing or has no such classifier, or if the file is missing,
            needs unpickling, or holds other keys or shapes.

    Example:
        >>> torchvision_classifier("resnet18", classes=9)(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 9])
    """
    models = torchvision("models")
    known = models.list_models(module=models)
    if name not in known:
        raise ScmError(f"torchvision has no classifier {name!r}; {nearest(name, known)}")
    with seeded(seed):
        network: nn.Module = models.get_model(name, weights=None, num_classes=classes)
    if weights is not None:
        load_into(network, Path(weights))
    return network
