"""Interventions carried over to natural images, whose latents nobody knows, by style transfer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from scm.errors import ScmError, nearest
from scm.interventions.lbfgs import minimise
from scm.learning.perceptual import VGGFeatures, gram
from scm.progress import progress_bar
from scm.vision import torchvision

__all__ = ["StyleTransfer", "discrepancy", "matching", "vgg19_features"]

Kernel = Literal["polynomial", "linear"]
Matching = Literal["independent", "same", "other"]
Features = Callable[[Tensor], Sequence[Tensor]]

_CONVOLUTIONS = (0, 2, 5, 7, 10)  # the first five of VGG19, as places in its `features`


@dataclass(frozen=True)
class StyleTransfer:
    r"""Natural images with the nuisances of generated ones, by neural style transfer.

    From the natural image :math:`x_0` itself, x goes so many steps down

    .. math:: \operatorname{mean} (f_c(x) - f_c(x_0))^2 + w \sum_l \frac{1}{c_l^4}
        \operatorname{MMD}^2(f_l(x), f_l(g))

    where the first term keeps the category (the *matching loss*), and the second, the maximum mean
    discrepancy between the features of all places of x and of the generated image g, carries
    over what the intervention did to background and texture. With the polynomial kernel it is
    the mean squared difference of Gram matrices. The number of steps is the strength.

    Each image is a problem of its own: a batch gives what its images one by one give, up to
    rounding.

    Args:
        network: From images `(n, 3, h, w)` to features by layer, `(n, c_l, h_l, w_l)`, such as
            `vgg19_features()`.
        content: Which of the layers is matched; the paper's is the fourth.
        style_weight: w.
        kernel: "polynomial", `(a . b)^2`, or "linear", `a . b` (of which the weight is 1 / c_l).
        optimiser: "lbfgs" (the paper's) or "adam".
        lr: Rate of Adam, in units of the pixels' range.
        range: Lowest and highest value of a pixel; x stays between them.

    Raises:
        ScmError: If a setting is unknown or out of its range.

    Source: Mao et al. (2021), sections 4.3 and 12.C; Gatys, Ecker and Bethge (2016); Li, Wang,
    Liu and Hou (2017), for the discrepancy.

    Example:
        >>> transfer = StyleTransfer(lambda images: [images] * 4, optimiser="adam")
        >>> natural, generated = torch.full((2, 3, 8, 8), 0.5), torch.ones(2, 3, 8, 8)
        >>> transfer(natural, generated, steps=5).mean() > 0.6
        tensor(True)
    """

    network: Features
    content: int = 3
    style_weight: float = 1e6
    kernel: Kernel = "polynomial"
    optimiser: Literal["lbfgs", "adam"] = "lbfgs"
    lr: float = 0.02
    range: tuple[float, float] = (-1.0, 1.0)

    def __post_init__(self) -> None:
        if self.optimiser not in ("lbfgs", "adam"):
            raise ScmError(f"optimiser={self.optimiser!r} was given; expected 'lbfgs' or 'adam'")
        _embedding(self.kernel)
        low, high = self.range
        if not (self.style_weight >= 0 and self.lr > 0 and low < high):
            raise ScmError(
                f"style_weight={self.style_weight}, lr={self.lr} and range={self.range} were "
                "given; expected a weight of 0 or more, a positive rate, and the darkest pixel "
                "before the brightest"
            )

    def __call__(
        self,
        natural: Tensor,
        generated: Tensor,
        *,
        steps: int | tuple[int, int] = (20, 70),
        batch: int = 64,
        seed: int = 0,
        progress: bool = True,
    ) -> Tensor:
        """Return the natural images after the transfer; their labels stay theirs.

        Args:
            natural: Images `(n, 3, h, w)`.
            generated: For each, the image that it takes its nuisances from, `(n, 3, h', w')`;
                `matching` chooses.
            steps: Number of steps, one for all, or the ends of a range from which each image's is
                drawn uniformly.
            batch: Images at a time.
            seed: Seed of the numbers of steps.
            progress: Show a progress bar, on a terminal or in a notebook.

        Raises:
            ScmError: If images do not match or leave the range, the network does not return
                features by layer, or steps are no numbers above 0.
        """
        budgets = _budgets(steps, len(natural), seed)
        self._check(natural, generated, batch)
        found = torch.empty_like(natural)
        parts = torch.arange(len(natural)).split(batch)
        with progress_bar("transfer", len(parts), "batches", progress) as advance:
            for rows in parts:
                found[rows] = self._transfer(natural[rows], generated[rows], budgets[rows])
                advance()
        return found

    def terms(self, images: Tensor, natural: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
        """Matching loss and discrepancy of each image, `(n,)` twice; w weighs the second."""
        return self._terms(self._features(images), *self._targets(natural, generated))

    def _transfer(self, natural: Tensor, generated: Tensor, budgets: Tensor) -> Tensor:
        low, high = self.range
        with torch.no_grad():
            content, styles = self._targets(natural, generated)

        def function(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                point = x.detach().requires_grad_()
                images = low + (high - low) * point.view(-1, *natural.shape[1:])
                matched, differ = self._terms(
                    self._features(images), content[rows], [style[rows] for style in styles]
                )
                values = matched + self.style_weight * differ
                (gradient,) = torch.autograd.grad(values.sum(), point)
            return values.detach(), gradient

        start = ((natural - low) / (high - low)).flatten(1)
        budgets = budgets.to(start.device)
        if self.optimiser == "lbfgs":
            limits: dict[str, Any] = {"evaluations": budgets + 1, "tolerance": 0.0}
            found = minimise(function, start, start, memory=10, **limits)
        else:
            found = _adam(function, start, budgets, self.lr)
        return low + (high - low) * found.view_as(natural)

    def _targets(self, natural: Tensor, generated: Tensor) -> tuple[Tensor, list[Tensor]]:
        embed = _embedding(self.kernel)
        styles = [embed(f) for f in self._features(generated)]
        return self._features(natural)[self.content], styles

    def _terms(
        self, features: Sequence[Tensor], content: Tensor, styles: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        embed = _embedding(self.kernel)
        matched = (features[self.content] - content).square().flatten(1).mean(1)
        each = [
            (embed(f) - style).square().flatten(1).mean(1)
            for f, style in zip(features, styles, strict=True)
        ]
        return matched, torch.stack(each).sum(0)

    def _features(self, images: Tensor) -> Sequence[Tensor]:
        features = self.network(images)
        if (
            isinstance(features, Tensor)
            or not all(isinstance(f, Tensor) and f.ndim == 4 for f in features)
            or not -len(features) <= self.content < len(features)
        ):
            raise ScmError(
                f"{type(self.network).__name__} gave {_shapes(features)} for images "
                f"{tuple(images.shape)}; expected a list of features (n, channels, h, w), of which "
                f"number content={self.content} is matched"
            )
        return features

    def _check(self, natural: Tensor, generated: Tensor, batch: int) -> None:
        if natural.ndim != 4 or natural.shape[:2] != generated.shape[:2] or batch < 1:
            raise ScmError(
                f"natural images {tuple(natural.shape)}, generated ones {tuple(generated.shape)} "
                f"and batch={batch} were given; expected (n, 3, h, w) twice, one generated image "
                "for each natural one (matching() chooses), and batches of 1 or more"
            )
        low, high = self.range
        for name, images in (("natural", natural), ("generated", generated)):
            if len(images) and not (low <= float(images.min()) <= float(images.max()) <= high):
                raise ScmError(
                    f"{name} images have pixels from {float(images.min()):.3g} to "
                    f"{float(images.max()):.3g}, outside of range={self.range}; give the range of "
                    "their pixels, or clamp them"
                )


def discrepancy(first: Tensor, second: Tensor, kernel: Kernel = "polynomial") -> Tensor:
    r"""Squared maximum mean discrepancy between the features of two images' places.

    :math:`\operatorname{MMD}^2 = \operatorname{mean}_{pq} [k(f_p, f_q) + k(g_p, g_q) - 2 k(f_p,
    g_q)]`, which for these kernels is the squared distance of mean embeddings: of the features
    ("linear"), or of their outer products ("polynomial"), hence Gram matrices.

    Args:
        first: Features `(n, c, h, w)`.
        second: Features `(n, c, h', w')`.
        kernel: "polynomial", `k(a, b) = (a . b)^2`, or "linear", `a . b`.

    Returns:
        Squares `(n,)`, 0 or more.

    Raises:
        ScmError: If there is no such kernel.

    Source: Li, Wang, Liu and Hou (2017), "Demystifying Neural Style Transfer", equations 7 to 9.

    Example:
        >>> discrepancy(torch.ones(1, 2, 4, 4), torch.zeros(1, 2, 4, 4))
        tensor([4.])
    """
    embed, channels = _embedding(kernel), first.shape[1]
    scale = channels**2 if kernel == "polynomial" else 1
    return scale * (embed(first) - embed(second)).square().flatten(1).sum(1)


def matching(
    labels: Tensor, of_generated: Tensor, how: Matching = "independent", seed: int = 0
) -> Tensor:
    """Choose the generated image that each natural one takes its nuisances from, with replacement.

    Only "independent" makes what is transferred independent of the label.

    Args:
        labels: Classes `(n,)` of the natural images.
        of_generated: Classes `(m,)` of the generated ones.
        how: "independent", any of them; "same", one of the same class; "other", of another.
        seed: The seed.

    Returns:
        Rows of the generated images, `(n,)`.

    Raises:
        ScmError: If a natural image has none to choose from.

    Example:
        >>> matching(torch.tensor([0, 1, 1]), torch.tensor([1, 0]), "same")
        tensor([1, 0, 0])
    """
    if how not in get_args(Matching):
        raise ScmError(f"matching(how={how!r}) was asked for; {nearest(how, get_args(Matching))}")
    generator = torch.Generator().manual_seed(seed)
    chances = torch.rand(len(labels), generator=generator, dtype=torch.float64)
    found = torch.empty(len(labels), dtype=torch.int64)
    own, theirs = labels.cpu(), of_generated.cpu()
    for label in own.unique():
        allowed = {"same": theirs == label, "other": theirs != label}.get(how, theirs == theirs)
        rows = allowed.nonzero()[:, 0]
        if not len(rows):
            raise ScmError(
                f"no generated image may be matched with the natural ones of class {int(label)} "
                f"(how={how!r}); generate images of {'this' if how == 'same' else 'other'} "
                "class, or match independently"
            )
        mine = own == label
        found[mine] = rows[(chances[mine] * len(rows)).long()]
    return found.to(labels.device)


def vgg19_features(
    weights: str | Path | None = None, range: tuple[float, float] = (-1.0, 1.0)
) -> VGGFeatures:
    """VGG19's features at its first five convolutions, the paper's for style and content.

    Args:
        weights: File of torchvision's state dict; by default the one in torch's cache.
        range: Lowest and highest value of a pixel.

    Raises:
        ScmError: If the file is not there (which one, where from, where to put it), or torchvision
            is missing.

    Source: Mao et al. (2021), section 12.C; the convolutions as in PyTorch's tutorial.

    Example:
        >>> vgg19_features("nowhere.pth")
        Traceback (most recent call last):
        scm.errors.ScmError: VGG19's weights are not at nowhere.pth...
    """
    published: Any = torchvision("models").VGG19_Weights.IMAGENET1K_V1
    file = published.url.rsplit("/", 1)[1]
    path = Path(torch.hub.get_dir(), "checkpoints", file) if weights is None else Path(weights)
    if not path.is_file():
        raise ScmError(
            f"VGG19's weights are not at {path}. Download {file} from {published.url}; put it "
            "there, or give its path as weights="
        )
    return VGGFeatures("vgg19", _CONVOLUTIONS, path, range)


def _adam(
    function: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    start: Tensor,
    budgets: Tensor,
    lr: float,
) -> Tensor:
    """So many steps of Adam for each row, within [0, 1]."""
    x, found = start.clone().requires_grad_(), start.clone()
    optimiser = torch.optim.Adam([x], lr)
    for step in range(int(budgets.max())):
        rows = (budgets > step).nonzero()[:, 0]
        _, gradient = function(x.detach()[rows], rows)
        x.grad = torch.zeros_like(start).index_copy(0, rows, gradient)
        optimiser.step()
        x.data.clamp_(0, 1)
        found[rows] = x.detach()[rows]
    return found


def _embedding(kernel: str) -> Callable[[Tensor], Tensor]:
    """What the squared distance of two images is taken of: proportional to the mean embedding."""
    known: dict[str, Callable[[Tensor], Tensor]] = {
        "polynomial": gram,
        "linear": lambda features: features.mean((2, 3)),
    }
    if kernel not in known:
        raise ScmError(f"kernel={kernel!r} was given; {nearest(kernel, known)}")
    return known[kernel]


def _budgets(steps: int | tuple[int, int], n: int, seed: int) -> Tensor:
    low, high = (steps, steps) if isinstance(steps, int) else steps
    if not 1 <= low <= high:
        raise ScmError(f"steps={steps!r} was given; expected a number above 0, or a range of such")
    return torch.randint(low, high + 1, (n,), generator=torch.Generator().manual_seed(seed))


def _shapes(features: Any) -> str:
    if isinstance(features, Tensor):
        return f"one tensor {tuple(features.shape)}"
    return str([tuple(getattr(f, "shape", ())) for f in features])
