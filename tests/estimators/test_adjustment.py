"""Adjustment on simulated data: right values, honest errors, and refusals that say why."""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from threadpoolctl import threadpool_limits
from torch.distributions import Normal

import scm
from scm.errors import GraphError, InterventionError, NotIdentifiedError, ScmError
from scm.estimators import PositivityWarning, adjustment_set, ate, cate, effect_curve

GRAPH = scm.CausalGraph("Z, W -> X; Z, W, X -> Y")
METHODS = ("doubly_robust", "regression", "weighting")
Z_MAX = 4.5  # standard errors: 7e-6 by chance, for fewer than 100 comparisons


def simulated(n: int, seed: int, outcome: Any = None) -> dict[str, np.ndarray]:
    """X is logistic in Z and W; Y is linear, with effect 2 + W (W is 0 or 1, evenly)."""
    rng = np.random.default_rng(seed)
    z, w = rng.normal(size=n), rng.integers(0, 2, n)
    chance = 1 / (1 + np.exp(-(0.8 * z + 0.6 * w - 0.3)))
    x = (rng.random(n) < chance).astype(int)
    y = 1.5 * z - w + (2 + w) * x + rng.normal(size=n)
    return {"Z": z, "W": w, "X": x, "Y": y}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Thousands of small fits: threads of the linear algebra only get in each other's way."""
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


def z_score(found: scm.Estimate, truth: float) -> float:
    return abs(found.value - truth) / found.stderr


@pytest.mark.parametrize("method", METHODS)
def test_each_method_finds_the_effect(method: str) -> None:
    data = simulated(2_000, seed=1)
    options: dict[str, Any] = {"graph": GRAPH, "method": method, "bootstrap": 30, "seed": 0}
    naive = data["Y"][data["X"] == 1].mean() - data["Y"][data["X"] == 0].mean()
    found = ate(data, **options)
    assert found.n == 2_000
    assert abs(naive - 2.5) > 10 * found.stderr
    assert z_score(found, 2.5) < Z_MAX
    for w in (0, 1):
        within = cate(data, given={"W": w}, **options)
        assert within.n == (data["W"] == w).sum()
        assert z_score(within, 2.0 + w) < Z_MAX
    curve = effect_curve(data, values=[0, 1], **options)
    assert curve[1].value - curve[0].value == pytest.approx(found.value)
    assert z_score(curve[0], -0.5) < Z_MAX
    assert z_score(curve[1], 2.0) < Z_MAX
    assert ate(data, **options) == found


def test_right_when_one_of_two_models_is_wrong() -> None:
    data = simulated(4_000, seed=2)
    options: dict[str, Any] = {"graph": GRAPH, "seed": 0}
    for wrong in ({"outcome_model": Constant()}, {"treatment_model": ConstantChance()}):
        assert z_score(ate(data, **options, **wrong), 2.5) < Z_MAX
    both = ate(data, outcome_model=Constant(), treatment_model=ConstantChance(), **options)
    assert z_score(both, 2.5) > 10
    alone = ate(data, method="regression", outcome_model=Constant(), bootstrap=30, **options)
    assert z_score(alone, 2.5) > 10
    alone = ate(data, method="weighting", treatment_model=ConstantChance(), bootstrap=30, **options)
    assert z_score(alone, 2.5) > 10


@pytest.mark.parametrize(("method", "times"), [("doubly_robust", 60), ("regression", 40)])
def test_intervals_cover(method: str, times: int) -> None:
    hits = 0
    for seed in range(times):
        data = simulated(400, seed=100 + seed)
        found = ate(data, graph=GRAPH, method=method, bootstrap=25, folds=2, seed=seed)
        hits += 2.5 in found.interval(0.95)
    deviation = math.sqrt(times * 0.95 * 0.05)
    assert hits > times * 0.95 - 4.5 * deviation


