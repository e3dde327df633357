"""The laws of causality, for testing models: this library's and your own.

`check(model)` tries every law that applies on random cases and reports the smallest
counterexample of each that fails. A test of your own model is two lines:

    from scm.testing import assert_lawful

    def test_model():
        assert_lawful(model)

and `scm check file.py:model` prints the same table. `scm.testing.strategies` draws random
graphs, models and acts for Hypothesis (`pip install 'neural-scm[test]'`); nothing else here
needs it.

A law that fails names a broken promise: noise that depends on the act, a mechanism that
reads what is not its parent, randomness of its own, a writer that changes what it keeps. A
law that holds is no proof: cases are drawn, and each law on samples states how often it
would accuse a model that obeys it.
"""

from __future__ import annotations

from scm.testing.checking import Report, Result, assert_lawful, check
from scm.testing.law import Counterexample, Law, Subject
from scm.testing.laws import LAWS

__all__ = [
    "LAWS",
    "Counterexample",
    "Law",
    "Report",
    "Result",
    "Subject",
    "assert_lawful",
    "check",
]
