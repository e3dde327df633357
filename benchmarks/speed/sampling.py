"""How fast units are drawn, acted on and multiplied into worlds, against peers.

    python benchmarks/speed/sampling.py [--quick] [--units 1000000] [--repeats 7]
        [--out FILE] [--no-peers]

prints one table of ratios measured in one run and writes `results/sampling.json`. Every
system runs the same model, and before a clock starts their values are compared: equal
where they share noise, of equal mean and spread where they do not. Peers are optional
(the extra `bench`).
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from _systems import (
    EARLY,
    ENGINE,
    HAND,
    LATE,
    NODES,
    NUMPY,
    PYRO,
    Run,
    check_agreement,
    engine,
    model,
    normal_draws,
    numpy_by_hand,
    peers,
    torch_by_hand,
)
from _table import Table
from torch import Tensor, nn

import scm

# --- 1: one intervention


def one_intervention(table: Table, n: int, others: Mapping[str, Run | None]) -> None:
    runs = {ENGINE: engine(), HAND: torch_by_hand(), NUMPY: numpy_by_hand(), **others}
    check_agreement(min(n, 100_000), runs)
    for units, inner in ((n, 1), (1_000, 20), (10, 20)):
        systems = {name: _calls(run, units) for name, run in runs.items()}
        if units == n:
            systems["19 normal draws alone"] = lambda: normal_draws(n)
        goals = {ENGINE: 0.8} if units == n else None
        work = f"do({EARLY}), 20 tanh nodes, {units:,} units"
        table.race(work, systems, HAND, goals, inner=inner)

    linear = {ENGINE: engine(linear=True), HAND: torch_by_hand(linear=True)}
    check_agreement(min(n, 100_000), linear)
    systems = {name: _calls(run, n) for name, run in linear.items()}
    table.race(f"do({EARLY}), 20 linear nodes, {n:,} units", systems, HAND)


def _calls(run: Run | None, n: int) -> Callable[[], Any] | None:
    return None if run is None else lambda: run(n, {EARLY: 1.0})


# --- 2: many interventions on a late node


def many_interventions(table: Table, n: int, pyro: Run | None, worlds: int = 64) -> None:
    points = torch.linspace(-2.0, 2.0, worlds).tolist()
    made, by_hand = model(), torch_by_hand()

    def sweep() -> Any:
        return made.sweep({LATE: points}).sample(n, seed=0)

    swept = sweep()
    for world in (0, worlds - 1):
        alone = made.do({LATE: points[world]}).sample(n, seed=0)
        for node in NODES:
            torch.testing.assert_close(swept[node][world], alone[node], rtol=1e-5, atol=1e-5)
    del swept, alone

    column = torch.tensor(points).unsqueeze(-1)
    hand = f"{worlds} runs of torch by hand"
    reference = f"{worlds} runs of {PYRO}"
    systems = {
        f"{ENGINE}, one sweep": sweep,
        hand: lambda: [by_hand(n, {LATE: p}) for p in points],
        "torch by hand, broadcast": lambda: by_hand(n, {LATE: column}),
        reference: (lambda: [pyro(n, {LATE: p}) for p in points]) if pyro else None,
    }
    work = f"{worlds} values of {LATE}, {n:,} units"
    goals = {f"{ENGINE}, one sweep": 0.1} if pyro else None
    table.race(work, systems, reference if pyro else hand, goals)


# --- 3: a product of worlds of images

SHAPE = (28, 28)


def generator(channels: int, widths: Sequence[int]) -> nn.Sequential:
    """An image of a class and 16 noise variables, as the multilayer GANs for MNIST have it."""
    sizes = [10 + 16, *widths]
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
    layers += [nn.Linear(sizes[-1], channels * math.prod(SHAPE)), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Unflatten(-1, (channels, *SHAPE)))


def compose(M: Tensor, F: Tensor, B: Tensor) -> Tensor:
    return M * F + (1 - M) * B


def image_model(widths: Sequence[int]) -> tuple[scm.SCM, list[nn.Sequential]]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        nets = [generator(channels, widths) for channels in (1, 3, 3)]
    mechanisms: dict[str, Any] = {"X": scm.Structural(compose, type=scm.Image((3, *SHAPE)))}
    for k, (node, net, channels) in enumerate(zip("MFB", nets, (1, 3, 3), strict=True), start=1):
        mechanisms[f"Y{k}"] = scm.Root.categorical([0.1] * 10)
        mechanisms[f"U{k}"] = scm.Root.normal(torch.zeros(16), torch.ones(16))
        mechanisms[node] = scm.Structural(net, type=scm.Image((channels, *SHAPE)))
    graph = "Y1, U1 -> M; Y2, U2 -> F; Y3, U3 -> B; M, F, B -> X"
    return scm.SCM(graph, mechanisms), nets


def product_of_worlds(
    table: Table, n: int, levels: int, widths: Sequence[int], repeats: int
) -> None:
    made, nets = image_model(widths)
    units = made.sample(n, seed=0)
    noise = [units[f"U{k}"] for k in (1, 2, 3)]
    classes = range(levels)

    def worlds() -> Tensor:
        return units.sweep(Y1=classes).sweep(Y2=classes).sweep(Y3=classes)["X"]

    def image(net: nn.Sequential, label: int, u: Tensor) -> Tensor:
        onehot = torch.zeros(n, 10)
        onehot[:, label] = 1.0
        return net(torch.cat([onehot, u], -1))

    @torch.no_grad()
    def one_pass_per_image() -> list[Tensor]:
        return [
            compose(*(image(*x) for x in zip(nets, labels, noise, strict=True)))
            for labels in itertools.product(classes, repeat=3)
        ]

    @torch.no_grad()
    def by_hand_shared() -> list[Tensor]:
        parts = [[image(net, y, u) for y in classes] for net, u in zip(nets, noise, strict=True)]
        return [compose(*p) for p in itertools.product(*parts)]

    together = worlds()
    labels = itertools.product(classes, repeat=3)
    for label, alone in zip(labels, one_pass_per_image(), strict=True):
        torch.testing.assert_close(together[label], alone, rtol=0.0, atol=1e-5)
    del together, alone

    reference = "one generator pass per image"
    weights = sum(p.numel() for net in nets for p in net.parameters())
    table.race(
        f"{levels}x{levels}x{levels} images of {n} units, generators of "
        f"{weights / 1e6:.1f}M weights",
        {
            ENGINE: worlds,
            reference: one_pass_per_image,
            "by hand, each generator's passes shared": by_hand_shared,
        },
        reference,
        {ENGINE: 1 / 20},
        repeats=repeats,
        warm=False,
    )


# --- 4: memory, and 5: the time of the import


def peak_of_sweep(n: int, worlds: int) -> tuple[float, float, float]:
    """MB that a sweep adds at its peak, MB of distinct values, and MB of the full product.

    To be called in a process of its own.
    """
    made = model()
    points = torch.linspace(-2.0, 2.0, worlds).tolist()
    made.sweep({LATE: points}).sample(1_000, seed=0)
    before = _resident("VmRSS")
    samples = made.sweep({LATE: points}).sample(n, seed=0)
    peak = _resident("VmHWM") - before
    stored = {v.data_ptr(): v.untyped_storage().nbytes() for v in samples.compact.values()}
    return peak, sum(stored.values()) / 1e6, worlds * len(NODES) * n * 4 / 1e6


def _resident(field: str) -> float:
    """MB from /proc: getrusage's maximum is that of the parent process until it is passed."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def memory(table: Table, n: int, worlds: int, repeats: int) -> None:
    work = f"memory of {worlds} values of {LATE}, {n:,} units"
    if not Path("/proc/self/status").exists():
        print(f"{work}: not measured, since there is no /proc here")
        return
    code = f"import sampling; print(*sampling.peak_of_sweep({n}, {worlds}))"
    rows = [_child(code) for _ in range(repeats)]
    peak, distinct, product = (list(column) for column in zip(*rows, strict=True))
    values = {f"{ENGINE}, peak": peak, "distinct values": distinct, "every world": product}
    table.compare(work, values, "distinct values", "MB")


