"""Transformations of a source's images: AutoAugment, and noise."""

from __future__ import annotations

import torch
from torch import Tensor

from scm.errors import ScmError, nearest
from scm.mechanisms.seeding import seeded

__all__ = ["AutoAugment", "PixelNoise"]


class AutoAugment:
    """One of 25 learnt pairs of operations (shear, posterise, solarise, ...) for each image.

    Use it as `Augmented(source, AutoAugment())`. The operations work on 8 bits a channel, so
    that images are rounded to 256 levels.

    Args:
        policy: "imagenet", "cifar10" or "svhn": the data that the policy was learnt from.

    Raises:
        ScmError: If there is no such policy, or torchvision is missing.

    Source: Cubuk, Zoph, Mane, Vasudevan and Le (2019), "AutoAugment: Learning Augmentation
    Policies from Data"; the policies are torchvision's.

    Example:
        >>> AutoAugment("svhn")(torch.rand(2, 3, 32, 32), torch.Generator()).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(self, policy: str = "imagenet") -> None:
        from scm.vision import torchvision

        transforms = torchvision("transforms")
        policies = {member.value: member for member in transforms.AutoAugmentPolicy}
        if policy not in policies:
            raise ScmError(f"AutoAugment has no policy {policy!r}; {nearest(policy, policies)}")
        self._transform = transforms.AutoAugment(policies[policy])

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Transform images `(n, 1 or 3, height, width)` in [0, 1].

        Raises:
            ScmError: If the images are not in [0, 1], or have other channels.
        """
        low, high = float(images.min()), float(images.max())
        if images.shape[1] not in (1, 3) or not 0 <= low <= high <= 1:
            raise ScmError(
                f"AutoAugment was given images of shape {tuple(images.shape)} in [{low:g}, "
                f"{high:g}]; expected 1 or 3 channels in [0, 1]"
            )
        seed = int(torch.randint(2**62, (), generator=generator))
        bytes_ = (images.cpu() * 255).round().to(torch.uint8)
        with seeded(seed):
            changed = torch.stack([self._transform(image) for image in bytes_])
        return (changed.to(images.dtype) / 255).to(images.device)


class PixelNoise:
    """Normal noise on each pixel, `x + strength * e`.

    A network trained on noisy images changes its mind less abruptly, so that the nearest image
    which it puts into another class looks more like the others of that class.

    Args:
        strength: Standard deviation of the noise, in units of the pixels; 0 for none.

    Raises:
        ScmError: If the strength is negative.

    Source: Bishop (1995), "Training with noise is equivalent to Tikhonov regularization";
    Cohen, Rosenfeld and Kolter (2019), for what it does to adversarial examples.

    Example:
        >>> PixelNoise(0.5)(torch.zeros(1, 1, 2, 2), torch.Generator().manual_seed(0)).shape
        torch.Size([1, 1, 2, 2])
    """

    def __init__(self, strength: float) -> None:
        if not strength >= 0:
            raise ScmError(f"PixelNoise({strength}) was given; expected 0 or more")
        self.strength = strength

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Noisy images, of the shape of the given ones."""
        noise = torch.randn(images.shape, generator=generator, dtype=images.dtype)
        return images + self.strength * noise.to(images.device)
