"""What ten million images of 256x256 take: `{last-scaling} PART`, from what was last measured.

`python docs/_ext/scaling.py` prints all parts. Times of a pass and memory come from
`benchmarks/speed/results/imagenet_cgn.json`; those of writing from `generate.json`, or where it
has not been run, from an assumption that is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from last_runs import BENCHMARKS, _Table

IMAGES = 10_000_000
PIXELS = 3 * 256 * 256
WORLDS = {"drawn labels": 3.0, "2 x 2 x 2": 0.75, "4 x 4 x 4": 0.1875, "10 x 10 x 10": 0.03}
"""Passes an image, by worlds of a unit: a + b + c labels make abc images."""
ASSUMED = {"float32": 100, "bfloat16": 400}  # passes/s of a GPU
ASSUMED_WRITING = 24e-9, 1e-3  # seconds a byte of pixels to encode; to scale, hash and store
SWEEP = re.compile(
    r"(?P<k>\d+)x(?P=k)x(?P=k) counterfactuals of (?P<units>\d+) units on (?P<on>\w+), "
    r"(?P<kind>\w+): (?P<system>.*)"
)
WRITING = re.compile(r"(?P<n>[\d,]+) counterfactual images, 3x(?P<side>\d+).*cost of writing: (.*)")


def rows(name: str) -> dict[str, dict[str, Any]]:
    """Rows of a benchmark's last run, by name; none where it has not been run."""
    path = BENCHMARKS / "speed" / "results" / f"{name}.json"
    if not path.is_file():
        return {}
    return {row["row"]: row for row in json.loads(path.read_text("utf-8"))["rows"]}


def sweeps() -> Iterator[tuple[str, str, int, float, float]]:
    """Device, precision, labels of a mechanism, and seconds of a pass: alone, and shared."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for name, row in rows("imagenet_cgn").items():
        if (sweep := SWEEP.fullmatch(name)) is not None:
            units, labels = int(sweep["units"]), int(sweep["k"])
            shared = sweep["system"].startswith("scm")
            passes = units * 3 * (labels if shared else labels**3)
            key = (sweep["on"], sweep["kind"], sweep["k"])
            word = "shared" if shared else "alone"
            found.setdefault(key, {})[word] = row["reproduced"] / passes
    for (device, kind, labels), seconds in found.items():
        yield device, kind, int(labels), seconds["alone"], seconds["shared"]


def writing() -> tuple[float, str]:
    """Seconds to encode and write an image of 256x256, and how that is known."""
    taken: dict[str, float] = {}
    for name, row in rows("generate").items():
        if (found := WRITING.fullmatch(name)) is not None and "train_cgn" in name:
            images, pixels = int(found["n"].replace(",", "")), 3 * int(found["side"]) ** 2
            taken[found[3]] = row["reproduced"] / images
    if {"one plain file", "sampling alone"} <= set(taken):
        small = taken["one plain file"] - taken["sampling alone"]
        return small * PIXELS / pixels, (
            f"measured: {1e6 * small:.0f} microseconds an image of {pixels:,} values in "
            "`benchmarks/speed/generate.py`, what one plain file takes beyond its samples, and "
            "as much a value here; checksums and shards come after the next shard is begun"
        )
    encoding, rest = ASSUMED_WRITING
    return PIXELS * encoding + rest, (
        f"assumed, since `benchmarks/speed/generate.py` has not been run: {1e9 * encoding:.0f} ns "
        f"a byte to encode, {1e3 * rest:.0f} ms to scale, hash and store"
    )


def sharing() -> str:
    """What sharing passes saved, by device."""
    said = []
    for device, kind, labels, alone, shared in sweeps():
        saved = alone * labels**3 / (shared * labels)
        unit = "CPU s" if device == "cpu" else "s"
        said.append(
            f"- {device}, {kind}: the images of {labels} x {labels} x {labels} took "
            f"{shared * 3 * labels:.3g} {unit} a unit, and {alone * 3 * labels**3:.3g} with passes "
            f"of their own: {saved:.1f} of the {labels**2} that the arithmetic gives."
        )
    return "\n".join(said)


def devices() -> dict[str, tuple[float, float]]:
    """Seconds of a pass, alone and shared, by what is known of the device."""
    known = {}
    for device, kind, _, alone, shared in sweeps():
        name = "one CPU core" if device == "cpu" else "one GPU"
        known[f"{name}, {kind}, measured: {1 / alone:.3g} passes/s"] = (alone, shared)
    for kind, rate in ASSUMED.items():
        known[f"one GPU, {kind}, assumed: {rate} passes/s"] = (1 / rate, 1 / rate)
    return known


def hours_of(seconds: tuple[float, float], passes: float) -> float:
    """Hours of one worker for all images."""
    return IMAGES * (passes * seconds[passes < 3] + writing()[0]) / 3600


def hours() -> str:
    """Hours of one worker, by device and worlds of a unit."""
    written, how = writing()
    lines = [f"| device | {' | '.join(WORLDS)} |", f"|---|{'---:|' * len(WORLDS)}"]
    for name, seconds in devices().items():
        cells = (f"{hours_of(seconds, passes):,.0f} h" for passes in WORLDS.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Writing an image: {1e3 * written:.2g} ms ({how}). That is what remains once passes are "
        f"shared: {IMAGES * written / 3600:.0f} core hours, whatever the GPU.",
    ]
    return "\n".join(lines)


def cluster() -> str:
    """Hours of some clusters."""
    few, many = "drawn labels", "10 x 10 x 10"
    known = devices()
    cpu = next(name for name in known if "CPU" in name)
    gpu = next((name for name in known if "GPU" in name and "measured" in name), None)
    gpu = gpu or next(name for name in known if "GPU" in name)
    lines = [f"| | workers | {few} | {many} |", "|---|---:|---:|---:|"]
    for what, workers, name in (
        ("one machine, 8 GPUs", 8, gpu),
        ("four such machines", 32, gpu),
        ("one machine of 64 cores, no GPU", 64, cpu),
    ):
        cells = (f"{hours_of(known[name], WORLDS[w]) / workers:,.1f} h" for w in (few, many))
        lines.append(f"| {what}; {name.split(', ', 1)[1]} | {workers} | {' | '.join(cells)} |")
    return "\n".join(lines)


def memory() -> str:
    """Memory of a worker."""
    found = {name: row["reproduced"] / 1e3 for name, row in rows("imagenet_cgn").items()}
    sweep = {name.split(": ")[-1]: gb for name, gb in found.items() if "memory of 2x2x2" in name}
    peak, weights = sweep["peak of the process"], sweep["weights of the CGN"]
    return (
        f"Memory a worker: {weights:.2g} GB of weights in float32, and {peak:.2g} GB in all at the "
        "peak of 2 x 2 x 2 on the CPU, both measured; 0.8 GB of values for 1,000 images."
    )


PARTS = {part.__name__: part for part in (sharing, hours, cluster, memory)}


class LastScaling(_Table):
    """A part of the arithmetic, by its name in `PARTS`."""

    def run(self) -> list[Any]:
        for name in ("imagenet_cgn", "generate"):
            self.env.note_dependency(str(BENCHMARKS / "speed" / "results" / f"{name}.json"))
        return self.markdown(PARTS[self.arguments[0]]())


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("last-scaling", LastScaling)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    for title, part in PARTS.items():
        print(f"{title}\n\n{part()}\n")
