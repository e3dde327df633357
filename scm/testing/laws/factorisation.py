"""Laws that tie distributions to the graph: Markov, and truncated factorisation."""

from __future__ import annotations

import math
import random
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from torch.distributions import Normal

from scm.mechanisms.additive import Linear
from scm.mechanisms.mechanism import Mechanism
from scm.mechanisms.roots import Root
from scm.mechanisms.types import Real
from scm.testing.case import Case
from scm.testing.law import Law, Subject

__all__ = [
    "ExactMarkov",
    "Frequencies",
    "LinearMarkov",
    "Normalisation",
    "TruncatedFactorisation",
    "gaussian_reason",
]

TOLERANCE = 1e-9
MOST_CELLS = 4096
_ALARM = 1e-6


class ExactLaw(Law):
    """A law about the exact joint."""

    def _applies(self, subject: Subject) -> str | None:
        reason = subject.inexact
        return None if reason is None else f"no exact joint: {reason.split(';')[0]}"


class Normalisation(ExactLaw):
    r"""Probabilities add up under every act: :math:`\sum_y P(y \mid do(x), z) = 1`."""

    name = "probabilities sum to one"
    statement = "P(. | do(x), z) is a distribution: it is never negative and sums to one"
    source = "Pearl (2009), 1.1.2"

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        nodes = draw_sets(subject, rng, {"outcome": (1, 2), "do": (0, 2), "given": (0, 1)})
        return None if nodes is None else Case(sets=nodes)

    def _violation(self, subject: Subject, case: Case) -> str | None:
        outcome = case.sets["outcome"]
        if not outcome:
            return None
        do, given = case.sets["do"], case.sets["given"]
        table = subject.joint.table(*outcome, do=do, given=given)
        values = numbers(table).flatten(len(do) + len(given))
        total = values.sum(-1).nan_to_num(1.0)
        said = f"P({', '.join(outcome)} | {show(do, given)})"
        if float(values.nan_to_num(0.0).min()) < 0:
            return f"{said} has a negative entry, {float(values.min()):.6g}"
        worst = total.flatten()[(total - 1).abs().flatten().argmax()]
        off = abs(float(worst) - 1) > TOLERANCE
        return f"{said} sums to {float(worst):.10g}, not 1" if off else None


class TruncatedFactorisation(ExactLaw):
    r"""Under do(x), the other mechanisms stay: :math:`P(v \mid do(x)) = \prod_{i \notin X} P(v_i \mid pa_i)`."""  # noqa: E501

    name = "truncated factorisation"
    statement = "P(v | do(x)) is the product over V_i not in X of P(v_i | pa_i), 0 where v is not x"
    source = "Pearl (2009), equation 1.37"

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        levels = subject.joint.levels
        world = {v: rng.choice(levels[v]) for v in subject.graph.nodes}
        able = [v for v in world if not subject.graph.is_constitutive(v)]
        acts = rng.sample(able, rng.randint(0, min(2, len(able))))
        return Case(sets={"do": tuple(acts)}, levels=world)

    def _violation(self, subject: Subject, case: Case) -> str | None:
        graph, world, acts = subject.graph, case.levels, case.sets["do"]
        if set(world) != set(graph.nodes):
            return None
        product = 1.0
        for node in set(graph.nodes) - set(acts):
            table = subject.model.mechanisms[node].table()
            cell = tuple(
                subject.joint.levels[v].index(world[v]) for v in (*graph.parents(node), node)
            )
            product *= float(table[cell])
        do = {x: world[x] for x in acts}
        found = float(subject.joint.prob(world, do=do))
        if abs(found - product) <= TOLERANCE:
            return None
        return f"P(v | do({', '.join(acts)})) is {found:.10g}, the product is {product:.10g}"


