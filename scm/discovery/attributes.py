"""Attributes: macro-variables of a generator's latents or data, and how they are read.

An attribute comes from labels (a head is trained), from a measuring function, or from a
classifier that you bring. It is read by one function of `(n, *latent)` or `(n, *event)`, which
is what makes it the macro-variable of a node: `Z => A`, or `X => A`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from scm.discovery.heads import Kind, Network, Score, fit_head, refit_head, score_head
from scm.discovery.labels import coded, encoded, require_seen, require_varied
from scm.errors import ScmError, nearest
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.macro import Macro
from scm.mechanisms.types import Real

__all__ = ["Attribute", "Examples"]

Space = Literal["latent", "data"]


@dataclass(frozen=True, eq=False)
class Examples:
    """What a linear latent head was trained on: latents `(n, *latent)` and labels `(n,)`."""

    latents: Tensor
    labels: Tensor
    C: float


@dataclass(frozen=True, eq=False)
class Attribute:
    """An attribute of what a generator makes.

    Attributes:
        name: Its name, also that of its node.
        read: Function of rows of its space: P(1) `(n,)` of two classes, probabilities `(n, K)` of
            more, or a number `(n,)`.
        space: Whether it reads latents or data.
        kind: "binary", "multiclass" or "continuous".
        levels: Names of its classes.
        score: How well it reads held-out rows; None where there were no labels to tell.
        weights: Of a linear latent head, `(d,)`, such that its logit (or number) is
            `weights . z + bias`; None elsewhere.
        bias: See `weights`.
        threshold: Reading above which a unit counts as treated: 1/2, or a number's median.
        examples: What a linear latent head was trained on, for permuted refits.
        refit: The attribute with its head trained on a bootstrap sample, by seed; None where no
            head was trained here.
        notes: What a report should say of it.

    Example:
        >>> z = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
        >>> generator = LatentGenerator(torch.nn.Linear(2, 3), 2, Real((3,)))
        >>> Attribute.from_labels("A", generator, z[:, 0] > 0, latents=z).direction.abs().round()
        tensor([1., 0.])
    """

    name: str
    read: Callable[[Tensor], Tensor]
    space: Space = "data"
    kind: Kind = "continuous"
    levels: tuple[Any, ...] = ()
    score: Score | None = None
    weights: Tensor | None = None
    bias: Tensor | None = None
    threshold: float = 0.5
    examples: Examples | None = None
    refit: Callable[[int], Attribute] | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_labels(
        cls,
        name: str,
        generator: LatentGenerator,
        labels: Tensor,
        *,
        data: Tensor | None = None,
        latents: Tensor | None = None,
        space: Space = "latent",
        head: Network = "linear",
        levels: tuple[Any, ...] = (),
        C: float = 1.0,
        calibrate: bool = True,
        seed: int = 0,
    ) -> Attribute:
        """Train a head on labelled data.

        Args:
            name: Name of the attribute.
            generator: The generator, whose encoder gives the latents of data.
            labels: Integers, truth values, or zeros and ones `(n,)`: classes; other numbers: a
                continuous attribute.
            data: Data `(n, *event)`.
            latents: Latents `(n, *latent)` in place of encoded data.
            space: What the head reads. In data space, data or else generated ones.
            head: "linear", "network", or a module of your own.
            levels: Names of the classes.
            C: Inverse strength of a linear head's penalty, scikit-learn's.
            calibrate: Whether to calibrate the head on rows set aside.
            seed: Seed of the split and of training.

        Raises:
            ScmError: If the labels do not match, are constant, or have fewer than 30 rows in a
                class; the reconstructions of encoded data miss altogether, or their latents lie
                outside the prior; or the head reads held-out rows no better than a constant.

        Source: CAGE, section 3.2, step 1.
        """
        if (data is None) == (latents is None) and not (space == "data" and data is not None):
            raise ScmError(f"the labels of {name!r} need data= or latents=, one of them")
        notes: tuple[str, ...] = ()
        if space == "latent" and latents is None:
            assert data is not None
            latents, notes = encoded(name, generator, data)
        rows = latents if space == "latent" else data
        if rows is None:
            assert latents is not None
            rows = generator.generate(latents)
        labels, kind, known = coded(name, labels, levels)
        if len(labels) != len(rows):
            raise ScmError(f"{len(labels)} labels of {name!r} were given for {len(rows)} rows")
        require_varied(name, labels, kind, known)
        untrained = copy.deepcopy(head)
        fitted, score, used = fit_head(
            rows, labels, kind, head, C=C, calibrate=calibrate, seed=seed
        )
        require_seen(name, score)
        made = cls(name, fitted, space, kind, known, score, notes=notes)
        if kind == "continuous":
            made = replace(made, threshold=float(labels.median()))
        plain = made

        def refit(seed: int) -> Attribute:
            again = refit_head(fitted, rows[used], labels[used], untrained, C=C, seed=seed)
            return replace(plain, read=again)

        made = replace(made, refit=refit)
        line = fitted.linear
        if space == "latent" and line is not None:
            examples = Examples(rows[used], labels[used], C)
            made = replace(made, weights=line[0], bias=line[1], examples=examples)
        return made

    @classmethod
    def from_measure(
        cls, name: str, measure: Callable[[Tensor], Tensor], threshold: float | None = None
    ) -> Attribute:
        """A number that a function measures in data `(n, *event)`, such as those of `measures`.

        Args:
            name: Name of the attribute.
            measure: Function of data `(n, *event)` to `(n,)`.
            threshold: Where it is cut in two, for `binary()`.

        Example:
            >>> from scm.discovery.measures import ink
            >>> Attribute.from_measure("ink", ink, threshold=0.1).binary().kind
            'binary'
        """
        return cls(name, measure, threshold=float("nan") if threshold is None else threshold)

    @classmethod
    def from_classifier(
        cls,
        name: str,
        classifier: Callable[[Tensor], Tensor],
        classes: int = 2,
        *,
        space: Space = "data",
        levels: tuple[Any, ...] = (),
        data: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Attribute:
        """A classifier of your own.

        Args:
            name: Name of the attribute.
            classifier: Logits `(n,)` or `(n, 1)` of two classes, `(n, classes)` of any number.
            classes: Number of classes.
            space: What it takes.
            levels: Names of the classes.
            data: Rows it was not trained on, to score it.
            labels: Their classes.

        Raises:
            ScmError: If it reads them no better than a constant.
        """

        def read(rows: Tensor) -> Tensor:
            logits = classifier(rows)
            if classes == 2:
                two = logits.ndim == 2 and logits.shape[1] == 2
                logit = logits[:, 1] - logits[:, 0] if two else logits.reshape(len(rows))
                return logit.sigmoid()
            return logits.softmax(-1)

        kind: Kind = "binary" if classes == 2 else "multiclass"
        names = levels or tuple(range(classes))
        score = None
        if data is not None and labels is not None:
            codes = labels.long()
            require_varied(name, codes, kind, names)
            score = score_head(read, kind, data, codes, codes)
            require_seen(name, score)
        return cls(name, read, space, kind, names, score)

    @property
    def trained(self) -> bool:
        """Whether a head reads it, and not a measuring function."""
        return self.score is not None or self.refit is not None or self.kind != "continuous"

    @property
    def line(self) -> tuple[Tensor, Tensor]:
        """Weights `(d,)` and bias `()` of a linear latent head.

        Raises:
            ScmError: If the attribute is no linear latent head.
        """
        if self.weights is None or self.bias is None:
            raise ScmError(
                f"{self.name!r} is no linear head of the latent, so it has no direction to move "
                f"along; {self.name}.in_latent(generator) trains one on generated samples"
            )
        return self.weights, self.bias

    @property
    def direction(self) -> Tensor:
        """Unit normal `(d,)` of a linear latent head; errors as in `line`."""
        weights, _ = self.line
        unit: Tensor = weights / weights.norm()
        return unit

    def treated(self, readings: Tensor) -> Tensor:
        """Whether readings `(n,)` are above the threshold, `1[phi > 1/2]`.

        Source: CAGE, section 3.2, step 2, where "phi > 0" of a probability means 1/2.
        """
        return readings > self.threshold

    def level(self, level: Any) -> Attribute:
        """One class against the rest, as a binary attribute.

        Raises:
            ScmError: If there is no such class.
        """
        if self.kind != "multiclass" or level not in self.levels:
            raise ScmError(f"{self.name!r} has no class {level!r}; {nearest(level, self.levels)}")
        k, read, refit = self.levels.index(level), self.read, self.refit
        return Attribute(
            f"{self.name}={level}",
            lambda rows: read(rows)[:, k],
            self.space,
            "binary",
            (False, True),
            self.score,
            refit=None if refit is None else lambda seed: refit(seed).level(level),
            notes=(*self.notes, f"one of {len(self.levels)} classes, which the score is of"),
        )

    def binary(self) -> Attribute:
        """Whether a number is above its threshold, as a binary attribute.

        Raises:
            ScmError: If the attribute is no number, or has no threshold.
        """
        if self.kind != "continuous" or self.threshold != self.threshold:
            raise ScmError(f"{self.name!r} is {self.kind}, or has no threshold to be cut at")
        read, cut = self.read, self.threshold

        def above(rows: Tensor) -> Tensor:
            return (read(rows) > cut).to(rows)

        return Attribute(self.name, above, self.space, "binary", (False, True))

    def in_latent(
        self, generator: LatentGenerator, n: int = 5000, C: float = 1.0, seed: int = 0
    ) -> Attribute:
        """The attribute as a linear head of the latent, trained on what it reads in samples.

        Args:
            generator: The generator.
            n: Samples of its prior.
            C: Inverse strength of the penalty.
            seed: Seed of the samples and of the split.

        Raises:
            ScmError: As in `from_labels`.
        """
        if self.weights is not None:
            return self
        return self._learned(generator, n, seed, space="latent", C=C)

    def in_data(
        self, generator: LatentGenerator, n: int = 3000, head: Network = "network", seed: int = 0
    ) -> Attribute:
        """The attribute as a head of the data, trained on what it reads in samples.

        An audit moves units along gradients, which a measure such as `thickness`, or a threshold,
        does not have.

        Args:
            generator: The generator.
            n: Samples of its prior.
            head: "linear", "network", or a module of your own.
            seed: Seed of the samples, of the split and of training.

        Raises:
            ScmError: As in `from_labels`.

        Example:
            >>> generator = LatentGenerator(lambda z: 2 * z, 2, Real((2,)))
            >>> rounded = Attribute.from_measure("a", lambda x: (9 * x[:, 0]).round() / 9)
            >>> rounded.in_data(generator, head="linear").score.explained > 0.95
            True
        """
        return self._learned(generator, n, seed, space="data", head=head)

    def _learned(self, generator: LatentGenerator, n: int, seed: int, **options: Any) -> Attribute:
        """A head trained on what the attribute reads in samples."""
        latents = generator.draw(n, seed)
        with torch.no_grad():
            found = self.read(latents if self.space == "latent" else generator.generate(latents))
        if self.kind == "multiclass":
            raise ScmError(f"{self.name!r} has {len(self.levels)} classes; choose one: .level(...)")
        labels = self.treated(found).long() if self.kind == "binary" else found
        return Attribute.from_labels(
            self.name, generator, labels, latents=latents, levels=self.levels, seed=seed, **options
        )

    def macro(self) -> Macro:
        """The macro-variable of its node, `Z => A` or `X => A`; it can only be read."""
        kind = Real((len(self.levels),)) if self.kind == "multiclass" else Real()
        return Macro(self.read, type=kind)
