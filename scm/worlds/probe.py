"""A trial of each mechanism when a model is made: shapes, and rows that do not talk.

A few units are sampled through the model. Each mechanism is then called again on some of
the same rows alone, and each plain function on rows that only broadcast against each
other; whatever fails is named here instead of in the middle of somebody's work.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from scm.errors import MechanismError
from scm.mechanisms.mechanism import Mechanism
from scm.worlds.evaluation import Evaluation
from scm.worlds.population import Population
from scm.worlds.program import Program
from scm.worlds.streams import Streams

__all__ = ["probe"]

_UNITS = 4
_TOLERANCE = 1e-3


def probe(program: Program) -> None:
    """Try every mechanism on four units.

    Raises:
        MechanismError: If a mechanism fails, returns another shape, makes one unit depend
            on the others, or draws randomness that is not its declared noise.
    """
    like = program.like
    streams = Streams(0, like.device, like.dtype)
    units = Population(streams, 0, _UNITS, total=_UNITS)
    run = Evaluation(program, units)
    run.compute(program.graph.nodes)
    with torch.no_grad():
        for node, mechanism in program.mechanisms.items():
            parents = {p: run.values[p] for p in program.graph.parents(node)}
            noise = None
            if mechanism.noise is not None:
                noise = units.noise(node, program.streams[node], mechanism.noise, None)
            _rows_alone(node, mechanism, parents, noise, run.values[node])
            if mechanism.broadcasts and parents:
                mechanism.broadcasts = _broadcasts(mechanism, parents, noise, run.values[node])


def _rows_alone(
    node: str,
    mechanism: Mechanism,
    parents: Mapping[str, Tensor],
    noise: Tensor | None,
    whole: Tensor,
) -> None:
    rows = {p: v[1:3] for p, v in parents.items()}
    again = mechanism(rows, None if noise is None else noise[1:3])
    if not _close(again, whole[1:3]):
        raise MechanismError(
            f"the mechanism of {node!r} gives a unit another value when other units are left out: "
            "its rows talk to each other (a mean over units? batch norm in training mode? call "
            "model.eval()), or it draws randomness of its own, which belongs into noise="
        )


def _broadcasts(
    mechanism: Mechanism, parents: Mapping[str, Tensor], noise: Tensor | None, whole: Tensor
) -> bool:
    """Whether a function gives the same when its parents live in different worlds."""
    there = {}
    for k, (name, value) in enumerate(parents.items()):
        pair = torch.stack([value, value.flip(0)])
        there[name] = pair.unsqueeze(1 - k % 2)
    first = {p: v[(0, 0)] for p, v in there.items()}
    try:
        out = mechanism(there, noise if noise is None else noise[None, None])
        alone = mechanism(first, noise)
        return out.ndim == whole.ndim + 2 and _close(out[0, 0], alone)
    except Exception:  # a function that fails on worlds gets flat rows instead
        return False


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    a, b = a.double(), b.double()
    size = b.abs().nan_to_num(0.0, 0.0, 0.0).max() if b.numel() else torch.zeros(())
    return torch.allclose(a, b, rtol=_TOLERANCE, atol=float(size) * _TOLERANCE, equal_nan=True)
