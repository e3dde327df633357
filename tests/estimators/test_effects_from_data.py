"""Natural effects and probabilities of causation from data, against exact laws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

import scm
from scm.errors import GraphError, InterventionError, NotIdentifiedError, ScmError
from scm.estimate import Estimate
from scm.estimators import (
    counterfactual_bounds,
    natural_direct_effect,
    natural_indirect_effect,
    probability_of_necessity,
    probability_of_necessity_and_sufficiency,
    probability_of_sufficiency,
)
from scm.estimators.adjustment import mediation_set

METHODS = ("doubly_robust", "regression", "weighting")
EFFECTS = (natural_direct_effect, natural_indirect_effect)
Z_MAX = 4.0  # standard errors: 6e-5 by chance, for about fifty comparisons
GRAPH = scm.CausalGraph("W -> X, M, Y; X -> M, Y; M -> Y")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


class Constant(RegressorMixin, ClassifierMixin, BaseEstimator):
    """A wrong model: it takes no notice of the covariates."""

    def fit(self, x: Any, y: Any) -> Constant:
        self.classes_ = np.unique(y)
        self.mean_ = np.mean(y)
        self.share_ = np.array([np.mean(y == c) for c in self.classes_])
        return self

    def predict(self, x: Any) -> Any:
        return np.full(len(x), self.mean_)


class ConstantChance(Constant):
    def predict_proba(self, x: Any) -> Any:
        return np.tile(self.share_, (len(x), 1))


def saturated() -> Any:
    """A share for each cell of discrete covariates."""
    return DecisionTreeClassifier(random_state=0)


def z_score(found: Estimate, truth: float) -> float:
    assert found.stderr > 0
    return abs(found.value - truth) / found.stderr


def tables(seed: int) -> scm.SCM:
    rng = np.random.default_rng(seed)
    return scm.SCM(
        "W -> X; X, W -> M; W, X, M -> Y",
        W=scm.Root.bernoulli(0.4),
        X=scm.Tabular(rng.dirichlet([5, 5], 2)),
        M=scm.Tabular(rng.dirichlet([3, 3, 3], (2, 2))),
        Y=scm.Tabular(rng.dirichlet([2, 2], (2, 2, 3))),
    )


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("method", METHODS)
def test_natural_effects_equal_enumeration(method: str, effect: Callable[..., Estimate]) -> None:
    model = tables(1)
    t = {name: m.table().numpy() for name, m in model.mechanisms.items()}

    def mean(x: int, xm: int) -> float:  # the mediation formula, written out
        return sum(
            t["W"][w] * t["M"][xm, w, m] * t["Y"][w, x, m, 1] for w in (0, 1) for m in (0, 1, 2)
        )

    truth = (mean(1, 0) if effect is natural_direct_effect else mean(0, 1)) - mean(0, 0)
    assert effect(model, {"Y": 1}).value == pytest.approx(truth, abs=1e-9)
    rows = model.sample(3_000, seed=2)
    learners = {f"{of}_model": saturated() for of in ("outcome", "treatment", "mediator")}
    options = {"method": method, "bootstrap": 25, "folds": 3, "seed": 0, **learners}
    found = effect(rows, {"Y": 1}, graph=model.graph, **options)
    assert found.n == 3_000
    assert z_score(found, truth) < Z_MAX
    frame = rows.to_pandas()  # numbers rather than levels
    words = frame.assign(M=frame["M"].map({0: "a", 1: "b", 2: "c"}), W=frame["W"].astype(str))
    same = effect(words, {"Y": 1}, graph=model.graph, **options)
    assert same.value == pytest.approx(found.value, abs=1e-6)


def linear(n: int, seed: int) -> dict[str, np.ndarray]:
    """M = X - W + noise, Y = 0.5 X + 2 M + 3 W + noise: direct 0.5, indirect 2."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=n)
    x = (rng.random(n) < 1 / (1 + np.exp(-0.4 * w))).astype(int)
    m = x - w + rng.normal(size=n)
    y = 0.5 * x + 2 * m + 3 * w + rng.normal(size=n)
    return {"W": w, "X": x, "M": m, "Y": y}


@pytest.mark.parametrize("method", METHODS)
def test_linear_gaussian_mediation(method: str) -> None:
    data = linear(2_000, 0)
    options: dict[str, Any] = {"graph": GRAPH, "method": method, "bootstrap": 20, "seed": 0}
    direct = natural_direct_effect(data, **options)
    indirect = natural_indirect_effect(data, **options)
    assert z_score(direct, 0.5) < Z_MAX
    assert z_score(indirect, 2.0) < Z_MAX
    if method != "doubly_robust":
        return
    assert natural_direct_effect(data, **options) == direct
    reverse = natural_direct_effect(data, values=(1, 0), **options)
    assert z_score(reverse, -0.5) < Z_MAX


