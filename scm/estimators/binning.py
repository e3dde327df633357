r"""A continuous target in bins, for questions that compare its distributions exactly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import brentq
from torch.distributions import Distribution, Independent

from scm.errors import GraphError, MechanismError, ScmError
from scm.mechanisms.tabular import Tabular
from scm.mechanisms.types import Categorical, Real
from scm.model import SCM

__all__ = ["binned"]

Array: TypeAlias = npt.NDArray[np.float64]


def binned(model: SCM, target: str, bins: int = 4, edges: Sequence[float] | None = None) -> SCM:
    r"""The model with a continuous node replaced by the bin that its value falls in.

    The table is :math:`P(T \in (e_k, e_{k+1}] \mid PA) = F(e_{k+1} \mid PA) - F(e_k \mid PA)`, by
    the distribution function of the node's mechanism. The rule for the edges: the quantiles
    of the mixture P(T) that make the bins equally probable. Images of one class for T are of
    one class for its bins, so binning can only make classes coarser: a difference within a
    bin is not seen.

    A mechanism that computes in float32 has equal probabilities to about 1e-7; ask for
    partitions with a tolerance of 1e-6 then.

    Args:
        model: The model; the parents of the node and their ancestors are tables.
        target: The node T: scalar, with a distribution function, and without effects.
        bins: Number of bins, 2 or more.
        edges: Inner edges in ascending order, in place of ``bins`` and the rule.

    Returns:
        A copy of the model in which T is a `Tabular`, its levels named after the intervals.

    Raises:
        GraphError: If the node is unknown, or has effects or macro-variables (which were made
            for its numbers, and not for bins).
        MechanismError: If it is not scalar and continuous, its parents are not discrete, or
            its mechanism has no distribution function.
        ScmError: If bins or edges make no sense.

    Example:
        >>> import scm
        >>> model = scm.SCM("I -> T", I=scm.Root.bernoulli(0.5), T=scm.Linear({"I": [-1.0, 1.0]}))
        >>> binned(model, "T", edges=[0.0]).mechanisms["T"].probs
        tensor([[0.8413, 0.1587],
                [0.1587, 0.8413]], dtype=torch.float64)
        >>> binned(model, "T", edges=[0.0]).mechanisms["T"].type.names
        ('(-inf, 0]', '(0, inf]')
    """
    cdf, sizes = _distribution_function(model, target)
    inner = _quantiles(cdf, _weights(model, target), bins) if edges is None else _checked(edges)
    n = math.prod(sizes)
    below = np.stack([np.zeros(n), *map(cdf, inner), np.ones(n)], -1)
    table = np.diff(below)
    if table.min() < -1e-6:
        raise MechanismError(
            f"the distribution function of {target!r} falls between the edges {inner}; expected "
            "one that rises, so give edges within the support of its noise"
        )
    table = table.clip(min=0)
    shape = (*sizes, len(inner) + 1)
    levels = _names(inner)
    binned = Tabular(table.reshape(shape), coupling="monotone", levels=levels)
    return model.replace({target: binned})


def _distribution_function(
    model: SCM, target: str
) -> tuple[Callable[[float], Array], tuple[int, ...]]:
    """F(t | pa) for every combination of the parents' levels at once, and their numbers."""
    graph = model.graph
    graph.require(target)
    mechanism = model.mechanisms[target]
    parents = mechanism.parents
    sizes = tuple(kind.size for kind in parents.values() if isinstance(kind, Categorical))
    if mechanism.type != Real(()) or len(sizes) < len(parents):
        raise MechanismError(
            f"{mechanism.describe()} is {mechanism.type} with parents "
            f"{ {p: str(kind) for p, kind in parents.items()} }; expected a scalar Real node whose "
            "parents are all Categorical"
        )
    if graph.children(target):
        raise GraphError(
            f"{target!r} has effects or macro-variables, {list(graph.children(target))}, made for "
            "its numbers and not for bins; leave them out of the model first"
        )
    grid = torch.tensor(list(itertools.product(*map(range, sizes))), dtype=torch.int64)
    rows = {p: grid[:, i] for i, p in enumerate(parents)}

    def cdf(value: float) -> Array:
        with torch.no_grad():
            law: Distribution = mechanism.distribution(rows)
            while isinstance(law, Independent):
                law = law.base_dist
            try:
                found = law.cdf(torch.full((len(grid),), value, dtype=torch.float64))
            except NotImplementedError as error:
                raise MechanismError(
                    f"{mechanism.describe()} has no distribution function in torch ({law}), so its "
                    "bins have no exact probability; use noise that has one (Normal, Laplace, "
                    "Uniform, Exponential, Gumbel, Cauchy), or a Tabular"
                ) from error
        # Below the support of a positive law, its inverse transform is NaN.
        return found.nan_to_num(0.0).clamp(0.0, 1.0).expand(len(grid)).double().numpy()

    return cdf, sizes


def _weights(model: SCM, target: str) -> Array:
    """P(pa) over the combinations of the parents' levels, by the exact joint of what is above."""
    above = model.graph.subgraph(model.graph.ancestors(target) - {target})
    parents = model.graph.parents(target)
    if not parents:
        return np.ones(1)
    there = SCM(above, {node: model.mechanisms[node] for node in above.nodes})
    found: Array = np.asarray(there.exact().table(*parents).values)
    return found.reshape(-1)


def _quantiles(cdf: Callable[[float], Array], weights: Array, bins: int) -> list[float]:
    """Where the mixture of the rows reaches 1/bins, 2/bins, ..."""
    if not isinstance(bins, int) or bins < 2:
        raise ScmError(f"bins={bins!r} was given; expected 2 or more")

    def mixture(value: float, share: float) -> float:
        return float(weights @ cdf(value)) - share

    reach = 1.0
    while mixture(-reach, 1 / bins) > 0 or mixture(reach, 1 - 1 / bins) < 0:
        reach *= 2
        if reach > 1e15:
            raise MechanismError(
                f"no edges within 1e15 of zero part the target into {bins} bins; give edges="
            )
    shares = [k / bins for k in range(1, bins)]
    found = [brentq(mixture, -reach, reach, args=(share,), xtol=1e-14) for share in shares]
    return _checked(found)


def _checked(edges: Sequence[float]) -> list[float]:
    inner = [float(edge) for edge in edges]
    if not inner or not np.isfinite(inner).all() or (np.diff(inner) <= 0).any():
        raise ScmError(
            f"edges {inner!r:.200} were given; expected finite numbers in ascending order, the "
            "inner edges of the bins (the outer ones are infinite)"
        )
    return inner


def _names(inner: Sequence[float]) -> list[str]:
    """Names of the bins, with as many digits as tell them apart."""
    short = [f"{edge:.4g}" for edge in inner]
    ends = ["-inf", *(short if len(set(short)) == len(inner) else map(repr, inner)), "inf"]
    return [f"({low}, {high}]" for low, high in itertools.pairwise(ends)]
