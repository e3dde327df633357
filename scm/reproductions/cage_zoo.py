"""The zoo: simulated generators of known truth, and what each statistic makes of them.

Nine families, three latent gauges of each law p(x), heads trained on noisy labels. The default
(`scm.discovery.direction`) may abstain; delta-tau, ANM and LiNGAM are signs, and always decide.
Thresholds were frozen before (`scm.discovery.verdicts.Rules`), and anything that was tried out
was tried on model seeds below 1,000; run k has the model seeds from 1,000 (k + 1) on.

Source: the project's PAPERS.md, "CAGE, calibrated"; for delta-tau CAGE, equation 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scm.discovery.audit import audit
from scm.discovery.pairwise import pairwise
from scm.discovery.readings import readings, units
from scm.discovery.verdicts import ARROWS
from scm.discovery.zoo import FAMILIES, GAUGES, specimen
from scm.errors import ScmError
from scm.progress import progress_bar
from scm.reproductions.study import Study

__all__ = ["STATISTICS", "run"]

STATISTICS = {
    "default": "default (direction)",
    "delta-tau": "sign of delta-tau, alpha = 1",
    "anm": "sign of ANM, data scores",
    "lingam": "sign of LiNGAM, data scores",
}
"""What is compared, and what the table calls it."""

_FIRST = 1_000
_ROWS = 1_000  # of the baselines
_GOALS = {  # largest share of false arrows of the default, %
    "independent": "<= 5",
    "linear confounding": "<= 5",
    "non-monotone confounding": "<= 10",
}

Record = dict[str, Any]


def run(study: Study) -> None:
    """Audit every specimen and tabulate the arrows."""
    laws = 2 if study.quick else 6
    gauges = list(GAUGES)[:: 2 if study.quick else 1]
    found: dict[int, list[Record]] = {}
    for seed in study.seeds:
        found[seed] = []
        for family in FAMILIES:
            settings = {"family": family, "first": _FIRST * (seed + 1), "laws": laws}
            label = f"seed-{seed}/{family.replace(' ', '-')}"
            found[seed] += study.cell(
                label, _audit_family, gauges=gauges, progress=study.progress, **settings
            )
    for statistic in STATISTICS:
        _tabulate(study, found, statistic)
    records = [record for each in found.values() for record in each]
    told = [r for r in records if r["explained"] is not None and r["truth"] != "none"]
    share = 100 * sum(r["explained"] for r in told) / max(1, len(told))
    study.row(
        "delta-tau on pairs with an edge",
        "sign as steepness predicts, %",
        {study.seeds[0]: share},
        note=f"{len(told)} models, of all seeds",
    )
    study.row("models", "number", {study.seeds[0]: len(records)}, note="of all seeds")


def _audit_family(
    family: str, first: int, laws: int, gauges: Sequence[str], progress: bool
) -> list[Record]:
    """Audit each law of the family behind each gauge."""
    found = []
    with progress_bar(family, laws * len(gauges), "models", progress) as advance:
        for law in range(first, first + laws):
            for k, gauge in enumerate(gauges):
                found.append(_audit_one(family, law, gauge, law * len(GAUGES) + k))
                advance(gauge)
    return found


def _audit_one(family: str, law: int, gauge: str, seed: int) -> Record:
    one = specimen(family, law, gauge)
    told = audit(
        one.generator, one.attributes, refits=one.refits, gauges=0, seed=seed, progress=False
    )["c", "e"]
    read = readings(one.generator, one.attributes, units(one.generator, _ROWS, seed + 1))
    diagnosis = told.diagnosis
    tau = 0.0 if diagnosis is None else diagnosis.measured[diagnosis.alphas.index(1.0)]
    anm = pairwise(read["c"], read["e"], "anm", regression="spline", permutations=1)
    return {
        "family": family,
        "law": law,
        "gauge": gauge,
        "truth": one.truth,
        "verdict": told.verdict,
        "default": told.verdict if told.verdict in ARROWS else "",
        "delta-tau": _arrow(tau),
        "anm": _arrow(float(anm.score)),
        "lingam": _arrow(_lingam(read["c"], read["e"])),
        "explained": None if diagnosis is None else diagnosis.explained,
    }


def _lingam(c: Any, e: Any) -> float:
    """The score of DirectLiNGAM; 0, no verdict, where lingam is not installed."""
    try:
        return float(pairwise(c, e, "lingam").score)
    except ScmError:
        return 0.0


def _arrow(score: float) -> str:
    return "" if score == 0 else "c->e" if score > 0 else "e->c"


def _tabulate(study: Study, found: dict[int, list[Record]], statistic: str) -> None:
    name, ours = STATISTICS[statistic], statistic == "default"

    def row(metric: str, kept: Any, hit: Any, goal: str | None = None) -> None:
        """The share of hits among the records that are kept."""
        counts = {}
        for seed, records in found.items():
            chosen = [r for r in records if kept(r)]
            counts[seed] = (sum(map(bool, map(hit, chosen))), len(chosen))
        hits, n = (sum(column) for column in zip(*counts.values(), strict=True))
        values = {s: 100 * k / m if m else float("nan") for s, (k, m) in counts.items()}
        note = f"{hits} of {n}, 95% limits {_limits(hits, n)}"
        study.row(name, metric, values, goal=goal if ours else None, note=note)

    def kind(record: Record) -> str:
        return FAMILIES[record["family"]].kind

    row(
        "right, % of arrows where there is an edge",
        lambda r: kind(r) != "no edge" and r[statistic],
        lambda r: r[statistic] == r["truth"],
        ">= 95",
    )
    row(
        "decided, % of identifiable edges",
        lambda r: kind(r) == "edge",
        lambda r: r[statistic],
        ">= 70",
    )
    for family, of in FAMILIES.items():
        if of.kind == "no edge":
            row(
                f"false arrows, % of {family}",
                lambda r, family=family: r["family"] == family,
                lambda r: r[statistic],
                _GOALS.get(family),
            )
        elif of.kind == "unidentifiable edge":
            row(
                f"wrong arrows, % of {family}s",
                lambda r, family=family: r["family"] == family,
                lambda r: r[statistic] not in ("", r["truth"]),
            )
    values = {seed: len(_contradictions(records, statistic)) for seed, records in found.items()}
    laws = {(r["family"], r["law"]) for records in found.values() for r in records}
    study.row(
        name,
        "laws p(x) whose gauges get opposite arrows",
        values,
        goal="<= 0" if ours else None,
        note=f"{sum(values.values())} of {len(laws)}",
    )


def _contradictions(records: Sequence[Record], statistic: str) -> list[tuple[str, int]]:
    """Laws that get both arrows, one behind one gauge and one behind another."""
    arrows: dict[tuple[str, int], set[str]] = {}
    for r in records:
        arrows.setdefault((r["family"], r["law"]), set()).add(r[statistic])
    return [law for law, seen in arrows.items() if set(ARROWS) <= seen]


def _limits(hits: int, n: int) -> str:
    """Clopper and Pearson's, in %."""
    from scipy.stats import binomtest

    if n == 0:
        return "unknown"
    low, high = binomtest(hits, n).proportion_ci(method="exact")
    return f"{100 * low:.1f} to {100 * high:.1f}"
