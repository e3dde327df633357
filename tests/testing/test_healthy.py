"""Models without a defect obey every law that applies to them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scm
from scm.estimators import causal_partition, observational_partition
from scm.testing import LAWS, assert_lawful, check, strategies
from scm.testing.laws.partitions import SUPPLEMENT_B

few = settings(
    max_examples=3,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    deadline=None,
)
VISUAL = {"image": "I", "target": "T"}
seeds = st.integers(0, 1000)


@pytest.mark.parametrize(
    "kind",
    ["discrete_models", "linear_models", "additive_models", "neural_models", "macro_models"],
)
def test_models_of_every_kind(kind: str) -> None:
    @few
    @given(getattr(strategies, kind)(), seeds)
    def lawful(model: scm.SCM, seed: int) -> None:
        assert_lawful(model, seed=seed, trials=3)

    lawful()


@few
@given(strategies.discrete_models(), seeds)
def test_double_precision(model: scm.SCM, seed: int) -> None:
    assert_lawful(model.to(torch.float64), seed=seed, trials=2)


@few
@given(strategies.discrete_models(zeros=True), seeds)
def test_probabilities_of_zero(model: scm.SCM, seed: int) -> None:
    assert_lawful(model, seed=seed, trials=3)


@few
@given(strategies.strategy_models(), seeds)
def test_models_of_figure_4(model: scm.SCM, seed: int) -> None:
    laws = [
        "bound under a randomised z",
        "nesting of intervals",
        "natural bounds",
        "identification",
    ]
    report = check(model, laws, seed=seed)
    assert len(report.passed) == len(laws), str(report)


@settings(max_examples=10)
@given(strategies.visual_models(classes=None), seeds)
def test_almost_all_models_have_a_coarsening(model: scm.SCM, seed: int) -> None:
    assert_lawful(model, ["causal coarsening"], seed=seed, roles=VISUAL)


@settings(max_examples=10)
@given(strategies.visual_models(classes=2), seeds)
def test_almost_all_models_with_given_causal_classes(model: scm.SCM, seed: int) -> None:
    causal = causal_partition(model, image="I", target="T")
    assert causal.cells == ((0, 2), (1, 3))
    assert len(observational_partition(model, image="I", target="T")) == 4
    laws = ["causal coarsening", "P(T | I) = P(T | C, S)", "no smaller description"]
    assert len(check(model, laws, seed=seed, roles=VISUAL).passed) == 3


def test_linear_gaussian_ratio_applies_to_figure_4() -> None:
    model = scm.SCM(
        "C -> Z, Y; Z, F -> X; X -> Y",
        latent=["C", "F"],
        C=scm.Root.normal(),
        F=scm.Root.normal(),
        Z=scm.Linear({"C": 2.0}),
        X=scm.Linear({"Z": 1.0, "F": 1.0}),
        Y=scm.Linear({"C": -3.0, "X": 0.5}),
    )
    report = check(model, ["linear Gaussian ratio", "Markov, sampled"])
    assert [r.outcome for r in report.results] == ["passed", "passed"]
    assert all(0 < r.law.false_alarm <= 1e-6 for r in report.results)


@pytest.mark.parametrize(
    ("spec", "latent"),
    [("U -> X, Y; X -> Y", ["U"]), ("U -> X, Y; V -> X, M; X -> M -> Y", ["U", "V"])],
)
def test_what_is_not_identified_has_two_models(spec: str, latent: list[str]) -> None:
    graph = scm.CausalGraph(spec, latent=latent)
    weights = {v: dict.fromkeys(graph.parents(v), 1.0) for v in graph.nodes}
    model = scm.SCM(graph, {v: scm.Linear(w) for v, w in weights.items()})
    assert check(model, ["what is not identified"]).results[0].outcome == "passed"


@pytest.mark.parametrize("name", SUPPLEMENT_B)
def test_the_three_tables_of_supplement_b(name: str) -> None:
    joint = SUPPLEMENT_B[name]
    observed = observational_partition(joint, image="I", target="T", tolerance=2e-3)
    causal = causal_partition(joint, image="I", target="T", tolerance=2e-3)
    expected = {
        "coarsening": (((0,), (1,), (2,)), ((0, 1), (2,))),
        "refinement": (((0, 1), (2,)), ((0,), (1,), (2,))),
        "incompatible": (((0,), (1, 2)), ((0, 1), (2,))),
    }[name]
    assert (observed.cells, causal.cells) == expected
    assert causal.is_coarsening_of(observed) == (name == "coarsening")
    assert observed.is_coarsening_of(causal) == (name == "refinement")


def test_the_theorem_as_printed_fixes_the_wrong_partition() -> None:
    """With P(T | I = 0) = P(T | I = 1) fixed, almost no model has equal effects of 0 and 1."""
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        prior, image, target = (
            torch.rand(*shape, generator=rng, dtype=torch.float64) * 0.6 + 0.2
            for shape in ((2,), (2, 3), (2, 3))
        )
        prior, image = prior / prior.sum(), image / image.sum(-1, keepdim=True)
        posterior = prior[:, None] * image
        posterior = posterior / posterior.sum(0)
        gap = (posterior[:, 1] * target[:, 1]).sum() - (posterior[:, 0] * target[:, 0]).sum()
        target[:, 0] += gap.clamp(-0.15, 0.15)
        target[:, 1] -= gap - gap.clamp(-0.15, 0.15)
        if not ((target > 0) & (target < 1)).all():
            continue
        model = scm.SCM(
            "H -> I; H, I -> T",
            H=scm.Tabular(prior),
            I=scm.Tabular(image),
            T=scm.Tabular(torch.stack([1 - target, target], -1)),
        )
        observed = observational_partition(model, image="I", target="T")
        assert observed.cells == ((0, 1), (2,))
        assert not causal_partition(model, image="I", target="T").is_coarsening_of(observed)


@settings(max_examples=15)
@given(st.data(), strategies.models())
def test_acts_can_be_made(data: st.DataObject, model: scm.SCM) -> None:
    given_acts = data.draw(strategies.acts(model))
    units = model.do(given_acts).sample(3, seed=0) if given_acts else model.sample(3, seed=0)
    assert set(units) == set(model.graph.nodes)


@settings(max_examples=15)
@given(strategies.graphs(latent=True, confounded=True))
def test_graphs(graph: scm.CausalGraph) -> None:
    assert graph.observed
    assert len(graph.topological_order()) == len(graph)


def test_every_law_says_what_it_is() -> None:
    assert len({law.name for law in LAWS}) == len(LAWS)
    for law in LAWS:
        assert law.statement
        assert law.source
        assert law.name in repr(law)
