"""Table 1 of CAGE: seven pairs of CelebA-HQ's attributes in a generator of faces.

The protocol, ready for weights: `generator`, a program of z -> images (TorchScript or `.pt2`; with
`mapping` in front of it the audit is in W, as wide as Z), and `latents`, a `.safetensors` file with
"latents" `(n, d)` of annotated images, of W where there is one, and one tensor of 0 and 1, `(n,)`,
for each of CelebA's attributes (Male, Mustache, Bald, Goatee, Rosy_Cheeks, Young, Pointy_Nose,
Brown_Hair, Smiling). Without them a tiny generator stands in, whose labels follow the paper's
*prior* by construction (a linear score of the parent and noise): its rows exercise the protocol and
say nothing of CelebA-HQ.

ANM, LiNGAM and NOTEARS get the heads' probabilities on counterfactuals, as in table 1; appendix
C's variants, hard labels and no counterfactuals, are rows of their own. On linear heads'
probabilities these methods see functions of Gaussians: their arrows are artefacts. A verdict is 1
for m1 -> m2, -1 for m1 <- m2 and 0 for neither. The paper says neither alpha (3 here), nor how
many units it drew (5,000), nor its level (5%).

Source: CAGE, section 4.2, table 1, appendices B and C.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from scm.discovery.attributes import Attribute
from scm.discovery.baselines import direct_lingam, notears
from scm.discovery.cage import baseline_columns, cage_paper
from scm.discovery.pairwise import pairwise
from scm.discovery.readings import units
from scm.errors import ScmError
from scm.mechanisms.compiled import read_program
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.seeding import seeded
from scm.mechanisms.types import Real
from scm.reproductions.cage_pictures import nulls_and_curves
from scm.reproductions.cage_toy import summary
from scm.reproductions.study import Study

__all__ = ["PAIRS", "run"]

_METHODS = ("ANM", "LiNGAM", "NOTEARS")
PAIRS: dict[tuple[str, str], tuple[int, int, int, int, int]] = {
    ("Male", "Mustache"): (1, 0, 1, 1, 1),
    ("Male", "Bald"): (1, 0, 1, 1, 1),
    ("Male", "Goatee"): (-1, -1, 1, 0, 1),
    ("Male", "Rosy_Cheeks"): (-1, -1, 1, 1, 1),
    ("Young", "Bald"): (0, 0, 1, -1, 1),
    ("Pointy_Nose", "Brown_Hair"): (0, -1, -1, 1, 0),
    ("Male", "Smiling"): (1, 0, 1, 0, 0),
}
"""What table 1 says of each pair: ANM, LiNGAM, NOTEARS, delta-tau, and the authors' prior."""

_ALPHA, _WIDTH, _ANNOTATED = 3.0, 32, 4_000
_WAYS = {"table 1": (True, True), "hard": (True, False), "no counterfactuals": (False, True)}


def run(study: Study) -> None:
    """Audit every pair with each seed; tabulate the verdicts beside the paper's."""
    permutations = 99 if study.quick else 1_000
    pairs = dict(list(PAIRS.items())[:2]) if study.quick else PAIRS
    settings: dict[str, Any] = {"permutations": permutations, "n": 1_000 if study.quick else 5_000}
    settings |= {"generator": study.options.get("generator", ""), "pairs": [*map(list, pairs)]}
    settings |= {k: study.options.get(k, "") for k in ("latents", "mapping")}
    cells = [
        study.cell(f"seed-{seed}/audit", partial(_audit, study.progress), seed=seed, **settings)
        for seed in study.seeds
    ]
    tiny = not settings["generator"]
    note = "a tiny generator: not the paper's" if tiny else ""
    for pair, (*others, by_delta, prior) in pairs.items():
        name = f"m1 = {pair[0]}, m2 = {pair[1]}"
        each = [cell["/".join(pair)] for cell in cells]
        papers: dict[str, float | None] = {
            **dict(zip(_METHODS, map(float, others), strict=True)),
            "delta-tau": float(by_delta),
        }
        for method, paper in papers.items():
            values = [one["verdicts"]["table 1"][method] for one in each]
            study.row(name, f"{method}, 1: ->, -1: <-", values, paper=paper, note=note)
        study.row(name, "prior, 1: ->, -1: <-", [float(prior)] * len(each), paper=float(prior))
        for metric, key in (
            ("delta-tau", "delta"),
            ("delta-tau from steepness alone", "predicted"),
            ("p, random directions", "p_random"),
            ("p of the GATE, permuted labels", "p_gate"),
        ):
            study.row(name, metric, [one[key] for one in each])
        for way in ("hard", "no counterfactuals"):
            for method in _METHODS:
                values = [one["verdicts"][way][method] for one in each]
                study.row(f"{name}, {way}", f"{method}, 1: ->, -1: <-", values)
    agree = [
        100
        * sum(
            cell["/".join(p)]["verdicts"]["table 1"]["delta-tau"] == v[-1] for p, v in pairs.items()
        )
        / len(pairs)
        for cell in cells
    ]
    study.row(
        "delta-tau and the prior",
        "pairs on which they agree, %",
        agree,
        paper=100 * 4 / 7,
        note='table 1 has 4 of 7, not the text\'s "all but one"',
    )
    shown = {"/".join(p): cells[0]["/".join(p)] for p in pairs}
    study.picture(
        nulls_and_curves(
            {k: (v["null_delta"], v["delta"], "delta-tau") for k, v in shown.items()},
            {k: (v["alphas"], v["curve"], v["curve_predicted"]) for k, v in shown.items()},
        ),
        "Delta-tau under random directions and as found; delta-tau over alpha, with what the "
        f"heads' steepness, bias and angle alone predict (seed {study.seeds[0]}). {note}",
        "nulls-and-curves",
    )


