"""Writing macro-variables: `do(C=c)` sets the micro node so that it reads c."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scm.errors import InterventionError
from scm.mechanisms.macro import Macro
from scm.worlds.acts import Computed, Constant, Drawn, Natural, Rule
from scm.worlds.layout import At

if TYPE_CHECKING:
    from scm.worlds.evaluation import Evaluation

__all__ = ["write"]


def write(run: Evaluation, micro: str, value: Tensor, macros: Sequence[str]) -> Tensor:
    """Apply the writers of ``macros`` in declared order and note in `run.written` who obeyed.

    A unit is written where its final micro value reads the wanted c and every
    macro-variable that the writer promised to keep reads as it did before the writer ran.

    Args:
        value: Micro values `[*worlds, units, *event]` before writing.
        macros: Macro-variables of the node that have an act, in declared order.
    """
    writers = [_Writer(run, micro, name) for name in macros]
    for writer in writers:
        value = writer.write(value)
    for writer in writers:
        run.written[writer.name] = writer.kept & writer.obeyed(value)
    return value


class _Writer:
    """One macro-variable's act on its micro node."""

    def __init__(self, run: Evaluation, micro: str, name: str) -> None:
        macro = run.program.mechanisms[name]
        assert isinstance(macro, Macro)
        self.run, self.micro, self.name, self.macro = run, micro, name, macro
        self.kind = run.program.mechanisms[micro].type
        self.act = run.program.acts[name]
        self.targets: list[tuple[At | None, Tensor | None]] = []
        self.kept: Tensor

    def write(self, value: Tensor) -> Tensor:
        from scm.worlds.evaluation import groups

        layout, sweep = self.run.layout, self.act.sweep
        before = {k: self._read(k, value) for k in self.macro.keeps}
        parts = []
        for entries, rule in groups(self.act.rules):
            at = None if sweep is None else (layout.axis(sweep), entries)
            here = value if at is None else layout.select(value, *at)
            target = self._target(rule, here, at)
            self.targets.append((at, target))
            parts.append((entries, here if target is None else self._written(here, target)))
        value = parts[0][1] if sweep is None else layout.join(parts, layout.axis(sweep))
        self.kept = self._true()
        for keep, old in before.items():
            self.kept = self.kept & self._mechanism(keep).same(self._read(keep, value), old)
        return value

    def obeyed(self, value: Tensor) -> Tensor:
        """Whether the final micro values read what this act wanted, `[*worlds, units]`."""
        layout = self.run.layout
        parts = []
        for at, target in self.targets:
            good = self._true()
            if target is not None:
                here = value if at is None else layout.select(value, *at)
                good = self.macro.same(self._read(self.name, here), target)
            if at is None:
                return good
            parts.append((at[1], good))
        assert self.act.sweep is not None
        return layout.join(parts, layout.axis(self.act.sweep))

    def _true(self) -> Tensor:
        layout = self.run.layout
        return torch.ones((), dtype=torch.bool, device=self.run.program.like.device).expand(
            layout.plain
        )

    def _mechanism(self, name: str) -> Macro:
        macro = self.run.program.mechanisms[name]
        assert isinstance(macro, Macro)
        return macro

    def _read(self, name: str, value: Tensor) -> Tensor:
        return self.run.call(self._mechanism(name), {self.micro: value}, None)

    def _target(self, rule: Rule, micro: Tensor, at: At | None) -> Tensor | None:
        run, name, kind = self.run, self.name, self.macro.type
        if isinstance(rule, Natural):
            return None
        if isinstance(rule, Constant):
            return run.place(name, rule, kind, at)
        if isinstance(rule, Drawn):
            drawn = run.population.drawn(run.stream(name, "do"), rule.law)
            return run.layout.lead(drawn, len(kind.event))
        if isinstance(rule, Computed):
            arguments = {self.micro: micro, "natural": self._read(name, micro)}
            kinds = {self.micro: self.kind, "natural": kind}
            chosen = {n: arguments[n] for n in rule.names}
            return run.computed(name, rule, kind, chosen, kinds)
        raise InterventionError(
            f"{name!r} is a macro-variable of {self.micro!r}: it takes a value, a function or a "
            "distribution; a mechanism or a Move belongs to the micro node (man)"
        )

    def _written(self, micro: Tensor, target: Tensor) -> Tensor:
        return self.run.rewrite(self.macro, self.micro, micro, target)
