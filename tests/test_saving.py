"""Saved models: everything comes back bit by bit, and nothing but ScmError comes out."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import distributions as d
from torch import nn
from torch.distributions import transforms as tr

import scm
from scm import MechanismError, ScmError
from scm.mechanisms import (
    CVAE,
    Additive,
    Categorical,
    Encoder,
    Flow,
    Image,
    Linear,
    Macro,
    PostNonlinear,
    Real,
    Root,
    Structural,
    Tabular,
)
from scm.saving import Bounded, archive
from scm.saving.paths import follow, path_of
from tests import functions_for_saving as fs


def net(n_in: int = 1, n_out: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, 3), nn.Tanh(), nn.Linear(3, n_out, bias=False))


def no_grad_all(model: scm.SCM) -> scm.SCM:
    """Parameters that no constructor would draw."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator).to(parameter))
    return model


IMAGE = Image((1, 4, 4), (-1.0, 1.0))

MODELS: dict[str, Any] = {
    "root": lambda: scm.SCM("A; B", A=Root.normal(1.0, 2.0), B=Root(d.Gamma(2.0, 3.0))),
    "vector root": lambda: scm.SCM("A", A=Root.normal(torch.arange(3.0), 1.0)),
    "multivariate": lambda: scm.SCM(
        "A", A=Root(d.MultivariateNormal(torch.ones(2), torch.tensor([[2.0, 0.5], [0.5, 1.0]])))
    ),
    "poisson": lambda: scm.SCM("A", A=Root(d.Poisson(3.0))),
    "empirical": lambda: scm.SCM("A", A=Root.empirical(torch.tensor([[1.0, 2.0], [3.0, 5.0]]))),
    "empirical levels": lambda: scm.SCM(
        "A", A=Root.empirical(["a", "b", "b"], type=Categorical(("a", "b")))
    ),
    "tabular": lambda: scm.SCM(
        "A -> B",
        A=Root.categorical([0.2, 0.3, 0.5], levels=("x", 2, 0.5)),
        B=Tabular([[0.1, 0.9], [0.7, 0.3], [1 / 3, 2 / 3]], coupling="monotone"),
    ),
    "linear": lambda: scm.SCM(
        "A, K -> B",
        A=Root.normal(),
        K=Root.bernoulli(0.3),
        B=Linear({"A": 2.0, "K": [1.0, -1.0]}, bias=0.5, noise=d.Laplace(0.0, 2.0)),
    ),
    "additive": lambda: scm.SCM("A -> B", A=Root.normal(), B=Additive(fs.double)),
    "additive net": lambda: scm.SCM("A -> B", A=Root.normal(), B=Additive(net())),
    "post-nonlinear": lambda: scm.SCM(
        "A -> B",
        A=Root.normal(),
        B=PostNonlinear(
            net(),
            tr.ComposeTransform(
                [tr.AffineTransform(0.5, torch.tensor(2.0)), tr.SigmoidTransform()]
            ),
        ),
    ),
    "inverse transform": lambda: scm.SCM(
        "A -> B",
        A=Root.normal(),
        B=PostNonlinear(fs.double, tr.ComposeTransform([tr.ExpTransform(), tr.ExpTransform().inv])),
    ),
    "flow": lambda: scm.SCM("A -> B", A=Root.normal(), B=Flow(2, transforms=2, hidden=(8,))),
    "autoregressive": lambda: scm.SCM("B", B=Flow((), kind="autoregressive", hidden=(4,), seed=3)),
    "structural": lambda: scm.SCM(
        "A -> B, C, T",
        A=Root.normal(),
        B=Structural(fs.plus_noise, noise=d.Gumbel(0.0, 1.0), inverse=fs.minus_parent),
        C=Structural(net(1, 4), type=Real((2, 2))),
        T=Structural(fs.Tools.triple),
    ),
    "decorated": lambda: scm.SCM("A -> B", A=Root.normal(), B=Additive(fs.decorated)),
    "macro": lambda: scm.SCM(
        "A => B", A=Root.normal(torch.zeros(4)), B=Macro(fs.total, fs.set_total, tolerance=0.01)
    ),
    "cvae": lambda: scm.SCM(
        "A -> B", A=Root.bernoulli(0.5), B=CVAE(IMAGE, latent=2, hidden=(5,), beta=0.5)
    ),
    "cvae with nets": lambda: scm.SCM(
        "A -> B",
        A=Root.normal(),
        B=CVAE(
            Image((1, 4, 4)),
            latent=2,
            likelihood="bernoulli",
            encoder=net(17, 4),
            decoder=nn.Sequential(
                nn.Linear(3, 4),
                nn.Unflatten(1, (1, 2, 2)),
                nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),
                nn.Conv2d(1, 2, 3, padding="same", padding_mode="reflect"),
                nn.GroupNorm(2, 2),
                nn.PReLU(),
                nn.ConvTranspose2d(2, 1, 1),
            ),
        ),
    ),
    "own mechanism": lambda: scm.SCM(
        "A -> B",
        A=Root.normal(),
        B=fs.Scaled(2.0, torch.tensor(0.25), {"x": math.inf, 1: (None, [True, "y"])}),
    ),
    "batch norm": lambda: scm.SCM(
        "A -> B",
        A=Root.normal(),
        B=Additive(nn.Sequential(nn.BatchNorm1d(1), nn.Dropout(0.3), nn.Linear(1, 1)).eval()),
    ),
    "latent, odd names": lambda: scm.SCM(
        'C -> "age (y)"; C -> Z; Z -> "age (y)"',
        {"C": Root.normal(), "age (y)": Linear(), "Z": Linear({"C": 1.0})},
        latent=("C",),
    ),
    "encoder": lambda: scm.SCM(
        "Z -> X",
        Z=Root.normal(),
        X=Additive(net()),
        encoders=[Encoder(("Z",), ("X",), nn.Linear(1, 2))],
    ),
}


