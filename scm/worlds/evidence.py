"""Abduction: the noise of units whose values were observed, wholly or in part."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from scm.errors import InterventionError, MechanismError
from scm.mechanisms.encoder import Encoder, quantile
from scm.mechanisms.macro import Macro
from scm.mechanisms.mechanism import Mechanism, Status
from scm.mechanisms.noise import Noise
from scm.mechanisms.types import Categorical
from scm.worlds.acts import Computed, Constant, Drawn, Moved, Replaced
from scm.worlds.data import read
from scm.worlds.enumeration import draw_hidden
from scm.worlds.evaluation import Evaluation
from scm.worlds.population import Population
from scm.worlds.program import Program
from scm.worlds.samples import Samples, weakest
from scm.worlds.streams import Streams, fresh_seed

__all__ = ["Method", "abduct"]

Method = Literal["importance"]


def abduct(
    program: Program,
    data: Any,
    *,
    encoders: Sequence[Encoder] = (),
    method: Method | None = None,
    draws: int | None = None,
    bandwidth: float | None = None,
    seed: int | None = None,
    noise_device: torch.device | None = None,
    grad: bool = False,
) -> Samples:
    """Read rows as generated under the program, and find their noise.

    Args:
        program: The model and the acts under which the rows arose; it has no sweeps.
        data: Observed columns; a column left out is unobserved for all rows.
        encoders: Amortised joint posteriors that may be used. Without one, unobserved nodes
            that are all categorical are drawn from their exact posterior.
        method: "importance" weights draws of the unobserved nodes by the likelihood of
            what is observed.
        draws: Number K of posterior draws for each row; one, without an axis, if None.
        bandwidth: For importance, the width h of the kernel `N(value; f(PA, U), h^2)` that
            weighs draws of nodes with neither inverse nor density, and of deterministic
            functions of unobserved nodes.
        seed: Seed of what has to be drawn.
        noise_device: Where noise is drawn.
        grad: Keep gradients.

    Raises:
        InterventionError: If the evidence leaves nodes open that nothing here can find, or
            contradicts the model.
    """
    if program.sweeps:
        raise InterventionError(
            "abduct was called on several worlds; rows arise in one: abduct first, then sweep"
        )
    if method not in (None, "importance"):
        raise InterventionError(f"method={method!r} was given; expected 'importance' or None")
    if draws is not None and (not isinstance(draws, int) or draws < 1):
        raise InterventionError(f"draws={draws!r} was given; expected a positive number")
    program.check_modes()
    observed, ids = read(data, program, "abduct")
    n = len(ids)
    streams = Streams(fresh_seed(seed), program.like.device, program.like.dtype, noise_device)
    fixed: dict[str, Tensor] = {}
    # The units' streams are those of the rows' positions; `ids` are what the data called them.
    source = data.population.origin if isinstance(data, Samples) else object()
    units = Population(streams, 0, n, fixed=fixed, draws=draws, total=n, names=ids, source=source)
    if method == "importance" and draws is None:
        raise InterventionError("method='importance' was given without draws=; expected a number K")
    search = _Search(program, observed, units, grad, bandwidth)
    missing = search.missing()
    if method == "importance":
        search.weigh(missing)
    elif missing:
        chosen = [e for e in encoders if set(e.given) <= observed.keys()]
        chosen = [e for e in chosen if not set(e.nodes) & observed.keys()]
        if set(missing) <= {node for e in chosen for node in e.nodes}:
            for encoder in chosen:
                search.encode(encoder)
        elif not search.enumerate(missing):
            raise InterventionError(_OPEN.format(missing, list(observed), missing))
    with torch.set_grad_enabled(grad):
        search.walk()
    return search.samples()


_OPEN = (
    "the nodes {} are unobserved, and what is observed ({}) bears on them, so no mechanism alone "
    "can find their noise; bind an Encoder(nodes={}, given=..., net=...) to the model, or call "
    "abduct(data, method='importance', draws=K)"
)


@dataclass(eq=False)
class _Search:
    """One abduction: values and noise as they are found, in topological order."""

    program: Program
    observed: Mapping[str, Tensor]
    units: Population
    grad: bool
    bandwidth: float | None = None
    log_weights: Tensor | None = None
    uncertain: set[str] = field(default_factory=set)
    drawn: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.run = Evaluation(self.program, self.units, grad=self.grad)
        rank = {v: len(self.program.mechanisms[v].type.event) for v in self.observed}
        self.given = {v: self.run.layout.lead(t, rank[v]) for v, t in self.observed.items()}
        self.noise_status: dict[str, Status] = {}
        self.value_status: dict[str, Status] = {}
        self.residual: dict[str, Tensor] = {}

    def missing(self) -> list[str]:
        """Unobserved nodes with noise on which an observed node bears."""
        graph, mechanisms = self.program.graph, self.program.mechanisms
        bears: set[str] = set()
        for node in reversed(graph.topological_order()):
            for child in graph.children(node):
                reads = self.program.reads_parents(child)
                if reads and (child in self.observed or child in bears):
                    bears.add(node)
        free = [v for v in graph.nodes if v in bears and v not in self.observed]
        return [v for v in free if self._is_random(v, mechanisms[v])]

    def _is_random(self, node: str, mechanism: Mechanism) -> bool:
        act = self.program.acts.get(node)
        rule = None if act is None or self.program.graph.is_constitutive(node) else act.rules[0]
        if rule is None or isinstance(rule, Moved):
            return mechanism.noise is not None
        if isinstance(rule, Computed):
            return "natural" in rule.names and mechanism.noise is not None
        if isinstance(rule, Replaced):
            return rule.mechanism.noise is not None
        return isinstance(rule, Drawn)

    def encode(self, encoder: Encoder) -> None:
        """Take the noise of an encoder's nodes from it."""
        with torch.set_grad_enabled(self.grad):
            found = encoder.posterior({g: self.observed[g] for g in encoder.given})
        draws, n = self.units.draws, self.units.n
        if isinstance(found, Distribution):
            base = self.units.extra(f"encoder\0{encoder.nodes}", Noise("uniform", (encoder.width,)))
            noise = quantile(found, base)
        else:
            noise = found if draws is None else found.unsqueeze(0)
        for node, part in encoder.split(noise).items():
            self._fix(node, part.to(self.program.like))
            self.uncertain.add(node)
        assert noise.shape[-2] == n

    def enumerate(self, missing: Sequence[str]) -> bool:
        """Draw discrete missing nodes from their exact posterior; False if that is no way."""
        hidden = draw_hidden(self.program, self.given, self.units, missing)
        if hidden is None:
            return False
        self.given = {**self.given, **hidden}
        self.drawn = set(hidden)
        return True

    def weigh(self, missing: Sequence[str]) -> None:
        """Prepare importance weights over prior draws of the missing nodes."""
        assert self.units.draws is not None
        shape = (self.units.draws, self.units.n)
        self.log_weights = torch.zeros(shape, device=self.program.like.device)
        self.uncertain.update(missing)

    def walk(self) -> None:
        """Find the noise of every observed node, and compute what that needs."""
        for node in self.program.graph.topological_order():
            if node in self.given:
                self._observed(node)
            else:
                self._unobserved(node)
        if self.log_weights is not None:
            self._normalise()

    def _observed(self, node: str) -> None:
        mechanism, value = self.program.mechanisms[node], self.given[node]
        self.value_status[node] = "posterior" if node in self.drawn else "exact"
        parents = self._parents(node)
        if self._is_acted(node):
            self._check_act(node, value)
            self.noise_status[node] = "prior"
        elif mechanism.noise is None:
            self._determined(node, mechanism, value)
        else:
            self.noise_status[node] = self._invert(node, mechanism, value, parents)
        self.run.values[node] = value

    def _unobserved(self, node: str) -> None:
        mechanism = self.program.mechanisms[node]
        known: Status = "approximate" if node in self.uncertain else "prior"
        noisy = mechanism.noise is not None and self.program.reads_parents(node)
        self.noise_status[node] = known if mechanism.noise is not None else "exact"
        above = [self.value_status[p] for p in self.program.graph.parents(node)]
        if not self.program.reads_parents(node):
            self.value_status[node] = "exact"
        else:
            self.value_status[node] = weakest(*([known] if noisy else []), *above)

    def _parents(self, node: str) -> dict[str, Tensor]:
        if not self.program.reads_parents(node):
            return {}
        names = self.program.graph.parents(node)
        self.run.compute(names)
        return {p: self.run.values[p] for p in names}

    def _invert(
        self, node: str, mechanism: Mechanism, value: Tensor, parents: Mapping[str, Tensor]
    ) -> Status:
        above = weakest(*(self.value_status[p] for p in parents))
        assert mechanism.noise is not None
        weighed = self.log_weights is not None and (
            "approximate" in (above, mechanism.abduction) or mechanism.abduction is None
        )
        if weighed and mechanism.abduction is None:
            return self._kernel(node, mechanism, value, parents)
        fresh = self._fresh(node, mechanism)
        if weighed and self.log_weights is not None:
            noise, weight = self.run.weigh(mechanism, value, parents, fresh)
            self.log_weights = self.log_weights + weight
        else:
            noise = self.run.invert(mechanism, value, parents, fresh)
        if not torch.isfinite(noise).all():
            bad = (~torch.isfinite(noise)).nonzero()[0][self.run.layout.rank - 1]
            raise InterventionError(
                f"row {int(bad)}: the value of {node!r} is impossible given its parents (its noise "
                "would be infinite); correct the row, or the support of the mechanism"
            )
        self._fix(node, noise)
        assert mechanism.abduction is not None
        return weakest("approximate" if weighed else mechanism.abduction, above)

    def _fresh(self, node: str, mechanism: Mechanism) -> Tensor:
        """Base noise for a posterior draw; exact abduction does not look at it."""
        assert mechanism.noise is not None
        shape = mechanism.noise.shape
        if mechanism.abduction == "exact":
            half = torch.full((), 0.5, device=self.run.program.like.device)
            return half.to(self.program.like).expand(*self.run.layout.plain, *shape)
        drawn = self.units.extra(self.run.stream(node, "abduct"), mechanism.noise)
        return self.run.layout.lead(drawn, len(shape))

    def _kernel(
        self, node: str, mechanism: Mechanism, value: Tensor, parents: Mapping[str, Tensor]
    ) -> Status:
        """Weigh prior draws by how near `f(PA, U)` comes to the observed value."""
        noise = None
        if mechanism.noise is not None:
            noise = self.units.noise(node, self.program.streams[node], mechanism.noise, None)
        found = self.run.call(mechanism, parents, noise)
        gap = (found - value).unsqueeze(-1).flatten(self.run.layout.rank)
        assert self.log_weights is not None
        if isinstance(mechanism.type, Categorical):
            weight = torch.zeros(gap.shape[:-1], device=value.device)
            weight = weight.masked_fill((gap != 0).any(-1), -torch.inf)
        elif self.bandwidth is None:
            raise MechanismError(
                f"{mechanism.describe()} has neither an inverse nor a density to weigh draws with; "
                "give bandwidth=h, how far from its observed value a draw may fall, or bind an "
                "Encoder"
            )
        else:
            weight = -0.5 * (gap / self.bandwidth).square().sum(-1)
        self.log_weights = self.log_weights + weight
        return "approximate"

    def _determined(self, node: str, mechanism: Mechanism, value: Tensor) -> None:
        parents = self._parents(node)
        status = weakest(*(self.value_status[p] for p in parents))
        self.noise_status[node] = status
        found = self.run.call(mechanism, parents, None)
        rank = self.run.layout.rank
        gap = _largest(found.double() - value.double(), rank)
        if status == "approximate" and self.log_weights is not None:
            self._kernel(node, mechanism, value, parents)
            return
        if status == "approximate":
            self.residual[node] = gap.reshape(-1, self.units.n).mean(0).to(self.run.program.like)
            return
        wrong = (gap > 1e-3 * (1 + _largest(value.double(), rank))).reshape(-1, self.units.n).any(0)
        if wrong.any():
            row = int(wrong.nonzero()[0])
            raise InterventionError(
                f"row {row}: the observed {node!r} is not what its parents give (off by up to "
                f"{float(gap.max()):.3g}), yet it is deterministic; correct the data, leave the "
                "column out, or give the node noise"
            )

    def _is_acted(self, node: str) -> bool:
        """Whether an act sets the node, or writes it through one of its macro-variables."""
        graph, acts = self.program.graph, self.program.acts
        writers = any(c in acts for c in graph.macros(node))
        return writers or (node in acts and not graph.is_constitutive(node))

    def _check_act(self, node: str, value: Tensor) -> None:
        acts = self.program.acts
        writers = [c for c in self.program.graph.macros(node) if c in acts]
        for name in writers:
            self._check_written(node, name, value)
        rule = acts[node].rules[0] if node in acts else None
        if writers or not isinstance(rule, Constant):
            return
        kind = self.program.mechanisms[node].type
        forced = self.run.place(node, rule, kind, None)
        wrong = (forced.double() - value.double()).abs() > 1e-5 * (1 + value.double().abs())
        if wrong.any():
            row = int(wrong.nonzero()[0][self.run.layout.rank - 1])
            raise InterventionError(
                f"row {row} holds another value of {node!r} than the act under which the rows are "
                "read gave it; abduct from the model itself if the rows arose without it"
            )

    def _check_written(self, node: str, name: str, value: Tensor) -> None:
        """Note which rows read what the writer of a macro-variable was to make them read."""
        macro, rule = self.program.mechanisms[name], self.program.acts[name].rules[0]
        assert isinstance(macro, Macro)
        layout, device = self.run.layout, self.program.like.device
        good = torch.ones((), dtype=torch.bool, device=device).expand(layout.plain)
        if isinstance(rule, Constant):
            found = self.run.call(macro, {node: value}, None)
            good = macro.same(found, self.run.place(name, rule, macro.type, None))
        self.run.written[name] = good

    def _fix(self, node: str, noise: Tensor) -> None:
        shape = self.program.mechanisms[node].noise
        assert shape is not None
        assert isinstance(self.units.fixed, dict)
        lead = 1 if self.units.draws is None else 2
        self.units.fixed[node] = noise.reshape(noise.shape[-lead - len(shape.shape) :])

    def _normalise(self) -> None:
        assert self.log_weights is not None
        assert self.units.draws is not None
        total = self.log_weights.logsumexp(0)
        if not torch.isfinite(total).all():
            row = int((~torch.isfinite(total)).nonzero()[0])
            raise InterventionError(
                f"row {row} has probability zero under all {self.units.draws} draws; raise draws=, "
                "or correct the row"
            )
        self.log_weights = self.log_weights - total
        effective = (2 * self.log_weights).exp().sum(0).reciprocal()
        if effective.median() < 10:
            warnings.warn(
                f"importance weights are uneven: the median row has {effective.median():.1f} "
                f"effective draws of {self.units.draws}; raise draws=, or bind an Encoder",
                stacklevel=4,
            )

    def samples(self) -> Samples:
        """The abducted units."""
        shown = dict(self.value_status)
        for node in self.given:
            shown[node] = self.noise_status[node]
        samples = Samples(
            self.program,
            self.units,
            self.run.values,
            grad=self.grad,
            noise_status=self.noise_status,
            value_status=self.value_status,
            shown_status=shown,
            log_weights=self.log_weights,
            residual=self.residual,
        )
        samples.run.written = dict(self.run.written)
        return samples


def _largest(value: Tensor, rank: int) -> Tensor:
    return value.abs().unsqueeze(-1).flatten(rank).amax(-1)
