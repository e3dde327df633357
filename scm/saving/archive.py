"""The file itself: written whole or not at all, and read only if nothing in it has changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from scm.errors import ScmError

__all__ = ["FORMAT", "checksum", "read", "write"]

FORMAT = "scm-model 1"
_LONGEST = 2**24
_KEYS = {"format", "model", "sha256"}


def checksum(document: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a document and of the names, dtypes, shapes and bytes of tensors."""
    digest = hashlib.sha256(f"{FORMAT}\0{len(document)}\0{document}".encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        flat = tensor.contiguous().as_strided((tensor.numel(),), (1,))
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write(path: str | os.PathLike[str], document: str, tensors: Mapping[str, Tensor]) -> None:
    """Write a file beside the wanted one, then put it in its place.

    Raises:
        ScmError: If the document is too long, or the disk refuses.
    """
    if len(document) > _LONGEST:
        raise ScmError(
            f"the description of the model takes {len(document):,} characters, and {_LONGEST:,} "
            "are the most; return long lists as tensors from config()"
        )
    target = Path(os.path.realpath(path))
    ready = _apart(tensors)
    metadata = {"format": FORMAT, "model": document, "sha256": checksum(document, ready)}
    beside = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        save_file(ready, beside, metadata)
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, target)
    except (OSError, SafetensorError) as error:
        raise ScmError(
            f"the model could not be written to {path} ({error}); nothing was changed there. "
            "Choose a folder that exists, may be written, and has room"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Dense tensors on the CPU that share no memory, as the format wants them."""
    ready: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        where = tensor.untyped_storage().data_ptr()
        ready[name] = tensor.clone() if where in seen else tensor
        seen.add(where)
    return ready


def read(path: str | os.PathLike[str]) -> tuple[str, dict[str, Tensor]]:
    """Document and tensors of a file.

    Raises:
        ScmError: If there is no such file, or it is none that `write` wrote, or it was cut
            off or altered since.
    """
    _check_magic(path)
    try:
        with safe_open(os.fspath(path), framework="pt", device="cpu") as file:
            metadata = dict(file.metadata() or {})
            _check_format(path, metadata)
            # The file is mapped into memory; a copy outlives what happens to it.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        same = metadata["sha256"] == checksum(metadata["model"], tensors)
    except ScmError:
        raise
    except Exception as error:
        raise ScmError(
            f"{path} is cut off, damaged, or no safetensors file ({error}); fetch the file again, "
            "or save the model again"
        ) from error
    if not same:
        raise ScmError(
            f"{path} was altered since it was saved: its checksum does not match; fetch the file "
            "again, or save the model again"
        )
    return metadata["model"], tensors


def _check_magic(path: str | os.PathLike[str]) -> None:
    try:
        if not Path(path).is_file():
            what = "is not a file" if Path(path).exists() else "does not exist"
            raise ScmError(f"{path} {what}; give the path that model.save(path) wrote")
        with open(path, "rb") as file:
            head = file.read(9)
    except (OSError, ValueError) as error:
        if isinstance(error, ScmError):
            raise
        raise ScmError(f"{path} cannot be read ({error}); check the path and its rights") from error
    pickled = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if (pickled or head[:4] == b"PK\x03\x04") and head[8:9] != b"{":
        raise ScmError(
            f"{path} is a pickle or a checkpoint of torch.save, and reading it would need "
            "unpickling: it can run code. Write the model with model.save(path), or load a "
            "state_dict with torch.load(path, weights_only=True) into a model made from code"
        )


def _check_format(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> None:
    given = metadata.get("format")
    if not str(given).startswith("scm-model") or not metadata.keys() >= _KEYS:
        raise ScmError(
            f"{path} is a safetensors file, but not a saved model; write one with "
            "model.save(path), or read its tensors with safetensors.torch.load_file(path)"
        )
    if given != FORMAT:
        raise ScmError(
            f"{path} has the format {given!r:.40}, and this version of scm reads {FORMAT!r}; "
            "load it with the version that saved it, or save it again from there"
        )
    if metadata.keys() != _KEYS or len(metadata["model"]) > _LONGEST:
        raise ScmError(f"{path} holds more than SCM.save writes; fetch the file again")
