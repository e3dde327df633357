"""cdt and lingam, imported where they are used and kept from speaking to the user's program.

cdt probes for GPUs, prints, and replaces `warnings.formatwarning` when it is imported; both
raise warnings of their own and of what they import. All of that stays inside `quietly`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

from scm.errors import ScmError

__all__ = ["neighbour", "quietly"]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Inside, nothing is printed or warned of; afterwards the warnings' formatter is as before."""
    formatter = warnings.formatwarning
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        warnings.formatwarning = formatter


def neighbour(path: str) -> Any:
    """Import `package.module:name`.

    Raises:
        ScmError: If the package is not installed.

    Example:
        >>> neighbour("math:sqrt")(4.0)
        2.0
    """
    module, _, name = path.partition(":")
    try:
        with quietly():
            return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ScmError(
            f"{path} could not be imported ({error}); install it: pip install "
            "'neural-scm[discovery]'"
        ) from error
