"""What the ImageNet CGN costs at full size: a training step, and counterfactuals.

    python benchmarks/speed/imagenet_cgn.py [--quick] [--repeats 1] [--out FILE]

Three BigGAN-deep-256, the full U2-Net and VGG16-BN, with random weights: speed does not depend
on their values. One training step (a pseudo-batch of one image) and one counterfactual pass run
on the CPU, each in a process of its own for its memory; where there is a CUDA device, throughput
is measured there too, in float32 and bfloat16. Times on the CPU are CPU seconds of the process,
which other jobs on the machine hardly change. The engine's images are compared with those of
one generator pass per mechanism per image.
"""

from __future__ import annotations

import argparse
import itertools
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from _table import Table
from torch import Tensor

from scm.learning.cgn.imagenet import Patches, backbones, imagenet_cgn
from scm.learning.cgn.imagenet_training import train_imagenet_cgn
from scm.learning.cgn.model import CGN
from scm.learning.perceptual import VGGFeatures
from scm.mechanisms.biggan import BigGAN
from scm.mechanisms.cgn import compose

ENGINE = "scm: one sweep"
PLAIN = "one BigGAN pass per mechanism per image"
TINY = {
    "output_dim": 16,
    "z_dim": 4,
    "class_embed_dim": 4,
    "channel_width": 8,
    "num_classes": 10,
    "layers": [[True, 16, 8], [False, 8, 4], [True, 4, 2], [False, 2, 1]],
    "attention_layer_position": 2,
}


def made(quick: bool, device: str = "cpu") -> CGN:
    """The CGN with one latent for all mechanisms, so that it can be read off the units."""
    cgn = imagenet_cgn(TINY if quick else "biggan-deep-256", shared=True, small=quick)
    cgn.to(device)
    return cgn


# --- training


def training(
    quick: bool, device: str, accumulate: int, batch: int, mixed: bool
) -> tuple[float, float, float]:
    """Seconds to build, seconds of one step, and of one BigGAN pass without gradients."""
    start = _now(device)
    cgn = made(quick, device)
    teacher = BigGAN(TINY if quick else "biggan-deep-256")
    teacher.to(device)
    vgg = VGGFeatures().to(device)
    built = _now(device) - start
    patches = Patches(side=2, size=5) if quick else None

    def step() -> Any:
        return train_imagenet_cgn(
            cgn,
            teacher,
            vgg,
            steps=1,
            accumulate=accumulate,
            batch=batch,
            mixed=mixed,
            patches=patches,
            progress=False,
        )

    def plain() -> Tensor:
        noise = torch.randn(batch, teacher.settings["z_dim"], device=device)
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=mixed):
            return teacher.image(noise, torch.zeros(batch, dtype=torch.int64, device=device))

    if device != "cpu":
        step(), plain()
    return built, _seconds(step, device), _seconds(plain, device)


def training_on_cpu(table: Table, quick: bool) -> None:
    built, step, plain, peak = _child(f"training({quick}, 'cpu', 1, 1, False)")
    work = "training on the CPU, one image"
    values = {
        "build CGN, teacher and VGG": [built],
        "one step of Adam": [step],
        "one BigGAN pass": [plain],
    }
    table.compare(work, values, "one BigGAN pass", "CPU s")
    _compare_memory(table, f"memory of {work}", peak, made(quick))


def training_on_cuda(table: Table, quick: bool, images: int = 64) -> None:
    for mixed, batch in itertools.product((False, True), (1, 8)):
        torch.cuda.reset_peak_memory_stats()
        _, step, plain = training(quick, "cuda", images, batch, mixed)
        work = f"training on CUDA, {_precision(mixed)}, {batch} a pass, {images} images"
        values = {"one step of Adam": [step], "BigGAN passes alone": [plain * images / batch]}
        peak = torch.cuda.max_memory_allocated() / 1e6
        notes = {"one step of Adam": f"{images / step:.3g} images/s, peak {peak:.0f} MB"}
        table.compare(work, values, "BigGAN passes alone", "s", notes=notes)


# --- counterfactuals


def counterfactuals(cgn: CGN, n: int, levels: int) -> dict[str, Callable[[], Any]]:
    """Images of `n` units in `levels^3` worlds, by the engine and image by image."""
    shape, foreground, background = backbones(cgn)
    units = cgn.sample(n, seed=0)
    noise, classes = units["U"], range(levels)

    def engine() -> Tensor:
        return units.sweep(Y1=classes).sweep(Y2=classes).sweep(Y3=classes)["X"]

    @torch.no_grad()
    def image_by_image() -> list[Tensor]:
        found = []
        for labels in itertools.product(classes, repeat=3):
            y = [torch.full((n,), label, device=noise.device) for label in labels]
            premask = shape.image(noise, y[0])
            textures = foreground.image(noise, y[1]), background.image(noise, y[2])
            found.append(compose(shape.mask(premask), *textures))
        return found

    return {ENGINE: engine, PLAIN: image_by_image}


