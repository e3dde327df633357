"""Shares that tell which cue a classifier uses: shape bias, background gap, mCE, worst group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from scm.errors import ScmError
from scm.estimate import Estimate

__all__ = [
    "ALEXNET",
    "CorruptionErrors",
    "background_gap",
    "coarse",
    "corruption_error",
    "group_accuracies",
    "shape_bias",
    "worst_group_accuracy",
]

ALEXNET: Mapping[str, float] = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""AlexNet's error for each corruption of ImageNet-C, averaged over severities 1 to 5."""


def shape_bias(
    predicted: Tensor,
    shape: Tensor,
    texture: Tensor,
    among: Literal["decisions", "all"] = "decisions",
) -> Estimate:
    """Share of cue-conflict images classified by shape, `#shape / (#shape + #texture)`.

    Only images whose two cues disagree count.

    Args:
        predicted: Classes `(n,)` that the classifier gave.
        shape: Class `(n,)` of the shape of each image.
        texture: Class `(n,)` of its texture.
        among: "decisions", images classified by their shape or their texture (the definition of
            the data set's authors, which CGN's Table 3 reports); or "all" images (as the
            reproduction words it: the share whose prediction matches the shape).

    Raises:
        ScmError: If the rows do not match, or no image decides.

    Source: Geirhos et al. (2019), "ImageNet-trained CNNs are biased towards texture", section 2
    (figure 4); CGN's reproduction, section 4.1.

    Example:
        >>> cues = torch.tensor([0, 0, 0, 0]), torch.tensor([1, 1, 1, 1])
        >>> print(shape_bias(torch.tensor([0, 1, 0, 2]), *cues))
        0.67 +- 0.27 (n = 3)
    """
    _rows(predicted=predicted, shape=shape, texture=texture)
    conflict = shape != texture
    by_shape = (predicted == shape) & conflict
    by_texture = (predicted == texture) & conflict
    if among not in ("decisions", "all"):
        raise ScmError(f"among={among!r} was given; expected 'decisions' or 'all'")
    counted = conflict if among == "all" else by_shape | by_texture
    if not counted.any():
        raise ScmError(
            f"none of {len(predicted)} images has cues that disagree and was classified by one of "
            "them, so that there is no shape bias; check that the classes are numbered alike"
        )
    return Estimate.proportion(int(by_shape.sum()), int(counted.sum()))


def coarse(probabilities: Tensor, members: Sequence[Sequence[int]]) -> Tensor:
    """Coarse class `(n,)` with the largest mean probability over its fine classes.

    Args:
        probabilities: `(n, fine classes)`.
        members: Fine classes of each coarse class, such as the 16 of the cue-conflict images
            or the 9 of IN-9.

    Raises:
        ScmError: If a coarse class is empty, or holds a fine class that is not there.

    Source: Geirhos et al. (2019), appendix A.3, which averages over a coarse class's members.

    Example:
        >>> coarse(torch.tensor([[0.4, 0.25, 0.35, 0.0]]), [[0, 3], [1, 2]])
        tensor([1])
    """
    fine = probabilities.shape[-1]
    if not members or any(not m or min(m) < 0 or max(m) >= fine for m in members):
        raise ScmError(f"coarse classes need one or more of the fine classes 0 to {fine - 1} each")
    means = [probabilities[:, list(m)].mean(1) for m in members]
    return torch.stack(means, 1).argmax(1)


def background_gap(mixed_same: Estimate, mixed_rand: Estimate) -> Estimate:
    """BG-gap: accuracy on Mixed-Same minus that on Mixed-Rand.

    The standard error is that of independent sets. The two share their foregrounds, which makes
    it too large rather than too small.

    Args:
        mixed_same: Accuracy with backgrounds of the foreground's class.
        mixed_rand: Accuracy with backgrounds of random classes.

    Raises:
        ScmError: If one of them is no estimate.

    Source: Xiao, Engstrom, Ilyas and Madry (2020), "Noise or Signal", section 3; CGN, Table 4.

    Example:
        >>> gap = background_gap(Estimate.proportion(862, 1000), Estimate.proportion(789, 1000))
        >>> print(gap)
        0.073 +- 0.017 (n = 1000)
    """
    for given in (mixed_same, mixed_rand):
        if not isinstance(given, Estimate):
            raise ScmError(
                f"background_gap() was given {given!r:.40}; expected two estimates, as of "
                "accuracy(...), or Estimate.proportion(hits, images)"
            )
    sizes = [e.n for e in (mixed_same, mixed_rand) if e.n is not None]
    stderr = math.hypot(mixed_same.stderr, mixed_rand.stderr)
    value = mixed_same.value - mixed_rand.value
    return Estimate(value, stderr, min(sizes) if sizes else None)


