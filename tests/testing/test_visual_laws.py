"""The laws of visual causes, on models that obey them and on models that do not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scm
from scm.datasets import bars
from scm.estimators import Partition, causal_partition, observational_partition
from scm.testing import check, strategies
from scm.testing.laws import partitions as laws

ROLES = {"image": "I", "target": "T"}
NOT = "not applicable"
NAMES = ["causal coarsening", "P(T | I) = P(T | C, S)", "no smaller description"]


def on_the_surface(seed: int, levels: int) -> scm.SCM:
    """P(T | I = 0) = P(T | I = 1): image 1 has the law of image 0, moved by its other P(H | I).

    With a_h = P(T | h, 0) and w_i = P(H | i), the law P(T | h, 1) = a_h + sum_k (w_0 - w_1)_k a_k
    solves it for every P(H), P(I | H) and a.
    """
    rng = torch.Generator().manual_seed(seed)

    def rows(*shape: int) -> torch.Tensor:
        found = 0.5 + torch.rand(*shape, generator=rng, dtype=torch.float64)
        return found / found.sum(-1, keepdim=True)

    prior, image = rows(3), rows(3, 4)
    target = 0.2 * rows(3, 4, levels) + 0.8 / levels
    weight = prior[:, None] * image
    weight = weight / weight.sum(0)
    target[:, 1] = target[:, 0] + (weight[:, 0] - weight[:, 1]) @ target[:, 0]
    return scm.SCM(
        "H -> I; H, I -> T",
        latent=["H"],
        H=scm.Tabular(prior),
        I=scm.Tabular(image),
        T=scm.Tabular(target),
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(2, 4))
def test_models_of_measure_zero_are_recognised(seed: int, levels: int) -> None:
    model = on_the_surface(seed, levels)
    observed = observational_partition(model, "I", "T")
    causal = causal_partition(model, "I", "T")
    assert observed.cells == ((0, 1), (2,), (3,))
    assert len(causal) == 4
    report = check(model, NAMES, roles=ROLES)
    assert [result.outcome for result in report.results] == ["failed", NOT, NOT]
    assert "does not coarsen" in str(report)


@settings(max_examples=10, deadline=None)
@given(strategies.visual_models(classes=2), st.floats(1e-4, 1e-2))
def test_a_step_off_the_surface_coarsens_again(model: scm.SCM, step: float) -> None:
    """The same models, nudged: coarsening holds next to each model where it fails."""
    surface = on_the_surface(7, 2)
    tables = {n: scm.Tabular(m.table()) for n, m in surface.mechanisms.items() if n != "T"}
    target = surface.mechanisms["T"].table().clone()
    target[0, 1, 0] += step
    target[0, 1, 1] -= step
    near = scm.SCM(surface.graph, {**tables, "T": scm.Tabular(target)})
    for lawful in (near, model):
        report = check(lawful, NAMES, roles=ROLES)
        assert [result.outcome for result in report.results] == ["passed"] * 3


def test_the_laws_on_sixteen_images_of_figure_1() -> None:
    report = check(bars(2), NAMES, roles=ROLES)
    assert len(report.passed) == 3, str(report)
    equal = check(bars(2, chances=((0.1, 0.5), (0.5, 0.9))), NAMES, roles=ROLES)
    assert [result.outcome for result in equal.results] == ["failed", NOT, NOT]


@pytest.mark.parametrize(("n", "bell"), [(1, 1), (2, 2), (3, 5), (4, 15), (5, 52), (6, 203)])
def test_every_description_is_tried(n: int, bell: int) -> None:
    found = list(laws._functions(tuple(range(n))))
    assert len(found) == len(set(found)) == bell


def test_a_description_that_leaves_something_out_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Were the observational partition found too coarse or too fine, the laws would say so."""
    model = bars(2)
    observed = observational_partition(model, "I", "T")

    def wrong(result: Partition) -> None:
        monkeypatch.setattr(laws, "observational_partition", lambda *_, **__: result)

    wrong(causal_partition(model, "I", "T"))
    assert check(model, NAMES[1:2], roles=ROLES).results[0].outcome == "failed"
    small = on_the_surface(0, 2)
    wrong(Partition.by({k: k for k in range(4)}))
    assert check(small, NAMES[2:], roles=ROLES).results[0].outcome == "failed"
    wrong(observed)
    assert check(model, NAMES, roles=ROLES).results[1].outcome == "passed"
