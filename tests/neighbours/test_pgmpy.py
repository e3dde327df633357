"""pgmpy: the same law and the same acts on both sides of a conversion."""

from __future__ import annotations

import builtins
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scm
from scm.errors import GraphError, MechanismError, ScmError
from scm.neighbours.pgmpy import from_bif

discrete = pytest.importorskip("pgmpy.factors.discrete")
models = pytest.importorskip("pgmpy.models")

with warnings.catch_warnings():  # pgmpy warns of its own deprecated modules
    warnings.simplefilter("ignore", FutureWarning)
    inference = pytest.importorskip("pgmpy.inference")
    readwrite = pytest.importorskip("pgmpy.readwrite")

VariableElimination = inference.VariableElimination


def weather() -> Any:
    """States out of order in a child's table, a latent node, three states."""
    network = models.DiscreteBayesianNetwork(
        [("Season", "Rain"), ("Season", "Grass"), ("Rain", "Grass")], latents={"Season"}
    )
    season = {"Season": ["dry", "wet", "mild"]}
    rain = {"Rain": ["no", "yes"]}
    rng = np.random.default_rng(0)

    def columns(rows: int, n: int) -> np.ndarray:
        return rng.dirichlet(np.ones(rows), n).T

    network.add_cpds(
        discrete.TabularCPD("Season", 3, columns(3, 1), state_names=season),
        discrete.TabularCPD(
            "Rain", 2, columns(2, 3), ["Season"], [3], state_names={**rain, **season}
        ),
        discrete.TabularCPD(
            "Grass",
            2,
            columns(2, 6),
            ["Rain", "Season"],
            [2, 3],
            state_names={"Grass": [False, True], **rain, **season},
        ),
    )
    return network


def test_levels_latent_nodes_and_acts_agree() -> None:
    network = weather()
    model = scm.from_pgmpy(network)
    assert model.graph.latent == ("Season",)
    assert set(model.graph.edges) == set(network.edges)
    assert all(isinstance(m, scm.Tabular) for m in model.mechanisms.values())
    joint = model.exact()
    assert joint.levels["Season"] == ("dry", "wet", "mild")
    assert joint.levels["Grass"] == (False, True)
    seen = VariableElimination(network).query(["Grass"], {"Rain": "yes"}, show_progress=False)
    cut = VariableElimination(network.do(["Rain"]))
    done = cut.query(["Grass"], {"Rain": "yes"}, show_progress=False)
    for level in (False, True):
        p = float(joint.prob({"Grass": level}, given={"Rain": "yes"}))
        assert p == pytest.approx(seen.get_value(Grass=level), abs=1e-12)
        p = float(joint.prob({"Grass": level}, do={"Rain": "yes"}))
        assert p == pytest.approx(done.get_value(Grass=level), abs=1e-12)


def test_a_round_trip_keeps_everything() -> None:
    model = scm.from_pgmpy(weather(), coupling="monotone")
    network = scm.to_pgmpy(model)
    assert network.check_model()
    again = scm.from_pgmpy(network, coupling="monotone")
    assert again.graph == model.graph
    for node, mechanism in model.mechanisms.items():
        other = again.mechanisms[node]
        assert other.type == mechanism.type
        assert again.graph.parents(node) == model.graph.parents(node)
        assert np.allclose(other.table(), mechanism.table(), atol=1e-15)


def test_states_in_another_order_in_a_child() -> None:
    network = models.DiscreteBayesianNetwork([("A", "B")])
    network.add_cpds(
        discrete.TabularCPD("A", 2, [[0.3], [0.7]], state_names={"A": ["x", "y"]}),
        discrete.TabularCPD(
            "B", 2, [[0.1, 0.9], [0.9, 0.1]], ["A"], [2],
            state_names={"B": ["x", "y"], "A": ["y", "x"]},
        ),
    )  # fmt: skip
    joint = scm.from_pgmpy(network).exact()
    assert float(joint.prob({"B": "x"}, do={"A": "y"})) == pytest.approx(0.1)


def test_codes_stay_codes() -> None:
    model = scm.SCM("X -> Y", X=scm.Root.bernoulli(0.2), Y=scm.Tabular([[0.9, 0.1], [0.4, 0.6]]))
    again = scm.from_pgmpy(scm.to_pgmpy(model))
    assert again.mechanisms["Y"].type == scm.Categorical(2)


def test_bif_files(tmp_path: Path) -> None:
    network = weather()
    path = tmp_path / "weather.bif"
    readwrite.BIFWriter(network).write(str(path))
    model = from_bif(path)
    joint, truth = model.exact(), scm.from_pgmpy(network).exact()
    assert set(model.graph.edges) == set(network.edges)
    for level, name in ((False, "False"), (True, "True")):
        p = float(joint.prob({"Grass": name}, do={"Rain": "yes"}))
        assert p == pytest.approx(float(truth.prob({"Grass": level}, do={"Rain": "yes"})), abs=1e-6)
    with pytest.raises(ScmError, match="no file"):
        from_bif(tmp_path / "other.bif")


@pytest.mark.filterwarnings("ignore:`get_example_model` is deprecated:FutureWarning")
def test_alarm() -> None:
    from pgmpy.utils import get_example_model

    network = get_example_model("alarm")
    model = scm.from_pgmpy(network)
    assert len(model.graph.nodes) == 37
    assert len(model.graph.edges) == 46
    chance = model.exact().prob({"BP": "HIGH"}, do={"STROKEVOLUME": "LOW"})
    cut = VariableElimination(network.do(["STROKEVOLUME"]))
    truth = cut.query(["BP"], {"STROKEVOLUME": "LOW"}, show_progress=False)
    assert float(chance) == pytest.approx(truth.get_value(BP="HIGH"), abs=1e-9)


def test_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    network = weather()
    network.remove_cpds("Rain")
    with pytest.raises(MechanismError, match=r"\['Rain'\] have no table"):
        scm.from_pgmpy(network)
    with pytest.raises(ScmError, match="DiscreteBayesianNetwork"):
        scm.from_pgmpy("network")
    numbered = models.DiscreteBayesianNetwork([(0, 1)])
    with pytest.raises(GraphError, match="named by a string"):
        scm.from_pgmpy(numbered)
    network = models.DiscreteBayesianNetwork([("A", "B")])
    network.add_cpds(
        discrete.TabularCPD("A", 2, [[0.3], [0.7]], state_names={"A": ["x", "y"]}),
        discrete.TabularCPD(
            "B", 2, [[0.1, 0.9], [0.9, 0.1]], ["A"], [2],
            state_names={"B": ["x", "y"], "A": ["x", "z"]},
        ),
    )  # fmt: skip
    with pytest.raises(MechanismError, match="the states"):
        scm.from_pgmpy(network)
    real = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 1.0}))
    with pytest.raises(MechanismError, match="exact"):
        scm.to_pgmpy(real)
    original = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pgmpy"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ScmError, match=r"pip install 'neural-scm\[neighbours\]'"):
        scm.to_pgmpy(real)
