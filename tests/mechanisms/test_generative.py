"""Flow and CVAE: mechanisms that are learnt."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch

from scm.errors import MechanismError
from scm.mechanisms import CVAE, Flow, Image, Real
from tests.mechanisms.contract import (
    IMAGE,
    LEVELS,
    REAL,
    VECTOR,
    Case,
    MechanismContract,
    draw,
    generator,
    global_random_state_untouched,
    run,
    trial,
    values,
)

SMALL = {"transforms": 2, "hidden": (16,)}


class TestFlow(MechanismContract):
    cases: ClassVar = {
        f"{kind}, {event or 'scalar'}, {len(parents)} parents": Case(
            lambda kind=kind, event=event: Flow(event, kind, **SMALL), parents
        )
        for kind in ("spline", "autoregressive")
        for event in ((), 2)
        for parents in ({}, {"A": REAL, "B": LEVELS, "C": VECTOR})
    }


class TestCVAE(MechanismContract):
    cases: ClassVar = {
        "normal": Case(lambda: CVAE(IMAGE, 2, (8,)), {"A": LEVELS, "B": REAL}),
        "normal root": Case(lambda: CVAE(Image((1, 2, 2), (-1, 1)), 2, (8,))),
        "bernoulli": Case(lambda: CVAE(IMAGE, 2, (8,), "bernoulli"), {"A": LEVELS}, recovers=False),
    }


def two_modes(n: int, seed: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """S = A + 2 with probability 1/2 and A - 2 otherwise, plus noise of scale 0.3."""
    g = generator(seed)
    a = torch.randn(n, generator=g)
    side = 4.0 * torch.randint(2, (n,), generator=g) - 2.0
    return {"A": a}, a + side + 0.3 * torch.randn(n, generator=g)


def test_a_flow_learns_two_modes() -> None:
    flow = Flow((), "spline", transforms=1, hidden=(32,))
    flow.bind("S", {"A": REAL})
    parents, value = two_modes(1500, 0)
    held_out, test = two_modes(1000, 1)
    with torch.no_grad():
        start = flow.log_prob(test, held_out).mean()
    with global_random_state_untouched():
        flow.fit(value, parents, epochs=25, batch=100, lr=0.01, progress=False)
    with torch.no_grad():
        found = flow.log_prob(test, held_out).mean()
    entropy = math.log(2) + 0.5 * math.log(2 * math.pi * math.e * 0.3**2)
    assert found > start + 0.5
    assert found > -entropy - 0.25


def test_a_flow_that_does_not_fit() -> None:
    with pytest.raises(MechanismError, match="kind='planar'; expected 'spline'"):
        Flow(kind="planar")
    flow = Flow(2)
    flow.bind("S", {})
    rows = torch.stack([torch.arange(5.0), torch.ones(5)], -1)
    with pytest.raises(MechanismError, match="'S'.*does not vary"):
        flow.fit(rows, {})
    assert flow.scale.tolist() == [1.0, 1.0]


def bars(n: int, seed: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Images whose lit row is their level."""
    g = generator(seed)
    level = torch.randint(3, (n,), generator=g)
    image = 0.1 * torch.rand(n, 1, 3, 3, generator=g)
    image[torch.arange(n), 0, level] += 0.8
    return {"A": level}, image


@pytest.mark.parametrize("likelihood", ["normal", "bernoulli"])
def test_a_cvae_learns_its_parents(likelihood: str) -> None:
    cvae = CVAE(IMAGE, 2, (16,), likelihood)
    cvae.bind("S", {"A": LEVELS})
    parents, value = bars(300, 0)
    held_out, test = bars(200, 1)
    before = cvae.loss(test, held_out, generator()).item()
    with global_random_state_untouched():
        cvae.fit(value, parents, epochs=20, batch=50, lr=0.02, progress=False)
    assert cvae.loss(test, held_out, generator()).item() < before - 1
    rows = {"A": torch.arange(3)}
    with torch.no_grad():
        mean = cvae.decode(torch.zeros(3, 2), rows)
    assert mean[:, 0].mean(-1).argmax(-1).tolist() == [0, 1, 2]


def test_proposals_weigh_to_the_evidence() -> None:
    """E_q[w] is p(S | PA), whatever the encoder; 5 standard errors of a quadrature over z."""
    cvae = CVAE(Image((1, 1, 2)), 1, (4,), seed=3)
    cvae.bind("S", {"A": REAL})
    value, parents = torch.tensor([[[[0.4, 0.6]]]]), {"A": torch.tensor([0.5])}
    z = torch.linspace(-8, 8, 4001)[:, None]
    rows = {"A": parents["A"].expand(len(z))}
    with torch.no_grad():
        inner = cvae.emission(rows, z).log_prob(value.expand(len(z), 1, 1, 2))
        prior = -0.5 * z[:, 0] ** 2 - 0.5 * math.log(2 * math.pi)
        exact = torch.trapezoid((inner + prior).exp(), z[:, 0])
        n = 20_000
        many = {"A": parents["A"].expand(n)}
        fresh = draw(cvae.noise, (n,), generator())
        noise, weight = cvae.propose(value.expand(n, 1, 1, 2), many, fresh)
        torch.testing.assert_close(run(cvae, many, noise), value.expand(n, 1, 1, 2))
    weight = weight.exp()
    assert abs(weight.mean() - exact) < 5 * weight.std() / n**0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CVAE(Real(4)), "expected an Image type"),
        (lambda: CVAE(IMAGE, likelihood="poisson"), "'normal' or 'bernoulli'"),
        (lambda: CVAE(Image((1, 2, 2), (-1, 1)), likelihood="bernoulli"), r"pixels in \[0, 1\]"),
    ],
)
def test_a_cvae_that_makes_no_sense(make, message: str) -> None:
    with pytest.raises(MechanismError, match=message):
        make()


def test_networks_of_other_shapes() -> None:
    cvae = CVAE(IMAGE, 2, encoder=torch.nn.Linear(9, 3), decoder=torch.nn.Linear(2, 5))
    cvae.bind("S", {})
    image = values(IMAGE, (4,), generator())
    with pytest.raises(MechanismError, match=r"encoder .*\(4, 3\); expected \(rows, 4\)"):
        cvae.abduct(image, {}, draw(cvae.noise, (4,), generator()))
    with pytest.raises(MechanismError, match=r"decoder .*\(12, 5\); expected one number for each"):
        run(cvae, *trial(cvae))
