"""Experiments of the papers, each run by `scm reproduce NAME`.

A reproduction is a module with one function, `run(study)`, and a line in `CATALOGUE`. It does
its work in cells, each of which runs once and is kept, so that a killed run goes on where it was;
it adds rows to the table, and pictures:

    def run(study: Study) -> None:
        steps = 100 if study.quick else 2000
        found = [study.cell(f"seed-{s}/net", train, seed=s, steps=steps) for s in study.seeds]
        study.row("net", "accuracy, %", [f["accuracy"] for f in found], paper=95.1, goal=">= 95")
        study.picture(draw(found), "Accuracy by seed", "accuracy")
"""

from scm.reproductions.catalogue import CATALOGUE, Reproduction, reproduce
from scm.reproductions.report import collect
from scm.reproductions.study import Row, Study

__all__ = ["CATALOGUE", "Reproduction", "Row", "Study", "collect", "reproduce"]