IMPORTS = """
import time
t0 = time.perf_counter()
import torch
t1 = time.perf_counter()
import scm
t2 = time.perf_counter()
scm.SCM, scm.Additive, scm.Root  # names load when first asked for, so that is timed too
print(t1 - t0, t2 - t1, time.perf_counter() - t1)
"""


def import_time(table: Table, repeats: int) -> None:
    rows = [_child(IMPORTS) for _ in range(repeats)]
    of_torch, bare, used = (list(column) for column in zip(*rows, strict=True))
    values = {
        "import scm and name SCM, beyond torch": used,
        "import scm alone, beyond torch": bare,
        "import torch": of_torch,
    }
    table.compare("import", values, "import torch", "s")


def _child(code: str) -> list[float]:
    """Numbers that a fresh interpreter prints."""
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [float(word) for word in done.stdout.split()]


def main(arguments: Sequence[str] | None = None) -> Table:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("--quick", action="store_true", help="small sizes, two repeats")
    parser.add_argument("--units", type=int, help="units of the first work (1,000,000)")
    parser.add_argument("--out", type=Path, help="results file, instead of results/sampling.json")
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out")
    parser.add_argument("--repeats", type=int, help="turns of each system (7; slow works take 3)")
    asked = parser.parse_args(arguments)
    quick = asked.quick
    units = asked.units or (20_000 if quick else 1_000_000)
    tenth, fifth = max(16, units // 10), max(16, units // 5)
    table = Table("sampling", repeats=asked.repeats or (2 if quick else 7))
    slow = 1 if quick else min(3, table.repeats)

    others = peers(not asked.no_peers)
    one_intervention(table, units, others)
    many_interventions(table, tenth, others[PYRO])
    for widths in ((64,),) if quick else ((256,), (256, 512, 1024)):
        product_of_worlds(table, 5 if quick else 100, 3 if quick else 10, widths, slow)
    memory(table, fifth, 64, slow)
    import_time(table, slow)

    table.show()
    words = (
        [f"--repeats {asked.repeats}"] * bool(asked.repeats)
        + ["--quick"] * quick
        + ["--units", str(units)]
        + ["--no-peers"] * asked.no_peers
    )
    path = table.save(f"python benchmarks/speed/sampling.py {' '.join(words)}", asked.out)
    print(f"written: {path}")
    return table


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Keep the line breaks of the description."""


if __name__ == "__main__":
    main()
