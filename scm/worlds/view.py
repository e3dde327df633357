"""Views of a model: the model under some acts, in some worlds, on some condition."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from scm.errors import InterventionError, ScmError
from scm.mechanisms.assignment import signature_names
from scm.mechanisms.encoder import Encoder
from scm.mechanisms.mechanism import Mechanism
from scm.mechanisms.types import Categorical, Image
from scm.worlds.acting import Acting
from scm.worlds.acts import Act, Constant, Replaced, unknown
from scm.worlds.data import named, read
from scm.worlds.evidence import Method, abduct
from scm.worlds.population import Population
from scm.worlds.program import Program
from scm.worlds.samples import Samples
from scm.worlds.streams import Streams, fresh_seed

__all__ = ["View"]

_RAREST = 1e-4


@dataclass(frozen=True, eq=False)
class View(Acting):
    """A model under acts; it shares the model's parameters and changes nothing.

    Attributes:
        program: Graph, mechanisms and acts.
        condition: Evidence that units must meet under `program`, by node.
        later: Acts made after the condition: counterfactuals of the units that met it.
        encoders: Joint posteriors bound to the model.
        noise_device: Where noise is drawn; the model's device if None.
    """

    program: Program
    condition: Mapping[str, Callable[[Tensor], Tensor]] | None = None
    later: tuple[Act, ...] = ()
    encoders: tuple[Encoder, ...] = ()
    noise_device: torch.device | None = None

    def _with_acts(self, acts: list[Act]) -> View:
        if self.condition is not None:
            return replace(self, later=(*self.later, *acts))
        return replace(self, program=self.program.with_acts(acts))

    def sample(
        self, n: int, seed: int | None = None, *, start: int = 0, grad: bool = False
    ) -> Samples:
        """Draw units `start, ..., start + n - 1` of the population that the seed names.

        Args:
            n: Number of units.
            seed: Seed; None draws one and records it in `samples.seed`.
            start: First unit.
            grad: Keep gradients.

        Raises:
            ScmError: If `n` is not a positive number, or a mechanism or an act fails.

        Example:
            >>> import scm
            >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
            >>> a, b = model.sample(100, seed=1), model.sample(5, seed=1, start=95)
            >>> bool((a["B"][95:] == b["B"]).all())
            True
        """
        if not (_is_number(n) and _is_number(start + 1)):
            raise ScmError(f"sample({n!r}, start={start!r}): expected a positive number of units")
        if self.condition is not None:
            return self._conditioned(n, fresh_seed(seed), start, grad)
        return self._units(fresh_seed(seed), start, start + n, 0, n, grad)

    def stream(self, n: int, batch: int, seed: int | None = None) -> Iterator[Samples]:
        """Draw `n` units in batches, for more units than memory holds.

        The batches together are `sample(n, seed)`, unit by unit.
        """
        if self.condition is not None:
            raise InterventionError("a conditioned population cannot be streamed; sample it")
        if not (_is_number(n) and _is_number(batch)):
            raise ScmError(f"stream({n!r}, {batch!r}): expected a positive number of units a batch")
        return self._batches(n, batch, fresh_seed(seed))

    def _batches(self, n: int, batch: int, seed: int) -> Iterator[Samples]:
        for start in range(0, n, batch):
            stop = min(n, start + batch)
            yield self._units(seed, start, stop, start, n, False)

    def given(self, values: Mapping[str, Any] | None = None, /, **keywords: Any) -> View:
        """Condition the population: keep units that meet the evidence under this view.

        Acts made on the result are counterfactuals of the units kept. The share that was
        accepted stands in `samples.accepted`.

        Args:
            values: A level of a categorical node, or a function of the node's values that
                returns which units to keep.
            **keywords: The same, by node.

        Raises:
            InterventionError: If a single value of a continuous node is given.
        """
        if self.program.sweeps or self.condition is not None:
            raise InterventionError(
                "given was called on several worlds, or twice; units are chosen in one world: call "
                "it once, before sweep, with all the evidence"
            )
        evidence = named(values, keywords, "given")
        unknown(list(evidence), self.program.graph.nodes, "given")
        tests = {node: self._test(node, value) for node, value in evidence.items()}
        return replace(self, condition=tests)

    def abduct(
        self,
        data: Any,
        *,
        method: Method | None = None,
        draws: int | None = None,
        bandwidth: float | None = None,
        seed: int | None = None,
        grad: bool = False,
    ) -> Samples:
        """Find the noise of observed rows, read as generated under this view.

        Args:
            data: Mapping, data frame or Samples; a column left out is unobserved.
            method: "importance" for nodes that no mechanism or Encoder can find.
            draws: Number of posterior draws for each row.
            bandwidth: Kernel width for importance, where there is no density.
            seed: Seed of what has to be drawn.
            grad: Keep gradients.

        Raises:
            InterventionError: If the evidence leaves nodes open, or contradicts the model.

        Example:
            >>> import scm
            >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
            >>> units = model.abduct({"A": [1.0], "B": [2.5]})
            >>> units.do(A=0.0)["B"]
            tensor([0.5000])
        """
        if self.condition is not None:
            raise InterventionError(
                "abduct was called on a conditioned view; put that evidence into the data"
            )
        return abduct(
            self.program,
            data,
            encoders=self.encoders,
            method=method,
            draws=draws,
            bandwidth=bandwidth,
            seed=seed,
            noise_device=self.noise_device,
            grad=grad,
        )

    def log_prob(self, data: Any) -> Tensor:
        """`sum_v log p(v | parents)` of fully observed rows, shape `(units,)`.

        Nodes that were set contribute nothing (truncated factorisation), macro-variables
        neither, since their micro nodes do.

        Raises:
            ScmError: If a node is missing, or has no density.
        """
        program = self.program
        columns, _ = read(data, program, "log_prob")
        graph = program.graph
        causal = [v for v in graph.nodes if not graph.is_constitutive(v)]
        missing = [v for v in causal if v not in columns]
        if program.sweeps or self.condition is not None:
            raise InterventionError(
                "log_prob was called on several worlds, or on a condition; call it on the model, "
                "or on a view with do alone"
            )
        if missing:
            raise InterventionError(
                f"log_prob misses the nodes {missing}; a density needs every causal node: "
                "observe them, or weigh draws with abduct(method='importance')"
            )
        program.check_modes()
        total = torch.zeros(len(next(iter(columns.values()))), device=program.like.device)
        for node in causal:
            mechanism = self._density_of(node)
            if mechanism is not None:
                parents = {p: columns[p] for p in mechanism.parents}
                with torch.no_grad():
                    total = total + mechanism.log_prob(columns[node], parents)
        return total

    def _density_of(self, node: str) -> Mechanism | None:
        act = self.program.acts.get(node)
        written = [c for c in self.program.graph.macros(node) if c in self.program.acts]
        if written:
            raise InterventionError(
                f"{node!r} is written by the act on {written}, so it has no density; log_prob "
                "needs a value or a mechanism there"
            )
        if act is None:
            return self.program.mechanisms[node]
        rule = act.rules[0]
        if isinstance(rule, Replaced):
            return rule.mechanism
        if isinstance(rule, Constant):
            return None
        raise InterventionError(
            f"the act on {node!r} has no density; log_prob needs a value or a mechanism there"
        )

    def _test(self, node: str, value: Any) -> Callable[[Tensor], Tensor]:
        kind = self.program.mechanisms[node].type
        if callable(value):
            required, optional, _ = signature_names(value)
            if len(required) > 1 or not required + optional:
                raise InterventionError(f"the condition on {node!r} must take one value")
            test: Callable[[Tensor], Tensor] = value
            return test
        if not isinstance(kind, Categorical) or isinstance(kind, Image):
            raise InterventionError(
                f"given({node}={value!r:.40}) has probability zero, since {node!r} is {kind}; give "
                f"a condition, {node}=lambda v: v > 0, or abduct rows with that value"
            )
        try:
            code = kind.encode(value, self.program.like)
        except ScmError as error:
            raise InterventionError(f"given, {node!r}: {error}") from error
        if code.ndim:
            raise InterventionError(
                f"given({node}={value!r:.40}) names {code.numel()} levels; give one, or a "
                f"condition, {node}=lambda v: (v == 0) | (v == 1)"
            )
        return lambda v: v == code

    def _units(
        self,
        seed: int,
        start: int,
        stop: int,
        offset: int,
        total: int,
        grad: bool,
        nodes: Collection[str] | None = None,
    ) -> Samples:
        like = self.program.like
        streams = Streams(seed, like.device, like.dtype, self.noise_device)
        units = Population(streams, start, stop, offset=offset, total=total)
        samples = Samples(self.program, units, grad=grad)
        samples.run.compute(self.program.graph.nodes if nodes is None else nodes)
        return samples

    def _conditioned(self, n: int, seed: int, start: int, grad: bool) -> Samples:
        assert self.condition is not None
        kept: list[Tensor] = []
        found, drawn, size = 0, 0, max(n, 1024)
        while found < n:
            units = self._units(
                seed, start + drawn, start + drawn + size, 0, size, False, self.condition.keys()
            )
            good = torch.ones(size, dtype=torch.bool, device=self.program.like.device)
            for node, test in self.condition.items():
                hit = test(units[node])
                fits = isinstance(hit, Tensor) and hit.shape == good.shape
                if not fits or hit.dtype != torch.bool:
                    raise InterventionError(
                        f"the condition on {node!r} returned {hit!r:.60}; expected one bool a unit"
                    )
                good &= hit
            kept.append(good.nonzero().squeeze(-1).cpu() + drawn)
            found, drawn = found + len(kept[-1]), drawn + size
            size = min(2 * size, 65_536)
            if drawn >= 200_000 and found < _RAREST * drawn:
                raise InterventionError(
                    f"{found} of {drawn} units met the condition on {list(self.condition)}; its "
                    "probability is zero or too small to sample: ask model.exact(), or abduct"
                )
        index = torch.cat(kept)[:n]
        last = int(index[-1]) + 1
        like = self.program.like
        streams = Streams(seed, like.device, like.dtype, self.noise_device)
        chosen = Population(streams, start, start + last, index=index, total=n)
        samples = Samples(self.program, chosen, grad=grad, accepted=found / drawn)
        return samples._with_acts(list(self.later)) if self.later else samples.compute()

    def __repr__(self) -> str:
        acts = ", ".join(
            f"{node} ({act.sweep.size} worlds)" if act.sweep else node
            for node, act in self.program.acts.items()
        )
        return f"View({self.program.graph!s}; acts on: {acts or 'none'})"


def _is_number(n: Any) -> bool:
    return isinstance(n, Integral) and not isinstance(n, bool) and int(n) > 0
