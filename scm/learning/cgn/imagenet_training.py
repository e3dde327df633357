"""Training the ImageNet CGN: pseudo-batches, checkpoints, and what is watched meanwhile."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scm.errors import ScmError
from scm.learning.cgn.health import CollapsedMaskError, Limits, MaskMonitor
from scm.learning.cgn.imagenet import (
    ImageNetWeights,
    Patches,
    backbones,
    imagenet_losses,
    pseudo_images,
)
from scm.learning.cgn.model import CGN
from scm.learning.checkpoint import fingerprint, read_checkpoint, write_checkpoint
from scm.learning.perceptual import VGGFeatures
from scm.mechanisms.biggan import BigGAN
from scm.progress import progress_bar

__all__ = ["ImageNetTraining", "Monitor", "composites", "train_imagenet_cgn"]

Monitor = Callable[[Iterable[Tensor]], float]
_LIMITS = Limits(mean=(0.01, 0.99), border=math.inf, entropy=math.inf)


@dataclass(frozen=True)
class ImageNetTraining:
    """A trained ImageNet CGN, and how it came about.

    Attributes:
        cgn: The model, in evaluation mode.
        history: For each step the mean of each loss (without its weight), their weighted sum
            "loss", the masks' "mask mean", "mask border" and "mask entropy" (bits), and, after
            the steps on which they were asked, what the monitors said, by their names.
        note: What stood in for networks with trained weights; empty if nothing did.

    Example:
        >>> from scm.learning.cgn import settings_of, untrained
        >>> cgn = untrained(settings_of("double"))
        >>> done = ImageNetTraining(cgn, ({"loss": 2.0}, {"loss": 1.5}))
        >>> [step["loss"] for step in done.history]
        [2.0, 1.5]
    """

    cgn: CGN
    history: tuple[dict[str, float], ...]
    note: str = ""


def train_imagenet_cgn(
    cgn: CGN,
    teacher: BigGAN,
    vgg: VGGFeatures | None,
    *,
    steps: int = 300,
    accumulate: int = 4000,
    batch: int = 1,
    lr_shape: float = 8e-6,
    lr_texture: float = 1e-5,
    lr_background: float = 1e-5,
    weights: ImageNetWeights | None = None,
    patches: Patches | None = None,
    mixed: bool = False,
    limits: Limits = _LIMITS,
    monitors: Mapping[str, Monitor] | None = None,
    watched: int = 64,
    every: int = 1,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    progress: bool = True,
) -> ImageNetTraining:
    """Train an ImageNet CGN, in place, on images of an unconstrained BigGAN; no data are needed.

    A step averages the gradients of `accumulate` images (the pseudo-batch), then Adam moves the
    three generators. The U2-Net, which makes masks and judges backgrounds, stays as it is.

    With a checkpoint, a training that was killed goes on from its last one when it is called
    again alike, and ends with the weights of an undisturbed one, bit for bit on a CPU: the draws
    of a step come from a generator of its own. More `steps` go on from a finished training.

    Args:
        cgn: An ImageNet CGN, on the device where it is to be trained.
        teacher: The unconstrained BigGAN, of the same image size, latent width and classes.
        vgg: Features of VGG16-BN; None if neither the perceptual nor the texture loss is on.
        steps: Steps of Adam.
        accumulate: Images a step: 4000 in the paper, 2048 in the reproduction.
        batch: Images in one pass; as much as memory holds, the paper takes 1.
        lr_shape: Learning rate of the shape.
        lr_texture: Of the foreground; 3e-5 in the published code.
        lr_background: Of the background.
        weights: Weights of the losses; the paper's by default.
        patches: How the texture loss takes patches; as in the paper by default.
        mixed: Run the networks in bfloat16 (`torch.autocast`); weights and losses stay float32.
        limits: What masks of a pseudo-batch must keep to, lest the training stop.
        monitors: Functions of batches of composites, by name, such as `InceptionScore(...)`;
            the composites are of the same noise and labels each time.
        watched: Composites that a monitor gets.
        every: Steps between checkpoints, and between questions to the monitors.
        checkpoint: File to go on from if it is there, and written while training.
        seed: Seed of noise, labels and patches.
        progress: Show a progress bar, on a terminal or in a notebook.

    Raises:
        ScmError: If networks or numbers do not fit, the checkpoint is of another training, or the
            loss stops being finite.
        CollapsedMaskError: If the masks collapse, with what was measured.

    Source: Sauer and Geiger (2021), section 3.1 and appendix C.3.

    Example:
        >>> from scm.learning.cgn import imagenet_cgn
        >>> tiny = {"output_dim": 16, "z_dim": 4, "class_embed_dim": 4, "channel_width": 8,
        ...         "num_classes": 3, "layers": [[True, 16, 8], [False, 8, 4], [True, 4, 2],
        ...         [False, 2, 1]], "attention_layer_position": 2}
        >>> done = train_imagenet_cgn(
        ...     imagenet_cgn(tiny, small=True), BigGAN(tiny), None,
        ...     weights=ImageNetWeights(perceptual=0.0, texture=0.0),
        ...     steps=1, accumulate=1, watched=2, progress=False,
        ... )
        >>> [step["loss"] > 0 for step in done.history]
        [True]
    """
    weights, patches = weights or ImageNetWeights(), patches or Patches()
    _check(cgn, teacher, vgg, weights)
    for name, given in {"accumulate": accumulate, "batch": batch, "every": every}.items():
        if given < 1:
            raise ScmError(f"{name}={given} was given; expected at least 1")
    mechanisms = backbones(cgn)
    saliency = mechanisms[0].saliency.requires_grad_(False).eval()
    device = next(saliency.parameters()).device
    rates = (lr_shape, lr_texture, lr_background)
    adam = torch.optim.Adam(
        {"params": list(m.generator.parameters()), "lr": rate}
        for m, rate in zip(mechanisms, rates, strict=True)
    )
    identity = {
        "losses": json.dumps([asdict(weights), asdict(patches)]),
        "steps": json.dumps({"of": accumulate, "by": batch, "mixed": mixed, "every": every}),
        "rates": json.dumps(rates),
        "monitors": json.dumps([sorted(monitors or ()), watched]),
        "teacher": fingerprint(teacher, f"{teacher.truncation}"),
        "fixed networks": fingerprint(saliency) + ("" if vgg is None else fingerprint(vgg)),
        "model": json.dumps([sorted(cgn.mechanisms), [m.truncation for m in mechanisms]]),
        "seed": str(seed),
    }
    history: list[dict[str, float]] = []
    if checkpoint is not None and Path(checkpoint).exists():
        state = read_checkpoint(checkpoint, identity)
        try:
            cgn.load_state_dict(state["model"])
            adam.load_state_dict(state["adam"])
        except (RuntimeError, ValueError) as error:
            raise ScmError(
                f"the checkpoint {checkpoint} is of other networks: {error}; delete it, or give "
                "the path of another"
            ) from error
        history = [dict(row) for row in state["history"]]

    passes = math.ceil(accumulate / batch)
    left = max(0, steps - len(history))
    with (
        progress_bar("ImageNet CGN", left * passes, "passes", progress) as advance,
        torch.enable_grad(),
    ):
        for t in range(len(history), steps):
            draws = _generator(seed, t)
            labels = torch.randint(teacher.settings["num_classes"], (accumulate,), generator=draws)
            noise = torch.randn(accumulate, teacher.settings["z_dim"], generator=draws)
            adam.zero_grad(set_to_none=True)
            seen, row = MaskMonitor(1, keep=1.0), dict[str, float]()
            for y, u in zip(labels.split(batch), noise.split(batch), strict=True):
                images = pseudo_images(cgn, teacher, u.to(device), y.to(device), mixed)
                found = imagenet_losses(images, saliency, vgg, weights, patches, draws, mixed)
                share = len(y) / accumulate
                loss = torch.stack([getattr(weights, k) * v for k, v in found.items()]).sum()
                (share * loss).backward()
                seen.add(images.mask, torch.zeros_like(y))
                for name, value in {**found, "loss": loss}.items():
                    row[name] = row.get(name, 0.0) + share * float(value.detach())
                advance(f"step {t + 1} of {steps}")
            _require_finite(row, t)
            _watch(seen, limits, row, t)
            adam.step()
            last = t + 1 == steps
            if last or (t + 1) % every == 0:
                for name, monitor in (monitors or {}).items():
                    row[name] = monitor(composites(cgn, watched, batch, seed))
            history.append(row)
            if checkpoint is not None and (last or (t + 1) % every == 0):
                state = {"model": cgn.state_dict(), "adam": adam.state_dict(), "history": history}
                write_checkpoint(checkpoint, {"identity": identity, **state})
    stand_in = vgg is not None and not vgg.trained
    note = "VGG16-BN with random weights stands in for the trained one" if stand_in else ""
    return ImageNetTraining(cgn.eval(), tuple(history), note)


def composites(cgn: CGN, n: int, batch: int = 1, seed: int = 0) -> Iterator[Tensor]:
    """Composites `(<= batch, 3, size, size)` with one u and y for all mechanisms, n in all.

    The same seed gives the same noise and labels, so that images of a training can be compared.

    Source: Sauer and Geiger (2021), appendix C.3, "Hyperparameter Search".
    """
    shape, foreground, _ = backbones(cgn)
    device = next(shape.parameters()).device
    draws = _generator(seed, -1)
    labels = torch.randint(foreground.settings["num_classes"], (n,), generator=draws)
    noise = torch.randn(n, foreground.settings["z_dim"], generator=draws)
    for y, u in zip(labels.split(batch), noise.split(batch), strict=True):
        with torch.no_grad():
            images = pseudo_images(cgn, foreground, u.to(device), y.to(device))
        yield images.composite


def _generator(seed: int, t: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}\0ImageNet CGN\0{t}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") % 2**63)


def _watch(seen: MaskMonitor, limits: Limits, row: dict[str, float], t: int) -> None:
    """Note the health of a pseudo-batch's masks; raise if they collapsed."""
    health = seen.health()
    row["mask mean"] = float(health.mean)
    row["mask border"], row["mask entropy"] = float(health.border), float(health.entropy)
    problems = health.problems(limits)
    if problems:
        raise CollapsedMaskError(
            f"the masks of step {t + 1} collapsed: {problems[0]}. Raise the mask weight or lower "
            "lr_shape, and start again; limits= says what is allowed",
            (),
        )


