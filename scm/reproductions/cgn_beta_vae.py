"""Why a disentangled VAE does not do: its latents move colour and shape together.

Beta-VAEs learn the confounded coloured digits, where the colour follows from the class. Moves of
colour and of shape are measured on the ink of an image, see `scm.reproductions.ink`, in per cent
of the difference between two random images, so that 100 says "as another image". A latent is
moved to nine values from -2 to 2, the others staying at the posterior mean; a CGN's texture label
to its ten. The *most selective* latent is the one with the largest colour minus shape: the reading
that favours the VAE.

*Swapped* images are a VAE's attempt at counterfactuals: an image keeps its label and its latents,
but for those that predict the colour best (by squared correlation), which come from another image.
A judge, the classifier trained under `do(colour)`, says whether the digit is still there; the
nearest of the ten class means says which colour is. What the classifiers that learn from such
images make of unbiased digits stands beside the CGN's, which learned from the same images.

Source: Sauer and Geiger (2021), section 2.1 and appendix A.1 with figure 6, which shows two
latents and prints no figures; Higgins et al. (2017) for beta.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scm.learning import ConvNet, Stream, predict
from scm.learning.cgn import settings_of
from scm.mechanisms import CVAE, Image
from scm.mechanisms.cgn import compose
from scm.mechanisms.seeding import seeded
from scm.model import SCM, load
from scm.reproductions.cgn_parts import (
    classifier,
    counterfactuals,
    images_of,
    real_images,
)
from scm.reproductions.cgn_sources import Kept, kept_cgn
from scm.reproductions.ink import Ruler, ink, shuffled
from scm.reproductions.pictures import image_grid
from scm.reproductions.report import selected
from scm.reproductions.study import Study

__all__ = ["run"]

_KIND = "coloured"
_VAES = {  # latents, beta, latents that are swapped: three, since colours have three dimensions
    "2 latents, beta 4": (2, 4.0, 1),
    "10 latents, beta 1": (10, 1.0, 3),
    "10 latents, beta 10": (10, 10.0, 3),
}
_STEPS = torch.linspace(-2, 2, 9)
_SHOWN = 8


def run(study: Study) -> None:
    """Train the VAEs and the CGN with each seed, move and swap; tabulate and draw."""
    vaes = list(_VAES)[: 2 if study.quick else None]
    judged: dict[str, list[dict[str, Any]]] = {name: [] for name in [*vaes, "CGN"]}
    learned: dict[str, list[dict[str, Any]]] = {
        name: [] for name in _CLASSIFIERS if name in vaes or name not in _VAES
    }
    seconds = []
    for seed in study.seeds:
        kept = kept_cgn(study, _KIND, seed)
        made = _classifiers(study, seed, kept)
        judge = study.path(f"seed-{seed}/ceiling", "weights.pt")
        used = [kept.found.get("seconds", 0.0), *(found["seconds"] for found in made.values())]
        for name in vaes:
            judged[name].append(_vae(study, seed, name, judge))
            made[name] = _on_swapped(study, seed, name)
            used += [judged[name][-1]["seconds"], made[name]["seconds"]]
        judged["CGN"].append(_cgn(study, seed, kept, judge))
        for name, each in learned.items():
            each.append(made.get(name, {"unbiased": float("nan")}))
        seconds.append(sum(used))
    _tabulate(study, judged, learned)
    study.row("a seed, all trainings", "processor time, s", seconds)
    _draw(study, {name: judged[name][0]["predictors"] for name in vaes})


_CLASSIFIERS: dict[str, tuple[str, float | None, float | None]] = {
    "original": ("original images", 35.9, 37.6),
    **{name: (f"images swapped by the VAE, {name}", None, None) for name in _VAES},
    "CGN": ("counterfactuals of the CGN", 95.1, 92.3),
    "ceiling": ("images under do(colour): the ceiling", None, None),
}
"""By name, what a classifier learned from, and its accuracy in the paper and the reproduction."""


def _classifiers(study: Study, seed: int, kept: Kept) -> dict[str, dict[str, Any]]:
    """The classifiers that need no VAE."""
    plain = partial(classifier, study, kind=_KIND, seed=seed)
    original = partial(real_images, study, _KIND)
    made = {
        "original": plain(f"seed-{seed}/original", sources=original),
        "ceiling": plain(
            f"seed-{seed}/ceiling", sources=partial(original, domain="unbiased"), images="unbiased"
        ),
    }
    if kept.cgn is not None:
        label, source = f"seed-{seed}/cgn", partial(counterfactuals, study, kept.cgn, _KIND, seed)
        made["CGN"] = plain(label, sources=source, cgn=kept.key)
    return made


def _label(seed: int, name: str) -> str:
    return f"seed-{seed}/vae-{name.replace(', ', '-').replace(' ', '-')}"


def _vae(study: Study, seed: int, name: str, judge: Path) -> dict[str, Any]:
    latents, beta, swapped = _VAES[name]
    epochs, tried = (12, 30) if study.quick else (2, 500)
    settings = {"latents": latents, "beta": beta, "swapped": swapped, "epochs": epochs}
    work = partial(_learn, study, _label(seed, name))
    return study.cell(_label(seed, name), work, seed=seed, judge=judge, tried=tried, **settings)


def _on_swapped(study: Study, seed: int, name: str) -> dict[str, Any]:
    """The classifier trained on a VAE's swapped images, with the label of who keeps the rest."""
    swapped = _VAES[name][2]
    model = study.path(_label(seed, name), "vae.scm")

    def source() -> Stream:
        return Stream(_Swapped(_load(study, model), *images_of(study, _KIND), swapped, seed))

    label = f"{_label(seed, name)}/classifier"
    return classifier(study, label, _KIND, seed, source, vae=model, swapped=swapped)


