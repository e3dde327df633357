"""ID* and IDC*: against every world of every unit, counted out; and the literature's examples."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from scm.errors import GraphError, NotIdentifiedError
from scm.exact import Joint
from scm.graph import CausalGraph

from .models import named_latents, random_admg


class Units:
    """A random discrete model as its units: each is the noise of all nodes, with a probability.

    Every observed node is a random function of its parents and of noise of its own.
    """

    def __init__(self, graph: CausalGraph, rng: np.random.Generator, noise: int = 3):
        self.graph = named_latents(graph)
        self.order = self.graph.topological_order()
        hidden = set(self.graph.latent)
        self.law = {n: rng.dirichlet(np.full(2 if n in hidden else noise, 2.0)) for n in self.order}
        self.functions = {
            n: rng.integers(0, 2, (2,) * len(self.graph.parents(n)) + (noise,))
            for n in self.order
            if n not in hidden
        }

    def world(self, noise: dict[str, int], do: dict[str, int]) -> dict[str, int]:
        values: dict[str, int] = {}
        for n in self.order:
            if n in do:
                values[n] = do[n]
            elif n not in self.functions:
                values[n] = noise[n]
            else:
                parents = tuple(values[p] for p in self.graph.parents(n))
                values[n] = int(self.functions[n][(*parents, noise[n])])
        return values

    def chance(self, *worlds: tuple[dict[str, int], dict[str, int]]) -> float:
        total = 0.0
        for codes in product(*(range(len(self.law[n])) for n in self.order)):
            noise = dict(zip(self.order, codes, strict=True))
            if all(
                all(found[n] == k for n, k in event.items())
                for event, found in ((e, self.world(noise, do)) for e, do in worlds)
            ):
                total += float(np.prod([self.law[n][k] for n, k in noise.items()]))
        return total

    def joint(self) -> Joint:
        tables = {}
        for n in self.order:
            if n not in self.functions:
                tables[n] = self.law[n]
            else:
                onehot = np.eye(2)[self.functions[n]]  # (*parents, noise, 2)
                tables[n] = np.einsum("...un,u->...n", onehot, self.law[n])
        return Joint(self.graph, tables)


def positive_units(graph: CausalGraph, rng: np.random.Generator) -> Units:
    """Units whose tables have no zero, so that every condition occurs."""
    while True:
        units = Units(graph, rng)
        joint = units.joint()
        rows = (joint.table(n, given=joint.graph.parents(n)).values for n in units.functions)
        if all((row > 0).all() for row in rows):
            return units


def check(graph, worlds, given, rng, repeats=2) -> bool:
    """Return whether it is identified; then the formula must equal the count."""
    try:
        estimand = graph.identify_counterfactual(worlds, given=given)
    except NotIdentifiedError:
        return False
    except GraphError:  # the condition contradicts itself
        return False
    for _ in range(repeats):
        units = positive_units(graph, rng)
        below = units.chance(*given) if given else 1.0
        if below < 1e-9:
            continue
        truth = units.chance(*worlds, *given) / below
        assert estimand.evaluate(units.joint()) == pytest.approx(truth, abs=1e-9), str(estimand)
    return True


def random_world(graph, rng, most=2):
    names = list(graph.nodes)
    event = {n: int(rng.integers(2)) for n in rng.permutation(names)[: rng.integers(1, most + 1)]}
    act = {n: int(rng.integers(2)) for n in rng.permutation(names)[: rng.integers(0, 2)]}
    return {str(n): v for n, v in event.items()}, {str(n): v for n, v in act.items()}


def random_query(rng):
    graph = random_admg(rng, 3, edge=0.6, confounded=0.2)
    worlds = [random_world(graph, rng, 1) for _ in range(rng.integers(1, 4))]
    given = [random_world(graph, rng, 1) for _ in range(rng.integers(0, 3))]
    return graph, worlds, given


@pytest.mark.parametrize("seed", range(10))
def test_formulas_equal_the_count(seed):
    rng = np.random.default_rng(seed)
    assert sum(check(*random_query(rng), rng, repeats=1) for _ in range(10)) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 400))
def test_formulas_equal_the_count_at_length(seed):  # 300 x 10 queries, five minutes
    rng = np.random.default_rng(seed)
    for _ in range(10):
        check(*random_query(rng), rng, repeats=1)


def test_the_treated():
    rng = np.random.default_rng(0)
    bow, back = CausalGraph("X -> Y; X <-> Y"), CausalGraph("Z -> X, Y; X -> Y")
    treated = bow.identify_counterfactual({"Y": 1}, do={"X": 1}, given={"X": 1})
    assert str(treated) == "P(Y[X=1]=1 | X=1) = P(Y=1 | X=1)"
    with pytest.raises(NotIdentifiedError, match="the same noise is behind X, Y"):
        bow.identify_counterfactual({"Y": 1}, do={"X": 1}, given={"X": 0})
    assert check(back, [({"Y": 1}, {"X": 1})], [({"X": 0}, {})], rng)
    front = CausalGraph("X -> M -> Y; X <-> Y")
    assert check(front, [({"Y": 1}, {"X": 1})], [({"X": 0}, {})], rng)


def test_two_worlds_of_one_unit_are_not_identified():
    graph = CausalGraph("X -> Y")
    with pytest.raises(NotIdentifiedError, match=r"they need X=0 and X=1 at once"):
        graph.identify_counterfactual([({"Y": 1}, {"X": 1}), ({"Y": 0}, {"X": 0})])
    with pytest.raises(NotIdentifiedError, match=r"P\(Y\[X=1\]=1 \| X=0, Y=0\)"):
        graph.identify_counterfactual({"Y": 1}, do={"X": 1}, given={"X": 0, "Y": 0})


def test_figure_9_of_shpitser_and_pearl():
    # P(y_x | x', z_d, d): figure 9 (a) of the JMLR paper, whose formula it derives
    graph = CausalGraph("X -> W -> Y; D -> Z -> Y; X <-> Y")
    rng = np.random.default_rng(1)
    given = [({"X": 0}, {}), ({"Z": 1}, {"D": 0}), ({"D": 0}, {})]
    estimand = graph.identify_counterfactual([({"Y": 1}, {"X": 1})], given=given)
    assert str(estimand.expression) == ("[Σ_W P(X=0, Y=1 | do(W, Z=1)) P(W | do(X=1))] / P(X=0)")
    assert check(graph, [({"Y": 1}, {"X": 1})], given, rng, repeats=1)


def test_natural_effects():
    # Y with M as it would be under X=0, X set to 1, as a sum over m of two worlds
    graph, rng = CausalGraph("X -> M; X, M -> Y"), np.random.default_rng(2)
    for m in (0, 1):
        worlds = [({"Y": 1}, {"X": 1, "M": m}), ({"M": m}, {"X": 0})]
        assert check(graph, worlds, [], rng)
    confounded = CausalGraph("X -> M; X, M -> Y; M <-> Y")
    assert not check(confounded, [({"Y": 1}, {"X": 1, "M": 1}), ({"M": 1}, {"X": 0})], [], rng)


def test_effectiveness_and_contradictions():
    graph = CausalGraph("X -> Y; X <-> Y")
    certain = graph.identify_counterfactual({"X": 1}, do={"X": 1})
    assert str(certain) == "P(X[X=1]=1) = 1"
    never = graph.identify_counterfactual({"X": 0}, do={"X": 1})
    assert str(never) == "P(X[X=1]=0) = 0"
    consistency = [({"Y": 0}, {"X": 1}), {"X": 1, "Y": 1}]
    assert str(graph.identify_counterfactual(consistency).expression) == "0"
    with pytest.raises(GraphError, match="contradicts itself"):
        graph.identify_counterfactual({"Y": 1}, given=consistency)
    with pytest.raises(GraphError, match="two levels in one world"):
        graph.identify_counterfactual([{"Y": 1}, {"Y": 0}])


def test_bad_queries():
    graph = CausalGraph("H -> X; X -> Y; X => C", latent=["H"])
    with pytest.raises(GraphError, match="H is latent"):
        graph.identify_counterfactual({"H": 1})
    with pytest.raises(GraphError, match="did you mean 'X'"):
        graph.identify_counterfactual({"x": 1})
    with pytest.raises(GraphError, match="is an event, such as"):
        graph.identify_counterfactual(["Y"])
    with pytest.raises(GraphError, match="needs a level"):
        graph.identify_counterfactual({"Y": None})
    with pytest.raises(GraphError, match="leave out do="):
        graph.identify_counterfactual([({"Y": 1}, {"X": 1})], do={"X": 1})
    with pytest.raises(GraphError, match="no outcome"):
        graph.identify_counterfactual({})
    with pytest.raises(NotIdentifiedError, match=r"do\(C\) sets a macro-variable"):
        graph.identify_counterfactual({"Y": 1}, do={"C": 1})


def test_from_what_was_seen():
    # each experiment in the formula is identified in turn, from a margin or from data
    rng = np.random.default_rng(3)
    graph = CausalGraph("Z -> X, Y; X -> Y")
    units = positive_units(graph, rng)
    estimand = graph.identify_counterfactual({"Y": 1}, do={"X": 1}, given={"X": 0})
    truth = units.chance(({"Y": 1}, {"X": 1}), ({"X": 0}, {})) / units.chance(({"X": 0}, {}))
    joint = units.joint()
    assert estimand.evaluate(joint.observed()) == pytest.approx(truth, abs=1e-9)
    weights = joint.table("Z", "X", "Y").values.numpy().ravel()
    rows = rng.choice(8, size=50_000, p=weights)
    data = dict(zip("ZXY", np.unravel_index(rows, (2, 2, 2)), strict=True))
    assert estimand.evaluate(data) == pytest.approx(truth, abs=0.02)
    assert estimand.to_latex().startswith(r"P({Y}_{X=1}=1 \mid X=0) = \frac{\sum_{Z}")

    bow = CausalGraph("X -> Y; X <-> Y")
    refused = bow.identify_counterfactual({"Y": 1}, do={"X": 1})
    with pytest.raises(NotIdentifiedError) as error:
        refused.evaluate(positive_units(bow, rng).joint().observed())
    assert error.value.hedge is not None
