"""Two processes train what one trains: the same gradients, batches, checkpoints and refusals."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import scm
from scm.errors import ScmError
from scm.learning import on_devices, train_classifier
from scm.learning.ranks import Ranks
from tests.learning import ranked

pytest.importorskip("lightning_fabric")

# Double precision throughout: what is left is the order in which sums are taken, and what a few
# steps of Adam make of it.
GRADIENT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-11}
STEPS: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-8}
# Single precision: its weights move by about 1e-2 a step.
GAN: dict[str, Any] = {"rtol": 0, "atol": 5e-4}


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Tensor]]]:
    """What one process makes of each training, and where it left checkpoints of half of it."""
    path = tmp_path_factory.mktemp("ranks")
    with ranked.half_kept():
        found = {n: work(None, checkpoint=path / f"one-{n}") for n, work in ranked.RESUMED.items()}
    return path, found


@pytest.fixture(scope="module")
def folder(wholes: Any) -> Path:
    """What two gloo ranks left, who also found checkpoints of one process."""
    path: Path = wholes[0]
    model = scm.SCM("A", A=scm.Root.normal())
    scm.generate(model, path / "data", 23, shards=4, workers=1)
    on_devices(ranked.everything, path, devices=2, accelerator="cpu")
    return path


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
    assert_near(ranked.gan(None), kept[0]["GAN"], GAN)


def test_a_stream_of_generated_rows_knows_its_rank(folder: Path) -> None:
    parts = [json.loads((folder / f"{rank}-rows.json").read_text()) for rank in (0, 1)]
    assert parts == [list(range(11)), list(range(11, 23))]


@pytest.mark.parametrize("name", ranked.RESUMED)
def test_checkpoints_go_on_with_another_number_of_ranks(
    name: str, wholes: Any, folder: Path, kept: Any
) -> None:
    whole, half = wholes[1][name], folder / f"two-{name}-half"
    assert torch.load(half, weights_only=True)["step"] == ranked.EVERY
    near = GAN if name == "train_gan" else STEPS
    assert_near(whole, kept[0][f"{name} from one"], near)
    assert_near(whole, ranked.RESUMED[name](None, checkpoint=half), near)
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
