r"""Observational classes of images, learned: images of one class share :math:`P(T \mid I)`.

A network estimates P(T | I) from images and outcomes, held out: each image is predicted by a
network that did not see it. The predictions are clustered by k-means (exactly where T is
binary, since they are then numbers), and the number of classes is the one with the best
Bayesian information criterion of the *outcomes* given the classes,

.. math:: -2 \sum_n \log \hat P(t_n \mid k_n) + [K (L - 1) + K - 1] \log N,

for K classes, L levels of T and N images: the parameters are the K laws of T and the K - 1
borders between the classes. Held-out predictions know nothing of their own outcome, so that a
cluster too many gains no likelihood but what chance gives it. Where the network is not sure
of a feature, though, its images lie between two classes, and may be found to be a class of
their own; experiments then merge it with one of them, or with both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.learning.classifier import train_classifier
from scm.learning.evaluation import probabilities
from scm.learning.networks import SmallCNN

__all__ = [
    "NetworkFactory",
    "ObservationalClasses",
    "as_levels",
    "check_edges",
    "check_images",
    "observational_classes",
    "quantile_edges",
]

NetworkFactory = Callable[[int, int], nn.Module]


@dataclass(frozen=True, eq=False)
class ObservationalClasses:
    """Classes 0, ..., K - 1 of images, in the order of the mean level of T.

    Attributes:
        labels: Class of each training image `(n,)`, from its held-out prediction.
        heldout: Held-out predictions of `P(T | I)`, `(n, levels)`.
        centres: Mean prediction in each class, `(K, levels)`.
        chances: Share of each outcome in each class, `(K, levels)`.
        scores: Bayesian information criterion by number of classes; smaller is better.
        networks: The networks, one for each fold.
        shape: Shape of an image.
    """

    labels: Tensor
    heldout: Tensor
    centres: Tensor
    chances: Tensor
    scores: dict[int, float]
    networks: list[nn.Module]
    shape: tuple[int, ...]

    def __len__(self) -> int:
        """Number of classes."""
        return len(self.centres)

    def probabilities(self, images: Tensor) -> Tensor:
        """`P(T | I)` of images, `(n, levels)` in float64: the mean over the networks.

        Raises:
            ScmError: If the images have another shape than those that were learned from, or are
                not finite floats.
        """
        check_images(images, self.shape)
        return torch.stack([probabilities(net, images) for net in self.networks]).double().mean(0)

    def predict(self, images: Tensor) -> Tensor:
        """Class of each image `(n,)`: the one whose centre is nearest to its P(T | I)."""
        return nearest_centre(self.probabilities(images), self.centres)


def observational_classes(
    images: Tensor,
    outcomes: Tensor,
    *,
    levels: int = 2,
    classes: int | None = None,
    most: int = 8,
    folds: int = 2,
    network: NetworkFactory | None = None,
    steps: int = 300,
    seed: int = 0,
    progress: bool = True,
) -> ObservationalClasses:
    r"""Group images by an estimate of :math:`P(T \mid I)`.

    Args:
        images: Images `(n, channels, height, width)`.
        outcomes: Levels 0, ..., levels - 1 of T, `(n,)` int64.
        levels: Number of levels of T.
        classes: Number of classes; None for that of the best criterion, see above.
        most: Largest number of classes that is tried.
        folds: Number of networks; each predicts a share of the images and learns the others.
        network: Makes a network from the number of its outputs and a seed; by default a
            `SmallCNN`.
        steps: Steps of training of each network.
        seed: Seed of the folds, the networks and the clustering.
        progress: Show a progress bar.

    Raises:
        ScmError: If images and outcomes do not match, or an argument is out of its range.

    Source: Chalupka, Perona and Eberhardt (2015), definition 1.

    Example:
        >>> mixed = torch.Generator().manual_seed(0)
        >>> light = torch.randint(2, (1000, 1, 1, 1), generator=mixed)
        >>> images = 0.5 * light + 0.5 * torch.rand(1000, 1, 4, 4, generator=mixed)
        >>> outcomes = torch.bernoulli(0.2 + 0.6 * light.flatten(), generator=mixed).long()
        >>> found = observational_classes(images, outcomes, steps=60, progress=False)
        >>> len(found)
        2
    """
    _check(images, outcomes, levels, folds, most if classes is None else classes)
    generator = torch.Generator().manual_seed(seed)
    fold = _folds(outcomes, folds, generator)
    make = network or default_network(images)
    heldout = torch.zeros(len(images), levels, dtype=torch.float64, device=images.device)
    networks = []
    for k in range(folds):
        net = make(levels, seed + k).to(images.device)
        learns, title = fold != k, f"P(T | I), fold {k + 1} of {folds}"
        networks.append(
            train_classifier(
                images[learns],
                outcomes[learns],
                model=net,
                steps=steps,
                seed=seed + k,
                progress=progress,
                title=title,
            )
        )
        found = probabilities(net, images[fold == k])
        if found.shape[1:] != (levels,):
            raise ScmError(
                f"network({levels}, seed) made a network with outputs {tuple(found.shape)}; "
                f"expected logits (n, {levels})"
            )
        heldout[fold == k] = found.double()
    tried = range(1, most + 1) if classes is None else [classes]
    labels = {k: cluster(heldout, k, seed) for k in tried}
    scores = {k: _criterion(labels[k], outcomes, levels) for k in tried}
    best = labels[min(scores, key=scores.__getitem__)]
    centres, chances = _means(heldout, best), _means(nn.functional.one_hot(outcomes, levels), best)
    order = (centres @ torch.arange(levels).to(centres)).argsort()
    return ObservationalClasses(
        order.argsort()[best],
        heldout,
        centres[order],
        chances[order],
        scores,
        networks,
        tuple(images.shape[1:]),
    )


def quantile_edges(outcomes: Tensor, bins: int) -> Tensor:
    """Where to bin a continuous T so that each bin holds as many outcomes, `(bins - 1,)`.

    Bin k holds the values v with `edges[k - 1] < v <= edges[k]`.

    Raises:
        ScmError: If there are fewer than 2 bins, an outcome is not finite, or so many are equal
            that a bin is empty.

    Example:
        >>> quantile_edges(torch.tensor([1.0, 2.0, 3.0, 4.0]), bins=2)
        tensor([2.5000], dtype=torch.float64)
    """
    if bins < 2 or not len(outcomes):
        raise ScmError(f"{bins} bins of {len(outcomes)} outcomes were asked for; give 2 or more")
    _require_finite(outcomes)
    shares = torch.arange(1, bins, dtype=torch.float64, device=outcomes.device) / bins
    edges = outcomes.double().quantile(shares)
    if not (edges.diff() > 0).all() or edges[-1] >= outcomes.max():
        raise ScmError(
            f"outcomes cannot be cut into {bins} bins of equal size, too many are equal (edges "
            f"{[round(e, 4) for e in edges.tolist()]}); take fewer bins, or give levels"
        )
    return edges


def check_edges(edges: Sequence[float] | Tensor) -> Tensor:
    """Edges `(bins - 1,)` in float64.

    Raises:
        ScmError: If they are not finite numbers in ascending order.
    """
    cut = torch.as_tensor(edges, dtype=torch.float64)
    if cut.ndim != 1 or not len(cut) or not (cut.isfinite().all() and (cut.diff() > 0).all()):
        raise ScmError(
            f"edges={edges!r:.100} were given; expected finite numbers in ascending order, where "
            "to cut T: quantile_edges(outcomes, bins=4)"
        )
    return cut


def as_levels(outcomes: Tensor, edges: Sequence[float] | Tensor | None) -> Tensor:
    """Outcomes as levels: of a continuous T, the numbers of their bins, see `quantile_edges`.

    Raises:
        ScmError: If outcomes are fractions and there are no edges, or negative levels, or not
            finite.
    """
    if edges is not None:
        _require_finite(outcomes)
        return torch.bucketize(outcomes.double(), check_edges(edges).to(outcomes.device))
    if outcomes.is_floating_point() or outcomes.is_complex():
        raise ScmError(
            f"outcomes are {outcomes.dtype}; expected int64 levels 0, 1, ..., or for a continuous "
            "T where to cut it: edges=quantile_edges(outcomes, bins=4)"
        )
    if len(outcomes) and int(outcomes.min()) < 0:
        raise ScmError(f"the outcome {int(outcomes.min())} was given; levels are 0, 1, ...")
    return outcomes.long()


def _require_finite(outcomes: Tensor) -> None:
    wrong = int((~outcomes.isfinite()).sum())
    if wrong:
        raise ScmError(
            f"{wrong} of {len(outcomes)} outcomes are NaN or infinite; expected finite numbers: "
            "leave those units out, images and outcomes alike"
        )


def default_network(images: Tensor) -> NetworkFactory:
    """A `SmallCNN` for images of this shape; with a stride of 2 from 24 pixels on."""
    channels, height, width = images.shape[1:]
    stride = 2 if min(height, width) >= 24 else 1
    return lambda classes, seed: SmallCNN(channels, classes, stride=stride, seed=seed)


def nearest_centre(points: Tensor, centres: Tensor) -> Tensor:
    """Number of the centre nearest to each point: `(n, d)`, `(K, d)` to `(n,)`."""
    apart = (points.unsqueeze(1) - centres.to(points)).square().sum(-1)
    nearest: Tensor = apart.argmin(1)
    return nearest


def cluster(points: Tensor, k: int, seed: int) -> Tensor:
    """K-means labels `(n,)` of rows of probabilities `(n, levels)`.

    Where there are two levels, the optimum, of predictions rounded to 0.002; otherwise the
    best of ten runs of Lloyd's algorithm.
    """
    if points.shape[1] == 2:
        return _cluster_line(points[:, 1], k)
    generator = torch.Generator().manual_seed(seed)
    best, labels = torch.inf, torch.zeros(len(points), dtype=torch.int64, device=points.device)
    for _ in range(10):
        start = torch.randperm(len(points), generator=generator)[:k]
        found = nearest_centre(points, points[start.to(points.device)])
        for _ in range(100):
            before, found = found, nearest_centre(points, _means(points, found))
            if torch.equal(before, found):
                break
        cost = float((points - _means(points, found)[found]).square().sum())
        if cost < best:
            best, labels = cost, found
    used: tuple[Tensor, Tensor] = torch.unique(labels, return_inverse=True)
    return used[1]


def _cluster_line(points: Tensor, k: int) -> Tensor:
    """K-means of numbers in [0, 1] by dynamic programming over their sorted values."""
    rounded = (points * 500).round()
    values, where, counts = torch.unique(rounded, return_inverse=True, return_counts=True)
    weight = counts.double().cumsum(0)
    total, square = (values * counts).cumsum(0), (values.square() * counts).cumsum(0)
    zero = torch.zeros(1, dtype=torch.float64, device=points.device)
    weight, total, square = (torch.cat([zero, s]) for s in (weight, total, square))

    def between(sums: Tensor) -> Tensor:
        return sums.unsqueeze(0) - sums.unsqueeze(1)  # (start, end)

    held = between(weight)
    cost = between(square) - between(total).square() / held.clamp_min(1.0)
    cost = cost.clamp_min(0.0).masked_fill(held <= 0, torch.inf)
    least, starts = cost[0], []
    for _ in range(min(k, len(values)) - 1):
        least, start = (least.unsqueeze(1) + cost).min(0)
        starts.append(start)
    labels, end = torch.zeros(len(values), dtype=torch.int64, device=points.device), len(values)
    for start in reversed(starts):
        end = int(start[end])
        labels[end:] += 1
    return labels[where]


def _folds(outcomes: Tensor, folds: int, generator: torch.Generator) -> Tensor:
    """Fold of each image, with the same share of each outcome in every fold.

    Otherwise a network that learned many outcomes of one kind would foretell fewer of them.
    """
    mixed = torch.randperm(len(outcomes), generator=generator).to(outcomes.device)
    fold = torch.empty_like(mixed)
    by_outcome = mixed[outcomes[mixed].argsort(stable=True)]
    fold[by_outcome] = torch.arange(len(outcomes), device=outcomes.device) % folds
    return fold


def _means(points: Tensor, labels: Tensor) -> Tensor:
    """Mean of the points in each class `(K, d)`; of an empty class infinity, far from all."""
    onehot = nn.functional.one_hot(labels).double()
    counts = onehot.sum(0).unsqueeze(1)
    means = onehot.T @ points.double() / counts.clamp_min(1.0)
    return means.masked_fill(counts == 0, torch.inf)


def _criterion(labels: Tensor, outcomes: Tensor, levels: int) -> float:
    """Bayesian information criterion of the outcomes given the classes."""
    k = int(labels.max()) + 1
    counts = torch.bincount(labels * levels + outcomes, minlength=k * levels).view(k, levels)
    counts = counts.double()
    fit = torch.special.xlogy(counts, counts / counts.sum(1, keepdim=True)).sum()
    size = torch.tensor(float(len(labels)), dtype=torch.float64)
    return float(-2 * fit + (k * (levels - 1) + k - 1) * size.log())


def check_images(images: Tensor, shape: tuple[int, ...] | None = None) -> None:
    """Refuse what are no images, or images of another shape.

    Raises:
        ScmError: If they are not finite floats `(n, channels, height, width)`, or `(n, *shape)`.
    """
    fits = images.ndim == 4 if shape is None else tuple(images.shape[1:]) == shape
    if not fits or not images.is_floating_point() or not torch.isfinite(images).all():
        wanted = "channels, height, width" if shape is None else ", ".join(map(str, shape))
        raise ScmError(
            f"images {tuple(images.shape)} of {images.dtype} were given; expected finite floats "
            f"(n, {wanted})"
        )


def _check(images: Tensor, outcomes: Tensor, levels: int, folds: int, classes: int) -> None:
    check_images(images)
    if outcomes.shape != images.shape[:1]:
        raise ScmError(
            f"{len(images)} images and outcomes of shape {tuple(outcomes.shape)} were given; "
            f"expected ({len(images)},)"
        )
    if not 2 <= folds <= len(images) // 10 or not 1 <= classes <= len(images) // 10:
        raise ScmError(
            f"folds={folds} and {classes} classes of {len(images)} images were asked for; expected "
            "at least 2 folds, 1 class, and 10 images for each"
        )
    if levels < 2 or int(outcomes.min()) < 0 or int(outcomes.max()) >= levels:
        raise ScmError(
            f"outcomes from {int(outcomes.min())} to {int(outcomes.max())} were given with "
            f"levels={levels}; expected 0 to levels - 1, and at least 2 levels"
        )
