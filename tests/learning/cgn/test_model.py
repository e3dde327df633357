"""The CGN as a model: its graph, its worlds, its files, and the published networks."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

import scm
from scm.errors import MechanismError, ScmError
from scm.learning.cgn import CGN, untrained
from scm.mechanisms.cgn import ColourTexture, Shape
from scm.mechanisms.cgn_conv import ConvShape
from tests.learning.cgn.shared import tiny, toy

PUBLISHED = Path(os.environ.get("SCM_DATA", "")) / "pretrained" / "cgn_mnist"
needs_data = pytest.mark.skipif(
    not os.environ.get("SCM_DATA") or not PUBLISHED.is_dir(), reason="needs SCM_DATA"
)


@pytest.fixture(scope="module")
def cgn() -> CGN:
    return untrained(tiny())


def test_the_graph_is_that_of_the_paper(cgn: CGN) -> None:
    assert cgn.graph == scm.CausalGraph("Y -> Y1, Y2, Y3; Y1 -> M; Y2 -> F; Y3 -> B; M, F, B -> X")
    assert cgn.classes == 3


def test_counterfactuals_are_compositions_of_each_mechanism_under_its_label(cgn: CGN) -> None:
    units = cgn.sample(4, seed=0)
    x = units.sweep(Y1=range(3)).sweep(Y2=range(3)).sweep(Y3=range(3))["X"]
    assert x.shape == (3, 3, 3, 4, 3, 8, 8)
    with torch.no_grad():
        for i, j, k in ((0, 1, 2), (2, 2, 0)):
            m, f, b = (
                cgn.mechanisms[v].generate(units.noise[v], torch.full((4,), label))
                for v, label in (("M", i), ("F", j), ("B", k))
            )
            torch.testing.assert_close(x[i, j, k], m * f + (1 - m) * b)


def test_each_mechanism_runs_once_for_each_of_its_labels(cgn: CGN) -> None:
    rows: Counter[str] = Counter()
    generate = {v: cgn.mechanisms[v].generate for v in ("M", "F", "B")}
    try:
        for v in generate:

            def counted(noise: torch.Tensor, label: torch.Tensor, v: str = v) -> torch.Tensor:
                rows[v] += len(label)
                return generate[v](noise, label)

            cgn.mechanisms[v].generate = counted
        units = cgn.sample(5, seed=1)
        units.sweep(Y1=range(3)).sweep(Y2=range(3)).sweep(Y3=range(3))["X"].sum()
    finally:
        for v in generate:
            del cgn.mechanisms[v].generate
    # The factual labels, then three of each mechanism's own: not 27.
    assert rows == dict.fromkeys("MFB", 5 + 3 * 5)


def test_real_images_are_abducted_by_the_encoder(cgn: CGN) -> None:
    images, labels = toy(6)
    units = cgn.abduct({"X": images, "Y": labels}, seed=0)
    assert units.status["M"] == "approximate"
    assert torch.equal(units["Y2"], labels)
    worlds = units.sweep(Y2=range(3))
    for k in range(3):
        same = labels == k  # setting Y2 to what it is changes nothing
        torch.testing.assert_close(worlds["F"][k][same], units["F"][same])
    assert torch.equal(worlds["M"][0], units["M"])


def test_a_cgn_is_saved_with_its_encoder(cgn: CGN, tmp_path: Path) -> None:
    cgn.save(tmp_path / "cgn.scm")
    images, labels = toy(3)
    for again in (scm.load(tmp_path / "cgn.scm"), CGN.load(tmp_path / "cgn.scm")):
        assert torch.equal(again.sample(3, seed=0)["X"], cgn.sample(3, seed=0)["X"])
        found = again.abduct({"X": images, "Y": labels}, seed=0)
        assert torch.equal(found["M"], cgn.abduct({"X": images, "Y": labels}, seed=0)["M"])
    assert isinstance(CGN.load(tmp_path / "cgn.scm"), CGN)
    scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 1.0})).save(tmp_path / "other.scm")
    with pytest.raises(MechanismError, match="a CGN has Y, Y1"):
        CGN.load(tmp_path / "other.scm")


def test_a_file_of_other_networks_says_which_tensors_differ(
    cgn: CGN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgn.save(tmp_path / "cgn.scm")
    build = ColourTexture.build

    def wider(self: ColourTexture) -> None:
        build(self)
        self.register_buffer("gain", torch.ones(3))

    monkeypatch.setattr(ColourTexture, "build", wider)
    with pytest.raises(
        ScmError, match=r"node 'F' has other tensors: gain \(3,\) is missing in the"
    ):
        CGN.load(tmp_path / "cgn.scm")


def test_parts_that_do_not_fit_are_refused(cgn: CGN) -> None:
    with pytest.raises(MechanismError, match="of one size and range"):
        CGN(Shape(16), ColourTexture(8), ColourTexture(8))
    with pytest.raises(MechanismError, match="positive number"):
        cgn.sharpen(0)
    with pytest.raises(ScmError, match="no level"):
        cgn.do(Y1=3)


@pytest.fixture(scope="module")
def reader() -> nn.Module:
    """A network that reads real digits."""
    from scm.datasets import digits
    from scm.learning import SmallCNN, train_classifier

    real = digits("mnist")
    shown = torch.nn.functional.pad(real.images[:8000], (2, 2, 2, 2))
    network = SmallCNN(1, 10, width=8, stride=2)
    return train_classifier(shown, real.labels[:8000], model=network, steps=150, progress=False)


@needs_data
@pytest.mark.parametrize("name", ["colored", "double_colored", "wildlife"])
def test_published_networks_produce_digits_of_their_label(name: str, reader: nn.Module) -> None:
    """Their masks are read by a network that was trained on MNIST's own digits alone."""
    cgn = CGN.from_published(PUBLISHED / f"{name}.pth")
    units = cgn.sample(20, seed=0)
    masks = units.sweep(Y1=range(10))["M"]
    with torch.no_grad():
        read = reader(masks.flatten(0, 1)).argmax(1)
    right = (read.reshape(10, 20) == torch.arange(10)[:, None]).double().mean()
    assert right > 0.75
    x = units.sweep(Y1=range(10)).sweep(Y2=range(10))["X"]
    assert x.shape == (10, 10, 20, 3, 32, 32)
    assert x.min() >= 0
    assert x.max() <= 1


