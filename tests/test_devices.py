"""A device that this machine does not have is refused in words, before any work."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import scm
from scm import ScmError
from scm.cli import app
from scm.devices import require_devices

ABSENT = f"cuda:{torch.cuda.device_count()}"  # the first there is none of


@pytest.mark.parametrize("device", [ABSENT, torch.device(ABSENT), "gpu", "cuda:x"])
def test_a_device_that_is_not_there(device: object) -> None:
    with pytest.raises(ScmError, match=r"this machine has cpu.*give one of these") as caught:
        require_devices("cpu", device)
    assert repr(str(device)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_device_is_passed_over() -> None:
    require_devices("cpu", torch.device("cpu"), torch.float64, None, True, torch.zeros(1))


def test_a_model_says_so_and_stays_where_it_is() -> None:
    model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Additive(nn.Linear(1, 1)))
    before = model.sample(3, seed=0)["B"]
    for call in (
        lambda: model.to(ABSENT),
        lambda: model.to(device=ABSENT),
        lambda: model.to(torch.float32, noise_device=ABSENT),
    ):
        with pytest.raises(ScmError, match=ABSENT):
            call()
    assert torch.equal(model.sample(3, seed=0)["B"], before)
    assert model.to("cpu") is model


def test_a_reproduction_says_so_before_it_starts(tmp_path) -> None:
    out = tmp_path / "run"
    call = ["reproduce", "cgn-mnist", "--quick", "--device", ABSENT, "--out", str(out)]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"scm: tensors cannot be put on device='{ABSENT}'")
    assert done.stderr.count("\n") == 1
    assert not out.exists()
