r"""Principal directions of a generator's layer, and what they are in its latent.

With features :math:`f(h, y)` of a layer, `h ~ N(0, I)`, the directions :math:`v_1, v_2, \ldots`
are the principal axes of f. The latent direction of each is what least squares recovers from
the coordinates :math:`x_j = v_j \cdot (f - \mathrm{E} f)`,

.. math:: h \approx \sum_j u_j x_j, \qquad u_j = \mathrm{Cov}(h, x_j) / \mathrm{Var}(x_j),

made orthonormal in order, so that setting one coordinate leaves the others (the published
code makes each of unit length, no more).

Source: Haerkoenen et al. (2020), GANSpace, section 2.2; GenInt, section 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor

from scm.errors import InterventionError
from scm.interventions.generator import ConditionalGenerator, generator_of
from scm.interventions.incremental_pca import IncrementalPCA
from scm.mechanisms.macro import Move
from scm.progress import progress_bar

__all__ = ["PAPER_RANGES", "PrincipalDirections"]

PAPER_RANGES: Mapping[int, tuple[float, float]] = MappingProxyType(
    {0: (-3, 3), 1: (-4, 2), 40: (-12, 12), 55: (-12, 15), 56: (-12, 15), 57: (-12, 15)}
)
"""GenInt's reference ranges of steps, by component of BigGAN-deep-256's `gen_z`, chosen by eye.

