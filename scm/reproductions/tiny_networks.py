"""What stands for trained BigGAN and U2-Net: tiny networks that learned to draw tiny pictures.

The published networks learned from ImageNet and from photographs with outlined objects. These
learn from `draw`: the generator to make its pictures from the same numbers, the saliency network
to find its objects.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.mechanisms.biggan import BigGAN, salient, truncated
from scm.mechanisms.seeding import seeded
from scm.progress import progress_bar
from scm.reproductions.tiny_imagenet import CLASSES, LATENT, SIZE, draw

__all__ = ["SETTINGS", "Saliency", "fit_biggan", "fit_saliency"]

SETTINGS: dict[str, Any] = {
    "output_dim": SIZE,
    "z_dim": LATENT,
    "class_embed_dim": LATENT,
    "channel_width": 16,
    "num_classes": len(CLASSES),
    "layers": [[True, 16, 8], [False, 8, 4], [True, 4, 2], [False, 2, 1]],
    "attention_layer_position": 2,
}
"""BigGAN's settings, tiny."""


class Saliency(nn.Module):
    """Probability `(n, 1, h, w)` that a pixel is the object's: four convolutions, a stand-in.

    Args:
        width: Channels.
        seed: Seed of the initial weights.
    """

    def __init__(self, width: int = 16, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            layers: list[nn.Module] = []
            for inside, dilation in ((3, 1), (width, 2), (width, 4)):
                convolution = nn.Conv2d(inside, width, 3, padding=dilation, dilation=dilation)
                layers += [convolution, nn.BatchNorm2d(width), nn.LeakyReLU(0.1)]
            self.layers = nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        """Saliency of standardised images `(n, 3, h, w)`."""
        found: Tensor = self.layers(images)
        return found.sigmoid()


def fit_biggan(
    steps: int, batch: int = 32, seed: int = 0, device: str = "cpu", progress: bool = True
) -> tuple[BigGAN, float]:
    """A BigGAN fitted to `draw` by regression, and its mean absolute error on new noise.

    Its noise and classes are `draw`'s, with shape, stripes and background of one class. Pixels
    are in [-1, 1].
    """
    network = BigGAN(SETTINGS, seed=seed).to(device)
    draws = torch.Generator().manual_seed(seed)

    def pair(n: int) -> tuple[Tensor, Tensor]:
        noise, own = torch.randn(n, LATENT, generator=draws), _classes(n, draws)
        truth, _ = draw(own[:, None].expand(-1, 3), truncated(noise, 1.0))
        made = network.image(noise.to(device), own.to(device))
        return made, 2 * truth.to(device) - 1

    def loss() -> Tensor:
        return F.l1_loss(*pair(batch))

    _fit(network.generator, loss, steps, 4e-3, "tiny BigGAN", progress)
    with torch.no_grad():
        return network, float(F.l1_loss(*pair(256)))


def fit_saliency(
    generator: BigGAN, steps: int, batch: int = 32, seed: int = 0, progress: bool = True
) -> tuple[Saliency, float]:
    """A saliency network fitted to the masks of `draw`, and its Jaccard index on new pictures.

    Half of the pictures are drawn, with shape, stripes and background of independent classes,
    and a quarter of those without an object; the others, and those of the index, are what the
    generator makes of the same class and numbers.
    """
    device = next(generator.parameters()).device
    network = Saliency(seed=seed).to(device)
    draws = torch.Generator().manual_seed(seed)

    def pair(n: int, drawn: int) -> tuple[Tensor, Tensor]:
        noise, own = torch.randn(n, LATENT, generator=draws), _classes(n, draws)
        labels = own[:, None].expand(-1, 3).clone()
        labels[:drawn, 1:] = torch.stack([_classes(drawn, draws) for _ in range(2)], 1)
        placed = truncated(noise, 1.0)
        placed[: drawn // 4, 2] = -20.0  # a radius below zero
        images, masks = (part.to(device) for part in draw(labels, placed))
        with torch.no_grad():
            made = generator.image(noise[drawn:].to(device), own[drawn:].to(device))
        return salient(network, torch.cat([2 * images[:drawn] - 1, made])), masks

    def loss() -> Tensor:
        return F.binary_cross_entropy(*pair(batch, batch // 2))

    _fit(network, loss, steps, 1e-2, "tiny saliency", progress)
    network.eval()
    with torch.no_grad():
        found, masks = (part > 0.5 for part in pair(256, 0))
    return network, float((found & masks).sum() / (found | masks).sum().clamp_min(1))


def _classes(n: int, draws: torch.Generator) -> Tensor:
    return torch.randint(len(CLASSES), (n,), generator=draws)


def _fit(network: nn.Module, loss: Any, steps: int, lr: float, title: str, progress: bool) -> None:
    optimiser = torch.optim.Adam(network.parameters(), lr, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps + 1)
    training = network.training
    with progress_bar(title, steps, "steps", progress) as advance, torch.enable_grad():
        for _ in range(steps):
            optimiser.zero_grad(set_to_none=True)
            loss().backward()
            optimiser.step()
            schedule.step()
            advance()
    network.train(training)