def _audit(
    progress: bool,
    seed: int,
    pairs: list[list[str]],
    permutations: int,
    n: int,
    **paths: str,
) -> dict[str, Any]:
    generator, latents, labels = _loaded(**paths) if paths["generator"] else _tiny(seed)
    heads = {
        name: Attribute.from_labels(name, generator, labels[name], latents=latents, seed=seed)
        for name in {name for pair in pairs for name in pair}
    }
    drawn, found = units(generator, n, seed), {}
    for first, second in pairs:
        pair = heads[first], heads[second]
        audit = cage_paper(
            generator,
            *pair,
            alpha=_ALPHA,
            n=n,
            permutations=permutations,
            seed=seed,
            progress=progress,
        )
        verdicts = {}
        for way, (counterfactuals, soft) in _WAYS.items():
            rows = drawn if counterfactuals else latents
            columns = baseline_columns(
                *pair, rows, alpha=_ALPHA, counterfactuals=counterfactuals, soft=soft
            )
            verdicts[way] = {method: _verdict(method, columns, seed) for method in _METHODS}
        arrows = {"c->e": 1.0, "e->c": -1.0, "none": 0.0}
        verdicts["table 1"]["delta-tau"] = arrows[audit.arrow()]
        more = {"verdicts": verdicts, "alphas": audit.alphas.tolist()}
        found[f"{first}/{second}"] = summary(audit) | more
    return found


def _verdict(method: str, columns: tuple[Tensor, Tensor], seed: int) -> float:
    """1 for m1 -> m2, -1 for m1 <- m2, 0 for neither."""
    x, y = columns
    if bool((x == x[0]).all() or (y == y[0]).all()):
        return 0.0
    if method == "ANM":
        return float(pairwise(x, y, "anm", seed=seed).score.sign())
    learn = direct_lingam if method == "LiNGAM" else notears
    edges = learn(torch.stack([x, y], 1), seed=seed).edges
    return float(edges[0, 1]) - float(edges[1, 0])


def _loaded(
    generator: str, latents: str, mapping: str
) -> tuple[LatentGenerator, Tensor, dict[str, Tensor]]:
    if not latents or not Path(latents).is_file():
        raise ScmError(
            f"generator={generator} was given with latents={latents!r}; expected a .safetensors "
            'file with "latents" (n, d) and a tensor of 0 and 1 for each attribute'
        )
    labels = load_file(latents)
    wanted = {"latents", *(name for pair in PAIRS for name in pair)}
    missing = sorted(wanted - labels.keys())
    if missing:
        raise ScmError(f"{latents} lacks {missing}; it holds {sorted(labels)}")
    z = labels.pop("latents")
    network = read_program(generator)
    front = read_program(mapping) if mapping else None
    with torch.no_grad():
        event = tuple(network(z[:1] if front is None else front(z[:1])).shape[1:])
    made = LatentGenerator(network, z.shape[1], Real(event), mapping=front)
    return (made.in_w() if front is not None else made), z, labels


def _tiny(seed: int) -> tuple[LatentGenerator, Tensor, dict[str, Tensor]]:
    """A random network, and labels of its latents that follow the paper's prior."""
    with seeded(seed):
        network = nn.Sequential(nn.Linear(_WIDTH, 64), nn.Tanh(), nn.Linear(64, 48), nn.Sigmoid())
    generator = LatentGenerator(network.requires_grad_(False).eval(), _WIDTH, Real((48,)))
    z = generator.draw(_ANNOTATED, seed + 1_000)
    source = torch.Generator().manual_seed(seed)
    names = sorted({name for pair in PAIRS for name in pair})
    own = dict(zip(names, z.T, strict=False))
    parents: dict[str, list[str]] = {name: [] for name in names}
    for (first, second), (*_, prior) in PAIRS.items():
        parents[second] += [first] * prior
    labels = {}
    for name in names:
        score = own[name] + 1.2 * sum((own[p] for p in parents[name]), torch.zeros(len(z)))
        labels[name] = (score + torch.randn(len(z), generator=source) > 0.3).long()
    return generator, z, labels
