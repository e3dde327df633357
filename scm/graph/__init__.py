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

What follows from a graph is asked of the graph: `CausalGraph.d_separated` and ``explain``,
``adjustment_sets``, ``frontdoor_sets`` and ``instruments``, ``implied_independencies``, and
whether an effect can be known from what is seen: ``identify`` returns an `Estimand` that is
evaluated on data, or raises an error that carries a `Hedge`.

    >>> print(graph.identify("T", do="I"))
    Traceback (most recent call last):
    scm.errors.NotIdentifiedError: P(T | do(I)) is not identified from P(I, T, C, S): the hedge ...
"""

from __future__ import annotations

from scm.graph.causal_graph import CausalGraph
from scm.graph.counterexample import Counterexample, counterexample
from scm.graph.counterfactual_estimand import CounterfactualEstimand
from scm.graph.estimand import Estimand
from scm.graph.hedge import Hedge
from scm.graph.independencies import IndependenceWarning
from scm.graph.table import Table

__all__ = [
    "CausalGraph",
    "Counterexample",
    "CounterfactualEstimand",
    "Estimand",
    "Hedge",
    "IndependenceWarning",
    "Table",
    "counterexample",
]
