"""Labels of attributes, and what is wrong with some of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scm.discovery.heads import Kind, Score
from scm.errors import ScmError
from scm.mechanisms.latent import LatentGenerator

__all__ = ["coded", "encoded", "require_seen", "require_varied"]

_LEAST = 30  # samples of a class
_BEYOND = 0.5  # share of latents outside the prior that is an error; a tenth of it is noted


def coded(
    name: str, labels: Tensor, levels: tuple[Any, ...]
) -> tuple[Tensor, Kind, tuple[Any, ...]]:
    """Codes of labels `(n,)`, what kind of attribute they are, and its levels."""
    if labels.ndim != 1 or not labels.double().isfinite().all():
        raise ScmError(f"labels {tuple(labels.shape)} of {name!r} were given; expected finite (n,)")
    if labels.is_floating_point() and not ((labels == 0) | (labels == 1)).all():
        return labels, "continuous", ()
    codes = labels.long()
    classes = max(2, len(levels), int(codes.max()) + 1)
    if codes.min() < 0 or (levels and len(levels) != classes):
        raise ScmError(
            f"{name!r} has the classes {int(codes.min())} to {int(codes.max())} and the levels "
            f"{levels}; expected 0, 1, ..., with a level each"
        )
    names = levels or ((False, True) if labels.dtype == torch.bool else tuple(range(classes)))
    return codes, "binary" if classes == 2 else "multiclass", names


def require_varied(name: str, labels: Tensor, kind: Kind, levels: tuple[Any, ...]) -> None:
    """Refuse what cannot be learned: constants, and classes with few samples."""
    if bool((labels == labels[0]).all()):
        raise ScmError(f"the attribute {name!r} is constant ({labels[0].item()}): nothing to audit")
    if kind == "continuous":
        if len(labels) < 2 * _LEAST:
            raise ScmError(f"{len(labels)} samples of {name!r} were given; expected at least 60")
        return
    counts = torch.bincount(labels, minlength=len(levels)).tolist()
    few = {level: n for level, n in zip(levels, counts, strict=True) if n < _LEAST}
    if few:
        raise ScmError(
            f"the attribute {name!r} has classes with fewer than {_LEAST} samples: {few}; give "
            "more labelled rows, or merge classes"
        )


def require_seen(name: str, score: Score) -> None:
    """Refuse a head that reads held-out rows no better than a constant."""
    if not score.sees:
        raise ScmError(
            f"the audit cannot see the attribute {name!r}: on held-out rows its head is no better "
            f"than a constant ({score}; gain {score.gain}). Give more labels, a head of another "
            'kind (head="network", space="data"), or leave the attribute out'
        )


def encoded(name: str, generator: LatentGenerator, data: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Latents of data, after a look at how well they fit."""
    latents = generator.encode(data)
    quality, outside = generator.reconstruction(data, latents), generator.beyond_prior(latents)
    if quality.explained <= 0:
        raise ScmError(
            f"the encoder misses the data of {name!r}: {quality}, less than the mean of the data "
            "does. Check its scaling, or use scm.mechanisms.inversion"
        )
    if outside > _BEYOND:
        raise ScmError(
            f"the prior does not match the data of {name!r}: {100 * outside:.0f}% of their latents "
            "lie further out than 99.9% of its draws. Is it the prior that the generator was "
            "trained with? If so, pass latents=generator.encode(data) and mind that samples of "
            "the prior are not like the data"
        )
    notes: tuple[str, ...] = (str(quality),)
    if outside > _BEYOND / 10:
        notes += (f"{100 * outside:.0f}% of the latents lie outside 99.9% of the prior",)
    return latents, notes
