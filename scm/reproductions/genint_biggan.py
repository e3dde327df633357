"""One direction of a BigGAN across classes: rows are directions, columns classes and steps.

The directions are the principal ones of `generator.gen_z`, which is linear in the latent, so they
come from its matrix, without samples; how far the first ten are from those of 200,000 samples is a
row. Steps are set by `do(Zj=s)` at the ends of a reference
range: the paper's where it has one (`PAPER_RANGES`, chosen by eye on biggan-deep-256), elsewhere
that of a common mean change of the image (`calibrated`).

It needs trained weights: `--option weights=FOLDER` with `config.json` and `pytorch_model.bin` of
biggan-deep-128, -256 or -512 (Hugging Face's `pytorch-pretrained-biggan` names their addresses),
or `--option weights=biggan-deep-256` to take them from that package's cache, or download them.
`--option weights=random` shows that it runs, with a tiny network of random weights: noise.

Source: GenInt, figures 2 and 17.
"""

from __future__ import annotations

import time
import warnings
from functools import partial
from typing import Any

from safetensors.torch import load_file, save_file

from scm.errors import ScmError
from scm.interventions.calibration import calibrated, share_beyond
from scm.interventions.directions import PAPER_RANGES, PrincipalDirections
from scm.interventions.steering import SupportWarning, steerable
from scm.mechanisms.biggan import BigGAN
from scm.reproductions.pictures import image_grid
from scm.reproductions.study import Study

__all__ = ["run"]

LAYER = "generator.gen_z"
_TINY = {
    "output_dim": 16,
    "z_dim": 16,
    "class_embed_dim": 16,
    "channel_width": 8,
    "num_classes": 1000,
    "layers": [[True, 16, 8], [False, 8, 4], [True, 4, 2], [False, 2, 1]],
    "attention_layer_position": 2,
}
_CLASSES = {207: "golden retriever", 417: "balloon", 817: "sports car", 980: "volcano"}
_DIRECTIONS = (0, 1, 2, 3, 40, 55)
_STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def run(study: Study) -> None:
    """Find the directions, draw a sheet of each, and say how far out its ends are."""
    weights = study.options.get("weights")
    if weights is None:
        raise ScmError(
            "genint-biggan needs a BigGAN's weights, which are not part of scm: put config.json "
            "and pytorch_model.bin of biggan-deep-256 (addresses in pytorch_pretrained_biggan."
            "model, PRETRAINED_MODEL_ARCHIVE_MAP) into a folder and give it, --option "
            "weights=FOLDER; or --option weights=biggan-deep-256 to take them from that package's "
            "cache or download them; or --option weights=random to see it run on noise"
        )
    generator = _generator(weights)
    width = generator.settings["z_dim"]
    wanted = [j for j in _DIRECTIONS if j < width and (not study.quick or j < 3)]
    found = []
    for seed in study.seeds:
        label = f"seed-{seed}/sheet"
        work = partial(_measure, study, label)
        options = {"weights": weights, "seed": seed, "directions": wanted}
        found.append(study.cell(label, work, **options))
    note = f"{generator.settings['output_dim']} pixels, latent of {width}; weights: {weights}"
    study.row(
        f"directions of {LAYER}",
        "seconds, closed form",
        [f["seconds"] for f in found],
        goal="<= 10" if width == 128 else None,
        note=note,
    )
    study.row(
        f"first {min(10, width)} directions of {LAYER}",
        "principal angle to incremental PCA, degrees",
        [f["angle"] for f in found],
        goal=None if weights == "random" or study.quick else "< 3",
        note=f"of {found[0]['samples']:,} samples"
        + (": random weights have a flat spectrum" if weights == "random" else ""),
    )
    for at, j in enumerate(wanted):
        low, high = found[0]["ranges"][at]
        study.row(
            f"component {j}, steps from {low:.3g} to {high:.3g} sd",
            "share of the prior as far out as the ends' median",
            [f["realism"][at] for f in found],
            note="the paper's range"
            if j in PAPER_RANGES
            else "range of a mean change of 10 %, or as far as 1 % of the prior",
        )
        study.row(
            f"component {j}, steps from {low:.3g} to {high:.3g} sd",
            "mean change of a pixel at the ends, % of the range",
            [100 * f["change"][at] for f in found],
        )
    _draw(study, wanted)


def _generator(weights: str) -> BigGAN:
    return BigGAN(_TINY) if weights == "random" else BigGAN.from_pretrained(weights)


def _measure(
    study: Study, label: str, weights: str, seed: int, directions: list[int]
) -> dict[str, Any]:
    generator = _generator(weights).to(study.device)
    low, high = generator.type.range
    start = time.perf_counter()
    ten = min(10, generator.settings["z_dim"])
    every = PrincipalDirections.of(generator, LAYER, max(ten, *(j + 1 for j in directions)))
    seconds = time.perf_counter() - start
    samples = 2_000 if study.quick else 200_000
    drawn = PrincipalDirections.of(
        generator, LAYER, ten, samples=samples, seed=seed, progress=study.progress
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SupportWarning)
        chosen = calibrated(
            generator, every[directions], 0.1, n=2, seed=seed, progress=study.progress
        )
    paper = {at: PAPER_RANGES[j] for at, j in enumerate(directions) if j in PAPER_RANGES}
    chosen = chosen.ranged(paper)
    model = steerable(generator, chosen, batch=8)
    labels = [k % generator.settings["num_classes"] for k in _CLASSES]
    sheets, change, share = {}, [], []
    for at in range(len(directions)):
        ends = chosen.ranges[at]
        values = [abs(s) * float(ends[int(s > 0)]) for s in _STEPS]
        swept = model.do(Y=labels).sweep({f"Z{at + 1}": values}).sample(len(labels), seed=seed)
        images = swept["X"]  # (steps, classes, 3, size, size)
        sheets[f"images-{at}"] = ((images - low) / (high - low)).contiguous()
        middle = images[_STEPS.index(0.0)]
        change.append(float((images[[0, -1]] - middle).abs().mean()) / (high - low))
        share.append(share_beyond(generator.settings["z_dim"], max(map(abs, values))))
    save_file(sheets, study.path(label, "sheets.safetensors"))
    ranges = chosen.ranges.tolist()
    return {
        "seconds": seconds,
        "samples": samples,
        "angle": every[:ten].angle(drawn),
        "ranges": ranges,
        "change": change,
        "realism": share,
    }


def _draw(study: Study, directions: list[int]) -> None:
    sheets = load_file(study.path(f"seed-{study.seeds[0]}/sheet", "sheets.safetensors"))
    for at, j in enumerate(directions):
        images = sheets[f"images-{at}"]
        rows = {name: list(images[:, k]) for k, name in enumerate(_CLASSES.values())}
        study.picture(
            image_grid(rows, [f"{100 * s:+.0f} %" for s in _STEPS], cell=1.2),
            f"Component {j} of {LAYER}, set to shares of its range, for one latent a class "
            "(the paper's figures 2 and 17).",
            f"component-{j}",
        )
