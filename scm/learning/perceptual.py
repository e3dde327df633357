"""Perceptual losses: distances between the features that a VGG network finds in two images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.errors import ScmError
from scm.mechanisms.seeding import seeded
from scm.mechanisms.weights import load_into
from scm.vision import torchvision

__all__ = ["VGGFeatures", "content_loss", "gram", "style_loss"]

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


class VGGFeatures(nn.Module):
    """Features of images at some layers of a VGG network, finest first.

    Args:
        name: "vgg16", "vgg16_bn" or "vgg19".
        layers: Which, as places in torchvision's `features`; by default the first four
            max-poolings.
        weights: File of torchvision's published state dict; "cache" for torchvision's own
            copy, downloaded where it is missing; None for *random* weights, which stand in
            where there are no others: `trained` then is False, and tables say so.
        range: Lowest and highest value of a pixel.
        seed: Seed of random weights.

    Raises:
        ScmError: If torchvision is missing, the file does not hold this network, or the weights of
            "cache" are not there and cannot be downloaded.

    Source: Johnson, Alahi and Fei-Fei (2016), section 3.2; Simonyan and Zisserman (2015).

    Example:
        >>> [tuple(f.shape[1:]) for f in VGGFeatures()(torch.zeros(1, 3, 32, 32))]
        [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    """

    def __init__(
        self,
        name: Literal["vgg16", "vgg16_bn", "vgg19"] = "vgg16_bn",
        layers: Sequence[int] | None = None,
        weights: str | Path | None = None,
        range: tuple[float, float] = (-1.0, 1.0),
        seed: int = 0,
    ) -> None:
        super().__init__()
        if name not in ("vgg16", "vgg16_bn", "vgg19"):
            raise ScmError(
                f"VGGFeatures({name!r}) was asked for; expected 'vgg16', 'vgg16_bn' or 'vgg19'"
            )
        models = torchvision("models")
        with seeded(seed):
            try:
                network: nn.Module = getattr(models, name)(
                    weights="IMAGENET1K_V1" if weights == "cache" else None
                )
            except (OSError, RuntimeError) as error:  # no network, or a file that was cut off
                raise ScmError(
                    f"the weights of {name} are not in torchvision's cache ({torch.hub.get_dir()}/"
                    f"checkpoints) and cannot be downloaded ({error}); fetch them elsewhere and "
                    "give the file, weights=FILE"
                ) from error
        if weights not in (None, "cache"):
            load_into(network, weights, models.get_model_weights(name).IMAGENET1K_V1.url)
        features = list(network.get_submodule("features").children())
        pools = [k for k, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
        self.at = tuple(pools[:4] if layers is None else layers)
        if not self.at or not 0 <= min(self.at) <= max(self.at) < len(features):
            raise ScmError(f"layers={layers} was given; expected places 0 to {len(features) - 1}")
        self.trained, self.range = weights is not None, range
        self.layers = nn.Sequential(*features[: max(self.at) + 1]).eval().requires_grad_(False)
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # it would overwrite the features of the layer before

    def train(self, mode: bool = True) -> VGGFeatures:
        """Stay in evaluation mode: the network is a ruler, and does not learn."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of images `(n, 3, h, w)`, one tensor a layer."""
        low, high = self.range
        mean, deviation = (images.new_tensor(v)[:, None, None] for v in (_MEAN, _DEVIATION))
        here = ((images - low) / (high - low) - mean) / deviation
        found = {}
        for k, layer in enumerate(self.layers):
            here = layer(here)
            if k in self.at:
                found[k] = here
        return [found[k] for k in self.at]


def gram(features: Tensor) -> Tensor:
    r"""Gram matrices, :math:`G_{ab} = \sum_{p} f_{ap} f_{bp} / (c h w)`.

    Args:
        features: Features `(n, c, h, w)`.

    Returns:
        Matrices `(n, c, c)`.

    Source: Johnson, Alahi and Fei-Fei (2016), section 3.2, "Style Reconstruction Loss".

    Example:
        >>> gram(torch.ones(1, 2, 3, 3))
        tensor([[[0.5000, 0.5000],
                 [0.5000, 0.5000]]])
    """
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def style_loss(
    found: Sequence[Tensor], wanted: Sequence[Tensor], weights: Sequence[float] | None = None
) -> Tensor:
    r"""Style loss, :math:`\sum_l w_l \lVert G(f_l) - G(g_l) \rVert_F^2`, averaged over images.

    It knows which features occur together and not where.

    Args:
        found: Features of the images, by layer.
        wanted: Features of the images to be like, by layer, of as many images or one.
        weights: Weight of each layer; 1 by default.

    Source: Johnson, Alahi and Fei-Fei (2016), section 3.2.

    Example:
        >>> f = torch.rand(2, 3, 4, 4)
        >>> style_loss([f], [f.flip(-1)]) < 1e-12
        tensor(True)
    """
    terms = [
        (gram(f) - gram(g)).square().sum((1, 2)).mean() for f, g in zip(found, wanted, strict=True)
    ]
    scale = torch.ones(len(terms)) if weights is None else torch.tensor(list(weights))
    return (torch.stack(terms) * scale.to(terms[0])).sum()


def content_loss(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    r"""Content loss, :math:`\sum_l \operatorname{mean} (f_l - g_l)^2`.

    Source: Johnson, Alahi and Fei-Fei (2016), section 3.2, "Feature Reconstruction Loss".

    Example:
        >>> content_loss([torch.ones(1, 1, 2, 2)], [torch.zeros(1, 1, 2, 2)])
        tensor(1.)
    """
    terms = [F.mse_loss(f, g) for f, g in zip(found, wanted, strict=True)]
    return torch.stack(terms).sum()
