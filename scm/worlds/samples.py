"""Samples: units in their worlds, and the counterfactuals that can be asked of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from scm import html
from scm.errors import InterventionError
from scm.mechanisms.mechanism import Status
from scm.mechanisms.types import Categorical
from scm.worlds.acting import Acting
from scm.worlds.acts import Act, Axes, Constant, Natural, Sweep, unknown
from scm.worlds.data import named
from scm.worlds.evaluation import Evaluation
from scm.worlds.population import Population
from scm.worlds.program import Program
from scm.worlds.summary import summary

if TYPE_CHECKING:
    import pandas

__all__ = ["Samples", "sweep_labels", "weakest"]

_STRENGTH: tuple[Status, ...] = ("exact", "posterior", "approximate", "prior")


def weakest(*statuses: Status) -> Status:
    """The weakest of some statuses; "exact" if there are none."""
    return max(statuses, key=_STRENGTH.index, default="exact")


class Samples(Acting, Mapping[str, Tensor]):
    """Units in their worlds: a mapping from node to values `[*worlds, units, *event]`.

    `samples["X"]` is the full shape, as a view; `samples.compact["X"]` is what is stored,
    of size 1 along each world dimension that does not reach X. `samples.do(...)`,
    `.sweep(...)` and `.man(...)` are counterfactuals: the same units, their noise kept, and
    only what lies below the act computed again, when it is asked for.

    Attributes:
        program: The program that made them.
        population: The units and their noise.
        log_weights: Importance weights of the draws, `(K, n)`, normalised; or None.
        residual: How far an encoder's reconstruction is from each observed node, `(n,)`.
        accepted: Share of units that met the condition of `given`, or None.

    Example:
        >>> import scm
        >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
        >>> units = model.sample(3, seed=0)
        >>> list(units), units["B"].shape
        (['A', 'B'], torch.Size([3]))
        >>> changed = units.do(A=1.0)  # the same units, had A been 1
        >>> torch.equal(changed.noise["B"], units.noise["B"])
        True
        >>> units.sweep(A=[0.0, 1.0])["B"].shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        program: Program,
        population: Population,
        known: Mapping[str, Tensor] | None = None,
        *,
        grad: bool = False,
        noise_status: Mapping[str, Status] | None = None,
        value_status: Mapping[str, Status] | None = None,
        shown_status: Mapping[str, Status] | None = None,
        log_weights: Tensor | None = None,
        residual: Mapping[str, Tensor] | None = None,
        accepted: float | None = None,
        fingerprint: Any = None,
    ) -> None:
        self.program, self.population = program, population
        self.run = Evaluation(program, population, known, grad)
        every: dict[str, Status] = dict.fromkeys(program.graph.nodes, "prior")
        self._noise_status = dict(noise_status or every)
        self._value_status = dict(value_status or every)
        self._shown_status = dict(shown_status or every)
        self.log_weights = log_weights
        self.residual = dict(residual or {})
        self.accepted = accepted
        self._fingerprint = fingerprint if fingerprint is not None else program.fingerprint()

    @property
    def n(self) -> int:
        """Number of units."""
        return self.population.n

    @property
    def ids(self) -> Tensor:
        """Number of each unit, `(n,)`; it survives slicing."""
        return self.population.ids

    @property
    def seed(self) -> int:
        """Seed of the units' noise streams."""
        return self.population.streams.seed

    @property
    def draws(self) -> int | None:
        """Number of posterior draws, None where there is no draw axis."""
        return self.population.draws

    @property
    def worlds(self) -> tuple[Sweep, ...]:
        """The sweeps, in order: one for each world dimension."""
        return self.program.sweeps

    @property
    def status(self) -> dict[str, Status]:
        """How each node's noise is known: exact, posterior, approximate or prior."""
        return dict(self._shown_status)

    @property
    def written(self) -> dict[str, Tensor]:
        """For each macro-variable that was set, whether it now reads so: `[*worlds, units]`."""
        graph = self.program.graph
        acted = [c for c in self.program.acts if graph.is_constitutive(c)]
        self._ensure([m for c in acted for m in graph.micro(c)])
        full = self.run.layout.full
        return {c: self.run.written[c].expand(full) for c in acted}

    @property
    def compact(self) -> Mapping[str, Tensor]:
        """What is stored of each node: size 1 along worlds that do not reach it."""
        self._ensure(self.program.graph.nodes)
        return dict(self.run.values)

    @property
    def noise(self) -> Mapping[str, Tensor]:
        """Base noise of each node that has any, `(n, *shape)`, or `(K or 1, n, *shape)`."""
        return _NoiseView(self)

    def compute(self) -> Samples:
        """Compute every node now instead of when it is asked for."""
        self._ensure(self.program.graph.nodes)
        return self

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return self._rows(key)
        unknown([key], self.program.graph.nodes, "samples[...]")
        self._ensure([key])
        stored = self.run.values[key]
        event = self.program.mechanisms[key].type.event
        view = stored.expand(*self.run.layout.full, *event)
        view._scm_axes = Axes(self.worlds, self.draws, self.ids, self.population.origin)  # type: ignore[attr-defined]
        return view

    def __contains__(self, key: object) -> bool:
        return key in self.program.graph.nodes

    def get(self, key: str, default: Any = None) -> Any:
        """The values of a node, or ``default`` if the model has no such node."""
        return self[key] if key in self.program.graph else default

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __iter__(self) -> Iterator[str]:
        return iter(self.program.graph.nodes)

    def __len__(self) -> int:
        return len(self.program.graph.nodes)

    def world(self, values: Mapping[str, Any] | None = None, /, **keywords: Any) -> Samples:
        """Pick the world in which swept nodes took the given values.

        Raises:
            InterventionError: If a node was not swept, or not over that value.

        Example:
            >>> import scm
            >>> model = scm.SCM("A -> B", A=scm.Root.normal(),
            ...                 B=scm.Structural(lambda A: 2 * A))
            >>> both = model.sweep(A=[1.0, scm.NATURAL]).sample(2, seed=0)
            >>> both.world(A=1.0)["B"]
            tensor([2., 2.])
        """
        asked = named(values, keywords, "world")
        samples = self
        while asked:
            name = next(iter(asked))
            sweep = next((s for s in samples.worlds if name in s.values), None)
            if sweep is None:
                swept = [n for s in samples.worlds for n in s.values]
                raise InterventionError(f"world names {name!r}, but swept are: {swept or 'none'}")
            here = {n: asked.pop(n) for n in list(asked) if n in sweep.values}
            samples = samples._at(sweep, _entry(sweep, here))
        return samples

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each world (and draw) and unit, indexed by swept values and unit.

        Level names are shown; a node with an event shape is a column of arrays.
        """
        import pandas as pd

        full = self.run.layout.full
        axes: list[Mapping[str, Sequence[Any]]] = [
            {name: sweep_labels(listed) for name, listed in sweep.values.items()}
            for sweep in self.worlds
        ]
        axes += [{"draw": range(self.draws)}] if self.draws is not None else []
        axes += [{"unit": self.ids.tolist()}]
        place = np.indices(full).reshape(len(axes), -1)
        levels = {
            name: [labels[k] for k in place[axis]]
            for axis, named_labels in enumerate(axes)
            for name, labels in named_labels.items()
        }
        unit = pd.Index(levels["unit"], name="unit")
        index = pd.MultiIndex.from_arrays(list(levels.values()), names=list(levels))
        columns: dict[str, Any] = {}
        for node in self:
            kind = self.program.mechanisms[node].type
            array = self[node].detach().cpu().numpy().reshape(full.numel(), *kind.event)
            if isinstance(kind, Categorical) and not isinstance(kind.levels, int):
                columns[node] = pd.Categorical.from_codes(array, categories=list(kind.names))
            else:
                columns[node] = list(array) if kind.event else array
        return pd.DataFrame(columns, index=index if len(levels) > 1 else unit)

    def __repr__(self) -> str:
        lines = [self._title()]
        for node in self:
            kind = self.program.mechanisms[node].type
            lines.append(f"  {node}: {kind}, {self._shown_status[node]}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            (node, kind := self.program.mechanisms[node].type, self._shown_status[node],
             summary(kind, self.run.values.get(node)))
            for node in self
        ]  # fmt: skip
        return html.table(self._title(), ("node", "type", "known", "values"), rows)

    def _title(self) -> str:
        worlds = " x ".join(f"{s.size} worlds of {', '.join(s.values)}" for s in self.worlds)
        return f"Samples: {self.n} units{', ' + worlds if worlds else ''}, seed {self.seed}"

    def _ensure(self, nodes: Any) -> None:
        if any(node not in self.run.values for node in nodes):
            self._check_fresh()
            self.run.compute(nodes)

    def _check_fresh(self) -> None:
        if self._fingerprint != self.program.fingerprint():
            raise InterventionError(
                "the model's parameters have changed since these samples were made, so their "
                "counterfactuals would mix two models; sample again"
            )

    def _with_acts(self, acts: list[Act]) -> Samples:
        self._check_fresh()
        program = self.program.with_acts(acts)
        lost = [s for s in self.worlds if s not in program.sweeps]
        changed = {act.node for act in acts}
        affected = program.affected(changed) | self.program.affected(changed)
        new = Evaluation(program, self.population).layout
        for act in acts:
            _check_given(act, program, new, self.population)
        kept = {}
        for node, value in self.run.values.items():
            if node not in affected:
                kept[node] = self._moved(value, lost, len(program.sweeps))
        written = {}
        for name, flags in self.run.written.items():
            if not affected.intersection(program.graph.micro(name)):
                written[name] = self._moved(flags, lost, len(program.sweeps))
        known, shown = dict(self._value_status), dict(self._shown_status)
        for node in program.graph.topological_order():
            if node in affected:
                known[node] = shown[node] = self._new_status(program, node, known)
        samples = self._replace(program, kept, value_status=known, shown_status=shown)
        samples.run.written = written
        return samples

    def _new_status(self, program: Program, node: str, value: Mapping[str, Status]) -> Status:
        if not program.reads_parents(node):
            return "exact"
        noisy = program.mechanisms[node].noise is not None
        own: list[Status] = [self._noise_status[node]] if noisy else []
        return weakest(*own, *(value[p] for p in program.graph.parents(node)))

    def _moved(self, value: Tensor, lost: list[Sweep], worlds: int) -> Tensor:
        layout = self.run.layout
        for axis in sorted((layout.axis(s) for s in lost), reverse=True):
            value = value.squeeze(axis)
        kept = len(layout.sweeps) - len(lost)
        for _ in range(worlds - kept):
            value = value.unsqueeze(kept)
        return value

    def _at(self, sweep: Sweep, entry: int) -> Samples:
        axis = self.run.layout.axis(sweep)

        def pick(value: Tensor) -> Tensor:
            return value.select(axis, entry if value.shape[axis] > 1 else 0)

        values = {node: pick(v) for node, v in self.run.values.items()}
        samples = self._replace(self.program.at(sweep, entry), values)
        samples.run.written = {c: pick(v) for c, v in self.run.written.items()}
        return samples

    def _rows(self, key: Any) -> Samples:
        index = torch.arange(self.n)[key]
        if index.ndim == 0:
            index = index.unsqueeze(0)
        unit_axis = self.run.layout.rank - 1
        self.compute()
        values = {
            node: v.index_select(unit_axis, index.to(v.device))
            for node, v in self.run.values.items()
        }
        samples = self._replace(self.program, values, population=self.population.select(index))
        samples.run.written = {
            c: v.index_select(unit_axis, index.to(v.device)) for c, v in self.run.written.items()
        }
        if self.log_weights is not None:
            samples.log_weights = self.log_weights[:, index]
        samples.residual = {node: r[index] for node, r in self.residual.items()}
        return samples

    def _replace(self, program: Program, known: Mapping[str, Tensor], **changes: Any) -> Samples:
        options: dict[str, Any] = {
            "population": self.population,
            "grad": self.run.grad,
            "noise_status": self._noise_status,
            "value_status": self._value_status,
            "shown_status": self._shown_status,
            "log_weights": self.log_weights,
            "residual": self.residual,
            "accepted": self.accepted,
            "fingerprint": self._fingerprint,
            **changes,
        }
        return Samples(program, options.pop("population"), known, **options)


class _NoiseView(Mapping[str, Tensor]):
    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        mechanisms = samples.program.mechanisms
        self.names = [node for node in samples if mechanisms[node].noise is not None]

    def __getitem__(self, node: str) -> Tensor:
        if node not in self.names:
            raise KeyError(node)
        noise = self.samples.program.mechanisms[node].noise
        assert noise is not None
        stream = self.samples.program.streams[node]
        return self.samples.population.noise(node, stream, noise, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _check_given(act: Act, program: Program, layout: Any, units: Population) -> None:
    kind = program.mechanisms[act.node].type
    for entry, rule in enumerate(act.rules):
        if isinstance(rule, Constant):
            at = None if act.sweep is None else (layout.axis(act.sweep), [entry])
            try:
                layout.place(rule, kind, units, at)
            except InterventionError as error:
                raise InterventionError(f"for {act.node!r}: {error}") from error


def _entry(sweep: Sweep, asked: Mapping[str, Any]) -> int:
    for entry in range(sweep.size):
        if all(_same(sweep.values[n][entry], v) for n, v in asked.items()):
            return entry
    listed = {n: sweep_labels(sweep.values[n])[:10] for n in asked}
    raise InterventionError(f"no world with {dict(asked)}; swept were {listed}")


def _same(listed: Any, asked: Any) -> bool:
    if isinstance(listed, Natural) or isinstance(asked, Natural) or callable(listed):
        return listed is asked
    if isinstance(listed, str) or isinstance(asked, str):
        return bool(listed == asked)
    try:
        a, b = np.asarray(listed, dtype=float), np.asarray(asked, dtype=float)
    except (TypeError, ValueError):
        return listed is asked
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-6, atol=1e-8))


def sweep_labels(values: Sequence[Any]) -> list[Any]:
    """What to call the values that a sweep lists, in a message or an index."""
    cells = [v.item() if isinstance(v, Tensor) and v.numel() == 1 else v for v in values]
    return [c if isinstance(c, (int, float, str)) else repr(c) for c in cells]
