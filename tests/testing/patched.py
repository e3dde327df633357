"""Engines that are broken in one place, each a context that gives a model without a defect."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

import scm
from scm.worlds.acts import Natural
from scm.worlds.evaluation import Evaluation
from scm.worlds.program import Program
from scm.worlds.samples import Samples

from .broken import KINDS, breaks, chain

__all__ = ["KINDS"]


@contextlib.contextmanager
def patched(owner: Any, name: str, new: Any) -> Iterator[scm.SCM]:
    old = getattr(owner, name)
    setattr(owner, name, new(old))
    try:
        yield chain()
    finally:
        setattr(owner, name, old)


@breaks("a sweep equals its loop")
def sweep_that_mixes_its_worlds():
    def new(old):
        def act(self, node, given, parents):
            value = old(self, node, given, parents)
            swept = given is not None and given.sweep is not None
            return value.flip(self.layout.axis(given.sweep)) if swept else value

        return act

    return patched(Evaluation, "_act", new)


@breaks("a sweep equals its loop")
def sweep_without_a_natural_world():
    def new(old):
        def rule(self, node, given, parents, natural, at=None):
            if isinstance(given, Natural):
                return torch.zeros_like(natural())
            return old(self, node, given, parents, natural, at)

        return rule

    return patched(Evaluation, "_rule", new)


@breaks("effectiveness")
def act_without_effect():
    def new(old):
        return lambda self, node, given, parents: old(self, node, None, parents)

    return patched(Evaluation, "_act", new)


@breaks("disjoint interventions commute")
def later_acts_undo_earlier_ones():
    def new(old):
        return lambda self, acts: replace(old(self, acts), acts={a.node: a for a in acts})

    return patched(Program, "with_acts", new)


@breaks("composition")
def act_by_unit_moves_the_units():
    def new(old):
        def placed(self, node, given, kind, at):
            return old(self, node, given, kind, at).roll(1, -1)

        return placed

    return patched(Evaluation, "place", new)


@breaks("reversibility")
def feedback():
    """Y under do(W) is W's mirror image, and W under do(Y) agrees with it."""

    def new(old):
        def get(self, key):
            value = old(self, key)
            acts = getattr(self.program, "acts", {})
            return value + 1 if key == "C" and len(acts) == 1 and "B" in acts else value

        return get

    return patched(Samples, "__getitem__", new)
