"""Noise: base laws, addresses, blocks, seeds."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.distributions import Gamma, Normal

import scm
from scm.mechanisms import Noise
from scm.worlds.streams import BLOCK, Streams

CPU = torch.device("cpu")


def streams(seed: int = 0, dtype: torch.dtype = torch.float32) -> Streams:
    return Streams(seed, CPU, dtype)


def chain() -> scm.SCM:
    return scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("law", "cdf"), [("normal", stats.norm.cdf), ("uniform", stats.uniform.cdf)]
)
def test_base_noise_has_its_law(law: str, cdf: object, dtype: torch.dtype) -> None:
    """Kolmogorov-Smirnov at a fixed seed; a true law fails one seed in a thousand."""
    drawn = streams(11, dtype).draw("S", Noise(law), 0, 200_000)
    assert drawn.dtype == dtype
    assert stats.kstest(drawn.double().numpy(), cdf).pvalue > 1e-3


def test_noise_is_pushed_through_the_inverse_distribution_function() -> None:
    law = Gamma(torch.tensor(2.0), torch.tensor(3.0))
    values = scm.SCM("A", A=scm.Root(law)).sample(20_000, seed=3)["A"].double().numpy()
    assert stats.kstest(values, stats.gamma(2.0, scale=1 / 3).cdf).pvalue > 1e-3


def test_uniform_noise_is_never_zero_or_one() -> None:
    drawn = streams().draw("S", Noise("uniform", (64,)), 0, 50_000)
    assert drawn.min() > 0
    assert drawn.max() < 1


@settings(max_examples=60)
@given(
    st.sampled_from([(), (1,), (3,), (2, 5), (100,), (70_000,)]),
    st.sampled_from(["normal", "uniform"]),
    st.integers(0, 3 * BLOCK),
    st.integers(1, 40),
    st.data(),
)
def test_any_range_of_units_can_be_drawn_anywhere(
    shape: tuple[int, ...], law: str, start: int, n: int, data: st.DataObject
) -> None:
    noise = Noise(law, shape)
    n = min(n, 3) if noise.width > 1000 else n
    whole = streams(5).draw("S", noise, start, start + n)
    a = data.draw(st.integers(0, n - 1))
    b = data.draw(st.integers(a + 1, n))
    assert whole.shape == (n, *shape)
    assert torch.equal(streams(5).draw("S", noise, start + a, start + b), whole[a:b])


@pytest.mark.parametrize("width", [1, 2, 3, 5, 7, 16, 48, 1000])
def test_ranges_across_blocks(width: int) -> None:
    noise = Noise("normal", (width,))
    middle = BLOCK // width
    whole = streams().draw("S", noise, 0, 2 * middle + 50)
    for a, b in [(0, 1), (middle - 20, middle + 20), (middle, middle + 1), (7, 2 * middle + 3)]:
        assert torch.equal(streams().draw("S", noise, a, b), whole[a:b])


def test_the_end_of_a_range_does_not_matter() -> None:
    """A generator's prefix repeats only at some lengths; every length must give the same."""
    whole = streams().draw("S", Noise("normal"), 0, 200)
    for stop in range(1, 200):
        assert torch.equal(streams().draw("S", Noise("normal"), 0, stop), whole[:stop])


def test_blocks_have_a_fixed_number_of_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten units of width 100,000 draw about a million numbers, not 65,536 units' worth."""
    from scm.worlds import streams as module

    drawn = []
    fill = module._fill

    def counted(owner: object, name: str, law: str, block: int, out: torch.Tensor) -> None:
        drawn.append(out.numel())
        fill(owner, name, law, block, out)

    monkeypatch.setattr(module, "_fill", counted)
    began = time.perf_counter()
    out = streams().draw("S", Noise("normal", (100_000,)), 0, 10)
    assert out.shape == (10, 100_000)
    # A block holds at least 16 / gcd(16, width) units, so that its length is a multiple of 16.
    assert sum(drawn) <= 2 * 10 * 100_000 + BLOCK
    assert time.perf_counter() - began < 2
    drawn.clear()
    streams().draw("S", Noise("normal", (100_000,)), 7, 8)
    assert sum(drawn) <= 2 * 100_000 + BLOCK


