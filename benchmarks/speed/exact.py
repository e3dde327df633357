"""Exact effects in networks of tables, against pgmpy; and identification, against y0.

    python benchmarks/speed/exact.py [--quick] [--repeats 7] [--out FILE] [--no-peers]

prints one table of ratios measured in one run and writes `results/exact.json`. Each network
is the same on both sides, and before a clock starts their answers are compared to 1e-9. pgmpy
cuts the edges into the treatment (`network.do`) and eliminates variables; y0 runs the same ID
algorithm. Peers are optional (the extra `bench` has pgmpy; y0 is `pip install y0`).
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _table import Table

import scm
from scm.errors import NotIdentifiedError
from scm.exact import Joint

ENGINE, PGMPY, Y0 = "this library", "pgmpy", "y0"
SIZES = (8, 12, 20, 30, 40)
QUERIES = 100


@dataclass(frozen=True)
class Network:
    """A discrete network, a treatment, and an outcome below it."""

    name: str
    model: scm.SCM
    treatment: str
    outcome: str

    @property
    def asked(self) -> list[tuple[str, Any, str]]:
        """100 different queries (treatment, value, outcome): all effects of the treatment first.

        Each treatment is taken at every value, and for each outcome below it; then come other
        treatments, those with most below them first, and last what no treatment reaches.
        """
        graph, levels = self.model.graph, self.model.exact().levels
        first = [v for v in graph.nodes if v != self.treatment]
        first.sort(key=lambda v: -len(graph.descendants(v)))
        pairs = [(x, y) for x in (self.treatment, *first) for y in graph.nodes if x != y]
        pairs.sort(key=lambda pair: pair[1] not in graph.descendants(pair[0]))
        return [(x, value, y) for x, y in pairs for value in levels[x]][:QUERIES]


def random_network(n: int, seed: int) -> Network:
    """Nodes of 2 to 4 levels with up to 3 parents among the 6 before them."""
    rng = np.random.default_rng(seed)
    names = [f"V{i}" for i in range(n)]
    cards = rng.integers(2, 5, n)
    spec, tables = [], {}
    for i, name in enumerate(names):
        low = max(0, i - 6)
        parents = (
            rng.choice(np.arange(low, i), int(rng.integers(1, min(3, i - low) + 1)), False)
            if i
            else []
        )
        spec.append(f"{', '.join(names[p] for p in parents)} -> {name}" if i else name)
        tables[name] = scm.Tabular(rng.dirichlet(np.ones(cards[i]), [cards[p] for p in parents]))
    return _queried(f"{n} nodes", scm.SCM("; ".join(spec), tables))


def alarm() -> Network | None:
    if importlib.util.find_spec("pgmpy") is None:
        return None
    with warnings.catch_warnings():  # pgmpy has other names for it to come
        warnings.simplefilter("ignore", FutureWarning)
        from pgmpy.utils import get_example_model

        network = get_example_model("alarm")
    return _queried("ALARM, 37 nodes", scm.from_pgmpy(network))


def _queried(name: str, model: scm.SCM) -> Network:
    """The last node, and of its ancestors with parents the one in the middle."""
    graph = model.graph
    order = graph.topological_order()
    outcome = max(order, key=lambda v: len(graph.ancestors(v)))
    above = [v for v in order if v in graph.ancestors(outcome) - {outcome} and graph.parents(v)]
    return Network(name, model, above[len(above) // 2] if above else order[0], outcome)


# --- 1: one query, and 100 at once


Query = Callable[[str, Any, str], np.ndarray]
"""(treatment, value, outcome) -> P(outcome | do(treatment = value))."""


def by_pgmpy(network: Network) -> Query:
    """Mutilate, then eliminate, each time."""
    inference = _inference()
    made = scm.to_pgmpy(network.model)

    def run(x: str, value: Any, outcome: str) -> np.ndarray:
        found = inference(made.do([x])).query([outcome], evidence={x: value}, show_progress=False)
        return np.asarray(found.values)

    return run


def by_pgmpy_once(network: Network) -> Query:
    """The same, mutilated before the clock starts."""
    made, inference = scm.to_pgmpy(network.model), _inference()
    treatments = dict.fromkeys(x for x, _, _ in network.asked)
    ready = {x: inference(made.do([x])) for x in treatments}

    def run(x: str, value: Any, outcome: str) -> np.ndarray:
        found = ready[x].query([outcome], evidence={x: value}, show_progress=False)
        return np.asarray(found.values)

    return run


def _inference() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pgmpy.inference import VariableElimination

    logging.getLogger("pgmpy").setLevel(logging.ERROR)
    return VariableElimination


def acts(network: Network) -> dict[str, list[str]]:
    """The outcomes asked about under each treatment."""
    found: dict[str, dict[str, None]] = {}
    for x, _, outcome in network.asked:
        found.setdefault(x, {})[outcome] = None
    return {x: list(outcomes) for x, outcomes in found.items()}


def check_agreement(network: Network, run: Query) -> float:
    """Largest difference of any probability, over all queries, asked alone and together.

    Raises:
        AssertionError: If it exceeds 1e-9.
    """
    joint = network.model.exact()
    shared = {x: joint.tables(*outcomes, do=x) for x, outcomes in acts(network).items()}
    worst = 0.0
    for x, value, outcome in network.asked:
        theirs = run(x, value, outcome)
        alone = joint.table(outcome, do={x: value}).values.numpy()
        together = shared[x][outcome][{x: value}].numpy()
        for ours in (alone, together):
            worst = max(worst, float(np.abs(ours - theirs).max()))
    assert worst < 1e-9, f"{network.name}: the answers differ by {worst:.2g}"
    return worst


def effects(table: Table, network: Network, peers: bool, inner: int) -> None:
    x, y = network.treatment, network.outcome
    joint = network.model.exact()
    value = joint.levels[x][0]
    level = {y: joint.levels[y][0]}
    laws = {name: getattr(joint, f"_{name}") for name in ("tables", "couplings")}

    def fresh() -> Joint:
        return Joint(joint.graph, laws["tables"], joint.levels, laws["couplings"])

    def planned() -> Any:
        """The elimination order is sought anew: nothing is kept from other queries."""
        joint._plans.clear()
        return joint.prob(level, do={x: value})

    note = ""
    pgmpy: dict[str, Any] = {f"{PGMPY}, mutilated each time": None}
    pgmpy[f"{PGMPY}, mutilated once"] = None
    if peers:
        run, ready = by_pgmpy(network), by_pgmpy_once(network)
        worst = max(check_agreement(network, run), check_agreement(network, ready))
        note = f"answers equal to {worst:.1g}"
        pgmpy = {
            f"{PGMPY}, mutilated each time": lambda: run(x, value, y),
            f"{PGMPY}, mutilated once": lambda: ready(x, value, y),
        }
    reference = f"{PGMPY}, mutilated once" if peers else f"{ENGINE}, a first query"
    table.race(
        f"{network.name}, P({y} | do({x}))",
        {
            f"{ENGINE}, a first query": planned,
            f"{ENGINE}, asked again": lambda: joint.prob(level, do={x: value}),
            f"{ENGINE}, from bare tables": lambda: fresh().prob(level, do={x: value}),
            **pgmpy,
        },
        reference,
        {f"{ENGINE}, a first query": 1.0, f"{ENGINE}, asked again": 1.0} if peers else None,
        {f"{ENGINE}, a first query": note},
        inner=inner,
    )

    queries = network.asked
    outcomes = acts(network)

    def together() -> Any:
        """One elimination for each treatment: every value of it, and all outcomes."""
        joint._plans.clear()
        return [joint.tables(*names, do=treatment) for treatment, names in outcomes.items()]

    def by_outcome() -> Any:
        """One elimination for each treatment and outcome."""
        joint._plans.clear()
        return [joint.table(y, do=x) for x, names in outcomes.items() for y in names]

    def one_by_one() -> Any:
        joint._plans.clear()
        return [joint.table(outcome, do={treatment: v}) for treatment, v, outcome in queries]

    work = (
        f"{network.name}, {len(queries)} different queries ({len(outcomes)} treatments, each "
        f"value; {len({y for _, _, y in queries})} outcomes)"
    )
    pairs = sum(map(len, outcomes.values()))
    pgmpy_once = f"{PGMPY}, mutilated once"
    table.race(
        work,
        {
            f"{ENGINE}, outcomes together": together,
            f"{ENGINE}, outcome by outcome": by_outcome,
            f"{ENGINE}, one by one": one_by_one,
            pgmpy_once: (lambda: [ready(*query) for query in queries]) if peers else None,
        },
        pgmpy_once if peers else f"{ENGINE}, outcomes together",
        {f"{ENGINE}, outcomes together": 0.1} if peers else None,
        {
            f"{ENGINE}, outcomes together": f"{len(outcomes)} eliminations, nothing kept from "
            "before",
            f"{ENGINE}, outcome by outcome": f"{pairs} eliminations, nothing kept from before",
        },
        repeats=min(5, table.repeats),
    )


# --- 2: identification


def random_graph(n: int, seed: int) -> scm.CausalGraph:
    """1.5 n causal edges between near nodes, and n / 5 confounded pairs."""
    rng = np.random.default_rng(seed)
    pairs = [(i, j) for j in range(n) for i in range(max(0, j - 6), j)]
    directed = rng.choice(len(pairs), min(len(pairs), n * 3 // 2), replace=False)
    confounded = rng.choice(len(pairs), n // 5, replace=False)
    text = [f"V{i}" for i in range(n)]
    text += [f"V{pairs[k][0]} -> V{pairs[k][1]}" for k in directed]
    text += [f"V{pairs[k][0]} <-> V{pairs[k][1]}" for k in confounded]
    return scm.CausalGraph("; ".join(text))


def identified(graph: scm.CausalGraph, x: str, y: str) -> bool:
    try:
        graph.identify(y, do=x)
    except NotIdentifiedError:
        return False
    return True


def by_y0(graph: scm.CausalGraph, x: str, y: str) -> Callable[[], bool]:
    from y0.algorithm.identify import Identification, Unidentifiable, identify
    from y0.dsl import Variable
    from y0.graph import NxMixedGraph

    made = NxMixedGraph()
    for node in graph.nodes:
        made.add_node(Variable(node))
    for a, b in graph.edges:
        made.add_directed_edge(Variable(a), Variable(b))
    for a, b in graph.bidirected:
        made.add_undirected_edge(Variable(a), Variable(b))

    def run() -> bool:
        try:
            identify(
                Identification.from_parts(
                    outcomes={Variable(y)}, treatments={Variable(x)}, graph=made
                )
            )
        except Unidentifiable:
            return False
        return True

    return run


def identification(table: Table, n: int, peers: bool, graphs: int = 5) -> None:
    asked = []
    for seed in range(graphs):
        graph = random_graph(n, seed)
        y = max(graph.nodes, key=lambda v: len(graph.ancestors(v)))
        above = [v for v in graph.topological_order() if v in graph.ancestors(y) - {y}]
        asked.append((graph, above[len(above) // 2], y))
    ours = [identified(*query) for query in asked]
    others = [by_y0(*query) for query in asked] if peers else []
    theirs = [run() for run in others]
    note = f"{sum(ours)} of {graphs} identified"
    if peers:
        assert theirs == ours, f"{n} nodes: identified {ours} here and {theirs} by y0"
        note += ", the same ones"
    table.race(
        f"ID on {graphs} graphs of {n} nodes",
        {
            ENGINE: lambda: [identified(*query) for query in asked],
            Y0: (lambda: [run() for run in others]) if peers else None,
        },
        Y0 if peers else ENGINE,
        notes={ENGINE: note},
        repeats=min(3, table.repeats),
    )


def main(arguments: Sequence[str] | None = None) -> Table:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("--quick", action="store_true", help="two small networks, two repeats")
    parser.add_argument("--repeats", type=int, help="turns of each system (7)")
    parser.add_argument("--out", type=Path, help="results file, instead of results/exact.json")
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out")
    asked = parser.parse_args(arguments)
    quick, peers = asked.quick, not asked.no_peers
    table = Table("exact", repeats=asked.repeats or (2 if quick else 7))
    has = {name: peers and importlib.util.find_spec(name) is not None for name in ("pgmpy", "y0")}

    networks: list[Network | None] = [
        random_network(n, seed=n) for n in (SIZES[:2] if quick else SIZES)
    ]
    networks.append(alarm() if has["pgmpy"] and not quick else None)
    for network in networks:
        if network is not None:
            effects(table, network, has["pgmpy"], inner=2 if quick else 20)
    for n in (10,) if quick else (10, 20, 30, 40):
        identification(table, n, has["y0"])

    table.show()
    words = ["--quick"] * quick + ["--no-peers"] * asked.no_peers
    words += [f"--repeats {asked.repeats}"] * bool(asked.repeats)
    path = table.save(f"python benchmarks/speed/exact.py {' '.join(words)}".strip(), asked.out)
    print(f"written: {path}")
    return table


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Keep the line breaks of the description."""


if __name__ == "__main__":
    main()
