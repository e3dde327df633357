"""Paths of a CGN: one mechanism's noise or label goes from one image's to another's.

The paper interpolates shapes "between u and y pairs". Here each mechanism has its paths, while the
two others stay what they are for the first image: the composite is `units.sweep(M=path)`.

- *u*: the noise goes in a straight line from that of the first image to that of another image
  of its class, both found by the encoder in held-out images; the label stays.
- *y*: the label goes from the first image's to another class, under the same noise. Between two
  labels the one-hot is mixed, `(1 - t) y + t y'`. A shape mixes what its first layer makes of each
  label: that layer is linear in the one-hot. A colour is `sigmoid` of something that is linear in
  the one-hot, so its logits are mixed; patches are linear in it themselves. The published
  convolutional mechanisms, whose labels are indices of an embedding, are not walked here.

What a patch of Wildlife's textures shows, and where its grid begins, changes by leaps along u.

What can fail: that only one mechanism's output changes, and X by that change alone; that a path
ends where the engine's own counterfactual is (`units.do(Y1=...)`), or the other image's output;
that no single step is a leap. A reader that learned the digits under `do(colour)`, from no CGN,
says which digit is seen: along a shape's y path it turns from the one into the other, along
a texture's it stays.

Source: Sauer and Geiger (2021), appendix D.2 with figure 20, which prints no figures.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.learning import ConvNet
from scm.learning.cgn import CGN
from scm.mechanisms.cgn import ColourTexture, Shape
from scm.mechanisms.cgn_patches import QuiltTexture
from scm.reproductions.cgn_masks import kinds_of
from scm.reproductions.cgn_parts import KINDS, NAMES, cgn_of, classifier, images_of, real_images
from scm.reproductions.pictures import curves, image_grid
from scm.reproductions.study import Study
from scm.worlds.samples import Samples

__all__ = ["run", "walk"]

_MECHANISMS = {"M": "shape", "F": "foreground", "B": "background"}
_LABELS = {"M": "Y1", "F": "Y2", "B": "Y3"}
_POINTS = 11  # of a path, its ends included
_PAIRS = 200


class _Pair(NamedTuple):
    """Images in a row, another one of each one's class, and another class."""

    first: Samples
    second: Samples
    label: Tensor


def run(study: Study) -> None:
    """Walk the paths of each kind's CGN; tabulate and draw."""
    for kind in kinds_of(study, ",".join(KINDS)):
        found = []
        for seed in study.seeds:
            cgn, _ = cgn_of(study, kind, seed)
            if cgn is None:
                raise ScmError(
                    f"the masks of {kind} collapsed with seed {seed}; give --option models=FOLDER "
                    "of trained CGNs, or another number of --seeds"
                )
            reader = _reader(study, kind, seed)
            pairs = _pairs(study, cgn, kind, seed)
            found.append(
                {(v, u): _measure(cgn, pairs, v, u, reader) for v in _MECHANISMS for u in "uy"}
            )
            if seed == study.seeds[0]:
                study.picture(
                    image_grid(_strips(cgn, pairs), ["0", *[""] * (_POINTS - 2), "1"]),
                    f"{NAMES[kind]}: paths of one mechanism in u and in y, from a held-out image "
                    "to another of its class, and to another class; all else is held.",
                    f"paths-{kind}",
                )
        _tabulate(study, kind, found)
        study.picture(
            curves(
                {
                    f"{NAMES[kind]}, {_MECHANISMS[v]}": {
                        f"{which} digit": [one[v, "y"][key] for one in found]
                        for which, key in (("its own", "own"), ("the other", "other"))
                    }
                    for v in _MECHANISMS
                },
                x="point of the path in y",
                first=0,
            ),
            f"{NAMES[kind]}: probability of two digits that a reader, which learned under "
            "do(colour), sees along the paths in y, mean over pairs.",
            f"probabilities-{kind}",
        )


def walk(mechanism: nn.Module, noise: Tensor, labels: Tensor, end: Tensor, points: int) -> Tensor:
    """Outputs `(points, n, *event)` of a mechanism while its label goes to another one.

    Args:
        mechanism: `Shape`, `ColourTexture` or `QuiltTexture`.
        noise: Noise `(n, width)`, held.
        labels: Labels `(n,)` where the path starts.
        end: Labels `(n,)` where it ends.
        points: Points of the path, the ends included.

    Raises:
        ScmError: If the mechanism is another.
    """
    shares = torch.linspace(0, 1, points).tolist()
    if isinstance(mechanism, Shape):
        twice, both = noise.repeat(2, 1), torch.cat([labels, end])
        found = []
        for t in shares:

            def mix(layer: nn.Module, given: Any, made: Tensor, t: float = t) -> Tensor:
                here, there = made.chunk(2)
                return torch.lerp(here, there, t)

            handle = mechanism.linear.register_forward_hook(mix)
            try:
                found.append(mechanism.generate(twice, both))
            finally:
                handle.remove()
        return torch.stack(found)
    if isinstance(mechanism, QuiltTexture):
        here, there = (mechanism.generate(noise, label) for label in (labels, end))
        return torch.stack([torch.lerp(here, there, t) for t in shares])
    if isinstance(mechanism, ColourTexture):
        start, stop = (mechanism.linear(noise, label) for label in (labels, end))
        return mechanism.paint(torch.stack([torch.lerp(start, stop, t) for t in shares]))
    raise ScmError(
        f"a path in y of {type(mechanism).__name__} was asked for; expected Shape, ColourTexture "
        "or QuiltTexture: the label of the others is no one-hot that could be mixed"
    )