def same(a: scm.Samples, b: scm.Samples) -> None:
    assert list(a) == list(b)
    for node in a:
        assert a[node].dtype == b[node].dtype
        assert torch.equal(a[node], b[node]), node


def assert_same_model(a: scm.SCM, b: scm.SCM) -> None:
    assert a.graph.structure == b.graph.structure
    assert {n: m.type for n, m in a.mechanisms.items()} == {
        n: m.type for n, m in b.mechanisms.items()
    }
    for ours, theirs in (
        (a.named_parameters(), b.named_parameters()),
        (a.named_buffers(), b.named_buffers()),
    ):
        mine, other = dict(ours), dict(theirs)
        assert mine.keys() == other.keys()
        for name, tensor in mine.items():
            assert tensor.dtype == other[name].dtype
            assert tensor.requires_grad == other[name].requires_grad
            assert torch.equal(tensor, other[name]), name
    modes = [
        {n: m.training for n, m in model.named_modules(remove_duplicate=False)} for model in (a, b)
    ]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("name", MODELS)
def test_what_is_saved_comes_back(name: str, tmp_path: Path) -> None:
    model = no_grad_all(MODELS[name]())
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
    no_grad_all(model).save(path)
    again = scm.load(path)
    assert_same_model(model, again)
    same(model.sample(10, seed=0), again.sample(10, seed=0))


# Functions and modules.


def lambda_model() -> scm.SCM:
    return scm.SCM("A -> Y", A=Root.normal(), Y=Additive(lambda A: 2 * A))


def test_a_lambda_is_refused_with_the_way_out(tmp_path: Path) -> None:
    model = lambda_model()
    with pytest.raises(MechanismError) as caught:
        model.save(tmp_path / "m")
    for part in ("'Y'", "lambda", "omit=('Y',)", "functions={'Y': function}"):
        assert part in str(caught.value)
    assert not list(tmp_path.iterdir())
    model.save(tmp_path / "m", omit=("Y",))
    with pytest.raises(ScmError, match=r"functions=\{'Y': function\}"):
        scm.load(tmp_path / "m")
    again = scm.load(tmp_path / "m", functions={"Y": lambda A: 2 * A})
    same(model.sample(5, seed=0), again.sample(5, seed=0))


@pytest.mark.parametrize("function", [fs.made, fs.make(1.0), torch.tanh, torch.relu])
def test_other_functions_without_a_path(function: Any, tmp_path: Path) -> None:
    with pytest.raises(ScmError):
        path_of(function)


