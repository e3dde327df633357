"""A naive interpreter of structural causal models: loops over worlds and units in numpy.

It shares no code with the engine. A unit's noise is read from `samples.noise`; what an act
draws afresh is read from the engine's samples of that node alone. All else is computed here,
one world, one unit and one node at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import distributions

import scm
from scm.mechanisms import Additive, Categorical, Linear, Mechanism, Root, Structural, Tabular

VEC = (2,)


@dataclass
class Node:
    """One node of a description.

    kind: "linear", "tanh" (real, additive normal noise), "vector" (the same in R^2), "gumbel",
    "monotone" (a table), "sum" (deterministic, real), "cut" (deterministic, two levels).
    """

    name: str
    parents: tuple[str, ...]
    kind: str
    weights: dict[str, float] = field(default_factory=dict)
    loc: float = 0.0
    scale: float = 1.0
    table: np.ndarray | None = None

    @property
    def discrete(self) -> bool:
        return self.kind in ("gumbel", "monotone", "cut")

    @property
    def levels(self) -> int:
        return 2 if self.table is None else self.table.shape[-1]

    @property
    def event(self) -> tuple[int, ...]:
        return VEC if self.kind == "vector" else ()


@dataclass
class Rule:
    """One value of an act: its kind and its numbers.

    kind: "value", "unit" (by unit), "natural", "function", "function of natural",
    "mechanism" (with the same declared noise), "other noise", "distribution", "NATURAL".
    """

    kind: str
    a: float = 0.0
    value: Any = None
    table: np.ndarray | None = None


@dataclass
class Call:
    """`do` of one rule a node, or `sweep` of as many rules a node as there are worlds."""

    verb: str
    rules: dict[str, list[Rule]]

    @property
    def size(self) -> int:
        return len(next(iter(self.rules.values())))


Description = list[Node]
DRAWN = ("distribution", "other noise")


# ------------------------------------------------------------------ the model in numpy


def total(node: Node, parents: Mapping[str, Any]) -> Any:
    """The weighted sum of a node's parents, in the node's event shape."""
    out = np.zeros(node.event)
    for name in node.parents:
        value = np.asarray(parents[name], dtype=np.float64)
        if not node.event and value.ndim:
            value = value.sum()
        out = out + node.weights[name] * value
    return out + node.loc


def level(probabilities: np.ndarray, noise: Any, coupling: str) -> int:
    if coupling == "monotone":
        upto = 0.0
        for k, p in enumerate(probabilities):
            upto += p
            if float(noise) < upto:
                return k
        return len(probabilities) - 1
    times = [
        -np.log1p(-u) / p if p > 0 else np.inf for p, u in zip(probabilities, noise, strict=True)
    ]
    return int(np.argmin(times))


def assign(node: Node, parents: Mapping[str, Any], noise: Any, table: Any = None) -> Any:
    """`f(PA, U)` of one unit."""
    if node.kind in ("gumbel", "monotone"):
        row = node.table if table is None else table
        for name in node.parents:
            row = row[int(parents[name])]
        return level(row, noise, node.kind)
    mean = total(node, parents)
    if node.kind == "sum":
        return mean
    if node.kind == "cut":
        return int(mean > 0)
    if node.kind == "tanh":
        mean = np.tanh(mean)
    return mean + node.scale * np.asarray(noise)


def act(node: Node, rule: Rule, parents: Mapping[str, Any], noise: Any, i: int, drawn: Any) -> Any:
    """The value that a rule gives to one unit in one world."""
    if rule.kind == "NATURAL":
        return assign(node, parents, noise)
    if rule.kind == "value":
        return rule.value
    if rule.kind == "unit":
        return rule.value[i]
    if rule.kind == "distribution":
        return drawn
    if rule.kind in ("mechanism", "other noise"):
        if node.discrete:
            other = Node(node.name, node.parents, node.kind, node.weights, rule.a, table=rule.table)
            return assign(other, parents, noise)
        push = drawn if rule.kind == "other noise" else rule.a * np.asarray(noise)
        return 0.5 * total(node, parents) + push
    start = assign(node, parents, noise) if "natural" in rule.kind else 0
    if node.discrete:
        codes = sum(int(np.sum(np.asarray(parents[p])) > 0) for p in node.parents)
        return (int(start) + codes + int(rule.a)) % node.levels
    return rule.a + 0.5 * np.asarray(start) + np.sin(total(node, parents))


def merged(calls: Sequence[Call]) -> tuple[dict[str, tuple[list[Rule], int | None]], list[int]]:
    """The act left on each node, and the calls that still have a world dimension."""
    acts: dict[str, tuple[list[Rule], int | None]] = {}
    for k, call in enumerate(calls):
        for name, rules in call.rules.items():
            acts[name] = (rules, k if call.verb == "sweep" else None)
    used = {k for _, k in acts.values() if k is not None}
    return acts, [k for k in range(len(calls)) if k in used]


def interpret(
    description: Description,
    calls: Sequence[Call],
    noise: Mapping[str, np.ndarray],
    n: int,
    drawn: Callable[[str, Rule], np.ndarray],
) -> dict[str, np.ndarray]:
    """Values `[*worlds, n, *event]` of every node."""
    acts, dimensions = merged(calls)
    sizes = [calls[k].size for k in dimensions]
    out = {v.name: np.empty((*sizes, n, *v.event)) for v in description}
    for world in itertools.product(*map(range, sizes)):
        entry = dict(zip(dimensions, world, strict=True))
        for i in range(n):
            values: dict[str, Any] = {}
            for node in description:
                u = noise[node.name][i] if node.name in noise else None
                if node.name in acts:
                    rules, k = acts[node.name]
                    rule = rules[0 if k is None else entry[k]]
                    fresh = drawn(node.name, rule)[i] if rule.kind in DRAWN else None
                    values[node.name] = act(node, rule, values, u, i, fresh)
                else:
                    values[node.name] = assign(node, values, u)
                out[node.name][(*world, i)] = values[node.name]
    return out


# ---------------------------------------------------------------- the model in the library


def _weighted(node: Node, parents: Mapping[str, torch.Tensor], vectors: set[str]) -> Any:
    out: Any = torch.tensor(node.loc, dtype=torch.float64)
    for name in node.parents:
        value = parents[name].double()
        value = value.sum(-1) if name in vectors and not node.event else value
        out = out + node.weights[name] * value
    return out


def mechanism(node: Node, vectors: set[str]) -> Mechanism:
    zero = torch.zeros(node.event, dtype=torch.float64)
    law = distributions.Normal(zero, torch.full_like(zero, node.scale))
    if node.kind in ("gumbel", "monotone"):
        return Tabular(node.table, coupling=node.kind)
    if node.kind == "sum":
        return Structural(lambda **p: _weighted(node, p, vectors))
    if node.kind == "cut":
        cut = Categorical(2)
        return Structural(lambda **p: (_weighted(node, p, vectors) > 0).long(), type=cut)
    if not node.parents:
        return Root(distributions.Normal(zero + node.loc, law.scale))
    if node.kind == "tanh":
        return Additive(lambda **p: torch.tanh(_weighted(node, p, vectors)), law)
    if node.kind == "linear" and not vectors & set(node.parents):
        return Linear(node.weights, node.loc, law)
    return Additive(lambda **p: _full(node, p, vectors), law)


def _full(node: Node, parents: Mapping[str, torch.Tensor], vectors: set[str]) -> torch.Tensor:
    out = _weighted(node, parents, vectors)
    return out + torch.zeros(node.event, dtype=torch.float64) if node.event else out


def spec(description: Description) -> str:
    return "; ".join(
        f"{', '.join(v.parents)} -> {v.name}" if v.parents else v.name for v in description
    )


def build(description: Description) -> scm.SCM:
    """The library's model of a description, in float64."""
    vectors = {v.name for v in description if v.event}
    bound = {v.name: mechanism(v, vectors) for v in description}
    # Linear takes categorical parents one-hot, level k at column k; their code is the value here.
    for node in description:
        if isinstance(bound[node.name], Linear):
            levels = {v.name: v.levels for v in description if v.discrete}
            weights = {
                p: torch.arange(levels[p]) * w if p in levels else w
                for p, w in node.weights.items()
            }
            law = distributions.Normal(0.0, node.scale)
            bound[node.name] = Linear(weights, node.loc, law)
    return scm.SCM(spec(description), bound).to(torch.float64)


