"""Data sets: real images, read from disk or from a package."""

from scm.datasets.digits import Digits, digits

__all__ = ["Digits", "digits"]