@pytest.mark.filterwarnings("ignore::scm.estimators.PositivityWarning")
def test_standard_errors_are_those_of_repetition() -> None:
    runs = [natural_direct_effect(linear(400, s), graph=GRAPH, folds=2, seed=s) for s in range(30)]
    spread = np.std([run.value for run in runs], ddof=1)
    stated = np.mean([run.stderr for run in runs])
    assert 0.6 < stated / spread < 1.5  # the spread of 30 values is known to a seventh


@pytest.mark.parametrize("wrong", ["outcome", "mediator", "treatment"])
def test_doubly_robust_with_one_model_wrong(wrong: str) -> None:
    data = linear(3_000, 3)
    model = ConstantChance() if wrong == "treatment" else Constant()
    options: dict[str, Any] = {"graph": GRAPH, "folds": 3, "seed": 0, f"{wrong}_model": model}
    assert z_score(natural_direct_effect(data, **options), 0.5) < Z_MAX
    assert z_score(natural_indirect_effect(data, **options), 2.0) < Z_MAX
    method = "weighting" if wrong == "treatment" else "regression"
    alone = natural_indirect_effect(data, method=method, bootstrap=25, **options)
    assert z_score(alone, 2.0) > Z_MAX


def test_mediators_are_several_and_their_set_is_found() -> None:
    graph = scm.CausalGraph("X -> L -> M; L -> Y; M -> Y; X -> Y; A -> X, M; B -> M, Y; D -> X")
    assert mediation_set(graph, "X", "Y", ("L", "M")) == ("A", "B")
    assert mediation_set(graph, "X", "Y", ("L", "M"), adjust=("D", "A", "B")) == ("A", "B", "D")
    with pytest.raises(GraphError, match="no column B"):
        mediation_set(graph, "X", "Y", ("L", "M"), columns=["X", "Y", "L", "M", "A"])
    rng = np.random.default_rng(0)
    n = 3_000
    x = rng.integers(0, 2, n)
    one = x + rng.normal(size=n)
    two = one - x + rng.normal(size=n)
    data = {"X": x, "L": one, "M": two, "Y": 2 * x + one + two + rng.normal(size=n)}
    chain = scm.CausalGraph("X -> L -> M; X -> M; X, L, M -> Y")
    found = [f(data, mediator=("L", "M"), graph=chain, seed=0) for f in EFFECTS]
    assert z_score(found[0], 2.0) < Z_MAX
    assert z_score(found[1], 1.0) < Z_MAX


