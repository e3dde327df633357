"""Networks of `torch.nn`: described by the arguments that make them, and made again.

An argument is read from the attribute of the same name, `bias` from whether there is one;
only what differs from the default is kept. Networks are made on torch's meta device,
without memory: their parameters are then compared with the tensors of the file and
replaced by them.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn

from scm.errors import MechanismError, ScmError, nearest
from scm.mechanisms.cgn_encoder import ImageEncoder
from scm.mechanisms.cgn_patches import PixelOdds

__all__ = ["describe", "is_known", "make"]

_CONTAINERS = {
    "Sequential": nn.Sequential,
    "ModuleList": nn.ModuleList,
    "ModuleDict": nn.ModuleDict,
}
_LAYERS = """
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d
    AdaptiveMaxPool3d AlphaDropout AvgPool1d AvgPool2d AvgPool3d BatchNorm1d BatchNorm2d
    BatchNorm3d Bilinear CELU ChannelShuffle CircularPad1d CircularPad2d CircularPad3d
    ConstantPad1d ConstantPad2d ConstantPad3d Conv1d Conv2d Conv3d ConvTranspose1d
    ConvTranspose2d ConvTranspose3d CosineSimilarity Dropout Dropout1d Dropout2d Dropout3d ELU
    Embedding EmbeddingBag FeatureAlphaDropout Flatten Fold GELU GLU GroupNorm Hardshrink
    Hardsigmoid Hardswish Hardtanh Identity InstanceNorm1d InstanceNorm2d InstanceNorm3d
    LPPool1d LPPool2d LPPool3d LayerNorm LeakyReLU Linear LocalResponseNorm LogSigmoid
    LogSoftmax MaxPool1d MaxPool2d MaxPool3d Mish PReLU PixelShuffle PixelUnshuffle RMSNorm
    ReLU ReLU6 ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d
    ReplicationPad2d ReplicationPad3d SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus
    Softshrink Softsign Tanh Tanhshrink Threshold Unflatten Unfold Upsample
    UpsamplingBilinear2d UpsamplingNearest2d ZeroPad1d ZeroPad2d ZeroPad3d
"""
# Where and how tensors are made, and other names of arguments that have an attribute.
_LEFT_OUT = {"device", "dtype", "_weight", "_freeze", "min_value", "max_value"}
_DEEPEST = 50


@cache
def _classes() -> dict[str, type[nn.Module]]:
    there = {name: getattr(nn, name, None) for name in _LAYERS.split()}
    known = {name: cls for name, cls in there.items() if cls is not None}
    return {**_CONTAINERS, **known, **{cls.__name__: cls for cls in (ImageEncoder, PixelOdds)}}


def _arguments(cls: Callable[..., nn.Module]) -> dict[str, Any]:
    """Names of the arguments of a layer, with their defaults."""
    kinds = inspect.Parameter
    return {
        name: p.default
        for name, p in inspect.signature(cls).parameters.items()
        if name not in _LEFT_OUT and p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
    }


def is_known(module: nn.Module) -> bool:
    """Whether every part of a module is of `torch.nn`, so that it can be described."""
    return all(_classes().get(type(m).__name__) is type(m) for m in module.modules())


def describe(
    module: nn.Module, encode: Callable[[Any], Any], decode: Callable[[Any], Any]
) -> dict[str, Any]:
    """Description of a module of `torch.nn`.

    Args:
        module: The module.
        encode: Writes the value of an argument.
        decode: Reads it again, for a trial.

    Raises:
        MechanismError: If the arguments cannot be read back from it, with the reason.
    """
    description = _describe(module, encode, 0)
    try:
        again = make(description, decode)
    except ScmError as error:
        raise MechanismError(f"its arguments cannot be read back: {error}") from error
    if _shapes(again) != _shapes(module):
        raise MechanismError(
            "its parameters are not those that its arguments make (weight_norm? parametrize? "
            "another tensor put in place?)"
        )
    return description


def _describe(module: nn.Module, encode: Callable[[Any], Any], depth: int) -> dict[str, Any]:
    cls = type(module)
    if _classes().get(cls.__name__) is not cls:
        raise MechanismError(f"it holds a {cls.__module__}.{cls.__qualname__}, not of torch.nn")
    changed = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    if changed or depth > _DEEPEST:
        why = "hooks or a forward of its own" if changed else "too many modules within modules"
        raise MechanismError(f"its {cls.__name__} has {why}")
    if cls.__name__ in _CONTAINERS:
        children = [(key, part) for key, part in module._modules.items() if part is not None]
        parts = [[key, _describe(part, encode, depth + 1)] for key, part in children]
        return {"class": cls.__name__, "parts": parts}
    arguments = {}
    for name, default in _arguments(cls).items():
        if not hasattr(module, name):
            raise MechanismError(f"its {cls.__name__} has no attribute {name!r}")
        value = getattr(module, name)
        value = value is not None if name == "bias" else value
        if type(value) is not type(default) or value != default:
            arguments[name] = encode(value)
    return {"class": cls.__name__, "arguments": arguments}


def make(description: Any, decode: Callable[[Any], Any]) -> nn.Module:
    """The described module on the meta device.

    Raises:
        ScmError: If it cannot be made.
    """
    with torch.device("meta"):
        return _make(description, decode, 0)


def _make(description: Any, decode: Callable[[Any], Any], depth: int) -> nn.Module:
    name = description["class"]
    cls = _classes().get(name) if isinstance(name, str) else None
    if cls is None:
        raise ScmError(f"{name!r:.60} is no layer of torch.nn; {nearest(name, _classes())}")
    if depth > _DEEPEST:
        raise ScmError("modules lie within modules too deep")
    if name not in _CONTAINERS:
        arguments = {key: decode(value) for key, value in description["arguments"].items()}
        wrong = [key for key in arguments if key not in _arguments(cls)]
        if wrong:
            raise ScmError(
                f"{name} has no argument {wrong[0]!r:.60} here; was the file saved with a newer "
                "torch?"
            )
        return _called(cls, arguments)
    parts = OrderedDict((key, _make(part, decode, depth + 1)) for key, part in description["parts"])
    if name == "ModuleList":
        return nn.ModuleList(parts.values())
    return nn.ModuleDict(parts) if name == "ModuleDict" else nn.Sequential(parts)


def _called(cls: type[nn.Module], arguments: dict[str, Any]) -> nn.Module:
    try:
        return cls(**arguments)
    except ScmError:
        raise
    except Exception as error:
        raise ScmError(f"{cls.__name__}({arguments!r:.100}): {error}") from error


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    tensors: dict[str, torch.Tensor] = dict(module.named_parameters(remove_duplicate=False))
    tensors |= dict(module.named_buffers(remove_duplicate=False))
    return {name: tensor.shape for name, tensor in tensors.items()}
