"""The verbs `do`, `man` and `sweep`, shared by models, views and samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from scm.errors import InterventionError
from scm.mechanisms.macro import Macro, Move
from scm.worlds.acts import Act, Rule, Sweep, parse, parse_sweep, unknown
from scm.worlds.data import named
from scm.worlds.program import Program

__all__ = ["Acting"]


class Acting(ABC):
    """Something on which one can act; every verb returns a view and changes nothing."""

    program: Program

    @abstractmethod
    def _with_acts(self, acts: list[Act]) -> Any: ...

    def do(self, values: Mapping[str, Any] | None = None, /, **keywords: Any) -> Any:
        """Intervene: one act a node, the last wins.

        A value is a number or tensor (for all units, or by unit); a function of the node's
        parents, and of `natural` if it names it; a distribution, drawn for each unit apart
        from its noise; or a mechanism. On a macro-variable it sets the micro node through
        the writer.

        Args:
            values: Values by node, for names that are no Python keywords.
            **keywords: Values by node.

        Raises:
            InterventionError: If a node is unknown, or a value does not fit it.

        Source: Pearl (2009), definition 3.2.1; Peters et al. (2017), definition 6.8.

        Example:
            >>> import scm
            >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
            >>> low, high = model.do(A=0.0).sample(3, seed=0), model.do(A=1.0).sample(3, seed=0)
            >>> (high["B"] - low["B"]).round(decimals=3)
            tensor([2., 2., 2.])
        """
        given = named(values, keywords, "do")
        unknown(list(given), self.program.graph.nodes, "do")
        acts = []
        for node, value in given.items():
            if isinstance(value, Move):
                raise InterventionError(
                    f"do({node}=Move(...)) was given: a Move promises no reading, so it is no do; "
                    f"write man({node}=Move(...))"
                )
            acts.append(Act(node, (self._parse(node, value),)))
        return self._with_acts(acts)

    def man(self, values: Mapping[str, Any] | None = None, /, **keywords: Any) -> Any:
        """Manipulate micro nodes: replace or move their values and touch nothing else.

        Values are those of `do`, and `Move(direction, dose)`.

        Raises:
            InterventionError: If a node is not the micro node of a macro-variable.

        Source: Chalupka, Perona and Eberhardt (2015), definition 2.
        """
        given = named(values, keywords, "man")
        unknown(list(given), self.program.graph.nodes, "man")
        for node in given:
            if not self.program.graph.macros(node):
                raise InterventionError(
                    f"man({node}=...) was given, but {node!r} constitutes no macro-variable; use "
                    f"do, or declare one in the graph: '{node} => C'"
                )
        return self._with_acts([Act(n, (self._parse(n, v),)) for n, v in given.items()])

    def sweep(self, values: Mapping[str, Any] | None = None, /, **keywords: Any) -> Any:
        """Make one world for each listed value; chained sweeps multiply.

        Several nodes in one call are zipped. `scm.NATURAL` in a list is the factual world.

        Raises:
            InterventionError: If a list is empty, or zipped lists differ in length.

        Example:
            >>> import scm
            >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
            >>> model.sweep(A=[0.0, 1.0, scm.NATURAL]).sample(5, seed=0)["B"].shape
            torch.Size([3, 5])
        """
        given = named(values, keywords, "sweep")
        unknown(list(given), self.program.graph.nodes, "sweep")
        rules: dict[str, tuple[Rule, ...]] = {}
        for node, listed in given.items():
            self._check_writer(node)
            kinds, kind = self._kinds(node)
            rules[node] = parse_sweep(node, kind, kinds, listed, self.program.like)
        sizes = {node: len(r) for node, r in rules.items()}
        if len(set(sizes.values())) > 1:
            raise InterventionError(
                f"sweep was given lists of lengths {sizes}; zipped lists have one length. For all "
                "combinations chain the calls: .sweep(A=...).sweep(B=...)"
            )
        sweep = Sweep(dict(given))
        return self._with_acts([Act(node, r, sweep) for node, r in rules.items()])

    def _parse(self, node: str, value: Any) -> Rule:
        self._check_writer(node)
        kinds, kind = self._kinds(node)
        return parse(node, kind, kinds, value, self.program.like)

    def _kinds(self, node: str) -> tuple[Any, Any]:
        parents = self.program.types(self.program.graph.parents(node))
        return parents, self.program.mechanisms[node].type

    def _check_writer(self, node: str) -> None:
        micro = self.program.graph.micro(node)
        macro = self.program.mechanisms[node]
        if not micro or not isinstance(macro, Macro):
            return
        if macro.write is None or len(micro) != 1:
            why = "has no writer" if macro.write is None else f"is read from {list(micro)} together"
            raise InterventionError(
                f"{node!r} is a macro-variable that {why}, so it cannot be set; give it a writer "
                f"(Macro(read, write)), or act on the micro node: man({micro[0]}=...)"
            )
