"""What a data set costs beyond its samples, and how much faster two workers make it.

    python benchmarks/speed/generate.py [--quick] [--only table,images,published] [--repeats 1]
        [--out FILE]

prints one table of ratios measured in one run and writes `results/generate.json`. The works are a
million units of the 20-node model under `do`, in Parquet tables; 100,000 counterfactual images of
a CGN with the networks that `train_cgn` trains, shape and both textures of independent labels, as
PNG in tars; and 10,000 images of a CGN of the published architecture (random weights: speed does
not depend on their values). The systems: sampling alone, shard by shard on one thread, with
nothing written; `scm.generate` in one process, in two, which it starts, and on a Ray cluster of
two workers, which is there before the clock starts. All data sets of a work are compared, byte by
byte. The first work's samples take less time than two processes take to start.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from _table import Table

import scm
from scm.generation import Manifest
from scm.generation.interventions import Interventions
from scm.loading import load_model

HERE = Path(__file__).parent
ALONE, ONE, TWO, RAY = "sampling alone", "one process", "two processes", "Ray, two workers"
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


WORKS = {
    "table": Work(
        "a million units, 20 nodes", f"{HERE / '_systems.py'}:model", 1_000_000, ["X3=1"], None, 16
    ),
    "images": Work(
        "100,000 counterfactual images, 3x32x32, a CGN of train_cgn's networks",
        f"{HERE / '_cgns.py'}:small",
        100_000,
        LABELS,
        ["X"],
        64,
    ),
    "published": Work(
        "10,000 counterfactual images, 3x32x32, a CGN of the published architecture",
        f"{HERE / '_cgns.py'}:published",
        10_000,
        LABELS,
        ["X"],
        32,
    ),
}


def sample_alone(work: Work, manifest: Manifest) -> None:
    """The samples of every shard, and nothing else done with them."""
    model = load_model(work.model)
    view = Interventions.read(model, work.do).on(model)
    for shard in range(manifest.plan.shards):
        start, stop = manifest.plan.units_of(shard)
        samples = view.sample(stop - start, manifest.plan.seed, start=start)
        for column in manifest.plan.columns:
            samples[column.node]


def measure(table: Table, work: Work, folder: Path, cluster: str | None) -> None:
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

    manifest = make("first", workers=1)
    size = sum(shard.bytes for shard in manifest.shards) / work.units
    calls: dict[str, Callable[[], Any] | None] = {
        ALONE: lambda: sample_alone(work, manifest),
        ONE: lambda: make(ONE, workers=1),
        TWO: lambda: make(TWO, workers=2),
        RAY: (lambda: make(RAY, workers=2, ray=cluster)) if cluster else None,
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(table.repeats):
        order = list(calls)[turn % 4 :] + list(calls)[: turn % 4]
        for name in order:
            call = calls[name]
            if call is None:
                continue
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
            if name != ALONE:
                same(folder / "first", folder / name)
                shutil.rmtree(folder / name)
    shutil.rmtree(folder / "first")
    rates = {
        name: f"{work.units / min(taken):,.0f} units/s" for name, taken in seconds.items() if taken
    }
    note = {ONE: f"{size:.0f} bytes a unit"}
    cost = {name: seconds[name] for name in (ALONE, ONE)}
    table.compare(f"{work.title}: the cost of writing", cost, ALONE, "s", {ONE: COST}, note)
    workers = {name: seconds[name] for name in (ONE, TWO, RAY)}
    goals = {TWO: FASTER, RAY: FASTER}
    table.compare(f"{work.title}: workers", workers, ONE, "s", goals, rates)


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
    parser.add_argument("--repeats", type=int, default=1, help="turns of each system (1)")
    parser.add_argument("--no-ray", action="store_true", help="leave Ray out")
    parser.add_argument("--out", type=Path, help="results file, not results/generate.json")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    table = Table("generate", asked.repeats)
    with tempfile.TemporaryDirectory() as folder, _ray(asked.no_ray) as cluster:
        for name in asked.only.split(","):
            work = WORKS[name]
            if asked.quick:
                small = work.units // 100
                work = Work(f"(quick) {work.title}", work.model, small, work.do, work.nodes, 4)
            measure(table, work, Path(folder), cluster)
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
