"""What must hold on a CUDA device; run with `pytest -m gpu` where there is one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import scm
from scm import CVAE, Additive, Flow, Image, Linear, Macro, Root, Tabular
from scm.datasets import gratings, has_row
from scm.interventions import (
    Manipulator,
    PrincipalDirections,
    Strategy,
    StyleTransfer,
    calibrated,
    independence,
    realism,
    steerable,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def mixed() -> scm.SCM:
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    return scm.SCM(
        "A, Z -> B -> C; A -> D; A -> X; C => M",
        A=Root.bernoulli(0.4),
        Z=Root.uniform(0.0, 1.0),
        B=Additive(net),
        C=Linear({"B": torch.ones(2)}, noise=torch.distributions.Normal(torch.zeros(2), 1.0)),
        D=Flow(2),
        X=CVAE(Image((1, 4, 4)), latent=2, hidden=(8,)),
        M=Macro(lambda c: c.mean(-1), lambda c, m: c - c.mean(-1, keepdim=True) + m),
    )


def test_portable_noise_gives_the_same_units_on_both_devices() -> None:
    here = mixed().sample(3000, seed=1)
    there = mixed().to("cuda", noise_device="cpu").sample(3000, seed=1)
    for node in here:
        assert there[node].is_cuda
        torch.testing.assert_close(there[node].cpu(), here[node], rtol=1e-3, atol=1e-4)


def test_units_do_not_depend_on_how_many_are_drawn_on_the_device() -> None:
    model = mixed().to("cuda")
    many, few = model.sample(140_000, seed=2), model.sample(5, seed=2, start=131_069)
    for node in ("A", "Z"):
        assert torch.equal(many[node][131_069:131_074], few[node])


def test_counterfactuals_and_macro_variables_stay_on_the_device() -> None:
    units = mixed().to("cuda").sample(100, seed=3)
    worlds = units.sweep(M=[0.0, 1.0, scm.NATURAL])
    assert worlds["C"].is_cuda
    assert bool(worlds.written["M"].all())
    assert torch.equal(worlds.compact["D"], units.compact["D"][None])


def test_abduction_returns_the_noise_on_the_device() -> None:
    model = mixed().to("cuda")
    units = model.sample(500, seed=4)
    rows = {node: units[node] for node in units}
    found = model.abduct(rows, seed=0).do(A=1)["C"]
    torch.testing.assert_close(found, units.do(A=1)["C"], rtol=1e-3, atol=1e-3)


def test_tables_keep_float64_and_agree_with_exact_answers() -> None:
    model = scm.SCM("A -> B", A=Root.bernoulli(0.3), B=Tabular([[0.9, 0.1], [0.2, 0.8]]))
    share = model.to("cuda").do(A=1).sample(100_000, seed=5)["B"].double().mean().cpu()
    exact = model.exact().prob({"B": 1}, do={"A": 1})
    assert abs(float(share - exact)) < 4 * (0.16 / 100_000) ** 0.5


def test_a_manipulator_learns_and_writes_on_the_device() -> None:
    images = gratings(4, noise=0.0).sample(400, seed=0)["I"].to("cuda")
    codes = has_row(images).long()
    found = Manipulator.fit(
        images, codes, lambda asked: has_row(asked).long(), values="binary", rounds=1, queries=20
    )
    made = found(images[:50], 1 - codes[:50])
    assert made.images.is_cuda
    assert made.reached.float().mean() > 0.9


class Painter(nn.Module):
    """Images of the tanh of a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.bend = nn.Linear(6, 48), nn.Tanh()

    def forward(self, h: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.bend(self.first(h) + y[:, None] / 10).view(-1, 3, 4, 4)


@pytest.mark.parametrize("layer", ["first", "bend"])
def test_a_generator_is_steered_on_the_device(layer: str) -> None:
    painter, known = Painter().to("cuda"), {"width": 6, "classes": 3}
    found = PrincipalDirections.of(painter, layer, 2, samples=2000, **known)
    exact = PrincipalDirections.of(painter, "first", 2, **known)
    assert found.basis.is_cuda
    assert layer == "bend" or exact.angle(found) < 10
    found = calibrated(painter, found, 0.02, **known)
    for at in ("latent", "layer"):
        model = steerable(painter, found, at=at, **known)  # type: ignore[arg-type]
        units = Strategy(0.5, 2, 1.0).sample(model, 30, labels=[0, 1, 2] * 10)
        assert units["X"].is_cuda
        torch.testing.assert_close(model.do(Z2=0.5).sample(5)["Z2"].cpu(), torch.full((5,), 0.5))
        assert 0 <= realism(units, model) <= 1
        assert 0 < independence(units["Z1"], units["Y"], permutations=9).p_value <= 1


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_an_intervention_is_transferred_on_the_device(optimiser: str) -> None:
    natural, generated = 2 * torch.rand(2, 4, 3, 8, 8, device="cuda") - 1
    transfer = StyleTransfer(lambda x: [x], content=0, optimiser=optimiser)  # type: ignore[arg-type]
    made = transfer(natural, generated, steps=(2, 5), progress=False)
    assert made.is_cuda
    before, after = (transfer.terms(x, natural, generated)[1].sum() for x in (natural, made))
    assert after < before
