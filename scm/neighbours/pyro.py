"""A structural causal model as a Pyro model, for inference that scm leaves to Pyro; and back.

Back comes the graph alone (`from_pyro`). Out, each node becomes the site of its name, in a plate
over units. What kind of site says what Pyro can do with it:

| node | sites |
|---|---|
| has a density | `node ~ P(S | PA)` |
| has one given a latent (`CVAE`) | `node.latent ~ N(0, I)` and `node ~ P(S | PA, Z)` |
| has noise without a density | `node.noise` and the deterministic `node = f(PA, U)` |
| has neither (`Structural`, `Macro`) | the deterministic `node = f(PA)` |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, distributions

from scm.errors import InterventionError, ScmError
from scm.graph import CausalGraph
from scm.graph.structure import Structure
from scm.mechanisms.assignment import check_shape
from scm.mechanisms.macro import Macro
from scm.mechanisms.mechanism import Mechanism
from scm.mechanisms.noise import Noise
from scm.mechanisms.seeding import seeded
from scm.mechanisms.types import Categorical, NodeType, Real
from scm.worlds.evaluation import typed
from scm.worlds.program import Program

__all__ = ["from_pyro", "to_pyro"]

_PLATE = "units"


def to_pyro(program: Program) -> Callable[..., dict[str, Tensor]]:
    """The Pyro model `pyro_model(n=1)` of `n` units: `S ~ P(S | PA)`, in topological order.

    It returns every node's value, `(n, *event)`, by name. `pyro.do` and `pyro.condition` act
    on it, and agree with `model.do` in distribution and with `model.log_prob` in density.
    What Pyro draws comes from Pyro's generator, not from the units' own noise; make the
    model after `model.to`.

    - Condition sites that have a density. A deterministic site has density one at its value
      and zero elsewhere, so other evidence there has probability zero.
    - A macro-variable has no site to act on, since Pyro knows no writers: act on its micro node.
    - Gradients reach the mechanisms' parameters by autograd: hand `model.parameters()` to a
      torch optimiser, or call `pyro.module("model", model)` for `pyro.infer.SVI` to do so.
    - Where bounded noise (`Exponential`, `Uniform`) is added to the unobserved parents of an
      unobserved node, its support moves with them: start NUTS at a draw (`init_to_sample`) and
      expect divergences, or weigh draws with `model.abduct(..., method="importance")`.

    Args:
        program: The program of a model without acts.

    Raises:
        ScmError: If Pyro is not installed, or two sites would have one name.
        InterventionError: If the program has acts.

    Source: Bingham et al. (2019), "Pyro: Deep Universal Probabilistic Programming".

    Example:
        >>> import pyro, scm
        >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
        >>> in_pyro = model.to_pyro()
        >>> evidence = {"A": torch.tensor([0.0]), "B": torch.tensor([1.0])}
        >>> trace = pyro.poutine.trace(pyro.condition(in_pyro, evidence)).get_trace()
        >>> torch.isclose(trace.log_prob_sum(), model.log_prob(evidence).sum())
        tensor(True)
        >>> pyro.do(in_pyro, {"B": torch.tensor(3.0)})(n=2)["B"]
        tensor([3., 3.])
    """
    if program.acts:
        raise InterventionError(
            f"to_pyro was asked for a model with acts on {list(program.acts)}; export the model "
            "itself and act there: pyro.do(model.to_pyro(), {'X': torch.tensor(1.0)})"
        )
    try:
        import pyro
    except ImportError as error:
        raise _missing("to_pyro") from error
    _check_names(program)
    order = program.graph.topological_order()

    def pyro_model(n: int = 1) -> dict[str, Tensor]:
        """Draw `n` units; values `(n, *event)` by node."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ScmError(f"pyro_model({n!r}): expected a positive number of units")
        program.check_modes()
        values: dict[str, Tensor] = {}
        with pyro.plate(_PLATE, n, dim=-1):
            for node in order:
                values[node] = _sites(program, node, values, n)
        return values

    return pyro_model


