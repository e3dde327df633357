"""What a report shows beside an audit's verdicts: counterfactuals, nulls and curves, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from scm.discovery.attributes import Attribute
from scm.discovery.cage import cage_paper
from scm.discovery.nulls import Null
from scm.discovery.responses import gradient_step
from scm.errors import ScmError
from scm.estimate import Estimate
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.types import Image
from scm.png import strip

__all__ = ["counterfactuals", "paper"]

_SHOWN = 4  # units in a picture
_NUMBERS = 64  # of one unit, where it is no image
_STEPS = 4  # for one standard deviation


def counterfactuals(
    generator: LatentGenerator,
    attributes: Sequence[Attribute],
    moved: Attribute,
    latents: Tensor,
    scales: Mapping[str, float],
    reach: int = 2,
) -> dict[str, Any]:
    """The same units at several doses of one attribute's move, in steps of an audit's move.

    Args:
        generator: The generator, through which gradients must pass.
        attributes: What is read of them.
        moved: The attribute that is moved along its gradient.
        latents: Latents of the units, `(n, *latent)`; the first few are shown.
        scales: Standard deviation of each attribute's readings over prior samples.
        reach: Largest dose that is aimed at, in standard deviations, down and up.

    Returns:
        `units`, how many; `doses`, aimed at, in standard deviations; `changes`, mean change of
        every attribute from where the units were, by name; `pictures`, a PNG of the first units
        at each dose as a data URI, of images; `numbers`, means of what is made at each dose, of
        anything else.
    """
    ends = {0: latents}
    for sign in (-1, 1):
        z = latents
        for k in range(1, reach * _STEPS + 1):
            z = z + sign * gradient_step(generator, moved, z, scales[moved.name] / _STEPS)
            if k % _STEPS == 0:
                ends[sign * k // _STEPS] = z
    doses = sorted(ends)
    made = {dose: generator.generate(ends[dose]) for dose in doses}
    with torch.no_grad():
        read = {
            a.name: [
                float(a.read(ends[dose] if a.space == "latent" else made[dose]).double().mean())
                for dose in doses
            ]
            for a in attributes
        }
    middle = doses.index(0)
    changes = {
        name: [(value - values[middle]) / scales[name] for value in values]
        for name, values in read.items()
    }
    kind, pictures, numbers = generator.type, None, None
    if isinstance(kind, Image) and kind.shape[0] in (1, 3):
        low, high = kind.range
        pictures = [strip((made[dose][:_SHOWN] - low) / (high - low)) for dose in doses]
    else:
        numbers = [made[dose].flatten(1).double().mean(0)[:_NUMBERS].tolist() for dose in doses]
    return {
        "units": len(latents),
        "doses": doses,
        "changes": changes,
        "pictures": pictures,
        "numbers": numbers,
    }


def paper(
    generator: LatentGenerator,
    cause: Attribute | str,
    effect: Attribute | str,
    *,
    n: int,
    permutations: int,
    seed: int,
) -> dict[str, Any]:
    """What the paper's estimator finds of two heads, or `missing`, the reason why it cannot.

    Args:
        generator: The generator.
        cause: A binary linear latent head, or why there is none.
        effect: Another.
        n: Number of units.
        permutations: Refits of the permutation null, and draws of random directions.
        seed: Seed of the units and the nulls.
    """
    for head in (cause, effect):
        if isinstance(head, str):
            return {"missing": head}
    assert isinstance(cause, Attribute)
    assert isinstance(effect, Attribute)
    options: dict[str, Any] = {"n": n, "permutations": permutations, "directions": permutations}
    try:
        found = cage_paper(generator, cause, effect, **options, seed=seed, progress=False)
    except ScmError as error:
        return {"missing": str(error)}
    tests = (
        ("GATE c->e, permuted labels", found.permuted, "forward", found.forward, found.p_gate),
        ("delta-tau, permuted labels", found.permuted, "delta", found.delta_tau, found.p_permuted),
        ("delta-tau, random directions", found.random, "delta", found.delta_tau, found.p_random),
    )
    return {
        "alpha": found.alpha,
        "delta_tau": _number(found.delta_tau),
        "gate_forward": _number(found.forward),
        "gate_backward": _number(found.backward),
        "alphas": found.alphas.tolist(),
        "curve": found.curve.tolist(),
        "predicted": None if found.predicted is None else found.predicted.tolist(),
        "steepness": vars(found.steepness),
        "explained": found.explained_by_steepness,
        "nulls": [_null(*test) for test in tests],
        "warnings": list(found.warnings),
    }


def _number(found: Estimate) -> dict[str, float]:
    return {"value": found.value, "stderr": found.stderr}


def _null(what: str, null: Null, draws: str, found: Estimate, p: float) -> dict[str, Any]:
    values: Tensor = getattr(null, draws)
    return {
        "what": what,
        "says": null.says,
        "draws": values.tolist(),
        "observed": found.value,
        "p": p,
    }
