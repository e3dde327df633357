"""Estimands: simplification, printing, evaluation on laws and data, and what data may lack."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from scm.errors import GraphError, InterventionError, NotIdentifiedError, ScmError
from scm.exact import Joint
from scm.graph import CausalGraph
from scm.graph.evaluation import Evaluator
from scm.graph.expression import ONE, Fraction, Probability, Product, Sum, Symbol
from scm.graph.independencies import IndependenceWarning
from scm.graph.simplification import distinct, simplify

from .models import random_admg, random_joint

BACK_DOOR = CausalGraph("Z -> X, Y; X -> Y")
A, B, C, X, Y = map(Symbol, "ABCXY")


def p(outcome, *given):
    return Probability(tuple(map(Symbol, outcome)), tuple(map(Symbol, given)))


def sampled(joint: Joint, names: str, n: int, seed: int) -> dict[str, np.ndarray]:
    table = joint.table(*names).values.numpy()
    rows = np.random.default_rng(seed).choice(table.size, size=n, p=table.ravel())
    return dict(zip(names, np.unravel_index(rows, table.shape), strict=True))


@pytest.fixture
def joint() -> Joint:
    return random_joint(BACK_DOOR, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (Sum((A,), p("AB", "C")), "P(B | C)"),
        (Sum((A, B), p("AB")), "1"),
        (Sum((A,), Product((p("A"), p("B", "C")))), "P(B | C)"),
        (Sum((A,), Product((p("B", "A", "C"), p("A", "C")))), "P(B | C)"),
        (Sum((A,), Product((p("B", "A", "C"), p("A")))), "Σ_A P(B | A, C) P(A)"),
        (Sum((A,), Product((p("C"), p("B", "A"), p("A", "X")))), "P(C) Σ_A P(B | A) P(A | X)"),
        (Fraction(p("AB", "C"), p("B", "C")), "P(A | B, C)"),
        (Fraction(Product((p("A"), p("B"))), p("A")), "P(B)"),
        (Fraction(p("A"), p("B")), "P(A) / P(B)"),
        (Product((ONE, Product((p("A"), ONE)))), "P(A)"),
        (Sum((A,), Sum((B,), p("ABC"))), "P(C)"),
    ],
)
def test_simplification(expression, expected):
    assert str(simplify(expression)) == expected


def test_simplification_by_the_graph():
    graph = CausalGraph("X -> A -> Y")
    chain = Sum((A,), Product((p("A", "X"), p("Y", "A"))))
    assert str(simplify(chain, graph.d_separated)) == "P(Y | X)"
    assert str(simplify(chain, CausalGraph([graph, "X -> Y"]).d_separated)) == str(chain)


@pytest.mark.parametrize("seed", range(20))
def test_simplification_keeps_the_value(seed):
    rng = np.random.default_rng(seed)
    graph = random_admg(rng, 4, confounded=0.1)
    law = Evaluator(random_joint(graph, rng))
    symbols = list(map(Symbol, graph.nodes))

    def draw(depth):
        kind = rng.integers(4) if depth else 0
        if kind == 0:
            order = [symbols[i] for i in rng.permutation(4)]
            k, m = rng.integers(1, 4), rng.integers(0, 3)
            return Probability(tuple(order[:k]), tuple(order[k : k + m]))
        if kind == 1:
            return Product(tuple(draw(depth - 1) for _ in range(rng.integers(1, 4))))
        if kind == 2:
            body = draw(depth - 1)
            bound = [s for s in symbols if s in body.free and rng.random() < 0.6]
            return Sum(tuple(bound), body) if bound else body
        return Fraction(draw(depth - 1), draw(depth - 1))

    for _ in range(40):
        expression = draw(3)
        for other in (
            simplify(expression), simplify(expression, graph.d_separated), distinct(expression)
        ):  # fmt: skip
            a, b = law.cells(expression), law.cells(other)
            order = sorted({*a.scope, *b.scope}, key=str)
            assert np.allclose(a.at(order), b.at(order), atol=1e-9), (str(expression), str(other))


def test_bound_symbols_do_not_capture():
    inner = Sum((X,), Product((p("X"), p("Y", "X"))))
    assert str(inner.substitute({Y: X})) == "Σ_X' P(X') P(X | X')"
    assert str(distinct(Product((p("X"), inner)))) == "P(X) Σ_X' P(X') P(Y | X')"


def test_latex():
    front = CausalGraph("X -> M -> Y; X <-> Y").identify("Y", do="X")
    assert front.to_latex() == (
        r"P(Y \mid do(X)) = \sum_{M} P(M \mid X) \sum_{X'} P(X') P(Y \mid X', M)"
    )
    assert front._repr_latex_() == f"${front.to_latex()}$"
    named = CausalGraph('"age (y)" -> X1').identify("X1", do="age (y)")
    assert named.to_latex() == r"P(X_{1} \mid do(\text{age (y)})) = P(X_{1} \mid \text{age (y)})"
    assert str(named) == 'P(X1 | do("age (y)")) = P(X1 | "age (y)")'


def test_sources_agree(joint):
    pd = pytest.importorskip("pandas")
    estimand = BACK_DOOR.identify("Y", do="X")
    truth = joint.table("Y", do="X").values.numpy()
    for law in (joint, joint.observed()):
        assert np.abs(estimand.evaluate(law).values - truth).max() < 1e-12
    data = sampled(joint, "ZXY", 20_000, 1)
    found = estimand.evaluate(data)
    assert np.abs(found.values - truth).max() < 0.02
    assert np.array_equal(estimand.evaluate(pd.DataFrame(data)).values, found.values)
    assert found.prob({"Y": 1}, do={"X": 1}) == found.values[1, 1]
    assert found.to_pandas()[(1, 1)] == found.values[1, 1]


def test_samples_are_data():
    import scm

    model = scm.SCM(
        "Z -> X; Z, X -> Y",
        Z=scm.Root.bernoulli(0.4),
        X=scm.Tabular([[0.8, 0.2], [0.3, 0.7]]),
        Y=scm.Tabular([[[0.9, 0.1], [0.6, 0.4]], [[0.7, 0.3], [0.2, 0.8]]]),
    )
    estimand = model.graph.identify("Y", do="X")
    truth = model.exact().prob({"Y": 1}, do={"X": 1}).item()
    found = estimand.evaluate(model.sample(20_000, seed=0))
    assert float(found.prob({"Y": 1}, do={"X": 1})) == pytest.approx(truth, abs=0.02)
    with pytest.raises(InterventionError, match="come from an act on X"):
        estimand.evaluate(model.do(X=1).sample(10, seed=0))


def test_the_bootstrap_covers(joint):
    estimand = BACK_DOOR.identify("Y", do="X")
    data = sampled(joint, "ZXY", 2000, 2)
    table = estimand.evaluate(data, bootstrap=200, seed=0)
    again = estimand.evaluate(data, bootstrap=200, seed=0)
    assert np.array_equal(table.stderr, again.stderr)
    estimate = table.estimate({"Y": 1}, do={"X": 1})
    assert (estimate.value, estimate.n) == (table.values[1, 1], 2000)
    assert estimate.stderr == pytest.approx(table.stderr[1, 1])
    with pytest.raises(ScmError, match="exact, not estimated"):
        estimand.evaluate(joint).estimate({"Y": 1}, do={"X": 1})
    assert table.stderr_of({"Y": 1}, do={"X": 1}) == pytest.approx(table.stderr[1, 1])
    spread = np.std(
        [estimand.evaluate(sampled(joint, "ZXY", 2000, s)).values for s in range(100, 200)], axis=0
    )
    assert np.allclose(table.stderr, spread, rtol=0.35)
    assert np.isnan(estimand.evaluate(data).stderr).all()
    with pytest.raises(ScmError, match="a law has no sampling error"):
        estimand.evaluate(joint, bootstrap=10)


def test_any_level_of_an_arbitrary_node_gives_the_value():
    rng = np.random.default_rng(3)
    graph = CausalGraph("W -> Z -> X -> Y; W <-> X; W <-> Y")
    joint = random_joint(graph, rng, levels=3)
    estimand = graph.identify("Y", do="X")
    cells = Evaluator(joint.observed()).cells(estimand.expression)
    values = cells.at([Symbol("X"), Symbol("Y"), Symbol("Z")])
    assert np.abs(values - values[:, :, :1]).max() < 1e-12
    truth = joint.table("Y", do="X").values.numpy()
    assert np.abs(estimand.evaluate(joint.observed()).values - truth).max() < 1e-12
    data = sampled(joint, "WZXY", 300, 4)
    data["X"][data["Z"] == 0] = 0  # at Z = 0 the formula is not defined, elsewhere it is
    table = estimand.evaluate(data, check=False)
    assert np.isfinite(table.values).all()


def test_positivity_is_named():
    data = {"Z": [0, 0, 1, 1, 1], "X": [0, 0, 0, 1, 1], "Y": [0, 1, 1, 0, 1]}
    table = BACK_DOOR.identify("Y", do="X").evaluate(data)
    assert table.prob({"Y": 1}, do={"X": 0}) == pytest.approx(0.4 * 0.5 + 0.6 * 1.0)
    with pytest.raises(NotIdentifiedError, match=r"positivity fails.*X=1, Z=0, which never occ"):
        table.prob({"Y": 1}, do={"X": 1})
    assert np.isnan(table.values[1]).all()
    # a level of Z that never occurs has no weight, and needs no units
    law = Joint(BACK_DOOR, {"Z": [0, 1], "X": np.full((2, 2), 0.5), "Y": np.full((2, 2, 2), 0.5)})
    assert BACK_DOOR.identify("Y", do="X").evaluate(law.observed()).prob({"Y": 1}, {"X": 1}) == 0.5


def test_bad_data(joint):
    pd = pytest.importorskip("pandas")
    estimand = BACK_DOOR.identify("Y", do="X")
    data = sampled(joint, "ZXY", 100, 5)
    with pytest.raises(InterventionError, match="'X' has no level 7; its levels are 0, 1"):
        estimand.evaluate(data).prob({"Y": 1}, do={"X": 7})
    with pytest.raises(GraphError, match="needs Z, which the source lacks"):
        estimand.evaluate({"X": data["X"], "Y": data["Y"]})
    with pytest.raises(ScmError, match="'Z' has 1 missing"):
        estimand.evaluate({**data, "Z": [None, *data["Z"][1:]]})
    with pytest.raises(ScmError, match="taken to be continuous"):
        estimand.evaluate({n: np.random.default_rng(0).normal(size=200) for n in "ZXY"})
    with pytest.raises(ScmError, match="one length"):
        estimand.evaluate({**data, "Z": data["Z"][:50]})
    with pytest.raises(ScmError, match="a law .* or data"):
        estimand.evaluate(3)
    frame = pd.DataFrame(data)
    frame["X"] = pd.Categorical(frame["X"], categories=[0, 1, 2])
    with pytest.raises(NotIdentifiedError, match="X=2"):
        estimand.evaluate(frame).prob({"Y": 1}, do={"X": 2})


def test_a_graph_that_the_data_contradict():
    wrong = CausalGraph("X -> Y; Z -> Y")
    joint = random_joint(BACK_DOOR, np.random.default_rng(6))
    estimand = wrong.identify("Y", do="X")
    with pytest.warns(IndependenceWarning, match="Z ⊥ X: mutual information|X ⊥ Z: mutual info"):
        estimand.evaluate(joint)
    data = sampled(joint, "ZXY", 5000, 7)
    with pytest.warns(IndependenceWarning, match="chi-square .* with 1 degrees of freedom, p ="):
        estimand.evaluate(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimand.evaluate(data, check=False)
        BACK_DOOR.identify("Y", do="X").evaluate(data)
    (test,) = wrong.test_independencies(data)
    assert test.p_value < 1e-6


def test_the_test_keeps_its_level():
    graph = CausalGraph("A -> B -> C")
    joint = random_joint(graph, np.random.default_rng(8))
    found = [graph.test_independencies(sampled(joint, "ABC", 500, s))[0] for s in range(300)]
    assert {test.dof for test in found} == {2}
    rejected = np.mean([test.p_value < 0.05 for test in found])
    assert 0.02 < rejected < 0.09
