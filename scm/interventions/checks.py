"""What a manipulator can be fitted to, and what is refused before the first round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import torch
from torch import Tensor

from scm.errors import ScmError
from scm.interventions.metrics import Metric
from scm.interventions.nearest_image import Values

__all__ = ["check_functions", "check_images", "check_options", "class_names"]


def class_names(
    images: Tensor, causes: Tensor, classes: Sequence[Any] | None, values: Values
) -> tuple[Any, ...]:
    """Names of the classes, of images and codes that fit together.

    Raises:
        ScmError: If they do not.
    """
    if values not in get_args(Values):
        raise ScmError(f"values={values!r}; expected one of {get_args(Values)}")
    check_images(images, values)
    if not isinstance(causes, Tensor) or causes.shape != images.shape[:1]:
        shape = tuple(getattr(causes, "shape", ()))
        raise ScmError(f"causes of shape {shape} were given for {len(images)} images; expected one")
    if causes.is_floating_point() or causes.dtype == torch.bool or int(causes.min()) < 0:
        raise ScmError(
            f"causes are {causes.dtype}, the least {causes.min().item():g}; expected int64 codes "
            "0, 1, ... (of booleans: causes.long())"
        )
    names = tuple(range(int(causes.max()) + 1)) if classes is None else tuple(classes)
    there = causes.unique()
    if len(set(names)) != len(names) or int(there[-1]) >= len(names):
        raise ScmError(
            f"causes go up to {int(there[-1])} and the classes are {list(names)}; expected a "
            "distinct name or number for each code"
        )
    if len(there) < 2:
        raise ScmError(
            f"all {len(images)} images are of class {names[int(there[0])]!r}; a manipulator needs "
            "images of two classes or more"
        )
    return names


def check_images(images: Tensor, values: Values, shape: tuple[int, ...] | None = None) -> None:
    """Refuse what are no images of a shape, with pixels in [0, 1].

    Raises:
        ScmError: If they are not.
    """
    given = isinstance(images, Tensor) and images.is_floating_point()
    if not given or (images.ndim != 4 if shape is None else tuple(images.shape[1:]) != shape):
        what = (
            f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else "no tensor"
        )
        wanted = "channels, height, width" if shape is None else ", ".join(map(str, shape))
        raise ScmError(f"images are {what}; expected floating-point images (n, {wanted})")
    if shape is None and not len(images):
        raise ScmError("no images were given; expected images of two classes or more")
    if not ((images >= 0) & (images <= 1)).all():
        raise ScmError(
            f"images have pixels from {images.min():.3g} to {images.max():.3g}; expected numbers "
            "in [0, 1]: rescale them"
        )
    if values == "binary" and not ((images == 0) | (images == 1)).all():
        grey = images[(images != 0) & (images != 1)][0]
        raise ScmError(
            f"values='binary' was declared, and a pixel is {grey:.3g}; round the images, or "
            "declare values='grey'"
        )


def check_options(
    alpha: float,
    confidence: float,
    keep_weight: float,
    rounds: int,
    queries: int,
    ensemble: int,
    weight: int,
    stop: tuple[float | None, float | None] | None,
) -> None:
    """Refuse options that make no sense.

    Raises:
        ScmError: If one of them does not.
    """
    if not (0 < alpha < 1 and 0.5 < confidence < 1 and keep_weight >= 0):
        raise ScmError(
            f"alpha={alpha}, confidence={confidence}, keep_weight={keep_weight}; expected "
            "0 < alpha < 1, 0.5 < confidence < 1 and a weight of 0 or more"
        )
    if rounds < 0 or min(queries, ensemble, weight) < 1:
        raise ScmError(
            f"rounds={rounds}, queries={queries}, ensemble={ensemble}, query_weight={weight}; "
            "expected 0 rounds or more, and 1 or more of the others"
        )
    if stop is not None and not (isinstance(stop, (tuple, list)) and len(stop) == 2):
        raise ScmError(
            f"stop={stop!r} was given; expected two numbers, (manipulation error, distance), with "
            "None for one that does not count"
        )


def check_functions(
    images: Tensor,
    classes: int,
    network: Callable[[Tensor], Tensor],
    metric: Metric,
    keep: Callable[[Tensor], Tensor] | None,
) -> None:
    """Try a network, a distance and a reader of S on two images.

    Raises:
        ScmError: If they fail, or their results have other shapes than they should.
    """
    two = images[:2]
    wanted: dict[str, tuple[Callable[[], Tensor], str]] = {
        "network": (lambda: network(two), f"logits (n, {classes})"),
        "metric": (lambda: metric(two, two), "distances (n,)"),
    }
    if keep is not None:
        wanted["keep"] = (lambda: keep(two), "codes (n,) or logits (n, levels)")
    for name, (call, what) in wanted.items():
        try:
            with torch.no_grad():
                shape = tuple(call().shape)
        except Exception as error:
            raise ScmError(
                f"{name}= fails with images of shape {tuple(two.shape)}: {type(error).__name__}: "
                f"{error}; expected {what}"
            ) from error
        n = len(two)
        fits = {"network": shape == (n, classes), "metric": shape == (n,)}
        if not fits.get(name, shape[:1] == (n,) and len(shape) <= 2):
            raise ScmError(
                f"{name}= gave the shape {shape} for {n} images of shape {tuple(images.shape[1:])}"
                f"; expected {what}"
            )