@needs_data
@pytest.mark.parametrize("name", ["colored", "double_colored", "wildlife"])
def test_published_networks_have_the_statistics_that_they_were_stored_with(name: str) -> None:
    """What enters each batch norm has the running mean and variance that training left there."""
    cgn = CGN.from_published(PUBLISHED / f"{name}.pth")
    entered: list[tuple[nn.BatchNorm2d, torch.Tensor]] = []
    hook = nn.modules.module.register_module_forward_pre_hook(
        lambda layer, given: (
            entered.append((layer, given[0])) if isinstance(layer, nn.BatchNorm2d) else None
        )
    )
    try:
        cgn.sample(500, seed=0)["X"].sum()
    finally:
        hook.remove()
    assert len(entered) == 2 + 3 + 3
    for layer, given in entered:
        assert layer.running_mean is not None
        assert layer.running_var is not None
        shift = (given.mean((0, 2, 3)) - layer.running_mean) / layer.running_var.sqrt()
        spread = given.var((0, 2, 3)) / layer.running_var
        # Running averages remember about ten batches of 16; another order of layers is off by 10x.
        assert shift.abs().mean() < 0.1
        assert 0.85 < spread.log().mean().exp() < 1.15


def state() -> dict[str, torch.Tensor]:
    """A state dict with the keys and shapes of a published file."""
    out = {"label_emb.weight": torch.zeros(10, 10)}
    conv = {"f_shape": {4: (32, 64), 9: (1, 32)}, "f_text": {3: (64, 64), 7: (32, 64), 10: (3, 32)}}
    for part in ("f_shape", "f_text1", "f_text2"):
        out[f"{part}.0.weight"], out[f"{part}.0.bias"] = torch.zeros(4096, 42), torch.zeros(4096)
        for layer, (outside, inside) in conv[part.rstrip("12")].items():
            out[f"{part}.{layer}.weight"] = torch.zeros(outside, inside, 3, 3)
            if layer == 10:
                out[f"{part}.{layer}.bias"] = torch.zeros(outside)
            for leaf in ("weight", "bias", "running_mean", "running_var"):
                out[f"{part}.{layer + 1}.{leaf}"] = torch.ones(outside)
            out[f"{part}.{layer + 1}.num_batches_tracked"] = torch.tensor(1)
    return out


def test_a_checkpoint_of_the_published_form_loads(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "cgn.pth")
    cgn = CGN.from_published(tmp_path / "cgn.pth")
    assert isinstance(cgn.mechanisms["M"], ConvShape)
    assert cgn.sample(2, seed=0)["X"].shape == (2, 3, 32, 32)


def test_a_checkpoint_of_other_shapes_is_refused_with_each_key(tmp_path: Path) -> None:
    wrong = state()
    wrong["f_text1.3.weight"] = torch.zeros(64, 32, 3, 3)
    del wrong["f_shape.9.weight"]
    wrong["f_bg.0.weight"] = torch.zeros(2)
    torch.save(wrong, tmp_path / "cgn.pth")
    with pytest.raises(ScmError) as error:
        CGN.from_published(tmp_path / "cgn.pth")
    for part in (
        "3 of its tensors differ",
        "f_shape.9.weight is missing, expected (1, 32, 3, 3)",
        "f_text1.3.weight is (64, 32, 3, 3), expected (64, 64, 3, 3)",
        "f_bg.0.weight (2,) is unknown",
    ):
        assert part in str(error.value)


def test_files_that_are_no_checkpoint_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"no file .*none\.pth; .*take mnists/.*ckp\.pth.*SCM_DATA"):
        CGN.from_published(tmp_path / "none.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ScmError, match="download it again|run code of their own"):
        CGN.from_published(tmp_path / "cut.pth")
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(ScmError, match="holds a list"):
        CGN.from_published(tmp_path / "list.pth")
