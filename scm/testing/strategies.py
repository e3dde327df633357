"""Hypothesis strategies: random graphs, random models of each kind, random acts.

Numbers are few-digit fractions, so that a counterexample that Hypothesis has shrunk can be
read; where a law holds almost surely only, they are drawn from a seed instead.

    from hypothesis import given
    from scm.testing import assert_lawful, strategies

    @given(strategies.models())
    def test_my_law(model):
        assert_lawful(model, laws=["composition"])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Laplace, Normal
from torch.nn.utils import skip_init

from scm.errors import ScmError
from scm.graph import CausalGraph
from scm.mechanisms import Additive, Linear, Macro, Root, Structural, Tabular
from scm.mechanisms.mechanism import Mechanism
from scm.model import SCM
from scm.testing.case import draw_acts

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise ScmError(
        "scm.testing.strategies needs Hypothesis: pip install 'neural-scm[test]'; "
        "scm.testing.check works without it"
    ) from error

__all__ = [
    "acts",
    "additive_models",
    "discrete_models",
    "graphs",
    "linear_models",
    "macro_models",
    "models",
    "neural_models",
    "strategy_models",
    "tables",
    "visual_models",
]

_QUARTERS = st.integers(-8, 8).map(lambda k: k / 4)
_SCALES = st.integers(1, 8).map(lambda k: k / 4)
_SEEDS = st.integers(0, 2**31 - 1)


@st.composite
def graphs(
    draw: st.DrawFn,
    least: int = 1,
    most: int = 5,
    latent: bool = False,
    confounded: bool = False,
    most_parents: int = 3,
) -> CausalGraph:
    """Acyclic graphs over A, B, C, ....

    Args:
        draw: Given by Hypothesis.
        least: Least number of nodes.
        most: Largest number of nodes.
        latent: Whether some nodes may be unobserved.
        confounded: Whether there may be `<->` edges; no model has such a graph.
        most_parents: Largest number of parents of a node.
    """
    names = [chr(ord("A") + k) for k in range(draw(st.integers(least, most)))]
    statements = [", ".join(names)]
    for k, name in enumerate(names[1:], 1):
        some = st.lists(st.sampled_from(names[:k]), unique=True, max_size=most_parents)
        parents = draw(some)
        if parents:
            statements.append(f"{', '.join(parents)} -> {name}")
        if confounded and draw(st.integers(0, 3)) == 0:
            statements.append(f"{draw(st.sampled_from(names[:k]))} <-> {name}")
    hidden = draw(st.lists(st.sampled_from(names), unique=True, max_size=2)) if latent else []
    if len(hidden) == len(names):
        hidden = hidden[1:]
    return CausalGraph("; ".join(statements), latent=hidden)


@st.composite
def tables(draw: st.DrawFn, shape: Sequence[int], zeros: bool = False) -> Tensor:
    """Conditional tables, the last axis sums to one; positive unless ``zeros`` are allowed."""
    *rows, levels = shape
    count = int(torch.Size(rows).numel())
    number = st.one_of(st.just(0), st.integers(1, 9)) if zeros else st.integers(1, 9)
    line = st.lists(number, min_size=levels, max_size=levels).filter(any)
    weights = draw(st.lists(line, min_size=count, max_size=count))
    table = torch.tensor(weights, dtype=torch.float64).reshape(*rows, levels)
    return table / table.sum(-1, keepdim=True)


@st.composite
def discrete_models(
    draw: st.DrawFn,
    least: int = 1,
    most: int = 4,
    most_levels: int = 3,
    latent: bool = True,
    zeros: bool = False,
) -> SCM:
    """Models of tables, with either coupling; probabilities are positive unless ``zeros``."""
    graph = draw(graphs(least, most, latent=latent, most_parents=2))
    levels = {v: draw(st.integers(2, most_levels)) for v in graph.nodes}
    coupling = st.sampled_from(["gumbel", "monotone"])
    return SCM(
        graph,
        {
            v: Tabular(
                draw(tables([levels[p] for p in (*graph.parents(v), v)], zeros)),
                coupling=draw(coupling),
            )
            for v in graph.nodes
        },
    )


@st.composite
def linear_models(draw: st.DrawFn, least: int = 1, most: int = 5) -> SCM:
    """Linear Gaussian models of scalar nodes."""
    graph = draw(graphs(least, most))
    mechanisms: dict[str, Mechanism] = {}
    for v in graph.nodes:
        weights = {p: draw(_QUARTERS) for p in graph.parents(v)}
        loc, scale = draw(_QUARTERS), draw(_SCALES)
        noise = Normal(0.0, scale)
        mechanisms[v] = Linear(weights, loc, noise) if weights else Root.normal(loc, scale)
    return SCM(graph, mechanisms)


@st.composite
def additive_models(draw: st.DrawFn, least: int = 1, most: int = 5) -> SCM:
    """Models of smooth functions with additive normal or Laplace noise."""
    graph = draw(graphs(least, most))
    mechanisms: dict[str, Mechanism] = {}
    for v in graph.nodes:
        weights = {p: draw(_QUARTERS) for p in graph.parents(v)}
        law = draw(st.sampled_from([Normal, Laplace]))(0.0, draw(_SCALES))
        shape = draw(st.sampled_from([torch.tanh, torch.sin, torch.abs]))
        mechanisms[v] = Additive(_Bent(weights, shape), law) if weights else Root(law)
    return SCM(graph, mechanisms)


@st.composite
def neural_models(draw: st.DrawFn, least: int = 2, most: int = 4) -> SCM:
    """Models of small networks with additive noise, deterministic nodes among them."""
    graph = draw(graphs(least, most))
    seed = draw(_SEEDS)
    mechanisms: dict[str, Mechanism] = {}
    for k, v in enumerate(graph.nodes):
        parents = len(graph.parents(v))
        if not parents:
            mechanisms[v] = Root.normal()
        elif draw(st.integers(0, 3)) == 0:
            mechanisms[v] = Structural(_network(parents, seed + k))
        else:
            mechanisms[v] = Additive(_network(parents, seed + k), Normal(0.0, draw(_SCALES)))
    return SCM(graph, mechanisms)


@st.composite
def macro_models(draw: st.DrawFn) -> SCM:
    """Models of a vector I with two macro-variables that can be written, and an effect T."""
    a, b, size = draw(_QUARTERS), draw(_QUARTERS), draw(st.integers(2, 4))

    def kept(i: Tensor) -> Tensor:
        return i[..., 1:].mean(-1)

    def first(i: Tensor, c: Tensor) -> Tensor:
        return torch.cat([c.expand(*i.shape[:-1], 1), i[..., 1:]], -1)

    def others(i: Tensor, c: Tensor) -> Tensor:
        return torch.cat([i[..., :1], i[..., 1:] - kept(i).unsqueeze(-1) + c], -1)

    return SCM(
        "H -> I; H, I -> T; I => C, S",
        latent=["H"],
        H=Root.normal(),
        I=Additive(lambda H: H * torch.ones(size), Normal(torch.zeros(size), 1.0)),
        T=Additive(lambda H, I: a * H + b * I[..., 0]),  # noqa: E741
        C=Macro(lambda i: i[..., 0], first, keeps=("S",)),
        S=Macro(kept, others, keeps=("C",)),
    )


@st.composite
def strategy_models(draw: st.DrawFn, most_levels: int = 3) -> SCM:
    """Models of GenInt's figure 4, `C -> Z, Y; Z, F -> X; X -> Y`, with C and F hidden."""
    graph = CausalGraph("C -> Z, Y; Z, F -> X; X -> Y", latent=["C", "F"])
    levels = {v: draw(st.integers(2, most_levels)) for v in graph.nodes}
    return SCM(
        graph,
        {
            v: Tabular(draw(tables([levels[p] for p in (*graph.parents(v), v)])))
            for v in graph.nodes
        },
    )