def test_a_mediator_that_only_the_treated_have() -> None:
    """M is 0 without treatment: no unit with M = 1 is needed there for the direct effect."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, 2_000)
    m = x * rng.integers(0, 2, 2_000)
    data = {"X": x, "M": m, "Y": 1.0 * x + 2 * m + rng.normal(size=2_000)}
    graph = scm.CausalGraph("X -> M, Y; M -> Y")
    assert z_score(natural_direct_effect(data, graph=graph, seed=0), 1.0) < Z_MAX
    with pytest.raises(NotIdentifiedError, match="positivity"):
        natural_indirect_effect(data, graph=graph, seed=0)


REFUSED = [
    ("X -> L -> M; L -> Y; X -> M -> Y; X -> Y", (), "L is affected by X and confounds M and Y"),
    ("X -> M -> Y; X -> Y; M <-> Y", (), r"from M to Y \(given X\)"),
    ("X -> M -> Y; X -> Y; U -> X, M", ("U",), "from X to M"),
    ("X -> M -> Y; X -> Y; U -> X, Y", ("U",), "from X to Y"),
    ("Y -> M; X -> M, Y", (), "from M to Y"),
]


@pytest.mark.parametrize(("text", "latent", "words"), REFUSED)
def test_natural_effects_that_data_do_not_tell(text: str, latent: Any, words: str) -> None:
    graph = scm.CausalGraph(text, latent=latent)
    data = {name: np.array([0, 1] * 20) for name in graph.observed}
    for effect in EFFECTS:
        with pytest.raises(NotIdentifiedError, match=words):
            effect(data, graph=graph)


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"graph": None}, NotIdentifiedError, "graph="),
    ({"adjust": ()}, GraphError, "leaves open"),
    ({"adjust": "M"}, GraphError, "it holds effects"),
    ({"mediator": ()}, GraphError, "no mediator"),
    ({"mediator": "Q"}, GraphError, "no node 'Q'"),
    ({"mediator": "X"}, GraphError, "one role"),
    ({"values": (0, 7)}, InterventionError, "never 7"),
    ({"method": "exact"}, ScmError, "doubly_robust"),
    ({"folds": 1}, ScmError, "folds=1"),
    ({"mediator_model": object()}, ScmError, "expected a regressor"),
    ({"outcome": {"M": 1}}, GraphError, "one role"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD)
def test_bad_input(change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        natural_direct_effect(linear(200, 0), **{"graph": GRAPH, **change})


def monotone_model(coupling: str = "monotone") -> scm.SCM:
    """Z confounds X and Y, and X raises the chance of Y."""
    return scm.SCM(
        "Z -> X; Z, X -> Y",
        Z=scm.Root.bernoulli(0.5),
        X=scm.Tabular([[0.7, 0.3], [0.4, 0.6]]),
        Y=scm.Tabular([[[0.8, 0.2], [0.5, 0.5]], [[0.6, 0.4], [0.1, 0.9]]], coupling=coupling),
    )


CAUSATION = (
    probability_of_necessity,
    probability_of_sufficiency,
    probability_of_necessity_and_sufficiency,
)


@pytest.mark.parametrize("method", METHODS)
def test_causation_under_monotonicity(method: str) -> None:
    model = monotone_model()
    rows = model.sample(4_000, seed=0)
    options: dict[str, Any] = {"method": method, "bootstrap": 20, "seed": 0}
    for ask in CAUSATION:
        truth = ask(model).value  # by twin networks
        found = ask(rows, graph=model.graph, monotone=True, **options)
        assert z_score(found, truth) < Z_MAX
        assert found.stderr < 0.05
        if method != "doubly_robust":
            continue
        named = ask(rows.to_pandas(), {"Y": 1}, graph=model.graph, monotone=True, **options)
        assert named.value == pytest.approx(found.value, abs=1e-6)


def test_standard_errors_of_the_ratio() -> None:
    model = monotone_model()
    every = []
    for s in range(30):
        rows = model.sample(400, seed=s)
        every.append(
            probability_of_necessity(rows, graph=model.graph, monotone=True, folds=2, seed=s)
        )
    spread = np.std([one.value for one in every], ddof=1)
    assert 0.7 < np.mean([one.stderr for one in every]) / spread < 1.4


def test_causation_without_monotonicity_is_refused() -> None:
    model = monotone_model()
    rows = model.sample(500, seed=0).to_pandas()
    for ask in CAUSATION:
        with pytest.raises(NotIdentifiedError, match="counterfactual_bounds"):
            ask(rows, graph=model.graph)
        with pytest.raises(NotIdentifiedError, match="one world"):
            ask(rows)
        with pytest.raises(ScmError, match="monotone"):
            ask(model, monotone=True)
        with pytest.raises(NotIdentifiedError):
            ask(rows, graph=scm.CausalGraph("X -> Y; X <-> Y"), monotone=True)
    with pytest.raises(ScmError, match="contradict"):
        probability_of_necessity(rows, {"Y": 0}, graph=model.graph, monotone=True, seed=0)
    with pytest.raises(GraphError, match="no column 'Y'"):
        probability_of_necessity(rows[["X", "Z"]], graph=model.graph, monotone=True)
    none = {"X": np.array([0] * 50 + [1] * 50), "Y": np.array([0, 1] * 25 + [0] * 50)}
    for method in METHODS[:2]:
        with pytest.raises(InterventionError, match="positivity"):
            probability_of_necessity(
                none, graph=scm.CausalGraph("X -> Y"), monotone=True, method=method
            )
    many = {"X": np.arange(300) % 3, "Y": np.arange(300) % 2}
    with pytest.raises(ScmError, match="more than two levels"):
        probability_of_necessity(many, graph=scm.CausalGraph("X -> Y"), monotone=True)
    with pytest.raises(ScmError, match="not binary"):
        probability_of_necessity(
            {"X": many["Y"], "Y": many["X"]}, graph=scm.CausalGraph("X -> Y"), monotone=True
        )


def test_bounds_named_in_the_refusal_hold_the_truth() -> None:
    model = monotone_model()
    rows = model.sample(2_000, seed=0).to_pandas()
    for ask in CAUSATION:
        with pytest.raises(NotIdentifiedError) as caught:
            ask(rows, graph=model.graph)
        text = str(caught.value)
        call = text[text.index("counterfactual_bounds(") : text.index(", with the other level")]
        call = call.replace("...", "0").replace("level=0", "level=...")
        names = {"counterfactual_bounds": counterfactual_bounds, "graph": model.graph, "data": rows}
        bounds = eval(call.replace("(graph, data, ", "(graph, data, bootstrap=20, seed=0, "), names)
        assert bounds.lower_limit <= ask(model).value <= bounds.upper_limit


def test_exact_numbers_have_no_units() -> None:
    found = natural_direct_effect(tables(0), {"Y": 1})
    assert found.n is None
    assert str(found).endswith("(exact)")
    assert found.interval().width == 0.0
    with pytest.raises(ScmError, match="without units"):
        Estimate(0.5, 0.1)
