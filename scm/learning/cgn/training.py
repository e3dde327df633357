"""Training a CGN: the loop, its checkpoints, and what stops it early."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scm.errors import ScmError
from scm.learning.cgn.health import MaskMonitor
from scm.learning.cgn.losses import Style
from scm.learning.cgn.model import CGN, image_encoder
from scm.learning.cgn.prior import standardise
from scm.learning.cgn.segmentation import Segmenting, learn_textures
from scm.learning.cgn.settings import Settings, settings_of
from scm.learning.cgn.stages import Adversarial, Autoencoding, Stage
from scm.learning.cgn.starts import start_colours, start_odds
from scm.learning.checkpoint import fingerprint, read_checkpoint, write_checkpoint
from scm.learning.ranks import Fabric, Ranks
from scm.mechanisms.cgn import ColourTexture, Labelled, Shape
from scm.mechanisms.cgn_conv import ConvShape, ConvTexture
from scm.mechanisms.cgn_patches import QuiltTexture
from scm.mechanisms.seeding import seeded
from scm.progress import progress_bar

__all__ = ["train_cgn", "untrained"]

_FORMAT = "scm-cgn-training 3"
_STAGES: dict[str, type[Stage]] = {
    "colour": Autoencoding,
    "patches": Segmenting,
    "conv": Adversarial,
}


def train_cgn(
    images: Tensor,
    labels: Tensor,
    settings: str | Settings = "coloured",
    *,
    recipe: str = "autoencoder",
    seed: int = 0,
    checkpoint: str | Path | None = None,
    every: int = 100,
    progress: bool = True,
    fabric: Fabric | None = None,
    style: Style | None = None,
    **changes: Any,
) -> CGN:
    """Train a CGN on confounded images and their labels.

    With a checkpoint, a run that was killed goes on from its last one when it is called
    again alike, and ends with the weights of an undisturbed run, bit for bit: the draws of
    step t come from a generator of that step's own. A finished run is read from it at once.

    Args:
        images: Images `(n, 3, size, size)` with pixels in [0, 1].
        labels: Classes `(n,)`, int64.
        settings: "coloured", "double" or "wildlife", or `Settings`.
        recipe: "autoencoder" or "adversarial" (the paper's), where a name is given.
        seed: Seed of weights, batches and noise.
        checkpoint: File that the state is kept in; None for none.
        every: Steps between checkpoints.
        progress: Show a progress bar, on a terminal or in a notebook.
        fabric: A launched `lightning_fabric.Fabric`, to train on several devices; as in `train`.
        style: A style loss beside the others, for the recipe "adversarial".
        **changes: Settings that differ.

    Returns:
        The CGN with averaged weights, in evaluation mode.

    Raises:
        ScmError: If images, labels or settings do not fit, the checkpoint is of another run,
            the loss stops being finite, or ranks cannot have equal parts of a batch or do not
            begin alike.
        CollapsedMaskError: If the masks of a class collapse, with what was measured.

    Source: Sauer and Geiger (2021), section 3 and appendix C; the recipe "autoencoder" is
    this library's.

    Example:
        >>> images, labels = torch.zeros(32, 3, 8, 8), torch.arange(32) % 2
        >>> images[:, 0, 2:6, 2:6] = 1.0 - 0.5 * labels.view(-1, 1, 1)  # a square, red or dark red
        >>> cgn = train_cgn(
        ...     images, labels, size=8, classes=2, shape_width=8, encoder_width=4, steps=3, batch=8,
        ...     watch_from=2.0, progress=False,
        ... )
        >>> units = cgn.abduct({"X": images[:4], "Y": labels[:4]}, seed=0)
        >>> units.sweep(Y2=range(2))["X"].shape  # the same shapes, in either texture
        torch.Size([2, 4, 3, 8, 8])
    """
    own = settings_of(settings, recipe, **changes)
    if every < 1:
        raise ScmError(f"every={every} was given; expected a checkpoint each 1 or more steps")
    _check(images, labels, own)
    if style is not None and own.recipe != "adversarial":
        raise ScmError(
            f"style= was given to the recipe {own.recipe!r}, which has no use for it; leave it "
            "out, or give recipe='adversarial'"
        )
    path = None if checkpoint is None else Path(checkpoint)
    run = _Run(images, labels, own, seed, path, every, Ranks(fabric), style)
    return run.train(progress)


def untrained(settings: Settings, seed: int = 0) -> CGN:
    """The CGN of some settings with random weights.

    Example:
        >>> untrained(settings_of("double")).encoder.nodes
        ('M', 'F', 'B')
    """
    own, size = settings, settings.size
    shape: Labelled
    textures: list[Labelled]
    if own.recipe == "adversarial":
        shape = ConvShape(size, own.shape_latent, seed=seed)
        textures = [ConvTexture(size, own.texture_latent, seed=seed + k) for k in (1, 2)]
        return CGN(shape, *textures, classes=own.classes)
    shape = Shape(
        size,
        own.shape_latent,
        own.shape_width,
        own.centre,
        peak=own.peak,
        seed=seed,
    )
    if own.textures == "colour":
        textures = [ColourTexture(size, own.texture_latent, seed=seed + k) for k in (1, 2)]
    else:
        textures = [QuiltTexture(size, own.quilts) for _ in own.patch]
    with seeded(seed + 3):
        encoder = image_encoder(
            shape,
            *textures,
            classes=own.classes,
            channels=own.encoder_width,
            colours=own.colours if own.textures == "patches" else 0,
        )
    return CGN(shape, *textures, encoder=encoder, classes=own.classes)


class _Run:
    """One training run: model, average, stage and step, as the checkpoint holds them."""

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        settings: Settings,
        seed: int,
        path: Path | None,
        every: int,
        ranks: Ranks,
        style: Style | None = None,
    ) -> None:
        self.style = style
        self.ranks, self.rows = ranks, ranks.rows(settings.batch)
        self.images, self.labels, self.settings = images, labels, settings
        self.seed, self.path, self.every = seed, path, every
        self.cgn = untrained(settings, seed)
        self.cgn.to(images)
        guess = {"colour": start_colours, "patches": start_odds}.get(settings.textures)
        if guess is not None and settings.cover:
            guess(self.cgn, images, labels, settings.cover, self._generator("palettes", 0))
        self.average = {k: v.detach().clone() for k, v in self.cgn.state_dict().items()}
        self.monitor = MaskMonitor(settings.classes)
        digest = hashlib.sha256(labels.cpu().numpy().tobytes())
        digest.update(images[:: max(1, len(images) // 256)].cpu().numpy().tobytes())
        self.identity = {
            "format": _FORMAT,
            "settings": json.dumps(asdict(settings)),
            "seed": str(seed),
            "data": digest.hexdigest(),
        }
        if style is not None:
            self.identity["style"] = fingerprint(style.vgg, f"{style.vgg.at} {style.weights}")

    def train(self, progress: bool) -> CGN:
        stages: list[type[Stage]] = [_STAGES[self.settings.textures]]
        state = self._read()
        begun = state and (state["stage"], state["step"])
        self.ranks.agree(state["model"] if state else self.cgn.state_dict(), self.identity, begun)
        with seeded(self.seed):  # initial weights of discriminators
            for number, kind in enumerate(stages):
                if state is not None and state["stage"] > number:
                    continue
                self._stage(number, kind(self.cgn, self.settings), state, progress)
                state = None
        if state is not None and state["stage"] == len(stages):
            self._take(state)
        else:
            self._write(len(stages), 0, None)
        self.cgn.load_state_dict(self.average)
        self.cgn.zero_grad(set_to_none=True)
        self.cgn.eval()
        if self.cgn.encoder is not None:
            standardise(self.cgn, self.images, self.labels)
        if self.settings.textures == "colour":
            for node in ("F", "B"):  # not before: where colours are clamped, no gradient passes
                self.cgn.mechanisms[node].stretch = self.settings.stretch  # type: ignore[assignment]
        if self.settings.textures == "patches":
            draws = self._generator("patches", 0)
            learn_textures(self.cgn, self.images, self.labels, self.settings, draws)
        return self.cgn

    def _stage(self, number: int, stage: Stage, state: Any, progress: bool) -> None:
        start, stage.ranks = 0, self.ranks
        if isinstance(stage, Adversarial):
            stage.style = self.style
        stage.beside.to(self.images)
        if state is not None:
            self._take(state)
            stage.beside.load_state_dict(state["beside"])
            for name, optimiser in stage.optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
            start = state["step"]
        elif number:
            self.cgn.load_state_dict(self.average)
        self.cgn.train()
        stage.beside.train()
        shown = progress and self.ranks.rank == 0
        bar = progress_bar(f"CGN: {stage.name}", stage.steps - start, "steps", shown)
        with bar as advance, torch.enable_grad():
            for t in range(start, stage.steps):
                generator = self._generator(stage.name, t)
                rows = torch.randint(len(self.labels), (stage.batch,), generator=generator)
                rows = rows.to(self.images.device)
                own = rows[self.rows]
                with self.ranks.as_one():
                    masks = stage.step(t, self.images[own], self.labels[own], generator)
                self._follow()
                self._watch(stage, t, self.ranks.gather(masks.detach()), self.labels[rows])
                if (t + 1) % self.every == 0 and t + 1 < stage.steps:
                    self._write(number, t + 1, stage)
                advance()

    def _generator(self, stage: str, t: int) -> torch.Generator:
        name = f"{self.seed}\0{stage}\0{t}".encode()
        seed = int.from_bytes(hashlib.sha256(name).digest()[:8], "little") % 2**63
        return torch.Generator().manual_seed(seed)

    def _follow(self) -> None:
        """Move the average towards the weights."""
        with torch.no_grad():
            for key, value in self.cgn.state_dict().items():
                if value.is_floating_point():
                    self.average[key].lerp_(value, 1 - self.settings.keep)
                else:
                    self.average[key].copy_(value)

    def _watch(self, stage: Stage, t: int, masks: Tensor, labels: Tensor) -> None:
        self.monitor.add(masks, labels)
        if (t + 1) % 50 and t + 1 < stage.steps:
            return
        if not torch.isfinite(masks).all():
            raise ScmError(
                f"the masks of the CGN stopped being finite at step {t} of {stage.name}; lower "
                f"lr={self.settings.lr:g}"
            )
        if t >= self.settings.watch_from * stage.steps:
            when = f" by step {t + 1} of {stage.name}"
            self.monitor.health().check(self.settings.limits, when)

    def _write(self, number: int, step: int, stage: Stage | None) -> None:
        if self.path is None:
            return
        state = {
            "identity": self.identity,
            "stage": number,
            "step": step,
            "model": self.cgn.state_dict(),
            "average": self.average,
            "monitor": self.monitor.totals,
            "beside": stage.beside.state_dict() if stage else {},
            "optimisers": {k: o.state_dict() for k, o in stage.optimisers.items()} if stage else {},
        }
        self.ranks.write(partial(write_checkpoint, self.path, state))

    def _read(self) -> Any:
        if self.path is None or not self.path.exists():
            return None
        return read_checkpoint(self.path, self.identity)

    def _take(self, state: Any) -> None:
        self.cgn.load_state_dict(state["model"])
        with torch.no_grad():
            for key, value in state["average"].items():
                self.average[key].copy_(value)
        self.monitor.totals = state["monitor"]


def _check(images: Tensor, labels: Tensor, settings: Settings) -> None:
    expected = (3, settings.size, settings.size)
    if images.ndim != 4 or tuple(images.shape[1:]) != expected or labels.shape != images.shape[:1]:
        raise ScmError(
            f"images of shape {tuple(images.shape)} and labels of shape {tuple(labels.shape)} were "
            f"given; expected (n, {', '.join(map(str, expected))}) and (n,): another size is "
            "Settings(size=...)"
        )
    if not len(labels):
        raise ScmError("no images were given; expected at least one of each class")
    if (
        labels.dtype != torch.int64
        or int(labels.min()) < 0
        or int(labels.max()) >= settings.classes
    ):
        raise ScmError(
            f"labels are {labels.dtype} from {labels.min()} to {labels.max()}; expected int64 "
            f"classes 0 to {settings.classes - 1}"
        )
    seen = torch.bincount(labels, minlength=settings.classes)
    if not bool(seen.all()):
        without = ", ".join(str(k) for k in (seen == 0).nonzero()[:, 0].tolist())
        raise ScmError(
            f"no image has the label {without}; expected some of each of {settings.classes} "
            "classes: fewer are Settings(classes=...)"
        )
    if not images.is_floating_point():
        raise ScmError(
            f"images are {images.dtype}; expected floating point in [0, 1], such as images / 255"
        )
    low, high = float(images.min()), float(images.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise ScmError(f"pixels from {low:.3g} to {high:.3g} were given; rescale them to [0, 1]")
