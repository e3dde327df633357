"""Exact inference in models whose mechanisms are all tables.

A `Joint` answers three kinds of question, and never builds the full joint of a large
network: what is seen, `Joint.prob`; what is done, ``Joint.prob(..., do=...)``; and what would
have been, `Joint.counterfactual`. Many answers at once are a `Table`. `Joint.observed` is
the margin that a scientist sees, and refuses what does not follow from it.
"""

from __future__ import annotations

from scm.exact.joint import Joint
from scm.exact.observed import Observed
from scm.graph.table import Table

__all__ = ["Joint", "Observed", "Table"]