def given(node: Node, rule: Rule, vectors: set[str]) -> Any:
    """What a person would write for a rule."""
    if rule.kind == "NATURAL":
        return scm.NATURAL
    if rule.kind in ("value", "unit"):
        return rule.value if isinstance(rule.value, (int, float)) else torch.tensor(rule.value)
    zero = torch.zeros(node.event, dtype=torch.float64)
    if rule.kind == "distribution":
        return distributions.Normal(zero + rule.a, 1.0)
    if rule.kind in DRAWN or rule.kind == "mechanism":
        if node.discrete:
            return Tabular(rule.table, coupling=node.kind)
        laws = {
            "mechanism": lambda: distributions.Normal(zero, abs(rule.a)),
            "other noise": lambda: distributions.Uniform(zero, zero + abs(rule.a)),
        }
        law = laws[rule.kind]()
        if not node.parents:
            shift = 0.5 * node.loc
            return Root(
                distributions.Normal(zero + shift, abs(rule.a))
                if rule.kind == "mechanism"
                else distributions.Uniform(zero + shift, zero + shift + abs(rule.a))
            )
        return Additive(lambda **p: 0.5 * _full(node, p, vectors), law)

    def function(**arguments: torch.Tensor) -> torch.Tensor:
        start = arguments.pop("natural", torch.zeros((), dtype=torch.float64))
        if node.discrete:
            codes: Any = start.long() + int(rule.a)
            for name in node.parents:
                value = arguments[name]
                codes = codes + ((value.sum(-1) if name in vectors else value) > 0).long()
            return codes % node.levels
        out = rule.a + 0.5 * start + torch.sin(_full(node, arguments, vectors))
        return out

    return _named(function, [*node.parents, *(["natural"] if "natural" in rule.kind else [])])


def _named(function: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    """The function with explicit argument names, as a person would write it."""
    import inspect

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    function.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in names])  # type: ignore[attr-defined]
    return function


def carry_out(target: Any, description: Description, calls: Sequence[Call]) -> Any:
    """Make the calls on a model, a view or samples of the library."""
    vectors = {v.name for v in description if v.event}
    nodes = {v.name: v for v in description}
    for call in calls:
        listed = {
            name: [given(nodes[name], rule, vectors) for rule in rules]
            for name, rules in call.rules.items()
        }
        if call.verb == "sweep":
            target = target.sweep(listed)
        else:
            target = target.do({name: values[0] for name, values in listed.items()})
    return target