class CorruptionErrors(NamedTuple):
    """Corruption errors, relative to a reference classifier's.

    Attributes:
        mean: mCE, the mean over corruptions.
        each: CE of each corruption.
    """

    mean: Estimate
    each: dict[str, Estimate]


def corruption_error(
    wrong: Mapping[str, Tensor], reference: Mapping[str, float] = ALEXNET
) -> CorruptionErrors:
    """Corruption error `CE_c = sum_s E_sc / sum_s E_sc(AlexNet)`, and its mean, mCE.

    One image appears under all corruptions and severities; standard errors count images, not
    their versions.

    Args:
        wrong: For each corruption, whether each image was misclassified, `(severities, images)`.
        reference: For each corruption, the reference's error averaged over severities.

    Raises:
        ScmError: If a corruption is missing or unknown, or numbers of images differ.

    Source: Hendrycks and Dietterich (2019), "Benchmarking Neural Network Robustness to Common
    Corruptions and Perturbations", section 4.1.

    Example:
        >>> found = corruption_error({"fog": torch.tensor([[1, 0], [1, 1]])}, {"fog": 0.5})
        >>> found.each["fog"].value, found.mean.value
        (1.5, 1.5)
    """
    if wrong.keys() != reference.keys():
        missing, extra = reference.keys() - wrong.keys(), wrong.keys() - reference.keys()
        raise ScmError(
            f"corruptions are missing: {sorted(missing)}; and unknown: {sorted(extra)}; give each "
            "of the reference's, or a reference of those you have"
        )
    shapes = {name: tuple(found.shape) for name, found in wrong.items()}
    if any(len(s) != 2 for s in shapes.values()) or len({s[-1] for s in shapes.values()}) != 1:
        raise ScmError(
            f"misclassifications have the shapes {shapes}; expected (severities, images) with the "
            "same images"
        )
    ratios = {name: found.double().mean(0) / reference[name] for name, found in wrong.items()}
    each = {name: Estimate.mean(ratio) for name, ratio in ratios.items()}
    return CorruptionErrors(Estimate.mean(torch.stack(list(ratios.values())).mean(0)), each)


def group_accuracies(correct: Tensor, groups: Tensor) -> dict[int, Estimate]:
    """Accuracy in each group that occurs.

    Args:
        correct: Whether each image was classified correctly, `(n,)`.
        groups: Group of each, `(n,)`.

    Raises:
        ScmError: If the rows do not match.

    Example:
        >>> found = group_accuracies(torch.tensor([1, 1, 0, 1]), torch.tensor([0, 0, 7, 7]))
        >>> {group: accuracy.value for group, accuracy in found.items()}
        {0: 1.0, 7: 0.5}
    """
    _rows(correct=correct, groups=groups)
    found = {}
    for group in groups.unique().tolist():
        inside = correct[groups == group]
        found[int(group)] = Estimate.proportion(int((inside != 0).sum()), len(inside))
    return found


def worst_group_accuracy(correct: Tensor, groups: Tensor) -> Estimate:
    """Accuracy in the group where it is lowest, `min_g P(correct | g)`.

    The standard error is that group's own, as if it had been named beforehand; the smallest of
    several estimates errs on the low side.

    Args:
        correct: Whether each image was classified correctly, `(n,)`.
        groups: Group of each, `(n,)`.

    Raises:
        ScmError: If the rows do not match.

    Source: Sagawa, Koh, Hashimoto and Liang (2020), section 2.

    Example:
        >>> right = torch.tensor([1, 1, 1, 0, 1, 0])
        >>> print(worst_group_accuracy(right, torch.tensor([0, 0, 0, 0, 1, 1])))
        0.5 +- 0.4 (n = 2)
    """
    return min(group_accuracies(correct, groups).values(), key=float)


def _rows(**columns: Tensor) -> None:
    shapes = {name: tuple(column.shape) for name, column in columns.items()}
    if len(set(shapes.values())) != 1 or any(len(s) != 1 or not s[0] for s in shapes.values()):
        raise ScmError(f"shapes are {shapes}; expected (n,) for each, with n >= 1")
