"""What steering costs: images under an intervention strategy, against plain generation.

    python benchmarks/speed/steering.py [--quick] [--images 8] [--repeats 7] [--out FILE]

prints one table of ratios measured in one run and writes `results/steering.json`. The generator is
BigGAN-deep-128 with random weights (speed does not depend on their values): the plain way draws
latents and calls it; the steered way draws the same from the model `H, Y -> X; H => Z1, ..., Z60`
and sets a random one of 60 directions in each image. Images that are not steered are compared.
Beside it, the directions themselves at the full size of `gen_z`, in closed form, against
incremental PCA of 200,000 samples, with the principal angle between the two: there the spectrum of
the layer is planted, since that of random weights is flat. And the transfer of an intervention to
64 natural images of 32x32, with VGG19's features (random weights), as one batch against one image
after the other.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from _table import Table
from torch import Tensor
from torch.nn import functional as F

from scm import SCM
from scm.interventions import PrincipalDirections, Strategy, StyleTransfer, steerable
from scm.learning.perceptual import VGGFeatures
from scm.mechanisms.biggan import BigGAN

STEERED = "scm: one of 60 directions set in each image"
SAMPLED = "scm: no intervention"
PLAIN = "latents drawn, the network called"
CLOSED = "scm: closed form"
BUDGET = "ten seconds by the clock"
BATCH = "scm: one batch"
LOOP = "scm: one image after the other"
LAYER = "generator.gen_z"


def plain(biggan: BigGAN, n: int, batch: int) -> Tensor:
    """Images of drawn latents and labels, from the network itself."""
    chance = torch.Generator().manual_seed(0)
    latent = torch.randn(n, 128, generator=chance)
    onehot = F.one_hot(torch.randint(1000, (n,), generator=chance), 1000).float()
    with torch.no_grad():
        parts = zip(latent.split(batch), onehot.split(batch), strict=True)
        return torch.cat([biggan.generator(z, y, biggan.truncation) for z, y in parts])


def same(biggan: BigGAN, model: SCM) -> str:
    """Check a sample without intervention against the network; in words."""
    units = model.sample(2, seed=0)
    with torch.no_grad():
        onehot = F.one_hot(units["Y"], 1000).float()
        direct = biggan.generator(units["H"], onehot, biggan.truncation)
    far = (units["X"] - direct).abs().max()
    assert far < 1e-4, far
    return f"images as the network's, largest difference {far:.1e}"


def steering(table: Table, name: str, n: int, batch: int) -> None:
    """Race steered generation against plain generation."""
    biggan = BigGAN(name)
    model = steerable(biggan, PrincipalDirections.of(biggan, LAYER, 60), batch=batch)
    strategy = Strategy(1.0, 60, 3.0)
    systems = {
        STEERED: lambda: strategy.sample(model, n, seed=0),
        SAMPLED: lambda: model.sample(n, seed=0),
        PLAIN: lambda: plain(biggan, n, batch),
    }
    work = f"{n} images of {name}"
    table.race(work, systems, PLAIN, {STEERED: 1.05}, {STEERED: same(biggan, model)})


def directions(table: Table, name: str, samples: int) -> None:
    """Race closed form against PCA of samples, where the first ten directions stand out."""
    biggan = BigGAN(name)
    layer = biggan.generator.generator.gen_z
    planted = torch.empty(layer.out_features, 128)
    torch.nn.init.orthogonal_(planted, generator=torch.Generator().manual_seed(0))
    planted *= torch.cat([torch.linspace(30, 12, 10), torch.linspace(4, 1, 118)])
    layer.weight_orig.data[:, :128] = planted  # then divided by its spectral norm
    found: dict[str, PrincipalDirections] = {}

    def search(system: str, count: int | None) -> None:
        found[system] = PrincipalDirections.of(biggan, LAYER, 10, samples=count, progress=False)

    drawn = f"incremental PCA of {samples} samples"
    work = f"ten directions of gen_z, 128 -> {layer.out_features}, spectrum planted"
    systems = {CLOSED: lambda: search(CLOSED, None), drawn: lambda: search(drawn, samples)}
    table.race(work, systems, drawn, repeats=1, warm=False)
    apart = found[CLOSED].angle(found[drawn])
    assert found[CLOSED].method == "closed form"
    table.rows[-2].note = f"principal angle {apart:.2f} degrees (goal: below 3)"
    work = f"80 directions of gen_z, 128 -> {layer.out_features}"
    eighty = {CLOSED: lambda: PrincipalDirections.of(biggan, LAYER, 80)}
    table.race(work, eighty, CLOSED, warm=False)
    seconds = table.rows.pop().values
    table.compare(
        work, {CLOSED: seconds, BUDGET: [10.0] * len(seconds)}, BUDGET, "s", {CLOSED: 1.0}
    )


def transfers(table: Table, n: int, steps: int) -> None:
    """Race the transfer to a batch of images against the same to each of them."""
    transfer = StyleTransfer(VGGFeatures("vgg19", layers=(0, 2, 5, 7, 10)))
    chance = torch.Generator().manual_seed(0)
    natural, generated = 2 * torch.rand(2, n, 3, 32, 32, generator=chance) - 1
    given = {"steps": steps, "progress": False}

    def together() -> Tensor:
        return transfer(natural, generated, batch=n, **given)

    def one_by_one() -> Tensor:
        pairs = zip(natural.split(1), generated.split(1), strict=True)
        return torch.cat([transfer(a, b, **given) for a, b in pairs])

    terms = [
        transfer.terms(made(), natural, generated)[1].mean() for made in (together, one_by_one)
    ]
    note = f"mean discrepancy {terms[0]:.3g}, that of the reference {terms[1]:.3g}"
    systems = {BATCH: together, LOOP: one_by_one}
    work = f"transfer to {n} images, {steps} steps of LBFGS"
    table.race(work, systems, LOOP, {}, {BATCH: note}, repeats=min(3, table.repeats), warm=False)


def main(arguments: Sequence[str] | None = None) -> Table:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two images, one repeat")
    parser.add_argument("--images", type=int, help="images (8)")
    parser.add_argument("--repeats", type=int, help="turns of each system (7)")
    parser.add_argument("--out", type=Path, help="results file, not results/steering.json")
    asked = parser.parse_args(arguments)
    n = asked.images or (2 if asked.quick else 8)
    table = Table("steering", repeats=asked.repeats or (1 if asked.quick else 7))
    steering(table, "biggan-deep-128", n, 8)
    directions(table, "biggan-deep-128", 500 if asked.quick else 200_000)
    transfers(table, 4 if asked.quick else 64, 2 if asked.quick else 10)
    table.show()
    words = f"{'--quick ' * asked.quick}--images {n} --repeats {table.repeats}"
    print(f"written: {table.save(f'python benchmarks/speed/steering.py {words}', asked.out)}")
    return table


if __name__ == "__main__":
    main()
