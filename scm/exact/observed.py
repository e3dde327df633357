"""`Observed`: the margin of a `Joint` that a scientist sees, and what follows from it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scm.errors import InterventionError, NotIdentifiedError
from scm.graph import CausalGraph
from scm.graph.domain import Act, Domain, Event
from scm.graph.estimand import Estimand
from scm.graph.table import Table

if TYPE_CHECKING:
    from scm.exact.joint import Joint

__all__ = ["Observed"]


class Observed:
    r"""The margin of a joint over its observed nodes, with the same queries.

    An act is answered where the graph identifies its effect (`CausalGraph.identify`) and no
    cell that the formula reads is empty.

    Args:
        joint: the law of all nodes.

    Example:
        >>> from scm.exact import Joint
        >>> from scm.graph import CausalGraph
        >>> graph = CausalGraph("C -> X, Y; X -> Y", latent=["C"])
        >>> flat = [[0.5, 0.5], [0.5, 0.5]]
        >>> seen = Joint(graph, {"C": [0.5, 0.5], "X": flat, "Y": [flat, flat]}).observed()
        >>> seen.prob({"Y": 1}, given={"X": 1})
        tensor(0.5000, dtype=torch.float64)
        >>> seen.prob({"Y": 1}, do={"X": 1})
        Traceback (most recent call last):
        scm.errors.NotIdentifiedError: P(Y | do(X)) is not identified from P(X, Y): ...
    """

    def __init__(self, joint: Joint) -> None:
        self._joint = joint
        self._domain = Domain({name: joint.levels[name] for name in joint.graph.observed})
        self._tables: dict[tuple[frozenset[str], ...], Table] = {}

    @property
    def graph(self) -> CausalGraph:
        """The causal graph, latent nodes and all: it is known, the latent values are not."""
        return self._joint.graph

    @property
    def names(self) -> tuple[str, ...]:
        """The observed nodes, in declared order."""
        return self.graph.observed

    @property
    def levels(self) -> dict[str, tuple[Hashable, ...]]:
        """The names of the levels of each observed node."""
        return dict(self._domain.levels)

    def prob(self, outcome: Event, do: Event | None = None, given: Event | None = None) -> Tensor:
        """Return a probability, as `Joint.prob` does.

        Raises:
            InterventionError: if a node is latent, and as in `Joint.prob`.
            NotIdentifiedError: if the graph and this margin do not determine it: with the
                ``hedge``, or with the empty cell that the formula reads.
        """
        self._check(outcome, do, given)
        if not do:
            return self._joint.prob(outcome, None, given)
        acts = self._domain.event(do, "do")
        wanted = self._domain.event(outcome, "outcome")
        seen = self._domain.event(given, "given")
        for name, code in acts.items():  # after do(X = x), X is x
            if seen.get(name, code) != code:
                raise InterventionError(
                    f"the condition {name}={self.levels[name][seen[name]]!r} under "
                    f"do({self._domain.show(acts)}) has probability zero"
                )
        clash = any({**acts, **seen}.get(n, code) != code for n, code in wanted.items())
        wanted = {n: code for n, code in wanted.items() if n not in acts and n not in seen}
        seen = {n: code for n, code in seen.items() if n not in acts}
        if clash or not wanted:
            return torch.tensor(0.0 if clash else 1.0, dtype=torch.float64)
        value = self._effect(wanted, acts, seen).prob(
            _named(wanted, self.levels), _named(acts, self.levels), _named(seen, self.levels)
        )
        return torch.tensor(min(float(value), 1.0), dtype=torch.float64)

    def table(self, *names: str, do: Act = None, given: Act = None) -> Table:
        """Return a table, as `Joint.table` does; NaN where a cell that is read is empty.

        Raises:
            InterventionError: if a node is latent, and as in `Joint.table`.
            NotIdentifiedError: if the graph does not identify it; with the ``hedge``.
        """
        self._check(names, do, given)
        if not do:
            return self._joint.table(*names, given=given)
        acts, seen = self._domain.act(do, "do"), self._domain.act(given, "given")
        roles = (*self._domain.require(*names), *acts, *seen)
        twice = sorted({name for name in roles if roles.count(name) > 1})
        if twice:
            raise InterventionError(
                f"{', '.join(twice)} cannot stand in two places of an identified table: outcomes, "
                "do and given must be different nodes"
            )
        full = self._effect(names, acts, seen)
        free = [n for n, code in (*acts.items(), *seen.items()) if code is None]
        fixed = {n: c for n, c in (*acts.items(), *seen.items()) if c is not None}
        values = full.values[tuple(fixed.get(n, slice(None)) for n in full.names)]
        left = [n for n in full.names if n not in fixed]
        order = (*free, *names)
        levels = {n: self.levels[n] for n in (*order, *fixed)}
        values = torch.from_numpy(values.transpose([left.index(n) for n in order]).copy())
        why = full.why
        return Table(
            order, levels, values, acts, seen,
            why=None if why is None else lambda codes: why({**codes, **fixed}),
        )  # fmt: skip

    def counterfactual(
        self, outcome: Event, do: Event | None = None, given: Event | None = None
    ) -> Tensor:
        """Return a conditional probability if nothing is done; refuse otherwise.

        Raises:
            InterventionError: if a node is latent, and as in `Joint.prob`.
            NotIdentifiedError: if ``do`` names a node.
        """
        if do:
            raise NotIdentifiedError(
                "a margin does not identify counterfactuals in general: they depend on the "
                "coupling of each table. graph.identify_counterfactual finds those that it does; "
                "`Joint.counterfactual` answers under the couplings of the model"
            )
        return self.prob(outcome, given=given)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.names)})"

    def _effect(self, outcome: Iterable[str], do: Iterable[str], given: Iterable[str]) -> Table:
        """Return P(outcome | do, given) with every level of each, by identification."""
        key = (frozenset(outcome), frozenset(do), frozenset(given))
        if key not in self._tables:
            estimand: Estimand = self.graph.identify(*key)
            self._tables[key] = estimand.evaluate(self, check=False)
        return self._tables[key]

    def _check(self, outcome: Act, do: Act, given: Act) -> None:
        for act in (outcome, do, given):
            for name in _names(act):
                if name in self.graph.latent:
                    raise InterventionError(
                        f"{name!r} is latent, and not in the observed margin of "
                        f"{', '.join(self.names)}; ask the joint itself for it"
                    )


def _names(act: Act) -> Iterable[str]:
    return () if act is None else (act,) if isinstance(act, str) else act


def _named(
    codes: Mapping[str, int], levels: Mapping[str, tuple[Hashable, ...]]
) -> dict[str, Hashable]:
    return {name: levels[name][code] for name, code in codes.items()}