def _require_finite(row: Mapping[str, float], t: int) -> None:
    wrong = [name for name, value in row.items() if not math.isfinite(value)]
    if wrong:
        raise ScmError(
            f"{' and '.join(wrong)} stopped being finite in step {t + 1}; the weights are those "
            "before it. Lower the learning rates, or the weights of these losses"
        )


def _check(cgn: CGN, teacher: BigGAN, vgg: VGGFeatures | None, weights: ImageNetWeights) -> None:
    def sizes(mechanism: BigGAN) -> tuple[Any, ...]:
        return tuple(mechanism.settings[k] for k in ("output_dim", "z_dim", "num_classes"))

    mechanisms = backbones(cgn)
    wrong = [sizes(m) for m in mechanisms if sizes(m) != sizes(teacher)]
    if wrong:
        raise ScmError(
            f"the teacher has image size, latent width and classes {sizes(teacher)}, a mechanism "
            f"{wrong[0]}; expected the same, since all get the same noise and labels"
        )
    devices = {str(next(m.parameters()).device) for m in (*mechanisms, teacher)}
    devices |= set() if vgg is None else {str(next(vgg.parameters()).device)}
    if len(devices) > 1:
        raise ScmError(
            f"the CGN, its teacher and VGG are on {sorted(devices)}; move them to one device "
            "with .to(device)"
        )
    if not any(vars(weights).values()):
        raise ScmError("every loss is switched off; give at least one a positive weight")