The components between them have ranges that were not published. Source: GenInt section 9.B and
its published code.
"""


@dataclass(frozen=True, eq=False)
class PrincipalDirections:
    """Directions of a layer, orthonormal, from the largest spread to the smallest.

    Attributes:
        layer: Name of the layer.
        basis: Directions `(k, features)` of its output.
        centre: Mean `(features,)` of its output.
        spread: Standard deviation `(k,)` of its output along each.
        latent: Directions `(k, width)` of the latent, orthonormal; along each the latent has
            mean 0 and standard deviation 1.
        ranges: Reference range of steps `(k, 2)`, in standard deviations; [-1, 1] at first.
        method: How they were found: "closed form", or "incremental PCA, n samples".

    Example:
        >>> from torch import nn
        >>> class Painter(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.first = nn.Linear(4, 12, bias=False)
        ...         _ = nn.init.orthogonal_(self.first.weight)
        ...         self.first.weight.data *= torch.tensor([1.0, 3.0, 2.0, 4.0])
        ...     def forward(self, h, y):
        ...         return self.first(h).tanh().view(-1, 3, 2, 2)
        >>> found = PrincipalDirections.of(Painter(), "first", k=2, width=4, classes=10)
        >>> found.spread, found.latent.abs().argmax(1), found.method
        (tensor([4., 3.]), tensor([3, 1]), 'closed form')
    """

    layer: str
    basis: Tensor
    centre: Tensor
    spread: Tensor
    latent: Tensor
    ranges: Tensor
    method: str

    @classmethod
    def of(
        cls,
        generator: Any,
        layer: str,
        k: int = 10,
        *,
        label: int | None = 0,
        samples: int | None = None,
        batch: int = 1000,
        seed: int = 0,
        progress: bool = True,
        **options: Any,
    ) -> Self:
        """Find the principal directions of a layer.

        In closed form where the layer is affine in the latent (as BigGAN's `gen_z` is; this is
        tried out): the singular vectors of its matrix, without samples. Elsewhere by
        incremental PCA of samples, made on the generator's device.

        Args:
            generator: As for `generator_of`.
            layer: Name of the layer, as in `named_modules()`.
            k: How many.
            label: The class whose images are meant (GenInt: one class); None for all classes
                alike, whose differences are then among the variation.
            samples: Number of samples, for incremental PCA also where there is a closed form;
                100,000 where there is none.
            batch: Samples at a time.
            seed: Seed of the samples.
            progress: Show a progress bar.
            **options: As for `generator_of`.

        Raises:
            InterventionError: If there is no such layer, if k exceeds its rank or the width of
                the latent, or the generator has no such class.
        """
        made = generator_of(generator, **options)
        if not 1 <= k <= made.width:
            raise InterventionError(
                f"k={k} directions were asked for; the latent has {made.width} dimensions, so "
                f"expected 1 to {made.width}"
            )
        affine = None if samples is not None else _affine(made, layer, label, seed)
        if affine is not None:
            columns, centre = affine
            basis, spread = _principal(columns)
            cross = columns[: made.width] @ basis.T
            method = "closed form"
        else:
            count = 100_000 if samples is None else samples
            pca = IncrementalPCA(min(count - 1, max(2 * k, k + 10)))
            pca.update(_samples(made, layer, label, count, batch, seed, progress))
            basis, spread, centre, cross = pca.basis, pca.spread, pca.mean, pca.cross @ pca.basis.T
            method = f"incremental PCA, {count} samples"
        rank = int((spread > 1e-5 * spread.max().clamp_min(1e-30)).sum())
        if k > rank:
            raise InterventionError(
                f"k={k} directions of layer {layer!r} were asked for; its output has rank {rank} "
                f"({method}), so expected 1 to {rank}"
            )
        basis, spread = basis[:k], spread[:k]
        latent = _orthonormal((cross[:, :k] / spread.square()).T)
        signs = latent.gather(1, latent.abs().argmax(1, keepdim=True)).sign()
        ranges = torch.tensor([-1.0, 1.0], device=basis.device, dtype=basis.dtype).repeat(k, 1)
        return cls(layer, basis * signs, centre, spread, latent * signs, ranges, method)

    @classmethod
    def axes(cls, generator: Any, **options: Any) -> Self:
        """The axes of the latent itself, whose prior is the same in all directions.

        Source: GenInt section 7.A takes the two latents of its VAE.
        """
        made = generator_of(generator, **options)
        like = next(made.network.parameters(), torch.zeros(()))
        eye = torch.eye(made.width).to(like)
        ranges = torch.tensor([-1.0, 1.0]).to(like).repeat(made.width, 1)
        return cls("latent", eye, 0 * eye[0], 1 + 0 * eye[0], eye, ranges, "axes")

    def __len__(self) -> int:
        return len(self.basis)

    def __getitem__(self, rows: slice | Sequence[int]) -> Self:
        """Some of the directions."""
        rows = rows if isinstance(rows, slice) else list(rows)
        parts = {
            name: getattr(self, name)[rows] for name in ("basis", "spread", "latent", "ranges")
        }
        return replace(self, **parts)

    def angle(self, other: PrincipalDirections) -> float:
        """The largest principal angle between what both span in the layer, in degrees.

        Raises:
            InterventionError: If their numbers differ, or the widths of their layers.

        Source: Bjoerck and Golub (1973), theorem 1.

        Example:
            >>> of = {"width": 3, "classes": 2}
            >>> class Painter(torch.nn.Module):
            ...     def forward(self, h, y):
            ...         return h[:, :, None, None].expand(-1, 3, 4, 4)
            >>> axes = PrincipalDirections.axes(Painter(), **of)
            >>> axes[:2].angle(axes[1:]), axes[:2].angle(axes[[1, 0]])
            (90.0, 0.0)
        """
        if self.basis.shape != other.basis.shape:
            raise InterventionError(
                f"directions {tuple(self.basis.shape)} and {tuple(other.basis.shape)} were "
                "compared; expected as many of each, of one layer: found[:k].angle(other[:k])"
            )
        own, theirs = self.basis.double(), other.basis.to(self.basis.device).double()
        beyond = own - own @ theirs.T @ theirs  # sines: a cosine near 1 would be rounded
        sine = float(torch.linalg.matrix_norm(beyond, 2))
        return math.degrees(math.asin(min(sine, 1.0)))

    def move(self, j: int, dose: Any = 1.0) -> Move:
        """The paper's shift of the latent along direction j, `man(H=directions.move(j, s))`.

        Args:
            j: Which direction.
            dose: How far, in standard deviations: a number, one a unit, or a distribution.
        """
        return Move(self.latent[j], dose)

    def ranged(self, ranges: Mapping[int, tuple[float, float]] | float) -> Self:
        """The same with other reference ranges: `[-s, s]` for all, or some given by direction.

        Raises:
            InterventionError: If a range is none, or belongs to no direction.
        """
        pairs = (
            ranges
            if isinstance(ranges, Mapping)
            else dict.fromkeys(range(len(self)), (-ranges, ranges))
        )
        changed = self.ranges.clone()
        for j, (low, high) in pairs.items():
            if not 0 <= j < len(self) or not low < high:
                raise InterventionError(
                    f"the range {(low, high)} was given for direction {j}; expected low < high "
                    f"for directions 0 to {len(self) - 1}"
                )
            changed[j] = torch.tensor([low, high])
        return replace(self, ranges=changed)


def _affine(
    made: ConditionalGenerator, layer: str, label: int | None, seed: int
) -> tuple[Tensor, Tensor] | None:
    """Rows `(width + classes, features)` whose Gram matrix is the covariance, and the mean.

    None where the layer is not affine in the latent.
    """
    like = next(made.network.parameters(), torch.zeros(()))
    noise = torch.Generator(like.device).manual_seed(seed)
    tried = torch.randn(3, made.width, generator=noise, device=like.device, dtype=like.dtype)
    tried[2] = tried[0] + tried[1]
    one = made.labels(label, 1, noise)
    zero = torch.zeros_like(tried[:1])
    origin = made.features(layer, zero, one)
    a, b, both = made.features(layer, tried, one.expand(3)) - origin
    if (a + b - both).norm() > 1e-4 * (a.norm() + b.norm()) or not a.norm() > 0:
        return None
    eye = torch.eye(made.width, device=like.device, dtype=like.dtype)
    rows = made.features(layer, eye, one.expand(made.width)) - origin
    if label is not None:
        return rows, origin[0]
    every = torch.arange(made.classes, device=like.device)
    offsets = made.features(layer, zero.expand(made.classes, -1), every)
    mean = offsets.mean(0)
    return torch.cat([rows, (offsets - mean) / made.classes**0.5]), mean


def _principal(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Principal axes and standard deviations of the covariance `rows' rows`."""
    _, spread, basis = torch.linalg.svd(rows, full_matrices=False)
    return basis, spread


def _samples(
    made: ConditionalGenerator,
    layer: str,
    label: int | None,
    count: int,
    batch: int,
    seed: int,
    progress: bool,
) -> Iterable[tuple[Tensor, Tensor]]:
    """Latents with their features, batch by batch."""
    like = next(made.network.parameters(), torch.zeros(()))
    noise = torch.Generator(like.device).manual_seed(seed)
    with progress_bar(f"directions of {layer}", -(-count // batch), "batches", progress) as advance:
        for start in range(0, count, batch):
            n = min(batch, count - start)
            latent = torch.randn(
                n, made.width, generator=noise, device=like.device, dtype=like.dtype
            )
            yield latent, made.features(layer, latent, made.labels(label, n, noise))
            advance()


def _orthonormal(rows: Tensor) -> Tensor:
    """Gram and Schmidt's, in order: `(k, width)`."""
    q, r = torch.linalg.qr(rows.double().T)
    found: Tensor = (q * r.diagonal().sign()).T.to(rows)
    return found
