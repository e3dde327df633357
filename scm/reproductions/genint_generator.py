"""The CVAE of GenInt's coloured MNIST, `Y -> X`.

The paper's has two latents; encoder 3072 -> 1000 -> 2 x latents, which does not see the label;
decoder [z, 5-d embedding of the label] -> 1000 -> 3072, sigmoid; cross-entropy summed over pixels
plus divergence; Adam, batch 128. Shortened: 4 epochs of one cycle up to 2e-3 in place of 50 at
1e-3. `steerable(model.mechanisms["X"], directions)` makes its latents macro-variables.

`weights_of` is for the settings of cells that depend on a generator. `exemplars(study, model, n,
seed)`: latents that the encoder finds for training images, to start from in place of the prior's.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scm.mechanisms import CVAE, Image, Root
from scm.mechanisms.seeding import seeded
from scm.model import SCM
from scm.reproductions.genint_parts import Images, data, data_of, shared
from scm.reproductions.study import Study

__all__ = ["Decoder", "Encoder", "exemplars", "generator", "weights_of"]


class Encoder(nn.Module):
    """3072 -> 1000 -> mean and log sd of each latent, from pixels alone: it drops the label.

    Args:
        pixels: Number of pixels.
        latents: Number of latents.
        hidden: Width of the hidden layer.
    """

    def __init__(self, pixels: int, latents: int, hidden: int = 1000) -> None:
        super().__init__()
        self.pixels = pixels
        self.layers = nn.Sequential(
            nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latents)
        )

    def forward(self, features: Tensor) -> Tensor:
        """`(n, 2 latents)` of pixels and one-hot labels `(n, pixels + classes)`."""
        found: Tensor = self.layers(features[:, : self.pixels])
        return found


class Decoder(nn.Module):
    """[z, embedding of the label] -> 1000 -> 3072 logits.

    Args:
        pixels: Number of pixels.
        latents: Number of latents.
        classes: Number of classes.
        embedding: Width of the label's embedding.
        hidden: Width of the hidden layer.
    """

    def __init__(
        self, pixels: int, latents: int, classes: int = 10, embedding: int = 5, hidden: int = 1000
    ) -> None:
        super().__init__()
        self.latents = latents
        self.label = nn.Linear(classes, embedding, bias=False)
        nn.init.normal_(self.label.weight)  # as an embedding: the label is as loud as a latent
        self.first = nn.Linear(latents + embedding, hidden)
        self.hidden = nn.ReLU()
        self.last = nn.Linear(hidden, pixels)

    def forward(self, features: Tensor) -> Tensor:
        """`(n, pixels)` of latents and one-hot labels `(n, latents + classes)`."""
        latent, onehot = features.split((self.latents, features.shape[1] - self.latents), 1)
        found: Tensor = self.last(
            self.hidden(self.first(torch.cat([latent, self.label(onehot)], 1)))
        )
        return found


def generator(study: Study, seed: int, latents: int = 2, **changes: Any) -> SCM:
    """The CVAE `Y -> X`, trained on the confounded images in a cell of the study.

    Args:
        study: The study.
        seed: Seed of weights and training.
        latents: Number of latents; the paper's CVAE has 2.
        **changes: `epochs`, `lr`, `hidden`, in place of the module's own.
    """
    settings = {"latents": latents, "seed": seed, **_budget(study), **changes}
    settings["data"], store = data_of(study), shared(study)
    label = f"seed-{seed}/cvae-{latents}" + "".join(f"-{k}-{v}" for k, v in changes.items())
    store.cell(label, partial(_train, store, label), **settings)
    model = _untrained(latents, settings["hidden"], seed)
    model.mechanisms["X"].load_state_dict(load_file(store.path(label, "weights.safetensors")))
    return model.to(study.device)


def _budget(study: Study) -> dict[str, Any]:
    return {"epochs": 2, "lr": 2e-3, "hidden": 64} if study.quick else {
        "epochs": 4, "lr": 2e-3, "hidden": 1000
    }  # fmt: skip


def _untrained(latents: int, hidden: int, seed: int) -> SCM:
    image = Image((3, 32, 32))
    with seeded(seed):
        encoder = Encoder(image.width, latents, hidden)
        decoder = Decoder(image.width, latents, hidden=hidden)
    cvae = CVAE(image, latents, likelihood="bernoulli", encoder=encoder, decoder=decoder)
    return SCM("Y -> X", Y=Root.categorical([0.1] * 10), X=cvae)


def _train(
    study: Study,
    label: str,
    latents: int,
    seed: int,
    hidden: int,
    epochs: int,
    lr: float,
    **_: Any,
) -> dict[str, float]:
    start = time.process_time()
    images, labels = data(study)
    model = _untrained(latents, hidden, seed).to(study.device)
    cvae = model.mechanisms["X"]
    model.fit(
        {"Y": labels, "X": images},
        nodes=["X"],
        epochs=epochs,
        batch=128,
        lr=lr,
        seed=seed,
        progress=study.progress,
    )
    save_file(cvae.state_dict(), study.path(label, "weights.safetensors"))
    held, own = data(study, "validation")
    chance = torch.Generator(study.device).manual_seed(seed)
    with torch.no_grad():
        loss = cvae.loss(held, {"Y": own}, chance)
    return {"bound": -float(loss), "seconds": time.process_time() - start}


def weights_of(study: Study, seed: int, latents: int = 2) -> Path:
    """Path of a generator's weights, for the settings of a cell that depends on them."""
    return shared(study).path(f"seed-{seed}/cvae-{latents}", "weights.safetensors")


def exemplars(study: Study, model: SCM, n: int, seed: int) -> Images:
    """Latents `(n, latents)` from q(z|x) of n training images, in place of the prior's; labels.

    Args:
        study: The study.
        model: What `generator` returned.
        n: How many.
        seed: Seed of the images and of the draws.
    """
    images, labels = data(study)
    chance = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(images), (n,), generator=chance).to(images.device)
    units = model.abduct({"X": images[rows], "Y": labels[rows]}, seed=seed)
    return units.noise["X"], labels[rows]