def test_streams_of_other_names_and_seeds_are_uncorrelated() -> None:
    n = 40_000
    names = ["A", "B", "a", "A ", "A\0do", "ä"]
    columns = [streams(s).draw(v, Noise("normal"), 0, n) for v in names for s in (0, 1, -1, 2**40)]
    correlation = np.corrcoef(torch.stack(columns).double().numpy())
    off = correlation[~np.eye(len(columns), dtype=bool)]
    assert np.abs(off).max() < 4.5 / np.sqrt(n)  # 276 pairs, each of standard error n^-1/2


def test_blocks_of_one_stream_are_uncorrelated() -> None:
    drawn = streams().draw("S", Noise("normal"), 0, 4 * BLOCK).view(4, BLOCK).double().numpy()
    off = np.corrcoef(drawn)[~np.eye(4, dtype=bool)]
    assert np.abs(off).max() < 4.5 / np.sqrt(BLOCK)


def test_streams_do_not_collide() -> None:
    """Nor are seeds cut to 32 bits."""
    noise = Noise("uniform", (2,))
    firsts = {
        tuple(streams(s, torch.float64).draw(f"V{k}", noise, 0, 1)[0].tolist())
        for s in range(10)
        for k in range(300)
    }
    assert len(firsts) == 3000
    a, b = (streams(s).draw("S", Noise("normal"), 0, 4) for s in (7, 7 + 2**32))
    assert not torch.equal(a, b)


def test_names_and_seeds_are_not_glued_together() -> None:
    """(seed 1, node "1\\0x") and the like are different streams."""
    noise = Noise("normal")
    assert not torch.equal(streams(1).draw("2", noise, 0, 4), streams(12).draw("", noise, 0, 4))
    do = scm.SCM("A", A=scm.Root.normal()).do(A=Normal(0.0, 1.0)).sample(50, seed=0)
    assert not torch.equal(do["A"], do.noise["A"])


def test_noise_depends_on_seed_node_and_unit_only() -> None:
    """Not on other nodes, on the graph, or on the intervention."""
    one = chain().sample(50, seed=9)
    other = scm.SCM("Q -> A; B", Q=scm.Root.normal(), A=scm.Linear({"Q": 1.0}), B=scm.Root.normal())
    two = other.do(Q=3.0).sample(70, seed=9)
    for v in ("A", "B"):
        assert torch.equal(one.noise[v], two.noise[v][:50])


def test_a_renamed_node_keeps_its_stream() -> None:
    model = chain()
    renamed = model.rename({"A": "Z", "B": "A"})
    units, other = model.sample(20, seed=4), renamed.sample(20, seed=4)
    assert torch.equal(units["A"], other["Z"])
    assert torch.equal(units["B"], other["A"])
    back = renamed.rename({"A": "B", "Z": "A"}).sample(20, seed=4)
    assert torch.equal(units["B"], back["B"])
    a, b = model.do(B=Normal(0.0, 1.0)), renamed.do(A=Normal(0.0, 1.0))
    assert torch.equal(a.sample(9, seed=1)["B"], b.sample(9, seed=1)["A"])


def test_seed_none_draws_entropy_and_records_it() -> None:
    model = chain()
    a, b = model.sample(6), model.sample(6)
    assert a.seed != b.seed
    assert not torch.equal(a["B"], b["B"])
    assert torch.equal(model.sample(6, seed=a.seed)["B"], a["B"])
    found = model.abduct({"A": torch.ones(3)})
    assert torch.equal(model.abduct({"A": torch.ones(3)}, seed=found.seed)["B"], found["B"])


@pytest.mark.parametrize("seed", [1.5, "0", True, torch.tensor(3.0)])
def test_a_seed_is_an_integer(seed: object) -> None:
    with pytest.raises(scm.ScmError, match="seed"):
        chain().sample(3, seed=seed)


def test_numpy_seeds_are_the_same_as_python_ones() -> None:
    assert torch.equal(
        chain().sample(np.int64(3), seed=np.int64(5))["B"], chain().sample(3, seed=5)["B"]
    )


def test_no_global_state_is_touched() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    macro = scm.mechanisms.Macro(lambda b: b, lambda b, c: c)
    model = scm.SCM("A -> B; B => C", A=scm.Root.normal(), B=scm.Linear({"A": 1.0}), C=macro)
    units = model.do(C=Normal(0.0, 1.0)).sample(100)
    model.given(A=lambda a: a > 0).sample(10)
    model.abduct({"B": units["B"]}, method="importance", draws=200)
    model.fit(model.sample(100, seed=0))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert before[2] == random.getstate()
    assert torch.get_default_dtype() == dtype
    assert torch.get_num_threads() == threads
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()
