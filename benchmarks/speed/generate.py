"""What a data set costs beyond its samples, and how much faster two workers make it.

    python benchmarks/speed/generate.py [--quick] [--only table,long,images,published]
        [--repeats N] [--no-ray] [--out FILE]

prints one table of ratios measured in one run and writes `results/generate.json`. The works are a
million, and five million, units of the 20-node model under `do`, in Parquet tables; 100,000
counterfactual images of a CGN with the networks that `train_cgn` trains, shape and both textures
of independent labels, as PNG in tars; and 1,000 images of a CGN of the published architecture
(random weights: speed does not depend on their values).

The systems: sampling alone, with nothing done to the samples; one plain file, to which the same
bytes are appended, and which the disk is asked to keep once, at its end; `scm.generate` in one
process, in two, and on a Ray cluster of two workers. What one process takes beyond the plain file
is the cost of shards, checksums and the manifest; it writes a shard while it computes the next, on
a second core where there is one, which leaves two processes less to gain. Clocks start when torch
is imported, that of two processes too (their first call in a session takes the seconds more that
its row tells), and the cluster is there. All data sets of a work are compared, byte by byte.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _table import Table

import scm
from scm.generation import Manifest, Plan, read_manifest
from scm.generation.generating import _rows as rows_of
from scm.generation.interventions import Interventions
from scm.generation.shards import encode
from scm.loading import load_model
from scm.parallel import processes

HERE = Path(__file__).parent
ALONE, PLAIN = "sampling alone", "one plain file"
ONE, TWO, RAY = "one process", "two processes", "Ray, two workers"
COST, FASTER = 1.1, 1 / 1.7
LABELS = [f"Y{k}=Categorical({', '.join(['0.1'] * 10)})" for k in (1, 2, 3)]


@dataclass(frozen=True)
class Work:
    title: str
    model: str
    units: int
    do: list[str]
    nodes: list[str] | None
    shards: int
    repeats: int


TABLE, CGNS = f"{HERE / '_systems.py'}:model", HERE / "_cgns.py"
IMAGES = "counterfactual images, 3x32x32, a CGN of"
WORKS = {
    "table": Work("a million units, 20 nodes", TABLE, 10**6, ["X3=1"], None, 4, 5),
    "long": Work("five million units, 20 nodes", TABLE, 5 * 10**6, ["X3=1"], None, 20, 3),
    "images": Work(
        f"100,000 {IMAGES} train_cgn's networks", f"{CGNS}:small", 10**5, LABELS, ["X"], 64, 3
    ),
    "published": Work(
        f"1,000 {IMAGES} the published architecture",
        f"{CGNS}:published",
        1000,
        LABELS,
        ["X"],
        16,
        2,
    ),
}


def sampled(work: Work, plan: Plan) -> Iterator[dict[str, np.ndarray]]:
    """Values of every shard."""
    model = load_model(work.model)
    view = Interventions.read(model, work.do).on(model)
    for shard in range(plan.shards):
        start, stop = plan.units_of(shard)
        samples = view.sample(stop - start, plan.seed, start=start)
        yield {column.node: rows_of(samples, column) for column in plan.columns}


def write_plainly(work: Work, plan: Plan, path: Path) -> None:
    with open(path, "wb") as file:
        for shard, arrays in enumerate(sampled(work, plan)):
            file.write(encode(plan, shard, arrays))
        file.flush()
        os.fsync(file.fileno())


def measure(table: Table, work: Work, folder: Path, cluster: str | None, note: str) -> None:
    def make(name: str, **arguments: Any) -> Manifest:
        return scm.generation.generate(
            work.model,
            folder / name,
            work.units,
            do=work.do,
            nodes=work.nodes,
            shards=work.shards,
            progress=False,
            **arguments,
        )

    def plan() -> Plan:
        return read_manifest(folder / "first").plan

    calls: dict[str, Callable[[], Any] | None] = {
        ONE: lambda: make(ONE, workers=1),
        TWO: lambda: make(TWO, workers=2),
        RAY: (lambda: make(RAY, workers=2, ray=cluster)) if cluster else None,
        PLAIN: lambda: write_plainly(work, plan(), folder / "plain"),
        ALONE: lambda: deque(sampled(work, plan()), maxlen=0),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(work.repeats):
        order = list(calls)[turn % 5 :] + list(calls)[: turn % 5]
        for name in order:
            call, made = calls[name], folder / name
            if call is None:
                continue
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
            if not (folder / "first").exists():
                made.rename(folder / "first")
            elif made.exists():
                same(folder / "first", made)
                shutil.rmtree(made)
    size = sum(shard.bytes for shard in read_manifest(folder / "first").shards) / work.units
    shutil.rmtree(folder / "first")
    rates = {
        name: f"{work.units / statistics.median(taken):,.0f} units/s"
        for name, taken in seconds.items()
        if taken
    }
    rates[TWO] += f"; {note}"
    cost = {name: seconds[name] for name in (PLAIN, ALONE, ONE)}
    notes = {ALONE: rates[ALONE], PLAIN: f"{rates[PLAIN]}, {size:.0f} bytes a unit"}
    table.compare(f"{work.title}: the cost of writing", cost, PLAIN, "s", {ONE: COST}, notes)
    workers = {name: seconds[name] for name in (ONE, TWO, RAY)}
    goals = {TWO: FASTER, RAY: FASTER}
    table.compare(f"{work.title}: workers", workers, ONE, "s", goals, rates)


def first_start() -> float:
    """Seconds that new processes take at the first call in a session."""

    def call() -> float:
        start = time.perf_counter()
        list(processes(2)(abs, range(2)))
        return time.perf_counter() - start

    return call() - call()


def same(first: Path, second: Path) -> None:
    names = {path.name for path in first.iterdir()}
    assert names == {path.name for path in second.iterdir()}
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


@contextmanager
def cluster_of_two() -> Iterator[str | None]:
    """Address of a Ray cluster of two workers, connected to; None where ray is missing."""
    try:
        import ray
        from ray.cluster_utils import Cluster
    except ImportError:
        yield None
        return
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_worker_niceness": "0",  # 15 by default
    }
    head = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        ray.init(cluster.address, log_to_driver=False)
        yield cluster.address
    finally:
        ray.shutdown()
        cluster.shutdown()


def main(arguments: Sequence[str] | None = None) -> Table:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a hundredth of the units")
    parser.add_argument("--only", default=",".join(WORKS), help=f"some of {', '.join(WORKS)}")
    parser.add_argument("--repeats", type=int, help="turns of each system (2 to 5, by work)")
    parser.add_argument("--no-ray", action="store_true", help="leave Ray out")
    parser.add_argument("--out", type=Path, help="results file, not results/generate.json")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    table = Table("generate", asked.repeats or 1)
    note = f"at the first call of a session {first_start():.1f} s more"
    with tempfile.TemporaryDirectory() as folder, _ray(asked.no_ray) as cluster:
        for name in asked.only.split(","):
            work = WORKS[name]
            if asked.quick:
                title, units = f"(quick) {work.title}", work.units // 100
                work = replace(work, title=title, units=units, shards=4, repeats=1)
            work = replace(work, repeats=asked.repeats or work.repeats)
            measure(table, work, Path(folder), cluster, note)
    table.show()
    words = " ".join(sys.argv[1:] if arguments is None else arguments)
    print(
        f"written: {table.save(f'python benchmarks/speed/generate.py {words}'.strip(), asked.out)}"
    )
    return table


@contextmanager
def _ray(left_out: bool) -> Iterator[str | None]:
    if left_out:
        yield None
        return
    with cluster_of_two() as address:
        yield address


if __name__ == "__main__":
    main()