def test_functions_are_checked(tmp_path: Path) -> None:
    lambda_model().save(tmp_path / "m", omit="Y")
    with pytest.raises(ScmError, match="did you mean 'Y'"):
        scm.load(tmp_path / "m", functions={"y": fs.double})
    with pytest.raises(ScmError, match="without any function"):
        scm.load(tmp_path / "m", functions={"Y": fs.double, "A": fs.double})
    with pytest.raises(ScmError, match="expected a function"):
        scm.load(tmp_path / "m", functions={"Y": 3})
    with pytest.raises(ScmError, match="Known: 'f'"):
        scm.load(tmp_path / "m", functions={"Y": {"g": fs.double}})
    with pytest.raises(ScmError, match="arguments must be named"):
        scm.load(tmp_path / "m", functions={"Y": lambda B: B})
    with pytest.raises(ScmError, match="failed with"):
        scm.load(tmp_path / "m", functions={"Y": lambda A: A @ torch.ones(9, 9)})
    with pytest.raises(MechanismError, match="did you mean 'Y'"):
        lambda_model().save(tmp_path / "n", omit=("y",))


def test_named_functions_can_be_replaced(tmp_path: Path) -> None:
    MODELS["structural"]().save(tmp_path / "m")
    again = scm.load(tmp_path / "m", functions={"B": lambda A, noise: A - noise})
    assert not torch.equal(
        again.sample(5, seed=0)["B"], scm.load(tmp_path / "m").sample(5, seed=0)["B"]
    )


def test_several_functions_of_a_node(tmp_path: Path) -> None:
    model = scm.SCM(
        "A => K",
        A=Root.normal(torch.zeros(4)),
        K=Macro(lambda i: i.mean(-1), lambda i, c: i - i.mean(-1, keepdim=True) + c),
    )
    model.save(tmp_path / "m", omit=["K"])
    with pytest.raises(ScmError, match="'read': ..., 'write': ..."):
        scm.load(tmp_path / "m")
    with pytest.raises(ScmError, match="one value for"):
        scm.load(tmp_path / "m", functions={"K": fs.total})
    again = scm.load(tmp_path / "m", functions={"K": {"read": fs.total, "write": fs.set_total}})
    same(model.do(K=2.0).sample(5, seed=0), again.do(K=2.0).sample(5, seed=0))


def test_modules_of_ones_own(tmp_path: Path) -> None:
    model = scm.SCM("A -> Y", A=Root.normal(), Y=Additive(fs.Net()))
    model.mechanisms["Y"].f.f.shift.fill_(5.0)  # type: ignore[union-attr, operator]
    with pytest.raises(MechanismError, match="functions={'Y': module}"):
        model.save(tmp_path / "m")
    model.save(tmp_path / "m", omit=("Y",))
    again = scm.load(tmp_path / "m", functions={"Y": fs.Net()})
    assert_same_model(model, again)
    same(model.sample(5, seed=0), again.sample(5, seed=0))
    with pytest.raises(ScmError, match="like the one that was saved"):
        scm.load(tmp_path / "m", functions={"Y": fs.Net(4)})
    with pytest.raises(ScmError, match="like the one that was saved"):
        scm.load(tmp_path / "m", functions={"Y": fs.double})


def test_a_module_for_a_function_keeps_its_own_parameters(tmp_path: Path) -> None:
    lambda_model().save(tmp_path / "m", omit="Y")
    module = nn.Linear(1, 1)
    before = copy.deepcopy(module.state_dict())
    scm.load(tmp_path / "m", functions={"Y": module})
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


def test_modules_that_are_not_what_they_seem(tmp_path: Path) -> None:
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(1, 1))
    hooked = nn.Linear(1, 1)
    hooked.register_forward_hook(lambda m, i, o: o + 1)
    swapped = nn.Sequential(nn.Linear(1, 1))
    swapped[0].register_parameter("extra", nn.Parameter(torch.zeros(1)))
    for module in (normed, hooked, swapped):
        model = scm.SCM("A -> Y", A=Root.normal(), Y=Additive(module))
        with pytest.raises(MechanismError, match="omit="):
            model.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_encoders_with_functions(tmp_path: Path) -> None:
    model = scm.SCM(
        "Z -> X",
        Z=Root.normal(),
        X=Additive(net()),
        encoders=[Encoder("Z", "X", lambda X: X.unsqueeze(-1))],
    )
    with pytest.raises(MechanismError, match="the Encoder of"):
        model.save(tmp_path / "m")
    model.save(tmp_path / "m", omit=[("Z",)])
    with pytest.raises(ScmError, match=r"functions=\{\('Z',\): function\}"):
        scm.load(tmp_path / "m")
    again = scm.load(tmp_path / "m", functions={("Z",): lambda X: X.unsqueeze(-1)})
    x = {"X": torch.ones(3)}
    same(model.abduct(x, seed=0).do(Z=0.0), again.abduct(x, seed=0).do(Z=0.0))


