"""What an effect is read from: a model's units in several worlds, or an exact law."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scm.errors import (
    GraphError,
    InterventionError,
    MechanismError,
    ScmError,
)
from scm.exact import Joint, Observed
from scm.graph import CausalGraph
from scm.graph.identification import disjoint
from scm.mechanisms.types import Categorical
from scm.model import SCM
from scm.worlds.samples import Samples
from scm.worlds.view import View

__all__ = [
    "Law",
    "Outcome",
    "array",
    "exact_mean",
    "is_data",
    "law_of",
    "level_numbers",
    "meets",
    "one_world",
    "over_draws",
    "pair",
    "roles",
    "score",
    "source_graph",
    "weighted",
]

Law = Joint | Observed

Outcome = str | Mapping[str, Any]
"""A node, for its mean; or node -> level (or a test of its values), for a probability."""


def is_data(source: Any, graph: CausalGraph | None) -> bool:
    """Return whether the source is data, to be read with a graph.

    Raises:
        GraphError: If data come without a graph, or a model with one.
        ScmError: If it is neither data nor a model.
    """
    if isinstance(source, SCM | View | Joint | Observed):
        if graph is not None:
            raise GraphError(
                f"graph= is for data, and a {type(source).__name__} has a graph of its own; leave "
                "it out"
            )
        return False
    if isinstance(source, Samples):
        return graph is not None
    if not isinstance(source, Mapping) and not hasattr(source, "columns"):
        raise ScmError(
            f"a {type(source).__name__} was given; expected a model, a view, model.exact(), "
            "Samples, or data (a data frame, or a mapping from node to column) with graph="
        )
    if graph is None:
        raise GraphError(
            "data alone tell no effect: say what causes what, such as "
            "graph=CausalGraph('Z -> X, Y; X -> Y')"
        )
    if not isinstance(graph, CausalGraph):
        raise GraphError(f"graph={graph!r:.60} was given; expected a CausalGraph")
    return True


def law_of(source: Any, method: str | None, levels: Sequence[Any] = ()) -> Law | None:
    """Return the exact law to be asked, or None where the source is to be sampled.

    Raises:
        MechanismError: If ``method="exact"`` and a node is not discrete.
        ScmError: If the method is unknown, or cannot be used on this source.
    """
    if method not in (None, "exact", "sample"):
        raise ScmError(
            f"method={method!r} was given for a {type(source).__name__}; expected 'exact' or "
            "'sample' (and 'regression', 'weighting' or 'doubly_robust' for data with graph=)"
        )
    tests = [v for v in levels if callable(v)]
    if isinstance(source, Joint | Observed):
        if method == "sample" or tests:
            what = "a function as a level" if tests else "method='sample'"
            raise ScmError(f"{what} needs units to look at, and a law has none; give the model")
        return source
    if method == "sample" or (tests and method is None):
        return None
    if not isinstance(source, SCM) or tests:
        if method == "exact":
            raise ScmError(
                "method='exact' needs a model of tables (or model.exact()), and levels rather "
                f"than functions of them; got a {type(source).__name__}: leave method out"
            )
        return None
    try:
        return source.exact()
    except MechanismError:
        if method == "exact":
            raise
        return None


def source_graph(source: Any) -> CausalGraph:
    """Return the graph of a model, a view, `Samples` or a law."""
    graph = source.graph if isinstance(source, SCM | Joint | Observed) else source.program.graph
    assert isinstance(graph, CausalGraph)
    return graph


def roles(
    graph: CausalGraph, treatment: str, outcome: Outcome, given: Mapping[str, Any], **more: Any
) -> None:
    """Raise where a node is unknown, or is treatment and outcome.

    Raises:
        GraphError: naming it.
    """
    if not isinstance(treatment, str):
        raise GraphError(f"treatment={treatment!r:.60} was given; expected the name of one node")
    ys = (outcome,) if isinstance(outcome, str) else tuple(outcome)
    graph.require(treatment, *ys, *given, *(node for nodes in more.values() for node in nodes))
    disjoint(graph, treatment=(treatment,), outcome=ys, **more)
    disjoint(graph, given=given, outcome=ys)


def pair(values: Sequence[Any]) -> tuple[Any, Any]:
    """Return the values of two arms.

    Raises:
        InterventionError: If there are not two.
    """
    two = tuple(values) if not isinstance(values, str) else (values,)
    if len(two) != 2:
        raise InterventionError(
            f"values={values!r:.60} was given; an effect compares two values of the treatment, "
            "(x0, x1); for more, ask effect_curve"
        )
    return two


def one_world(source: Any) -> Any:
    """Return a view or `Samples` of a single world.

    Raises:
        InterventionError: If it has several.
    """
    if source.program.sweeps:
        swept = [name for sweep in source.program.sweeps for name in sweep.values]
        raise InterventionError(
            f"the source has several worlds, of {', '.join(swept)}; an effect is asked in one: "
            "take it with .world(...), or ask before the sweep"
        )
    return source


def score(units: Samples, outcome: Outcome) -> Tensor:
    """Return the outcome of each unit in float64, `[*worlds, (draws,) units]`.

    Raises:
        ScmError: If it is no number.
    """
    if not isinstance(outcome, str):
        return meets(units, outcome).double()
    kind = units.program.mechanisms[outcome].type
    if isinstance(kind, Categorical):
        numbers = torch.tensor(level_numbers(outcome, kind.names), dtype=torch.float64)
        return numbers.to(units[outcome].device)[units[outcome]]
    if kind.event:
        raise ScmError(
            f"{outcome!r} is {kind}, and an effect is on one number; declare a node that is a "
            "function of it in the graph, or give a test: outcome={name: function}"
        )
    return torch.as_tensor(units[outcome]).detach().double()


def meets(units: Samples, event: Mapping[str, Any]) -> Tensor:
    """Return which units meet an event: truth values `[*worlds, (draws,) units]`.

    Raises:
        InterventionError: If a level is unknown, or a node has none; or a test returns
            something else than one truth value a unit.
    """
    found = []
    for name, level in event.items():
        values = units[name]
        kind = units.program.mechanisms[name].type
        if callable(level):
            hit = level(values)
            expected = values.shape[: values.ndim - len(kind.event)]
            if getattr(hit, "dtype", None) != torch.bool or hit.shape != expected:
                raise InterventionError(
                    f"the test of {name!r} returned {hit!r:.60}; expected one bool a unit"
                )
        elif not isinstance(kind, Categorical):
            raise InterventionError(
                f"{name}={level!r:.40} has probability zero, since {name!r} is {kind}; give a "
                f"test, such as {{{name!r}: lambda v: v > 0}}"
            )
        else:
            try:
                hit = values == kind.encode(level, units.program.like)
            except ScmError as error:
                raise InterventionError(f"for {name!r}: {error}") from error
        found.append(hit)
    if not found:
        raise GraphError("an empty event was given; give a level of a node, such as {'Y': 1}")
    return torch.stack(torch.broadcast_tensors(*found)).all(0)


def over_draws(values: Tensor, units: Samples) -> Tensor:
    """Average over a unit's posterior draws, `[..., draws, units]` to `[..., units]`."""
    if units.draws is None:
        return values
    if units.log_weights is None:
        return values.mean(-2)
    return (values * units.log_weights.double().softmax(0)).sum(-2)


