"""Interventions as text and numbers: what a command line gives and a manifest keeps."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch import distributions as laws

from scm.errors import InterventionError
from scm.mechanisms.types import Categorical, NodeType
from scm.model import SCM
from scm.worlds.acts import NATURAL, Natural, unknown
from scm.worlds.view import View

__all__ = ["Do", "Interventions", "Sweeps", "Value"]

Value: TypeAlias = float | int | str
"""A number; the name or code of a level; a law, as "Normal(0, 1)"; or "NATURAL"."""

Do: TypeAlias = Mapping[str, Any] | str | Sequence[str] | None
Sweeps: TypeAlias = Mapping[str, Any] | str | Sequence[Mapping[str, Any] | str] | None

_LAW = re.compile(r"(Normal|Uniform|Bernoulli|Categorical)\s*\(([^()]*)\)")
_LAWS = "Normal(mean, sd), Uniform(low, high), Bernoulli(p), Categorical(p0, p1, ...)"
_RANGE = re.compile(r"([^:,()]+):([^:,()]+):(\d+)")
_COMMA = re.compile(r",(?![^()]*\))")
_MOST = 1_000_000


@dataclass(frozen=True)
class Interventions:
    """What is done to a model, in a form that fits a manifest.

    Attributes:
        do: Value by node.
        sweeps: World dimensions; in each, lists of values by node, zipped.

    Example:
        >>> Interventions({"A": 1.0}, ({"B": (0.0, 0.5, 1.0)},)).sweeps[0]["B"]
        (0.0, 0.5, 1.0)
    """

    do: Mapping[str, Value]
    sweeps: tuple[Mapping[str, tuple[Value, ...]], ...] = ()

    @classmethod
    def read(cls, model: SCM, do: Do = None, sweep: Sweeps = None) -> Interventions:
        """Read interventions as text, or as values by node.

        | text | meaning |
        |---|---|
        | `X=1`, `colour=red` | a number; a level by name or code |
        | `X=Normal(0, 1)` | drawn for each unit: Normal, Uniform, Bernoulli, Categorical |
        | `X=0,1,NATURAL` | a sweep over values, NATURAL the factual one |
        | `X=-2:2:9` | a sweep over 9 values from -2 to 2 |
        | `X=0,1; Y=5,6` | a sweep over two nodes, zipped |

        Args:
            model: The model, whose node types say what a value means.
            do: One text, several, or values by node.
            sweep: One world dimension, or several, which multiply: each a text, or lists of
                values by node.

        Raises:
            InterventionError: If a text is malformed, a node is unknown, or a value does not fit.

        Example:
            >>> import scm
            >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
            >>> acts = Interventions.read(model, do="A=1", sweep="B=0:1:3")
            >>> acts.do, acts.sweeps
            ({'A': 1.0}, ({'B': (0.0, 0.5, 1.0)},))
        """
        texts = [do] if isinstance(do, str) else do
        if isinstance(texts, Mapping):
            pairs = list(texts.items())
        else:
            pairs = [_pair(text, "do") for text in texts or ()]
        _distinct([node for node, _ in pairs], "do")
        unknown([node for node, _ in pairs], model.graph.nodes, "do")
        listed = [sweep] if isinstance(sweep, (str, Mapping)) else list(sweep or ())
        acts = cls(
            {node: _value(model, node, value) for node, value in sorted(pairs)},
            tuple(_sweep(model, one) for one in listed),
        )
        both = sorted({n for s in acts.sweeps for n in s} & acts.do.keys())
        names = [n for s in acts.sweeps for n in s]
        if both or len(set(names)) < len(names):
            raise InterventionError(
                f"{both or sorted(n for n in set(names) if names.count(n) > 1)} was given twice, "
                "and the last would win; act on a node once, by do or in one sweep"
            )
        acts.on(model)
        return acts

    def on(self, model: SCM) -> View:
        """The model under these interventions."""
        done = {node: _given(model, node, value) for node, value in self.do.items()}
        view: View = model.view.do(done) if done else model.view
        for sweep in self.sweeps:
            values = {n: [_given(model, n, v) for v in listed] for n, listed in sweep.items()}
            view = view.sweep(values)
        return view


def _pair(text: Any, verb: str) -> tuple[str, str]:
    name, equals, value = str(text).partition("=")
    if not isinstance(text, str) or not equals or not name.strip() or not value.strip():
        example = "X=1" if verb == "do" else "X=0,1 or X=-2:2:9"
        raise InterventionError(f"{verb} {text!r} was given; expected NODE=VALUE, as {example}")
    return name.strip(), value.strip()


def _distinct(names: Sequence[str], verb: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InterventionError(f"{verb} gives {twice} more than one value; give each node one")


def _sweep(model: SCM, given: Any) -> Mapping[str, tuple[Value, ...]]:
    if isinstance(given, Mapping):
        pairs = list(given.items())
    else:
        pairs = [_pair(part, "sweep") for part in str(given).split(";")]
    _distinct([node for node, _ in pairs], "sweep")
    unknown([node for node, _ in pairs], model.graph.nodes, "sweep")
    lists = {}
    for node, values in sorted(pairs):
        entries = _listed(values) if isinstance(values, str) else values
        if not hasattr(entries, "__len__") or not len(entries):
            raise InterventionError(
                f"sweep({node}={values!r}) was given; expected a list of values, as X=0,1"
            )
        lists[node] = tuple(_value(model, node, entry) for entry in entries)
    return lists


def _listed(text: str) -> Sequence[Any]:
    """The values that a text lists, or that divide a range evenly."""
    across = _RANGE.fullmatch(text)
    if across is None:
        return [part.strip() for part in _COMMA.split(text)]
    first, last, count = across.groups()
    try:
        low, high, number = float(first), float(last), int(count[:9])
    except ValueError:
        return [text]
    if not (math.isfinite(low) and math.isfinite(high) and 2 <= number <= _MOST):
        raise InterventionError(
            f"the range {text!r} was given; expected FIRST:LAST:NUMBER, as -2:2:9, with at least "
            "2 values"
        )
    return [float(v) for v in np.linspace(low, high, number)]


def _value(model: SCM, node: str, value: Any) -> Value:
    """One value in the form that a manifest keeps."""
    kind = model.mechanisms[node].type
    if isinstance(value, Natural):
        return "NATURAL"
    if isinstance(value, (Tensor, np.generic, np.ndarray)) and math.prod(value.shape) == 1:
        value = value.item()
    if isinstance(value, str) and not _is_level(kind, value):
        law = _LAW.fullmatch(value)
        if value == "NATURAL":
            return value
        if law is not None:
            numbers = ", ".join(repr(_number(n, node)) for n in law[2].split(","))
            return f"{law[1]}({numbers})"
        value = _number(value, node, kind)
    if not isinstance(value, (str, int, float)):
        raise InterventionError(
            f"{node}={value!r:.60} was given; a data set's manifest keeps numbers, names of "
            "levels, NATURAL, and laws as text ('Normal(0, 1)'): for other acts, write a model "
            "whose mechanism does them, with model.replace(...)"
        )
    if not isinstance(kind, Categorical):
        return float(value)
    if isinstance(value, float) and value.is_integer() and value not in kind.names:
        value = int(value)
    try:
        code = int(kind.encode(value, torch.zeros(())))
    except ValueError as error:
        raise InterventionError(f"for {node!r}: {error}") from error
    name = kind.names[code]
    return name if isinstance(name, str) else code


def _is_level(kind: NodeType, text: str) -> bool:
    return isinstance(kind, Categorical) and text in kind.names


def _number(text: str, node: str, kind: NodeType | None = None) -> Any:
    try:
        number = float(text)
    except ValueError:
        if isinstance(kind, Categorical):
            return text
        raise InterventionError(
            f"{text!r} was given for {node!r}; expected a number, NATURAL, or {_LAWS}"
        ) from None
    if not math.isfinite(number):
        raise InterventionError(f"{text!r} was given for {node!r}; expected a finite number")
    return number


def _given(model: SCM, node: str, value: Value) -> Any:
    """One value as the verbs take it; a level becomes its code."""
    kind = model.mechanisms[node].type
    law = _LAW.fullmatch(value) if isinstance(value, str) else None
    if isinstance(kind, Categorical) and value in kind.names and isinstance(value, str):
        return torch.tensor(kind.names.index(value))
    if law is not None:
        return _law(law, node, kind)
    if value == "NATURAL":
        return NATURAL
    return torch.tensor(value) if isinstance(kind, Categorical) else value


def _law(text: re.Match[str], node: str, kind: NodeType) -> laws.Distribution:
    numbers = [float(n) for n in text[2].split(",")]
    try:
        if text[1] == "Categorical":
            return laws.Categorical(torch.tensor(numbers))
        law: laws.Distribution = getattr(laws, text[1])(*numbers)
        return law.expand(kind.event) if kind.event else law
    except (TypeError, ValueError) as error:
        raise InterventionError(
            f"{text[0]} was given for {node!r}, which is no distribution ({error!s:.200}); "
            f"expected {_LAWS}"
        ) from error