def test_discrete_samples_against_the_exact_law() -> None:
    rng = np.random.default_rng(5)
    model = scm.SCM(
        "Z -> X; Z, X -> Y",
        Z=scm.Root.categorical([0.3, 0.3, 0.4]),
        X=scm.Tabular([[0.6, 0.3, 0.1], [0.2, 0.4, 0.4], [0.3, 0.3, 0.4]]),
        Y=scm.Tabular(rng.dirichlet([2, 2], (3, 3)), levels=("well", "ill")),
    )
    rows = model.sample(3_000, seed=3)
    frame = rows.to_pandas()
    for method in METHODS:
        options: dict[str, Any] = {"method": method, "bootstrap": 15, "seed": 0}
        truth = ate(model, {"Y": "ill"}, values=(0, 2)).value
        found = ate(rows, {"Y": "ill"}, values=(0, 2), graph=model.graph, **options)
        assert z_score(found, truth) < Z_MAX
        truth = cate(model, {"Y": "ill"}, given={"Z": 1}, values=(1, 2)).value
        found = cate(
            rows, {"Y": "ill"}, given={"Z": 1}, values=(1, 2), graph=model.graph, **options
        )
        assert z_score(found, truth) < Z_MAX
    words = frame.assign(Z=frame["Z"].map({0: "a", 1: "b", 2: "c"}))
    same = ate(words, {"Y": "ill"}, values=(0, 2), graph=model.graph, seed=0)
    assert same == ate(rows, {"Y": "ill"}, values=(0, 2), graph=model.graph, seed=0)


def test_samples_with_a_graph_are_data_and_without_one_are_units() -> None:
    model = scm.SCM(
        "Z -> X; Z, X -> Y",
        Z=scm.Root.bernoulli(0.5),
        X=scm.Tabular([[0.7, 0.3], [0.3, 0.7]]),
        Y=scm.Additive(lambda Z, X: Z + 2.0 * X, Normal(0.0, 1.0)),
    )
    rows = model.sample(2_000, seed=0)
    assert ate(rows).stderr < 1e-6
    learned = ate(rows, graph=model.graph, seed=0)
    assert learned.stderr > 0.03
    assert z_score(learned, 2.0) < Z_MAX
    with pytest.raises(InterventionError, match="act on X"):
        ate(model.do(X=1).sample(10, seed=0), graph=model.graph)


def test_user_learners_with_cross_fitting() -> None:
    rng = np.random.default_rng(0)
    n = 1_500
    z = rng.uniform(-2, 2, n)
    x = (rng.random(n) < np.where(np.abs(z) > 1, 0.7, 0.3)).astype(int)
    y = z**2 + x + 0.5 * rng.normal(size=n)
    data = {"Z": z, "X": x, "Y": y}
    graph = scm.CausalGraph("Z -> X, Y; X -> Y")
    assert z_score(ate(data, graph=graph, seed=0), 1.0) > 5  # both defaults are wrong here
    forests = {
        "outcome_model": RandomForestRegressor(40, min_samples_leaf=20, random_state=0),
        "treatment_model": RandomForestClassifier(40, min_samples_leaf=40, random_state=0),
    }
    found = ate(data, graph=graph, folds=3, seed=0, **forests)
    assert z_score(found, 1.0) < Z_MAX


def test_no_covariates() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, 400)
    data = {"X": x, "Y": x + rng.normal(size=400)}
    difference = data["Y"][x == 1].mean() - data["Y"][x == 0].mean()
    for method in ("regression", "weighting"):
        found = ate(data, graph=scm.CausalGraph("X -> Y"), method=method, bootstrap=20, seed=0)
        assert found.value == pytest.approx(difference, abs=1e-6)
    found = ate(data, graph=scm.CausalGraph("X -> Y"), seed=0)
    assert found.value == pytest.approx(difference, abs=0.01)


def test_adjustment_sets_are_chosen_and_checked() -> None:
    butterfly = scm.CausalGraph("A -> M, X; B -> M, Y; M -> X, Y; X -> Y")
    assert adjustment_set(butterfly, "X", "Y", adjust=["A", "M", "B"]) == ("A", "M", "B")
    assert set(adjustment_set(butterfly, "X", "Y", given="B")) == {"B", "M"}
    with pytest.raises(GraphError, match=r"adjusting for \{M\} does not.*\{A, M\}; \{M, B\}"):
        adjustment_set(butterfly, "X", "Y", adjust="M")
    with pytest.raises(GraphError, match="no column"):
        adjustment_set(butterfly, "X", "Y", columns=["X", "Y", "M"])
    with pytest.raises(GraphError, match="acts on"):
        adjustment_set(scm.CausalGraph("X -> W -> Y"), "X", "Y", given="W")
    with pytest.raises(NotIdentifiedError) as caught:
        adjustment_set(scm.CausalGraph("X -> Y; X <-> Y"), "X", "Y")
    assert caught.value.hedge is not None
    with pytest.raises(NotIdentifiedError, match="otherwise: P") as caught:
        adjustment_set(scm.CausalGraph("X -> M -> Y; X <-> Y"), "X", "Y")
    assert caught.value.hedge is None
    with pytest.raises(GraphError, match="latent"):
        adjustment_set(scm.CausalGraph("Z -> X, Y; X -> Y", latent=["Z"]), "X", "Y", adjust="Z")


