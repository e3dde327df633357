"""Random descriptions of models, acts and sweeps for the reference interpreter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import strategies as st

from .reference import Call, Description, Node, Rule, build, carry_out, given

__all__ = ["calls", "descriptions", "drawn_by_engine", "seeds"]

seeds = st.integers(0, 2**40)
_numbers = st.integers(-8, 8).map(lambda k: k / 4)
_scales = st.integers(1, 6).map(lambda k: k / 4)


def _table(draw: st.DrawFn, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


@st.composite
def descriptions(
    draw: st.DrawFn,
    most: int = 7,
    least: int = 2,
    kinds: tuple[str, ...] = ("linear", "tanh", "vector", "gumbel", "monotone", "sum", "cut"),
) -> Description:
    names = [f"V{i}" for i in range(draw(st.integers(least, most)))]
    nodes: Description = []
    for i, name in enumerate(names):
        parents = draw(st.lists(st.sampled_from(names[:i]), max_size=3, unique=True)) if i else []
        fits = [k for k in kinds if parents or k not in ("sum", "cut", "tanh")]
        if any(not v.discrete for v in nodes if v.name in parents):
            fits = [k for k in fits if k not in ("gumbel", "monotone")]
        if not fits:
            parents, fits = [], [k for k in kinds if k not in ("sum", "cut", "tanh")]
        kind = draw(st.sampled_from(fits))
        node = Node(name, tuple(parents), kind)
        if kind in ("gumbel", "monotone"):
            levels = [next(v for v in nodes if v.name == p).levels for p in parents]
            node.table = _table(draw, (*levels, draw(st.integers(2, 4))))
        else:
            node.weights = {p: draw(_numbers) for p in parents}
            node.loc, node.scale = draw(_numbers), draw(_scales)
        nodes.append(node)
    return nodes


def _kinds(node: Node, n: int | None) -> list[str]:
    found = ["value", "function of natural", "NATURAL"]
    if n is not None:
        found.append("unit")
    if node.parents:
        found.append("function")
    if node.kind not in ("sum", "cut"):
        found.append("mechanism")
    if not node.discrete:
        found += ["distribution", "other noise"]
    return found


def _value(draw: st.DrawFn, node: Node) -> object:
    if node.discrete:
        return draw(st.integers(0, node.levels - 1))
    return [draw(_numbers), draw(_numbers)] if node.event else draw(_numbers)


@st.composite
def rules(draw: st.DrawFn, node: Node, n: int | None, verb: str) -> Rule:
    kinds = [k for k in _kinds(node, n) if verb == "sweep" or k != "NATURAL"]
    kind = draw(st.sampled_from(kinds))
    rule = Rule(kind, a=draw(_scales))
    if kind == "value":
        rule.value = _value(draw, node)
    elif kind == "unit":
        assert n is not None
        rule.value = [_value(draw, node) for _ in range(n)]
    elif kind == "mechanism" and node.discrete:
        assert node.table is not None
        rule.table = _table(draw, node.table.shape)
    return rule


@st.composite
def calls(
    draw: st.DrawFn,
    description: Description,
    n: int | None,
    most: int = 4,
    verbs: tuple[str, ...] = ("do", "sweep"),
    least: int = 0,
) -> list[Call]:
    """Calls on nodes of the description, or of a part of it."""
    made = []
    for _ in range(draw(st.integers(least, most))):
        verb = draw(st.sampled_from(verbs))
        nodes = draw(st.lists(st.sampled_from(description), min_size=1, max_size=2, unique_by=id))
        size = 1 if verb == "do" else draw(st.integers(1, 3))
        listed = {v.name: [draw(rules(v, n, verb)) for _ in range(size)] for v in nodes}
        made.append(Call(verb, listed))
    return made


def drawn_by_engine(
    description: Description, n: int, seed: int
) -> Callable[[str, Rule], np.ndarray]:
    """What acts draw afresh, from the engine's samples of that node alone."""
    model = build(description)
    nodes = {v.name: v for v in description}
    cache: dict[int, np.ndarray] = {}

    def drawn(name: str, rule: Rule) -> np.ndarray:
        if id(rule) not in cache:
            node = nodes[name]
            if rule.kind == "other noise":
                zero = torch.zeros(node.event, dtype=torch.float64)
                law = torch.distributions.Uniform(zero, zero + rule.a)
                act = model.do({name: law})
            else:
                act = carry_out(model, [node], [Call("do", {name: [rule]})])
            cache[id(rule)] = act.sample(n, seed)[name].numpy()
        return cache[id(rule)]

    return drawn


__all__ += ["given"]
