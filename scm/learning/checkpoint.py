"""Checkpoints of trainings: written whole or not at all, read without unpickling code."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.mechanisms.pickled import read_pickled

__all__ = ["digest_of", "fingerprint", "read_checkpoint", "write_checkpoint"]


def fingerprint(network: nn.Module, also: str = "") -> str:
    """A digest of a network's weights, for the identity of a training that looks through it."""
    digest = hashlib.sha256(also.encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        flat = tensor.detach().cpu().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def digest_of(*tensors: Tensor) -> str:
    """SHA-256 of the bytes of tensors, for the identity of a training on them."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_checkpoint(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write tensors, numbers and text in nested mappings and lists, in place of an older file.

    Raises:
        ScmError: If the disk refuses; the older file is then still there.
    """
    target = Path(path)
    beside = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        torch.save(dict(state), beside)
        os.replace(beside, target)
    except (OSError, RuntimeError) as error:
        raise ScmError(
            f"the checkpoint could not be written to {target} ({error}); nothing was changed "
            "there. Choose a folder that exists, may be written, and has room"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def read_checkpoint(path: str | os.PathLike[str], identity: Mapping[str, str]) -> dict[str, Any]:
    """Read a checkpoint back.

    Args:
        path: Where it is.
        identity: What the training is; must equal what was written as ``state["identity"]``.

    Raises:
        ScmError: If the file is damaged, or is another training's.
    """
    try:
        state: dict[str, Any] = read_pickled(Path(path))
        written = dict(state["identity"])
    except Exception as error:
        raise ScmError(
            f"the checkpoint {os.fspath(path)} cannot be read ({error!s:.300}); delete it to begin "
            "again"
        ) from error
    other = {
        key for key in written.keys() | identity.keys() if written.get(key) != identity.get(key)
    }
    if other:
        shown = "; ".join(f"{k} was {written.get(k)}, is {identity.get(k)}" for k in sorted(other))
        raise ScmError(
            f"the checkpoint {os.fspath(path)} is another training's ({shown}); delete it, or give "
            "the path of another"
        )
    return state
