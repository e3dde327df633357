"""Instruments: nodes that move a treatment and reach the outcome by it alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scm.errors import GraphError
from scm.graph.identification import disjoint, named
from scm.graph.separators import minimal_separators

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = ["Instrument", "instruments", "is_instrument"]


@dataclass(frozen=True)
class Instrument:
    """An instrument ``z``, and the nodes it needs to be conditioned on.

    Example:
        >>> print(Instrument("Z", frozenset({"W"})))
        Z given W
    """

    z: str
    given: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.z + (f" given {', '.join(sorted(self.given))}" if self.given else "")


def is_instrument(
    graph: CausalGraph, z: str, x: str, y: str, given: str | tuple[str, ...] | frozenset[str] = ()
) -> bool:
    r"""Return whether ``z`` is an instrument for the effect of ``x`` on ``y`` given a set W.

    W and Z do not descend from X; W d-separates Z and Y in :math:`G_{\overline X}` (Z reaches
    Y through X alone), and does not d-separate Z and X in G (Z is relevant). An instrument
    bounds the effect; it identifies it under further assumptions (linearity, monotonicity).

    References:
        Pearl (2009), Causality, definition 7.4.1 and section 7.4.5.

    Raises:
        GraphError: If a node is unknown or latent, or has two roles.

    Example:
        >>> from scm.graph import CausalGraph
        >>> graph = CausalGraph("Z -> X -> Y; X <-> Y; W -> Z, Y")
        >>> graph.is_instrument("Z", "X", "Y"), graph.is_instrument("Z", "X", "Y", given="W")
        (False, True)
    """
    ws = named(graph, given)
    for node in (z, x, y):
        named(graph, node)
    disjoint(graph, z=[z], x=[x], outcome=[y], given=ws)
    if graph.is_constitutive(x):
        raise GraphError(f"{x!r} is a macro-variable; ask about {', '.join(graph.micro(x))}")
    if not graph.descendants(x).isdisjoint({z, *ws}):
        return False
    return graph.without_incoming(x).d_separated(z, y, ws) and not graph.d_separated(z, x, ws)


def instruments(graph: CausalGraph, x: str, y: str) -> tuple[Instrument, ...]:
    """Return the instruments for the effect of ``x`` on ``y``: each with its minimal sets W.

    Only sets are listed that are minimal to separate the instrument from the outcome; one
    that is relevant merely because W opens a collider is left out.

    Raises:
        GraphError: As in `is_instrument`.

    Example:
        >>> from scm.graph import CausalGraph
        >>> graph = CausalGraph("Z -> X -> Y; X <-> Y; W -> Z, Y")
        >>> [str(instrument) for instrument in graph.instruments("X", "Y")]
        ['Z given W']
    """
    named(graph, x), named(graph, y)
    disjoint(graph, x=[x], outcome=[y])
    below = graph.descendants(x)
    cut = graph.without_incoming(x)
    found = []
    for z in graph.observed:
        if z in below or z == y:
            continue
        allowed = [n for n in graph.observed if n not in below and n not in (z, y)]
        sets = sorted(minimal_separators(cut, [z], [y], allowed), key=lambda w: (len(w), sorted(w)))
        found += [Instrument(z, w) for w in sets if is_instrument(graph, z, x, y, w)]
    return tuple(found)
