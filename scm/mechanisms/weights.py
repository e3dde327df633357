"""Reading the weights of networks that others trained: state dicts, never anything to unpickle."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from scm.errors import ScmError

__all__ = ["load_into", "read_state"]


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a state dict by name, from `.safetensors` or a file of `torch.save`.

    Of a checkpoint that holds more, such as Lightning's, its "state_dict" is read.

    Raises:
        ScmError: If there is no such file, it would have to be unpickled, or it holds
            anything but tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        raise ScmError(f"there is no file {path}; expected the weights of a network")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ScmError(
            f"{path} holds Python objects, which could run code of their own when unpickled; only "
            "tensors are read: save its state_dict() alone, or a .safetensors file"
        ) from error
    except Exception as error:  # zipfile, safetensors and torch have errors of their own
        raise ScmError(
            f"{path} cannot be read as weights ({type(error).__name__}: {error}); download it again"
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]  # a checkpoint of Lightning
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise ScmError(f"{path} holds a {type(state).__name__}; expected tensors by name")
    return dict(state)


def load_into(network: nn.Module, path: str | Path) -> None:
    """Load a network's parameters and buffers from a file.

    Raises:
        ScmError: If the file cannot be read, or its names or shapes are not the network's; each
            that differs is named, up to five.
    """
    state, wanted = read_state(path), network.state_dict()
    wrong = [f"{name} is missing" for name in wanted if name not in state]
    wrong += [f"{name} is unknown" for name in state if name not in wanted]
    wrong += [
        f"{name} has shape {tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if wrong:
        more = f", and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ScmError(
            f"{path} does not hold the weights of this {type(network).__name__}: "
            f"{'; '.join(wrong[:5])}{more}"
        )
    network.load_state_dict(state)