def test_mechanisms_that_cannot_be_saved(tmp_path: Path) -> None:
    for cls, message in ((fs.Forgetful, "would not come back"), (fs.Wordless, "cannot be saved")):
        model = scm.SCM("A -> Y", A=Root.normal(), Y=cls(2.0, torch.tensor(1.0)))
        with pytest.raises(MechanismError, match=message):
            model.save(tmp_path / "m")

    class Local(fs.Scaled):
        pass

    model = scm.SCM("A -> Y", A=Root.normal(), Y=Local(2.0, torch.tensor(1.0)))
    with pytest.raises(MechanismError, match="functions={'Y': mechanism}"):
        model.save(tmp_path / "m")
    model.save(tmp_path / "m", omit="Y")
    with pytest.raises(ScmError, match="'Y': mechanism"):
        scm.load(tmp_path / "m")
    with pytest.raises(ScmError, match="a whole mechanism was left out"):
        scm.load(tmp_path / "m", functions={"Y": fs.double})
    again = scm.load(tmp_path / "m", functions={"Y": Local(9.0, torch.tensor(1.0))})
    same(model.sample(5, seed=0), again.sample(5, seed=0))


@pytest.mark.parametrize(
    "path",
    [
        "os:system",
        "posix:system",
        "builtins:exec",
        "builtins:eval",
        "subprocess:run",
        "subprocess:Popen",
        "shutil:rmtree",
        "torch:load",
        "torch.hub:load",
        "torch.serialization:load",
        "numpy:load",
        "pickle:loads",
        "importlib:import_module",
        "__main__:f",
        "_pytest.main:main",
        "pytest:main",
        "hypothesis:given",
        "tests.functions_for_saving:system",
        "tests.functions_for_saving:made",
        "tests.functions_for_saving:torch.load",
        "tests.functions_for_saving:Net",
        "tests.functions_for_saving:Net.forward.__globals__",
        "tests.functions_for_saving:__builtins__.exec",
        "tests.functions_for_saving:double.__call__",
        "tests.functions_for_saving:nothing",
        "no_such_module_here:f",
        "code:interact",
        "",
        ":",
        "a:",
        ":b",
        "a.b",
        "a:b:c",
        "../x:y",
        "a b:c",
        "x" * 10_000 + ":y",
        "tests:functions_for_saving",
    ],
)
def test_paths_that_are_not_followed(path: str) -> None:
    with pytest.raises(ScmError):
        follow(path)


def test_refused_packages_are_not_even_imported(tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "evil_scm_package.py").write_text("raise SystemExit\ndef f(A): return A\n")
    (tmp_path / "quitting_scm_module.py").write_text("raise SystemExit\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ScmError, match="installed package"):
        follow("evil_scm_package:f")
    with pytest.raises(ScmError, match="SystemExit"):
        follow("quitting_scm_module:f")


def test_paths_that_are_followed() -> None:
    assert follow("tests.functions_for_saving:double") is fs.double
    assert follow("tests.functions_for_saving:Tools.triple") is fs.Tools.triple
    assert path_of(fs.Scaled) == "tests.functions_for_saving:Scaled"


# Files.


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "model"
    scm.SCM(
        "A -> B, M; A -> C; A => K",
        A=Root.normal(torch.zeros(2)),
        B=Structural(net(2), noise=None, type=Real()),
        M=Flow((), kind="autoregressive", transforms=1, hidden=(4,)),
        C=PostNonlinear(net(2), tr.AffineTransform(torch.tensor(1.0), 2.0), d.Normal(0.0, 1.0)),
        K=Macro(fs.total, fs.set_total),
    ).save(path)
    return path


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_altered_files_are_refused(file: Path, data: st.DataObject, tmp_path: Path) -> None:
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip", "longer", "drop", "twice"]))
    altered = {
        "cut": content[:at],
        "flip": content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :],
        "longer": content + b"x",
        "drop": content[:at] + content[at + 1 :],
        "twice": content[:at] + content[at:] * 2,
    }[kind]
    path = tmp_path / "altered"
    path.write_bytes(altered)
    with pytest.raises(ScmError) as caught:
        scm.load(path)
    assert "altered" in str(caught.value)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=100))