@st.composite
def visual_models(draw: st.DrawFn, images: int = 4, classes: int | None = None) -> SCM:
    """Models of a visual cause, `H -> I; H, I -> T`, in general position.

    Roles are `{"image": "I", "target": "T"}`.

    Args:
        draw: Given by Hypothesis.
        images: Number of levels of I.
        classes: Number of causal classes: P(T | man(I)) is equal in a class, and all else
            at random. None leaves it at random too: then every class is of one image.
    """
    rng = torch.Generator().manual_seed(draw(_SEEDS))
    hidden = 2

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=rng, dtype=torch.float64)

    prior, image = uniform(hidden, low=0.2), uniform(hidden, images, low=0.2)
    prior, image = prior / prior.sum(), image / image.sum(-1, keepdim=True)
    target = uniform(hidden, images, low=0.3, high=0.7)
    if classes is not None:
        wanted = uniform(classes, low=0.45, high=0.55)[torch.arange(images) % classes]
        target = target + wanted - prior @ target
    return SCM(
        CausalGraph("H -> I; H, I -> T", latent=["H"]),
        {
            "H": Tabular(prior),
            "I": Tabular(image),
            "T": Tabular(torch.stack([1 - target, target], -1)),
        },
    )


def models() -> st.SearchStrategy[SCM]:
    """Models of every kind."""
    return st.one_of(
        discrete_models(), linear_models(), additive_models(), neural_models(), macro_models()
    )


@st.composite
def acts(
    draw: st.DrawFn, model: SCM, least: int = 1, most: int = 2, constant: bool = False
) -> Mapping[str, Any]:
    """Acts on a model, as `model.do` takes them.

    Args:
        draw: Given by Hypothesis.
        model: The model; values are taken from what its units have.
        least: Least number of nodes that are acted on.
        most: Largest number.
        constant: Whether values only, and no functions or distributions, are given.

    Example:
        >>> from hypothesis import given, settings
        >>> import scm
        >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
        >>> @settings(max_examples=5, database=None, deadline=None)
        ... @given(acts(model))
        ... def test(given):
        ...     assert model.do(given).sample(2, seed=0)["B"].shape == (2,)
        >>> test()
    """
    rng = draw(st.randoms(use_true_random=False))
    pilot = model.sample(16, seed=draw(st.integers(0, 100)))
    return {v.node: v.act for v in draw_acts(model, pilot, rng, most, least, constant=constant)}


class _Bent(nn.Module):
    """`sum_p w_p g(p)` of scalar parents, for g that is no straight line."""

    def __init__(self, weights: Mapping[str, float], shape: Any) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(list(weights.values())))
        self.shape = shape

    def forward(self, features: Tensor) -> Tensor:
        bent: Tensor = self.shape(features) @ self.get_buffer("weights")
        return bent


def _network(width: int, seed: int) -> nn.Module:
    """A small network with parameters from the seed."""
    first, last = (skip_init(nn.Linear, *shape) for shape in ((width, 4), (4, 1)))
    net = nn.Sequential(first, nn.Tanh(), last)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return net
