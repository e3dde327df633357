"""Exact posteriors of hidden discrete nodes, by enumerating their levels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scm.errors import InterventionError, MechanismError
from scm.mechanisms.noise import Noise
from scm.mechanisms.types import Categorical
from scm.worlds.acts import Act, Constant, Sweep
from scm.worlds.evaluation import Evaluation

if TYPE_CHECKING:
    from scm.worlds.population import Population
    from scm.worlds.program import Program

__all__ = ["MAX_CELLS", "draw_hidden"]

MAX_CELLS = 4096


def draw_hidden(
    program: Program, given: Mapping[str, Tensor], units: Population, hidden: Sequence[str]
) -> dict[str, Tensor] | None:
    """Draw hidden nodes from `P(hidden | given)`, which is proportional to the joint density.

    `P(h | o) ~ prod_v p(v | pa_v)` over the hidden nodes and the observed ones that depend on
    them, for every combination h of levels.

    Args:
        program: The model and its acts.
        given: Observed values, laid out for the program.
        units: The rows.
        hidden: Hidden nodes on which the evidence bears.

    Returns:
        Codes of each hidden node, laid out for the program, or None where this does not
        apply: a hidden node is not categorical or was acted on, a factor has no density, or
        there are more than `MAX_CELLS` combinations.

    Raises:
        InterventionError: If a row has probability zero.
    """
    kinds = [program.mechanisms[v].type for v in hidden]
    sizes = [kind.size for kind in kinds if isinstance(kind, Categorical)]
    acted = any(v in program.acts for v in hidden)
    if acted or len(sizes) < len(hidden) or math.prod(sizes) > MAX_CELLS:
        return None
    cells = torch.tensor(list(itertools.product(*map(range, sizes))), device=program.like.device)
    sweep = Sweep({v: cells[:, k].tolist() for k, v in enumerate(hidden)})
    rules = {v: tuple(map(Constant, cells[:, k])) for k, v in enumerate(hidden)}
    spread = program.with_acts([Act(v, rules[v], sweep) for v in hidden])
    run = Evaluation(spread, units, {v: t.unsqueeze(0) for v, t in given.items()})
    total = torch.zeros((), dtype=torch.float64, device=program.like.device)
    try:
        for node in _factors(program, given, hidden):
            parents = program.graph.parents(node)
            run.compute([node, *parents])
            there = {p: run.values[p] for p in parents}
            density = run.density(program.mechanisms[node], run.values[node], there)
            total = total + density.double()
    except MechanismError:
        return None
    chance = total.expand(len(cells), *total.shape[1:]).softmax(0)
    if torch.isnan(chance).any():
        row = int(torch.isnan(chance).nonzero()[0][-1])
        raise InterventionError(
            f"row {row} has probability zero whatever {list(hidden)} are; correct the row"
        )
    uniform = units.extra(f"hidden\0{tuple(hidden)}", Noise("uniform")).double()
    below = chance.cumsum(0) < uniform.unsqueeze(0)
    cell = below.sum(0).clamp_max(len(cells) - 1)
    return {v: cells[:, k][cell] for k, v in enumerate(hidden)}


def _factors(program: Program, given: Mapping[str, Tensor], hidden: Sequence[str]) -> list[str]:
    """Hidden nodes, and observed ones that a hidden node reaches through unobserved ones."""
    graph = program.graph
    reached = set(hidden)
    found = []
    for node in graph.topological_order():
        touched = bool(reached.intersection(graph.parents(node))) and program.reads_parents(node)
        if node in hidden or (node in given and touched):
            found.append(node)
        elif touched:
            reached.add(node)
    return found
