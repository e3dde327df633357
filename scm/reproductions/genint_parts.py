"""What the GenInt reproductions share: coloured MNIST, its CVAE, and the classifier.

**Data.** `data(study, part, domain)`: GenInt's coloured MNIST (section 7.A), images `(n, 3, 32,
32)` scaled from [-1, 1] to [0, 1] (a Bernoulli decoder's range; a fill of "0" is grey, 0.5).
"confounded": the two colourings of each class, drawn by image (the published code alternates by
batch); "randomised": the paper's causal test, where colours are independent of the class. Digits
are MNIST's: 50,000 to train, 10,000 to choose with ("validation"), t10k to test.

**Generator.** `generator(study, seed, latents)`: the CVAE, `Y -> X`. The paper's has two latents;
encoder 3072 -> 1000 -> 2 x latents, which does not see the label; decoder [z, 5-d embedding of
the label] -> 1000 -> 3072, sigmoid; cross-entropy summed over pixels plus divergence; Adam, batch
128. Shortened: 4 epochs of one cycle up to 2e-3 in place of 50 at 1e-3. `steerable(model.
mechanisms["X"], directions)` makes its latents macro-variables.

**Classifier.** `classify(study, label, source, seed)`: the paper's network (5x5 convolutions 3 ->
32 -> 32, pool, 64, pool; 1024 -> 256 -> 10; dropout 0.5), Adam, batch 64. Shortened: 800 steps of
one cycle up to 2e-3 in place of 5 epochs (3,900 steps) at 1e-3. Accuracies are honest (the
published evaluator divides by a wrong count).

**log P(x|z).** `extractor(study, seed)` and `queries(study, domain)` are what it is measured
with; `weights_of` is for the settings of cells that depend on a generator. `exemplars(study,
model, n, seed)`: latents that the encoder finds for training images, to start from in place of
the prior's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scm.datasets import coloured_mnist, confounded, digits, unbiased
from scm.errors import ScmError
from scm.learning import LabelledImages, Objective, Recipe, Source, accuracy, train
from scm.mechanisms import CVAE, Image, Root
from scm.mechanisms.seeding import seeded
from scm.model import SCM
from scm.reproductions.study import Study

__all__ = [
    "Decoder",
    "Encoder",
    "GenIntNet",
    "classify",
    "data",
    "exemplars",
    "extractor",
    "generator",
    "queries",
    "recipe_of",
    "steps_of",
    "weights_of",
]

Domain = Literal["confounded", "randomised"]
Images = tuple[Tensor, Tensor]


def data(
    study: Study,
    part: Literal["train", "validation", "test"] = "train",
    domain: Domain = "confounded",
    *,
    environment: int | None = None,
    seed: int = 0,
) -> Images:
    """Images `(n, 3, 32, 32)` in [0, 1] and classes `(n,)` of one part of coloured MNIST.

    Args:
        study: The study, for its digits and device; a quick one has 500 images at most.
        part: Which digits.
        domain: "confounded", or "randomised": the same digits in random colours (`do(fill)`).
        environment: 0 or 1 for one of the two colourings of each class; both by default.
        seed: Seed of the colours.
    """
    make = _paint.__wrapped__ if _kind(study) == "mnist" else _paint  # MNIST is too large to keep
    images, labels = make(_kind(study), part, domain, environment, seed)
    n = 500 if study.quick else None
    return images[:n].to(study.device), labels[:n].to(study.device)


@lru_cache(maxsize=16)
def _paint(kind: Any, part: Any, domain: Domain, environment: int | None, seed: int) -> Images:
    model: Any = coloured_mnist("genint", digits=digits(kind), part=part)
    if environment is not None:
        model = model.do(environment=environment)
    units = (unbiased if domain == "randomised" else confounded)(model, seed=seed)
    return (units["X"] + 1) / 2, units["label"]


def _kind(study: Study) -> str:
    default = "mnist" if os.environ.get("SCM_DATA") and not study.quick else "digits"
    chosen = study.options.get("data", default)
    if chosen not in ("mnist", "digits"):
        raise ScmError(f"--option data={chosen} was given; expected mnist or digits")
    return chosen


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
    label = f"seed-{seed}/cvae-{latents}" + "".join(f"-{k}-{v}" for k, v in changes.items())
    study.cell(label, partial(_train_generator, study, label), **settings)
    model = _untrained(latents, settings["hidden"], seed)
    model.mechanisms["X"].load_state_dict(load_file(study.path(label, "weights.safetensors")))
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


def _train_generator(
    study: Study, label: str, latents: int, seed: int, hidden: int, epochs: int, lr: float
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
    return study.path(f"seed-{seed}/cvae-{latents}", "weights.safetensors")


def extractor(study: Study, seed: int) -> Callable[[Tensor], Tensor]:
    """Penultimate features of the classifier trained on the confounded images.

    The counterpart of the paper's ResNet18, which was trained on ImageNet (section 9.A).
    """
    found = classify(study, "extractor", lambda: data(study), seed, width=16, score="validation")
    assert found
    network = GenIntNet(8 if study.quick else 16)
    weights = load_file(study.path(f"seed-{seed}/extractor", "weights.safetensors"))
    network.load_state_dict({name.removeprefix("1."): w for name, w in weights.items()})
    return network.eval().to(study.device).features


def queries(study: Study, domain: Domain, n: int = 2000) -> Images:
    """Held-out training images x of log P(x|z), with labels: as they are, or recoloured.

    Never test images.
    """
    images, labels = data(study, "validation", domain, seed=1)
    return images[:n].contiguous(), labels[:n]


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


class GenIntNet(nn.Module):
    """The paper's classifier: 5x5 convolutions 3 -> w -> w, pool, 2w, pool; 256; dropout; 10.

    Args:
        width: Channels w of the first convolutions; the paper's has 32.
        seed: Seed of the initial weights.

    Source: GenInt's published code.
    """

    def __init__(self, width: int = 32, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.layers = nn.Sequential(
                nn.Conv2d(3, width, 5),
                nn.ReLU(),
                nn.Conv2d(width, width, 5),
                nn.MaxPool2d(2),
                nn.ReLU(),
                nn.Conv2d(width, 2 * width, 5),
                nn.MaxPool2d(2),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(32 * width, 256),
                nn.ReLU(),
                nn.Dropout(0.5),
                nn.Linear(256, 10),
            )

    def features(self, images: Tensor) -> Tensor:
        """Penultimate features `(n, 256)` of images `(n, 3, 32, 32)`."""
        found: Tensor = self.layers[:-2](images)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(n, 10)` of images `(n, 3, 32, 32)`."""
        logits: Tensor = self.layers(images)
        return logits


