"""Laws about how units are drawn, swept, found from data, and written."""

from __future__ import annotations

import random
from typing import Any

import torch

from scm.errors import ScmError
from scm.mechanisms.macro import Macro
from scm.testing.case import Case, Value, actable, draw_acts, draw_value, draw_worlds
from scm.testing.law import Law, Subject, difference
from scm.testing.laws.units import acted, bitwise, nearly
from scm.worlds.acts import NATURAL

__all__ = [
    "AbductedWorlds",
    "Abduction",
    "Manipulation",
    "Reading",
    "SweepLoop",
    "UnitsAlone",
    "Writing",
]


class UnitsAlone(Law):
    r"""Unit i is the same however many others are drawn: :math:`V(u_i)` depends on i alone."""

    name = "units do not depend on n"
    statement = "unit i is the same in any sample: V(u_i) depends on (seed, i), not on n or start"
    source = "DESIGN, idea 4: a unit is its noise"

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        acts = draw_acts(subject.model, subject.pilot, rng, most=1)
        start = rng.choice((0, 0, rng.randrange(10_000)))
        return Case(acts, n=rng.choice((3, 8, 24)), start=start, seed=rng.randrange(1000))

    def _violation(self, subject: Subject, case: Case) -> str | None:
        view = acted(subject.model, case.acts)
        n, first, seed = case.n, case.start, case.seed
        whole = view.sample(n, seed, start=first)
        for a, b in sorted({(n - 1, n), (n // 2, n), (0, max(1, n // 3))}):
            part = view.sample(b - a, seed, start=first + a)
            how = f"in units {first} to {first + n - 1}, when units {first + a} to "
            how += f"{first + b - 1} are drawn alone"
            noise = {v: u[a:b] for v, u in whole.noise.items()}
            found = bitwise(part.noise, noise, noise, how)
            found = found or nearly(subject, part, whole[a:b], part, how)
            if found:
                return found
        if first == 0:
            parts = list(view.stream(n, max(1, n // 2), seed))
            for node in whole:
                streamed = torch.cat([p[node] for p in parts])
                found = nearly(subject, {node: streamed}, whole, [node], "drawn at once")
                if found:
                    return found
        return None


class SweepLoop(Law):
    r"""A sweep equals its loop: world k of `sweep(X=[x_1, ...])` is do(X = x_k)."""

    name = "a sweep equals its loop"
    statement = "world k of sweep(X = x_1, ..., x_K) is do(X = x_k), chained sweeps multiply"
    source = "DESIGN, idea 3: worlds are broadcast dimensions"

    def _applies(self, subject: Subject) -> str | None:
        return None if actable(subject.model) else "no node of the model can be acted on"

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        model, pilot = subject.model, subject.pilot
        nodes = rng.sample(actable(model), min(2, len(actable(model))))
        worlds = draw_worlds(model, pilot, rng, nodes[0])
        more: tuple[Value, ...] = ()
        if len(nodes) > 1 and rng.random() < 0.7:
            more = draw_worlds(model, pilot, rng, nodes[1], most=2)
        return Case((), more, worlds, n=rng.choice((2, 8)), seed=rng.randrange(1000))

    def _violation(self, subject: Subject, case: Case) -> str | None:
        model, n, seed = subject.model, case.n, case.seed
        if not case.worlds:
            return None
        one: list[Value | None] = [*case.worlds, None]
        two: list[Value | None] = list(case.more)
        for start in (model, model.sample(n, seed)):
            swept = start.sweep({case.worlds[0].node: [_entry(v) for v in one]})
            if two:
                swept = swept.sweep({case.more[0].node: [_entry(v) for v in two]})
            units = swept.sample(n, seed) if start is model else swept
            for k, first in enumerate(one):
                for j, second in enumerate(two or [None]):
                    acts = [v for v in (first, second) if v is not None]
                    alone = acted(model, acts).sample(n, seed)
                    here = {v: units[v][(k, j) if two else k] for v in units}
                    said = ", ".join(map(str, acts)) or "NATURAL"
                    found = nearly(subject, here, alone, alone, f"under do({said}) alone")
                    if found:
                        return found
        return None


class Abduction(Law):
    r"""Abduct, then sample: :math:`f(pa, f^{-1}(pa, s)) = s` at every node."""

    name = "abduct then sample returns the data"
    statement = "the noise found in a row makes the row again: f(pa, abduct(s, pa)) = s"
    source = "Pearl (2009), 1.4.4 and theorem 7.1.7, step 1"

    exact_only = False

    def _applies(self, subject: Subject) -> str | None:
        rows = {v: subject.pilot[v][:2] for v in subject.pilot}
        try:
            found = subject.model.abduct(rows, seed=0)
        except ScmError as error:
            return f"its rows cannot be abducted: {error}"
        allowed = ("exact",) if self.exact_only else ("exact", "posterior")
        weak = [f"{v} ({s})" for v, s in found.status.items() if s not in allowed]
        return f"abduction is not {' or '.join(allowed)} at {', '.join(weak)}" if weak else None

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        return Case(n=rng.choice((2, 16)), seed=rng.randrange(1000), start=rng.randrange(1000))

    def _violation(self, subject: Subject, case: Case) -> str | None:
        model = subject.model
        rows = dict(model.sample(case.n, case.seed, start=case.start))
        found = model.abduct(rows, seed=case.seed)
        causal = [v for v in model.graph.nodes if not model.graph.is_constitutive(v)]
        again = found.do(dict.fromkeys(causal, _natural))
        for node in causal:
            good = subject.close(again[node], rows[node], 10.0)
            if not bool(good.all()):
                return difference(node, good, again[node], rows[node], "the value in the data")
        return None


class AbductedWorlds(Abduction):
    r"""Where the noise is known, data have the counterfactuals of the units that made them."""

    name = "abducted units are the units"
    statement = "where abduction is exact, the rows' Y_x(u) is that of the units that made them"
    source = "Pearl (2009), theorem 7.1.7"
    exact_only = True

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        acts = draw_acts(subject.model, subject.pilot, rng, most=2, least=1)
        acts = tuple(v for v in acts if v.kind != "drawn")
        return Case(acts, n=rng.choice((2, 8)), seed=rng.randrange(1000))

    def _violation(self, subject: Subject, case: Case) -> str | None:
        units = subject.model.sample(case.n, case.seed)
        found = acted(subject.model.abduct(dict(units), seed=case.seed), case.acts)
        wanted = acted(units, case.acts)
        for node in wanted:
            good = subject.close(found[node], wanted[node], 10.0)
            if not bool(good.all()):
                how = "what the unit that made the row would have been"
                return difference(node, good, found[node], wanted[node], how)
        return None


class _MacroLaw(Law):
    """A law about macro-variables."""

    def _applies(self, subject: Subject) -> str | None:
        return None if subject.graph.constitutive else "the graph has no macro-variable (I => C)"


class Reading(_MacroLaw):
    r"""A macro-variable is what its reader says, in every world: :math:`C = read(I)`."""

    name = "macro-variables are read"
    statement = "a macro-variable is a function of its micro node in every world: C = read(I)"
    source = "Chalupka, Perona and Eberhardt (2015), definition 4"

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        acts = draw_acts(subject.model, subject.pilot, rng)
        return Case(acts, n=rng.choice((2, 8)), seed=rng.randrange(1000))

    def _violation(self, subject: Subject, case: Case) -> str | None:
        model = subject.model
        units = acted(model, case.acts).sample(case.n, case.seed)
        for node, mechanism in model.mechanisms.items():
            if isinstance(mechanism, Macro):
                micro = {m: units[m] for m in model.graph.micro(node)}
                with torch.no_grad():
                    read = {node: mechanism(micro, None).to(units[node])}
                found = nearly(subject, units, read, [node], "what its reader reads")
                if found:
                    return found
        return None


class Manipulation(_MacroLaw):
    r"""man(I = i) leaves every other variable alone: only I and its effects change."""

    name = "man leaves the others alone"
    statement = "man(I = i) changes I to i and nothing else: V is V(u), bitwise, off de(I)"
    source = "Chalupka, Perona and Eberhardt (2015), definition 2"

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        micro = sorted({i for i, _ in subject.graph.constitutive})
        node = rng.choice(micro)
        value = draw_value(subject.model, node, subject.pilot, rng, constant=True)
        return Case((value,), n=rng.choice((2, 8)), seed=rng.randrange(1000))

    def _violation(self, subject: Subject, case: Case) -> str | None:
        model, n, seed = subject.model, case.n, case.seed
        if not case.acts:
            return None
        plain = model.sample(n, seed)
        (value,) = case.acts
        below = model.graph.descendants(value.node)
        others = [v for v in plain if v not in below]
        done = model.do({value.node: value.act}).sample(n, seed)
        for units in (
            model.man({value.node: value.act}).sample(n, seed),
            plain.man({value.node: value.act}),
        ):
            wanted = torch.as_tensor(value.number).to(units[value.node])
            target = {value.node: wanted.expand_as(units[value.node])}
            found = bitwise(units, target, target, "what it was manipulated to")
            found = found or bitwise(units, plain, others, f"its value before man({value.node})")
            found = found or nearly(subject, units, done, done, f"its value under do({value.node})")
            if found:
                return found
        return None


class Writing(_MacroLaw):
    r"""A writer writes: :math:`read(write(i, c)) = c`, and what it keeps it keeps.

    Each unit is set to the reading of another, so every value asked for is one that occurs.
    What is read and kept is worked out here from the reader alone, and `samples.written`
    must say the same.
    """

    name = "writers write"
    statement = "do(C = c) reads c: read(write(i, c)) = c; what the writer keeps is as before"
    source = "Chalupka, Perona and Eberhardt (2015), definitions 8 and 9"

    def _applies(self, subject: Subject) -> str | None:
        reason = super()._applies(subject)
        writers = set(actable(subject.model)) - set(actable(subject.model, macros=False))
        return reason or (None if writers else "no macro-variable has a writer")

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        model = subject.model
        writers = [v for v in actable(model) if isinstance(model.mechanisms[v], Macro)]
        value = draw_value(model, rng.choice(writers), subject.pilot, rng, constant=True)
        return Case((value,), n=rng.choice((2, 8)), seed=rng.randrange(1000))

    def _violation(self, subject: Subject, case: Case) -> str | None:
        if not case.acts:
            return None
        (value,) = case.acts
        node = value.node
        macro = subject.model.mechanisms[node]
        assert isinstance(macro, Macro)
        plain = subject.model.sample(case.n, case.seed)
        units = subject.model.do({node: value.act}).sample(case.n, case.seed)
        wanted = torch.as_tensor(value.number).to(units[node]).expand_as(units[node])
        micro = {m: units[m] for m in subject.graph.micro(node)}
        with torch.no_grad():
            obeyed = macro.same(macro(micro, None).to(wanted), wanted)
        if not bool(obeyed.all()):
            good = _over(obeyed, wanted)
            return difference(node, good, units[node], wanted, "the value that was written")
        for keep in macro.keeps:
            reader = subject.model.mechanisms[keep]
            assert isinstance(reader, Macro)
            kept = reader.same(units[keep], plain[keep])
            if not bool(kept.all()):
                good = _over(kept, units[keep])
                how = f"its value before {node} was written, though the writer keeps {keep}"
                return difference(keep, good, units[keep], plain[keep], how)
        if not bool(units.written[node].all()):
            return f"samples.written says that {node} was not written, but it reads {value.number}"
        return None


def _over(flags: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return flags.reshape(*flags.shape, *(1,) * (like.ndim - flags.ndim)).expand_as(like)


def _entry(value: Value | None) -> Any:
    return NATURAL if value is None else value.act


def _natural(natural: torch.Tensor) -> torch.Tensor:
    return natural
