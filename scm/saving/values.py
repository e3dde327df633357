"""What `Mechanism.config` may return, as JSON and tensors, and back.

Numbers, strings, None and lists stand for themselves. Anything else is a JSON object whose
`"$"` says what it is: tuples and dictionaries, numbers that are not finite, tensors (kept
beside the document under a key), node types, laws, transforms, networks of `torch.nn`,
functions by import path, and `given`, which `scm.load(path, functions=...)` has to supply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from torch import Tensor, distributions, nn
from torch.distributions import Distribution, transforms

from scm.errors import MechanismError, ScmError, nearest
from scm.mechanisms.noise import Law
from scm.mechanisms.types import Categorical, Image, NodeType, Real
from scm.saving import modules, paths

__all__ = ["GIVEN", "decode", "encode", "is_callable"]

GIVEN = {"$": "given"}
_DEEPEST = 50
_MOST_LEVELS = 2**20
_INTEGERS = 2**63
_TYPES: dict[str, type[NodeType]] = {"Real": Real, "Categorical": Categorical, "Image": Image}
_TRANSFORMS: dict[str, tuple[str, ...]] = {
    "AffineTransform": ("loc", "scale", "event_dim"),
    "ComposeTransform": ("parts",),
    "CumulativeDistributionTransform": ("distribution",),
    "ExpTransform": (),
    "PowerTransform": ("exponent",),
    "SigmoidTransform": (),
    "SoftplusTransform": (),
    "TanhTransform": (),
}
_InverseTransform = transforms._InverseTransform

Put = Callable[[Tensor], str]


@cache
def _families() -> dict[str, type[Distribution]]:
    there = {name: getattr(distributions, name) for name in distributions.__all__}
    return {
        name: cls
        for name, cls in there.items()
        if isinstance(cls, type) and issubclass(cls, Distribution)
    }


def is_callable(value: Any) -> bool:
    """Whether a value of a configuration is a function or module, and no law or transform."""
    known = (Law, Distribution, transforms.Transform, Tensor, NodeType)
    return callable(value) and not isinstance(value, known)


def encode(value: Any, put: Put, depth: int = 0) -> Any:
    """Write a value as JSON.

    Args:
        value: The value.
        put: Keeps a tensor and returns its key.
        depth: How deep in lists it lies.

    Raises:
        MechanismError: If it cannot be written, with the reason alone.
    """
    if depth > _DEEPEST:
        raise MechanismError("lists lie within lists too deep")
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, Tensor):
        return {"$": "tensor", "key": put(value)}
    if isinstance(value, (list, tuple)):
        items = [encode(item, put, depth + 1) for item in value]
        return items if isinstance(value, list) else {"$": "tuple", "items": items}
    if isinstance(value, Mapping):
        pairs = [[encode(k, put, depth + 1), encode(v, put, depth + 1)] for k, v in value.items()]
        return {"$": "dict", "items": pairs}
    if isinstance(value, NodeType):
        return _type(value, put, depth)
    if isinstance(value, (Law, Distribution)):
        return _law(value, put)
    if isinstance(value, transforms.Transform):
        return _transform(value, put, depth)
    if isinstance(value, nn.Module):
        description = modules.describe(
            value,
            lambda argument: encode(argument, put, depth + 1),
            lambda argument: decode(argument, {}),
        )
        return {"$": "module", **description}
    if callable(value):
        return {"$": "function", "path": paths.path_of(value)}
    raise MechanismError(f"a {type(value).__name__} has no form in a file")


def _number(value: float) -> Any:
    if isinstance(value, int):
        if abs(value) >= _INTEGERS:
            raise MechanismError(f"{value:.3e} has more than 64 bits")
        return int(value)
    return float(value) if math.isfinite(value) else {"$": "number", "value": repr(float(value))}


def _type(value: NodeType, put: Put, depth: int) -> dict[str, Any]:
    name = type(value).__name__
    if _TYPES.get(name) is not type(value):
        raise MechanismError(f"{value} is a node type of its own")
    if isinstance(value, Categorical):
        if value.size > _MOST_LEVELS:
            raise MechanismError(f"{value.size:,} levels are more than {_MOST_LEVELS:,}")
        names = () if isinstance(value.levels, int) else value.levels
        if not all(isinstance(n, (str, bool, int, float, np.generic)) for n in names):
            raise MechanismError("names of levels must be strings, numbers or booleans")
        return {"$": "type", "name": name, "levels": encode(value.levels, put, depth + 1)}
    described = {"$": "type", "name": name, "shape": list(value.event)}
    if isinstance(value, Image):
        described["range"] = [encode(end, put, depth + 1) for end in value.range]
    return described


def _law(value: Law | Distribution, put: Put) -> dict[str, Any]:
    law = value if isinstance(value, Law) else Law(value)
    name = law.family.__name__
    if _families().get(name) is not law.family:
        raise MechanismError(f"the distribution {name} is not of torch.distributions")
    parameters = {p: put(getattr(law, p)) for p in law.names}
    kind = "law" if law is value else "distribution"
    return {"$": kind, "family": name, "parameters": parameters}


def _transform(value: transforms.Transform, put: Put, depth: int) -> dict[str, Any]:
    if isinstance(value, _InverseTransform):
        return {"$": "inverse", "of": encode(value.inv, put, depth + 1)}
    name = type(value).__name__
    if name not in _TRANSFORMS or type(value) is not getattr(transforms, name):
        raise MechanismError(f"the transform {name} is not among {', '.join(_TRANSFORMS)}")
    arguments = {a: encode(getattr(value, a), put, depth + 1) for a in _TRANSFORMS[name]}
    return {"$": "transform", "name": name, "arguments": arguments}


def decode(value: Any, tensors: Mapping[str, Tensor], depth: int = 0) -> Any:
    """Read a value that `encode` wrote.

    Args:
        value: JSON.
        tensors: Tensors of the file by key.
        depth: How deep in lists it lies.

    Raises:
        ScmError: If it is nothing that `encode` writes, or an import path may not be followed.
    """
    if depth > _DEEPEST:
        raise ScmError("lists lie within lists too deep")

    def again(item: Any) -> Any:
        return decode(item, tensors, depth + 1)

    if isinstance(value, list):
        return [again(item) for item in value]
    if isinstance(value, int) and abs(value) >= _INTEGERS:
        raise ScmError("an integer has more than 64 bits")
    if not isinstance(value, dict):
        return value
    match value["$"]:
        case "tuple":
            return tuple(again(item) for item in value["items"])
        case "dict":
            return {again(k): again(v) for k, v in value["items"]}
        case "number":
            return float(value["value"])
        case "tensor":
            return tensors[value["key"]]
        case "type":
            return _read_type(value, again)
        case "law" | "distribution":
            parameters = {str(p): tensors[key] for p, key in value["parameters"].items()}
            law = _named(value["family"], _families())(**parameters, validate_args=False)
            return Law(law) if value["$"] == "law" else law
        case "inverse":
            return again(value["of"]).inv
        case "transform":
            _named(value["name"], _TRANSFORMS)
            arguments = {str(a): again(item) for a, item in value["arguments"].items()}
            return getattr(transforms, value["name"])(**arguments)
        case "module":
            return modules.make(value, again)
        case "function":
            return paths.follow(value["path"])
        case kind:
            raise ScmError(f"a value of kind {kind!r:.60} is unknown")


def _read_type(value: dict[str, Any], again: Callable[[Any], Any]) -> NodeType:
    cls = _named(value["name"], _TYPES)
    if cls is not Categorical:
        extra = [tuple(again(value["range"]))] if cls is Image else []
        kind: NodeType = cls(tuple(int(size) for size in value["shape"]), *extra)
        return kind
    levels = again(value["levels"])
    if isinstance(levels, bool) or not isinstance(levels, (int, tuple)):
        raise ScmError(f"{levels!r:.60} are no levels")
    if isinstance(levels, int) and levels > _MOST_LEVELS:
        raise ScmError(f"{levels:,} levels are more than {_MOST_LEVELS:,}")
    return Categorical(levels)


def _named(name: Any, table: Mapping[str, Any]) -> Any:
    if not isinstance(name, str) or name not in table:
        raise ScmError(f"{name!r:.60} is unknown; {nearest(name, table)}")
    return table[name]