def sweep_on_cpu(quick: bool, levels: int) -> tuple[float]:
    systems = counterfactuals(made(quick), 1, levels)
    return (_seconds(systems[ENGINE], "cpu"),)


def race(table: Table, cgn: CGN, n: int, levels: int, mixed: bool, repeats: int) -> None:
    device = next(cgn.parameters()).device.type
    systems = counterfactuals(cgn, n, levels)
    images: dict[str, Any] = {}

    def run(name: str) -> None:
        with torch.autocast(device, torch.bfloat16, enabled=mixed):
            images[name] = systems[name]()

    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for turn in range(repeats + (device != "cpu")):
        for name in systems:
            taken = _seconds(lambda name=name: run(name), device)
            if turn or device == "cpu":  # the first turn on CUDA warms it up
                seconds[name].append(taken)
    work = (
        f"{levels}x{levels}x{levels} counterfactuals of {n} units on {device}, {_precision(mixed)}"
    )
    unit = "CPU s" if device == "cpu" else "s"
    per = {name: n * levels**3 / statistics.median(taken) for name, taken in seconds.items()}
    notes = {name: f"{rate:.3g} images / {unit}" for name, rate in per.items()}
    table.compare(work, seconds, PLAIN, unit, notes=notes)
    if not mixed:  # which algorithm convolves on CUDA depends on the batch size
        alone = torch.stack(images[PLAIN])
        together = images[ENGINE].reshape(alone.shape)
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-5 if device == "cpu" else 1e-2)


# --- measuring


def _now(device: str) -> float:
    """CPU seconds of this process, or those of the clock when CUDA has done its work."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def _seconds(call: Callable[[], Any], device: str) -> float:
    start = _now(device)
    call()
    return _now(device) - start


def _child(call: str) -> list[float]:
    """Numbers that a function of this file returns in a fresh interpreter, and its peak in MB."""
    lines = [
        f"import sys; sys.path[:0] = {sys.path!r}",
        f"import torch; torch.set_num_threads({torch.get_num_threads()})",
        f"import imagenet_cgn; print(*imagenet_cgn.{call}, imagenet_cgn.peak())",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [float(word) for word in done.stdout.split()]


def peak() -> float:
    """Largest resident memory of this process so far, in MB; 0 where there is no /proc."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def _compare_memory(table: Table, work: str, peak_mb: float, cgn: CGN) -> None:
    weights = sum(p.nbytes for p in cgn.parameters()) / 1e6
    name = "weights of the CGN"
    table.compare(work, {"peak of the process": [peak_mb], name: [weights]}, name, "MB")


def _precision(mixed: bool) -> str:
    return "bfloat16" if mixed else "float32"


def main(arguments: Sequence[str] | None = None) -> Table:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny networks")
    parser.add_argument("--repeats", type=int, default=1, help="turns of each system (1)")
    parser.add_argument("--out", type=Path, help="results file, not results/imagenet_cgn.json")
    asked = parser.parse_args(arguments)
    quick, repeats = asked.quick, asked.repeats
    table = Table("imagenet_cgn", repeats)

    training_on_cpu(table, quick)
    seconds, peak_mb = _child(f"sweep_on_cpu({quick}, 2)")
    cgn = made(quick)
    work = "memory of 2x2x2 counterfactuals of 1 units on cpu"
    _compare_memory(table, work, peak_mb, cgn)
    table.rows[-2].note = f"{seconds:.3g} CPU s in a fresh process"
    race(table, cgn, 1, 2, False, repeats)
    if torch.cuda.is_available():
        cgn.to("cuda")
        for mixed in (False, True):
            race(table, cgn, 8, 4, mixed, max(3, repeats))
        del cgn
        training_on_cuda(table, quick)
    else:
        print("There is no CUDA device: throughput was measured on the CPU alone.")
    table.show()
    words = ["--quick"] * quick + [f"--repeats {repeats}"] * (repeats != 1)
    path = table.save(" ".join(["python benchmarks/speed/imagenet_cgn.py", *words]), asked.out)
    print(f"written: {path}")
    return table


if __name__ == "__main__":
    main()