class ExactMarkov(ExactLaw):
    r"""d-separation implies independence: :math:`X \perp_G Y \mid Z \Rightarrow P(y \mid x, z) = P(y \mid z)`."""  # noqa: E501

    name = "Markov"
    statement = "what the graph separates is independent: X _||_ Y | Z in G, P(y | x, z) = P(y | z)"
    source = "Verma and Pearl (1988); Pearl (2009), theorem 1.2.4"

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        for _ in range(40):
            sets = draw_sets(subject, rng, {"X": (1, 1), "Y": (1, 1), "Z": (0, 3)})
            if sets is not None and subject.graph.d_separated(sets["X"], sets["Y"], sets["Z"]):
                return Case(sets=sets)
        return None

    def _violation(self, subject: Subject, case: Case) -> str | None:
        xs, ys, zs = (case.sets[k] for k in "XYZ")
        if not xs or not ys or not subject.graph.d_separated(xs, ys, zs):
            return None
        left = numbers(subject.joint.table(*ys, given=(*zs, *xs)))
        right = numbers(subject.joint.table(*ys, given=zs))
        right = right.reshape(*right.shape[: len(zs)], *(1,) * len(xs), *right.shape[len(zs) :])
        return unequal(left, right, f"P(y | x, z) for y={ys}, x={xs}, z={zs}", "P(y | z)")


class Frequencies(ExactLaw):
    r"""Sampling agrees with the exact joint: frequencies under do(x) are :math:`P(v \mid do(x))`.

    A frequency off by more than z standard errors, plus 2/n, is an error, with z set for a
    false alarm in at most one case in 100,000 (by Bernstein's inequality).
    """

    name = "samples follow the joint"
    statement = "the share of units with Y = y under do(X = x) is P(y | do(x)), up to chance"
    source = "law of large numbers; Bernstein (1924) for the limit"
    false_alarm = 1e-5
    trials = 0.5
    units = 4000

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        levels = subject.joint.levels
        able = [v for v in levels if not subject.graph.is_constitutive(v)]
        acts = rng.sample(able, rng.randint(0, min(1, len(able))))
        left = [v for v in levels if v not in acts]
        names = [*acts, *rng.sample(left, min(2, len(left)))]
        if len(names) == len(acts):
            return None
        event = {v: rng.choice(levels[v]) for v in names}
        return Case(sets={"do": tuple(acts)}, levels=event, n=self.units, seed=rng.randrange(10**6))

    def _violation(self, subject: Subject, case: Case) -> str | None:
        acts = [x for x in case.sets["do"] if x in case.levels]
        event = {v: k for v, k in case.levels.items() if v not in acts}
        if not event or case.n != self.units:
            return None
        do = {x: case.levels[x] for x in acts}
        model = subject.model
        codes = {v: subject.joint.levels[v].index(k) for v, k in case.levels.items()}
        view = model.do({x: codes[x] for x in acts}) if acts else model
        units = view.sample(case.n, case.seed)
        hits = torch.stack([units[v] == codes[v] for v in event]).all(0)
        p, share = float(subject.joint.prob(event, do=do)), float(hits.double().mean())
        # Bernstein: P(|share - p| > t) <= 2 exp(-n t^2 / (2 p (1 - p) + 2 t / 3)).
        a = math.log(2 / self.false_alarm) / case.n
        limit = a / 3 + math.sqrt(a * a / 9 + 2 * a * p * (1 - p))
        if abs(share - p) <= limit:
            return None
        return (
            f"P({event} | do({do})) is {p:.4f}, but {share:.4f} of the units have it; chance "
            f"explains {limit:.4f}"
        )


