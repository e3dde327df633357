"""GATE by the engine, by the fast path and by hand; the nulls; the paper's estimator."""

import pytest
import torch
from scipy import stats

from scm.discovery.attributes import Attribute
from scm.discovery.cage import baseline_columns, cage_paper
from scm.discovery.gate import gate, unit_effects
from scm.discovery.nulls import Null, direction_null, permutation_null
from scm.discovery.readings import units
from scm.discovery.steepness import Steepness
from scm.errors import ScmError
from scm.mechanisms import Real
from scm.mechanisms.latent import LatentGenerator

D = 8


def identity():
    return LatentGenerator(lambda z: torch.cat([z, z.tanh()], 1), D, Real((2 * D,)))


def attribute(name, direction, noise=0.5, shift=0.0, seed=0, n=3000):
    source = torch.Generator().manual_seed(seed)
    z = torch.randn(n, D, generator=source)
    score = z @ torch.tensor(direction) + shift + noise * torch.randn(n, generator=source)
    return Attribute.from_labels(name, identity(), score > 0, latents=z, seed=seed)


A = [1.0] + [0.0] * (D - 1)
B = [0.6, 0.8] + [0.0] * (D - 2)
C = [0.0, 0.0, 1.0] + [0.0] * (D - 3)


@pytest.fixture(scope="module")
def pair():
    return attribute("A", A, noise=0.3), attribute("B", B, noise=1.5, shift=0.4, seed=1)


def by_hand(cause, effect, z, alpha, soft):
    """Equations 3 to 6, unit by unit."""
    (w_c, b_c), (w_e, b_e) = cause.line, effect.line
    h = w_c / w_c.norm()
    total = 0.0
    for unit in z:
        has = unit @ w_c + b_c > 0
        with_it, without = (unit, unit - alpha * h) if has else (unit + alpha * h, unit)
        logits = [point @ w_e + b_e for point in (with_it, without)]
        one, none = (u.sigmoid() if soft else (u > 0).float() for u in logits)
        total += float(one - none)
    return total / len(z)


@pytest.mark.parametrize("soft", [True, False])
def test_gate_is_the_papers_equations(pair, soft):
    found = gate(identity(), *pair, alpha=1.3, n=200, soft=soft, seed=3)
    z = units(identity(), 200, seed=3)
    assert found.effect.value == pytest.approx(by_hand(*pair, z, 1.3, soft), abs=1e-5)
    fast = unit_effects(*pair, z, [0.4, 1.3], soft=soft)[1]
    torch.testing.assert_close(found.units, fast, atol=1e-5, rtol=1e-4)
    assert found.dose.value > 0


def test_outcomes_may_be_read_off_the_data(pair):
    seen = Attribute.from_classifier("B", lambda x: 2 * x[:, D])
    found = gate(identity(), pair[0], seen, alpha=1.0, n=300, seed=0)
    z = units(identity(), 300)
    fast = unit_effects(pair[0], seen, z, [1.0], generator=identity())[0]
    torch.testing.assert_close(found.units, fast, atol=1e-6, rtol=1e-4)
    has = pair[0].treated(pair[0].read(z))[:, None]
    with_it = torch.where(has, z, z + pair[0].direction)
    without = torch.where(has, z - pair[0].direction, z)
    one, none = ((2 * point[:, 0].tanh()).sigmoid() for point in (with_it, without))
    torch.testing.assert_close(found.units, one - none, atol=1e-5, rtol=1e-4)
    with pytest.raises(ScmError, match="give the generator"):
        unit_effects(pair[0], seen, z, [1.0])


