"""What every mechanism must do. A subclass lists its cases and inherits the tests."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from scm.errors import MechanismError
from scm.mechanisms import Categorical, Image, Mechanism, NodeType, Noise, Real
from scm.mechanisms.seeding import seeded

N = 12


@dataclass(frozen=True)
class Case:
    """How to build one mechanism, and what is known of it.

    Args:
        make: Makes it, unbound.
        parents: Types of its parents.
        log_prob: Independent log density of numpy values `(n, *event)` given parents.
        range: Where a scalar density has all but 1e-6 of its mass.
        recovers: Whether abduct-then-forward gives the value back.
    """

    make: Callable[[], Mechanism]
    parents: Mapping[str, NodeType] = field(default_factory=dict)
    log_prob: Callable[..., Any] | None = None
    range: tuple[float, float] = (-30.0, 30.0)
    recovers: bool = True

    def build(self) -> Mechanism:
        mechanism = self.make()
        mechanism.bind("S", self.parents)
        return mechanism


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def values(kind: NodeType, batch: tuple[int, ...], g: torch.Generator) -> Tensor:
    """Random values of a type."""
    if isinstance(kind, Categorical):
        return torch.randint(kind.size, batch, generator=g)
    if isinstance(kind, Image):
        low, high = kind.range
        return low + (high - low) * torch.rand(*batch, *kind.event, generator=g)
    return torch.randn(*batch, *kind.event, generator=g)


def draw(noise: Noise | None, batch: tuple[int, ...], g: torch.Generator) -> Tensor | None:
    """Base noise as the engine draws it."""
    if noise is None:
        return None
    shape = (*batch, *noise.shape)
    if noise.law == "normal":
        return torch.randn(shape, generator=g)
    return torch.rand(shape, generator=g).clamp(2.0**-25, 1 - 2.0**-24)


def trial(mechanism: Mechanism, n: int = N, seed: int = 0) -> tuple[dict[str, Tensor], Any]:
    """Parents and noise of n units."""
    g = generator(seed)
    return {p: values(k, (n,), g) for p, k in mechanism.parents.items()}, draw(
        mechanism.noise, (n,), g
    )


@contextmanager
def global_random_state_untouched() -> Iterator[None]:
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)


def run(mechanism: Mechanism, parents: Mapping[str, Tensor], noise: Tensor | None) -> Tensor:
    with torch.no_grad():
        return mechanism(parents, noise)


def without_density(mechanism: Mechanism) -> bool:
    return not mechanism.has_density


class MechanismContract:
    """Inherit, and set ``cases``."""

    cases: ClassVar[dict[str, Case]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.cases.values(), ids=self.cases.keys())

    def test_shape_and_type_of_a_batch(self, case: Case) -> None:
        mechanism = case.build()
        parents, noise = trial(mechanism)
        out = run(mechanism, parents, noise)
        assert out.shape == (N, *mechanism.type.event)
        if isinstance(mechanism.type, Categorical):
            assert out.dtype == torch.int64
            assert ((out >= 0) & (out < mechanism.type.size)).all()
        else:
            assert out.dtype == torch.float32
            assert torch.isfinite(out).all()

    def test_rows_do_not_talk(self, case: Case) -> None:
        mechanism = case.build()
        parents, noise = trial(mechanism)
        whole = run(mechanism, parents, noise)
        some = torch.tensor([7, 2, 5])
        alone = run(
            mechanism,
            {p: v[some] for p, v in parents.items()},
            None if noise is None else noise[some],
        )
        torch.testing.assert_close(alone, whole[some], rtol=1e-5, atol=1e-6)

    def test_batches_broadcast(self, case: Case) -> None:
        mechanism = case.build()
        if not mechanism.broadcasts:
            pytest.skip("gets flat rows")
        g = generator()
        leads = [(2, 1, N), (1, 3, N)]
        parents = {
            p: values(k, leads[i % 2], g) for i, (p, k) in enumerate(mechanism.parents.items())
        }
        noise = draw(mechanism.noise, (N,), g)
        batch = (2, 3, N)
        flat = {}
        for p, v in parents.items():
            event = mechanism.parents[p].event
            flat[p] = v.expand(*batch, *event).reshape(-1, *event)
        rows = None if noise is None else noise.expand(*batch, *noise.shape[1:]).flatten(0, 2)
        expected = run(mechanism, flat, rows) if flat or noise is not None else None
        if not parents:  # the value has the batch of the noise
            assert noise is not None
            lead = noise.expand(2, *noise.shape)
            torch.testing.assert_close(run(mechanism, {}, lead)[1], run(mechanism, {}, noise))
            return
        lead = None if noise is None else noise[None, None]
        out = run(mechanism, parents, lead).expand(*batch, *mechanism.type.event)
        torch.testing.assert_close(out.flatten(0, 2), expected, rtol=1e-5, atol=1e-5)

    def test_the_same_noise_gives_the_same_value(self, case: Case) -> None:
        with global_random_state_untouched():
            first, second = case.build(), case.build()
            parents, noise = trial(first)
            assert torch.equal(run(first, parents, noise), run(second, parents, noise))

    def test_abduct_then_forward_is_the_value(self, case: Case) -> None:
        mechanism = case.build()
        if mechanism.noise is None or mechanism.abduction is None:
            pytest.skip("has no noise to be found")
        parents, noise = trial(mechanism, 200)
        value = run(mechanism, parents, noise)
        fresh = draw(mechanism.noise, (200,), generator(1))
        with torch.no_grad():
            found = mechanism.abduct(value, parents, fresh)
        assert found.shape == fresh.shape
        assert torch.isfinite(found).all()
        if not case.recovers:
            return
        again = run(mechanism, parents, found)
        if mechanism.abduction == "posterior":
            assert torch.equal(again, value)
        else:
            torch.testing.assert_close(again, value, rtol=1e-4, atol=1e-4)

    def test_abducted_noise_has_the_base_law(self, case: Case) -> None:
        """False-alarm rate 1e-3 a component of the noise; the seed is fixed."""
        mechanism = case.build()
        if mechanism.noise is None or mechanism.abduction not in ("exact", "posterior"):
            pytest.skip("not abducted from the exact posterior")
        n = 4000
        parents, _ = trial(mechanism, 1)
        parents = {p: v.expand(n, *v.shape[1:]) for p, v in parents.items()}
        value = run(mechanism, parents, draw(mechanism.noise, (n,), generator(2)))
        with torch.no_grad():
            found = mechanism.abduct(value, parents, draw(mechanism.noise, (n,), generator(3)))
        law = {"normal": "norm", "uniform": "uniform"}[mechanism.noise.law]
        for component in found.reshape(n, -1)[:, :4].T:
            assert stats.kstest(component.double().numpy(), law).pvalue > 1e-3

    def test_density_has_mass_one(self, case: Case) -> None:
        mechanism = case.build()
        if without_density(mechanism) or mechanism.type.event:
            pytest.skip("no density of a scalar")
        mechanism = mechanism.to(torch.float64)
        parents, _ = trial(mechanism, 1)
        kind = mechanism.type
        discrete = isinstance(kind, Categorical) or mechanism.abduction == "posterior"
        if isinstance(kind, Categorical):
            grid = torch.arange(kind.size)
        elif discrete:
            grid = torch.arange(60.0, dtype=torch.float64)
        else:
            grid = torch.linspace(*case.range, 200_001, dtype=torch.float64)
        rows = {p: v.expand(len(grid), *v.shape[1:]) for p, v in parents.items()}
        with torch.no_grad():
            density = mechanism.log_prob(grid, _wide(rows)).exp().double()
        mass = density.sum() if discrete else torch.trapezoid(density, grid)
        jump = 0.0 if discrete else (grid[1] - grid[0]) * density.max()  # at an end of the support
        assert mass.item() == pytest.approx(1.0, abs=2e-4 + float(jump))

    def test_log_prob_is_that_of_the_distribution(self, case: Case) -> None:
        mechanism = case.build()
        parents, noise = trial(mechanism)
        value = run(mechanism, parents, noise)
        if without_density(mechanism):
            with pytest.raises(MechanismError, match="density"):
                mechanism.log_prob(value, parents)
            return
        with torch.no_grad():
            ours = mechanism.log_prob(value, parents)
            law = mechanism.distribution(parents)
            theirs = law.log_prob(value)
        assert ours.shape == (N,)
        assert law.event_shape == mechanism.type.event
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
        if case.log_prob is not None:
            given = {p: v.numpy() for p, v in parents.items()}
            expected = np.asarray(case.log_prob(value.numpy(), **given))
            np.testing.assert_allclose(ours.numpy(), expected, rtol=2e-4, atol=2e-4)

    def test_gradients_reach_the_parameters(self, case: Case) -> None:
        mechanism = case.build()
        trainable = [p for p in mechanism.parameters() if p.requires_grad]
        if not trainable or without_density(mechanism):
            pytest.skip("nothing to train by likelihood")
        parents, noise = trial(mechanism)
        value = run(mechanism, parents, noise)
        mechanism.log_prob(value, parents).sum().backward()
        for parameter in trainable:
            assert parameter.grad is not None
            assert torch.isfinite(parameter.grad).all()
        assert any((p.grad != 0).any() for p in trainable)

    def test_state_dict_round_trip(self, case: Case) -> None:
        mechanism, other = case.build(), case.build()
        with torch.no_grad():
            for parameter in mechanism.parameters():
                parameter.add_(0.1)
        other.load_state_dict(mechanism.state_dict())
        parents, noise = trial(mechanism)
        assert torch.equal(run(other, parents, noise), run(mechanism, parents, noise))

    def test_float64(self, case: Case) -> None:
        mechanism = copy.deepcopy(case.build()).to(torch.float64)
        parents, noise = trial(mechanism)
        rows = _wide(parents)
        out = run(mechanism, rows, None if noise is None else noise.double())
        assert out.dtype in (torch.float64, torch.int64)
        plain = run(case.build(), parents, noise)
        torch.testing.assert_close(out.to(plain.dtype), plain, rtol=1e-3, atol=1e-3)

    def test_repr(self, case: Case) -> None:
        mechanism = case.build()
        assert type(mechanism).__name__ in repr(mechanism)
        assert "'S'" in mechanism.describe()

    def test_config_makes_it_again(self, case: Case) -> None:
        mechanism = case.build()
        other = type(mechanism)(**mechanism.config())
        other.bind("S", case.parents)
        other.load_state_dict(mechanism.state_dict())
        parents, noise = trial(mechanism)
        assert torch.equal(run(other, parents, noise), run(mechanism, parents, noise))


def _wide(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {p: v.double() if v.is_floating_point() else v for p, v in values.items()}


def small(inputs: int, outputs: int = 1, seed: int = 0) -> nn.Sequential:
    """A little network with seeded weights."""
    with seeded(seed):
        return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))


REAL, VECTOR, LEVELS = Real(), Real((2,)), Categorical(3)
IMAGE = Image((1, 3, 3))
LOG_2PI = math.log(2 * math.pi)
