import pytest
import torch

from scm.discovery.attributes import Attribute
from scm.discovery.gauge import Turn, standard_normal, turned
from scm.discovery.responses import responses
from scm.errors import ScmError
from scm.mechanisms import Real, Root
from scm.mechanisms.latent import LatentGenerator

WEIGHTS = {"a": torch.tensor([1.0, 0.5, 0.0]), "b": torch.tensor([0.2, 2.0, 1.0])}


def linear(space="data"):
    def attribute(name):
        return Attribute(name, lambda rows: rows @ WEIGHTS[name], space)

    return LatentGenerator(torch.nn.Identity(), 3, Real((3,))), [*map(attribute, WEIGHTS)]


@pytest.mark.parametrize("space", ["data", "latent"])
def test_linear_heads_respond_by_their_inner_product(space):
    generator, attributes = linear(space)
    scales = {"a": 0.8, "b": 3.0}
    moves = responses(generator, attributes, generator.draw(20), scales=scales)
    a, b = WEIGHTS.values()
    inner = float(a @ b)
    expected = {
        ("a", "b"): inner / float(a @ a) * scales["a"] / scales["b"],
        ("b", "a"): inner / float(b @ b) * scales["b"] / scales["a"],
    }
    assert {k: v.value for k, v in moves.ratio.items()} == pytest.approx(expected, abs=1e-5)
    assert all(each.stderr < 1e-5 for each in moves.ratio.values())
    assert moves.dose["a"].value == pytest.approx(0.5, abs=1e-5)


def test_steps_are_no_longer_than_the_cap():
    generator, (a, b) = linear()
    moves = responses(generator, [a, b], generator.draw(20), scales={"a": 100.0, "b": 1.0})
    # 4 steps of length 1/2 along the gradient, of the 50 sd of 100 that were asked for.
    assert moves.dose["a"].value == pytest.approx(2 * float(WEIGHTS["a"].norm()) / 100, rel=1e-4)


def test_refitted_heads_widen_the_limits():
    generator, attributes = linear()
    source = torch.Generator().manual_seed(0)

    def again(name):
        weights = WEIGHTS[name] + 0.1 * torch.randn(3, generator=source)
        return Attribute.from_measure(name, lambda rows: rows @ weights)

    refits = {name: [again(name) for _ in range(5)] for name in WEIGHTS}
    scales = dict.fromkeys(WEIGHTS, 1.0)
    moves = responses(generator, attributes, generator.draw(20), scales=scales, refits=refits)
    assert all(each.stderr > 0.01 for each in moves.ratio.values())
    one = {name: heads[:1] for name, heads in refits.items()}
    with pytest.raises(ScmError, match="one refit"):
        responses(generator, attributes, generator.draw(20), scales=scales, refits=one)


def test_what_has_no_gradient_is_refused():
    generator, (a, _) = linear()
    flat = Attribute.from_measure("flat", lambda rows: (rows[:, 0] > 0).float())
    with pytest.raises(ScmError, match="no gradient of 'flat'"):
        responses(generator, [a, flat], generator.draw(5), scales={"a": 1.0, "flat": 1.0})


def test_a_turn_keeps_the_normal_law():
    # |T(z)| = |z|, and volumes are kept: together, N(0, I) is.
    turn = Turn(5, seed=3).double()
    z = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(turn(z).norm(dim=1), z.norm(dim=1), rtol=1e-5, atol=1e-6)
    for row in z:
        jacobian = torch.autograd.functional.jacobian(lambda v: turn(v[None])[0], row)
        assert abs(float(torch.linalg.det(jacobian))) == pytest.approx(1, abs=1e-5)
        assert not torch.allclose(jacobian.mT @ jacobian, torch.eye(5).double(), atol=0.05)


def test_attributes_of_a_turned_generator_read_the_same_data():
    generator, attributes = linear("latent")
    turn = Turn(3, seed=1)
    behind, same = turned(generator, attributes, turn)
    z = generator.draw(6)
    torch.testing.assert_close(behind.generate(z), generator.generate(turn(z)))
    torch.testing.assert_close(same[0].read(z), attributes[0].read(turn(z)))


def test_only_a_normal_latent_is_turned():
    prior = Root.uniform(torch.zeros(3), torch.ones(3))
    generator = LatentGenerator(torch.nn.Identity(), prior, Real((3,)))
    assert not standard_normal(generator)
    assert standard_normal(linear()[0])
    with pytest.raises(ScmError, match="standard normal"):
        turned(generator, [], Turn(3))
