import json
from dataclasses import replace

import pytest
import torch

from scm.discovery.asymmetry import asymmetries, normal_scores
from scm.discovery.attributes import Attribute
from scm.discovery.audit import audit
from scm.discovery.direction import direction
from scm.discovery.zoo import FAMILIES, GAUGES, specimen, trained
from scm.errors import ScmError
from scm.mechanisms import Real
from scm.mechanisms.latent import LatentGenerator

SMALL = {"fit": 8_000, "block": 1_000, "moved": 50, "progress": False}


def cubic(z):
    a = z[:, 0]
    return torch.stack([a, a**3 / 2 + a + z[:, 1], z[:, 2]], 1)


def attribute(name, k):
    return Attribute.from_measure(name, lambda x: x[:, k], threshold=0.0)


GENERATOR = LatentGenerator(cubic, 4, Real((3,)))
ATTRIBUTES = [attribute(name, k) for k, name in enumerate("abc")]


@pytest.fixture(scope="module")
def audited():
    return audit(GENERATOR, ATTRIBUTES, diagnosis=False, **SMALL)


def test_the_arrow_is_earned_and_the_rest_is_not(audited):
    assert audited.arrows == [("a", "b")]
    assert audited.matrix == [["", "->", "none"], ["<-", "", "none"], ["none", "none", ""]]
    assert list(audited.graph.edges(data="directed")) == [("a", "b", True)]
    assert audited["b", "a"] is audited["a", "b"]


def test_the_turned_latent_is_told_of(audited):
    assert len(audited["a", "b"].gauges) == 1
    assert audited.warnings == ()  # measures: there is nothing to train again


def test_p_values_are_adjusted_for_the_pairs(audited):
    raw = [found.association for found in audited.pairs.values()]
    final = [found.adjusted for found in audited.pairs.values()]
    assert final[0] == pytest.approx(3 * raw[0])  # Holm, of the smallest
    assert all(f >= r for f, r in zip(final, raw, strict=True))


def test_heads_that_were_trained_here_are_trained_again_for_the_limits():
    z = GENERATOR.draw(1_500)
    data = GENERATOR.generate(z)
    heads = [
        Attribute.from_labels(n, GENERATOR, data[:, k] + z[:, 3], data=data, space="data")
        for k, n in enumerate("ab")
    ]
    options = SMALL | {"gauges": 0, "diagnosis": False}
    refitted = audit(GENERATOR, heads, **options)
    fixed = audit(GENERATOR, heads, refits=0, **options)
    assert refitted.warnings == ()
    assert fixed.warnings == (
        "limits of responses leave out how a, b were trained: nothing was refitted",
    )
    (found,), (other,) = (each.pairs.values() for each in (refitted, fixed))
    assert found.forward.value == other.forward.value
    assert found.forward.stderr > other.forward.stderr
    assert found.backward.stderr > other.backward.stderr
    assert (found.verdict, found.asymmetry) == (other.verdict, other.asymmetry)


def test_json_and_data_frame_hold_every_pair(audited, tmp_path):
    content = json.loads(audited.to_json(tmp_path / "audit.json"))
    assert content == json.loads((tmp_path / "audit.json").read_text())
    assert [pair["verdict"] for pair in content["pairs"]] == ["c->e", "none", "none"]
    pandas = pytest.importorskip("pandas")
    frame = audited.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["verdict"]) == ["c->e", "none", "none"]


def test_two_classes_get_no_arrow_but_an_association():
    pair = [a.binary() for a in ATTRIBUTES[:2]]
    smooth = [Attribute(a.name, lambda x, k=k: x[:, k].sigmoid(), "data", "binary", (0, 1))
              for k, a in enumerate(pair)]  # fmt: skip
    found = direction(GENERATOR, *smooth, diagnosis=False, gauges=0, **SMALL)
    assert found.association < 0.01
    assert found.asymmetry is None
    assert found.arrow is None
    assert any("cannot be read as numbers" in warning for warning in found.warnings)


def test_an_arrow_that_rests_on_scales_is_not_earned():
    """An effect exp(c + noise) of normal c and noise is an additive-noise model the wrong way."""

    def lognormal(z):
        return torch.stack([z[:, 0], (0.7 * z[:, 0] + 0.5 * z[:, 1]).exp()], 1)

    generator = LatentGenerator(lognormal, 2, Real((2,)))
    options = SMALL | {"diagnosis": False, "gauges": 0}
    found = direction(generator, *ATTRIBUTES[:2], **options)
    a = found.asymmetry
    assert a.p_forward < 0.001 < 0.01 <= a.p_backward
    assert min(a.normal) > 0.01
    assert found.arrow is None
    assert any("rest on the scales" in warning for warning in found.warnings)


def test_second_opinions_are_asked_for():
    source = torch.Generator().manual_seed(0)
    scores = torch.rand(3, 1_500, generator=source).double()
    fit, blocks = scores[:, :1_000], scores[:, 1_000:].reshape(3, 2, 250)
    pairs, options = [(0, 1), (1, 2)], {"permutations": 99}
    asked = asymmetries(fit, blocks, pairs, **options)
    assert all(each.normal for each in asked)
    first = replace(asked[0], normal=None)
    some = asymmetries(fit, blocks, pairs, again=lambda each: each != first, **options)
    assert some[0] == first
    assert some[1] == asked[1]


