"""Causal graphs: what causes what. No numbers, and no torch.

A `CausalGraph` is written down first and everything else reads it: sampling,
identification, bounds, audits. It knows three kinds of edge.

``A -> B``, **causal**: A is an argument of the mechanism of B. Holding everything else
still and setting A may change B.

``A <-> B``, **confounded**: A and B have a latent common cause that nobody named. (A
common cause with a name is an ordinary node, listed in ``latent=``.)

``I => C``, **constitutive**: the macro-variable C *is a function of* the micro-variable
I, as "contains a horizontal bar" is of an image. C has no noise and no effects of its
own; nobody can change C and leave I as it was.

Example:
    Two hidden causes make an image I; H1 also makes the target T, as does the image; C
    and S are features of the image.

    >>> from scm.graph import CausalGraph
    >>> graph = CausalGraph("H1, H2 -> I; H1, I -> T; I => C, S", latent=["H1", "H2"])
    >>> graph.parents("T")
    ('H1', 'I')
    >>> graph.macros("I")
    ('C', 'S')
    >>> sorted(graph.descendants("I"))
    ['C', 'I', 'S', 'T']
    >>> print(graph.latent_projection())
    I -> T; I => C, S; I <-> T
"""

from __future__ import annotations

from scm.graph.causal_graph import CausalGraph

__all__ = ["CausalGraph"]
