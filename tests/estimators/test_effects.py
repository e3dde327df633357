"""Effects from models: exact ones against enumeration, sampled ones against closed forms."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Normal

import scm
from scm.errors import GraphError, InterventionError, MechanismError, NotIdentifiedError, ScmError
from scm.estimators import (
    ate,
    cate,
    effect_curve,
    natural_direct_effect,
    natural_indirect_effect,
    probability_of_necessity,
    probability_of_necessity_and_sufficiency,
    probability_of_sufficiency,
)

N = 20_000
Z = 5.0  # standard errors: by chance once in two million


def close(estimate: scm.Estimate, truth: float) -> bool:
    return abs(estimate.value - truth) <= Z * estimate.stderr + 1e-6


def tables(seed: int, coupling: str = "gumbel", levels: int = 3) -> scm.SCM:
    """Z confounds X and Y, and M lies between them; Y has ``levels`` levels."""
    rng = np.random.default_rng(seed)
    return scm.SCM(
        "Z -> X; X, Z -> M; Z, X, M -> Y",
        Z=scm.Root.categorical(rng.dirichlet([2, 2, 2])),
        X=scm.Tabular(rng.dirichlet([2, 2], 3), coupling=coupling),
        M=scm.Tabular(rng.dirichlet([2, 2], (2, 3)), coupling=coupling),
        Y=scm.Tabular(rng.dirichlet([1] * levels, (3, 2, 2)), coupling=coupling),
    )


def parts(model: scm.SCM) -> dict[str, np.ndarray]:
    return {name: m.table().numpy() for name, m in model.mechanisms.items()}


def mean_under(t: dict[str, np.ndarray], x: int, xm: int, z: int) -> float:
    """E[Y_{x, M_xm} | z]: in this graph no coupling is needed."""
    y = np.arange(t["Y"].shape[-1])
    return float(sum(t["M"][xm, z, m] * t["Y"][z, x, m] @ y for m in (0, 1)))


def linear() -> scm.SCM:
    return scm.SCM(
        "W -> X; X, W -> M; X, M, W -> Y",
        W=scm.Root.normal(),
        X=scm.Linear({"W": 0.7}),
        M=scm.Linear({"X": 1.5, "W": -1.0}),
        Y=scm.Linear({"X": 0.5, "M": 2.0, "W": 3.0}),
    )


@pytest.mark.parametrize("seed", range(3))
def test_exact_effects_equal_enumeration(seed: int) -> None:
    model = tables(seed)
    t = parts(model)
    pz = t["Z"]

    def mean(x: int, xm: int) -> float:
        return sum(pz[z] * mean_under(t, x, xm, z) for z in range(3))

    assert ate(model).value == pytest.approx(mean(1, 1) - mean(0, 0), abs=1e-12)
    assert ate(model).stderr == 0.0
    curve = effect_curve(model, values=[1, 0])
    assert list(curve) == [1, 0]
    assert curve[0].value == pytest.approx(mean(0, 0), abs=1e-12)
    for z in range(3):
        truth = mean_under(t, 1, 1, z) - mean_under(t, 0, 0, z)
        assert cate(model, given={"Z": z}).value == pytest.approx(truth, abs=1e-12)
    treated = [pz[z] * t["X"][z, 1] for z in range(3)]
    truth = sum(
        w * (mean_under(t, 1, 1, z) - mean_under(t, 0, 0, z)) for z, w in enumerate(treated)
    ) / sum(treated)
    assert cate(model, given={"X": 1}).value == pytest.approx(truth, abs=1e-9)
    direct, indirect = natural_direct_effect(model), natural_indirect_effect(model)
    assert direct.value == pytest.approx(mean(1, 0) - mean(0, 0), abs=1e-9)
    assert indirect.value == pytest.approx(mean(0, 1) - mean(0, 0), abs=1e-9)


@pytest.mark.parametrize("coupling", ["gumbel", "monotone"])
def test_exact_and_sampled_agree(coupling: str) -> None:
    model = tables(3, coupling)
    joint = model.exact()
    event = {"Y": 2}
    asked: list[Any] = [
        lambda m, **k: ate(m, **k),
        lambda m, **k: ate(m, event, **k),
        lambda m, **k: cate(m, given={"Z": 1}, **k),
        lambda m, **k: cate(m, given={"X": 1, "M": 0}, **k),
        lambda m, **k: effect_curve(m, **k)[1],
        lambda m, **k: natural_direct_effect(m, **k),
        lambda m, **k: natural_indirect_effect(m, event, **k),
        lambda m, **k: probability_of_necessity(m, event, **k),
        lambda m, **k: probability_of_sufficiency(m, event, **k),
        lambda m, **k: probability_of_necessity_and_sufficiency(m, event, **k),
    ]
    units = model.sample(N, seed=5)
    for ask in asked:
        truth = ask(model)
        assert ask(joint) == truth
        assert ask(model, method="exact") == truth
        drawn = ask(model, method="sample", n=N, seed=4)
        assert drawn.stderr > 0
        assert close(drawn, truth.value)
        assert close(ask(units), truth.value)


def test_causation_decomposes() -> None:
    """PNS = P(x, y) PN + P(x', y') PS for binary X and Y (Pearl 2009, lemma 9.2.6)."""
    for seed in range(3):
        model = tables(seed, levels=2)
        joint = model.exact()
        both = float(joint.prob({"X": 1, "Y": 1})) * probability_of_necessity(model).value
        none = float(joint.prob({"X": 0, "Y": 0})) * probability_of_sufficiency(model).value
        pns = probability_of_necessity_and_sufficiency(model).value
        assert pns == pytest.approx(both + none, abs=1e-9)


def test_total_is_direct_less_reverse_indirect() -> None:
    for model, options in ((tables(1), {}), (linear(), {"n": 500, "seed": 1})):
        total = ate(model, **options).value
        direct = natural_direct_effect(model, **options).value
        reverse = natural_indirect_effect(model, values=(1, 0), **options).value
        assert total == pytest.approx(direct - reverse, abs=1e-5)


def test_couplings_decide_where_a_confounder_of_the_mediator_is_affected() -> None:
    """L is an effect of X and confounds M and Y: then the natural effect is not identified."""
    rng = np.random.default_rng(0)
    made = [rng.dirichlet([1] * k, shape) for k, shape in ((3, 2), (2, (2, 3)), (2, (2, 3, 2)))]
    found = []
    for coupling in ("gumbel", "monotone"):
        model = scm.SCM(
            "X -> L; X, L -> M; X, L, M -> Y",
            X=scm.Root.bernoulli(0.5),
            **{n: scm.Tabular(t, coupling=coupling) for n, t in zip("LMY", made, strict=True)},
        )
        truth = natural_direct_effect(model)
        assert close(natural_direct_effect(model, method="sample", n=N, seed=1), truth.value)
        found.append(truth.value)
    assert abs(found[0] - found[1]) > 1e-4


def test_linear_gaussian_closed_forms() -> None:
    model = linear()
    options: dict[str, Any] = {"n": 2_000, "seed": 0}
    total = ate(model, **options)
    assert total.value == pytest.approx(0.5 + 1.5 * 2.0, abs=1e-5)
    assert total.stderr < 1e-6  # common random numbers: the noise cancels
    assert natural_direct_effect(model, **options).value == pytest.approx(0.5, abs=1e-5)
    assert natural_indirect_effect(model, **options).value == pytest.approx(3.0, abs=1e-5)
    curve = effect_curve(model, values=torch.linspace(-1, 1, 3), **options)
    assert list(curve) == [-1.0, 0.0, 1.0]
    for x, point in curve.items():
        assert close(point, 3.5 * x)
        assert point.n == 2_000
    # Y | do(X = 0) = 3 W - 2 W + noise of variance 1 + 4.
    above = ate(model, {"Y": lambda y: y > 0}, values=(0.0, 1.0), n=N, seed=1)
    truth = 0.5 * math.erfc(-3.5 / math.sqrt(2 * 6)) - 0.5
    assert close(above, truth)
    assert close(cate(model, given={"W": lambda w: w > 1}, n=500, seed=0), 3.5)


def test_standard_errors_are_those_of_the_difference_within_units() -> None:
    model = scm.SCM(
        "Z; X, Z -> Y",
        Z=scm.Root.normal(),
        X=scm.Root.normal(),
        Y=scm.Additive(lambda X, Z: 10 * Z + X * Z, Normal(0.0, 5.0)),
    )
    found = ate(model, n=N, seed=0)
    assert found.stderr == pytest.approx(1 / math.sqrt(N), rel=0.05)
    assert close(found, 0.0)


def test_intervals_cover() -> None:
    model = scm.SCM(
        "Z; X, Z -> Y",
        Z=scm.Root.normal(),
        X=scm.Root.normal(),
        Y=scm.Structural(lambda X, Z: X * Z**2),
    )
    hits = sum(1.0 in ate(model, n=500, seed=seed).interval(0.95) for seed in range(300))
    # 300 intervals of nearly 95% (Z^2 is skewed, n = 500): six binomial deviations.
    assert 300 * 0.95 - 6 * math.sqrt(300 * 0.95 * 0.05) < hits


def test_abducted_units_and_their_draws() -> None:
    model = scm.SCM(
        "Z, X -> Y",
        Z=scm.Root.normal(),
        X=scm.Root.bernoulli(0.5),
        Y=scm.Additive(lambda Z, X: Z * (1 + X), Normal(0.0, 1.0)),
    )
    rows = {"Z": torch.tensor([1.0, 2.0, -1.0]), "X": torch.tensor([0, 1, 1])}
    rows["Y"] = rows["Z"] * (1 + rows["X"]) + 0.5
    units = model.abduct(rows)
    assert ate(units).value == pytest.approx(2 / 3)
    assert ate(units).n == 3
    assert cate(units, given={"X": 1}).value == pytest.approx(0.5)
    assert cate(units, given={"X": 1}).n == 2
    # Z unobserved: draws of it, averaged before the error over units is taken.
    del rows["Z"]
    many = model.abduct(rows, method="importance", draws=4_000, seed=0)
    found = ate(many)
    assert found.n == 3
    posterior = [0.5 * 1.5, 2 / 5 * 4.5, 2 / 5 * -1.5]  # E[Z | X, Y]
    assert found.value == pytest.approx(np.mean(posterior), abs=0.1)
    assert found.stderr == pytest.approx(np.std(posterior, ddof=1) / math.sqrt(3), rel=0.2)


def test_views_conditions_and_macros() -> None:
    model = tables(2)
    acted = model.do(M=1)
    assert ate(acted, values=(0, 1), n=N, seed=0).n == N
    joint = model.exact()
    points = [
        joint.table("Y", do={"X": x, "M": 1}).values @ torch.arange(3.0).double() for x in (0, 1)
    ]
    truth = float(points[1] - points[0])
    assert close(ate(acted, n=N, seed=0), truth)
    chosen = model.given(Z=2)
    assert close(ate(chosen, n=N, seed=0), cate(model, given={"Z": 2}).value)
    with pytest.raises(InterventionError, match="several worlds"):
        ate(model.sweep(M=[0, 1]))


def test_observed_margins() -> None:
    graph = "C -> X, Y; X -> Y"
    flat = [[0.3, 0.7], [0.6, 0.4]]
    model = scm.SCM(
        scm.CausalGraph(graph, latent=["C"]),
        C=scm.Root.bernoulli(0.4),
        X=scm.Tabular(flat),
        Y=scm.Tabular([flat, flat]),
    )
    with pytest.raises(NotIdentifiedError) as caught:
        ate(model.exact().observed())
    assert caught.value.hedge is not None
    front = scm.SCM(
        scm.CausalGraph("C -> X, Y; X -> M -> Y", latent=["C"]),
        C=scm.Root.bernoulli(0.4),
        X=scm.Tabular(flat),
        M=scm.Tabular(flat),
        Y=scm.Tabular([flat, flat[::-1]]),
    )
    seen = ate(front.exact().observed())
    assert seen.value == pytest.approx(ate(front).value, abs=1e-12)
    with pytest.raises(NotIdentifiedError, match="two"):
        probability_of_necessity(front.exact().observed())


def test_level_names() -> None:
    model = scm.SCM(
        "X -> Y",
        X=scm.Tabular([0.5, 0.5], levels=("no", "yes")),
        Y=scm.Tabular([[0.9, 0.1], [0.4, 0.6]], levels=("well", "ill")),
    )
    for method in ("exact", "sample"):
        found = ate(model, {"Y": "ill"}, values=("no", "yes"), method=method, n=N, seed=0)
        assert close(found, 0.5)
        with pytest.raises(ScmError, match=r"no numbers.*outcome=\{'Y': 'ill'\}"):
            ate(model, values=("no", "yes"), method=method)
    assert probability_of_necessity(model, values=("no", "yes")).stderr == 0.0


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"outcome": "X"}, GraphError, "one role"),
    ({"outcome": {"X": 1}}, GraphError, "one role"),
    ({"outcome": "y"}, GraphError, "did you mean 'Y'"),
    ({"treatment": "Q"}, GraphError, "no node 'Q'"),
    ({"treatment": ["X"]}, GraphError, "one node"),
    ({"values": (0, 1, 1)}, InterventionError, "effect_curve"),
    ({"values": (0, 7)}, InterventionError, "7"),
    ({"outcome": {"Y": 9}}, InterventionError, "9"),
    ({"outcome": {}}, GraphError, "no outcome"),
    ({"method": "regression"}, ScmError, "'exact' or 'sample'"),
    ({"graph": scm.CausalGraph("X -> Y")}, GraphError, "graph of its own"),
    ({"adjust": ["Z"]}, ScmError, "learn from data"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD)
@pytest.mark.parametrize("method", [None, "sample"])
def test_bad_input(
    change: dict[str, Any], error: type[Exception], words: str, method: str | None
) -> None:
    with pytest.raises(error, match=words):
        ate(tables(0), **{"method": method, "n": 50, **change})


def test_more_bad_input() -> None:
    model = tables(0)
    with pytest.raises(GraphError, match="no condition"):
        cate(model)
    with pytest.raises(GraphError, match="one role"):
        cate(model, given={"Y": 1})
    with pytest.raises(InterventionError, match="listed once"):
        effect_curve(model, values=[0, 0])
    with pytest.raises(InterventionError, match="listed once"):
        effect_curve(model, values=[])
    with pytest.raises(GraphError, match="one role"):
        natural_direct_effect(model, mediator="X")
    with pytest.raises(GraphError, match="total effect"):
        natural_direct_effect(model, mediator=())
    with pytest.raises(ScmError, match="not binary"):
        probability_of_necessity(model)
    with pytest.raises(NotIdentifiedError, match="one world"):
        probability_of_necessity({"X": [0, 1], "Y": [0, 1]})
    with pytest.raises(ScmError, match="expected a model"):
        ate(3)
    with pytest.raises(MechanismError, match="exact"):
        ate(linear(), method="exact")
    with pytest.raises(ScmError, match="needs units"):
        ate(model.exact(), {"Y": lambda y: y > 0})
    with pytest.raises(InterventionError, match="probability zero"):
        ate(linear(), {"Y": 1.0}, n=10)
    with pytest.raises(InterventionError, match="none of 5 units"):
        cate(model.sample(5, seed=0), given={"Z": lambda z: z > 7})


def test_vector_outcomes_are_refused() -> None:
    model = scm.SCM(
        "X -> V",
        X=scm.Root.normal(),
        V=scm.Structural(lambda X: X * torch.ones(3), type=scm.Real((3,))),
    )
    with pytest.raises(ScmError, match="one number"):
        ate(model, "V", n=10)
    found = ate(model, {"V": lambda v: v.sum(-1) > 2}, n=10, seed=0)
    assert found.value == 1.0


def test_all_pairs_of_levels() -> None:
    """An effect between any two levels is the difference of two points of the curve."""
    model = tables(4)
    curve = effect_curve(model, "Y", "Z", values=[0, 1, 2])
    for a, b in itertools.permutations(range(3), 2):
        assert ate(model, "Y", "Z", values=(a, b)).value == pytest.approx(
            curve[b].value - curve[a].value
        )
