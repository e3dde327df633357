"""Algorithm 2: what it learns, what it keeps, and what it refuses."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import scm
from scm.datasets import has_column, has_row
from scm.interventions import ImageKernel, Manipulated, Manipulator, Objective
from scm.interventions.manipulator import _satisfied, _without_addresses
from scm.interventions.rounds import Rounds
from scm.learning import Answers

from .conftest import QUICK


def fit(bars, oracle=has_row, **options):
    return Manipulator.fit(*bars, oracle, values="binary", **QUICK | options)


def test_rounds_are_measured(manipulator):
    assert len(manipulator.history) == 2
    for measured in manipulator.history:
        assert measured.queries == 20
        assert 0 <= measured.error.value <= 1
        assert measured.error.stderr > 0 or measured.error.value in (0, 1)
        assert 0 < measured.distance.value < 1
        assert measured.kept is not None
    asked = sum(r.queries - r.unreached for r in manipulator.history)
    assert len(manipulator.images) == len(manipulator.answers) == asked
    assert torch.equal(manipulator.answers, has_row(manipulator.images).long())


def test_most_manipulations_work(manipulator, bars):
    images, causes = bars
    found = manipulator(images[:200], 1 - causes[:200])
    assert torch.equal(manipulator.reading(found.images) == 1 - causes[:200], found.reached)
    assert torch.equal(has_column(found.images) == has_column(images[:200]), found.kept)
    right = has_row(found.images).long() == 1 - causes[:200]
    assert right.double().mean() > 0.7  # of an untrained manipulator about 0


def test_the_same_seed_gives_the_same_manipulator(bars, whole):
    again = fit(bars, rounds=1)
    assert again.history == whole.history[:1]
    assert torch.equal(again.images, whole.images[: len(again.images)])


@pytest.mark.parametrize("metric", ["l1", ImageKernel(1.0)])
def test_as_the_writer_of_a_macro_variable(bars, metric, tmp_path):
    images, _ = bars
    manipulator = fit(bars, rounds=1, metric=metric, noise=0.0)
    assert manipulator.objective.temperature > 1
    cause = manipulator.macro(keeps=("S",))
    micro = scm.Root.empirical(images, type=scm.Image((1, 4, 4)))
    column = scm.Macro(has_column, type=scm.Categorical(2))
    model = scm.SCM("I => C, S", I=micro, C=cause, S=column)
    natural, acted = model.sample(60, seed=0), model.do(C=1).sample(60, seed=0)
    kept = acted["S"] == natural["S"]
    assert torch.equal(acted.written["C"], (acted["C"] == 1) & kept)
    already = natural["C"] == 1
    assert torch.equal(acted["I"][already], natural["I"][already])
    assert torch.equal(acted["I"], manipulator(natural["I"], 1).images)

    model.save(tmp_path / "model.scm")
    again = scm.load(tmp_path / "model.scm").do(C=1).sample(60, seed=0)
    assert torch.equal(again["I"], acted["I"])


def test_a_unit_that_cannot_be_written_says_so(bars):
    images, _ = bars
    cause = fit(bars, rounds=0).macro()
    with torch.no_grad():
        cause.networks[0][-1].bias[1] = -1e4
    micro = scm.Root.empirical(images, type=scm.Image((1, 4, 4)))
    model = scm.SCM("I => C", I=micro, C=cause)
    acted = model.do(C=1).sample(20, seed=0)
    assert not acted.written["C"].any()
    assert torch.equal(acted["I"], model.sample(20, seed=0)["I"])


def test_a_round_without_a_manipulation_has_no_distance():
    """Nothing was found, so nothing is near: no criterion of stopping is met by it."""
    images = torch.zeros(2, 1, 4, 4)
    done = Rounds(images, torch.tensor([0, 1]), 2, None, {})
    nothing = torch.zeros(2, dtype=torch.bool)
    lost = Manipulated(images, nothing, None, torch.zeros(2), torch.zeros(2))
    measured = done.add(lost, torch.tensor([1, 0]), torch.zeros(0, dtype=torch.int64))
    assert measured.error.value == 1
    assert measured.unreached == 2
    assert math.isnan(measured.distance.value)
    assert not _satisfied(done.history, (None, 0.5))


def test_none_of_the_classes_is_an_error_and_teaches(bars):
    found = fit(bars, lambda images: torch.full((len(images),), -1), rounds=1)
    assert found.history[0].error.value == 1
    assert (found.answers == -1).all()


def test_stops_by_the_criteria(bars):
    assert len(fit(bars, rounds=5, stop=(1.0, None)).history) == 1
    assert len(fit(bars, rounds=2, stop=(1.0, 0.0)).history) == 2


class Failing:
    """An oracle that breaks down at a call."""

    def __init__(self, at, error=None):
        self.calls, self.seen, self.at = 0, 0, at
        self.error = error or RuntimeError("out of paper")

    def __call__(self, images):
        self.calls += 1
        if self.calls == self.at:
            raise self.error
        self.seen += len(images)
        return has_row(images)


@pytest.fixture(scope="module")
def whole(bars):
    return fit(bars, rounds=3)


@pytest.mark.parametrize("error", [RuntimeError("out of paper"), KeyboardInterrupt()])
def test_goes_on_after_a_break(bars, whole, tmp_path, error):
    with pytest.raises((scm.ScmError, KeyboardInterrupt)):
        fit(bars, Failing(3, error), rounds=3, path=tmp_path)
    oracle = Failing(99)
    again = fit(bars, oracle, rounds=3, path=tmp_path)
    assert again.history == whole.history
    assert torch.equal(again.images, whole.images)
    assert oracle.seen <= 20  # the third round alone
    third = Failing(1)
    assert fit(bars, third, rounds=3, path=tmp_path).history == whole.history
    assert third.calls == 0
    with pytest.raises(scm.ScmError, match="another"):
        fit(bars, rounds=3, path=tmp_path, seed=1)


def test_goes_on_within_a_round(bars, whole, tmp_path):
    """An oracle that is asked about one image at a time, and keeps what it said."""
    oracle = Failing(7)
    for message in ("out of paper. 6 of", None):
        kept = Answers(oracle, batch=1, path=tmp_path / "people.jsonl")
        if message:
            with pytest.raises(scm.ScmError, match=message) as error:
                fit(bars, kept, rounds=1, path=tmp_path)
            assert str(error.value).count("answered before") == 1
        else:
            found = fit(bars, kept, rounds=1, path=tmp_path)
    assert (
        oracle.calls - 1 == oracle.seen == len({image.numpy().tobytes() for image in found.images})
    )
    assert torch.equal(found.answers, whole.answers[: len(found.answers)])


@pytest.mark.parametrize(
    ("oracle", "message"),
    [
        (lambda i: has_row(i)[1:], r"shape \(\d+,\) for \d+ images"),
        (lambda i: has_row(i).long() + 5, "no class"),
        (lambda i: has_row(i).float() + 0.4, "no class"),
        (lambda i: torch.full((len(i),), float("nan")), "no class"),
        (lambda i: ["maybe"] * len(i), "maybe"),
        (lambda i: torch.full((len(i), 2), 1.5), "probabilities"),
        (lambda i: {}["out of paper"], "out of paper"),
        (3, "oracle 3 was given"),
    ],
)
def test_refuses_an_oracle_that_answers_otherwise(bars, oracle, message):
    with pytest.raises(scm.ScmError, match=message):
        fit(bars, oracle, rounds=1)


def test_accepts_probabilities_and_names(bars):
    images, _ = bars
    plain = fit(bars, rounds=1)
    chances = fit(bars, lambda i: 0.35 + 0.3 * has_row(i), rounds=1, classes=(0.35, 0.65))
    named = fit(
        bars,
        lambda i: ["row" if r else "none" for r in has_row(i)],
        classes=("none", "row"),
        rounds=1,
    )
    for other in (chances, named):
        assert torch.equal(other.answers, plain.answers)
    assert torch.equal(named(images[:5], "row").images, plain(images[:5], 1).images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(600, 16)}, "channels, height, width"),
        ({"images": torch.full((600, 1, 4, 4), 255.0)}, r"in \[0, 1\]"),
        ({"images": torch.full((600, 1, 4, 4), 0.5)}, "binary"),
        ({"causes": torch.zeros(599, dtype=torch.int64)}, "600 images"),
        ({"causes": torch.zeros(600, dtype=torch.int64)}, "two classes"),
        ({"causes": torch.rand(600)}, "int64"),
        ({"classes": ("row",)}, "distinct name"),
        ({"alpha": 1.0}, "alpha"),
        ({"confidence": 0.3}, "confidence"),
        ({"values": "colour"}, "values"),
        ({"metric": "l7"}, "metric"),
        ({"queries": 0}, "queries"),
        ({"stop": 0.1}, "stop=0.1"),
        ({"noise": -1.0}, "0 or more"),
        ({"network": lambda seed: nn.Linear(4, 2)}, r"network= gave .*\(n, 2\)"),
        ({"network": lambda seed: nn.Linear(9, 2)}, "network= fails"),
        ({"metric": lambda a, b: (a - b).abs().mean()}, r"metric= gave .*\(n,\)"),
        ({"keep": lambda i: has_column(i)[1:]}, r"keep= gave .*\(n,\)"),
    ],
)
def test_refuses_bad_input(bars, change, message):
    given = {"images": bars[0], "causes": bars[1], "values": "binary"} | QUICK | change
    with pytest.raises(scm.ScmError, match=message):
        Manipulator.fit(given.pop("images"), given.pop("causes"), has_row, **given)


def test_refuses_other_images_and_targets(manipulator, bars):
    images = bars[0][:4]
    for wrong, message in [
        (2, "0 to 1"),
        ("cat", "no class"),
        (0.65, "0.65 is no code"),
        (None, "None is no code"),
        (np.array([0.5] * 4), "no code"),
        (torch.zeros(3), "targets"),
        ([1, 0], "targets"),
    ]:
        with pytest.raises(scm.ScmError, match=message):
            manipulator(images, wrong)
    assert torch.equal(manipulator(images, np.ones(4, int)).images, manipulator(images, 1).images)
    assert len(manipulator(images[:0], 1).images) == 0
    with pytest.raises(scm.ScmError, match="1, 4, 4"):
        manipulator(torch.zeros(2, 1, 5, 5), 1)
    with pytest.raises(scm.ScmError, match="binary"):
        manipulator(images * 0.5, 1)


def test_a_plain_function_reads_a_class_but_is_no_macro_variable():
    def brighter(images):
        light = 9 * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([-light, light], -1)

    plain = Manipulator(Objective([brighter]), ("dark", "light"), (1, 2, 2))
    assert bool(plain(torch.zeros(1, 1, 2, 2), "light").reached)
    with pytest.raises(scm.ScmError, match=r"torch\.nn\.Module"):
        plain.macro()


def test_a_distance_of_ones_own_is_known_again_in_another_process():
    def distance(a, b):
        return (a - b).abs().flatten(1).amax(-1)

    settings = _without_addresses((distance, 0.5))
    assert "distance" in settings
    assert hex(id(distance))[2:] not in settings


def test_a_network_of_ones_own(bars):
    def network(seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)
            )

    found = fit(bars, rounds=1, network=network)
    assert isinstance(found.objective.networks[0][0], nn.Conv2d)