def steps_of(study: Study) -> int:
    """Steps of every classifier."""
    return 20 if study.quick else 800


def recipe_of(study: Study, **changes: Any) -> Recipe:
    """The recipe of every classifier: Adam, one cycle up to 2e-3, batches of 64."""
    return Recipe(**{"steps": steps_of(study), "batch": 64, "lr": 2e-3, **changes})


def classify(
    study: Study,
    label: str,
    source: Callable[[], Source | Sequence[Source] | Images],
    seed: int,
    *,
    objective: Callable[[], Objective] | None = None,
    inputs: Callable[[], nn.Module] = nn.Identity,
    width: int = 32,
    score: Literal["test", "validation"] = "test",
    steps: int | None = None,
    batch: int = 64,
    **settings: Any,
) -> dict[str, Any]:
    """Train the classifier in a cell of the study, and score it in both domains.

    Args:
        study: The study.
        label: Name of the cell within the seed's, such as "original".
        source: Makes its images: a source, one for each environment, or images and labels;
            called where the cell is not kept from before.
        seed: Seed of weights and batches.
        objective: Makes the objective; `ERM` by default.
        inputs: Makes an input layer, such as `Grey`.
        width: Channels of the network; the paper's 32.
        score: Which digits to score on.
        steps: Steps of training; `steps_of(study)` by default.
        batch: Images a step.
        **settings: Whatever else the result depends on, for the cell's key: the generator's
            weights (a path), a strategy, a number of images.

    Returns:
        Accuracy in % as "confounded" and "causal" (randomised colours), "seconds" of processor
        time; the weights are at `study.path(f"seed-{seed}/{label}", "weights.safetensors")`.
    """
    name = f"seed-{seed}/{label}"
    work = partial(_classify, study, name, source, objective, inputs)
    given = {"seed": seed, "width": 8 if study.quick else width, "score": score, "batch": batch}
    return study.cell(name, work, steps=steps or steps_of(study), **given, **settings)


def _classify(
    study: Study,
    name: str,
    source: Callable[[], Any],
    objective: Callable[[], Objective] | None,
    inputs: Callable[[], nn.Module],
    seed: int,
    width: int,
    score: Any,
    steps: int,
    batch: int,
    **settings: Any,
) -> dict[str, Any]:
    start = time.process_time()
    network = nn.Sequential(inputs(), GenIntNet(width, seed)).to(study.device)
    made = source()
    if isinstance(made, tuple) and isinstance(made[0], Tensor):
        made = LabelledImages(*made)
    train(
        network,
        made,
        None if objective is None else objective(),
        recipe=recipe_of(study, steps=steps, batch=batch),
        seed=seed,
        checkpoint=study.path(name, "checkpoint.pt"),
        every=200,
        progress=study.progress,
        title=name,
    )
    save_file(network.state_dict(), study.path(name, "weights.safetensors"))
    found: dict[str, Any] = {}
    for key, domain in (("confounded", "confounded"), ("causal", "randomised")):
        shown = data(study, score, domain, seed=1)  # type: ignore[arg-type]
        found[key] = 100 * accuracy(network, *shown).value
    return {**found, "seconds": time.process_time() - start}
