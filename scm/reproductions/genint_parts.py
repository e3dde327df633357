"""What the GenInt reproductions share: coloured MNIST, the classifier, and what is kept for all.

**Data.** `data(study, part, domain)`: GenInt's coloured MNIST (section 7.A), images `(n, 3, 32,
32)` scaled from [-1, 1] to [0, 1] (a Bernoulli decoder's range; a fill of "0" is grey, 0.5).
"confounded": the two colourings of each class, drawn by image (the published code alternates by
batch); "randomised": the paper's causal test, where colours are independent of the class. Digits
are MNIST's: 50,000 to train, 10,000 to choose with ("validation"), t10k to test.

**Classifier.** `classify(study, label, source, seed)`: the paper's network at half its width (5x5
convolutions 3 -> 16 -> 16, pool, 32, pool; 512 -> 256 -> 10; dropout 0.5), Adam, batch 64.
Shortened: 400 steps of one cycle up to 2e-3 in place of 5 epochs (3,900 steps) at 1e-3. Accuracies
are honest (the published evaluator divides by a wrong count). The network matters: from the same
images of the paper's CVAE, a smaller one of 3x3 convolutions (`SmallCNN`, stride 2) got 24 % on
validation digits in random colours where this one got 51 %.

**Kept for all.** Generators (`genint_generator`), the classifier of the observed images, and those
of the candidate strategies (`genint_candidates`) are cells of `shared(study)`: with `--option
models=FOLDER` they are trained once for all GenInt reproductions that name the same folder.

**log P(x|z).** `extractor(study, seed)` and `queries(study, domain)` are what it is measured with.
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
from scm.mechanisms.seeding import seeded
from scm.reproductions.study import Study

__all__ = [
    "GenIntNet",
    "classify",
    "data",
    "data_of",
    "extractor",
    "observed",
    "queries",
    "recipe_of",
    "save_weights",
    "shared",
    "steps_of",
]

WIDTH = 16
"""Channels of the classifier's first convolutions; the paper's has 32."""

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
    images, labels = _paint(data_of(study), part, domain, environment, seed)
    n = 500 if study.quick else None
    return images[:n].to(study.device), labels[:n].to(study.device)


@lru_cache(maxsize=4)  # 600 MB each, at most
def _paint(kind: Any, part: Any, domain: Domain, environment: int | None, seed: int) -> Images:
    model: Any = coloured_mnist("genint", digits=digits(kind), part=part)
    if environment is not None:
        model = model.do(environment=environment)
    units = (unbiased if domain == "randomised" else confounded)(model, seed=seed)
    return (units["X"] + 1) / 2, units["label"]


def data_of(study: Study) -> str:
    """Which digits the option `data` names.

    Raises:
        ScmError: If there are none of that name.
    """
    default = "mnist" if os.environ.get("SCM_DATA") and not study.quick else "digits"
    chosen = study.options.get("data", default)
    if chosen not in ("mnist", "digits"):
        raise ScmError(f"--option data={chosen} was given; expected mnist or digits")
    return chosen


@lru_cache(maxsize=8)
def shared(study: Study) -> Study:
    """The study whose cells hold what GenInt's reproductions have in common.

    The study itself; with `--option models=FOLDER` one in that folder.
    """
    options = dict(study.options)
    folder = options.pop("models", None)
    if folder is None:
        return study
    return Study(
        "genint",
        folder,
        seeds=study.seeds,
        quick=study.quick,
        device=study.device,
        options=options,
        progress=study.progress,
        console=study.console,
        command=study.command,
    )


def observed(study: Study, seed: int) -> dict[str, Any]:
    """What `classify` says of the classifier of the observed, confounded images."""
    return classify(shared(study), "original", lambda: data(study), seed)


def extractor(study: Study, seed: int) -> Callable[[Tensor], Tensor]:
    """Penultimate features of the classifier of the observed, confounded images.

    The counterpart of the paper's ResNet18, which was trained on ImageNet (section 9.A).
    """
    observed(study, seed)
    network = GenIntNet(8 if study.quick else WIDTH)
    weights = load_file(shared(study).path(f"seed-{seed}/original", "weights.safetensors"))
    network.load_state_dict({name.removeprefix("1."): w for name, w in weights.items()})
    return network.eval().to(study.device).features


def queries(study: Study, domain: Domain, n: int = 2000) -> Images:
    """Held-out training images x of log P(x|z), with labels: as they are, or recoloured.

    Never test images.
    """
    images, labels = data(study, "validation", domain, seed=1)
    return images[:n].contiguous(), labels[:n]


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


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights, whatever their memory format."""
    save_file({name: w.contiguous() for name, w in network.state_dict().items()}, path)


def steps_of(study: Study) -> int:
    """Steps of every classifier."""
    return 20 if study.quick else 400


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
    given: dict[str, Any] = {"seed": seed, "score": score, "batch": batch, "data": data_of(study)}
    given |= {"width": 8 if study.quick else WIDTH, "steps": steps or steps_of(study)}
    return study.cell(name, work, **given, **settings)


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
    # Half as fast again on a CPU.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
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
    save_weights(network, study.path(name, "weights.safetensors"))
    found: dict[str, Any] = {}
    for key, domain in (("confounded", "confounded"), ("causal", "randomised")):
        shown = data(study, score, domain, seed=1)  # type: ignore[arg-type]
        found[key] = 100 * accuracy(network, *shown).value
    return {**found, "seconds": time.process_time() - start}
