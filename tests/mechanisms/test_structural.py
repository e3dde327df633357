"""Structural, Macro: any function."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import distributions as d

from scm.errors import MechanismError
from scm.mechanisms import Categorical, Macro, Real, Structural
from tests.mechanisms.contract import (
    IMAGE,
    LEVELS,
    REAL,
    VECTOR,
    Case,
    MechanismContract,
    generator,
    run,
    small,
    trial,
)

TWO = d.Normal(torch.zeros(2), 1.0)


class TestStructural(MechanismContract):
    cases: ClassVar = {
        "deterministic": Case(lambda: Structural(lambda A, B: A + B), {"A": REAL, "B": REAL}),
        "noise": Case(
            lambda: Structural(lambda A, noise: A * noise, d.Normal(1.0, 0.1)), {"A": REAL}
        ),
        "discrete noise": Case(
            lambda: Structural(lambda A, noise: A + noise, d.Bernoulli(0.3)), {"A": REAL}
        ),
        "inverse": Case(
            lambda: Structural(
                lambda A, noise: A + noise.exp(),
                d.Laplace(0.0, 0.2),
                inverse=lambda A, value: (value - A).log(),
            ),
            {"A": REAL},
        ),
        "vector inverse": Case(
            lambda: Structural(
                lambda A, noise: 2 * A + noise,
                TWO,
                type=Real(2),
                inverse=lambda A, value: value - 2 * A,
            ),
            {"A": REAL},
        ),
        "levels": Case(
            lambda: Structural(lambda A, B: (A > 0).long() + B % 2, type=LEVELS),
            {"A": REAL, "B": LEVELS},
        ),
        "scalar times image": Case(
            lambda: Structural(lambda A, B: A * B, type=IMAGE), {"A": REAL, "B": IMAGE}
        ),
        "one noise for an image": Case(
            lambda: Structural(lambda B, noise: B + noise, d.Normal(0.0, 0.1), type=IMAGE),
            {"B": IMAGE},
        ),
        "vector noise of a scalar": Case(
            lambda: Structural(lambda A, noise: A + noise.sum(-1), TWO), {"A": REAL}
        ),
        "module": Case(lambda: Structural(small(4)), {"A": REAL, "B": LEVELS}),
        "module with noise": Case(lambda: Structural(small(3), noise=TWO), {"A": REAL}),
        "noise alone": Case(lambda: Structural(lambda noise: noise**2, d.Normal(0.0, 1.0))),
        "module of noise": Case(lambda: Structural(small(2, 2), TWO, type=Real(2))),
    }


class TestMacro(MechanismContract):
    cases: ClassVar = {
        "function": Case(lambda: Macro(lambda i: i.mean(-1)), {"I": VECTOR}),
        "levels": Case(lambda: Macro(lambda i: i[..., 0] > 0, type=Categorical(2)), {"I": VECTOR}),
        "module": Case(lambda: Macro(small(2)), {"I": VECTOR}),
        "two micro nodes": Case(lambda: Macro(lambda H, J: H + J), {"H": REAL, "J": REAL}),
    }


def test_noise_with_draws() -> None:
    """A sampled abduction puts draws before the units of the noise, not of the parents."""
    mechanism = Structural(lambda A, noise: A + noise, d.Normal(0.0, 1.0))
    mechanism.bind("S", {"A": REAL})
    out = run(mechanism, {"A": torch.zeros(1, 4)}, torch.ones(3, 4))
    assert out.shape == (3, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Structural(lambda A: A, d.Normal(0.0, 1.0)), r"takes \['A'\].*\['A', 'noise'\]"),
        (lambda: Structural(lambda A, noise: A), r"takes \['A', 'noise'\].*named \['A'\]"),
        (
            lambda: Structural(lambda A, noise: A, d.Normal(0.0, 1.0), inverse=lambda A: A),
            r"\['A', 'value'\]",
        ),
        (lambda: Structural(lambda A: A, inputs="flat"), "inputs='flat'; expected"),
        (lambda: Structural(lambda A: A, inverse=lambda A, value: A), "continuous noise="),
        (
            lambda: Structural(lambda A, noise: A, d.Poisson(1.0), inverse=lambda A, value: A),
            "continuous noise=",
        ),
    ],
)
def test_arguments(make, message: str) -> None:
    with pytest.raises(MechanismError, match=message):
        make().bind("S", {"A": REAL})


def test_a_parent_called_noise() -> None:
    mechanism = Structural(lambda noise: noise, d.Normal(0.0, 1.0))
    with pytest.raises(MechanismError, match="called 'noise'.*rename"):
        mechanism.bind("S", {"noise": REAL})


def test_without_an_inverse_there_is_no_abduction() -> None:
    mechanism = Structural(lambda A, noise: A + noise, d.Normal(0.0, 1.0))
    mechanism.bind("S", {"A": REAL})
    assert mechanism.abduction is None
    parents, noise = trial(mechanism)
    with pytest.raises(MechanismError, match="no inverse; give it one"):
        mechanism.abduct(parents["A"], parents, noise)


def test_table_of_a_function_of_levels() -> None:
    mechanism = Structural(lambda A, B: (A + B) % 2, type=Categorical(2))
    mechanism.bind("S", {"A": LEVELS, "B": Categorical(2)})
    assert mechanism.table()[..., 1].tolist() == [[0, 1], [1, 0], [0, 1]]
    real = Structural(lambda A: A)
    real.bind("S", {"A": REAL})
    with pytest.raises(MechanismError, match="not a table"):
        real.table()


def test_fit_of_a_module_by_squared_error() -> None:
    mechanism = Structural(small(1))
    mechanism.bind("S", {"A": REAL})
    parents = {"A": torch.randn(300, generator=generator())}
    value = parents["A"].sin()
    before = mechanism.loss(value, parents, generator()).item()
    mechanism.fit(value, parents, epochs=30, batch=50, lr=0.02, progress=False)
    assert mechanism.loss(value, parents, generator()).item() < before / 10
    noisy = Structural(small(2), d.Normal(0.0, 1.0))
    noisy.bind("S", {"A": REAL})
    with pytest.raises(MechanismError, match="no density that could be fitted"):
        noisy.fit(value, parents, progress=False)


class TestMacroWriter:
    macro = Macro(lambda i: i.mean(-1), lambda i, c: i - i.mean(-1, keepdim=True) + c)
    micro = torch.tensor([[0.0, 2.0], [1.0, 5.0]])

    def test_written_values_read_the_wanted_ones(self) -> None:
        wanted = torch.tensor([3.0, -1.0])
        out = self.macro.written(self.micro, wanted, VECTOR)
        assert out.tolist() == [[2.0, 4.0], [-3.0, 1.0]]
        assert self.macro.same(self.macro.read(out), wanted).all()

    def test_worlds_broadcast(self) -> None:
        wanted = torch.tensor([[3.0], [4.0], [5.0]])
        assert self.macro.written(self.micro, wanted, VECTOR).shape == (3, 2, 2)

    def test_tolerance(self) -> None:
        loose = Macro(lambda i: i, type=Real(2), tolerance=0.1)
        found = torch.tensor([[1.0, 1.0], [1.0, 2.0]])
        assert loose.same(found, torch.ones(2, 2)).tolist() == [True, False]
        assert Macro(lambda i: i, type=LEVELS).same(torch.tensor([1, 2]), torch.tensor([1, 1]))[0]

    def test_errors(self) -> None:
        reader = Macro(lambda i: i.mean(-1))
        with pytest.raises(MechanismError, match="no writer.*man"):
            reader.written(self.micro, torch.zeros(2), VECTOR)
        with pytest.raises(MechanismError, match=r"expected functions read\(i\)"):
            Macro(3.0)
        wrong = Macro(lambda i: i.mean(-1), lambda i, c: c)
        with pytest.raises(MechanismError, match=r"writer .*returned shape \(2, 1\)"):
            wrong.written(self.micro, torch.zeros(2), VECTOR)
        flat = Macro(lambda i: i)
        flat.bind("C", {"I": VECTOR})
        with pytest.raises(MechanismError, match=r"reader of 'C' returned shape \(2, 2\)"):
            flat({"I": self.micro}, None)
