"""The one place that imports torchvision.

Its wheel on PyPI is a CUDA build. Beside a CPU-only torch the compiled operators do not
load, and `import torchvision` dies since nobody has registered `torchvision::nms`. What is
used here (data sets, transforms, classifiers) needs the names of two operators, not the
operators; so they are registered first, where torchvision could not do it itself.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch

from scm.errors import ScmError

__all__ = ["torchvision"]

_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def torchvision(submodule: str = "") -> ModuleType:
    """Import torchvision, or one of its submodules.

    Args:
        submodule: Such as "datasets"; torchvision itself by default.

    Raises:
        ScmError: If torchvision is not installed.
    """
    _prepare()
    try:
        return importlib.import_module(f"torchvision.{submodule}".rstrip("."))
    except ImportError as error:
        raise ScmError(
            f"torchvision could not be imported ({error}); install it: "
            "pip install 'neural-scm[vision]'"
        ) from error


@functools.cache
def _prepare() -> torch.library.Library | None:
    """Register the operators that torchvision cannot; the library lives as long as the cache."""
    if "torchvision" in sys.modules:
        return None
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None or _operators_load(Path(found.origin).parent):
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + schema)
    return library


def _operators_load(package: Path) -> bool:
    for compiled in (*package.glob("_C*.so"), *package.glob("_C*.pyd")):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            return False
        return True
    return False
