import math

import numpy as np
import pytest

from scm.discovery.zoo import FAMILIES
from scm.reproductions import cage_zoo, tuebingen
from scm.reproductions.study import Study


def record(family, law, verdict, truth="none", gauge="as built"):
    arrow = verdict if "->" in verdict else ""
    signs = dict.fromkeys(("delta-tau", "anm", "lingam"), "c->e")
    told = {"family": family, "law": law, "gauge": gauge, "truth": truth, "verdict": verdict}
    return {**told, "default": arrow, "explained": True, **signs}


def fake(family, first, laws, gauges, progress):
    if FAMILIES[family].kind == "no edge":
        return [record(family, first, "c->e"), record(family, first + 1, "none")]
    first_two = [record(family, first, "c->e", "c->e"), record(family, first, "e->c", "c->e")]
    return [*first_two, record(family, first + 1, "abstain", "c->e")]


def learnt(family, law, steps):
    edge = FAMILIES[family].kind != "no edge"
    return [record(family, law, "e->c", "c->e" if edge else "none"), record(family, law, "none")]


def p_values(draws, seed):
    return {"one": [0.005] * 20 + [0.5] * 980, "other": [0.5] * 1_000}


def test_the_table_counts_arrows(monkeypatch, tmp_path):
    from rich.console import Console

    monkeypatch.setattr(cage_zoo, "_audit_family", fake)
    monkeypatch.setattr(cage_zoo, "_audit_trained", learnt)
    monkeypatch.setattr(cage_zoo, "_null_draws", p_values)
    study = Study("cage-zoo", tmp_path, console=Console(quiet=True), progress=False)
    cage_zoo.run(study)
    found = {(row.row, row.metric): row for row in study.rows}
    ours = cage_zoo.STATISTICS["default"]
    assert found[ours, "right, % of arrows where there is an edge"].mean == 50
    assert found[ours, "decided, % of identifiable edges"].mean == pytest.approx(200 / 3)
    independent = found[ours, "false arrows, % of independent"]
    assert independent.mean == 50
    assert "1 of 2, 95% limits 1.3 to 98.7" in independent.note
    assert independent.met is False
    # Each family with an edge has one law with both arrows.
    edges = sum(family.kind != "no edge" for family in FAMILIES.values())
    assert found[ours, "laws p(x) whose gauges get opposite arrows"].mean == edges
    sign = cage_zoo.STATISTICS["delta-tau"]
    assert found[sign, "false arrows, % of independent"].mean == 100
    assert found[sign, "false arrows, % of independent"].goal is None
    level = "type-I error at 1%, %"
    assert (found["p-value: one", level].mean, found["p-value: one", level].met) == (2, False)
    assert (found["p-value: other", level].mean, found["p-value: other", level].met) == (0, True)
    assert found["p-value: one", level].goal == "<= 1.5"
    trained = f"{ours}; trained flows and VAEs"
    assert found[trained, "right, % of arrows where there is an edge"].mean == 0
    assert found[trained, "decided, % of identifiable edges"].mean == 50
    assert found[trained, "false arrows, % without an edge"].mean == 50


def test_limits_are_clopper_and_pearsons():
    # With no hit in n the upper limit is 1 - 0.025^(1/n).
    assert cage_zoo._limits(0, 50) == f"0.0 to {100 * (1 - 0.025 ** (1 / 50)):.1f}"
    assert cage_zoo._limits(0, 0) == "unknown"


def test_weights_of_the_pairs_are_those_of_their_sources():
    weights = tuebingen.weights()
    assert len(weights) == 99
    assert math.isclose(weights[:4].sum() + weights[19:21].sum(), 1)  # the weather service's six
    assert math.isclose(weights[4:11].sum(), 1)  # abalone
    assert tuebingen._limits(np.array([1.0, 0.0] * 50), np.ones(100)) == "40 to 60"


def test_the_pairs_can_be_read():
    pytest.importorskip("cdt")
    pairs = tuebingen.read_pairs()
    assert len(pairs) == 99
    assert all(len(a) == len(b) > 90 for a, b in pairs)


@pytest.mark.slow
def test_a_quick_run_of_the_zoo(tmp_path):
    from rich.console import Console

    study = Study("cage-zoo", tmp_path, quick=True, console=Console(quiet=True), progress=False)
    cage_zoo.run(study)
    found = {(row.row, row.metric): row for row in study.rows}
    ours = cage_zoo.STATISTICS["default"]
    assert found[ours, "right, % of arrows where there is an edge"].mean >= 75