def test_empty_cells_are_named() -> None:
    rng = np.random.default_rng(0)
    z = np.array(["a", "b", "c"])[rng.integers(0, 3, 300)]
    x = np.where(z == "b", 0, rng.integers(0, 2, 300))
    data = {"Z": z, "X": x, "Y": rng.normal(size=300)}
    graph = scm.CausalGraph("Z -> X, Y; X -> Y")
    for method in METHODS:
        with pytest.raises(NotIdentifiedError, match=r"units with Z='b' has X=1 \(positivity"):
            ate(data, graph=graph, method=method)
    data["W"] = np.array(["u", "v"])[rng.integers(0, 2, 300)]
    data["X"] = np.where((z == "b") & (data["W"] == "v"), 0, rng.integers(0, 2, 300))
    with pytest.raises(NotIdentifiedError, match="Z='b', W='v' has X=1"):
        ate(data, graph=scm.CausalGraph("Z, W -> X, Y; X -> Y"))


def test_almost_no_chance_of_the_treatment_warns() -> None:
    rng = np.random.default_rng(0)
    z = 4 * rng.normal(size=500)
    x = (rng.random(500) < 1 / (1 + np.exp(-2 * z))).astype(int)
    data = {"Z": z, "X": x, "Y": x + z}
    with pytest.warns(PositivityWarning, match="below 0.01, given Z"):
        ate(data, graph=scm.CausalGraph("Z -> X, Y; X -> Y"), seed=0)


BAD: list[tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = [
    ({}, {"outcome": "X"}, GraphError, "one role"),
    ({}, {"outcome": "y"}, GraphError, "did you mean 'Y'"),
    ({}, {"treatment": "Q"}, GraphError, "no node 'Q'"),
    ({}, {"adjust": ["Z", "X"]}, GraphError, "one role"),
    ({}, {"adjust": ["Z", "V"]}, GraphError, "no node 'V'"),
    ({}, {"adjust": ["Z"]}, GraphError, "does not give the effect"),
    ({}, {"values": (0, 2)}, InterventionError, r"never 2 .*\(positivity\)"),
    ({}, {"outcome": {"Y": 77.0}}, InterventionError, "never 77.0"),
    ({}, {"method": "exact"}, ScmError, "'doubly_robust'"),
    ({}, {"graph": None}, GraphError, "what causes what"),
    ({}, {"graph": "X -> Y"}, GraphError, "CausalGraph"),
    ({}, {"folds": 1}, ScmError, "at least 2"),
    ({}, {"treatment_model": Constant()}, ScmError, "predict_proba"),
    ({}, {"outcome_model": 3}, ScmError, "regressor"),
    ({}, {"outcome_model": ConstantChance()}, ScmError, "is a classifier"),
    ({"Z": [np.nan] * 40}, {}, ScmError, "40 missing"),
    ({"Z": [np.inf] * 40}, {}, ScmError, "infinite"),
    ({"Z": [1.0]}, {}, ScmError, "one length"),
    ({"Z": np.zeros((40, 2))}, {}, ScmError, "one value"),
    ({"Y": ["ill"] * 40}, {}, ScmError, r"outcome=\{'Y': 'ill'\}"),
    ({"X": np.arange(40.0)}, {}, ScmError, "continuous"),
    ({"X": [1] + [0] * 39}, {}, NotIdentifiedError, "only 1 of 40"),
]


@pytest.mark.parametrize(("columns", "change", "error", "words"), BAD)
def test_bad_input(
    columns: dict[str, Any], change: dict[str, Any], error: type[Exception], words: str
) -> None:
    data = {**simulated(40, seed=0), **columns}
    with pytest.raises(error, match=words):
        ate(data, **{"graph": GRAPH, "seed": 0, **change})


def test_more_bad_input() -> None:
    data = simulated(40, seed=0)
    with pytest.raises(InterventionError, match="none of 40 rows"):
        cate(data, given={"W": lambda w: w > 3}, graph=GRAPH)
    with pytest.raises(GraphError, match="one role"):
        cate(data, given={"X": 1}, graph=GRAPH)
    del data["Z"]
    with pytest.raises(GraphError, match="no column Z, which has to be adjusted for"):
        ate(pd.DataFrame(data), graph=GRAPH)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ScmError, match=r"pip install 'neural-scm\[demo\]'"):
        ate(simulated(40, seed=0), graph=GRAPH)
