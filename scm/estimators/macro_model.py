r"""The macro-variable model of a visual cause: C, S and T with a hidden common cause.

What the model has to say of :math:`do(C = c)` is :math:`P(T \mid man(I = i))` for the images
i of class c. That is one distribution for all of them, by the definition of a class; but
*which units* respond may still depend on the image chosen, and then a model over C, S and T
need not exist (section 2.4 of the paper takes it for granted).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scm.errors import GraphError, InterventionError
from scm.estimators.partitions import Array
from scm.mechanisms.tabular import Tabular
from scm.model import SCM

if TYPE_CHECKING:
    from scm.estimators.visual_causes import VisualCauses

__all__ = ["class_means", "macro_model", "responses"]

Codes = npt.NDArray[np.int64]


def macro_model(causes: VisualCauses, hidden: str) -> SCM:
    """The model over {C, S, T}; see `VisualCauses.macro_model`."""
    (cause, correlate), target = causes.names, causes.target
    if hidden in (cause, correlate, target):
        raise GraphError(
            f"hidden={hidden!r} names one of {cause}, {correlate} and {target}; give their common "
            "cause a name of its own"
        )
    c, s = np.array(causes.pairs).T
    both = _with_target(causes)
    table = responses(causes)
    if table is None:
        table = _alike(causes, both)
    table[np.arange(len(c)), c] = both / both.sum(-1, keepdims=True)
    mechanisms = {
        hidden: Tabular(both.sum(-1), levels=[f"{c},{s}" for c, s in causes.pairs]),
        cause: Tabular(np.eye(c.max() + 1)[c]),
        correlate: Tabular(np.eye(s.max() + 1)[s]),
        target: Tabular(table, levels=causes.joint.levels[target]),
    }
    edges = f"{hidden} -> {cause}, {correlate}, {target}; {cause} -> {target}"
    return SCM(edges, mechanisms, latent=[hidden])


def responses(causes: VisualCauses) -> Array | None:
    r"""How the units of each cell (c, s) respond to each class, :math:`P(T_{man(i)} \mid c, s)`.

    By :math:`T_{man(i)} \perp I \mid PA_I`, it is
    :math:`\sum_{pa} P(T \mid man(i), pa) P(pa \mid c, s)`.

    Returns:
        `(cells, classes, levels of T)`, or None where :math:`P(T \mid man(i), pa)` differs
        between the images i of a class.
    """
    joint, image, target = causes.joint, causes.image, causes.target
    parents = joint.graph.parents(image)
    n, levels = len(joint.levels[image]), len(joint.levels[target])
    after: Array = np.asarray(joint.table(target, *parents, do=image).values).reshape(n, levels, -1)
    seen: Array = np.asarray(joint.table(image, *parents).values).reshape(n, -1)
    there = seen.sum(0) > 0
    seen, after = seen[:, there], after[..., there] / seen.sum(0)[there]
    cell, label = _codes(causes)
    means = class_means(after, label)
    if np.abs(after - means[label]).max() > causes.tolerance:
        return None
    within = class_means(seen, cell)
    found: Array = np.einsum("ctz,kz->kct", means, within / within.sum(-1, keepdims=True))
    return found


def class_means(rows: Array, label: Codes) -> Array:
    """Mean of the rows `(n, ...)` of each label, `(labels, ...)`."""
    sums = np.zeros((label.max() + 1, *rows.shape[1:]))
    np.add.at(sums, label, rows)
    return sums / np.bincount(label).reshape(-1, *[1] * (rows.ndim - 1))


def _codes(causes: VisualCauses) -> tuple[Codes, Codes]:
    """Place of the cell (c, s) of each level among the pairs, and its c."""
    place = {pair: k for k, pair in enumerate(causes.pairs)}
    pairs = list(zip(causes.cause.values(), causes.correlate.values(), strict=True))
    return np.array([place[pair] for pair in pairs]), np.array([c for c, _ in pairs])


def _with_target(causes: VisualCauses) -> Array:
    """P(c, s, T), `(cells, levels of T)`."""
    rows: Any = np.asarray(causes.joint.table(causes.image, causes.target).values)
    both = np.zeros((len(causes.pairs), rows.shape[-1]))
    np.add.at(both, _codes(causes)[0], rows)
    return both


def _alike(causes: VisualCauses, both: Array) -> Array:
    """The responses, were all units of other classes to respond to a class alike.

    Raises:
        InterventionError: If P(T | do(c)) is outside its natural bounds: then none exist.
    """
    joint, (cause, correlate), target = causes.joint, causes.names, causes.target
    rows: Array = np.asarray(joint.table(target, do=causes.image).values)
    own = np.array([c for c, _ in causes.pairs])
    table = np.zeros((len(both), own.max() + 1, both.shape[-1]))
    for c, effect in enumerate(class_means(rows, _codes(causes)[1])):
        mine = both[own == c].sum(0)
        rest = effect - mine
        worst = int(rest.argmin())
        if rest[worst] < -causes.tolerance:
            event = f"{target}={joint.levels[target][worst]!r}"
            raise InterventionError(
                f"no model over {cause}, {correlate} and {target} has the effect of "
                f"{causes.image}: P({event} | do({cause}={c})) would be {effect[worst]:.4g}, below "
                f"its natural bound P({event}, {cause}={c}) = {mine[worst]:.4g}. Within class {c} "
                "it matters to a unit which image it sees, so that one set for all does less than "
                "their own; "
                f"ask the model itself about man({causes.image}=...)"
            )
        rest = rest.clip(min=0)
        table[own != c, c] = rest / rest.sum() if (own != c).any() else 0
    return table
