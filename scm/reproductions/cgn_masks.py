"""CGNs under other weights of their losses, and how far their masks are the digits.

The data set's own graph knows the digit of each image. A mask is *correct* if it and the digit,
both cut at one half, overlap by an intersection over union of at least `CORRECT`; a class is
correct if the mean overlap of its masks is. Masks are those of held-out confounded images (the
validation digits), under the noise that the CGN's encoder finds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from torch import Tensor

from scm.datasets import coloured_mnist, confounded, digits
from scm.errors import ScmError, nearest
from scm.learning.cgn import CGN, Limits, Settings, mask_health, settings_of, train_cgn
from scm.reproductions.cgn_parts import KINDS, data_of, images_of, quicker
from scm.reproductions.study import Study

__all__ = ["CORRECT", "cgn_under", "kinds_of", "mask_scores", "overlap"]

CORRECT = 0.5
"""Least intersection over union of a mask with its digit."""


def cgn_under(
    study: Study,
    label: str,
    kind: str,
    seed: int,
    weights: Mapping[str, float],
    **changes: Any,
) -> tuple[CGN, dict[str, Any]]:
    """A CGN trained under other weights, in a cell of the study; and what its masks are.

    The run is not stopped where masks collapse: what they are in the end is the outcome.

    Args:
        study: The study.
        label: Name of the cell.
        kind: The data set.
        seed: Seed of the training.
        weights: Weights of losses that differ from the kind's.
        **changes: Other fields of `Settings` that differ.

    Returns:
        The CGN, and `mask_scores` with "seconds" of processor time.
    """
    own = settings_of(kind, **quicker(study, {**changes, "watch_from": 2.0}))
    own = replace(own, weights=replace(own.weights, **weights))
    work = partial(_learn, study, label, own)
    key = {"settings": asdict(own), "data": data_of(study)}
    found = study.cell(label, work, kind=kind, seed=seed, **key)
    cgn = CGN.load(study.path(label, "cgn.scm"))
    cgn.to(study.device)
    return cgn, found


def _learn(
    study: Study, label: str, own: Settings, kind: str, seed: int, **_: Any
) -> dict[str, Any]:
    start = time.process_time()
    file = study.path(label, "checkpoint.pt")
    cgn = train_cgn(
        *images_of(study, kind), own, seed=seed, checkpoint=file, progress=study.progress
    )
    cgn.save(study.path(label, "cgn.scm"))
    seconds = time.process_time() - start
    return {**mask_scores(study, cgn, kind, own.limits), "seconds": seconds}


def kinds_of(study: Study, default: str) -> list[str]:
    """The data sets that the option `kinds` names, separated by commas.

    Raises:
        ScmError: If one is unknown.
    """
    chosen = study.options.get("kinds", default).split(",")
    for kind in chosen:
        if kind not in KINDS:
            raise ScmError(f"--option kinds={','.join(chosen)} was given; {nearest(kind, KINDS)}")
    return chosen


def mask_scores(study: Study, cgn: CGN, kind: str, limits: Limits | None = None) -> dict[str, Any]:
    """Health and correctness of the masks of 2,000 held-out images.

    Returns:
        By class, "mean", "border" and "entropy" of the masks, "digit" (the mean of the digits
        themselves) and "overlap"; "correct", the share of masks, and "classes", the number of
        classes that are; and "collapsed", what is beyond the limits of health, or None.
    """
    images, labels = (part[:2000] for part in images_of(study, kind, "validation"))
    name: Any = kind
    shown = coloured_mnist(name, digits=digits(data_of(study)), part="validation")
    truth = confounded(shown)["digit"][: len(labels)].to(images)
    masks = cgn.abduct({"X": images, "Y": labels}, seed=0)["M"]
    health = mask_health(masks, labels)
    each = overlap(masks, truth)
    by_class = [float(each[labels == k].mean()) for k in range(10)]
    problems = health.problems(limits or settings_of(kind).limits)
    return {
        **{name: getattr(health, name).tolist() for name in ("mean", "border", "entropy")},
        "digit": [float(truth[labels == k].mean()) for k in range(10)],
        "overlap": by_class,
        "correct": float((each >= CORRECT).double().mean()),
        "classes": sum(value >= CORRECT for value in by_class),
        "collapsed": "; ".join(f"class {k}: {said}" for k, said in problems.items()) or None,
    }


def overlap(masks: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union of masks and digits `(n, 1, h, w)`, both cut at 1/2; `(n,)`.

    Example:
        >>> import torch
        >>> half = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
        >>> overlap(half, torch.tensor([[[[0.0, 1.0, 0.0, 0.0]]]])), overlap(0 * half, half)
        (tensor([0.5000]), tensor([0.]))
    """
    found, given = (masks > 0.5).flatten(1), (truth > 0.5).flatten(1)
    return (found & given).sum(1) / (found | given).sum(1).clamp_min(1)
