"""Saved models come back bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import distributions as d
from torch import nn

import scm
from scm.mechanisms import Additive, Flow, Linear, Root, Structural
from tests.saving.models import MODELS, assert_same_model, net, perturbed, same


@pytest.mark.parametrize("name", MODELS)
def test_what_is_saved_comes_back(name: str, tmp_path: Path) -> None:
    model = perturbed(MODELS[name]())
    model.save(tmp_path / "m")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    again = scm.load(tmp_path / "m")
    assert_same_model(model, again)
    units, units2 = model.sample(50, seed=3), again.sample(50, seed=3)
    same(units, units2)
    first = model.graph.nodes[0]
    other = units[first].flip(0)
    same(units.do({first: other}), units2.do({first: other}))
    data = {node: units[node] for node in model.graph.nodes}
    same(
        model.abduct(data, seed=1).do({first: other}), again.abduct(data, seed=1).do({first: other})
    )


@pytest.mark.parametrize(
    "family",
    [
        "Normal",
        "LogNormal",
        "Uniform",
        "Exponential",
        "Cauchy",
        "HalfCauchy",
        "HalfNormal",
        "Gumbel",
        "Pareto",
        "Weibull",
        "Chi2",
        "Beta",
        "StudentT",
        "FisherSnedecor",
        "InverseGamma",
        "VonMises",
        "Geometric",
        "Binomial",
        "NegativeBinomial",
    ],
)
def test_families(family: str, tmp_path: Path) -> None:
    arguments = {
        "Uniform": (1.0, 3.0),
        "Exponential": (2.0,),
        "HalfCauchy": (2.0,),
        "HalfNormal": (2.0,),
        "Chi2": (3.0,),
        "Geometric": (0.3,),
        "StudentT": (3.0, 1.0, 2.0),
        "Binomial": (5, torch.tensor(0.3)),
        "NegativeBinomial": (5, torch.tensor(0.3)),
    }.get(family, (1.5, 2.5))
    model = scm.SCM("A", A=Root(getattr(d, family)(*arguments)))
    model.save(tmp_path / "m")
    same(model.sample(20, seed=0), scm.load(tmp_path / "m").sample(20, seed=0))


def test_streams_dtype_modes_and_ties(tmp_path: Path) -> None:
    shared = nn.Linear(1, 1)
    model = scm.SCM(
        "A -> B; A -> C",
        A=Root.normal(),
        B=Additive(nn.Sequential(shared, nn.ReLU(), shared)),
        C=Additive(shared),
    )
    model.mechanisms["C"].law.loc.fill_(0.5)  # type: ignore[union-attr, operator]
    shared.bias.requires_grad_(False)
    model = model.double().to(torch.float64, noise_device="cpu")
    model.eval().save(tmp_path / "m")
    again = scm.load(tmp_path / "m")
    assert_same_model(model, again)
    assert again._noise_device == torch.device("cpu")
    assert again.sample(3, seed=0)["B"].dtype == torch.float64
    same(model.sample(3, seed=0), again.sample(3, seed=0))
    assert len(list(again.parameters())) == len(list(model.parameters())) == 2
    linear = scm.SCM("A -> B", A=Root.normal(), B=Linear({"A": 2.0}))
    renamed = linear.rename({"A": "Q", "B": "R"})
    renamed.save(tmp_path / "r")
    same(renamed.sample(5, seed=0), scm.load(tmp_path / "r").sample(5, seed=0))
    assert torch.equal(
        scm.load(tmp_path / "r").sample(5, seed=0)["R"], linear.sample(5, seed=0)["B"]
    )


def test_training_mode_with_rows_that_talk(tmp_path: Path) -> None:
    model = MODELS["batch norm"]().train()
    model.save(tmp_path / "m")
    again = scm.load(tmp_path / "m")
    assert again.training
    same(model.eval().sample(5, seed=0), again.eval().sample(5, seed=0))


def test_loading_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    MODELS["cvae with nets"]().save(tmp_path / "m")
    before = torch.get_rng_state()
    scm.load(tmp_path / "m")
    assert torch.equal(before, torch.get_rng_state())


@st.composite
def models(draw: st.DrawFn) -> scm.SCM:
    n = draw(st.integers(1, 5))
    names = draw(st.lists(st.text(min_size=1, max_size=6), min_size=n, max_size=n, unique=True))
    mechanisms: dict[str, Any] = {}
    edges = []
    for i, name in enumerate(names):
        parents = draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else []
        edges += [(p, name) for p in parents]
        numbers = st.floats(-5, 5, width=32)
        scale = draw(st.floats(0.5, 3, width=32))
        if not parents:
            mechanisms[name] = draw(
                st.sampled_from(
                    [
                        Root.normal(draw(numbers), scale),
                        Root.bernoulli(draw(st.floats(0.1, 0.9))),
                        Root.empirical(torch.tensor(draw(st.lists(numbers, min_size=1)))),
                    ]
                )
            )
        else:
            widths = sum(mechanisms[p].type.width for p in parents)
            mechanisms[name] = draw(
                st.sampled_from(
                    [
                        Linear(None, draw(numbers), d.Laplace(0.0, scale)),
                        Additive(net(widths), d.Normal(0.0, scale)),
                        Structural(net(widths)),
                        Flow((), hidden=(4,), transforms=1, kind="autoregressive"),
                    ]
                )
            )
    graph = scm.CausalGraph(
        scm.graph.structure.Structure(nodes=tuple(names), edges=tuple(edges))  # type: ignore[attr-defined]
    )
    return scm.SCM(graph, mechanisms)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(model=models())
def test_random_models_come_back(model: scm.SCM, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("random") / "m"
    perturbed(model).save(path)
    again = scm.load(path)
    assert_same_model(model, again)
    same(model.sample(10, seed=0), again.sample(10, seed=0))
