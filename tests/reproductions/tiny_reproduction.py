"""A reproduction of three cells a seed; killed after as many as TINY_CELLS says."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from scm.reproductions import Study


def run(study: Study) -> None:
    size = 2 if study.quick else 5
    sums = []
    for seed in study.seeds:
        parts = [
            study.cell(f"seed-{seed}/part-{k}", work, k=k, size=size, log=str(study.out / "log"))
            for k in range(3)
        ]
        sums.append(float(sum(part["value"] for part in parts)))
    study.row("tiny", "sum", sums, paper=15.0, goal=">= 1000", note="it is | what it is")
    study.row("tiny, met", "sum", sums, goal="> 0")
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot(sums)
    study.picture(figure, "The sums", "sums")


def work(k: int, size: int, log: str) -> dict[str, Any]:
    path = Path(log)
    done = path.read_text().splitlines() if path.exists() else []
    if str(len(done)) == os.environ.get("TINY_CELLS"):
        if "TINY_KILL" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("cut off")
    path.write_text("\n".join([*done, f"{k} {size}"]) + "\n")
    return {"value": k * size}
