"""Functions, modules and mechanisms of one's own: saved by name, or left out and given again."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

import scm
from scm import MechanismError, ScmError
from scm.mechanisms import Additive, Encoder, Macro, Root
from tests.saving import functions as fs
from tests.saving.models import MODELS, assert_same_model, lambda_model, net, same


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
    shapes = (
        r"layer\.\w+ of .* \(3.*\) in the file, where .*\(4.*\) is expected; .*like the one that"
    )
    with pytest.raises(ScmError, match=shapes):
        scm.load(tmp_path / "m", functions={"Y": fs.Net(4)})
    with pytest.raises(
        ScmError, match=r"layer\.weight \(3, 1\) is unknown; .*like the one that was"
    ):
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
