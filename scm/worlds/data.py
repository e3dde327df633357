"""Reading what a person calls data: mappings, data frames, and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scm.errors import InterventionError, ScmError
from scm.worlds.acts import unknown
from scm.worlds.program import Program

__all__ = ["named", "read"]


def named(values: Any, keywords: Mapping[str, Any], verb: str) -> dict[str, Any]:
    """Join the mapping and the keywords that a verb was called with.

    Raises:
        InterventionError: If there is nothing, or not a mapping, or a name given twice.
    """
    if values is None:
        values = {}
    if not isinstance(values, Mapping):
        raise InterventionError(
            f"{verb}({type(values).__name__}) was called; expected keywords, {verb}(X=1.0), or a "
            f"mapping, {verb}({{'X': 1.0}})"
        )
    twice = set(values) & set(keywords)
    if twice or not (values or keywords):
        what = f"{sorted(twice)} twice" if twice else "nothing"
        raise InterventionError(f"{verb} was given {what}; give each node once, as {verb}(X=...)")
    return {**values, **keywords}


def read(data: Any, program: Program, verb: str) -> tuple[dict[str, Tensor], Tensor]:
    """Columns of the data as tensors `(n, *event)` by node, and the units' ids `(n,)`.

    Raises:
        InterventionError: If a column is no node, has another shape or length, or holds NaN.
    """
    columns = _columns(data, verb)
    unknown(list(columns), program.graph.nodes, verb)
    if not columns:
        raise InterventionError(f"{verb} was given no columns; expected one for each observed node")
    tensors: dict[str, Tensor] = {}
    for name, column in columns.items():
        kind = program.mechanisms[name].type
        try:
            tensor = kind.encode(_array(column), program.like)
        except ScmError as error:
            raise InterventionError(f"{verb}, column {name!r}: {error}") from error
        if tensor.ndim != 1 + len(kind.event):
            raise InterventionError(
                f"{verb}, column {name!r} has shape {tuple(tensor.shape)}; expected rows "
                f"{('n', *kind.event)} of {kind}"
            )
        # Later changes of the person's own tensors are none of ours.
        tensors[name] = tensor.clone() if isinstance(column, Tensor) else tensor
    lengths = {name: len(t) for name, t in tensors.items()}
    if len(set(lengths.values())) > 1:
        raise InterventionError(f"{verb} was given columns of different lengths: {lengths}")
    n = next(iter(lengths.values()))
    if n == 0:
        raise InterventionError(f"{verb} was given no rows")
    ids = getattr(data, "ids", None)
    return tensors, ids if isinstance(ids, Tensor) and len(ids) == n else torch.arange(n)


def _columns(data: Any, verb: str) -> dict[str, Any]:
    if getattr(data, "worlds", ()) or getattr(data, "draws", None):
        raise InterventionError(
            f"{verb} was given samples of several worlds or draws; pick one with .world(...)"
        )
    if isinstance(data, Mapping):
        return dict(data)
    if hasattr(data, "columns") and hasattr(data, "__getitem__"):
        return {name: data[name] for name in data.columns}
    raise InterventionError(
        f"{verb}({type(data).__name__}) was called; expected a mapping from node to values, a data "
        "frame, or Samples"
    )


def _array(column: Any) -> Any:
    if isinstance(column, Tensor) or not hasattr(column, "to_numpy"):
        return column
    array = column.to_numpy()
    cells: Sequence[Any] = array
    if array.dtype == object and len(cells) and isinstance(cells[0], (np.ndarray, list)):
        return np.stack([np.asarray(cell) for cell in cells])
    return array