def _path(cgn: CGN, pairs: _Pair, node: str, along: str) -> Tensor:
    """Outputs `(points, pairs, *event)` of a mechanism along its path in u or in y."""
    mechanism: Any = cgn.mechanisms[node]
    start, stop = pairs.first.noise[node], pairs.second.noise[node]
    own = pairs.first["Y"]
    with torch.no_grad():
        if along == "y":
            return walk(mechanism, start, own, pairs.label, _POINTS)
        shares = torch.linspace(0, 1, _POINTS).tolist()
        return torch.stack([mechanism.generate(torch.lerp(start, stop, t), own) for t in shares])


def _pairs(study: Study, cgn: CGN, kind: str, seed: int) -> _Pair:
    """Held-out images, drawn at random, under the noise that the encoder finds."""
    images, labels = images_of(study, kind, "validation")
    generator = torch.Generator().manual_seed(seed)
    n = 20 if study.quick else _PAIRS
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    first = order[:n]
    later = order[n:]
    same = labels[later] == labels[first].unsqueeze(1)
    second = later[same.int().argmax(1)]
    shift = torch.randint(1, 10, (n,), generator=generator).to(labels)
    one, other = (
        cgn.abduct({"X": images[rows], "Y": labels[rows]}, seed=k)
        for k, rows in enumerate((first, second))
    )
    return _Pair(one, other, (labels[first] + shift) % 10)


def _reader(study: Study, kind: str, seed: int) -> nn.Module:
    """A classifier that learned from the data set's own images under do(colour)."""
    label = f"seed-{seed}/{kind}/reader"
    classifier(study, label, kind, seed, partial(real_images, study, kind, domain="unbiased"))
    network = nn.Sequential(nn.Identity(), ConvNet(seed=seed))
    network.load_state_dict(torch.load(study.path(label, "weights.pt"), weights_only=True))
    return network.to(study.device).eval()


def _measure(cgn: CGN, pairs: _Pair, node: str, along: str, reader: nn.Module) -> dict[str, Any]:
    """What changes along a path, how evenly, where it ends, and which digit is seen."""
    path = _path(cgn, pairs, node, along)
    units = pairs.first
    worlds = units.sweep({node: list(path)})
    x = worlds["X"]
    held = [worlds[other] - units[other] for other in _MECHANISMS if other != node]
    m, f, b = (worlds[v] for v in _MECHANISMS)
    composed = m * f + (1 - m) * b
    goal = units.do({_LABELS[node]: pairs.label})[node] if along == "y" else pairs.second[node]
    steps = (path[1:] - path[:-1]).flatten(2).norm(dim=2)
    moved = steps.mean(0) > 1e-6
    with torch.no_grad():
        seen = reader(x.flatten(0, 1)).softmax(1).reshape(_POINTS, -1, 10)
    own, other = (
        seen.gather(2, k.expand(_POINTS, -1).unsqueeze(2)).squeeze(2)
        for k in (units["Y"], pairs.label)
    )
    read = seen.argmax(2)
    return {
        "others": max(float(change.abs().max()) for change in held),
        "composite": float((x - composed).abs().max()),
        "end": max(
            float((path[0] - units[node]).abs().max()), float((path[-1] - goal).abs().max())
        ),
        "leap": float((steps.max(0).values / steps.mean(0))[moved].mean()),
        "own": own.mean(1).tolist(),
        "other": other.mean(1).tolist(),
        "became": 100 * float((read[-1] == pairs.label).double().mean()),
        "kept": 100 * float((read == read[0]).double().mean()),
    }


def _strips(cgn: CGN, pairs: _Pair) -> dict[str, list[Tensor | None]]:
    """The composites of the first pair along each path, and both ends of the masks'."""
    rows: dict[str, list[Tensor | None]] = {}
    for node, name in _MECHANISMS.items():
        for along in "uy":
            path = _path(cgn, pairs, node, along)
            rows[f"{name}, {along}"] = [*pairs.first.sweep({node: list(path)})["X"][:, 0]]
    return rows


def _tabulate(study: Study, kind: str, found: list[dict[tuple[str, str], dict[str, Any]]]) -> None:
    for node, along in found[0]:
        row = f"{NAMES[kind]}, {_MECHANISMS[node]} in {along}"
        each = [one[node, along] for one in found]
        for key, metric, goal in (
            ("others", "largest change of the two others' outputs", "<= 0"),
            ("composite", "largest deviation of X from m f + (1 - m) b", "<= 1e-6"),
            ("end", "deviation of the path's ends from the engine's counterfactuals", "<= 1e-4"),
            ("leap", f"largest of {_POINTS - 1} steps over their mean", "< 5"),
        ):
            study.row(row, metric, [one[key] for one in each], goal=goal)
        if along == "y":
            texture = node != "M"
            key, metric = (
                ("kept", "points where the digit that is read is the start's, %")
                if texture
                else ("became", "ends that are read as the other digit, %")
            )
            study.row(row, metric, [one[key] for one in each])