def test_normal_margins_do_not_depend_on_the_scale():
    source = torch.Generator().manual_seed(0)
    known, scores = torch.randn(2, 1, 500, generator=source)
    found = normal_scores(known, scores)
    torch.testing.assert_close(normal_scores(known.exp(), scores.exp()), found)
    assert abs(float(found.mean())) < 5 / 500**0.5
    tied = normal_scores(torch.tensor([[0.0, 0.0, 0.0, 1.0]]), torch.tensor([[0.0, 1.0]]))
    # Below 3 of 4 in the middle of the ties, (1.5 + 0.5) / 5; and (3.5 + 0.5) / 5.
    torch.testing.assert_close(tied, torch.special.ndtri(torch.tensor([[0.4, 0.8]])))


def test_a_class_of_several_is_audited():
    z = GENERATOR.draw(1_500)
    data = GENERATOR.generate(z)
    classes = (data[:, 0] > -0.5).long() + (data[:, 0] > 0.5).long()
    three = Attribute.from_labels("a", GENERATOR, classes, data=data, space="data")
    with pytest.raises(ScmError, match="has 3 classes"):
        audit(GENERATOR, [three, ATTRIBUTES[1]], **SMALL)
    found = direction(GENERATOR, three.level(2), ATTRIBUTES[1], diagnosis=False, gauges=0, **SMALL)
    assert found.cause == "a=2"
    assert found.association < 0.01
    assert found.forward.value > 1.96 * found.forward.stderr
    assert found.arrow is None


def test_delta_tau_stands_beside_its_prediction():
    one = specimen("linear edge", seed=1)
    found = direction(one.generator, *one.attributes, refits=one.refits, gauges=0, **SMALL)
    told = found.diagnosis
    assert told.alphas == (0.5, 1.0, 2.0)
    assert told.measured[1] == pytest.approx(told.predicted[1], abs=0.02)
    # A head that is penalised is flatter, and what is flatter is called the cause.
    table = torch.tensor(told.penalised)
    assert table.shape == (len(told.Cs),) * 2
    assert (table.diff(dim=0) < 0).all()
    assert (table.diff(dim=1) > 0).all()
    assert told.turns
    assert any("other regularisation" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("attributes", "options", "message"),
    [
        (ATTRIBUTES[:1], {}, "at least two"),
        ([ATTRIBUTES[0], ATTRIBUTES[0]], {}, "more than once"),
        ([ATTRIBUTES[0], attribute("copy", 0)], {}, "copy"),
        ([ATTRIBUTES[0], Attribute.from_measure("flat", lambda x: 0 * x[:, 0])], {}, "constant"),
        (ATTRIBUTES, {"adjustment": "bonferoni"}, "no adjustment"),
        (ATTRIBUTES, {"block": 3}, "at least 50"),
        (ATTRIBUTES, {"permutations": 1_999}, "an arrow needs one below 0.001; give at least 2000"),
    ],
)
def test_bad_input(attributes, options, message):
    with pytest.raises(ScmError, match=message):
        audit(GENERATOR, attributes, **{**SMALL, **options})


def test_a_pair_that_is_not_there(audited):
    with pytest.raises(ScmError, match="no pair"):
        audited["a", "z"]


def test_every_gauge_has_the_same_law():
    z = torch.randn(20_000, 5, generator=torch.Generator().manual_seed(0))
    for family in FAMILIES:
        made = [specimen(family, 7, gauge) for gauge in GAUGES]
        assert len({each.truth for each in made}) == 1
        data = [each.generator.generate(z) for each in made]
        # Means of |x| within 6 standard errors, as var |x| <= E x^2: under 1 in 10^6.
        reach = 6 * (2 / 20_000) ** 0.5 * data[0].square().mean(0).sqrt()
        for other in data[1:]:
            assert ((other.abs().mean(0) - data[0].abs().mean(0)).abs() < reach).all()


def test_the_zoo_knows_its_names():
    with pytest.raises(ScmError, match="did you mean 'linear edge'"):
        specimen("linear edges", 0)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "steps"), [("flow", 150), ("VAE", 1_000)])
def test_what_is_trained_makes_what_it_has_seen(kind, steps):
    one = specimen("linear edge", seed=1)
    made = trained(one, kind, steps, seed=0)
    assert (made.gauge, made.truth, made.attributes) == (kind, one.truth, one.attributes)
    seen, learnt = (each.generator.generate(each.generator.draw(4_000, 1)) for each in (one, made))
    assert (learnt.mean(0) - seen.mean(0)).norm() < 0.2 * seen.std(0).norm()
    assert (learnt.T.cov() - seen.T.cov()).norm() < 0.3 * seen.T.cov().norm()


def test_the_zoo_trains_what_it_knows():
    with pytest.raises(ScmError, match="did you mean 'flow'"):
        trained(specimen("linear edge", seed=1), "flows")