def from_pyro(model: Callable[..., Any], *args: Any, seed: int = 0, **kwargs: Any) -> CausalGraph:
    """The causal graph of a Pyro model: an arrow where a site's law is computed from another.

    The graph alone: a site's law is made by the whole program, so that there is no mechanism of
    its own to take. Name what is latent, and bind mechanisms, in scm.

    The model runs once, and values are followed through it. What that run does not show is not in
    the graph: a branch that was not taken, and what reaches a site through control flow
    (`if x > 0`) or through numbers taken out of tensors (`x.item()`). Observed sites and
    `pyro.deterministic` are nodes; factors, plates and parameters are none.

    Args:
        model: The Pyro model.
        *args: What it is called with.
        seed: Seed of the run, which leaves Pyro's and torch's generators as they were.
        **kwargs: What it is called with, by name.

    Raises:
        ScmError: If Pyro is not installed, or the model has no sites.

    Example:
        >>> import pyro
        >>> from pyro.distributions import Bernoulli, Normal
        >>> def model(n):
        ...     with pyro.plate("units", n):
        ...         x = pyro.sample("X", Normal(0.0, 1.0))
        ...         m = pyro.deterministic("M", x.exp())
        ...         pyro.sample("Y", Bernoulli(logits=m), obs=torch.ones(n))
        >>> from_pyro(model, 3)
        CausalGraph('X -> M; M -> Y')
    """
    try:
        import pyro
        from pyro.poutine.messenger import Messenger
        from pyro.poutine.util import site_is_subsample
    except ImportError as error:
        raise _missing("from_pyro") from error
    from pyro.ops import provenance

    parents: dict[str, frozenset[str]] = {}

    class Follow(Messenger):
        def _pyro_post_sample(self, msg: Any) -> None:
            if site_is_subsample(msg) or isinstance(msg["fn"], pyro.distributions.Unit):
                return
            value = provenance.detach_provenance(msg["value"])
            fixed = msg["infer"].get("_deterministic")
            made = msg["value"] if fixed else msg["fn"].log_prob(value)
            parents[msg["name"]] = provenance.get_provenance(made)
            msg["value"] = provenance.track_provenance(value, frozenset({msg["name"]}))

    store = pyro.get_param_store()
    state: Any = store.get_state()
    kept: Any = {key: dict(content) for key, content in state.items()}
    with seeded(seed), torch.no_grad(), store.scope(kept), pyro.validation_enabled(False), Follow():
        model(*args, **kwargs)
    if not parents:
        raise ScmError(f"{model!r:.60} has no sample sites; expected a Pyro model that draws some")
    edges = tuple((p, site) for site, found in parents.items() for p in parents if p in found)
    return CausalGraph(Structure(tuple(parents), edges))


def _check_names(program: Program) -> None:
    sites = [_PLATE]
    for node, mechanism in program.mechanisms.items():
        sites += [node, f"{node}.latent"] if mechanism.latent_noise is not None else [node]
        if _is_pushed(mechanism):
            sites.append(f"{node}.noise")
    twice = [site for site, times in Counter(sites).items() if times > 1]
    if twice:
        raise ScmError(
            f"two Pyro sites would be called {twice[0]!r}, which is a node's name and also that of "
            "the plate, or of another node's noise; rename the node with model.rename"
        )


def _is_pushed(mechanism: Mechanism) -> bool:
    """Whether the node is its noise pushed forward, with no density of its own."""
    dense = mechanism.has_density or mechanism.latent_noise is not None
    return mechanism.noise is not None and not dense


def _sites(program: Program, node: str, values: Mapping[str, Tensor], n: int) -> Tensor:
    """Sample the sites of one node, given the values of the nodes before it."""
    import pyro

    mechanism, like = program.mechanisms[node], program.like
    kind = mechanism.type
    parents = {p: values[p] for p in program.graph.parents(node)}
    if mechanism.latent_noise is not None:
        latent = _noise(f"{node}.latent", mechanism.latent_noise, n, like)
        (latent, *rest), _ = _together(
            [latent, *parents.values()], [mechanism.latent_noise.shape, *_events(mechanism)]
        )
        law = mechanism.emission(dict(zip(parents, rest, strict=True)), latent)
        value = pyro.sample(node, _site(law))
    elif mechanism.has_density:
        together, _ = _together(list(parents.values()), _events(mechanism))
        law = mechanism.distribution(dict(zip(parents, together, strict=True)))
        value = pyro.sample(node, _site(law))
    else:
        noise = None
        if mechanism.noise is not None:
            noise = _noise(f"{node}.noise", mechanism.noise, n, like)
        computed = _forward(mechanism, parents, noise, like)
        # pyro.deterministic, but with its density: evidence that differs is not overlooked.
        point = pyro.distributions.Delta(computed, event_dim=len(kind.event))
        value = pyro.sample(node, point, obs=computed, infer={"_deterministic": True})
        if isinstance(mechanism, Macro) and not _same(mechanism, computed, value):
            raise InterventionError(
                f"{node!r} is a macro-variable, so a value given for it has no effect in Pyro; act "
                f"on its micro node {list(parents)}, or use model.do({node}=...), which writes"
            )
    return _read(node, value, kind, n, like)


