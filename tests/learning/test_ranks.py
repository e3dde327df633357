"""Two processes train what one trains: the same gradients, batches, checkpoints and refusals."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from scm.errors import ScmError
from scm.learning import on_devices, train_classifier
from scm.learning.ranks import Ranks
from tests.learning import ranked

pytest.importorskip("lightning_fabric")

# Double precision throughout: what is left is the order in which sums are taken, and what a few
# steps of Adam make of it.
GRADIENT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-11}
STEPS: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two gloo ranks left, who found a checkpoint of one process that was cut short."""
    path = tmp_path_factory.mktemp("ranks")
    with pytest.raises(InterruptedError):
        ranked.classifier("IRM", None, ranked.SEVERAL, checkpoint=path / "one.ckpt", stop=True)
    cut_short(path / "cgn.ckpt")
    on_devices(ranked.everything, path, devices=2, accelerator="cpu")
    return path


def cut_short(path: Path) -> None:
    """Leave the checkpoint of a CGN's training of one process after two of its four steps."""
    from scm.learning.cgn import training

    follow, steps = training._Run._follow, iter(range(9))

    def killing(self: Any) -> None:
        if next(steps) == ranked.KILLED:
            raise InterruptedError
        follow(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training._Run, "_follow", killing)
        with pytest.raises(InterruptedError):
            ranked.generator("autoencoder", None, checkpoint=path, every=ranked.EVERY)


@pytest.fixture(scope="module")
def kept(folder: Path) -> list[dict[str, dict[str, Tensor]]]:
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def assert_near(one: dict[str, Tensor], two: dict[str, Tensor], near: dict[str, Any]) -> None:
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, msg=lambda m, k=key: f"{k}: {m}", **near)


def test_all_ranks_end_alike(kept: Any) -> None:
    assert kept[0].keys() == kept[1].keys()
    for name, state in kept[0].items():
        assert all(torch.equal(value, kept[1][name][key]) for key, value in state.items()), name


@pytest.mark.parametrize("name", ranked.OBJECTIVES)
def test_gradients_are_those_of_one_process(name: str, kept: Any) -> None:
    one = ranked.classifier(name, None, ranked.ONE)
    assert_near(one, kept[0][f"gradient of {name}"], GRADIENT)
    before = ranked.classifier(name, None, ranked.Recipe(steps=1, batch=12, lr=1e-30))
    moved = [not torch.equal(one[key], before[key]) for key in one if "weight" in key]
    assert sum(moved) >= 4  # a gradient of nothing would be equal as well


@pytest.mark.parametrize("name", ranked.OBJECTIVES)
def test_several_steps_are_those_of_one_process(name: str, kept: Any) -> None:
    """The order of batches, the noise on pixels, dropout, batch norm's statistics, and mixup."""
    one = ranked.classifier(name, None, ranked.SEVERAL)
    assert_near(one, kept[0][f"several of {name}"], STEPS)


@pytest.mark.parametrize("name", ranked.CGNS)
def test_a_cgn_is_that_of_one_process(name: str, kept: Any) -> None:
    assert_near(ranked.generator(name, None), kept[0][f"CGN {name}"], STEPS)


def test_a_gan_is_that_of_one_process(kept: Any) -> None:
    """Its weights moved by about 2e-2 in two steps of rate 1e-2."""
    assert_near(ranked.gan(None), kept[0]["GAN"], {"rtol": 0, "atol": 5e-4})


def test_checkpoints_go_on_with_another_number_of_ranks(folder: Path, kept: Any) -> None:
    whole = ranked.classifier("IRM", None, ranked.SEVERAL)
    state = torch.load(folder / "two.ckpt", weights_only=True)
    assert state["step"] == ranked.EVERY
    from_two = ranked.classifier("IRM", None, ranked.SEVERAL, checkpoint=folder / "two.ckpt")
    for found in (from_two, kept[0]["from one"]):
        assert_near(whole, found, STEPS)
    assert_near(ranked.generator("autoencoder", None), kept[0]["CGN from one"], STEPS)
    assert not [path for path in folder.iterdir() if path.suffix == ".tmp"]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("odd", "7 images cannot be shared equally among 2 ranks.*such as batch=6"),
        ("odd_cgn", "15 images cannot be shared equally"),
        ("other_data", "do not begin alike"),
        ("other_weights", "do not begin alike"),
        ("looking_inside", "LNTL.*has parameters of its own.*in one process"),
        ("other_chance", "dropout alone can"),
        ("no_folder", "could not be written"),
    ],
)
def test_what_is_refused_is_refused_on_each_rank(folder: Path, what: str, message: str) -> None:
    for rank in (0, 1):
        told = json.loads((folder / f"{rank}.json").read_text())[what]
        with pytest.raises(ScmError, match=message):
            raise ScmError(told)


def test_one_process_is_what_it_was_without_lightning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank alone draws and calls its network as if it were not one, and imports nothing."""
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    ranks, network = Ranks(), torch.nn.Linear(2, 2)
    assert ranks.spread(network) is network
    assert torch.equal(
        ranks.normal(3, 2, torch.Generator().manual_seed(1)),
        torch.randn(3, 2, generator=torch.Generator().manual_seed(1)),
    )
    train_classifier(torch.zeros(8, 3, 8, 8), torch.arange(8), steps=1, batch=4)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(ScmError, match=r"neural-scm\[train\]"):
        on_devices(train_classifier, devices=2)
