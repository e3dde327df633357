r"""log P(x | z): how likely an intervention makes a generator's images, at real ones.

GenInt measures an intervention strategy z by it (section 9): the larger :math:`P(x \mid z)`, the
narrower the interval for the effect of :math:`x`, whose width is :math:`1 - P(x \mid z)`
(`scm.estimators.natural_bounds`). Real images :math:`x_i` are compared with generated ones
:math:`x'_j` by features, and :math:`P(x_i \mid x'_j)` comes from "the cross-entropy loss of the
CNN features after normalization",

.. math:: \log P(x_i \mid x'_j) = \sum_d p_d(x_i) \log p_d(x'_j), \qquad
    p(x) = \mathrm{softmax}(\varphi(x)).

The paper sums over j in two ways, and sets :math:`P(x'_j \mid z) = 1`. Both are here:

- ``"log of sums"``: :math:`\log P(x_i \mid z) = \log \sum_j w\, P(x_i \mid x'_j)` (section 9),
- ``"sum of logs"``: :math:`\sum_j w \log P(x_i \mid x'_j)` (section 5.4),

with :math:`w = 1/N` for N generated images (a density, comparable between strategies of
different N), or the paper's :math:`w = 1`.

Cross-entropy is no density of features: generated images of flat features, such as blurred ones,
score well at every real one. `gaussian_similarity` of whitened features (`Whitening`), with Scott's
width, is the textbook's estimate of one.

Which real images are asked about matters: if their nuisances are confounded with their labels
as in the training data, the weakest intervention may score best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from scm.errors import ScmError
from scm.estimate import Estimate

__all__ = [
    "cross_entropy_similarity",
    "gaussian_similarity",
    "log_densities",
    "log_density",
    "scott_width",
]

Form = Literal["log of sums", "sum of logs"]
Weight = Literal["1/N", "1"]


def cross_entropy_similarity(real: Tensor, generated: Tensor) -> Tensor:
    """Return ``log P(x_i | x'_j) = sum_d softmax(real_i)_d log softmax(generated_j)_d``.

    Args:
        real: features ``(n, d)``.
        generated: features ``(m, d)``.

    Returns:
        ``(n, m)``; none is above minus the entropy of ``softmax(real_i)``.

    Example:
        >>> cross_entropy_similarity(torch.zeros(1, 4), torch.zeros(1, 4))
        tensor([[-1.3863]])
    """
    return real.softmax(-1) @ generated.log_softmax(-1).T


def gaussian_similarity(width: float) -> Callable[[Tensor, Tensor], Tensor]:
    r"""Return the kernel ``log P(x_i | x'_j) = log N(phi(x_i); phi(x'_j), width^2 I)``.

    With it, `log_densities` is the logarithm of a kernel density estimate of the features.

    Args:
        width: the kernel's standard deviation, in units of the features; `scott_width` knows one
            for whitened features.

    Returns:
        A function of features ``(n, d)`` and ``(m, d)`` to ``(n, m)``.

    Raises:
        ScmError: if the width is not positive.

    References:
        Parzen (1962), On estimation of a probability density function and mode.

    Example:
        >>> gaussian_similarity(1.0)(torch.zeros(1, 2), torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
        tensor([[ -1.8379, -14.3379]])
    """
    if not width > 0:
        raise ScmError(f"width={width} was given; expected a positive standard deviation")

    def similarity(real: Tensor, generated: Tensor) -> Tensor:
        squares = torch.cdist(real, generated).square()
        constant = real.shape[1] * math.log(width * math.sqrt(2 * math.pi))
        return -squares / (2 * width**2) - constant

    return similarity


def scott_width(n: int, d: int) -> float:
    """Return Scott's width of a kernel for n points of d whitened features, ``n^(-1 / (d + 4))``.

    References:
        Scott (1992), Multivariate density estimation, section 6.3.

    Raises:
        ScmError: If there is no point or no feature.

    Example:
        >>> round(scott_width(2_000, 64), 3)
        0.894
    """
    if n < 1 or d < 1:
        raise ScmError(f"n={n}, d={d} were given; expected at least one point and one feature")
    return float(n ** (-1 / (d + 4)))


def log_density(
    real: Tensor | Iterable[Tensor],
    generated: Tensor | Iterable[Tensor],
    features: Callable[[Tensor], Tensor] | None = None,
    **options: Any,
) -> Estimate:
    """Return the mean over real images of log P(x_i | z), with its standard error.

    The paper's figures are such means (its formulas, sums over i: ``value * n``). The standard
    error is over real images; the generated ones are taken as given.

    Args:
        real: images ``(n, *event)``, or batches of them.
        generated: images ``(N, *event)`` made under z, or batches.
        features: as in `log_densities`.
        **options: the other arguments of `log_densities`.

    Raises:
        ScmError: as `log_densities`.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x, near, far = (torch.randn(50, 8, generator=g) for _ in range(3))
        >>> log_density(x, x + 0.1 * near).value > log_density(x, 3 * far).value
        True
    """
    return Estimate.mean(log_densities(real, generated, features, **options))


def log_densities(
    real: Tensor | Iterable[Tensor],
    generated: Tensor | Iterable[Tensor],
    features: Callable[[Tensor], Tensor] | None = None,
    *,
    form: Form = "log of sums",
    weight: Weight = "1/N",
    nearest: int | None = None,
    similarity: Callable[[Tensor, Tensor], Tensor] = cross_entropy_similarity,
    batch: int = 256,
    device: str | torch.device | None = None,
) -> Tensor:
    r"""Return log P(x_i | z) for each real image.

    Features are computed once, ``batch`` images at a time, and kept (``n + N`` rows); similarities
    never take more than ``batch x batch`` numbers.

    Args:
        real: images ``(n, *event)``, or an iterable of batches of them.
        generated: images ``(N, *event)`` made under the intervention z, or an iterable of batches.
        features: the feature extractor: a batch of images to ``(batch, d)``, such as a network
            without its last layer. By default ``real`` and ``generated`` are features.
        form: ``"log of sums"`` or ``"sum of logs"``, as in the module's description.
        weight: ``"1/N"``, or the paper's ``"1"``.
        nearest: sum over the k most similar generated images of each real one alone (the paper:
            "we approximate the marginalization of x'_j from generated dataset which is nearest
            to the query image"); over all by default. With ``"sum of logs"``, ``"1/N"`` is 1/k.
        similarity: features ``(a, d), (b, d)`` to log P(x_i | x'_j) ``(a, b)``.
        batch: how many images are taken at a time.
        device: where to compute; by default, where the images are.

    Returns:
        ``(n,)``, on the device.

    Raises:
        ScmError: if there are no images, features do not match or are not finite, the extractor
            is in training mode, or an option is unknown.

    References:
        Mao et al. (2021), Generative interventions for causal learning, sections 5.4 and 9.A.

    Example:
        >>> real, generated = torch.eye(2), torch.eye(2)
        >>> log_densities(real, generated, nearest=1, weight="1")
        tensor([-0.5823, -0.5823])
        >>> log_densities(real, generated)
        tensor([-0.7868, -0.7868])
    """
    if form not in ("log of sums", "sum of logs") or weight not in ("1/N", "1"):
        raise ScmError(
            f"form={form!r}, weight={weight!r} were given; expected 'log of sums' or 'sum of "
            "logs', and '1/N' or '1'"
        )
    if batch < 1 or (nearest is not None and nearest < 1):
        raise ScmError(f"batch={batch}, nearest={nearest} were given; expected 1 or more")
    if isinstance(features, torch.nn.Module) and features.training:
        raise ScmError(
            "the feature extractor is in training mode, where an image's features depend on the "
            "others in its batch or on chance; call .eval() first"
        )
    with torch.no_grad():
        x = _features(real, features, batch, device, "real")
        made = _features(generated, features, batch, device, "generated")
        if x.shape[1:] != made.shape[1:]:
            raise ScmError(
                f"real features have shape {tuple(x.shape)} and generated ones "
                f"{tuple(made.shape)}; they must have as many dimensions"
            )
        if nearest is not None and nearest > len(made):
            raise ScmError(f"nearest={nearest}, but only {len(made)} images were generated")
        rows = [_row(part, made, form, nearest, similarity, batch) for part in x.split(batch)]
        values = torch.cat(rows)
    if weight == "1":
        return values
    if form == "log of sums":
        return values - math.log(len(made))
    return values / (len(made) if nearest is None else nearest)


def _row(
    x: Tensor,
    made: Tensor,
    form: Form,
    nearest: int | None,
    similarity: Callable[[Tensor, Tensor], Tensor],
    batch: int,
) -> Tensor:
    """Sum over the generated images, a batch at a time, with weight 1."""
    parts: Iterator[Tensor] = (similarity(x, part) for part in made.split(batch))
    if nearest is not None:
        best = next(parts).topk(min(nearest, batch, len(made)), dim=1).values
        for part in parts:
            both = torch.cat([best, part], 1)
            best = both.topk(min(nearest, both.shape[1]), dim=1).values
        parts = iter([best])
    total = None
    for part in parts:
        new = part.logsumexp(1) if form == "log of sums" else part.sum(1)
        if total is None:
            total = new
        else:
            total = torch.logaddexp(total, new) if form == "log of sums" else total + new
    assert total is not None
    return total


def _features(
    images: Tensor | Iterable[Tensor],
    features: Callable[[Tensor], Tensor] | None,
    batch: int,
    device: str | torch.device | None,
    role: str,
) -> Tensor:
    found = []
    for part in _batches(images, batch):
        part = part if device is None else part.to(device)
        made = part if features is None else features(part)
        if made.ndim != 2 or len(made) != len(part):
            raise ScmError(
                f"the features of {len(part)} {role} images have shape {tuple(made.shape)}; "
                "expected one row for each image: (n, d). Flatten them, or pass features="
            )
        if not made.is_floating_point() or not bool(made.isfinite().all()):
            raise ScmError(
                f"the features of {role} images must be finite numbers of floating point"
            )
        found.append(made)
    if not found:
        raise ScmError(f"there are no {role} images")
    return torch.cat(found)


def _batches(images: Tensor | Iterable[Tensor], batch: int) -> Iterator[Tensor]:
    for part in (images,) if isinstance(images, Tensor) else images:
        if len(part):
            yield from part.split(batch)
