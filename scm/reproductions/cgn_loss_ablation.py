"""Loss ablation of a CGN, in MNIST form: what becomes of its masks without each loss.

The paper's table is of ImageNet, where BigGAN and U2-Net say what is to come out. On MNIST
these stand for its losses:

- `L_rec`, to BigGAN's image of the same (u, y): squared error of a real image, whose u the
  encoder finds.
- `L_text`, to patches from under the mask: style (mean and covariance of the colours) of f and of
  the image under the mask.
- `L_bg`, U2-Net's saliency in b: style of b and of the image outside the mask.
- `L_shape = L_binary + L_mask`: the same two, and each alone.
- Beside them `L_edge`, the reproduction's, and KL, of the encoder's noise from its prior.

The shipped recipe has no `L_text` and `L_bg`: its textures are of one colour and cannot hold a
digit. (Those of Wildlife are patches, which are not trained: it has no place here.) The rows "all
losses" add both with the weight of `L_mask`. The other aids stay as shipped: a shape that starts in
the centre, and textures that start with colours guessed from the border. Trainings are short.
Inception Scores need networks of ImageNet, and have no meaning here; accuracy of a classifier that
learns from the counterfactuals stands in their place, on unbiased test digits.

Source: Sauer and Geiger (2021), section 4.2, table 1; the reproduction's table 2.
"""

from __future__ import annotations

from functools import partial
from statistics import fmean
from typing import Any, NamedTuple

from torch import Tensor

from scm.errors import ScmError
from scm.learning.cgn import CGN
from scm.mechanisms.cgn import compose
from scm.reproductions.cgn_masks import cgn_under, kinds_of
from scm.reproductions.cgn_parts import NAMES, classifier, counterfactuals, images_of
from scm.reproductions.pictures import image_grid
from scm.reproductions.report import selected
from scm.reproductions.study import Study

__all__ = ["run"]

_STEPS, _BATCH = 600, 64
_STYLE = {"texture": 500.0, "background": 500.0}


class _Variant(NamedTuple):
    """Losses that are off, and the figures of ImageNet: of the paper, then the reproduction."""

    off: tuple[str, ...] = ()
    mask_mean: tuple[float, float] | None = None
    inception: tuple[float, float] | None = None


_VARIANTS = {
    "all losses": _Variant((), (0.3, 0.3), (130.2, 156.1)),
    "without L_shape": _Variant(("binary", "mask"), (0.2, 0.3), (85.9, 100.8)),
    "without L_text": _Variant(("texture",), (0.9, 0.4), (198.4, 186.5)),
    "without L_bg": _Variant(("background",), (0.1, 0.1), (195.6, 200.9)),
    "without L_rec": _Variant(("reconstruction",), (0.3, 0.4), (38.4, 19.3)),
    "without L_binary": _Variant(("binary",)),
    "without L_mask": _Variant(("mask",)),
    "without L_edge": _Variant(("edge",)),
    "without KL": _Variant(("divergence",)),
    "without L_text, L_bg (as shipped)": _Variant(("texture", "background")),
}
_METRICS = {
    "mean": "mask mean",
    "border": "mask mean within 3 pixels of the border",
    "entropy": "entropy of a mask's pixel, bits",
    "overlap": "mask and digit, intersection over union",
}


def run(study: Study) -> None:
    """Train a CGN without each loss, and a classifier on its images; tabulate and draw."""
    kinds = kinds_of(study, "double")
    if "wildlife" in kinds:
        raise ScmError(
            "--option kinds=wildlife was given; its textures are patches, which are not trained, "
            "so that there is nothing to ablate: expected coloured, double or both"
        )
    for kind in kinds:
        tried = dict(list(_VARIANTS.items())[: 5 if study.quick else None])
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in tried}
        shown: dict[str, list[Tensor | None]] = {}
        for seed in study.seeds:
            for name, variant in tried.items():
                cgn, known = _measure(study, kind, seed, name, variant)
                found[name].append(known)
                if seed == study.seeds[0]:
                    shown[name] = _outputs(study, cgn, kind)
        _tabulate(study, kind, found)
        study.picture(
            image_grid(shown, ["image", "m", "f", "b", "x", "do(f, b)"] * 2),
            f"{NAMES[kind]}: two held-out images; mask, foreground, background and composite under "
            "their noise; and the same mask with textures of two other classes.",
            f"outputs-{kind}",
        )


def _measure(
    study: Study, kind: str, seed: int, name: str, variant: _Variant
) -> tuple[CGN, dict[str, Any]]:
    """The CGN without some losses, and its scores with those of a classifier."""
    label = f"seed-{seed}/{kind}/{'-'.join(variant.off) or 'all'}"
    weights = {**_STYLE, **dict.fromkeys(variant.off, 0.0)}
    steps, batch = (15, 16) if study.quick else (_STEPS, _BATCH)
    changes = {"steps": steps, "batch": batch}
    cgn, known = cgn_under(study, f"{label}/cgn", kind, seed, weights, **changes)
    learned = classifier(
        study,
        f"{label}/classifier",
        kind,
        seed,
        partial(counterfactuals, study, cgn, kind, seed),
        cgn=study.path(f"{label}/cgn", "cgn.scm"),
    )
    return cgn, {**known, "accuracy": learned["unbiased"], "note": learned["note"]}


def _outputs(study: Study, cgn: CGN, kind: str) -> list[Tensor | None]:
    """What the mechanisms make of a two and of a seven."""
    images, labels = images_of(study, kind, "validation")
    line: list[Tensor | None] = []
    for digit in (2, 7):
        row = int((labels == digit).nonzero()[0, 0])
        units = cgn.abduct({"X": images[row : row + 1], "Y": labels[row : row + 1]}, seed=0)
        other = units.do(Y2=(digit + 3) % 10, Y3=(digit + 5) % 10)
        m, f, b = (units[node][0] for node in "MFB")
        line += [images[row], m, f, b, compose(m, f, b), other["X"][0]]
    return line


def _tabulate(study: Study, kind: str, found: dict[str, list[dict[str, Any]]]) -> None:
    first = next(iter(found.values()))
    digits = [fmean(known["digit"]) for known in first]
    study.row(f"{NAMES[kind]}: the digits themselves", _METRICS["mean"], digits)
    for name in found:
        variant = _VARIANTS[name]
        row = f"{NAMES[kind]}: {name}"
        for key, metric in _METRICS.items():
            paper, reproduced = (variant.mask_mean if key == "mean" else None) or (None, None)
            note = "paper and reproduction: of ImageNet" if paper is not None else ""
            values = [fmean(known[key]) for known in found[name]]
            study.row(row, metric, values, paper, reproduced, note=note)
        note = ""
        if variant.inception is not None:
            note = "Inception Score on ImageNet: {} in the paper, {} in the reproduction"
            note = note.format(*variant.inception) + "; "
        values = [known["accuracy"] for known in found[name]]
        note += selected(found[name])
        study.row(row, "test accuracy of a classifier, %", values, note=note)