class LinearMarkov(Law):
    r"""In a linear Gaussian model, d-separation implies a partial correlation of zero.

    Sampled: :math:`\sqrt{n - |Z| - 3}\ \mathrm{artanh}(r_{xy.z})` is standard normal, and an
    error where it exceeds the quantile of one false alarm in a million.
    """

    name = "Markov, sampled"
    statement = "X _||_ Y | Z in G implies partial correlation zero (Fisher's z; linear Gaussian)"
    source = "Fisher (1924); Spirtes, Glymour and Scheines (2000), 3.8"
    false_alarm = _ALARM
    units = 4000

    def _applies(self, subject: Subject) -> str | None:
        return gaussian_reason(subject)

    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        seed = rng.randrange(10**6)
        for _ in range(40):
            sets = draw_sets(subject, rng, {"X": (1, 1), "Y": (1, 1), "Z": (0, 3)})
            if sets is not None and subject.graph.d_separated(sets["X"], sets["Y"], sets["Z"]):
                return Case(sets=sets, n=self.units, seed=seed)
        return None

    def _violation(self, subject: Subject, case: Case) -> str | None:
        xs, ys, zs = (case.sets[k] for k in "XYZ")
        wrong = not xs or not ys or case.n != self.units
        if wrong or not subject.graph.d_separated(xs, ys, zs):
            return None
        units = subject.model.sample(case.n, case.seed)
        columns = np.stack([units[v].double().cpu().numpy() for v in (*zs, *xs, *ys)], -1)
        columns = columns - columns.mean(0)
        given, pair = columns[:, : len(zs)], columns[:, len(zs) :]
        if zs:
            pair = pair - given @ np.linalg.lstsq(given, pair, rcond=None)[0]
        norms = np.linalg.norm(pair, axis=0)
        if (norms <= 1e-6 * np.linalg.norm(columns[:, len(zs) :], axis=0)).any():
            return None  # a node is determined by Z
        r = float(np.clip(pair[:, 0] @ pair[:, 1] / norms.prod(), -0.999999, 0.999999))
        z = math.sqrt(case.n - len(zs) - 3) * math.atanh(r)
        limit = NormalDist().inv_cdf(1 - self.false_alarm / 2)
        if abs(z) <= limit:
            return None
        return (
            f"the graph separates {xs[0]} and {ys[0]} given {list(zs)}, but their partial "
            f"correlation is {r:.3f} (z = {z:.1f}, limit "
            f"{limit:.1f}): a mechanism reads what is no parent, or noise is shared"
        )


def gaussian_reason(subject: Subject) -> str | None:
    """Why a model is not linear Gaussian with scalar nodes, None where it is."""
    for node, mechanism in subject.model.mechanisms.items():
        if not _gaussian(mechanism):
            return f"the model is not linear Gaussian: {node!r} is a {type(mechanism).__name__}"
    return None


def _gaussian(mechanism: Mechanism) -> bool:
    if mechanism.type != Real() or not isinstance(mechanism, (Linear, Root)):
        return False
    law = mechanism.law.distribution()
    plain = all(kind == Real() for kind in mechanism.parents.values())
    return plain and isinstance(law, Normal)


def draw_sets(
    subject: Subject, rng: random.Random, sizes: dict[str, tuple[int, int]]
) -> dict[str, tuple[str, ...]] | None:
    """Disjoint random sets of nodes, or None where they do not fit or are too large a table."""
    nodes = list(subject.graph.nodes)
    rng.shuffle(nodes)
    if subject.inexact is None:
        levels = subject.joint.levels
    else:
        levels = dict.fromkeys(nodes, ())
    found: dict[str, tuple[str, ...]] = {}
    for role, (least, most) in sizes.items():
        count = min(rng.randint(least, most), len(nodes))
        able = nodes
        if role == "do" or role.startswith("do "):
            able = [v for v in nodes if not subject.graph.is_constitutive(v)]
        found[role] = tuple(able[:count])
        if len(found[role]) < least:
            return None
        nodes = [v for v in nodes if v not in found[role]]
    cells = math.prod(max(1, len(levels[v])) for of in found.values() for v in of)
    return found if cells <= MOST_CELLS else None


def numbers(table: Any) -> torch.Tensor:
    """Values of a table as a float64 tensor."""
    return torch.as_tensor(table.values, dtype=torch.float64)


def unequal(left: torch.Tensor, right: torch.Tensor, what: str, other: str) -> str | None:
    """Say where two tables differ; entries that are NaN in one (a condition of 0) are left out."""
    left, right = torch.broadcast_tensors(left, right)
    gap = (left - right).abs().nan_to_num(0.0)
    if not gap.numel() or float(gap.max()) <= TOLERANCE:
        return None
    cell = int(gap.flatten().argmax())
    a, b = float(left.flatten()[cell]), float(right.flatten()[cell])
    return f"{what} is {a:.10g} in one cell, where {other} is {b:.10g}"


def show(do: tuple[str, ...], given: tuple[str, ...] = ()) -> str:
    """Text of a condition."""
    return ", ".join([*(f"do({x})" for x in do), *given]) or "nothing"