def _learn(
    study: Study,
    label: str,
    seed: int,
    judge: Path,
    latents: int,
    beta: float,
    swapped: int,
    epochs: int,
    tried: int,
) -> dict[str, Any]:
    """A beta-VAE of the confounded images, what its latents move, and what swapping gives."""
    start = time.process_time()
    images, labels = images_of(study, _KIND)
    encoder, decoder = _networks(latents, seed)
    vae = CVAE(Image((3, 32, 32)), latents, (), "bernoulli", beta, encoder=encoder, decoder=decoder)
    model = SCM("X", X=vae).to(study.device)
    model.fit({"X": images}, epochs=epochs, batch=128, lr=2e-3, seed=seed, progress=study.progress)
    model.eval().save(study.path(label, "vae.scm"))
    ruler = Ruler.of(images)
    codes = _encode(vae, images[:tried])
    before = _decode(vae, codes)
    moved = []
    for latent in range(latents):
        worlds = [_set(codes, latent, float(value)) for value in _STEPS]
        moved.append(ruler.moved(before, [_decode(vae, world) for world in worlds]))
    colour, shape = max(moved, key=lambda pair: pair[0] - pair[1])
    pairs = _Swapped(vae, images, labels, swapped, seed)
    found = _judge(study, judge, ruler, images, labels, *pairs.draw(4 * tried, seed + 1))
    return {
        "colour": colour,
        "shape": shape,
        "predictors": pairs.latents,
        **found,
        "seconds": time.process_time() - start,
    }


def _cgn(study: Study, seed: int, kept: Kept, judge: Path) -> dict[str, Any]:
    """The same of the CGN: sweeps of its texture label; counterfactuals with other textures."""
    cgn = kept.cgn
    if cgn is None:  # its masks collapsed
        return dict.fromkeys(("colour", "shape", "masks", "digit", "hue", "both"), float("nan"))

    def work(seed: int, judge: Path, tried: int, digest: dict[str, Any]) -> dict[str, Any]:
        images, labels = images_of(study, _KIND)
        ruler = Ruler.of(images)
        cgn.sharpen(settings_of(_KIND).temperature)
        units = cgn.abduct({"X": images[:tried], "Y": labels[:tried]}, seed=seed)
        worlds = units.sweep(Y2=range(10))
        again = compose(units["M"], units["F"], units["B"])
        colour, shape = ruler.moved(again, list(worlds["X"]))
        keeps, gives = shuffled(4 * tried, len(labels), seed + 1).to(study.device)
        more = cgn.abduct({"X": images[keeps], "Y": labels[keeps]}, seed=seed)
        other = more.do(Y2=labels[gives])["X"]
        exact = float((worlds["M"] != units["M"]).any((-3, -2, -1)).double().mean())
        found = _judge(study, judge, ruler, images, labels, other, keeps, gives)
        return {"colour": colour, "shape": shape, "masks": 100 * exact, **found}

    settings = {"seed": seed, "judge": judge, "tried": 30 if study.quick else 500}
    return study.cell(f"seed-{seed}/cgn-moves", work, digest=kept.key, **settings)