def test_both_arms_move_every_unit(pair):
    found = gate(identity(), *pair, alpha=0.7, n=300, arms="both")
    z, h = units(identity(), 300), pair[0].direction
    wanted = pair[1].read(z + 0.7 * h) - pair[1].read(z - 0.7 * h)
    torch.testing.assert_close(found.units, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("options", [{"alpha": 0.0}, {"alpha": -1.0}, {"arms": "all"}])
def test_moves_that_make_no_sense_are_refused(pair, options):
    with pytest.raises(ScmError, match="expected alpha > 0"):
        gate(identity(), *pair, n=50, **options)


def test_the_nulls_are_what_a_loop_over_their_heads_gives(pair):
    z = units(identity(), 200)
    made = permutation_null(*pair, z, 1.0, 6, seed=2, progress=False)
    from scm.discovery.logistic import permutation_refits

    examples = pair[0].examples
    weights, biases = permutation_refits(
        examples.latents, examples.labels, 6, seed=2, progress=False
    )
    for k in range(6):
        head = Attribute("A", None, "latent", "binary", weights=weights[k], bias=biases[k])
        assert by_hand(head, pair[1], z, 1.0, True) == pytest.approx(
            float(made.forward[k]), abs=1e-5
        )
        assert by_hand(pair[1], head, z, 1.0, True) == pytest.approx(
            float(made.backward[k]), abs=1e-5
        )


def test_the_permutation_p_is_the_chance_that_a_random_direction_is_as_aligned(pair):
    """Of the cosine in 8 dimensions, `r sqrt(7 / (1 - r^2))` is Student's t with 7 degrees.

    Four standard errors of a share of 999: a false alarm in 6e-5; the seed is fixed.
    """
    z = units(identity(), 1000)
    null = permutation_null(*pair, z, 1.0, 999, progress=False)
    p = Null.p(null.forward, float(unit_effects(*pair, z, [1.0]).mean()))
    r = abs(Steepness.of(*pair).cosine)
    chance = 2 * stats.t.sf(r * (7 / (1 - r * r)) ** 0.5, 7)
    assert p == pytest.approx(chance, abs=4 * (chance * (1 - chance) / 999) ** 0.5)


def test_random_directions_in_many_latents_do_little(pair):
    z = units(identity(), 500)
    null = direction_null(*pair, z, 1.0, 200)
    assert null.delta.shape == (200,)
    assert null.forward.abs().mean() < 0.5 * abs(float(unit_effects(*pair, z, [1.0]).mean()))


def test_p_counts_those_as_far_from_zero():
    null = torch.tensor([-3.0, -1.0, 0.5, 2.0])
    assert Null.p(null, 2.0) == pytest.approx(3 / 5)
    assert Null.p(null, -10.0) == pytest.approx(1 / 5)


def test_the_permutation_null_does_not_reject_unrelated_heads():
    """20 pairs of orthogonal heads: 5 or more below 5% by chance in 0.3% of runs; seeds fixed."""
    z, low = units(identity(), 500), 0
    for seed in range(20):
        a, c = attribute("A", A, seed=seed, n=800), attribute("C", C, seed=seed + 50, n=800)
        null = permutation_null(a, c, z, 1.0, 99, seed=seed, progress=False)
        low += Null.p(null.forward, float(unit_effects(a, c, z, [1.0]).mean())) <= 0.05
    assert low < 5


def test_the_audit_follows_steepness_whichever_attribute_is_the_cause(pair):
    first = cage_paper(identity(), *pair, n=1500, permutations=99, progress=False)
    second = cage_paper(identity(), *pair[::-1], n=1500, permutations=99, progress=False)
    assert first.delta_tau.value == pytest.approx(-second.delta_tau.value, abs=1e-6)
    # B's labels are noisier, so its head is flatter, and delta-tau calls it the cause.
    assert first.steepness.flatter == "effect"
    assert first.delta_tau.value < 0
    assert first.explained_by_steepness
    torch.testing.assert_close(first.curve, first.predicted, atol=0.04, rtol=0)
    assert "steep" in str(first)
    assert first.arrow(0.0) == "none"
    assert first.arrow(1.0) == "e->c"


def test_the_audit_of_hard_labels_is_that_of_its_gates(pair):
    options = {"permutations": 19, "directions": 9, "progress": False}
    found = cage_paper(identity(), *pair, alpha=1.3, alphas=(1.3,), n=300, soft=False, **options)
    ways = (pair, pair[::-1])
    gates = [gate(identity(), *way, alpha=1.3, n=300, soft=False).effect for way in ways]
    assert found.forward.value == pytest.approx(gates[0].value, abs=1e-6)
    assert found.backward.value == pytest.approx(gates[1].value, abs=1e-6)
    assert found.delta_tau.value == pytest.approx(abs(gates[0].value) - abs(gates[1].value))
    assert found.curve.tolist() == pytest.approx([found.delta_tau.value], abs=1e-6)


def test_the_five_numbers_are_the_heads(pair):
    five = Steepness.of(*pair)
    (w_c, b_c), (w_e, b_e) = (head.line for head in pair)
    cosine = float(w_c @ w_e / (w_c.norm() * w_e.norm()))
    assert five.cosine == pytest.approx(cosine, abs=1e-6)
    assert (five.cause_bias, five.effect_bias) == (float(b_c), float(b_e))


def test_hard_labels_and_no_counterfactuals(pair):
    z = units(identity(), 100)
    soft, hard = (baseline_columns(*pair, z, soft=s) for s in (True, False))
    assert soft[0].shape == hard[1].shape == (200,)
    assert set(hard[0].unique().tolist()) == {0.0, 1.0}
    plain = baseline_columns(*pair, z, counterfactuals=False)
    torch.testing.assert_close(plain[0], pair[0].read(z))
    moved = z + (1 - 2 * (plain[0] > 0.5).float())[:, None] * pair[0].direction
    torch.testing.assert_close(soft[1][:100], pair[1].read(moved), atol=1e-5, rtol=1e-4)


def test_pairs_that_the_paper_does_not_know_are_refused(pair):
    number = Attribute.from_measure("m", lambda x: x[:, 0])
    with pytest.raises(ScmError, match="knows binary attributes"):
        cage_paper(identity(), pair[0], number, progress=False)
    with pytest.raises(ScmError, match="expected positive numbers"):
        cage_paper(identity(), *pair, alpha=-1.0, progress=False)
    twin = attribute("B", A, noise=0.3)
    with pytest.raises(ScmError, match="perfectly collinear"):
        cage_paper(identity(), pair[0], twin, progress=False)
    bare = Attribute("B", pair[1].read, "latent", "binary", (0, 1), None, *pair[1].line)
    with pytest.raises(ScmError, match="cannot be refitted"):
        permutation_null(bare, pair[0], units(identity(), 100), 1.0, 5, progress=False)
