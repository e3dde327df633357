"""Reading the weights of networks that others trained: state dicts, never anything to unpickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from scm.errors import ScmError
from scm.mechanisms.pickled import read_pickled

__all__ = ["load_into", "read_state"]


def read_state(path: str | Path, source: str = "") -> dict[str, Tensor]:
    """Tensors of a state dict by name, from `.safetensors` or a file of `torch.save`.

    Of a checkpoint that holds more, such as Lightning's, its "state_dict" is read.

    Args:
        path: The file.
        source: What to take, and from where, if it is not there.

    Raises:
        ScmError: If there is no such file, it would have to be unpickled, or it holds
            anything but tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        raise ScmError(
            f"there is no file {path}; expected the weights of a network"
            + (f": take {source}, and give its path" if source else "")
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = read_pickled(path)
    except Exception as error:  # safetensors has errors of its own
        raise ScmError(
            f"{path} cannot be read as weights ({error!s:.300}); download it again, or save its "
            "state_dict() alone, or a .safetensors file: nothing but tensors by name is read"
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]  # a checkpoint of Lightning
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise ScmError(f"{path} holds a {type(state).__name__}; expected tensors by name")
    return dict(state)


def load_into(network: nn.Module, path: str | Path, source: str = "") -> None:
    """Load a network's parameters and buffers from a file.

    Args:
        network: The network, changed in place.
        path: The file.
        source: What to take, and from where, if it is not there.

    Raises:
        ScmError: If the file cannot be read, or its names or shapes are not the network's; each
            that differs is named, up to five.
    """
    state, wanted = read_state(path, source), network.state_dict()
    wrong = [f"{name} is missing" for name in wanted if name not in state]
    wrong += [f"{name} is unknown" for name in state if name not in wanted]
    wrong += [
        f"{name} has shape {tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    wrong += [
        f"{name} is {state[name].dtype}, expected {tensor.dtype}"
        for name, tensor in wanted.items()
        if name in state and state[name].is_complex() != tensor.is_complex()
    ]
    if wrong:
        more = f", and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ScmError(
            f"{path} does not hold the weights of this {type(network).__name__}: "
            f"{'; '.join(wrong[:5])}{more}"
        )
    network.load_state_dict(state)
