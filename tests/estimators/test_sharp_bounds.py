"""Sharp bounds against enumeration, published figures, and models that attain them."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scm.errors import GraphError, InterventionError, ScmError
from scm.estimators.bounds import ContradictionWarning, natural_bounds, sharp_bounds
from scm.estimators.sharp_bounds import counterfactual_bounds
from scm.exact import Joint
from scm.graph import CausalGraph
from tests.estimators.brute_types import Types, random_joint, sample

SEEDS = st.integers(0, 2**32 - 1)
SLACK = 1e-8

ONE_DISTRICT = {
    "bow": "X -> Y; U -> X, Y",
    "instrument": "Z -> X -> Y; U -> X, Y",
    "instrument with a covariate": "Z, W -> X; X, W -> Y; U -> X, Y",
    "confounded covariate": "Z -> X -> Y; U -> X, Y, W",
    "mediated, confounded start": "X -> M -> Y; U -> X, M",
    "below": "X -> Y -> W; U -> X, Y",
}
SEVERAL_CAUSES = {
    "two districts": ("X -> M -> Y; B -> Y; U -> X, M; V -> B, Y", {"X": 1, "B": 0}),
    "napkin with an edge": ("W -> Z -> X -> Y; W -> Y; U -> W, X; V -> W, Y", {"X": 1}),
    "chain": ("X -> M -> Y; U -> X, M; V -> M, Y", {"X": 1}),
    "two treatments": ("A -> X -> Y; A -> Y; U -> A, Y; V -> X, Y", {"A": 1, "X": 0}),
    "far": ("A -> X -> Y; A -> B -> Y; U -> X, Y; V -> A, B", {"X": 1}),
}


def latent_graph(spec: str) -> CausalGraph:
    return CausalGraph(spec, latent=[n for n in ("U", "V") if f"{n} ->" in spec])


def lipid_trial() -> Joint:
    """The LRC-CPPT table of Balke and Pearl (1997), Table 1: P(y, d | z)."""
    d, y = "D", "Y"
    return Joint(
        CausalGraph("Z -> D; Z, D -> Y"),
        {
            "Z": [0.5, 0.5],
            d: [[1.0, 0.0], [0.315 + 0.073, 0.139 + 0.473]],
            y: [
                [[0.919, 0.081], [0.5, 0.5]],
                [[0.315 / 0.388, 0.073 / 0.388], [0.139 / 0.612, 0.473 / 0.612]],
            ],
        },
    )


TRIAL = CausalGraph("Z -> D -> Y; D <-> Y")


def balke_pearl(p: np.ndarray) -> tuple[float, float]:
    """The closed form of the bounds on the average effect (Balke & Pearl 1997, eq. 9 and 10).

    ``p[y, d, z] = P(y, d | z)``, binary.
    """
    q = {f"{y}{d}.{z}": p[y, d, z] for y, d, z in itertools.product((0, 1), repeat=3)}
    lower = max(
        q["11.1"] + q["00.0"] - 1,
        q["11.0"] + q["00.1"] - 1,
        q["11.0"] - q["11.1"] - q["10.1"] - q["01.0"] - q["10.0"],
        q["11.1"] - q["11.0"] - q["10.0"] - q["01.1"] - q["10.1"],
        -q["01.1"] - q["10.1"],
        -q["01.0"] - q["10.0"],
        q["00.1"] - q["01.1"] - q["10.1"] - q["01.0"] - q["00.0"],
        q["00.0"] - q["01.0"] - q["10.0"] - q["01.1"] - q["00.1"],
    )
    upper = min(
        1 - q["01.1"] - q["10.0"],
        1 - q["01.0"] - q["10.1"],
        -q["01.0"] + q["01.1"] + q["00.1"] + q["11.0"] + q["00.0"],
        -q["01.1"] + q["11.1"] + q["00.1"] + q["01.0"] + q["00.0"],
        q["11.1"] + q["00.1"],
        q["11.0"] + q["00.0"],
        -q["10.1"] + q["11.1"] + q["00.1"] + q["11.0"] + q["10.0"],
        -q["10.0"] + q["11.0"] + q["00.0"] + q["11.1"] + q["10.1"],
    )
    return lower, upper


def test_the_published_bounds_of_the_lipid_trial():
    effect = sharp_bounds(TRIAL, lipid_trial(), {"Y": 1}, do={"D": 1}, against={"D": 0})
    assert (effect.lower, effect.upper) == pytest.approx((0.392, 0.780), abs=1e-9)
    assert effect.method == "sharp: linear programme over 16 response types"


@given(SEEDS)
@settings(max_examples=25)
def test_the_instrument_is_balke_and_pearl(seed):
    rng = np.random.default_rng(seed)
    joint = random_joint(latent_graph("Z -> D -> Y; U -> D, Y"), rng, latent=4)
    p = joint.table("Y", "D", given="Z").values.numpy().transpose(1, 2, 0)
    found = sharp_bounds(TRIAL, joint.observed(), {"Y": 1}, do={"D": 1}, against={"D": 0})
    assert (found.lower, found.upper) == pytest.approx(balke_pearl(p), abs=SLACK)


@pytest.mark.parametrize("name", ONE_DISTRICT)
@given(seed=SEEDS)
@settings(max_examples=6)
def test_bounds_equal_enumeration_and_are_attained(name, seed):
    """No model with this law leaves the interval, and two reach its ends."""
    graph = latent_graph(ONE_DISTRICT[name])
    rng = np.random.default_rng(seed)
    joint = random_joint(graph, rng)
    bounds = sharp_bounds(graph, joint.observed(), {"Y": 1}, do={"X": 1})
    assert bounds.method.startswith("sharp")
    types = Types(graph, joint)
    effect = types.effect({"Y": 1}, {"X": 1})
    for cost, end in ((effect, bounds.lower), (-effect, bounds.upper)):
        model = types.model(types.optimum(cost))
        law = model.table(*graph.observed).values.numpy()
        assert law == pytest.approx(joint.table(*graph.observed).values.numpy(), abs=1e-7)
        assert float(model.prob({"Y": 1}, do={"X": 1})) == pytest.approx(end, abs=1e-6)
    for _ in range(3):
        model = types.model(types.optimum(rng.standard_normal(len(effect))))
        value = float(model.prob({"Y": 1}, do={"X": 1}))
        assert bounds.lower - 1e-6 <= value <= bounds.upper + 1e-6


@pytest.mark.parametrize("name", SEVERAL_CAUSES)
@given(seed=SEEDS)
@settings(max_examples=6)
def test_bounds_hold_and_are_inside_the_natural_ones(name, seed):
    spec, do = SEVERAL_CAUSES[name]
    graph = latent_graph(spec)
    joint = random_joint(graph, np.random.default_rng(seed))
    sharp = sharp_bounds(graph, joint.observed(), {"Y": 1}, do=do)
    natural = natural_bounds(joint.observed(), {"Y": 1}, do=do)
    truth = float(joint.prob({"Y": 1}, do=do))
    assert sharp.lower - SLACK <= truth <= sharp.upper + SLACK
    assert natural.lower - SLACK <= sharp.lower
    assert sharp.upper <= natural.upper + SLACK


@given(SEEDS, st.sampled_from(list(ONE_DISTRICT.values())))
@settings(max_examples=25)
def test_three_levels_and_zeros(seed, spec):
    rng = np.random.default_rng(seed)
    graph = latent_graph(spec)
    cards = {"Z": 3} if "W" not in graph else {"Y": 3}
    joint = random_joint(graph, rng, cards, latent=4)
    if rng.random() < 0.5:  # some laws with empty cells
        tables = {n: joint.table(n, given=graph.parents(n)).values.numpy() for n in graph.nodes}
        node = "X"
        tables[node] = np.eye(tables[node].shape[-1])[rng.integers(0, 2, tables[node].shape[:-1])]
        joint = Joint(graph, tables)
    sharp = sharp_bounds(graph, joint.observed(), {"Y": 1}, do={"X": 0})
    natural = natural_bounds(joint.observed(), {"Y": 1}, do={"X": 0})
    truth = float(joint.prob({"Y": 1}, do={"X": 0}))
    assert natural.lower - SLACK <= sharp.lower <= truth + SLACK
    assert truth - SLACK <= sharp.upper <= natural.upper + SLACK


@pytest.mark.parametrize(
    "spec",
    [
        "X -> M -> Y; U -> X, Y",
        "W -> Z -> X -> Y; U -> W, X; V -> W, Y",
        "C -> X, Y; X -> Y; U -> C, X",
    ],
)
@given(seed=SEEDS)
@settings(max_examples=8)
def test_identified_effects_are_points(spec, seed):
    graph = latent_graph(spec)
    joint = random_joint(graph, np.random.default_rng(seed))
    bounds = sharp_bounds(graph, joint.observed(), {"Y": 1}, do={"X": 1})
    assert bounds.width == 0
    assert bounds.method == "identified"
    assert bounds.lower == pytest.approx(float(joint.prob({"Y": 1}, do={"X": 1})), abs=1e-9)


def test_districts_that_multiply_are_named_and_closed_where_they_can_be():
    spec, do = SEVERAL_CAUSES["two districts"]
    graph = latent_graph(spec)
    joint = random_joint(graph, np.random.default_rng(0))
    method = sharp_bounds(graph, joint.observed(), {"Y": 1}, do=do).method
    assert "linear relaxation over" in method
    chain = latent_graph(SEVERAL_CAUSES["chain"][0])
    law = random_joint(chain, np.random.default_rng(0)).observed()
    method = sharp_bounds(chain, law, {"Y": 1}, do={"X": 1}).method
    assert method.startswith("outer: the programme is not linear, as the district {X, M, Y}")


def test_eight_nodes_in_under_a_second():
    rng = np.random.default_rng(0)
    for spec in (
        "A, B, C -> X; A, B, D -> Y; X -> Y; U -> X, Y; E -> A; F -> B",
        "A, B -> X; D, X -> Y; U -> X, Y; E -> A; F -> B; C -> D",
        "A -> B -> C -> X -> M -> Y; B, C -> Y; D -> X, Y; U -> X, M; V -> B, C; E -> A",
    ):
        graph = latent_graph(spec)
        joint = random_joint(graph, rng)
        sharp_bounds(graph, joint, {"Y": 1}, do={"X": 1})  # imports, plans
        start = time.process_time()
        bounds = sharp_bounds(graph, joint.observed(), {"Y": 1}, do={"X": 1})
        assert time.process_time() - start < 1
        truth = float(joint.prob({"Y": 1}, do={"X": 1}))
        assert bounds.lower - SLACK <= truth <= bounds.upper + SLACK


def test_too_many_types_are_counted():
    graph = latent_graph("A, B, C, D -> X; E, F, X -> Y; U -> X, Y")
    joint = random_joint(graph, np.random.default_rng(0))
    with pytest.raises(ScmError, match=r"1.7e\+07 response types \(X 65,536, Y 256\)"):
        sharp_bounds(graph, joint.observed(), {"Y": 1}, do={"X": 1})


def instrument_data(n: int, seed: int) -> tuple[Joint, dict[str, np.ndarray]]:
    joint = random_joint(latent_graph("Z -> D -> Y; U -> D, Y"), np.random.default_rng(5))
    return joint, sample(joint, n, np.random.default_rng(seed))


def test_limits_from_data_cover():
    """20 samples; limits at 95% miss 5 times or more with probability below 0.3%."""
    joint, _ = instrument_data(1, 0)
    exact = sharp_bounds(TRIAL, joint.observed(), {"Y": 1}, do={"D": 1})
    missed = 0
    for seed in range(20):
        _, data = instrument_data(400, seed)
        found = sharp_bounds(TRIAL, data, {"Y": 1}, do={"D": 1}, bootstrap=40, seed=seed)
        assert found.n == 400
        missed += not (found.lower_limit <= exact.lower and exact.upper <= found.upper_limit)
    assert missed <= 4


def test_the_bootstrap_is_seeded():
    _, data = instrument_data(200, 0)
    first, again, other = (
        sharp_bounds(TRIAL, data, {"Y": 1}, do={"D": 1}, bootstrap=10, seed=s) for s in (1, 1, 2)
    )
    assert first == again
    assert first.lower_limit != other.lower_limit
    assert "10 bootstrap samples" in str(first)
    assert sharp_bounds(TRIAL, data, {"Y": 1}, do={"D": 1}, bootstrap=0).level is None


def test_a_law_that_contradicts_the_graph():
    """P(d, y | z) breaks Pearl's instrumental inequality: sum_y max_z P(d, y | z) <= 1."""
    joint = Joint(
        CausalGraph("Z -> Y; D -> Y"),
        {
            "Z": [0.5, 0.5],
            "D": [0.0, 1.0],
            "Y": [[[0.5, 0.5], [0.9, 0.1]], [[0.5, 0.5], [0.1, 0.9]]],
        },
    )
    with pytest.raises(ScmError, match="Pearl's instrumental inequality"):
        sharp_bounds(TRIAL, joint, {"Y": 1}, do={"D": 1})
    data = sample(joint, 2000, np.random.default_rng(0))
    with pytest.raises(ScmError, match=r"with probability below 0.001"):
        sharp_bounds(TRIAL, data, {"Y": 1}, do={"D": 1}, bootstrap=0)


