"""Networks that come as programs: TorchScript, and what `torch.export` wrote."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scm.errors import ScmError

__all__ = ["Exported", "read_program"]


class Exported(nn.Module):
    """An exported program as a module; it has no training mode to switch.

    Args:
        program: A `torch.export.ExportedProgram`.
    """

    def __init__(self, program: Any) -> None:
        super().__init__()
        self.program = program.module()

    def train(self, mode: bool = True) -> Exported:
        """Itself: the mode was fixed when it was exported."""
        return self

    def forward(self, *inputs: Any) -> Any:
        """What the program returns."""
        return self.program(*inputs)


def read_program(path: str | Path) -> nn.Module:
    """Read a network from a file: an exported program (`.pt2`), or TorchScript (any other suffix).

    Nothing is unpickled: a program with parts that would have to be is refused.

    Raises:
        ScmError: If there is no such file, or it is neither.
    """
    path = Path(path)
    if not path.is_file():
        raise ScmError(f"there is no file {path}; expected a network as a program")
    try:
        if path.suffix == ".pt2":
            with _tensors_only():
                return Exported(torch.export.load(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's, of TorchScript
            network: nn.Module = torch.jit.load(str(path), map_location="cpu")
        return network
    except Exception as error:  # zipfile, pickle and torch have errors of their own
        reason = str(error).strip().split("\n")[0][:200]
        raise ScmError(
            f"{path} cannot be read as a program ({type(error).__name__}: {reason}); expected "
            "TorchScript, or a .pt2 file of torch.export.save without pickled parts. Of a network "
            "in Python, make its class and read its weights: scm.mechanisms.weights.load_into"
        ) from error


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Inside, `torch.load` reads tensors alone, whatever its caller asks it for."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
