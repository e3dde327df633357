"""Loading a generator and its attributes from Python files, for the command line."""

from __future__ import annotations

from scm.discovery.attributes import Attribute
from scm.errors import ScmError
from scm.loading import load_names
from scm.mechanisms.latent import LatentGenerator

__all__ = ["load_audit"]


def load_audit(generator: str, attributes: str) -> tuple[LatentGenerator, list[Attribute]]:
    """A generator and its attributes, each as `file.py:name`.

    Args:
        generator: A `LatentGenerator`, or a function without arguments that returns one.
        attributes: A list of `Attribute`, or a function of the generator that returns one.

    Raises:
        ScmError: If there is no such file or name, or it is something else.
    """
    found, listed = load_names(generator, attributes)
    if not isinstance(found, LatentGenerator) and callable(found) and not isinstance(found, type):
        found = found()
    if not isinstance(found, LatentGenerator):
        raise ScmError(
            f"{generator} is a {type(found).__name__}; expected an scm.mechanisms.LatentGenerator, "
            "or a function without arguments that returns one"
        )
    if callable(listed):
        listed = listed(found)
    if not isinstance(listed, (list, tuple)) or not all(isinstance(a, Attribute) for a in listed):
        raise ScmError(
            f"{attributes} is a {type(listed).__name__}; expected a list of "
            "scm.discovery.Attribute, or a function of the generator that returns one"
        )
    return found, list(listed)
