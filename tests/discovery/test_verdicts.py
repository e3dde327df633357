import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scm.discovery.asymmetry import Asymmetry
from scm.discovery.verdicts import Direction, verdict
from scm.estimate import Estimate

BOTH = "both respond (direction not identified)"
SMALL, LARGE, VAGUE = Estimate(0.02, 0.03, 100), Estimate(-0.6, 0.1, 100), Estimate(0.3, 0.3, 100)
FORWARD, NEITHER = Asymmetry(0.3, 0.0008, 1e-4, 2e-3), Asymmetry(0.005, 0.0008, 1e-4, 2e-3)
SCALES = Asymmetry(0.3, 0.0008, 1e-4, 2e-3, normal=(0.5, 0.2))
SURE = Asymmetry(0.3, 0.0008, 1e-4, 2e-3, normal=(0.5, 0.0008))
NARROW = Asymmetry(0.3, 0.0008, 1e-4, 9.9e-4)


@pytest.mark.parametrize(
    ("association", "asymmetry", "responses", "expected"),
    [
        (0.5, None, (SMALL, SMALL), "none"),
        (0.5, None, (SMALL, VAGUE), "abstain"),
        (0.03, None, (SMALL, SMALL), "abstain"),
        (0.5, None, (LARGE, LARGE), BOTH),
        (0.001, FORWARD, (LARGE, LARGE), "c->e"),
        (0.001, FORWARD, (None, None), "c->e"),
        (0.02, FORWARD, (LARGE, LARGE), BOTH),  # not associated clearly enough
        (0.001, NEITHER, (LARGE, LARGE), BOTH),  # no model fits
        (0.001, SCALES, (LARGE, SMALL), "abstain"),  # with normal margins both fit
        (0.001, SURE, (LARGE, SMALL), "c->e"),
        (0.001, NARROW, (LARGE, SMALL), "abstain"),  # the HSICs are too near
        (0.001, None, (None, LARGE), "abstain"),
    ],
)
def test_each_step_of_the_rule(association, asymmetry, responses, expected):
    assert verdict(association, asymmetry, responses) == expected


chances = st.sampled_from([0.0004, 0.0008, 0.005, 0.02, 0.2, 1.0])
sizes = st.sampled_from([1e-5, 1e-4, 2e-4, 2e-3])
answers = st.sampled_from([None, SMALL, LARGE, VAGUE])


opinions = st.none() | st.tuples(chances, chances)


@given(chances, chances, chances, sizes, sizes, opinions, answers, answers)
def test_swapping_the_pair_swaps_the_verdict(p, p_f, p_b, h_f, h_b, normal, there, back):
    turned = {"c->e": "e->c", "e->c": "c->e"}
    found = verdict(p, Asymmetry(p_f, p_b, h_f, h_b, normal), (there, back))
    turn = None if normal is None else normal[::-1]
    other = verdict(p, Asymmetry(p_b, p_f, h_b, h_f, turn), (back, there))
    assert turned.get(found, found) == other


def test_a_finding_names_its_arrow_and_its_flips():
    found = Direction(
        "ink", "slant", "e->c", 0.001, 0.003, FORWARD, LARGE, None, (SMALL, LARGE),
        gauges=("e->c", "abstain"), warnings=("mind this",),
    )  # fmt: skip
    assert found.arrow == ("slant", "ink")
    assert found.words == "slant -> ink"
    assert found.flips
    assert "! mind this" in str(found)
    content = json.loads(json.dumps(found.as_json()))
    assert content["R(e->c)"] is None
    assert content["R(c->e)"] == {"value": -0.6, "stderr": 0.1}