def _site(law: distributions.Distribution) -> Any:
    """A torch distribution with the interface of a Pyro one."""
    from pyro.distributions import MaskedDistribution

    return MaskedDistribution(law, True)


def _noise(site: str, noise: Noise, n: int, like: Tensor) -> Tensor:
    """Base noise of the site, `(*lead, n, *noise.shape)`, never at the ends of its range."""
    import pyro

    zero = like.new_zeros(noise.shape)
    base: Any = distributions.Normal(zero, zero + 1)
    if noise.law == "uniform":
        base = distributions.Uniform(zero, zero + 1)
    law = distributions.Independent(base, len(noise.shape))
    value = _read(site, pyro.sample(site, _site(law)), Real(noise.shape), n, like)
    half = torch.finfo(like.dtype).eps / 4
    return value if noise.law == "normal" else value.clamp(half, 1 - 2 * half)


def _forward(
    mechanism: Mechanism, parents: Mapping[str, Tensor], noise: Tensor | None, like: Tensor
) -> Tensor:
    """`f(PA, U)`; the mechanism sees flat rows."""
    inputs, events = list(parents.values()), _events(mechanism)
    if noise is not None and mechanism.noise is not None:
        inputs, events = [*inputs, noise], [*events, mechanism.noise.shape]
    inputs, batch = _together(inputs, events)
    rows = [v.reshape(-1, *event) for v, event in zip(inputs, events, strict=True)]
    given = dict(zip(parents, rows, strict=False))
    event = mechanism.type.event
    out = mechanism.forward(given, rows[-1] if noise is not None else None)
    what = f"mechanism of {mechanism.node!r}"
    checked = check_shape(out, torch.Size([batch.numel()]), event, what)
    return typed(checked.reshape(*batch, *event), mechanism.type, mechanism.node, like)


def _events(mechanism: Mechanism) -> list[tuple[int, ...]]:
    return [kind.event for kind in mechanism.parents.values()]


def _together(
    values: list[Tensor], events: list[tuple[int, ...]]
) -> tuple[list[Tensor], torch.Size]:
    """Expand values to their common batch, which Pyro may have given leading dimensions."""
    leads = [v.shape[: v.ndim - len(event)] for v, event in zip(values, events, strict=True)]
    batch = torch.broadcast_shapes(*leads)
    both = zip(values, events, strict=True)
    return [v.expand(*batch, *event) for v, event in both], batch


def _same(macro: Macro, computed: Tensor, value: Tensor) -> bool:
    return value is computed or bool(macro.same(value.to(computed), computed).all())


def _read(node: str, value: Tensor, kind: NodeType, n: int, like: Tensor) -> Tensor:
    """A site's value as `(*lead, n, *event)`, whether drawn or given by a handler.

    Raises:
        InterventionError: If a given value has another shape, or is no level of the node.
    """
    rank = len(kind.event)
    lead, event = value.shape[: value.ndim - rank], tuple(value.shape[value.ndim - rank :])
    if value.ndim < rank or event != kind.event or (lead and lead[-1] not in (1, n)):
        raise InterventionError(
            f"a value of shape {tuple(value.shape)} was given for {node!r}, which is {kind}; "
            f"expected {kind.event} or {(n, *kind.event)} for n={n} units. For as many units as "
            "there are rows, call the model with their number"
        )
    value = value.expand(*torch.broadcast_shapes(lead, (n,)), *event)
    if not isinstance(kind, Categorical):
        return value.to(like.dtype)
    try:
        return kind.encode(value, like)
    except ScmError as error:
        raise InterventionError(f"for {node!r}: {error}") from error


def _missing(what: str) -> ScmError:
    return ScmError(f"{what} needs Pyro, which is not installed: pip install 'neural-scm[pyro]'")
