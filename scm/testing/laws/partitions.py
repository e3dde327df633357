r"""Laws of visual causes: partitions of an image by what it predicts and by what it causes.

They ask for two roles, the image I and the target T, in a model of the form
`H -> I, T; I -> T` with H hidden: `check(model, roles={"image": "I", "target": "T"})`.

The coarsening theorem is meant as its proof's auxiliary theorem has it: among *all* models
of that form, and among those with a given *causal* partition, almost all have a causal
partition that coarsens the observational one. The statement in the paper's text fixes the
*observational* partition instead, and is then false: the models with
:math:`P(T \mid I = 0) = P(T \mid I = 1)` form a surface, on almost all of which
:math:`P(T \mid man(I = 0)) \ne P(T \mid man(I = 1))`.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator

from scm.estimators.partitions import Partition, causal_partition, observational_partition
from scm.exact import Joint
from scm.graph import CausalGraph
from scm.testing.case import Case
from scm.testing.law import Subject
from scm.testing.laws.factorisation import TOLERANCE, ExactLaw

__all__ = ["SUPPLEMENT_B", "Coarsening", "CompleteDescription", "SmallestDescription"]

_MOST = 7


class _VisualLaw(ExactLaw):
    """A law about an image and a target."""

    trials = 0.1
    needs_coarsening = True

    def _applies(self, subject: Subject) -> str | None:
        if {"image", "target"} - set(subject.roles):
            return "name the nodes: check(model, roles={'image': ..., 'target': ...})"
        reason = super()._applies(subject)
        if reason:
            return reason
        image, target = subject.roles["image"], subject.roles["target"]
        graph = subject.graph
        graph.require(image, target)
        others = set(graph.parents(target)) - {image}
        if image not in graph.parents(target) or graph.descendants(image) & others:
            return f"the graph is not of the form H -> {image}, {target}; {image} -> {target}"
        if min(_chances(subject.joint, image).values()) <= 0:
            return f"a level of {image} has probability zero"
        observed, causal = _both(subject)
        if self.needs_coarsening and not causal.is_coarsening_of(observed):
            return "the causal partition does not coarsen the observational one"
        return None

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        return Case(sets={"image": (subject.roles["image"],), "target": (subject.roles["target"],)})

    def _violation(self, subject: Subject, case: Case) -> str | None:
        if not case.sets["image"] or not case.sets["target"]:
            return None
        return self._wrong(subject)

    def _wrong(self, subject: Subject) -> str | None:
        raise NotImplementedError


class Coarsening(_VisualLaw):
    r"""Almost surely, equal :math:`P(T \mid I)` means equal :math:`P(T \mid man(I))`.

    Almost surely among all models, or among those with a given causal partition. Theorem 5 as
    printed fixes the observational partition, and is then false.
    """

    name = "causal coarsening"
    statement = "the causal partition of I coarsens the observational one, for almost all models"
    source = "Chalupka, Perona and Eberhardt (2015), theorem 5 and its auxiliary theorem"
    needs_coarsening = False

    def _wrong(self, subject: Subject) -> str | None:
        observed, causal = _both(subject)
        if causal.is_coarsening_of(observed):
            return None
        return (
            f"the causal partition {causal} does not coarsen the observational {observed}: "
            "parameters that happen to cancel (a case of measure zero), or a wrong table"
        )


class CompleteDescription(_VisualLaw):
    r"""C and S keep all that I tells of T: :math:`P(T \mid I) = P(T \mid C, S)`."""

    name = "P(T | I) = P(T | C, S)"
    statement = "the visual cause C and the spurious correlate S keep all that I tells of T"
    source = "Chalupka, Perona and Eberhardt (2015), theorem 7.1"

    def _wrong(self, subject: Subject) -> str | None:
        observed, causal = _both(subject)
        return _insufficient(subject, causal.meet(observed))


class SmallestDescription(_VisualLaw):
    r"""No X with :math:`P(T \mid I) = P(T \mid X)` has less entropy than (C, S).

    Every function X of an image of up to seven levels is tried, 200 random ones of a larger.
    """

    name = "no smaller description"
    statement = "every X with P(T | I) = P(T | X) has entropy H(X) >= H(C, S)"
    source = "Chalupka, Perona and Eberhardt (2015), theorem 7.2"

    def _wrong(self, subject: Subject) -> str | None:
        observed, causal = _both(subject)
        chances = _chances(subject.joint, subject.roles["image"])
        best = causal.meet(observed).entropy(chances)
        for other in _functions(observed.levels):
            smaller = other.entropy(chances) < best - TOLERANCE
            if smaller and _insufficient(subject, other) is None:
                return f"{other} tells as much of T, in fewer bits"
        return None


def _table(spec: str) -> Joint:
    """A table of supplement B: P(T = 0 | H, I) in the order H = 0, then H = 1."""
    rows = [float(v) for v in spec.split()]
    graph = CausalGraph("H -> I; H, I -> T", latent=["H"])
    image = [[a, b, 1 - a - b] for a, b in ((0.3426, 0.1239), (0.3255, 0.5097))]
    target = [[[p, 1 - p] for p in rows[3 * h : 3 * h + 3]] for h in (0, 1)]
    return Joint(graph, {"H": [0.4572, 1 - 0.4572], "I": image, "T": target})


SUPPLEMENT_B = {
    "coarsening": _table("0.13 0.233 0.44 0.12 0.0332 0.1582"),
    "refinement": _table("0.123 0.883 0.44 0.321 0.0938 0.1582"),
    "incompatible": _table("0.13 0.233 0.05 0.12 0.0332 0.1141"),
}
"""The paper's three tables, by how its causal partition stands to the observational one.

The printed digits are rounded: classes agree within 2e-3. In the text of the paper their
order differs from that of the caption.
"""


def _both(subject: Subject) -> tuple[Partition, Partition]:
    image, target = subject.roles["image"], subject.roles["target"]
    joint = subject.joint
    return (
        observational_partition(joint, image=image, target=target),
        causal_partition(joint, image=image, target=target),
    )


def _chances(joint: Joint, image: str) -> dict[Hashable, float]:
    return {k: float(joint.prob({image: k})) for k in joint.levels[image]}


def _insufficient(subject: Subject, description: Partition) -> str | None:
    """Where P(T | X) differs from P(T | I), for X the number of the cell that holds i."""
    joint, image, target = subject.joint, subject.roles["image"], subject.roles["target"]
    chances = _chances(joint, image)
    for t in joint.levels[target]:
        rows = {i: float(joint.prob({target: t}, given={image: i})) for i in chances}
        for cell in description.cells:
            mass = sum(chances[i] for i in cell)
            mixed = sum(chances[i] * rows[i] for i in cell) / mass
            for i in cell:
                if abs(rows[i] - mixed) > 10 * TOLERANCE:
                    return f"P({target}={t!r} | {image}={i!r}) is {rows[i]:.10g}, not {mixed:.10g}"
    return None


def _functions(levels: tuple[Hashable, ...]) -> Iterator[Partition]:
    """Partitions of the levels: all of few, a random sample of many."""
    if len(levels) <= _MOST:
        yield from (Partition.by(dict(zip(levels, f, strict=True))) for f in _codes(len(levels)))
        return
    rng = random.Random("partitions")
    for _ in range(200):
        yield Partition.by({level: rng.randrange(len(levels)) for level in levels})


def _codes(n: int) -> Iterator[tuple[int, ...]]:
    """Every partition of n levels once: each code is at most one above those before it."""
    if not n:
        yield ()
        return
    for before in _codes(n - 1):
        for code in range(max(before, default=-1) + 2):
            yield (*before, code)
