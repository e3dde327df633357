"""What the readings of all attributes say of every pair, whatever the latent behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from scm.discovery.asymmetry import Asymmetry, asymmetries
from scm.discovery.attributes import Attribute
from scm.discovery.independence import chi_square_test, hsic_test
from scm.discovery.multiplicity import benjamini_hochberg, holm
from scm.discovery.readings import readings, units
from scm.discovery.verdicts import Rules, first_opinion
from scm.mechanisms.latent import LatentGenerator

__all__ = ["ADJUSTMENTS", "BLOCKS", "Pair", "PairTests", "pair_tests"]

Pair = tuple[str, str]

ADJUSTMENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "holm": holm,
    "benjamini-hochberg": benjamini_hochberg,
    "none": lambda p: p,
}
"""How p-values are adjusted for the number of pairs."""

BLOCKS = 2
"""Disjoint samples that an additive-noise model is tested on."""


@dataclass(frozen=True)
class PairTests:
    """What is known of the attributes from their readings alone, whatever the latent.

    Attributes:
        scales: Standard deviation of each attribute's readings.
        p: p-value of independence of each pair of names.
        adjusted: The same, adjusted for the number of pairs.
        models: Tests of additive noise of the pairs that called for them.
    """

    scales: Mapping[str, float]
    p: Mapping[Pair, float]
    adjusted: Mapping[Pair, float]
    models: Mapping[Pair, Asymmetry]


def pair_tests(
    generator: LatentGenerator,
    attributes: Sequence[Attribute],
    adjustment: str,
    rules: Rules,
    sizes: Mapping[str, int],
    seed: int,
) -> PairTests:
    """Steps 1 to 3 of `scm.discovery.audit`: read, test association, test additive noise.

    Args:
        generator: The generator.
        attributes: Its attributes.
        adjustment: One of `ADJUSTMENTS`.
        rules: The thresholds.
        sizes: How many samples to "fit" on, of a "block", and "permutations" of a test.
        seed: Seed of the samples and the permutations.

    Raises:
        ScmError: As `scm.discovery.readings.readings`.
    """
    names = [a.name for a in attributes]
    latents = units(generator, sizes["fit"] + BLOCKS * sizes["block"], seed)
    read = readings(generator, attributes, latents)
    scales = {name: float(values.double().std()) for name, values in read.items()}
    scores = torch.stack([read[n].double() / scales[n] for n in names])
    fit, held = scores[:, : sizes["fit"]], scores[:, sizes["fit"] :]
    places = list(combinations(range(len(names)), 2))
    pairs = list(combinations(names, 2))
    p = _associations(attributes, held * scores.new_tensor([[scales[n]] for n in names]), places,
                      seed)  # fmt: skip
    adjusted = ADJUSTMENTS[adjustment](p).tolist()
    numbers = [a.kind == "continuous" for a in attributes]
    chosen = [
        k
        for k, (i, j) in enumerate(places)
        if adjusted[k] < rules.dependent and numbers[i] and numbers[j]
    ]
    blocks = held.reshape(len(names), BLOCKS, -1)
    asked = [places[k] for k in chosen]
    tried = asymmetries(
        fit,
        blocks,
        asked,
        permutations=sizes["permutations"],
        again=lambda first: first_opinion(first, rules) is not None,
        seed=seed,
    )
    return PairTests(
        scales,
        dict(zip(pairs, p.tolist(), strict=True)),
        dict(zip(pairs, adjusted, strict=True)),
        {pairs[k]: found for k, found in zip(chosen, tried, strict=True)},
    )


def _associations(
    attributes: Sequence[Attribute],
    held: Tensor,
    places: Sequence[tuple[int, int]],
    seed: int,
) -> Tensor:
    """p-values of independence, in the order of the places."""
    permutations = max(1_000, 110 * len(places))  # 1 / this, times the pairs, is below 1%
    p = held.new_zeros(len(places))
    binary = [a.kind == "binary" for a in attributes]
    coded = torch.stack([a.treated(v) for a, v in zip(attributes, held, strict=True)]).long()
    for both in (False, True):
        rows = [k for k, (i, j) in enumerate(places) if (binary[i] and binary[j]) == both]
        if rows:
            i, j = torch.tensor([places[k] for k in rows], device=held.device).T
            options = {"permutations": permutations, "seed": seed}
            test = chi_square_test if both else hsic_test
            values = coded if both else held
            p[rows] = test(values[i], values[j], **options).p
    return p
