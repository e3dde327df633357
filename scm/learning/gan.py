"""A conditional DCGAN: the baseline that adds generated images without intervening."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.errors import ScmError
from scm.learning.checkpoint import digest_of, read_checkpoint, write_checkpoint
from scm.learning.ranks import Fabric, Ranks
from scm.learning.sources import LabelledImages
from scm.mechanisms.seeding import seeded
from scm.progress import progress_bar

__all__ = ["ConditionalGAN", "GeneratedImages", "train_gan"]


class ConditionalGAN(nn.Module):
    """Generator `(u, y) -> image` of transposed convolutions, 42 -> 256 -> 128 -> 64 -> 3.

    u is 32 standard normal numbers, y a 10-d embedding of the label. Maps of 4x4, 8x8, 16x16 and
    32x32, with batch norm and ReLU between; the last passes a tanh and is scaled to [0, 1].
    Smaller images are the centre of 32x32.

    It approximates the training distribution, confounding included: its images are samples of
    P(X, Y), not counterfactuals.

    Args:
        shape: Shape of the images, `(channels, height, width)`, at most 32x32.
        classes: Number of classes.
        width: Channels of the 4x4 maps; each next layer has half as many.
        seed: Seed of the initial weights.

    Raises:
        ScmError: If the images are larger than 32x32.

    Source: CGN, section 4.3 (the GAN row of Table 2); its reproduction, appendix F; Radford et
    al. (2016) for the architecture.

    Example:
        >>> gan = ConditionalGAN((3, 28, 28)).eval()
        >>> gan.sample(torch.arange(4), seed=0).shape
        torch.Size([4, 3, 28, 28])
    """

    def __init__(
        self, shape: tuple[int, int, int], classes: int = 10, width: int = 256, seed: int = 0
    ) -> None:
        super().__init__()
        if len(shape) != 3 or max(shape[1:]) > 32:
            raise ScmError(
                f"images of shape {tuple(shape)} were given; expected (channels, height, width) of "
                "at most 32x32"
            )
        self.shape, self.classes, self.noise = tuple(shape), classes, 32
        with seeded(seed):
            self.embedding = nn.Embedding(classes, 10)
            self.layers = nn.Sequential(
                nn.ConvTranspose2d(42, width, 4, 1, 0, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width // 2),
                nn.ReLU(),
                nn.ConvTranspose2d(width // 2, width // 4, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width // 4),
                nn.ReLU(),
                nn.ConvTranspose2d(width // 4, shape[0], 4, 2, 1),
                nn.Tanh(),
            )

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Images `(n, *shape)` in [0, 1] of noise `(n, 32)` and labels `(n,)`."""
        given = torch.cat([noise, self.embedding(labels)], 1)[:, :, None, None]
        images: Tensor = (self.layers(given) + 1) / 2
        height, width = self.shape[1:]
        top, left = (32 - height) // 2, (32 - width) // 2
        return images[:, :, top : top + height, left : left + width]

    def draw(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Images of labels `(n,)`, with noise from a generator on the CPU."""
        noise = torch.randn(len(labels), self.noise, generator=generator)
        images: Tensor = self(noise.to(labels.device), labels)
        return images

    def sample(self, labels: Tensor, seed: int = 0) -> Tensor:
        """Images of labels `(n,)`, without gradients; the same seed gives the same ones.

        Raises:
            ScmError: If a label is not among the classes.
        """
        if not len(labels) or int(labels.min()) < 0 or int(labels.max()) >= self.classes:
            raise ScmError(f"labels were given that are not among 0 to {self.classes - 1}")
        was_training = self.training
        self.eval()
        with torch.no_grad():
            images = self.draw(labels, torch.Generator().manual_seed(seed))
        self.train(was_training)
        return images


class GeneratedImages:
    """Endless images of a GAN with uniform labels, for `Stream`; made when they are needed.

    Args:
        gan: The generator.
        size: Images made at a time.
        seed: Seed of labels and noise.

    Example:
        >>> images, labels = next(iter(GeneratedImages(ConditionalGAN((1, 8, 8)), size=4)))
        >>> images.shape, labels.shape
        (torch.Size([4, 1, 8, 8]), torch.Size([4]))
    """

    def __init__(self, gan: ConditionalGAN, size: int = 512, seed: int = 0) -> None:
        self.gan, self.size, self.seed = gan, size, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(self.seed)
        device = self.gan.embedding.weight.device
        for _ in itertools.count():
            labels = torch.randint(self.gan.classes, (self.size,), generator=generator)
            seed = int(torch.randint(2**62, (), generator=generator))
            yield self.gan.sample(labels.to(device), seed), labels.to(device)


class _Discriminator(nn.Module):
    """Two linear layers on the pixels and an embedding of the label."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, 10)
        self.layers = nn.Sequential(
            nn.Linear(math.prod(shape) + 10, 512), nn.LeakyReLU(0.2), nn.Dropout(0.3),
            nn.Linear(512, 256), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(256, 1),
        )  # fmt: skip

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Logits `(n,)` that images are real."""
        given = torch.cat([2 * images.flatten(1) - 1, self.embedding(labels)], 1)
        logits: Tensor = self.layers(given)[:, 0]
        return logits


def train_gan(
    images: Tensor,
    labels: Tensor,
    *,
    steps: int = 3_000,
    batch: int = 64,
    lr: float = 2e-4,
    width: int = 256,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 500,
    progress: bool = True,
    fabric: Fabric | None = None,
) -> ConditionalGAN:
    """Train a conditional DCGAN with binary cross-entropy, Adam with betas (0.5, 0.999).

    The discriminator has linear layers; each step updates it once and the generator once, with
    `-E[log D(G(u, y), y)]` as the generator's loss. The published run took batches of 16 for 15
    epochs of 50,000 images; larger batches suit a CPU.

    Args:
        images: `(n, channels, height, width)` in [0, 1], at most 32x32.
        labels: Classes `(n,)`, int64.
        steps: Number of steps.
        batch: Images per step.
        lr: Learning rate of both.
        width: Width of the generator.
        seed: Seed of weights, order, dropout and noise.
        checkpoint: File to go on from if it is there, and written while training.
        every: Steps between checkpoints.
        progress: Show a progress bar, on a terminal or in a notebook.
        fabric: To train on several devices; see `train`.

    Returns:
        The generator, in evaluation mode.

    Raises:
        ScmError: If images and labels do not match, the images are not in [0, 1], the checkpoint
            is another training's, or ranks cannot have equal parts of a batch or do not begin
            alike.

    Source: CGN's reproduction, appendix F; Goodfellow et al. (2014), section 3.

    Example:
        >>> images, labels = torch.zeros(16, 1, 8, 8), torch.arange(16) % 2
        >>> gan = train_gan(images, labels, steps=2, batch=4, width=8, progress=False)
        >>> gan.sample(torch.tensor([0, 1, 0]), seed=0).shape
        torch.Size([3, 1, 8, 8])
    """
    source, ranks = LabelledImages(images, labels), Ranks(fabric)
    rows = ranks.rows(batch)
    low, high = float(images.min()), float(images.max())
    if not 0 <= low <= high <= 1 or labels.ndim != 1:
        raise ScmError(
            f"images in [{low:g}, {high:g}] and labels of shape {tuple(labels.shape)} were given; "
            "expected images in [0, 1] and labels (n,)"
        )
    if every < 1:
        raise ScmError(f"every={every} was given; expected a checkpoint each 1 or more steps")
    shape = (images.shape[1], images.shape[2], images.shape[3])
    gan = ConditionalGAN(shape, int(labels.max()) + 1, width, seed).to(images.device)
    generator = torch.Generator().manual_seed(seed)
    with seeded(seed, images.device), torch.enable_grad():
        critic = _Discriminator(shape, gan.classes).to(images.device)
        makers, critics = (
            torch.optim.Adam(m.parameters(), lr, betas=(0.5, 0.999)) for m in (gan, critic)
        )
        batches = source.batches(batch, seed)
        identity = {
            "run": repr((steps, batch, lr, width, seed)),
            "data": digest_of(images, labels),
        }
        parts: dict[str, Any] = {"gan": gan, "critic": critic, "makers": makers, "critics": critics}
        done = 0
        if checkpoint is not None and Path(checkpoint).exists():
            done = _resume(checkpoint, identity, parts, generator)
        ranks.agree({**gan.state_dict(), "x": images, "y": labels}, identity, done)
        shown = progress and ranks.rank == 0
        with progress_bar("train GAN", steps, "steps", shown) as advance, ranks.as_one():
            for step in range(1, steps + 1):
                real = next(batches).rows(rows)
                if step <= done:
                    advance()
                    continue
                noise = ranks.normal(len(real.labels), gan.noise, generator)
                made = gan(noise.to(images.device), real.labels)
                loss = F.softplus(-critic(real.images, real.labels)).mean()
                loss = loss + F.softplus(critic(made.detach(), real.labels)).mean()
                critics.zero_grad(set_to_none=True)
                loss.backward()
                ranks.add_gradients(critic.parameters(), mean=True)
                critics.step()
                fooled = F.softplus(-critic(made, real.labels)).mean()
                makers.zero_grad(set_to_none=True)
                fooled.backward()
                ranks.add_gradients(gan.parameters(), mean=True)
                makers.step()
                if checkpoint is not None and (step % every == 0 or step == steps):
                    state: dict[str, Any] = {k: part.state_dict() for k, part in parts.items()}
                    state |= {"identity": identity, "step": step, "noise": generator.get_state()}
                    state["chance"] = torch.get_rng_state()
                    ranks.write(partial(write_checkpoint, checkpoint, state))
                advance()
    return gan.eval()


def _resume(
    path: str | os.PathLike[str],
    identity: dict[str, str],
    parts: dict[str, Any],
    generator: torch.Generator,
) -> int:
    """Steps done, once networks, optimisers and generators are as they then were."""
    state = read_checkpoint(path, identity)
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
        generator.set_state(state["noise"])
        torch.set_rng_state(state["chance"])
        return int(state["step"])
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ScmError(
            f"the checkpoint {os.fspath(path)} is not one of train_gan ({error!s:.200}); delete "
            "it, or give the path of another"
        ) from error