def test_data_that_contradict_the_graph_by_chance_warn():
    z, d = np.repeat([0, 1], 20), np.tile([0] + [1] * 19, 2)
    y = np.array([0, *[0] * 10, *[1] * 9, 0, *[0] * 7, *[1] * 12])
    with pytest.warns(ContradictionWarning, match="Chance may explain it"):
        found = sharp_bounds(TRIAL, {"Z": z, "D": d, "Y": y}, {"Y": 1}, do={"D": 1}, bootstrap=0)
    assert 0 <= found.lower <= found.upper <= 1


def test_bad_questions():
    joint, data = instrument_data(100, 0)
    law = joint.observed()
    with pytest.raises(GraphError, match="'Y' is in outcome and in do"):
        sharp_bounds(TRIAL, law, {"Y": 1}, do={"Y": 1})
    with pytest.raises(GraphError, match="did you mean 'Y'"):
        sharp_bounds(TRIAL, law, {"y": 1}, do={"D": 1})
    with pytest.raises(InterventionError, match="'D' has no level 7"):
        sharp_bounds(TRIAL, law, {"Y": 1}, do={"D": 7})
    with pytest.raises(GraphError, match="'U' is latent"):
        sharp_bounds(joint.graph, joint, {"Y": 1}, do={"U": 1})
    with pytest.raises(GraphError, match="there is no node 'Z'"):
        sharp_bounds(TRIAL, {n: data[n] for n in ("D", "Y")}, {"Y": 1}, do={"D": 1})
    with pytest.raises(GraphError, match="expected a CausalGraph first"):
        sharp_bounds("Z -> D", law, {"Y": 1}, do={"D": 1})
    with pytest.raises(InterventionError, match="must set the same nodes"):
        sharp_bounds(TRIAL, law, {"Y": 1}, do={"D": 1}, against={"Z": 0})
    real = {**data, "Y": np.random.default_rng(0).normal(size=100)}
    with pytest.raises(ScmError, match="'Y' is continuous"):
        sharp_bounds(TRIAL, real, {"Y": 1}, do={"D": 1})
    macro = CausalGraph("X -> Y; X => M")
    same = [[1.0, 0.0], [0.0, 1.0]]
    tables = {"X": [0.5, 0.5], "Y": same, "M": same}
    with pytest.raises(InterventionError, match="'M' is a macro-variable"):
        sharp_bounds(macro, Joint(macro, tables), {"Y": 1}, do={"M": 1})
    never = {"M": 1, "X": 0}
    with pytest.raises(InterventionError, match="probability zero"):
        counterfactual_bounds(Joint(macro, tables), outcome={"Y": 1}, do={"X": 1}, given=never)


def test_a_treatment_that_never_occurs_is_named():
    import pandas as pd

    data = pd.DataFrame({"Z": [0, 1] * 20, "D": [0] * 40, "Y": [0, 1, 1, 0] * 10})
    data["D"] = pd.Categorical(data["D"], categories=[0, 1])
    with pytest.raises(ScmError, match=r"D=1 never occurs in the 40 rows \(positivity fails\)"):
        sharp_bounds(TRIAL, data, {"Y": 1}, do={"D": 1})
    with pytest.raises(ScmError, match=r"D=1 never occurs in the 40 rows \(positivity fails\)"):
        natural_bounds(data, {"Y": 1}, do={"D": 1})
