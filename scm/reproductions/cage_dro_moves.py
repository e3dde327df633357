"""The generator of `cage-dro`, its heads, and the units that they move towards the rare group."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from scm.discovery.attributes import Attribute
from scm.interventions import moved_images
from scm.learning import Batch
from scm.mechanisms.compiled import read_program
from scm.mechanisms.cvae import CVAE
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.types import Image
from scm.model import SCM
from scm.reproductions.cage_dro_world import RARE, World

__all__ = ["FACTOR", "SIDES", "Moves", "fit_generator"]

FACTOR = 10  # times the rare group
SIDES = {"causal": (2, "effect"), "anti-causal": (1, "cause")}
"""The group of the units that move, and the head along which they do."""

_BETA, _BATCH, _LR = 4.0, 128, 2e-3


def fit_generator(
    path: Path, world: World, programs: Mapping[str, str], seed: int, epochs: int, progress: bool
) -> dict[str, float]:
    """Train a VAE, or read a generator and its encoder, fit heads of cause and effect, keep all.

    Args:
        path: File to keep weights in.
        world: The images.
        programs: Files of the "generator" and the "encoder"; of a VAE, none.
        seed: Seed of the VAE and of the heads.
        epochs: Epochs of the VAE.
        progress: Show a progress bar, on a terminal or in a notebook.

    Returns:
        Held-out accuracy of the heads and share of variance that reconstructions explain, %, and
        the cosine of the heads.

    Raises:
        ScmError: If a head does not see its attribute, or a program cannot be read.
    """
    images, kept = world.train.images, dict[str, Tensor]()
    if programs:
        generator = _read(programs, images)
    else:
        vae = _vae(world, seed)
        model = SCM("X", X=vae).to(images.device)
        options: dict[str, Any] = {"epochs": epochs, "seed": seed, "progress": progress}
        model.fit({"X": images}, batch=_BATCH, lr=_LR, **options)
        generator = LatentGenerator.of(vae.eval().requires_grad_(False))
        kept = {f"vae.{name}": tensor for name, tensor in vae.state_dict().items()}
    latents = generator.encode(images)
    found = {"explained": 100 * generator.reconstruction(images, latents).explained}
    directions = []
    for name in ("cause", "effect"):
        labels = getattr(world.train, name)
        head = Attribute.from_labels(name, generator, labels, latents=latents, seed=seed)
        kept[f"{name}.weights"], kept[f"{name}.bias"] = head.line
        directions.append(head.direction)
        if head.score is not None and head.score.accuracy is not None:
            found[name] = 100 * head.score.accuracy.value
    save_file({name: tensor.contiguous() for name, tensor in kept.items()}, path)
    return found | {"cosine": float(directions[0] @ directions[1])}


class Moves:
    """What `fit_generator` kept, and the units that move.

    Args:
        path: File where it was kept.
        world: The images.
        programs: As for `fit_generator`.
        seed: Seed of the choice of units.
    """

    def __init__(self, path: Path, world: World, programs: Mapping[str, str], seed: int) -> None:
        self.world, self.seed = world, seed
        self.kept = load_file(path, device=str(world.train.images.device))
        self.generator = self._generator(programs)

    @property
    def count(self) -> int:
        """How many units are added to the rare group."""
        return (FACTOR - 1) * len(self.world.train.pair(RARE)[0])

    def units(self, side: str) -> Tensor:
        """Images of the units that move; where there are too few, some come again."""
        pool, _ = self.world.train.pair(SIDES[side][0])
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(self.seed))
        rows = order.repeat(-(-self.count // len(pool)))[: self.count]
        return pool[rows.to(pool.device)]

    def moved(self, images: Tensor, side: str, alpha: float, soft: bool) -> Batch:
        """Images moved by alpha towards the rare group, labelled by the effect's head if soft."""
        along = self.kept[f"{SIDES[side][1]}.weights"]
        return moved_images(
            self.generator,
            self.generator.encode(images),
            along / along.norm(),
            alpha,
            self._effect if soft else 1,
            RARE,
        )

    def _effect(self, latents: Tensor) -> Tensor:
        logits = latents.flatten(1) @ self.kept["effect.weights"] + self.kept["effect.bias"]
        return logits.sigmoid()

    def _generator(self, programs: Mapping[str, str]) -> LatentGenerator:
        images = self.world.train.images
        if programs:
            return _read(programs, images)
        vae = _vae(self.world, self.seed)
        generator = LatentGenerator.of(vae.eval().requires_grad_(False))
        state = {k.removeprefix("vae."): v for k, v in self.kept.items() if k.startswith("vae.")}
        vae.load_state_dict(state)
        return generator.to(images.device)


def _vae(world: World, seed: int) -> CVAE:
    kind = Image(tuple(world.train.images.shape[1:]))
    return CVAE(kind, latent=world.latent, hidden=(256,), beta=_BETA, seed=seed)


def _read(programs: Mapping[str, str], images: Tensor) -> LatentGenerator:
    """A generator of images in [0, 1] and its encoder; what is made is resized."""
    network, encoder = (read_program(programs[k]) for k in ("generator", "encoder"))
    size = tuple(images.shape[2:])
    with torch.no_grad():
        latent = tuple(encoder(images[:1]).shape[1:])

    def made(latents: Tensor) -> Tensor:
        drawn: Tensor = network(latents)
        if drawn.shape[2:] != size:
            drawn = F.interpolate(drawn, size, mode="bilinear", antialias=True)
        return drawn.clamp(0, 1)

    return LatentGenerator(made, latent, Image(tuple(images.shape[1:])), encoder)
