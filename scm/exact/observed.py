"""`Observed`: the margin of a `Joint` that a scientist sees, and what follows from it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from scm.errors import InterventionError, NotIdentifiedError
from scm.exact.domain import Act, Event
from scm.exact.table import Table
from scm.graph import CausalGraph

if TYPE_CHECKING:
    from scm.exact.joint import Joint

__all__ = ["Observed"]


class Observed:
    r"""The margin of a joint over its observed nodes, with the same queries.

    An act is answered where adjusting for parents identifies its effect (Pearl 2009, eq. 3.13):
    every node acted on has observed parents, and takes its value with positive probability
    whatever they are. Then :math:`P(v \mid do(x)) = P(v) / P(x \mid pa(x))`.

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
        scm.errors.NotIdentifiedError: adjusting for its parents does not identify do(X): ...
    """

    def __init__(self, joint: Joint) -> None:
        self._joint = joint

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
        return {name: self._joint.levels[name] for name in self.names}

    def prob(self, outcome: Event, do: Event | None = None, given: Event | None = None) -> Tensor:
        """Return a probability, as `Joint.prob` does.

        Raises:
            InterventionError: if a node is latent, and as in `Joint.prob`.
            NotIdentifiedError: if adjusting for parents does not identify the effect.
        """
        self._check(outcome, do, given)
        return self._joint.prob(outcome, do, given)

    def table(self, *names: str, do: Act = None, given: Act = None) -> Table:
        """Return a table, as `Joint.table` does.

        Raises:
            InterventionError: if a node is latent, and as in `Joint.table`.
            NotIdentifiedError: if adjusting for parents does not identify the effect.
        """
        self._check(names, do, given)
        return self._joint.table(*names, do=do, given=given)

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
                "a margin does not identify counterfactuals: they depend on the coupling of each "
                "table. `Joint.counterfactual` answers under the couplings of the model"
            )
        return self.prob(outcome, given=given)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.names)})"

    def _check(self, outcome: Act, do: Act, given: Act) -> None:
        for act in (outcome, do, given):
            for name in _names(act):
                if name in self.graph.latent:
                    raise InterventionError(
                        f"{name!r} is latent, and not in the observed margin of "
                        f"{', '.join(self.names)}; ask the joint itself for it"
                    )
        for name, level in _items(do):
            self._check_act(name, level)

    def _check_act(self, name: str, level: object) -> None:
        joint = self._joint
        parents = joint.graph.parents(name)
        hidden = [p for p in parents if p in joint.graph.latent]
        later = (
            "Complete identification (graph.identify) and bounds are not in this version; "
            "the joint itself, which knows the latent nodes, tells the truth"
        )
        if hidden:
            raise NotIdentifiedError(
                f"adjusting for its parents does not identify do({name}): {', '.join(hidden)} "
                f"is latent. {later}"
            )
        chance = joint.table(name, given=parents)
        values = chance.values if level is None else chance[{name: level}]
        if bool((values == 0).any()):
            raise NotIdentifiedError(
                f"the margin does not identify do({name}{'' if level is None else f'={level!r}'}): "
                f"it never occurs under some values of {', '.join(parents) or 'nothing'}. {later}"
            )


def _names(act: Act) -> Iterable[str]:
    return () if act is None else (act,) if isinstance(act, str) else act


def _items(act: Act) -> Iterable[tuple[str, object]]:
    return act.items() if isinstance(act, Mapping) else ((name, None) for name in _names(act))
