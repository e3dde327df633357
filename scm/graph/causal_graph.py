"""`CausalGraph`: an immutable graph with causal, confounded and constitutive edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import NoReturn

from scm.errors import GraphError, nearest
from scm.graph import (
    adjustment,
    counterfactual_identification,
    drawing,
    explanation,
    formats,
    identification,
    independencies,
    instruments,
    separation,
    surgery,
    traversal,
)
from scm.graph.grammar import parse, show
from scm.graph.structure import Pair, Structure, checked, joined

__all__ = ["CausalGraph"]


class CausalGraph:
    """A causal graph: nodes, causal edges, confounded pairs, constitutive edges.

    Graphs are immutable and hashable, and equal where nodes, edges and latent nodes are;
    the order of declaration is kept for iteration and does not count in ``==``.

    Args:
        spec: Text such as ``"C -> Z, Y; Z, F -> X; X <-> Y; X => M"``, another graph, or
            several of these. Statements end with ``;`` or the line; ``#`` comments; a lone
            name declares a node; other names than identifiers stand in double quotes.
            See `scm.graph.grammar`.
        latent: Names of the unobserved nodes.

    Raises:
        GraphError: If the text leaves the grammar, if the graph has a cycle or a self
            loop, if a constitutive node has causes, effects or confounders of its own, or
            if ``latent`` names an unknown node.

    Example:
        >>> graph = CausalGraph("C -> Z, Y; Z, F -> X; X -> Y", latent=["C"])
        >>> graph
        CausalGraph('C -> Z, Y; Z, F -> X; X -> Y', latent=('C',))
        >>> graph.parents("Y")
        ('C', 'X')
        >>> CausalGraph([graph, "Z <-> F"]) == graph
        False
    """

    __slots__ = ("_children", "_key", "_parents", "_siblings", "_structure")

    _structure: Structure
    _parents: dict[str, tuple[str, ...]]
    _children: dict[str, tuple[str, ...]]
    _siblings: dict[str, tuple[str, ...]]
    _key: tuple[frozenset[object], ...]

    def __init__(
        self,
        spec: str | CausalGraph | Structure | Iterable[str | CausalGraph],
        latent: Iterable[str] = (),
    ) -> None:
        extra = (latent,) if isinstance(latent, str) else tuple(latent)
        structure = checked(joined([*_structures(spec), Structure(latent=extra)]))
        place = {node: i for i, node in enumerate(structure.nodes)}
        parents: dict[str, list[str]] = {node: [] for node in place}
        children: dict[str, list[str]] = {node: [] for node in place}
        siblings: dict[str, list[str]] = {node: [] for node in place}
        for a, b in (*structure.edges, *structure.constitutive):
            parents[b].append(a)
            children[a].append(b)
        for a, b in structure.bidirected:
            siblings[a].append(b)
            siblings[b].append(a)
        in_order = partial(sorted, key=place.__getitem__)
        fill = partial(object.__setattr__, self)
        fill("_structure", structure)
        fill("_parents", {node: tuple(found) for node, found in parents.items()})
        fill("_children", {node: tuple(in_order(found)) for node, found in children.items()})
        fill("_siblings", {node: tuple(in_order(found)) for node, found in siblings.items()})
        fill(
            "_key",
            (
                frozenset(structure.nodes),
                frozenset(structure.edges),
                frozenset(map(frozenset, structure.bidirected)),
                frozenset(structure.constitutive),
                frozenset(structure.latent),
            ),
        )

    @property
    def structure(self) -> Structure:
        """The nodes and edges as plain data.

        Example:
            >>> CausalGraph("A -> B").structure.edges
            (('A', 'B'),)
        """
        return self._structure

    @property
    def nodes(self) -> tuple[str, ...]:
        """All nodes, in declared order.

        Example:
            >>> CausalGraph("B -> C; A").nodes
            ('B', 'C', 'A')
        """
        return self._structure.nodes

    @property
    def observed(self) -> tuple[str, ...]:
        """The nodes that are not latent, in declared order.

        Example:
            >>> CausalGraph("C -> Z, Y", latent=["C"]).observed
            ('Z', 'Y')
        """
        latent = frozenset(self.latent)
        return tuple(node for node in self.nodes if node not in latent)

    @property
    def latent(self) -> tuple[str, ...]:
        """The unobserved nodes, in declared order.

        Example:
            >>> CausalGraph("C -> Z, Y", latent=["C"]).latent
            ('C',)
        """
        return self._structure.latent

    @property
    def edges(self) -> tuple[Pair, ...]:
        """The causal edges as (cause, effect), in declared order.

        Example:
            >>> CausalGraph("A, B -> C; C <-> D").edges
            (('A', 'C'), ('B', 'C'))
        """
        return self._structure.edges

    @property
    def bidirected(self) -> tuple[Pair, ...]:
        """The confounded pairs, each once; sorted by declared order of the nodes.

        Example:
            >>> CausalGraph("A; B; B <-> A").bidirected
            (('A', 'B'),)
        """
        return self._structure.bidirected

    @property
    def constitutive(self) -> tuple[Pair, ...]:
        """The constitutive edges as (micro, macro), in declared order.

        Example:
            >>> CausalGraph("H -> I; I => C, S").constitutive
            (('I', 'C'), ('I', 'S'))
        """
        return self._structure.constitutive

    def parents(self, node: str) -> tuple[str, ...]:
        """Return the causes of ``node``, or the micro nodes of a macro-variable, as declared.

        Raises:
            GraphError: If the node is unknown.

        Example:
            >>> CausalGraph("Z, F -> X; X => C").parents("X")
            ('Z', 'F')
        """
        return self._parents[self.require(node)[0]]

    def children(self, node: str) -> tuple[str, ...]:
        """Return the effects and the macro-variables of ``node``, in declared node order.

        Raises:
            GraphError: If the node is unknown.

        Example:
            >>> CausalGraph("X -> Y; X => C").children("X")
            ('Y', 'C')
        """
        return self._children[self.require(node)[0]]

    def siblings(self, node: str) -> tuple[str, ...]:
        """Return the nodes confounded with ``node`` (its spouses), in declared node order.

        Raises:
            GraphError: If the node is unknown.

        Example:
            >>> CausalGraph("A <-> B <-> C").siblings("B")
            ('A', 'C')
        """
        return self._siblings[self.require(node)[0]]

    def micro(self, node: str) -> tuple[str, ...]:
        """Return the micro nodes that the macro-variable ``node`` is a function of, or ``()``.

        Raises:
            GraphError: If the node is unknown.

        Example:
            >>> graph = CausalGraph("H -> I; I => C")
            >>> graph.micro("C"), graph.micro("I")
            (('I',), ())
        """
        return self.parents(node) if self.is_constitutive(node) else ()

    def macros(self, node: str) -> tuple[str, ...]:
        """Return the macro-variables of the micro node ``node``, in declared node order.

        Raises:
            GraphError: If the node is unknown.

        Example:
            >>> CausalGraph("I -> T; I => C, S").macros("I")
            ('C', 'S')
        """
        return tuple(child for child in self.children(node) if self.is_constitutive(child))

    def is_constitutive(self, node: str) -> bool:
        """Return whether ``node`` is a macro-variable, that is, has an edge ``I => node``.

        Raises:
            GraphError: If the node is unknown.

        Example:
            >>> CausalGraph("I => C").is_constitutive("C")
            True
        """
        parents = self.parents(node)
        return bool(parents) and (parents[0], node) in self._key[3]

    ancestors = traversal.ancestors
    descendants = traversal.descendants
    districts = traversal.districts
    topological_order = traversal.topological_order

    without_incoming = surgery.without_incoming
    without_outgoing = surgery.without_outgoing
    subgraph = surgery.subgraph
    rename = surgery.rename
    latent_projection = surgery.latent_projection

    d_separated = separation.d_separated
    explain = explanation.explain
    implied_independencies = independencies.implied_independencies
    test_independencies = independencies.test_independencies

    adjustment_sets = adjustment.adjustment_sets
    is_adjustment_set = adjustment.is_adjustment_set
    backdoor_sets = adjustment.backdoor_sets
    is_backdoor_set = adjustment.is_backdoor_set
    frontdoor_sets = adjustment.frontdoor_sets
    is_frontdoor_set = adjustment.is_frontdoor_set
    is_instrument = instruments.is_instrument
    instruments = instruments.instruments

    identify = identification.identify
    identify_counterfactual = counterfactual_identification.identify_counterfactual

    to_networkx = formats.to_networkx
    from_networkx = classmethod(formats.from_networkx)
    to_dagitty = formats.to_dagitty
    from_dagitty = classmethod(formats.from_dagitty)
    to_dot = formats.to_dot
    from_dot = classmethod(formats.from_dot)
    to_latex = formats.to_latex
    draw = drawing.draw
    _repr_svg_ = drawing.svg

    def require(self, *nodes: str) -> tuple[str, ...]:
        """Return ``nodes`` if all of them are in the graph.

        Raises:
            GraphError: If one is unknown; the message lists the names nearest to it.

        Example:
            >>> CausalGraph("Colour -> X").require("colour")
            Traceback (most recent call last):
            scm.errors.GraphError: the graph has no node 'colour'; did you mean 'Colour'? ...
        """
        for node in nodes:
            if node not in self:
                raise GraphError(f"the graph has no node {node!r}; {nearest(node, self.nodes)}")
        return nodes

    def __contains__(self, node: object) -> bool:
        return isinstance(node, str) and node in self._parents

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, CausalGraph) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        return show(self._structure)

    def __repr__(self) -> str:
        latent = f", latent={self.latent!r}" if self.latent else ""
        return f"{type(self).__name__}({str(self)!r}{latent})"

    def __reduce__(self) -> tuple[type[CausalGraph], tuple[Structure]]:
        return type(self), (self._structure,)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            "a CausalGraph is immutable; make another: CausalGraph([graph, 'A -> B']), "
            "or see without_incoming, without_outgoing, subgraph and rename"
        )

    def __delattr__(self, name: str) -> NoReturn:
        self.__setattr__(name, None)


def _structures(spec: object) -> Iterator[Structure]:
    if isinstance(spec, str):
        yield parse(spec)
    elif isinstance(spec, Structure):
        yield spec
    elif isinstance(spec, CausalGraph):
        yield spec.structure
    elif isinstance(spec, Iterable) and not hasattr(spec, "adj"):
        for part in spec:
            yield from _structures(part)
    else:
        raise GraphError(
            f"expected a graph as text, such as 'Z -> X; X <-> Y', not {type(spec).__name__}; "
            "for a networkx graph use CausalGraph.from_networkx(graph)"
        )
