"""Discrete Bayesian networks of pgmpy, and so files in the BIF format, as models of tables.

A network's parents become causes: that its edges are causal is for the user to know. The names
of its states are kept as the names of levels.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scm.errors import GraphError, MechanismError, ScmError
from scm.graph import CausalGraph
from scm.graph.structure import Structure
from scm.mechanisms.tabular import Tabular

if TYPE_CHECKING:
    from scm.model import SCM

__all__ = ["from_bif", "from_pgmpy", "to_pgmpy"]

Array = NDArray[np.float64]


def from_pgmpy(network: Any, coupling: str = "gumbel") -> SCM:
    """Return the model of a `pgmpy.models.DiscreteBayesianNetwork`, each node a `Tabular`.

    Args:
        network: The network, with a table for each node.
        coupling: Of each table; the network says nothing of it, and only counterfactuals
            depend on it.

    Raises:
        ScmError: If it is no discrete Bayesian network.
        GraphError: If a node is not named by a string.
        MechanismError: If a node has no table, or tables disagree on the states of a node.

    Example:
        >>> from pgmpy.factors.discrete import TabularCPD
        >>> from pgmpy.models import DiscreteBayesianNetwork
        >>> network = DiscreteBayesianNetwork([("Rain", "Grass")])
        >>> states = {"Rain": ["no", "yes"], "Grass": ["dry", "wet"]}
        >>> rain = TabularCPD("Rain", 2, [[0.8], [0.2]], state_names={"Rain": states["Rain"]})
        >>> grass = TabularCPD("Grass", 2, [[0.9, 0.1], [0.1, 0.9]], evidence=["Rain"],
        ...                    evidence_card=[2], state_names=states)
        >>> network.add_cpds(rain, grass)
        >>> model = from_pgmpy(network)
        >>> model.exact().prob({"Rain": "yes"}, given={"Grass": "wet"})
        tensor(0.6923, dtype=torch.float64)
    """
    from scm.model import SCM

    if not all(hasattr(network, part) for part in ("get_cpds", "nodes", "edges")):
        raise ScmError(
            f"a {type(network).__name__} was given; expected a pgmpy DiscreteBayesianNetwork. "
            "For its graph alone: CausalGraph.from_networkx(network)"
        )
    nodes = list(network.nodes())
    for node in nodes:
        if not isinstance(node, str):
            raise GraphError(
                f"the network has the node {node!r}; a node is named by a string: rename it with "
                "networkx.relabel_nodes, its table too"
            )
    cpds = {node: network.get_cpds(node) for node in nodes}
    missing = [node for node, cpd in cpds.items() if cpd is None]
    if missing:
        raise MechanismError(
            f"the nodes {missing} have no table; add one for each (network.add_cpds), or learn "
            "them (network.fit)"
        )
    for node, cpd in cpds.items():
        if not hasattr(cpd, "state_names"):
            raise ScmError(
                f"{node!r} has a {type(cpd).__name__}, no TabularCPD; only discrete networks are "
                "read: bin the node, or write the model with Linear or Additive nodes"
            )
    levels = {node: tuple(cpd.state_names[node]) for node, cpd in cpds.items()}
    edges, tables = [], {}
    for node, cpd in cpds.items():
        parents = list(cpd.variables[1:])
        if set(parents) != set(network.predecessors(node)):
            raise MechanismError(
                f"the table of {node!r} is given {parents}, and its parents in the network are "
                f"{sorted(network.predecessors(node))}; network.check_model() says more"
            )
        edges += [(parent, node) for parent in parents]
        tables[node] = _table(node, cpd, levels)
    latent = tuple(node for node in nodes if node in set(getattr(network, "latents", ())))
    graph = CausalGraph(Structure(tuple(nodes), tuple(edges), latent=latent))
    made = {
        node: Tabular(table, coupling, _level_names(levels[node])) for node, table in tables.items()
    }
    return SCM(graph, made)


def to_pgmpy(model: SCM) -> Any:
    """Return the `pgmpy.models.DiscreteBayesianNetwork` of a model whose nodes are all tables.

    Couplings are lost: a Bayesian network knows no counterfactuals.

    Args:
        model: The model.

    Raises:
        ScmError: If pgmpy is not installed.
        MechanismError: If a node is not discrete.

    Example:
        >>> import scm
        >>> model = scm.SCM("X -> Y", X=scm.Root.bernoulli(0.25),
        ...                 Y=scm.Tabular([[0.9, 0.1], [0.4, 0.6]]))
        >>> network = to_pgmpy(model)
        >>> network.get_cpds("Y").get_values()
        array([[0.9, 0.4],
               [0.1, 0.6]])
    """
    try:
        from pgmpy.factors.discrete import TabularCPD
        from pgmpy.models import DiscreteBayesianNetwork
    except ImportError as error:
        raise _not_installed("to_pgmpy") from error
    joint = model.exact()
    graph = model.graph
    network = DiscreteBayesianNetwork()
    network.add_nodes_from(graph.nodes)
    network.add_edges_from([(p, node) for node in graph.nodes for p in graph.parents(node)])
    network.latents = set(graph.latent)
    for node in graph.nodes:
        parents = graph.parents(node)
        table = model.mechanisms[node].table().detach().cpu().double().numpy()
        size = table.shape[-1]
        names = {name: list(joint.levels[name]) for name in (node, *parents)}
        network.add_cpds(
            TabularCPD(
                node,
                size,
                np.moveaxis(table, -1, 0).reshape(size, -1),
                evidence=list(parents) or None,
                evidence_card=list(table.shape[:-1]) or None,
                state_names=names,
            )
        )
    return network


def from_bif(path: str | Path, coupling: str = "gumbel") -> SCM:
    """Read a file in the Bayesian interchange format (BIF), through pgmpy's reader.

    Args:
        path: The file.
        coupling: As in `from_pgmpy`.

    Raises:
        ScmError: If pgmpy is not installed, or the file cannot be read.
        MechanismError: As in `from_pgmpy`.
    """
    try:
        from pgmpy.readwrite import BIFReader
    except ImportError as error:
        raise _not_installed("from_bif") from error
    if not Path(path).is_file():
        raise ScmError(f"there is no file {str(path)!r}; give the path of a .bif file")
    try:
        network = BIFReader(str(path)).get_model()
    except Exception as error:
        raise ScmError(
            f"pgmpy cannot read {str(path)!r} as BIF: {error}; a file begins with 'network NAME "
            "{{ }}' and gives each variable and each probability"
        ) from error
    return from_pgmpy(network, coupling)


def _table(node: str, cpd: Any, levels: dict[str, tuple[Hashable, ...]]) -> Array:
    """Return a table with the node's levels last, every axis in the order of its node's levels."""
    table = np.moveaxis(np.asarray(cpd.values, dtype=np.float64), 0, -1)
    for axis, parent in enumerate(cpd.variables[1:]):
        here = list(cpd.state_names[parent])
        if set(here) != set(levels[parent]) or len(here) != len(levels[parent]):
            raise MechanismError(
                f"the table of {node!r} gives {parent!r} the states {here}, and its own table "
                f"{list(levels[parent])}; name the same ones (state_names=)"
            )
        table = table.take([here.index(level) for level in levels[parent]], axis)
    return table


def _level_names(levels: tuple[Hashable, ...]) -> int | tuple[Hashable, ...]:
    """Return the names, or their number where they are 0, 1, ..."""
    plain = all(isinstance(v, int) and not isinstance(v, bool) for v in levels)
    return len(levels) if plain and levels == tuple(range(len(levels))) else levels


def _not_installed(what: str) -> ScmError:
    return ScmError(
        f"{what} needs pgmpy, which is not installed: pip install 'neural-scm[neighbours]'"
    )
