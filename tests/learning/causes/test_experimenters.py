"""Answers: checked, remembered, kept in a file, resumed; models and classifiers that answer."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributions import Normal

import scm
from scm import ScmError
from scm.datasets import bars, gratings
from scm.learning import Answers, Ensemble, Simulator, SmallCNN

IMAGES = torch.arange(12.0).div(12).view(12, 1, 1, 1).expand(12, 1, 2, 2)


class Recorder:
    """Answers with the first pixel; remembers what it was asked, and raises where told."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.calls: list[list[float]] = []
        self.fail_after = fail_after

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        if self.fail_after is not None and len(self.calls) >= self.fail_after:
            raise RuntimeError("the monkey is asleep")
        self.calls.append(images[:, 0, 0, 0].tolist())
        return images[:, 0, 0, 0]


def test_no_image_is_asked_twice():
    experimenter = Recorder()
    answers = Answers(experimenter, batch=4)
    wanted = IMAGES[[3, 1, 3, 5, 1, 7, 9, 11]]
    assert torch.equal(answers(wanted), wanted[:, 0, 0, 0].double())
    assert [len(c) for c in experimenter.calls] == [4, 2]
    assert answers.asked == len(answers) == 6
    assert torch.equal(answers(IMAGES[:4]), IMAGES[:4, 0, 0, 0].double())
    assert sum(map(len, experimenter.calls)) == answers.asked == 8
    assert answers(IMAGES[:0]).shape == (0,)
    answers(IMAGES[:1].view(1, 1, 1, 4))  # the same pixels in another shape
    assert answers.asked == 9


def test_experimenter_that_raises_loses_nothing_and_resumes(tmp_path: Path):
    path = tmp_path / "answers.jsonl"
    first = Answers(Recorder(fail_after=2), path=path, batch=3)
    with pytest.raises(ScmError, match=r"asleep. 6 of 12 new .* all 6 answers are kept .*again"):
        first(IMAGES)
    assert len(first) == 6
    again = Recorder()
    second = Answers(again, path=path, batch=3)
    assert len(second) == 6
    torch.testing.assert_close(second(IMAGES), IMAGES[:, 0, 0, 0].double())
    assert [pixel for call in again.calls for pixel in call] == IMAGES[6:, 0, 0, 0].tolist()
    assert Answers(Recorder(fail_after=0), path=path)(IMAGES).shape == (12,)


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_half_written_line_is_dropped(tmp_path: Path, cut: int):
    path = tmp_path / "answers.jsonl"
    Answers(Recorder(), path=path)(IMAGES)
    path.write_bytes(path.read_bytes()[:-cut])
    again = Recorder()
    answers = Answers(again, path=path)
    assert len(answers) == 11
    answers(IMAGES)
    assert again.calls == [IMAGES[11:, 0, 0, 0].tolist()]
    assert len(Answers(Recorder(), path=path)) == 12
    path.write_bytes(b'{"ans')  # killed in the first line
    assert len(Answers(Recorder(), path=path)) == 0


def test_file_of_something_else_is_refused(tmp_path: Path):
    path = tmp_path / "answers.jsonl"
    path.write_text("image,answer\n1,2\n")
    with pytest.raises(ScmError, match="is no answer"):
        Answers(Recorder(), path=path)
    path.unlink()
    Answers(Recorder(), path=path)(IMAGES)
    with pytest.raises(ScmError, match="over 2 levels, and levels=3"):
        Answers(Recorder(), levels=3, path=path)
    lines = path.read_text().splitlines()
    lines[4] = json.dumps({"image": "x"})
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ScmError, match="is no answer"):
        Answers(Recorder(), path=path)


@pytest.mark.parametrize(
    ("given", "levels", "match"),
    [
        (lambda n: torch.full((n,), 1.2), 2, "1.2 among .*probabilities"),
        (lambda n: torch.full((n,), -0.1), 2, "-0.1 among"),
        (lambda n: torch.full((n,), math.nan), 2, "nan among"),
        (
            lambda n: torch.zeros(n + 1),
            2,
            r"shape \(4,\) for 3 images; expected \(3,\) or \(3, 2\)",
        ),
        (lambda n: torch.zeros(n), 3, r"expected \(3, 3\)"),
        (lambda n: torch.full((n, 3), 0.5), 3, "sums to 1.5"),
        (lambda n: "yes", 2, "'yes'; expected numbers"),
        (lambda n: None, 2, "expected numbers"),
    ],
)
def test_answers_that_are_none(given, levels, match):
    answers = Answers(lambda images: given(len(images)), levels)
    with pytest.raises(ScmError, match=match):
        answers(IMAGES[:3])
    assert len(answers) == 0


def test_bad_arguments():
    for make in (lambda: Answers(3), lambda: Answers(Recorder(), 1), lambda: Ensemble([])):
        with pytest.raises(ScmError, match="expected"):
            make()
    with pytest.raises(ScmError, match="at least 1 trial"):
        Simulator(gratings(), trials=0)
    with pytest.raises(ScmError, match="Known"):
        Simulator(gratings(), target="Y")
    with pytest.raises(ScmError, match="H1 causes I"):
        Simulator(gratings(), target="H1")
    with pytest.raises(ScmError, match="ascending order"):
        Simulator(gratings(), edges=[0.5, 0.1])


def test_simulator_answers_the_effect_and_not_what_is_observed():
    """Exact P(T = 1 | man(I)) of figure 1 on all images; false alarm 512 x 7e-6."""
    model = bars(3)
    codes = torch.arange(512)
    trials = 400
    shares = Simulator(model, trials=trials, seed=4)(codes)
    exact = torch.as_tensor(model.exact().table("T", do="I").values)[:, 1]
    assert (shares - exact).abs().max() < 4.5 * math.sqrt(0.25 / trials)
    assert abs((shares - exact).mean()) < 4.5 * math.sqrt(0.25 / trials / 512)
    single = Simulator(model, seed=4)
    assert set(single(codes).tolist()) == {0.0, 1.0}
    assert torch.equal(single(codes), single(codes))
    assert not torch.equal(single(codes), Simulator(model, seed=5)(codes))


def test_simulator_bins_a_continuous_target():
    model = scm.SCM(
        "I -> T",
        I=scm.Root.normal(),
        T=scm.Linear({"I": 1.0}, noise=Normal(0.0, 1.0)),
    )
    with pytest.raises(ScmError, match="edges"):
        Simulator(model)
    answers = Answers(Simulator(model, trials=4000, edges=[-1.0, 1.0]), levels=3)
    low, middle = answers(torch.tensor([-1.0, 0.0]))
    assert abs(low[0] - 0.5) < 4.5 * math.sqrt(0.25 / 4000)
    assert abs(middle[1] - 0.6827) < 4.5 * math.sqrt(0.22 / 4000)


def test_ensemble_is_the_mean_of_its_classifiers():
    nets = [SmallCNN(1, 3, seed=s) for s in range(2)]
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    by_hand = sum(net(images).softmax(-1) for net in nets) / 2
    torch.testing.assert_close(Ensemble(nets)(images), by_hand.detach())
    torch.testing.assert_close(Ensemble(nets, target=2)(images), by_hand[:, 2].detach())
    assert Answers(Ensemble(nets), levels=3)(images).shape == (5, 3)
    with pytest.raises(ScmError, match="class 3"):
        Ensemble(nets, target=3)(images)
    with pytest.raises(ScmError, match="at least 2 classes"):
        Ensemble(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)))(images)