def test_any_bytes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(content)
    with pytest.raises(ScmError):
        scm.load(path)


def test_other_files(tmp_path: Path) -> None:
    for name, protocol in (("p2", 2), ("p5", 5)):
        (tmp_path / name).write_bytes(pickle.dumps({"a": list(range(9))}, protocol))
    torch.save({"a": torch.ones(2)}, tmp_path / "zip")
    torch.save({"a": torch.ones(2)}, tmp_path / "old", _use_new_zipfile_serialization=False)
    for name in ("p2", "p5", "zip", "old"):
        with pytest.raises(ScmError, match=r"can run code.*weights_only=True"):
            scm.load(tmp_path / name)
    with pytest.raises(ScmError, match="does not exist"):
        scm.load(tmp_path / "missing")
    with pytest.raises(ScmError, match="is not a file"):
        scm.load(tmp_path)
    save_file({"a": torch.ones(2)}, tmp_path / "other")
    with pytest.raises(ScmError, match="not a saved model"):
        scm.load(tmp_path / "other")
    save_file(
        {"a": torch.ones(2)}, tmp_path / "new", {"format": "scm-model 9", "model": "", "sha256": ""}
    )
    with pytest.raises(ScmError, match="'scm-model 9'.*reads 'scm-model 1'"):
        scm.load(tmp_path / "new")


def test_a_refusing_disk_leaves_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    model = MODELS["root"]()
    with pytest.raises(ScmError, match="could not be written"):
        model.save(tmp_path / "no" / "such" / "folder")
    model.save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ScmError, match="No space left"):
        lambda_model().save(tmp_path / "m", omit="Y")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    assert (tmp_path / "m").read_bytes() == before
    monkeypatch.undo()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ScmError, match="could not be written"):
        model.save(tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "m"]


# Documents with a right checksum that SCM.save never wrote.


def rewrite(path: Path, document: Any, tensors: dict[str, torch.Tensor]) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    metadata = {"format": archive.FORMAT, "model": text, "sha256": archive.checksum(text, tensors)}
    save_file(tensors, path, metadata)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = list(value.items()) if isinstance(value, dict) else []
    inner = list(enumerate(value)) if isinstance(value, list) else inner
    return [at, *(p for key, item in inner for p in places(item, (*at, key)))]


def changed(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    value = copy.copy(value)
    value[at[0]] = changed(value[at[0]], at[1:], new)
    return value


strange = st.sampled_from(
    [
        None, True, 0, 1, -1, 2**31, 2**62, 2**70, 10**400, 1e308, -0.5, "", "x", "A", "os:system",
        "tests.functions_for_saving:double", "Root", "Linear", "Flow", "CVAE", "ModuleList", [], {},
        [[]], {"$": "tensor", "key": "0.law.loc"}, {"$": "tensor", "key": "no"}, {"$": "given"},
        {"$": "tuple", "items": [10**6] * 5}, {"$": "number", "value": "nan"}, {"$": "nothing"},
        {"$": "number", "value": "inf"}, {"$": "dict", "items": [[[], 1]]}, [0] * 1000,
        {"$": "function", "path": "builtins:exec"},
        {"$": "type", "name": "Categorical", "levels": 10**12},
        {"$": "type", "name": "Real", "shape": [10**6, 10**6]},
        {"$": "module", "class": "Linear", "arguments": {"in_features": 10**9, "out_features": 9}},
        {"$": "module", "class": "Sequential", "parts": []},
        {"$": "module", "class": "Upsample", "arguments": {"scale_factor": 1e9}},
        {"$": "law", "family": "Normal", "parameters": {}},
        {"$": "transform", "name": "ExpTransform", "arguments": {}},
    ]
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_only_scm_errors_come_out(file: Path, data: st.DataObject, tmp_path: Path) -> None:
    text, tensors = archive.read(file)
    document = json.loads(text)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(places(document)))
        what = data.draw(st.sampled_from(["replace", "swap", "drop"]))
        if what == "replace":
            document = changed(document, at, data.draw(strange))
        elif what == "swap":
            other = data.draw(st.sampled_from(places(document)))
            value = document
            for key in other:
                value = value[key]
            document = changed(document, at, value)
        elif at:
            holder = document
            for key in at[:-1]:
                holder = holder[key]
            shorter = copy.copy(holder)
            del shorter[at[-1]]
            document = changed(document, at[:-1], shorter)
    if data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(tensors)))
        new = data.draw(
            st.sampled_from([torch.zeros(0), torch.zeros(2, 3), torch.full((), math.nan)])
        )
        tensors = {**tensors, key: new}
    path = tmp_path / "made"
    rewrite(path, document, tensors)
    with contextlib.suppress(ScmError):
        scm.load(path)


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", "NaN", '{"nodes": 1}', "[" * 200_000, '{"a":' * 50_000, "1" * 10_000],
)
def test_documents_that_are_no_models(text: str, tmp_path: Path) -> None:
    rewrite(tmp_path / "made", text, {})
    with pytest.raises(ScmError):
        scm.load(tmp_path / "made")


