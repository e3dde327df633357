"""The losses of a CGN, named as in the papers; each is a function of images or masks.

`Weights` says how much of each a training run uses; a weight of 0 leaves a loss out, which
is the loss ablation. Means are over the batch and, where nothing else is said, pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from scm.errors import ScmError
from scm.learning.perceptual import VGGFeatures, gram

__all__ = [
    "Style",
    "Weights",
    "background",
    "binary",
    "divergence",
    "edge",
    "lsgan",
    "mask",
    "mixture",
    "reconstruction",
    "texture",
]


@dataclass(frozen=True)
class Weights:
    """Weight of each loss; 0 switches it off.

    Attributes:
        reconstruction: Of `reconstruction`, against a (pseudo) ground truth.
        divergence: Of the noise's posterior from its prior, where there is an encoder.
        adversarial: Of the generator's side of a discriminator.
        binary: Of the mask's entropy.
        mask: Of the mask's size.
        texture: Of the foreground's style.
        background: Of the background's style.
        edge: Of mask mass at the border.

    Raises:
        ScmError: If a weight is negative.

    Example:
        >>> Weights(reconstruction=1.0, binary=0.5).edge
        0.0
    """

    reconstruction: float = 0.0
    divergence: float = 0.0
    adversarial: float = 0.0
    binary: float = 0.0
    mask: float = 0.0
    texture: float = 0.0
    background: float = 0.0
    edge: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:
                raise ScmError(f"the weight {name}={value} was given; expected 0 (off) or more")


def reconstruction(images: Tensor, truth: Tensor, sigma: float) -> Tensor:
    """`L_rec`: `sum (x - x_gt)^2 / (2 sigma^2)` per image, a normal likelihood.

    The paper's is L1 and a perceptual distance to BigGAN's image of the same (u, y); on
    MNIST nothing gives such a pair but an encoder, whose reconstruction this compares.

    Source: Sauer and Geiger (2021), section 3.1, "Composition Mechanism".

    Example:
        >>> reconstruction(torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2), sigma=1.0)
        tensor(2.)
    """
    return (images - truth).square().flatten(1).sum(1).mean() / (2 * sigma**2)


def mixture(masks: Tensor, front: Tensor, back: Tensor) -> Tensor:
    """`L_rec` where textures are distributions of pixels, `-sum_i log(m_i p_F + (1 - m_i) p_B)`.

    Args:
        masks: Masks m, `(n, 1, height, width)`.
        front: `log p_F` of each pixel, of the same shape.
        back: `log p_B` of each pixel.

    Example:
        >>> certain = torch.ones(1, 1, 2, 2)
        >>> mixture(certain, torch.log(certain / 2), torch.log(certain / 4))    # 4 log 2
        tensor(2.7728)
    """
    inside = masks.clamp(1e-4, 1 - 1e-4)
    each = torch.logaddexp(inside.log() + front, (1 - inside).log() + back)
    return -each.flatten(1).sum(1).mean()


def divergence(mean: Tensor, log_scale: Tensor, weights: Tensor | None = None) -> Tensor:
    """`KL(N(mean, scale^2) || N(0, I))` per row of `(n, width)`, each number weighed if asked.

    Source: Kingma and Welling (2014), appendix B.
    """
    terms = mean.square() + (2 * log_scale).exp() - 1 - 2 * log_scale
    return 0.5 * (terms if weights is None else terms * weights).sum(-1).mean()


def lsgan(scores: Tensor, *, real: bool) -> Tensor:
    """Least-squares adversarial loss, `(D - 1)^2 / 2` of images to pass as real, else `D^2 / 2`.

    The discriminator adds both; the generator takes its own images as real.

    Source: Mao et al. (2017), equation 9.

    Example:
        >>> lsgan(torch.tensor([1.0]), real=True), lsgan(torch.tensor([1.0]), real=False)
        (tensor(0.), tensor(0.5000))
    """
    return 0.5 * (scores - float(real)).square().mean()


@dataclass(frozen=True, eq=False)
class Style:
    """`L_style = 5000 sum_l w_l^2 mean |G_l(x) - G_l(x')|`, which the authors' code adds on MNIST.

    G_l are the Gram matrices of VGG16's features, x' real images that have nothing to do with x.
    The paper does not mention it. Its weights w in the published runs: coloured (0.05, 0.1, 0.01,
    0), double-coloured (0, 0.05, 0, 0.05), Wildlife (0.01, 0.05, 0, 0.01); features there are
    those before the poolings, layers=(3, 8, 15, 22), of images that are not standardised.

    Attributes:
        vgg: Features of images in [0, 1], such as `VGGFeatures("vgg16", weights=FILE,
            range=(0, 1))`. Without a file of weights its own are random, `vgg.trained` is False,
            and tables must say so.
        weights: w, one for each layer of the features.

    Raises:
        ScmError: If there is not a weight of 0 or more for each layer, or the features are of
            images in another range.

    Source: the authors' repository, imagenet/losses.py and mnists/experiments; Johnson, Alahi and
    Fei-Fei (2016), section 3.2.

    Example:
        >>> style = Style(VGGFeatures("vgg16", layers=(4,), range=(0, 1)), (0.1,))
        >>> images = torch.rand(2, 3, 8, 8)
        >>> style(images, images), style.vgg.trained
        (tensor(0.), False)
    """

    vgg: VGGFeatures
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        layers = len(self.vgg.at)
        if len(self.weights) != layers or not all(w >= 0 for w in self.weights):
            raise ScmError(
                f"Style(weights={self.weights}) was given; expected {layers} of 0 or more, one for "
                "each layer of the features"
            )
        if tuple(self.vgg.range) != (0.0, 1.0):
            raise ScmError(
                f"Style() was given features of images in {list(self.vgg.range)}; give "
                "VGGFeatures(..., range=(0, 1))"
            )

    def __call__(self, images: Tensor, real: Tensor) -> Tensor:
        """The loss of images `(n, 3, h, w)` beside as many real ones, as a scalar."""
        with torch.no_grad():
            wanted = self.vgg(real)
        layers = zip(self.weights, self.vgg(images), wanted, strict=True)
        terms = [w**2 * (gram(f) - gram(g)).abs().mean() for w, f, g in layers]
        return 5000 * torch.stack(terms).sum()


def binary(masks: Tensor) -> Tensor:
    """`L_binary`: the mean entropy of a pixel in bits, `-m log2 m - (1 - m) log2(1 - m)`.

    Source: Sauer and Geiger (2021), equation 3 (appendix C.1), divided by the pixels.

    Example:
        >>> binary(torch.tensor([0.5, 0.5])), binary(torch.tensor([0.0, 1.0])) < 1e-4
        (tensor(1.), tensor(True))
    """
    inside = masks.clamp(1e-6, 1 - 1e-6)  # the slope is infinite at 0 and 1
    return -(inside * inside.log2() + (1 - inside) * (1 - inside).log2()).mean()


def mask(masks: Tensor, low: float = 0.1, high: float | None = None) -> Tensor:
    """`L_mask`: `max(0, low - mean m) + max(0, mean m - high)` per mask `(n, 1, h, w)`.

    With `high = 1 - low` the mean is held in `[tau, 1 - tau]`, tau = 0.1 in the paper. Its
    equation 3 (and the reproduction's equation 1) is misprinted: the second term reads
    `max(0, mean - tau)`, which would pull each mask to a mean of tau.

    Source: Sauer and Geiger (2021), equation 3 and the text below it.

    Example:
        >>> mask(torch.full((1, 1, 2, 2), 0.5)), mask(torch.ones(1, 1, 2, 2))
        (tensor(0.), tensor(0.1000))
    """
    mean = masks.flatten(1).mean(1)
    upper = 1 - low if high is None else high
    return (F.relu(low - mean) + F.relu(mean - upper)).mean()


def border(masks: Tensor, pixels: int) -> Tensor:
    """Which pixels `(height, width)` of masks are within some pixels of the border."""
    height, width = masks.shape[-2:]
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[pixels : height - pixels, pixels : width - pixels] = True
    return ~inside


def edge(masks: Tensor, pixels: int = 3) -> Tensor:
    """`L_edge`: `(1 / N) sum_i m_i [i within s pixels of the border]` per mask.

    Its published code takes 6 pixels, and the edge's mean minus the centre's.

    Source: "[Re] Counterfactual Generative Networks", equation 3 (appendix C).

    Example:
        >>> edge(torch.ones(1, 1, 8, 8), pixels=1)     # 28 of 64 pixels
        tensor(0.4375)
    """
    at_border = border(masks, pixels).to(masks)
    return (masks * at_border).flatten(1).mean(1).mean()


def texture(foreground: Tensor, images: Tensor, masks: Tensor) -> Tensor:
    """`L_text`: distance in style of the whole foreground from the image where the mask is.

    The paper's is a perceptual distance to a grid of patches from under the mask. Here the
    style is the mean and the covariance of the colours, over the whole frame of f and, weighed
    by m, of x: what stands for VGG16's style where its weights are not there.

    Source: Sauer and Geiger (2021), appendix C.2; Gatys et al. (2016), equation 5, for style.

    Example:
        >>> f = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        >>> bool(texture(f, f, torch.ones(2, 1, 4, 4)) < 1e-9)
        True
    """
    return _style_distance(foreground, torch.ones_like(masks), images, masks)


def background(backgrounds: Tensor, images: Tensor, masks: Tensor) -> Tensor:
    """`L_bg`: distance in style of the whole background from the image outside the mask.

    The paper's is the saliency that U2-Net sees in the background, which says that no object
    is left. On MNIST this stands for it: what is under the object looks like what is not.

    Source: Sauer and Geiger (2021), section 3.1, "Background Mechanism".
    """
    return _style_distance(backgrounds, torch.ones_like(masks), images, 1 - masks)


def _style_distance(a: Tensor, weight_a: Tensor, b: Tensor, weight_b: Tensor) -> Tensor:
    mean_a, spread_a = _style(a, weight_a)
    mean_b, spread_b = _style(b.detach(), weight_b.detach())
    means = (mean_a - mean_b).square().flatten(1).sum(1)
    return (means + (spread_a - spread_b).square().flatten(1).sum(1)).mean()


def _style(images: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean `(n, c)` and covariance `(n, c, c)` of the colours of images."""
    flat, weight = images.flatten(2), weights.flatten(2)
    weight = weight / weight.sum(2, keepdim=True).clamp_min(1e-6)
    mean = (flat * weight).sum(2, keepdim=True)
    centred = flat - mean
    return mean.squeeze(2), (centred * weight) @ centred.mT
