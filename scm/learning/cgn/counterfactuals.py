"""Counterfactual images of a CGN: streamed into training, or written to disk whole.

A unit is one mask under noise of its own. Each of its `ratio` counterfactuals puts it
together with another texture and background; the mask is computed once for all of them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal
from torch.utils.data import IterableDataset, get_worker_info

from scm.errors import ScmError, nearest
from scm.learning.cgn.model import CGN
from scm.mechanisms.encoder import Encoder
from scm.mechanisms.types import Image
from scm.worlds.samples import Samples

__all__ = ["Assignment", "CounterfactualImages", "read_counterfactuals"]

Assignment = Literal["independent", "permuted", "derangement"]
_FORMAT = "scm-counterfactual-images 1"


@dataclass(eq=False)
class CounterfactualImages(IterableDataset[tuple[Tensor, Tensor]]):
    """Images `compose(M, F, B)` whose mask, texture and background have labels of their own.

    Iterating gives batches `(images (b, 3, h, w), labels (b, 3) int64)`, the labels of shape,
    texture and background in that order; every iteration gives the same ones, and no more
    than a few batches are in memory. It is an iterable data set for
    `DataLoader(..., batch_size=None)`, whose workers share the work.

    Args:
        cgn: The model.
        n: Number of images.
        ratio: Counterfactuals of one unit; 1 makes each image of noise of its own
            (interventional images).
        noise: "abducted" takes the units' noise from real images, by the model's encoder;
            "prior" draws it.
        images: Real images `(m, 3, h, w)` for "abducted".
        labels: Their classes `(m,)`.
        fresh: True takes F and B of *other* units (each under its own label); False keeps
            the unit's own noise and sets its labels, `units.sweep(Y2=..., Y3=...)`.
        assignment: How textures and backgrounds are assigned to the units of a block:
            "independent" draws, a random order ("permuted", about a tenth of which agree
            with the shape's label), or a random order in which no label agrees with it
            ("derangement").
        jitter: Standard deviation of what is added to an abducted u_M.
        temperature: Sharpness of the masks; None leaves the model's.
        batch: Images a batch.
        seed: Seed of everything drawn.

    Raises:
        ScmError: If an argument is none of these, or "abducted" lacks images or an encoder.

    Source: Sauer and Geiger (2021), sections 2.3 and 3.2, appendix A.3 ("CF ratio").

    Example:
        >>> from scm.learning.cgn import settings_of, untrained
        >>> cgn = untrained(settings_of("double", size=8, shape_width=8))
        >>> data = CounterfactualImages(cgn, 10, ratio=2, noise="prior", batch=4)
        >>> [tuple(images.shape) for images, labels in data]
        [(4, 3, 8, 8), (4, 3, 8, 8), (2, 3, 8, 8)]
    """

    cgn: CGN
    n: int
    ratio: int = 1
    noise: Literal["abducted", "prior"] = "abducted"
    images: Tensor | None = None
    labels: Tensor | None = None
    fresh: bool = True
    assignment: Assignment = "permuted"
    jitter: float = 0.3
    temperature: float | None = None
    batch: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n", "ratio", "batch"):
            if getattr(self, name) < 1:
                raise ScmError(f"{name}={getattr(self, name)!r} was given; expected at least 1")
        if self.assignment not in get_args(Assignment):
            raise ScmError(
                f"assignment={self.assignment!r}; {nearest(self.assignment, get_args(Assignment))}"
            )
        if self.noise not in ("abducted", "prior"):
            raise ScmError(f"noise={self.noise!r}; {nearest(self.noise, ('abducted', 'prior'))}")
        if self.noise == "prior":
            return
        if self.images is None or self.labels is None or self.cgn.encoder is None:
            raise ScmError(
                "noise='abducted' needs images=, labels= and a CGN with an encoder; give them, or "
                "draw noise='prior'"
            )
        sizes = len(self.images), len(self.labels)
        if self.jitter < 0 or sizes[0] != sizes[1] or not sizes[0]:
            raise ScmError(
                f"jitter={self.jitter}, {sizes[0]} images and {sizes[1]} labels were given; "
                "expected jitter of 0 or more, at least one image, and as many labels as images"
            )

    def __len__(self) -> int:
        """Number of batches."""
        return -(-self.n // self.batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        # Units of a block are as many as images of a batch, so a block is `ratio` batches.
        blocks = -(-self.n // (self.batch * self.ratio))
        for block in range(first, blocks, step):
            images, labels = self._block(block)
            left = self.n - block * self.batch * self.ratio
            parts = zip(
                images[:left].split(self.batch), labels[:left].split(self.batch), strict=True
            )
            for part in parts:
                yield part[0].clone(), part[1].clone()

    def _block(self, block: int) -> tuple[Tensor, Tensor]:
        """The counterfactuals of one block of units, in random order."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + block) % 2**63)
        before = getattr(self.cgn.mechanisms["M"], "temperature", None)
        try:
            if self.temperature is not None:
                self.cgn.sharpen(self.temperature)
            units = self._units(block, generator)
            own = units["Y"].cpu()
            orders = [[self._order(own, generator) for _ in range(self.ratio)] for _ in ("F", "B")]
            worlds = self._worlds(units, orders)
            images = worlds["X"].flatten(0, 1)
        finally:
            if before is not None:
                self.cgn.sharpen(before)
        labels = [torch.stack([own[order] for order in each]).flatten() for each in orders]
        shape = own.repeat(self.ratio)
        shuffled = torch.randperm(len(shape), generator=generator)
        triples = torch.stack([shape, *labels], 1)[shuffled]
        return images[shuffled.to(images.device)], triples.to(images.device)

    def _units(self, block: int, generator: torch.Generator) -> Samples:
        """The units of a block, their noise found in real images or drawn."""
        if self.noise == "prior":
            return self.cgn.sample(self.batch, self.seed, start=block * self.batch)
        assert self.images is not None
        assert self.labels is not None
        encoder = self.cgn.encoder
        assert encoder is not None
        view = replace(self.cgn.view, encoders=(_jittered(encoder, self.jitter),))
        rows = torch.randint(len(self.labels), (self.batch,), generator=generator)
        rows = rows.to(self.labels.device)
        seen = {"X": self.images[rows], "Y": self.labels[rows]}
        seed = int(torch.randint(2**62, (), generator=generator))
        return view.abduct(seen, seed=seed)

    def _worlds(self, units: Samples, orders: list[list[Tensor]]) -> Samples:
        """One world for each of the `ratio` counterfactuals of the units."""
        device = units["Y"].device
        front, back = ([order.to(device) for order in each] for each in orders)
        if self.fresh:
            # Values of other units: plain tensors, so that they are not taken for these units'.
            textures, backgrounds = units["F"].clone(), units["B"].clone()
            worlds: Any = units.sweep(
                F=[textures[order] for order in front], B=[backgrounds[order] for order in back]
            )
        else:
            own = units["Y"].clone()
            worlds = units.sweep(Y2=[own[order] for order in front], Y3=[own[o] for o in back])
        assert isinstance(worlds, Samples)
        return worlds

    def _order(self, own: Tensor, generator: torch.Generator) -> Tensor:
        n = len(own)
        if self.assignment == "independent":
            return torch.randint(n, (n,), generator=generator)
        order = torch.randperm(n, generator=generator)
        return order if self.assignment == "permuted" else _deranged(own, order)

    def write(self, folder: str | Path, shard: int = 10_000) -> Path:
        """Write the images, 8 bits a channel, and labels to a new folder of safetensors files.

        Pixels are rescaled from the model's own range, such as [-1, 1] of a BigGAN, to [0, 1].

        The folder appears under its name only once it is complete; what a full disk or a kill
        leaves behind is never taken for a data set.

        Args:
            folder: The folder to make.
            shard: Images a file, at least.

        Raises:
            ScmError: If the folder exists, or the disk refuses.
        """
        target = Path(folder)
        kind = self.cgn.mechanisms["X"].type
        assert isinstance(kind, Image)
        low, high = kind.range
        if target.exists():
            raise ScmError(f"{target} exists; give a folder that does not, or remove it first")
        partial = target.with_name(f".{target.name}.{token_hex(4)}.partial")
        sizes: list[int] = []
        try:
            partial.mkdir(parents=True)
            held: list[tuple[Tensor, Tensor]] = []
            for images, labels in self:
                shares = (images - low) / (high - low)
                held.append((shares.mul(255).round().clamp(0, 255).byte().cpu(), labels.cpu()))
                if sum(len(part[1]) for part in held) >= shard:
                    sizes.append(_write_shard(partial, len(sizes), held))
                    held = []
            if held:
                sizes.append(_write_shard(partial, len(sizes), held))
            document = {"format": _FORMAT, "shards": sizes, "seed": self.seed, "ratio": self.ratio}
            (partial / "manifest.json").write_text(json.dumps(document))
            partial.rename(target)
        except (OSError, SafetensorError) as error:
            raise ScmError(
                f"the counterfactual images could not be written to {target} ({error}); nothing "
                "is there. Choose a folder that may be written and has room"
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return target


def read_counterfactuals(folder: str | Path) -> Iterable[tuple[Tensor, Tensor]]:
    """Images `(n, 3, h, w)` in [0, 1] and labels `(n, 3)` that `write` wrote, shard by shard.

    What is returned can be gone through again and again, and be the images of a `Stream`.

    Raises:
        ScmError: If the folder is not a whole data set.

    Example:
        >>> import tempfile
        >>> from scm.learning.cgn import settings_of, untrained
        >>> cgn = untrained(settings_of("double", size=8, shape_width=8))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = CounterfactualImages(cgn, 10, noise="prior").write(f"{folder}/cf")
        ...     [tuple(labels.shape) for images, labels in read_counterfactuals(path)]
        [(10, 3)]
    """
    try:
        document = json.loads((Path(folder) / "manifest.json").read_text())
        sizes = [int(size) for size in document["shards"]]
        if document["format"] != _FORMAT:
            raise ValueError(document["format"])
    except (ArithmeticError, KeyError, OSError, RecursionError, TypeError, ValueError) as error:
        raise ScmError(
            f"{folder} holds no whole set of counterfactual images ({error!s:.200}); write it "
            "again with CounterfactualImages(...).write(folder)"
        ) from error
    return _Written(Path(folder), tuple(sizes))


@dataclass(frozen=True)
class _Written:
    """A set on disk, read anew each time that it is gone through."""

    folder: Path
    sizes: tuple[int, ...]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for number, size in enumerate(self.sizes):
            path = _path(self.folder, number)
            try:
                tensors = load_file(path)
                images, labels = tensors["images"], tensors["labels"]
            except (OSError, SafetensorError, KeyError) as error:
                raise ScmError(f"{path} cannot be read ({error}); write the set again") from error
            kinds = (images.dtype, images.ndim, labels.dtype, labels.ndim)
            if kinds != (torch.uint8, 4, torch.int64, 2) or {len(images), len(labels)} != {size}:
                raise ScmError(
                    f"{path} holds images of {images.dtype} {tuple(images.shape)} and labels of "
                    f"{labels.dtype} {tuple(labels.shape)}, not {size} of each; write the set again"
                )
            yield images.float() / 255, labels


def _path(folder: Path, number: int) -> Path:
    return folder / f"images-{number:05d}.safetensors"


def _write_shard(folder: Path, number: int, held: list[tuple[Tensor, Tensor]]) -> int:
    images, labels = (torch.cat(parts) for parts in zip(*held, strict=True))
    save_file({"images": images, "labels": labels}, _path(folder, number))
    return len(labels)


def _deranged(own: Tensor, order: Tensor) -> Tensor:
    """A random order as it is, but for swaps so that no label stays, where that is possible.

    Raises:
        ScmError: If more than half of the labels are alike.
    """
    if 2 * int(own.bincount().max()) > len(own):
        raise ScmError(
            "no derangement: more than half of the units of a block share a label; raise batch=, "
            "or use assignment='independent'"
        )
    order = order.clone()
    for i in (own[order] == own).nonzero()[:, 0].tolist():
        if own[order[i]] != own[i]:
            continue
        # Swapping with any j whose own and given label both differ from own[i] mends i and
        # leaves j well; by the count above there is one.
        good = (own != own[i]) & (own[order] != own[i])
        j = int(good.nonzero()[order[i] % int(good.sum()), 0])
        order[i], order[j] = order[j].clone(), order[i].clone()
    return order


def _jittered(encoder: Encoder, jitter: float) -> Encoder:
    """The encoder, with variance `jitter^2` added to its posterior of u_M."""
    if not jitter:
        return encoder
    width = encoder.split(torch.zeros(1, encoder.width))["M"].shape[1]
    first = encoder.nodes[0] == "M"
    other = Encoder(encoder.nodes, encoder.given, _Widened(encoder.net, width, jitter, first))
    other.bind(encoder.types, encoder.shapes)
    return other


class _Widened(nn.Module):
    def __init__(self, net: nn.Module, width: int, jitter: float, first: bool) -> None:
        super().__init__()
        self.net, self.jitter = net, jitter
        self.columns = slice(0, width) if first else slice(-width, None)

    def forward(self, shown: Tensor) -> Distribution:
        mean, log_scale = self.net(shown).chunk(2, -1)
        scale = log_scale.exp()
        added = torch.zeros_like(scale)
        added[:, self.columns] = self.jitter**2
        return Independent(Normal(mean, (scale.square() + added).sqrt()), 1)
