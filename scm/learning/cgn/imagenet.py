"""The CGN for ImageNet: three BigGANs, a U2-Net, and the losses that pull them apart.

All mechanisms start from one BigGAN's weights, so that at first mask, foreground and
background belong to the *same* image. Each loss then takes one of them away from it.

Source: Sauer and Geiger (2021), section 3.1 and appendices B and C.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.errors import ScmError
from scm.learning.cgn.losses import binary, mask
from scm.learning.cgn.model import CGN
from scm.learning.perceptual import VGGFeatures, style_loss
from scm.mechanisms.biggan import BigGAN, BigGANMask, salient
from scm.mechanisms.cgn import compose
from scm.mechanisms.mechanism import Mechanism
from scm.mechanisms.roots import Root

__all__ = [
    "ImageNetWeights",
    "PatchSource",
    "Patches",
    "Pseudo",
    "backbones",
    "imagenet_cgn",
    "imagenet_losses",
    "patch_grid",
    "pseudo_images",
    "truncate",
]

PatchSource = Literal["composite", "biggan"]


def imagenet_cgn(
    settings: str | Mapping[str, Any] = "biggan-deep-256",
    *,
    truncation: float = 1.0,
    shared: bool = False,
    small: bool = False,
    pretrained: str | Path | None = None,
    saliency: str | Path | None = None,
    seed: int = 0,
) -> CGN:
    """The ImageNet CGN before its training, `X = M F + (1 - M) B` with pixels in [-1, 1].

    `M = U2(G_M(U1, Y1))`, `F = G_F(U2, Y2)`, `B = G_B(U3, Y3)`, with one set of weights for
    the three generators.

    Args:
        settings: BigGAN's settings, as for `BigGAN`; those of `pretrained` where it is given.
        truncation: Factor of the truncated noise; `truncate` changes it later.
        shared: One latent `U -> M, F, B`, as in the published code; by default each mechanism
            has its own, as in the paper.
        small: Use the small U2-Net.
        pretrained: Folder or name of trained BigGAN weights; random ones by default.
        saliency: File of trained U2-Net weights; random ones by default.
        seed: Seed of random weights.

    Raises:
        ScmError: If weights cannot be read, or pytorch-pretrained-biggan is not installed.

    Source: Sauer and Geiger (2021), section 3.1 and appendix B, "ImageNet".

    Example:
        >>> tiny = {"output_dim": 16, "z_dim": 4, "class_embed_dim": 4, "channel_width": 8,
        ...         "num_classes": 3, "layers": [[True, 16, 8], [False, 8, 4], [True, 4, 2],
        ...         [False, 2, 1]], "attention_layer_position": 2}

        >>> imagenet_cgn(tiny, small=True).sample(2, seed=0)["X"].shape
        torch.Size([2, 3, 16, 16])
    """
    shape: BigGANMask
    if pretrained is None:
        shape = BigGANMask(settings, truncation, small, saliency, seed)
        textures = [BigGAN(settings, truncation, seed) for _ in range(2)]
    else:
        shape = BigGANMask.from_pretrained(
            pretrained, truncation, small=small, saliency=saliency, seed=seed
        )
        textures = [BigGAN.from_pretrained(pretrained, truncation, seed=seed) for _ in range(2)]
    shape.saliency.requires_grad_(False)
    latent = Root.normal(torch.zeros(shape.settings["z_dim"])) if shared else None
    return CGN(shape, *textures, latent=latent, classes=shape.settings["num_classes"])


def backbones(cgn: CGN) -> tuple[BigGANMask, BigGAN, BigGAN]:
    """The mechanisms of M, F and B.

    Raises:
        ScmError: If they are not those of an ImageNet CGN.
    """
    found: list[Mechanism] = [cgn.mechanisms[node] for node in "MFB"]
    shape, foreground, background = found
    if not (
        isinstance(shape, BigGANMask)
        and isinstance(foreground, BigGAN)
        and isinstance(background, BigGAN)
    ):
        raise ScmError(
            f"a CGN of {[type(m).__name__ for m in found]} was given; expected BigGANMask, BigGAN "
            "and BigGAN, as imagenet_cgn() makes it"
        )
    return shape, foreground, background


def truncate(cgn: CGN, truncation: float) -> CGN:
    """Set the truncation of all mechanisms from now on; returns the model itself.

    Raises:
        ScmError: If it is not above 0 and at most 1, or the model is no ImageNet CGN.

    Source: Sauer and Geiger (2021), appendix C.3: 1 for training and for counterfactuals.

    Example:
        >>> from scm.learning.cgn import settings_of, untrained
        >>> truncate(untrained(settings_of("double")), 0.5)
        Traceback (most recent call last):
        scm.errors.ScmError: a CGN of ['Shape', ...] was given; expected BigGANMask...
    """
    if not 0 < truncation <= 1:
        raise ScmError(f"truncation={truncation} was given; expected above 0 and at most 1")
    for mechanism in backbones(cgn):
        mechanism.truncation = float(truncation)
    return cgn


@dataclass(frozen=True)
class ImageNetWeights:
    """Weights of the losses of equation 4, in its order; 0 switches one off.

    Attributes:
        l1: Of the mean absolute difference of the composite from BigGAN's image.
        perceptual: Of their difference in style.
        binary: Of the mask's entropy.
        mask: Of the mask's size.
        texture: Of the foreground's difference in style from a grid of patches.
        background: Of the saliency of the background.

    Raises:
        ScmError: If a weight is negative.

    Source: Sauer and Geiger (2021), appendix C.3, equation 4.

    Example:
        >>> ImageNetWeights(texture=0.0).background
        2000.0
    """

    l1: float = 100.0
    perceptual: float = 5.0
    binary: float = 300.0
    mask: float = 500.0
    texture: float = 5.0
    background: float = 2000.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:
                raise ScmError(f"the weight {name}={value} was given; expected 0 (off) or more")


@dataclass(frozen=True)
class Patches:
    """How `patch_grid` takes its patches.

    Attributes:
        side: Patches along a side of the grid.
        size: Pixels along a side of a patch.
        temperature: How much less of the mask a patch may have.
        source: "composite", as in the paper, or "biggan", as in the published code: the image
            that they are cut from.

    Raises:
        ScmError: If a number is not positive, or the source unknown.

    Example:
        >>> Patches(side=2, source="biggan").size
        15
    """

    side: int = 6
    size: int = 15
    temperature: float = 0.02
    source: PatchSource = "composite"

    def __post_init__(self) -> None:
        if min(self.side, self.size, self.temperature) <= 0 or self.source not in get_args(
            PatchSource
        ):
            raise ScmError(
                f"{self} was given; expected positive numbers, and patches from 'composite' or "
                "'biggan'"
            )


def patch_grid(
    images: Tensor,
    masks: Tensor,
    side: int = 6,
    size: int = 15,
    temperature: float = 0.02,
    seed: int | torch.Generator = 0,
) -> Tensor:
    r"""A grid of patches from where the mask is largest, enlarged to the whole frame.

    All windows of `size x size` pixels are candidates; `side^2` of them are drawn without
    replacement, each time with probability proportional to `exp(mean mask / temperature)`
    (the Gumbel top-k trick). They fill the grid by rows in the order in which they are drawn,
    and the grid is resized to the image (bilinear).

    Args:
        images: Images `(n, c, h, w)`.
        masks: Masks `(n, 1, h, w)` in [0, 1].
        side: Patches along a side of the grid.
        size: Pixels along a side of a patch.
        temperature: Windows with `temperature` less of mask are drawn 1/e as often.
        seed: Seed of the draws, or a generator on the CPU.

    Returns:
        Images `(n, c, h, w)`.

    Raises:
        ScmError: If the shapes do not fit, or an image has too few windows.

    Source: Sauer and Geiger (2021), appendix C.2, which leaves the rule of the draws open.

    Example:
        >>> masks = torch.zeros(1, 1, 8, 8)
        >>> masks[..., :4] = 1
        >>> grid = patch_grid(masks.expand(1, 3, 8, 8), masks, side=2, size=3)
        >>> bool((grid > 1 - 1e-6).all())            # nothing from outside the mask
        True
    """
    n, channels, *frame = images.shape if images.ndim == 4 else (0, 0, 0, 0)
    if images.ndim != 4 or tuple(masks.shape) != (n, 1, *frame):
        raise ScmError(
            f"images {tuple(images.shape)} and masks {tuple(masks.shape)} were given; expected "
            "(n, c, h, w) and (n, 1, h, w)"
        )
    down, across = (max(0, pixels - size + 1) for pixels in frame)
    if down * across < side**2:
        raise ScmError(
            f"images of {frame[0]}x{frame[1]} pixels have {down * across} windows of "
            f"{size}x{size}, and a grid of {side}x{side} needs {side**2}: take smaller patches, or "
            "fewer"
        )
    draws = torch.Generator().manual_seed(seed) if isinstance(seed, int) else seed
    uniform = torch.rand(n, down * across, generator=draws, dtype=torch.float64)
    gumbel = -torch.log(-torch.log(uniform.clamp(1e-300, 1 - 1e-16)))
    share = F.avg_pool2d(masks.detach().double(), size, stride=1).flatten(1)
    chosen = (share / temperature + gumbel.to(share)).topk(side**2, dim=1).indices

    along = torch.arange(size, device=images.device)
    rows = ((chosen // across).unsqueeze(-1) + along)[:, None, :, :, None]
    columns = ((chosen % across).unsqueeze(-1) + along)[:, None, :, None, :]
    which = torch.arange(n, device=images.device)[:, None, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None, None]
    patches = images[which, channel, rows, columns]  # (n, c, side^2, size, size)
    grid = patches.unflatten(2, (side, side)).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    return F.interpolate(grid, tuple(frame), mode="bilinear", align_corners=False)


@dataclass(frozen=True, eq=False)
class Pseudo:
    """Images of the three mechanisms and the unconstrained BigGAN, from the same u and y.

    Attributes:
        truth: The pseudo ground truth `(n, 3, size, size)`, without gradients.
        mask: `(n, 1, size, size)`.
        foreground: `(n, 3, size, size)`.
        background: `(n, 3, size, size)`.
    """

    truth: Tensor
    mask: Tensor
    foreground: Tensor
    background: Tensor

    @property
    def composite(self) -> Tensor:
        """`m f + (1 - m) b`."""
        return compose(self.mask, self.foreground, self.background)


def pseudo_images(
    cgn: CGN, teacher: BigGAN, noise: Tensor, labels: Tensor, mixed: bool = False
) -> Pseudo:
    """Images of noise `(n, width)` and labels `(n,)`, the same for teacher and mechanisms.

    Args:
        cgn: An ImageNet CGN.
        teacher: The unconstrained BigGAN.
        noise: Standard normal numbers.
        labels: Classes.
        mixed: Convolve in bfloat16; what is returned is float32 all the same.

    Source: Sauer and Geiger (2021), section 3.1, "Composition Mechanism".
    """
    shape, *textures = backbones(cgn)
    with torch.autocast(noise.device.type, torch.bfloat16, enabled=mixed):
        with torch.no_grad():
            truth = teacher.image(noise, labels)
        # bfloat16 rounds 1 - 1e-4 to 1, where the entropy has no derivative.
        soft = shape.mask(shape.image(noise, labels)).float().clamp(1e-4, 1 - 1e-4)
        foreground, background = (texture.image(noise, labels).float() for texture in textures)
    return Pseudo(truth.float(), soft, foreground, background)


def imagenet_losses(
    images: Pseudo,
    saliency: nn.Module,
    vgg: VGGFeatures | None,
    weights: ImageNetWeights,
    patches: Patches,
    seed: int | torch.Generator = 0,
    mixed: bool = False,
) -> dict[str, Tensor]:
    """The losses of equation 4 that are switched on, by name and without their weights.

    `l1` and `perceptual` reach all mechanisms, `binary` and `mask` the shape alone, `texture`
    the foreground alone (its patches are a target, without gradients), `background` the
    background alone.

    Args:
        images: What teacher and mechanisms make of the same u and y.
        saliency: The U2-Net.
        vgg: Features of VGG16-BN; None if neither `perceptual` nor `texture` is on.
        weights: Which losses are on.
        patches: How the patches of the texture loss are taken.
        seed: Seed of the patches, or a generator on the CPU.
        mixed: Let the fixed networks convolve in bfloat16.

    Raises:
        ScmError: If VGG features are missing, or there is no room for the patches.

    Source: Sauer and Geiger (2021), equation 4 and appendices C.1 to C.3; the reconstruction
    and texture losses are the style loss after the first four max-poolings.
    """
    if vgg is None and (weights.perceptual or weights.texture):
        raise ScmError(
            "the perceptual and texture losses need VGG features: give VGGFeatures(weights=...), "
            "or switch both off with ImageNetWeights(perceptual=0, texture=0)"
        )
    composite = images.composite
    autocast = torch.autocast(composite.device.type, torch.bfloat16, enabled=mixed)

    def style(found: Tensor, wanted: Tensor) -> Tensor:
        assert vgg is not None
        with autocast:
            with torch.no_grad():
                target = [f.float() for f in vgg(wanted)]
            here = [f.float() for f in vgg(found)]
        return style_loss(here, target)

    losses = {}
    if weights.l1:
        losses["l1"] = F.l1_loss(composite, images.truth)
    if weights.perceptual:
        losses["perceptual"] = style(composite, images.truth)
    if weights.binary:
        losses["binary"] = binary(images.mask)
    if weights.mask:
        losses["mask"] = mask(images.mask)
    if weights.texture:
        cut_from = composite if patches.source == "composite" else images.truth
        grid = patch_grid(
            cut_from, images.mask, patches.side, patches.size, patches.temperature, seed
        )
        losses["texture"] = style(images.foreground, grid)
    if weights.background:
        with autocast:
            losses["background"] = salient(saliency, images.background).float().mean()
    return losses