def set_in(file: Path, path: Path, change: Any) -> None:
    text, tensors = archive.read(file)
    document = json.loads(text)
    change(document)
    rewrite(path, document, tensors)


BOMBS: dict[str, Any] = {
    "flow transforms": lambda m: m["M"]["config"].update(transforms=10**9),
    "flow hidden": lambda m: m["M"]["config"].update(hidden=[10**6, 10**6]),
    "flow bins": lambda m: m["M"]["config"].update(kind="spline", bins=10**10),
    "flow event": lambda m: m["M"]["config"].update(event=[10**5, 10**5]),
    "cvae": lambda m: m["M"].update(
        {
            "class": "CVAE",
            "config": {
                "image": {"$": "type", "name": "Image", "shape": [1, 1, 1], "range": [0, 1]},
                "hidden": [10**6, 10**6],
            },
        }
    ),
    "module": lambda m: m["B"]["config"]["f"]["parts"][0][1]["arguments"].update(
        out_features=10**12
    ),
    "upsampled": lambda m: m["B"]["config"]["f"]["parts"].append(
        ["9", {"class": "ConstantPad1d", "arguments": {"padding": 10**12, "value": 0.0}}]
    ),
    "pooled": lambda m: m["B"]["config"]["f"]["parts"].append(
        ["9", {"class": "AdaptiveAvgPool1d", "arguments": {"output_size": 10**12}}]
    ),
    "levels": lambda m: m["B"]["config"].update(
        type={"$": "type", "name": "Categorical", "levels": 10**15}
    ),
    "unfitted table": lambda m: m["M"].update({"class": "Tabular", "config": {"levels": 10**12}}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_memory_is_bounded(name: str, file: Path, tmp_path: Path) -> None:
    def change(document: Any) -> None:
        BOMBS[name](dict(zip(document["nodes"], document["mechanisms"], strict=True)))

    set_in(file, tmp_path / "bomb", change)
    with pytest.raises(ScmError):
        scm.load(tmp_path / "bomb")


def test_a_law_that_broadcasts(tmp_path: Path) -> None:
    MODELS["vector root"]().save(tmp_path / "m")
    text, tensors = archive.read(tmp_path / "m")
    tensors = {"0.law.loc": torch.zeros(20_000, 1), "0.law.scale": torch.ones(1, 20_000)}
    rewrite(tmp_path / "made", text, tensors)
    with pytest.raises(ScmError, match="in proportion to its file"):
        scm.load(tmp_path / "made")


def test_bounds() -> None:
    with Bounded(tensor=1000), pytest.raises(ScmError, match="400,000 bytes"):
        torch.ones(10, 1).expand(10, 10_000).clone()
    with Bounded(tensor=1000), pytest.raises(ScmError):
        torch.ones(50, 1) @ torch.ones(1, 50)
    with Bounded(tensor=1000, total=1500), pytest.raises(ScmError, match="1,600 bytes"):
        [torch.ones(200), torch.ones(200)]
    with Bounded(tensor=1000, calls=1), pytest.raises(ScmError, match="operations"):
        [torch.ones(1), torch.ones(1)]
