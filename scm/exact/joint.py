r"""`Joint`: exact answers about a model whose mechanisms are all tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from scm.errors import InterventionError
from scm.exact.elimination import Array, Factor, Plan
from scm.exact.network import checked_levels, checked_tables, factors_after
from scm.exact.roles import check_acts, check_axes, split
from scm.exact.tree import Tree, shared
from scm.exact.twin import Twin, twin_factors
from scm.graph import CausalGraph
from scm.graph.domain import Act, Domain, Event
from scm.graph.table import Table
from scm.mechanisms.coupling import Coupling, coupling

if TYPE_CHECKING:
    from scm.exact.observed import Observed

__all__ = ["Joint"]

_MAX_PLANS = 256
_Made = TypeVar("_Made", Plan, Tree | None)


class Joint:
    r"""The law of a model of tables: of every node, under every act, in every world.

    Answers are exact, in float64, by variable elimination over the part of the network that
    a query needs. How to eliminate is worked out once for each set of names asked about.

    Args:
        graph: the causal graph; every common cause is a node of its own.
        tables: node -> ``(*levels of its parents, levels)``, the parents in the order of
            ``graph.parents(node)``, the last axis summing to one.
        levels: node -> names of its levels; ``0, 1, ...`` by default. Queries take the name
            or the code of a level; the name comes first where both would do.
        couplings: node -> ``"gumbel"`` (the default) or ``"monotone"``: what a unit would have
            been under other parents. Read by `counterfactual` alone.

    Raises:
        MechanismError: if a table, level or coupling does not fit its node.

    Example:
        >>> from scm.graph import CausalGraph
        >>> joint = Joint(
        ...     CausalGraph("Z -> X; Z, X -> Y"),
        ...     {
        ...         "Z": [0.5, 0.5],
        ...         "X": [[0.9, 0.1], [0.2, 0.8]],
        ...         "Y": [[[0.9, 0.1], [0.6, 0.4]], [[0.7, 0.3], [0.2, 0.8]]],
        ...     },
        ... )
        >>> joint.prob({"Y": 1}, do={"X": 1})
        tensor(0.6000, dtype=torch.float64)
        >>> joint.prob({"Y": 1}, given={"X": 1})
        tensor(0.7556, dtype=torch.float64)
    """

    def __init__(
        self,
        graph: CausalGraph,
        tables: Mapping[str, object],
        levels: Mapping[str, Sequence[Hashable]] | None = None,
        couplings: Mapping[str, str | Coupling] | None = None,
    ) -> None:
        self._graph = graph
        self._tables = checked_tables(graph, tables)
        self._domain = Domain(checked_levels(self._tables, levels or {}))
        chosen = dict(couplings or {})
        self._domain.require(*chosen)
        self._couplings = {node: coupling(chosen.get(node, "gumbel")) for node in graph.nodes}
        self._cards: dict[Hashable, int] = {n: t.shape[-1] for n, t in self._tables.items()}
        self._cards |= {Twin(n): t.shape[-1] for n, t in self._tables.items()}
        self._plans: dict[Hashable, Any] = {}

    @property
    def graph(self) -> CausalGraph:
        """The causal graph."""
        return self._graph

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes, latent ones too, in declared order."""
        return self._graph.nodes

    @property
    def levels(self) -> dict[str, tuple[Hashable, ...]]:
        """The names of the levels of each node."""
        return dict(self._domain.levels)

    def prob(self, outcome: Event, do: Event | None = None, given: Event | None = None) -> Tensor:
        r"""Return :math:`P(\text{outcome} \mid do(\cdot), \text{given})`.

        Conditions hold in the world of the act: this is not what would have been of units
        that were seen (`counterfactual`).

        Args:
            outcome: node -> level.
            do: node -> the level it is set to.
            given: node -> the level observed, after the act.

        Returns:
            A float64 scalar.

        Raises:
            GraphError: if a node is unknown.
            InterventionError: if a level is missing or unknown, a macro-variable is acted on, or
                the condition has probability zero.

        Example:
            >>> from scm.graph import CausalGraph
            >>> tables = {"X": [0.5, 0.5], "Y": [[0.9, 0.1], [0.3, 0.7]]}
            >>> joint = Joint(CausalGraph("X -> Y"), tables, levels={"Y": ("no", "yes")})
            >>> joint.prob({"X": 1}, given={"Y": "yes"})
            tensor(0.8750, dtype=torch.float64)
        """
        wanted = self._domain.event(outcome, "outcome")
        acts = self._domain.event(do, "do")
        seen = self._domain.event(given, "given")
        check_acts(self._graph, acts)
        within = 1.0
        if seen:
            agree = all(acts.get(n, code) == code for n, code in seen.items())
            within = self._chance(_without(seen, acts), acts) if agree else 0.0
            if not within > 0:
                raise self._impossible(acts, seen)
        both = {**acts, **seen, **wanted}
        if any(both[n] != code for n, code in (*acts.items(), *seen.items())):
            return torch.zeros((), dtype=torch.float64)
        if all(n in acts or n in seen for n in wanted):
            return torch.ones((), dtype=torch.float64)
        return _scalar(self._chance(_without(both, acts), acts) / within)

    def table(self, *names: str, do: Act = None, given: Act = None) -> Table:
        r"""Return :math:`P(\text{names} \mid do(\cdot), \text{given})` as a table.

        ``do`` and ``given`` may name nodes without a level (``do="X"``, ``do=("X", "W")``,
        ``given={"Z": None}``): then every level has an axis, before those of ``names``.

        Args:
            *names: the outcomes, one axis each, in this order.
            do: what is set: node -> level, or nodes.
            given: what is observed after the act: node -> level, or nodes.

        Returns:
            A `Table` in float64, NaN where the condition has probability zero.

        Raises:
            GraphError: if a node is unknown.
            InterventionError: as in `prob`; or if a node has two roles that cannot both hold.
            ScmError: if the table, or one on the way to it, would be too large.

        Example:
            >>> from scm.graph import CausalGraph
            >>> tables = {"X": [0.5, 0.5], "Y": [[0.9, 0.1], [0.3, 0.7]]}
            >>> Joint(CausalGraph("X -> Y"), tables).table("Y", do="X").values
            tensor([[0.9000, 0.1000],
                    [0.3000, 0.7000]], dtype=torch.float64)
        """
        acts, seen = self._roles(do, given)
        check_axes(self._domain.require(*names), acts, seen)
        return self._table(names, acts, seen, split(acts, seen))

    def tables(self, *names: str, do: Act = None, given: Act = None) -> dict[str, Table]:
        r"""Return :math:`P(\text{name} \mid do(\cdot), \text{given})` for each of ``names``.

        They equal ``table(name, do=do, given=given)`` but for rounding, and share one
        elimination: two passes over a tree of factors give them all (Shafer and Shenoy 1990;
        Lauritzen and Spiegelhalter 1988), so that twenty outcomes cost little more than two or
        three. Where each on its own is less work than that tree, no tree is made.

        Args:
            *names: the outcomes; each has its own table.
            do: what is set: node -> level, or nodes, as in `table`.
            given: what is observed after the act: node -> level, or nodes.

        Returns:
            Name -> its `Table`.

        Raises:
            GraphError: if a node is unknown.
            InterventionError: as in `table`.
            ScmError: as in `table`.

        Example:
            >>> from scm.graph import CausalGraph
            >>> tables = {"X": [0.5, 0.5], "Y": [[0.9, 0.1], [0.3, 0.7]], "Z": [[1, 0], [0, 1]]}
            >>> found = Joint(CausalGraph("X -> Y -> Z"), tables).tables("Y", "Z", do={"X": 1})
            >>> found["Z"]
            P(Z | do(X=1))
            Z  P
            0  0.3000
            1  0.7000
        """
        acts, seen = self._roles(do, given)
        check_axes(dict.fromkeys(self._domain.require(*names)), acts, seen)
        free, fixed = split(acts, seen)
        asked = tuple(dict.fromkeys(n for n in names if n not in fixed))
        sums = self._margins(free, asked, fixed, acts) if len(asked) > 1 else {}
        order = dict.fromkeys(names)
        return {n: self._table((n,), acts, seen, (free, fixed), sums.get(n)) for n in order}

    def counterfactual(
        self, outcome: Event, do: Event | None = None, given: Event | None = None
    ) -> Tensor:
        r"""Return :math:`P(\text{outcome}_{do(\cdot)} \mid \text{given})`.

        Of the units observed to be ``given``, in the world as it was, the share that would have
        had ``outcome``, had ``do`` been so (Pearl 2009, Theorem 7.1.7; by twin network, Balke
        and Pearl 1994). It depends on the coupling of each table that the act reaches, which
        data cannot tell.

        Args:
            outcome: node -> level, in the world of the act.
            do: node -> the level it would have been set to.
            given: node -> level, in the factual world; may name the nodes of ``do``.

        Returns:
            A float64 scalar.

        Raises:
            GraphError: if a node is unknown.
            InterventionError: as in `prob`.

        Example:
            >>> from scm.graph import CausalGraph
            >>> tables = {"X": [0.5, 0.5], "Y": [[0.9, 0.1], [0.3, 0.7]]}
            >>> joint = Joint(CausalGraph("X -> Y"), tables, couplings={"Y": "monotone"})
            >>> joint.counterfactual({"Y": 1}, do={"X": 1}, given={"X": 0, "Y": 0})
            tensor(0.6667, dtype=torch.float64)
        """
        wanted = self._domain.event(outcome, "outcome")
        acts = self._domain.event(do, "do")
        seen = self._domain.event(given, "given")
        check_acts(self._graph, acts)
        within = self._chance(seen, {}) if seen else 1.0
        if not within > 0:
            raise self._impossible({}, seen)
        if any(acts.get(n, code) != code for n, code in wanted.items()):
            return torch.zeros((), dtype=torch.float64)
        wanted = _without(wanted, acts)
        reached = self._graph.descendants(*acts) if acts else frozenset()
        fixed: dict[Hashable, int] = dict(seen.items())
        for name, code in wanted.items():
            if fixed.setdefault(Twin(name) if name in reached else name, code) != code:
                return torch.zeros((), dtype=torch.float64)
        fixed |= {Twin(name): code for name, code in acts.items()}

        def made() -> Plan:
            factors = twin_factors(
                self._graph,
                self._tables,
                self._couplings,
                self._cards,
                outcome=wanted,
                do=acts,
                given=seen,
            )
            return Plan(factors, self._cards, (), tuple(fixed))

        plan = self._kept(("twin", tuple(fixed), frozenset(wanted)), made)
        return _scalar(plan(tuple(fixed.values())).item() / within)

    def observed(self) -> Observed:
        """Return the margin over the observed nodes: what a scientist sees.

        It refuses latent names, and acts whose effect the margin does not determine.

        Example:
            >>> from scm.graph import CausalGraph
            >>> tables = {"C": [0.5, 0.5], "X": [[0.9, 0.1], [0.3, 0.7]]}
            >>> Joint(CausalGraph("C -> X", latent=["C"]), tables).observed().names
            ('X',)
        """
        from scm.exact.observed import Observed

        return Observed(self)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {self._cards[name]}" for name in self.names)
        return f"{type(self).__name__}({sizes})"

    def _chance(self, event: Mapping[str, int], acts: Mapping[str, int]) -> float:
        """Return the probability of an event over nodes that are not acted on."""
        return float(self._sums((), {**event, **acts}, acts))

    def _table(
        self,
        names: Sequence[str],
        acts: Mapping[str, int | None],
        seen: Mapping[str, int | None],
        parts: tuple[list[str], dict[str, int]],
        sums: Array | None = None,
    ) -> Table:
        """Return a table from P(free, names, fixed | do(acts)), found here if not given."""
        free, fixed = parts
        if sums is None:
            sums = self._sums((*free, *(n for n in names if n not in fixed)), fixed, acts)
        values = sums
        if seen:
            if any(acts.get(n, code) != code for n, code in seen.items()):
                values = np.zeros_like(values)
            axes = tuple(range(len(free), values.ndim))
            total = values.sum(axes, keepdims=True)
            values = np.divide(values, total, out=np.full_like(values, np.nan), where=total > 0)
        for axis, name in enumerate(names, start=len(free)):
            if name in fixed:
                point = np.arange(self._cards[name]) == fixed[name]
                values = np.expand_dims(values, axis)
                values = values * point.reshape(-1, *(1,) * (values.ndim - axis - 1))
        order = (*free, *names)
        levels = {n: self._domain.levels[n] for n in (*order, *acts, *seen)}
        return Table(order, levels, torch.from_numpy(values), acts, seen)

    def _sums(self, keep: Sequence[str], fixed: Mapping[str, int], acts: Collection[str]) -> Array:
        """Return P(keep, fixed | do(acts)); acts may be among keep or among fixed."""
        order = tuple(fixed)

        def made() -> Plan:
            return Plan(self._factors((*keep, *fixed), acts), self._cards, keep, order)

        plan = self._kept(("plan", tuple(keep), order, frozenset(acts)), made)
        return plan(tuple(fixed.values()))

    def _margins(
        self,
        keep: Sequence[str],
        names: Sequence[str],
        fixed: Mapping[str, int],
        acts: Collection[str],
    ) -> dict[str, Array]:
        """Return P(keep, name, fixed | do(acts)) for each of ``names``; none if better alone."""
        order = tuple(fixed)

        def made() -> Tree | None:
            return shared(lambda nodes: self._factors(nodes, acts), self._cards, keep, names, order)

        tree = self._kept(("tree", tuple(keep), tuple(names), order, frozenset(acts)), made)
        return dict(zip(names, tree(tuple(fixed.values())), strict=True)) if tree else {}

    def _factors(self, nodes: Sequence[Any], acts: Collection[str]) -> Iterator[Factor]:
        return factors_after(self._graph, self._tables, [n for n in nodes if n not in acts], acts)

    def _kept(self, key: Hashable, made: Callable[[], _Made]) -> _Made:
        """Return what is kept under ``key``, made now if it is new."""
        if key not in self._plans:
            new = made()
            if len(self._plans) >= _MAX_PLANS:
                del self._plans[next(iter(self._plans))]
            self._plans[key] = new
        found: _Made = self._plans[key]
        return found

    def _roles(self, do: Act, given: Act) -> tuple[dict[str, int | None], dict[str, int | None]]:
        acts, seen = self._domain.act(do, "do"), self._domain.act(given, "given")
        check_acts(self._graph, acts)
        return acts, seen

    def _impossible(self, acts: Mapping[str, int], seen: Mapping[str, int]) -> InterventionError:
        under = f" under do({self._domain.show(acts)})" if acts else ""
        return InterventionError(
            f"the condition {self._domain.show(seen)}{under} has probability zero; condition on "
            "something that can happen, or set it with do="
        )


def _without(event: Mapping[str, int], names: Collection[str]) -> dict[str, int]:
    return {name: code for name, code in event.items() if name not in names}


def _scalar(value: float) -> Tensor:
    return torch.tensor(min(value, 1.0), dtype=torch.float64)
