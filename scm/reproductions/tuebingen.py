"""The Tuebingen cause-effect pairs: weighted accuracy of what says which of two is the cause.

cdt ships 99 of the pairs: those of 1 to 104 whose two variables are numbers. The first 95 of them
are the paper's, which ended at pair 100, and have a row of their own. A pair's weight is one over
the number of pairs from its source, as the collection's list of pairs has it. The first is the
cause in all of cdt's, which no method is told: each treats its two arguments alike, and has to
decide every pair. Of more than 1,000 rows so many are drawn, others with each seed; the methods
standardise. Nothing was chosen on these pairs.

The row "as published" is the paper's ANM-pHSIC: all rows of each pair, kernels of the median
distance, no split of the data, and the direction whose HSIC has the larger p-value by its gamma
law. (Its Gaussian process has 100 inducing points; here it has a factor of rank 64.)

Source: Mooij et al. (2016), sections 3, 5 and 6: 63 +- 10 % for ANM-pHSIC; the settings also in
the scripts that its authors published (`cep_anm`).
"""

from __future__ import annotations

import importlib.util
import math
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from scm.discovery.pairwise import pairwise
from scm.errors import ScmError
from scm.reproductions.study import Study

Array: TypeAlias = npt.NDArray[np.float64]

__all__ = ["read_pairs", "run", "weights"]

_PUBLISHED, _GP = "ANM, Gaussian process, as published", "ANM, Gaussian process"
_METHODS: dict[str, dict[str, Any]] = {
    _PUBLISHED: {"method": "anm", "regression": "gp", "gamma": True, "rows": None},
    _GP: {"method": "anm", "regression": "gp"},
    "ANM, spline": {"method": "anm", "regression": "spline"},
    "LiNGAM": {"method": "lingam"},
    "IGCI (cdt)": {"method": "cdt-igci"},
    "CDS (cdt)": {"method": "cdt-cds"},
}
_ROWS, _PAPERS, _PARTS = 1_000, 95, 8
# In the collection's order: so many pairs of such a weight; 0 for those of more variables.
_WEIGHTS = (
    (4, 1 / 6), (7, 1 / 7), (1, 1 / 2), (4, 1 / 4), (1, 1 / 2), (2, 1.0), (2, 1 / 6), (3, 1 / 3),
    (8, 1 / 8), (5, 1 / 5), (4, 1 / 4), (1, 1 / 2), (4, 1 / 4), (2, 1.0), (3, 1 / 3), (4, 0.0),
    (9, 1 / 12), (3, 1 / 3), (3, 1.0), (1, 0.0), (1, 1.0), (3, 1 / 12), (1, 1.0), (1, 1 / 2),
    (6, 1 / 3), (5, 1.0), (4, 1 / 4), (1, 1.0), (3, 1 / 3), (2, 1 / 5), (2, 1.0), (1, 1 / 2),
    (3, 1 / 5),
)  # fmt: skip


def weights() -> Array:
    """Weights of cdt's 99 pairs: those of 1 to 104 without the five of more variables."""
    every = list(chain.from_iterable([weight] * count for count, weight in _WEIGHTS))
    return np.array([weight for weight in every if weight > 0])


def read_pairs() -> list[tuple[Array, Array]]:
    """The pairs that cdt ships, the cause first, read from its files without importing it.

    Raises:
        ScmError: If cdt is not installed.
    """
    found = importlib.util.find_spec("cdt")
    if found is None or found.origin is None:
        raise ScmError("the Tuebingen pairs come with cdt: pip install 'neural-scm[discovery]'")
    folder = Path(found.origin).parent / "data" / "resources"
    targets = [
        float(line.rsplit(",", 1)[1])
        for line in (folder / "Tuebingen_targets.csv").read_text().splitlines()[1:]
    ]
    pairs = []
    lines = (folder / "Tuebingen_pairs.csv").read_text().splitlines()[1:]
    for line, target in zip(lines, targets, strict=True):
        a, b = (np.array(part.split(), dtype=float) for part in line.split(",")[1:3])
        pairs.append((a, b) if target > 0 else (b, a))
    return pairs


def run(study: Study) -> None:
    """Score every method on every pair and tabulate weighted accuracies."""
    every = 8 if study.quick else 1
    chosen = list(range(0, len(weights()), every))
    heavy = weights()[chosen]
    seeds = {name: study.seeds[: 1 if name == _PUBLISHED else None] for name in _METHODS}
    cells = {
        _label(name, seed, part): (
            _score,
            {"options": options, "pairs": chosen, "part": part, "seed": seed},
        )
        for name, options in _METHODS.items()
        for seed in seeds[name]  # the published one takes all rows, so draws none
        for part in range(_PARTS)
    }
    found = study.grid(cells)
    for name in _METHODS:
        right = {}
        for seed in seeds[name]:
            parts = [found[_label(name, seed, part)] for part in range(_PARTS)]
            scores = np.array(list(chain.from_iterable(parts)))
            right[seed] = np.where(scores == 0, 0.5, scores > 0)
        for count in (len(weights()), _PAPERS):
            among, whose = np.array(chosen) < count, "the paper's " if count == _PAPERS else ""
            w, ours = heavy[among], name.startswith("ANM")
            shares = {s: 100 * float(w @ each[among] / w.sum()) for s, each in right.items()}
            limits = _limits(np.mean(list(right.values()), 0)[among], w)
            study.row(
                name,
                f"weighted accuracy, % of {whose}{len(w)} pairs",
                shares,
                paper=63.0 if whose and ours else None,
                goal=">= 63" if name in (_PUBLISHED, _GP) and not whose else None,
                note=f"95% interval {limits} (weights count as so many pairs)",
            )


def _label(name: str, seed: int, part: int) -> str:
    options = _METHODS[name]
    published = "-published" * (name == _PUBLISHED)
    method = f"{options['method']}-{options.get('regression', 'any')}{published}"
    return f"seed-{seed}/{method}/part-{part}"


def _score(options: dict[str, Any], pairs: list[int], part: int, seed: int) -> list[float]:
    """Scores of one part of the pairs, on rows that are drawn for all of them in order."""
    data, found = read_pairs(), []
    first, stop = (len(pairs) * k // _PARTS for k in (part, part + 1))
    generator = torch.Generator().manual_seed(seed)
    more: dict[str, Any] = {"permutations": 1} if options["method"] == "anm" else {}
    for place, k in enumerate(pairs[:stop]):
        most = options.get("rows", _ROWS)
        rows = torch.randperm(len(data[k][0]), generator=generator)[:most].numpy()
        if place >= first:
            a, b = (torch.as_tensor(each[rows]) for each in data[k])
            found.append(float(pairwise(a, b, **options, **more).score))
    return found


def _limits(right: Array, heavy: Array) -> str:
    """Wilson's interval of a weighted share, whose n is that of Kish, in %."""
    share, n = float((heavy * right).sum() / heavy.sum()), heavy.sum() ** 2 / (heavy**2).sum()
    z = 1.96
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return f"{100 * (middle - reach):.0f} to {100 * (middle + reach):.0f}"
