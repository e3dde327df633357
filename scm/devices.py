"""Devices that were asked for, and whether this machine has them."""

from __future__ import annotations

from scm.errors import ScmError

__all__ = ["require_devices"]


def require_devices(*given: object) -> None:
    """Check that tensors can be put on each device among some arguments, such as those of `.to`.

    Args:
        *given: Devices or their names; what is neither is passed over.

    Raises:
        ScmError: If this machine has no such device, or nothing has that name.

    Example:
        >>> import torch
        >>> require_devices("cpu", torch.float64, None)
        >>> require_devices("gpu")
        Traceback (most recent call last):
        scm.errors.ScmError: tensors cannot be put on device='gpu' ...; this machine has cpu...
    """
    import torch

    for device in given:
        if not isinstance(device, (str, torch.device)):
            continue
        try:
            torch.empty(1, device=device)
        except (AssertionError, RuntimeError) as error:
            present = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
            present += ["mps"] * torch.backends.mps.is_available()
            said = str(error).splitlines()[0].rstrip(".")
            raise ScmError(
                f"tensors cannot be put on device={str(device)!r} ({said:.120}); this machine has "
                f"{', '.join(present)}: give one of these"
            ) from error
