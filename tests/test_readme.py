"""The code in the README runs."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import scm

README = Path(__file__).parents[1] / "README.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_the_first_block_runs() -> None:
    space: dict[str, Any] = {}
    exec(blocks()[0], space)
    assert isinstance(space["model"], scm.SCM)
    assert space["units"].n == 10_000


def test_every_line_of_the_second_block_runs() -> None:
    table = scm.Tabular([[[0.9, 0.1], [0.5, 0.5]], [[0.6, 0.4], [0.1, 0.9]]])
    model = scm.SCM(
        "U -> X, Y; X -> M -> Y",
        latent=["U"],
        U=scm.Root.bernoulli(0.4),
        X=scm.Tabular([[0.8, 0.2], [0.3, 0.7]]),
        M=scm.Tabular([[0.9, 0.1], [0.25, 0.75]]),
        Y=table,
    )
    units = model.sample(2000, seed=0)
    data = {"X": units["X"], "M": units["M"], "Y": units["Y"], "W": units["U"]}
    space: dict[str, Any] = {"scm": scm, "model": model, "data": data}
    refused = 0
    for statement in ast.parse(blocks()[1]).body:
        code = ast.unparse(statement)
        if "X -> Y; X <-> Y" in code and "M" not in code:
            with pytest.raises(scm.NotIdentifiedError):
                exec(code, space)
            refused += 1
        else:
            exec(code, space)
    assert refused == 1


def test_the_third_block_runs() -> None:
    space: dict[str, Any] = {"scm": scm}
    exec(blocks()[2], space)
    effect = space["found"].macro_model().exact().prob({"T": 1}, do={"C": 1})
    assert f"tensor({effect:.4f})" in blocks()[2]
    units = space["pixels"].do(C=1).sample(100, seed=1)
    assert scm.datasets.has_row(units["I"]).float().mean() > 0.9
    assert len(space["causes"].answers) == 40


def test_the_fourth_block_runs() -> None:
    space: dict[str, Any] = {"scm": scm}
    exec(blocks()[3], space)
    worlds = space["units"].sweep(Y1=range(10)).sweep(Y2=range(10)).sweep(Y3=range(10))
    assert worlds["X"].shape == (10, 10, 10, 8, 3, 32, 32)
    assert len(list(space["images"])) == 79


def test_the_fifth_block_runs() -> None:
    space: dict[str, Any] = {"torch": torch}
    exec(blocks()[4], space)
    assert f"# {space['found'].arrows};" in blocks()[4]


def test_figures_of_speed_are_those_of_the_last_run() -> None:
    folder = README.parent / "benchmarks" / "speed" / "results"
    text = README.read_text()
    for name, work, system, digits in (
        ("nulls", "| scikit-learn in a loop |", "scm: permutation_refits", 3),
        ("anm", "| cdt and causal-learn |", "1000 rows: scm: pairwise, Gaussian process", 3),
        ("anm", "190 pairs of 20 attributes | three minutes |", "Gaussian process", 3),
        ("audit", "with its page | three minutes |", "audit and page", 2),
        ("steering", "one of 60 directions set in each | the network itself |", "in each image", 2),
        ("steering", "in closed form | ten seconds |", "32768: scm: closed form", 3),
        (
            "generate",
            "100,000 counterfactual images, two workers of Ray | one process |",
            "networks: workers: Ray, two workers",
            2,
        ),
        (
            "generate",
            "a million rows of a table, two workers of Ray | one process |",
            "a million units, 20 nodes: workers: Ray, two workers",
            2,
        ),
    ):
        rows = json.loads((folder / f"{name}.json").read_text())["rows"]
        found = [r["ratio"] for r in rows if r["row"].endswith(system)]
        assert any(f"{work} {ratio:.{digits}f} |" in text for ratio in found), (name, found)


def test_figures_of_the_papers_are_those_of_the_last_run() -> None:
    folder = README.parent / "benchmarks" / "papers"
    found: dict[tuple[str, str], float] = {}
    for name in ("vcfl-grating", "vcfl-mnist"):
        for row in json.loads((folder / name / "results.json").read_text())["rows"]:
            found[row["row"], row["metric"].split(",")[0]] = row["mean"]
    text = " ".join(README.read_text().split())
    for said, row, metric in (
        ("right for {:.1f} % of new images", "learned causal class", "true"),
        ("observed: {:.1f} %", "same network, observational labels alone", "true"),
        ("err in {:.0f} % of round 20", "trained with noise, round 20", "manipulation error"),
        ("way here: {:.1f} %", "trained without noise, round 20", "manipulation error"),
        ("finds {:.1f} % of", "networks trained with noise, 5 rounds", "error by the judge"),
    ):
        assert said.format(found[row, metric]) in text, said


def test_figures_of_the_cgns_are_those_of_the_last_run() -> None:
    folder = README.parent / "benchmarks" / "papers" / "cgn-mnist"
    found = {
        row["row"]: row["mean"]
        for row in json.loads((folder / "results.json").read_text())["rows"]
        if row["metric"] == "unbiased t10k accuracy, %"
    }
    text = README.read_text()
    for line, row in (
        ("the confounded images", "original"),
        ("paper: 95.1, 89.0, 85.7)", "counterfactuals only, noise abducted"),
        ("noise drawn and not abducted", "counterfactuals only, noise from the prior"),
        ("the ceiling", "ceiling: own do(colour) images"),
    ):
        kinds = ("coloured", "double-coloured", "Wildlife")
        shown = " | ".join(f"{found[f'{kind}: {row}']:.1f}" for kind in kinds)
        assert f"{line} | {shown} |" in text, line
