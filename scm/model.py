"""SCM: a causal graph whose nodes are bound to mechanisms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from scm import html
from scm.devices import require_devices
from scm.errors import GraphError, MechanismError, nearest
from scm.graph import CausalGraph
from scm.mechanisms.encoder import Encoder
from scm.mechanisms.macro import Macro
from scm.mechanisms.mechanism import Mechanism
from scm.mechanisms.types import NodeType
from scm.worlds.acting import Acting
from scm.worlds.acts import Act
from scm.worlds.data import read
from scm.worlds.evidence import Method
from scm.worlds.probe import probe
from scm.worlds.program import Program
from scm.worlds.samples import Samples
from scm.worlds.view import View

if TYPE_CHECKING:
    from scm.exact import Joint

__all__ = ["SCM", "load"]


class SCM(nn.Module, Acting):
    """A structural causal model: a graph, and one mechanism a node.

    `S_i := f_i(PA_i, U_i)` with jointly independent noise U. Mechanisms are given by
    keyword, or as a mapping for names that are no identifiers. Every node has one, hidden
    common causes too, which `latent=` names.

    Args:
        graph: A `CausalGraph`, or its text.
        mechanisms: Mechanism of each node.
        latent: Unobserved nodes, where the graph is given as text.
        encoders: Joint posteriors for abduction from partial evidence.
        **named: Mechanisms by node.

    Raises:
        GraphError: If the graph has a cycle, or a `<->` edge.
        MechanismError: If nodes and mechanisms do not match, or one does not fit its
            parents; the model is not made.

    Source: Pearl (2009), definition 7.1.1; Peters, Janzing and Schoelkopf (2017), 6.2.

    Example:
        >>> from torch.distributions import Normal
        >>> from scm.mechanisms import Additive, Root
        >>> model = SCM("X -> Y", X=Root.normal(), Y=Additive(lambda X: 2 * X, Normal(0.0, 0.1)))
        >>> model.do(X=1.0).sample(10_000, seed=0)["Y"].mean().round(decimals=1)
        tensor(2.)
    """

    _like: Tensor

    def __init__(
        self,
        graph: CausalGraph | str,
        mechanisms: Mapping[str, Mechanism] | None = None,
        /,
        *,
        latent: Sequence[str] = (),
        encoders: Sequence[Encoder] = (),
        **named: Mechanism,
    ) -> None:
        super().__init__()
        if not isinstance(graph, CausalGraph) or latent:
            graph = CausalGraph(graph, latent=latent)
        self.graph = graph
        given = {**(mechanisms or {}), **named}
        self._check_nodes(given)
        types = {node: given[node].type for node in self.graph.nodes}
        for node in self.graph.nodes:
            parents = {p: types[p] for p in self.graph.parents(node)}
            _bind(self.graph, node, given[node], parents)
        self._mechanisms = nn.ModuleList(given[node] for node in self.graph.nodes)
        self._encoders = nn.ModuleList(encoders)
        self._streams = {node: node for node in self.graph.nodes}
        self._noise_device: torch.device | None = None
        dtype = next((t.dtype for t in self.parameters() if t.is_floating_point()), None)
        device = next((t.device for t in (*self.parameters(), *self.buffers())), None)
        like = torch.zeros((), dtype=dtype or torch.get_default_dtype(), device=device)
        self.register_buffer("_like", like, persistent=False)
        shapes = {n: m.noise.shape for n, m in given.items() if m.noise is not None}
        for encoder in encoders:
            for name in (*encoder.nodes, *encoder.given):
                if name not in self.graph:
                    raise MechanismError(
                        f"an Encoder names {name!r}; {nearest(name, self.graph.nodes)}"
                    )
            encoder.bind(types, shapes)
        probe(self.program)

    def _check_nodes(self, given: Mapping[str, Any]) -> None:
        graph = self.graph
        if graph.bidirected:
            a, b = next(iter(graph.bidirected))
            raise GraphError(
                f"{a} <-> {b} in the graph of an SCM: every cause needs a mechanism, so name the "
                f"hidden one: 'U_{a}{b} -> {a}, {b}' with latent=('U_{a}{b}',)"
            )
        missing = [node for node in graph.nodes if node not in given]
        if missing:
            raise MechanismError(
                f"the nodes {missing} have no mechanism; give one for each, as in "
                f"SCM(graph, {missing[0]}=Root.normal(), ...)"
            )
        for node, mechanism in given.items():
            if node not in graph:
                raise MechanismError(
                    f"a mechanism was given for {node!r}, which is no node of the graph; "
                    f"{nearest(node, graph.nodes)}"
                )
            if not isinstance(mechanism, Mechanism):
                raise MechanismError(
                    f"{node}={mechanism!r:.60} was given; expected a mechanism, such as "
                    "Additive(f) around a function or module"
                )

    @property
    def mechanisms(self) -> dict[str, Mechanism]:
        """Mechanism of each node."""
        pairs = zip(self.graph.nodes, self._mechanisms, strict=True)
        return {node: m for node, m in pairs if isinstance(m, Mechanism)}

    @property
    def program(self) -> Program:  # type: ignore[override]
        """The model without acts, as the engine reads it."""
        return Program(self.graph, self.mechanisms, self._streams, self._like)

    @property
    def view(self) -> View:
        """The model as a view without acts."""
        encoders = tuple(e for e in self._encoders if isinstance(e, Encoder))
        return View(self.program, encoders=encoders, noise_device=self._noise_device)

    def _with_acts(self, acts: list[Act]) -> View:
        return self.view._with_acts(acts)

    def sample(
        self, n: int, seed: int | None = None, *, start: int = 0, grad: bool = False
    ) -> Samples:
        """Draw units; see `View.sample`."""
        return self.view.sample(n, seed, start=start, grad=grad)

    def stream(self, n: int, batch: int, seed: int | None = None) -> Iterator[Samples]:
        """Draw units in batches; see `View.stream`."""
        return self.view.stream(n, batch, seed)

    def given(self, values: Mapping[str, Any] | None = None, /, **keywords: Any) -> View:
        """Condition the population; see `View.given`."""
        return self.view.given(values, **keywords)

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
        """Find the noise of observed rows; see `View.abduct`."""
        return self.view.abduct(
            data, method=method, draws=draws, bandwidth=bandwidth, seed=seed, grad=grad
        )

    def log_prob(self, data: Any) -> Tensor:
        """Log density of observed rows; see `View.log_prob`."""
        return self.view.log_prob(data)

    def fit(self, data: Any, nodes: Sequence[str] | None = None, **options: Any) -> SCM:
        """Fit mechanisms to observed rows, each to its own node and parents.

        Args:
            data: Mapping, data frame or Samples.
            nodes: Which nodes to fit; all by default.
            **options: `epochs`, `batch`, `lr`, `seed`, `progress`, `smoothing`, for
                mechanisms that use them.

        Returns:
            The model itself.

        Raises:
            MechanismError: If a node to be fitted, or a parent of it, is unobserved.
        """
        columns, _ = read(data, self.program, "fit")
        wanted = self.graph.nodes if nodes is None else self.graph.require(*nodes)
        wanted = tuple(v for v in wanted if not self.graph.is_constitutive(v))
        for node in wanted:
            unseen = [v for v in (node, *self.graph.parents(node)) if v not in columns]
            if unseen:
                seen = [
                    v for v in self.graph.nodes if {v, *self.graph.parents(v)} <= columns.keys()
                ]
                raise MechanismError(
                    f"{node!r} cannot be fitted: {unseen} are unobserved; fit the nodes that are "
                    f"seen with their parents, fit(data, nodes={seen}), or sample the others"
                )
        for node in wanted:
            parents = {p: columns[p] for p in self.graph.parents(node)}
            self.mechanisms[node].fit(columns[node], parents, **options)
        return self

    def exact(self) -> Joint:
        """The exact joint distribution, where every node is a table.

        Raises:
            MechanismError: If a node is not discrete, with its name.
        """
        from scm.exact import Joint

        tables, levels, couplings = {}, {}, {}
        for node, mechanism in self.mechanisms.items():
            try:
                tables[node] = mechanism.table().detach().cpu().numpy()
            except MechanismError as error:
                raise MechanismError(
                    f"exact() needs tables, but {node!r} is {mechanism.type} by "
                    f"{type(mechanism).__name__}; sample instead, or make it discrete (Tabular)"
                ) from error
            levels[node] = mechanism.type.names  # type: ignore[attr-defined]
            couplings[node] = getattr(mechanism, "coupling_name", "monotone")
        return Joint(self.graph, tables, levels, couplings)

    def to_pyro(self) -> Any:
        """A Pyro model whose sites are the nodes; see `scm.neighbours.pyro.to_pyro`."""
        from scm.neighbours.pyro import to_pyro

        return to_pyro(self.program)

    def rename(self, names: Mapping[str, str]) -> SCM:
        """A copy of the model with other names; each node keeps its noise stream.

        Functions of the parents go on taking their old argument names.

        Raises:
            GraphError: If a name is unknown, or two nodes would share one.
        """
        graph = self.graph.rename(names)
        mechanisms = {names.get(n, n): m.renamed(names) for n, m in self.mechanisms.items()}
        encoders = [e.renamed(names) for e in self.view.encoders]
        other = SCM(graph, mechanisms, encoders=encoders)
        other._streams = {names.get(n, n): s for n, s in self._streams.items()}
        other._noise_device = self._noise_device
        other._like = self._like.clone()
        return other

    def replace(
        self,
        mechanisms: Mapping[str, Mechanism] | None = None,
        /,
        *,
        graph: CausalGraph | str | None = None,
        **named: Mechanism,
    ) -> SCM:
        """A copy of the model with some mechanisms replaced; nodes keep their noise streams.

        Args:
            mechanisms: Mechanisms by node, in place of the model's or for new nodes.
            graph: The graph, where it has new nodes or edges.
            **named: Mechanisms by node.

        Raises:
            GraphError: If an SCM cannot have the graph.
            MechanismError: If nodes and mechanisms do not match.
        """
        copy, changes = self.rename({}), {**(mechanisms or {}), **named}
        graph = CausalGraph(graph, self.graph.latent) if isinstance(graph, str) else graph
        parts = {**copy.mechanisms, **changes}
        other = SCM(graph or copy.graph, parts, encoders=copy.view.encoders)
        other._streams |= copy._streams
        other._noise_device, other._like = copy._noise_device, copy._like
        return other

    def to(self, *args: Any, noise_device: str | torch.device | None = None, **kwargs: Any) -> SCM:
        """Move the model to a device or dtype, by the arguments of `nn.Module.to`.

        Args:
            noise_device: Where noise is drawn, by default where the model is; "cpu" is portable.

        Raises:
            ScmError: If this machine has no such device.
        """
        require_devices(*args, *kwargs.values(), noise_device)
        if noise_device is not None:
            self._noise_device = torch.device(noise_device)
        return super().to(*args, **kwargs) if args or kwargs else self

    def save(self, path: str | Path, *, omit: str | Sequence[str | tuple[str, ...]] = ()) -> None:
        """Write graph, mechanisms and parameters to one file: safetensors and JSON, no pickle.

        Functions are saved by import path, `package.module:name`; networks of `torch.nn` by
        the arguments that make their layers. The file is written whole or not at all.

        Args:
            path: Where to; an older file there is replaced.
            omit: Nodes whose functions, and modules of other classes, are left out, to be
                given to `load`: lambdas, local functions, your own `nn.Module`s (whose
                parameters are saved all the same). An encoder is named by the tuple of its
                nodes.

        Raises:
            MechanismError: If a function is a lambda or local, or a module cannot be
                described, with the way out.
            ScmError: If the file cannot be written.
        """
        from scm.saving import Saved, save

        saved = Saved(
            graph=self.graph,
            mechanisms=self.mechanisms,
            streams=self._streams,
            encoders=[e for e in self._encoders if isinstance(e, Encoder)],
            dtype=self._like.dtype,
            noise_device=self._noise_device,
            evaluating=tuple(
                name
                for name, module in self.named_modules(remove_duplicate=False)
                if not module.training
            ),
        )
        save(path, saved, omit)

    def __repr__(self) -> str:
        lines = [f"  {node} := {call}  {kind}" for node, call, kind in self._rows()]
        return "\n".join([f"SCM: {self.graph!s}", *lines])

    def _repr_html_(self) -> str:
        picture = self.graph._repr_svg_() or ""
        mechanisms = html.table("Mechanisms", ("node", ":=", "type"), self._rows())
        return picture[picture.find("<svg") :] + mechanisms

    def _rows(self) -> list[tuple[str, str, NodeType]]:
        return [
            (node, f"{type(each).__name__}({', '.join(self.graph.parents(node))})", each.type)
            for node, each in self.mechanisms.items()
        ]


def load(path: str | Path, functions: Mapping[Any, Any] | None = None) -> SCM:
    """Read a model that `SCM.save` wrote, onto the CPU and in the dtype that it had.

    Nothing is unpickled. Import paths in the file are followed to your own modules only (see
    `scm.saving`), which imports them.

    Args:
        path: The file.
        functions: Functions and modules by node, in place of those that the file names by
            import path or left out. Where a mechanism has several, a mapping by argument:
            `functions={"K": {"read": f, "write": g}}`; otherwise the one that was left out,
            or else the first. A whole mechanism may be given too, and for an encoder a
            network by the tuple of its nodes. A module gets the parameters in the file.

    Raises:
        ScmError: If the file is not a saved model, is truncated or altered, names what it may
            not name, or needs a function that is not given.

    Example:
        >>> import tempfile
        >>> from scm.mechanisms import Linear, Root
        >>> model = SCM("A -> B", A=Root.normal(), B=Linear({"A": 2.0}))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model.scm")
        ...     again = load(f"{folder}/model.scm")
        >>> torch.equal(again.sample(5, seed=0)["B"], model.sample(5, seed=0)["B"])
        True
    """
    from scm.saving import read_model, running

    saved = read_model(path, functions or {})
    with running(path):
        model = SCM(saved.graph, saved.mechanisms, encoders=saved.encoders)
    model._streams = saved.streams
    model._noise_device = saved.noise_device
    model._like = model._like.to(saved.dtype)
    evaluating = set(saved.evaluating)
    for name, module in model.named_modules():
        module.training = name not in evaluating
    return model


def _bind(graph: CausalGraph, node: str, mechanism: Mechanism, parents: Mapping[str, Any]) -> None:
    constitutive = graph.is_constitutive(node)
    if constitutive != isinstance(mechanism, Macro):
        kind = "constitutive (=>)" if constitutive else "causal (->)"
        wanted = "a Macro" if constitutive else "a mechanism that is no Macro"
        raise MechanismError(
            f"{node!r} is {kind} in the graph but was given a {type(mechanism).__name__}; it needs "
            f"{wanted}"
        )
    if isinstance(mechanism, Macro):
        siblings = {c for m in graph.micro(node) for c in graph.macros(m)} - {node}
        for keep in mechanism.keeps:
            if keep not in siblings:
                raise MechanismError(
                    f"the writer of {node!r} keeps {keep!r}, which is no other macro-variable of "
                    f"its micro node; {nearest(keep, sorted(siblings))}"
                )
    elif not parents and mechanism.noise is None:
        raise MechanismError(
            f"{node!r} has neither parents nor noise, so nothing says how many units it has; use "
            "Root.empirical([c]) for a constant"
        )
    mechanism.bind(node, parents)
