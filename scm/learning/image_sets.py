"""Classifiers judged on folders of images, by the rules of the sets' authors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from scm.datasets.imagenet import ImageSet, imagenet_c, imagenet_v2, objectnet
from scm.errors import ScmError
from scm.estimate import Estimate
from scm.learning.robustness import ALEXNET, CorruptionErrors, corruption_error
from scm.progress import progress_bar

__all__ = ["VARIANTS_OF_V2", "beyond_imagenet", "mean_corruption_error", "top_k"]

VARIANTS_OF_V2 = ("top-images", "threshold0.7", "matched-frequency")
"""How ImageNet-V2's images were sampled, in the order of the paper's Table 3."""

_SEVERITIES = range(1, 6)


def top_k(
    network: nn.Module,
    images: ImageSet,
    ks: Sequence[int] = (1, 5),
    batch: int = 256,
    progress: bool = True,
) -> dict[int, Estimate]:
    """Top-k accuracies of a classifier on a set of images, by the rule of its authors.

    Args:
        network: Logits of the set's own classes, or of ImageNet's 1,000; its mode is restored.
        images: Such as `objectnet()`, whose 113 classes accept several of ImageNet's.
        ks: Numbers of guesses.
        batch: Images at a time.
        progress: Show a progress bar, on a terminal or in a notebook.

    Raises:
        ScmError: If the set is empty, or the network's classes are not the set's.

    Source: Mao et al. (2021), section 5.1, tables 1 and 3.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from scm.datasets.imagenet import imagenet
        >>> network = torch.nn.Sequential()
        >>> network.forward = lambda images: torch.arange(1000.0).expand(len(images), -1)
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = Path(root, "val", "n15075141")  # the last class
        ...     folder.mkdir(parents=True)
        ...     Image.new("RGB", (8, 8)).save(folder / "tissue.png")
        ...     found = top_k(network, imagenet(root, partial=True), progress=False)
        >>> found[1].value, found[5].value
        (1.0, 1.0)
    """
    hits = _hits(network, images, ks, batch, progress)
    return {k: Estimate.proportion(int(right.sum()), len(right)) for k, right in hits.items()}


def mean_corruption_error(
    network: nn.Module,
    root: str | Path | None = None,
    reference: Mapping[str, float] = ALEXNET,
    batch: int = 256,
    progress: bool = True,
    **options: Any,
) -> CorruptionErrors:
    """Corruption errors of a classifier on ImageNet-C, relative to AlexNet's, and their mean, mCE.

    Args:
        network: Logits of ImageNet's 1,000 classes.
        root: ImageNet-C's folder; by default that in SCM_DATA.
        reference: Which corruptions, with AlexNet's error for each.
        batch: Images at a time.
        progress: Show a progress bar, on a terminal or in a notebook.
        options: What `imagenet_c` takes.

    Raises:
        ScmError: If a folder is missing, or the images of two folders are not the same.

    Source: Hendrycks and Dietterich (2019), section 4.1; Mao et al. (2021), table 2.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for severity in range(1, 6):
        ...         folder = Path(root, "fog", str(severity), "n01443537")
        ...         folder.mkdir(parents=True)
        ...         Image.new("RGB", (8, 8)).save(folder / "fish.png")
        ...     always = lambda images: torch.eye(1000)[[1] * len(images)]  # a goldfish
        ...     network = torch.nn.Sequential()
        ...     network.forward = always
        ...     found = mean_corruption_error(
        ...         network, root, {"fog": 0.8}, progress=False, partial=True
        ...     )
        >>> found.mean.value
        0.0
    """
    wrong: dict[str, Tensor] = {}
    names: dict[tuple[str, ...], str] = {}
    for corruption in reference:
        severities = []
        for severity in _SEVERITIES:
            images = imagenet_c(root, corruption, severity, **options)
            names.setdefault(tuple(Path(f).parent.name + Path(f).stem for f in images.files),
                             images.name)  # fmt: skip
            severities.append(~_hits(network, images, (1,), batch, progress)[1])
        if len(names) > 1:
            raise ScmError(
                f"{' and '.join(names.values())} hold other images; unpack each archive of "
                "ImageNet-C whole, or the same part of each"
            )
        wrong[corruption] = torch.stack(severities)
    return corruption_error(wrong, reference)


def beyond_imagenet(
    network: nn.Module,
    roots: Mapping[str, str | Path | None] | None = None,
    progress: bool = True,
    **options: Any,
) -> dict[str, Estimate]:
    """GenInt's protocol: top 1 and top 5 on ObjectNet and ImageNet-V2's three variants, and mCE.

    None of these may have been trained or chosen on.

    Args:
        network: Logits of ImageNet's 1,000 classes.
        roots: Folders of "objectnet", "imagenet-c" and each of `VARIANTS_OF_V2`, where they are
            not in SCM_DATA under their own names.
        progress: Show progress bars, on a terminal or in a notebook.
        options: What all loaders take (see `Options`).

    Returns:
        By name, such as "objectnet top 1" (a share) and "imagenet-c mCE" (1 is AlexNet's).

    Raises:
        ScmError: If a folder is missing.

    Source: Mao et al. (2021), tables 1 to 3.

    Example:
        >>> from torchvision.models import resnet50  # doctest: +SKIP
        >>> beyond_imagenet(resnet50(weights="DEFAULT"))["imagenet-c mCE"]  # doctest: +SKIP
        Estimate(value=..., stderr=..., n=...)
        >>> beyond_imagenet(torch.nn.Flatten(), {"objectnet": "nowhere"})
        Traceback (most recent call last):
        scm.errors.ScmError: ObjectNet: nowhere is not a folder. Download objectnet-1.0.zip...
    """
    roots = roots or {}
    sets = {"objectnet": objectnet(roots.get("objectnet"), **options)}
    for variant in VARIANTS_OF_V2:
        sets[f"imagenet-v2 {variant}"] = imagenet_v2(roots.get(variant), variant, **options)
    found = {
        f"{name} top {k}": value
        for name, images in sets.items()
        for k, value in top_k(network, images, progress=progress).items()
    }
    errors = mean_corruption_error(network, roots.get("imagenet-c"), progress=progress, **options)
    return {**found, "imagenet-c mCE": errors.mean}


def _hits(
    network: nn.Module, images: ImageSet, ks: Sequence[int], batch: int, progress: bool
) -> dict[int, Tensor]:
    """For each k, whether each image is right, `(n,)` bool."""
    if not len(images):
        raise ScmError(f"{images!r} has no images to judge a classifier by")
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    was_training, parts = network.training, DataLoader(images, batch_size=batch)
    network.eval()
    found: dict[int, list[Tensor]] = {k: [] for k in ks}
    with torch.no_grad(), progress_bar(images.name, len(parts), "batches", progress) as advance:
        for pixels, labels in parts:
            logits = network(pixels.to(device))
            for k in ks:
                found[k].append(images.correct(logits, labels, k).cpu())
            advance()
    network.train(was_training)
    return {k: torch.cat(right) for k, right in found.items()}