def level_numbers(name: str, levels: Sequence[Hashable]) -> list[float]:
    """Return levels as numbers.

    Raises:
        ScmError: If they are words.
    """
    if all(isinstance(v, (int, float, np.number, np.bool_)) for v in levels):
        return [float(v) for v in levels]  # type: ignore[arg-type]
    raise ScmError(
        f"{name!r} has the levels {list(levels)[:10]}, which are no numbers and have no mean; ask "
        f"for the probability of one: outcome={{{name!r}: {levels[-1]!r}}}"
    )


def array(values: Tensor) -> Any:
    """Return a tensor as an array of numpy."""
    return values.detach().cpu().numpy()


def weighted(rows: Tensor, hits: Tensor, units: Samples, what: str) -> tuple[Any, Any]:
    """Average rows over the draws that meet a condition; and return how many do.

    Raises:
        InterventionError: If none does.
    """
    weights = array(over_draws(hits, units))
    if not weights.sum() > 0:
        raise InterventionError(
            f"none of {units.n} units meets {what}; draw more units, or ask model.exact()"
        )
    return array(over_draws(rows * hits, units)), weights


def exact_mean(
    law: Law, outcome: Outcome, do: Mapping[str, Any], given: Mapping[str, Any]
) -> float:
    """Return E[outcome_do | given] of the exact law."""
    below = law.graph.descendants(*do)
    ask: Callable[..., Tensor] = law.counterfactual if below & set(given) else law.prob
    if not isinstance(outcome, str):
        return float(ask(outcome, do=do, given=given or None))
    levels = law.levels[outcome]
    numbers = level_numbers(outcome, levels)
    chances = [float(ask({outcome: level}, do=do, given=given or None)) for level in levels]
    return float(np.dot(numbers, chances))
