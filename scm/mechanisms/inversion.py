"""Latents of data for generators that have no encoder."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.seeding import seeded
from scm.progress import progress_bar

__all__ = ["invert", "train_encoder"]


def invert(
    generator: LatentGenerator,
    data: Tensor,
    *,
    steps: int = 300,
    restarts: int = 4,
    lr: float = 0.1,
    pull: float = 1e-3,
    batch: int = 256,
    seed: int = 0,
    progress: bool = True,
) -> Tensor:
    """Latents by optimisation, `argmin_z mean (G(z) - x)^2 + pull mean z^2`, each row its own.

    All rows and restarts of a batch descend at once, by Adam with a learning rate that falls to
    zero; each row keeps the best latent that it came by. Starts are draws of the prior.

    Args:
        generator: The generator; gradients must pass through it.
        data: Data `(n, *event)`.
        steps: Steps of Adam.
        restarts: Starts of each row.
        lr: First learning rate.
        pull: Weight that draws latents towards zero, where a normal prior has its mass.
        batch: Rows at once.
        seed: Seed of the starts.
        progress: Show a progress bar, on a terminal or in a notebook.

    Returns:
        Latents `(n, *latent)`; ask `generator.reconstruction(data, latents)` how well they fit.

    Raises:
        ScmError: If no gradient passes through the generator.

    Source: CAGE, section 2.2, "backpropagating through G".
    """
    start = generator.draw(len(data) * restarts, seed).unflatten(0, (len(data), restarts))
    parts = list(zip(start.split(batch), data.split(batch), strict=True))
    found = []
    with progress_bar("inversion", steps * len(parts), "steps", progress) as advance:
        for starts, wanted in parts:
            latents = starts.flatten(0, 1).clone().requires_grad_()
            targets = wanted.repeat_interleave(restarts, 0).flatten(1)
            best, least = latents.detach().clone(), torch.full_like(targets[:, 0], torch.inf)
            optimiser = torch.optim.Adam([latents], lr)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
            for _ in range(steps):
                misfit = (generator.image(latents).flatten(1) - targets).square().mean(1)
                if not misfit.requires_grad:
                    raise ScmError(
                        "no gradient passes through this generator, so it cannot be inverted by "
                        "optimisation; use train_encoder(generator)"
                    )
                better = misfit.detach() < least
                least = torch.where(better, misfit.detach(), least)
                best[better] = latents.detach()[better]
                loss = misfit + pull * latents.flatten(1).square().mean(1)
                (latents.grad,) = torch.autograd.grad(loss.sum(), latents)
                optimiser.step()
                schedule.step()
                advance()
            rows = least.unflatten(0, (len(wanted), restarts)).argmin(1)
            each = best.unflatten(0, (len(wanted), restarts))
            found.append(each[torch.arange(len(wanted), device=rows.device), rows])
    return torch.cat(found)


def train_encoder(
    generator: LatentGenerator,
    *,
    hidden: Sequence[int] = (256, 256),
    steps: int = 1000,
    batch: int = 128,
    lr: float = 2e-3,
    seed: int = 0,
    progress: bool = True,
) -> LatentGenerator:
    """The generator with an encoder learned from its own samples, `min E |E(G(z)) - z|^2`.

    Args:
        generator: The generator; it is left as it is.
        hidden: Widths of the encoder's hidden layers.
        steps: Steps of Adam, on fresh samples each.
        batch: Samples of a step.
        lr: Peak of a one-cycle learning rate.
        seed: Seed of the samples and of the initial weights.
        progress: Show a progress bar, on a terminal or in a notebook.

    Returns:
        A generator that encodes; ask its `reconstruction` how well.

    Raises:
        ScmError: If the loss stops being finite.
    """
    sizes = [generator.type.width, *hidden, generator.prior.type.width]
    with seeded(seed):
        layers: list[nn.Module] = [nn.Flatten()]
        for a, b in itertools.pairwise(sizes):
            layers += [nn.Linear(a, b), nn.SiLU()]
    encoder = nn.Sequential(*layers[:-1], nn.Unflatten(1, generator.latent))
    encoder.to(generator.device)
    optimiser = torch.optim.Adam(encoder.parameters(), lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps)
    with progress_bar("encoder", steps, "steps", progress) as advance:
        for step in range(steps):
            latents = generator.draw(batch, seed * 1_000_003 + step)
            with torch.no_grad():
                data = generator.image(latents)
            loss = (encoder(data) - latents).square().mean()
            if not loss.isfinite():
                raise ScmError(f"the encoder's loss is {loss:g} after {step} steps; lower lr={lr}")
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            advance(f"loss {loss:.3f}")
    return generator.with_encoder(encoder.eval())