def _networks(latents: int, seed: int) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder of three strided convolutions each, of layers that can be saved."""
    with seeded(seed):
        encoder = nn.Sequential(
            nn.Unflatten(1, (3, 32, 32)),
            nn.Conv2d(3, 16, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(1024, 128),
            nn.ReLU(),
            nn.Linear(128, 2 * latents),
        )
        decoder = nn.Sequential(
            nn.Linear(latents, 128),
            nn.ReLU(),
            nn.Linear(128, 1024),
            nn.ReLU(),
            nn.Unflatten(1, (64, 4, 4)),
            nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 3, 4, stride=2, padding=1),
            nn.Flatten(),
        )
    return encoder, decoder


def _load(study: Study, path: Path) -> CVAE:
    found = load(path).to(study.device).eval().mechanisms["X"]
    assert isinstance(found, CVAE)
    return found


@torch.no_grad()
def _encode(vae: CVAE, images: Tensor) -> Tensor:
    """Posterior means: abduction with fresh noise of 0."""
    parts = images.split(2000)
    return torch.cat([vae.abduct(x, {}, x.new_zeros(len(x), vae.latent)) for x in parts])


@torch.no_grad()
def _decode(vae: CVAE, codes: Tensor) -> Tensor:
    return vae.decode(codes, {})


class _Swapped:
    """Batches of swapped images, and labels of those that keep all but the colour's latents."""

    def __init__(self, vae: CVAE, images: Tensor, labels: Tensor, swapped: int, seed: int) -> None:
        self.vae, self.labels, self.seed = vae, labels, seed
        self.codes = _encode(vae, images)
        colours = torch.cat([ink(part)[0] for part in images.split(2000)])
        self.latents = _predictors(self.codes, colours, swapped)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for block in range(10_000):
            images, keeps, _ = self.draw(128, self.seed * 1_000_003 + block)
            yield images, self.labels[keeps]

    def draw(self, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """So many images, the rows whose label and latents they keep, those who give colour."""
        keeps, gives = (rows.to(self.codes.device) for rows in shuffled(n, len(self.codes), seed))
        codes = self.codes[keeps].clone()
        codes[:, self.latents] = self.codes[gives][:, self.latents]
        return _decode(self.vae, codes), keeps, gives


def _predictors(codes: Tensor, colours: Tensor, count: int) -> list[int]:
    """The latents with the largest mean squared correlation with the three channels."""
    z, c = codes - codes.mean(0), colours - colours.mean(0)
    norms = z.norm(dim=0)[:, None] * c.norm(dim=0)
    squared = (z.T @ c / norms.clamp(min=1e-12)).square().mean(1)
    return [int(k) for k in squared.topk(count).indices]


def _set(codes: Tensor, latent: int, value: float) -> Tensor:
    moved = codes.clone()
    moved[:, latent] = value
    return moved


def _judge(
    study: Study,
    weights: Path,
    ruler: Ruler,
    images: Tensor,
    labels: Tensor,
    made: Tensor,
    keeps: Tensor,
    gives: Tensor,
) -> dict[str, float]:
    """How often images keep the digit of one image and take the colour of another, in %."""
    network = nn.Sequential(nn.Identity(), ConvNet()).to(study.device)
    network.load_state_dict(torch.load(weights, weights_only=True))
    other = labels[keeps] != labels[gives]
    digit = (predict(network, made) == labels[keeps])[other]
    hue = (ruler.class_of(made) == ruler.class_of(images)[gives])[other]
    parts = {"digit": digit, "hue": hue, "both": digit & hue}
    return {name: 100 * float(right.double().mean()) for name, right in parts.items()}


def _tabulate(
    study: Study,
    judged: dict[str, list[dict[str, Any]]],
    learned: dict[str, list[dict[str, Any]]],
) -> None:
    for name, found in judged.items():
        what = "CGN, sweep of the texture's label" if name == "CGN" else f"most selective, {name}"
        for metric, key in (("colour moved", "colour"), ("shape moved", "shape")):
            study.row(what, f"{metric}, % of two images", [one[key] for one in found])
    exact = [one["masks"] for one in judged["CGN"]]
    study.row(
        "CGN, sweep of the texture's label", "masks changed, %", exact, goal="<= 0", note="exact"
    )
    for name, found in judged.items():
        what = "CGN, another texture label" if name == "CGN" else f"swapped, {name}"
        for metric, key in (
            ("digit kept, %", "digit"),
            ("colour taken, %", "hue"),
            ("both, %", "both"),
        ):
            study.row(what, metric, [one[key] for one in found])
    for name, each in learned.items():
        what, paper, reproduced = _CLASSIFIERS[name]
        values = [one["unbiased"] for one in each]
        study.row(what, "test accuracy, %", values, paper, reproduced, note=selected(each))


def _draw(study: Study, predictors: dict[str, list[int]]) -> None:
    seed = study.seeds[0]
    images, labels = images_of(study, _KIND)
    _plane(study, seed)
    firsts = torch.stack([(labels == k).nonzero()[0, 0] for k in range(_SHOWN)])
    swaps: dict[str, list[Tensor | None]] = {
        "keeps the digit": list(images[firsts]),
        "gives the colour": list(images[firsts.flip(0)]),
    }
    titles = [f"{value:g}" for value in _STEPS]
    for name, swapped in predictors.items():
        latents = _VAES[name][0]
        vae = _load(study, study.path(_label(seed, name), "vae.scm"))
        codes = _encode(vae, images[firsts])
        mixed = codes.clone()
        mixed[:, swapped] = codes.flip(0)[:, swapped]
        swaps[f"VAE, {name}"] = list(_decode(vae, mixed))
        if latents == 2:
            continue
        start = codes[:1].expand(len(_STEPS), latents)
        rows: dict[str, list[Tensor | None]] = {}
        for latent in range(latents):
            moved = start.clone()
            moved[:, latent] = _STEPS.to(moved)
            star = "*" if latent in swapped else ""
            rows[f"latent {latent}{star}"] = list(_decode(vae, moved))
        study.picture(
            image_grid(rows, titles),
            f"Traversals of the VAE with {name}, seed {seed}: one image's posterior mean with one "
            "latent set to each value. *: the latents that predict the colour best.",
            f"traversals-{name.split()[-1]}",
        )
    cgn = kept_cgn(study, _KIND, seed).cgn
    if cgn is not None:
        cgn.sharpen(settings_of(_KIND).temperature)
        units = cgn.abduct({"X": images[firsts], "Y": labels[firsts]}, seed=seed)
        swaps["CGN"] = list(units.do(Y2=labels[firsts.flip(0)])["X"])
    study.picture(
        image_grid(swaps, cell=0.7),
        "Attempts at counterfactuals: the digit of the first row in the colour of the second. VAEs "
        f"swap the latents that predict the colour best; the CGN sets a label. Seed {seed}.",
        "swaps",
    )


def _plane(study: Study, seed: int) -> None:
    """Figure 6: images over the plane of two latents."""
    name = next(iter(_VAES))
    vae = _load(study, study.path(_label(seed, name), "vae.scm"))
    side = torch.linspace(-2, 2, 11, device=study.device)
    codes = torch.cartesian_prod(side, side).flip(1)
    made = _decode(vae, codes).unflatten(0, (11, 11)).flip(0)
    study.picture(
        image_grid({f"{v:.1f}": list(row) for v, row in zip(side.flip(0), made, strict=True)}),
        f"The plane of the VAE with {name} from -2 to 2 (the paper's figure 6), seed {seed}: "
        "each region has its digit with its colour, and no axis changes one alone.",
        "plane",
    )
