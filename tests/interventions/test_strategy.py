from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from scipy.stats import chi2, kstest
from torch import Tensor, nn

from scm.errors import InterventionError
from scm.interventions.directions import PrincipalDirections
from scm.interventions.permutation import independence
from scm.interventions.steering import SupportWarning, steerable
from scm.interventions.strategy import (
    STRATEGIES,
    SteeredImages,
    Strategy,
    ablation,
    choose,
    realism,
)
from scm.learning import LabelledImages, Recipe, SmallCNN, Stream, Variant, train
from scm.model import SCM


class Painter(nn.Module):
    """Three channels show three latents; the layer `mix` confounds the first with the class."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Identity()

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        shift = torch.zeros_like(h)
        shift[:, 0] = 2.0 * y
        seen = self.mix(h + shift)[:, :3]
        return (seen / 10)[..., None, None].expand(-1, -1, 4, 4)


KNOWN = {"width": 24, "classes": 3}


@pytest.fixture(scope="module")
def model() -> SCM:
    painter = Painter()
    return steerable(painter, PrincipalDirections.axes(painter, **KNOWN), **KNOWN)


def readings(units: object, k: int = 24) -> Tensor:
    return torch.stack([units[f"Z{j + 1}"] for j in range(k)], 1)  # type: ignore[index]


def test_no_intervention_is_the_model_itself(model: SCM) -> None:
    plain, none = model.sample(50, seed=4), Strategy().sample(model, 50, 4)
    assert torch.equal(plain["X"], none["X"])
    assert torch.equal(plain["Y"], none["Y"])


def test_an_intervention_sets_its_directions_and_no_other(model: SCM) -> None:
    plain = readings(model.sample(400, seed=4))
    found = readings(Strategy(None, (1, 5, 7), 3.0, together=2).sample(model, 400, 4))
    changed = found != plain
    assert changed.sum(1).tolist() == [2] * 400
    assert changed.any(0).nonzero().flatten().tolist() == [1, 5, 7]
    steps = found[changed].double()
    # 800 steps uniform on [-3, 3]; each direction as often as the others. A false alarm of
    # Kolmogorov and Smirnov's test: 1 in 10,000; of the counts (sd 9.4), 5 sd.
    assert kstest(steps.numpy(), "uniform", args=(-3, 6)).pvalue > 1e-4
    assert (changed.sum(0)[[1, 5, 7]] - 800 / 3).abs().max() < 5 * 9.5


def test_reference_ranges_scale_the_steps() -> None:
    painter = Painter()
    axes = PrincipalDirections.axes(painter, **KNOWN).ranged({0: (-4.0, 2.0), 1: (1.0, 2.0)})
    found = readings(
        Strategy(None, 2, 0.5, together=2).sample(steerable(painter, axes, **KNOWN), 2000, 0)
    )
    # the ends of 2,000 uniform draws: farther off than 0.03 of 3 with probability e^-20
    assert found[:, 0].min() == pytest.approx(-2, abs=0.03)
    assert found[:, 0].max() == pytest.approx(1, abs=0.03)
    assert found[:, 1].min() >= 0.5
    assert found[:, 1].max() <= 1


def test_what_is_set_does_not_depend_on_the_label(model: SCM) -> None:
    strategy = Strategy(0.7, 10, 2.0, together=3)
    zeros = strategy.sample(model, 60, 9, labels=[0] * 60)
    twos = strategy.sample(model, 60, 9, labels=torch.full((60,), 2))
    assert torch.equal(zeros["H"], twos["H"])
    assert zeros["Y"].unique().tolist() == [0]
    assert twos["Y"].unique().tolist() == [2]
    assert not torch.equal(zeros["X"], twos["X"])


def test_the_strategies_of_section_9a(model: SCM) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SupportWarning)
        weak, medium, strong = (
            STRATEGIES[name].sample(model, 80, 2) for name in ("weak", "medium", "strong")
        )
        plain = STRATEGIES["none"].sample(model, 80, 2)
    own = readings(plain)
    assert own.abs().max() <= 1  # truncated at 2, times 0.5
    # 50 seeds a class, 4 directions each, 10 images each: 2,000; here 2 exemplars in 80 images
    for units, shared, limit in ((weak, 40, 5.0), (medium, 4, 7.0), (strong, 2, 9.0)):
        found = readings(units)
        base = own[torch.arange(80) // shared * shared]
        moved = found != base
        assert moved.sum(1).tolist() == [1] * 80
        assert not moved[:, 20:].any()
        assert found[moved].abs().max() <= limit < 3 * found[moved].abs().max()
        turns = {40: 4, 4: 2, 2: 2}[shared]
        which = moved.int().argmax(1).view(-1, shared)
        assert all(len(row.unique()) == turns for row in which)
        assert units["Y"].view(-1, shared).unique(dim=1).shape[1] == 1


def test_a_stream_of_intervened_images_trains_with_observed_ones(model: SCM) -> None:
    """Variant B: the loss is that of 16 observed and 8 intervened images, never held whole."""
    made = SteeredImages(Strategy(0.5, 3, 2.0), model, size=5, seed=3)
    first, again = (next(iter(made)) for _ in range(2))
    assert torch.equal(first[0], again[0])
    parts = [part for part, _ in zip(iter(made), range(3), strict=False)]
    assert not torch.equal(parts[0][0], parts[1][0])
    units = torch.cat([x[:, :, 0, 0] * 10 for x, _ in parts])
    assert (units[:, 1:].abs() <= 2).all()  # exemplars within 1, steps within 2
    observed = LabelledImages(model.sample(40, seed=0)["X"].contiguous(), torch.arange(40) % 3)
    variant = Variant((1.0, 0.05, 0.0), (16, 8, 0))
    trained = train(
        SmallCNN(3, 3),
        variant.sources(observed, Stream(made)),
        variant.objective,
        recipe=Recipe(steps=3, batch=variant.batch),
        progress=False,
    )
    assert trained.step == 3


def test_exemplars_can_be_given(model: SCM) -> None:
    given = torch.randn(30, 24, generator=torch.Generator().manual_seed(0))
    found = readings(Strategy(None, (0,), 1.0).sample(model, 30, 0, exemplars=given))
    assert torch.allclose(found[:, 1:], given[:, 1:])
    assert not torch.allclose(found[:, 0], given[:, 0])


def test_leaving_the_support_is_warned_of_with_its_realism(model: SCM) -> None:
    strategy = Strategy(None, 4, 12.0, together=4)
    with pytest.warns(SupportWarning, match=r"leaves the generator's support: .*% of the prior"):
        units = strategy.sample(model, 200, 0)
    squares = units["H"].double().square().sum(1).median()
    assert realism(units, model) == pytest.approx(chi2.sf(float(squares), 24), rel=1e-3)
    # The prior's own median has one half behind it: 2,000 units, sd of the share 0.011.
    assert abs(realism(model.sample(2000, seed=0), model) - 0.5) < 5 * 0.011


def test_setting_a_layers_nuisance_cuts_it_from_the_label() -> None:
    painter = Painter()
    found = PrincipalDirections.of(painter, "mix", 2, label=None, **KNOWN)
    steered = steerable(painter, found, at="layer", **KNOWN)
    before = steered.sample(600, seed=0)
    after = Strategy(None, 1, 1.0).sample(steered, 600, 0)
    shown = [units["X"].mean((2, 3)) for units in (before, after)]
    tests = [
        independence(x, units["Y"], permutations=199)
        for x, units in zip(shown, (before, after), strict=True)
    ]
    assert tests[0].p_value == 1 / 200
    assert tests[1].p_value > 0.01  # false alarm: 1 in 100 seeds; this seed is fixed


def test_p_values_are_uniform_under_independence() -> None:
    noise = torch.Generator().manual_seed(0)
    found = []
    for seed in range(200):
        labels = torch.randint(3, (40,), generator=noise)
        nuisances = torch.randn(40, 2, generator=noise)
        found.append(independence(nuisances, labels, permutations=19, seed=seed).p_value)
    # P(p <= 0.05) = 0.05 exactly: 10 of 200 expected, sd 3.1; a false alarm in 1 of 3,000
    assert (np.array(found) <= 0.05).sum() <= 10 + 3.5 * 3.1
    assert abs(np.mean(found) - 0.525) < 4 * 0.29 / 200**0.5


def test_hsic_is_the_statistic_of_the_definition() -> None:
    noise = np.random.default_rng(0)
    labels = noise.integers(3, size=60)
    z = noise.standard_normal((60, 2)) + labels[:, None]
    scaled = (z - z.mean(0)) / z.std(0, ddof=1)
    far = ((scaled[:, None] - scaled[None]) ** 2).sum(-1)
    kernel = np.exp(-far / np.median(far[np.triu_indices(60, 1)]))
    same = (labels[:, None] == labels[None]).astype(float)
    centring = np.eye(60) - 1 / 60
    expected = np.trace(kernel @ centring @ same @ centring) / 60**2
    found = independence(torch.tensor(z), torch.tensor(labels), permutations=9)
    # the kernel is of low rank to 1e-3 an entry; the median of an even number is between two
    assert found.statistic == pytest.approx(expected, rel=0.02)
    assert found.null < found.statistic
    assert found.p_value == 0.1


def test_the_likeliest_images_decide(model: SCM) -> None:
    real = Strategy(None, 3, 4.0, together=3).sample(model, 300, 77)["X"]
    tried = [Strategy(None, 3, s, together=3) for s in (0.3, 4.0)] + [Strategy()]
    chosen = choose(
        tried,
        model,
        real,
        features=lambda x: 10 * x.mean((2, 3)),
        n=500,
        progress=False,
        similarity=lambda a, b: -torch.cdist(a, b).square(),
    )
    assert chosen.best == tried[1]
    assert set(chosen.scores) == set(tried)
    assert all(score.stderr > 0 for score in chosen.scores.values())


def test_curves_vary_one_number_at_a_time(model: SCM) -> None:
    base = Strategy(1.0, 3, 2.0)
    real = base.sample(model, 40, 5)["X"]
    options = {"features": lambda x: x.flatten(1), "n": 60, "progress": False}
    curves = ablation(
        base, model, real, truncation=(0.5, 1.0), directions=(1, 3), scale=(1.0, 2.0), **options
    )
    assert {axis: list(curve) for axis, curve in curves.items()} == {
        "truncation": [0.5, 1.0],
        "directions": [1, 3],
        "scale": [1.0, 2.0],
    }
    whole = {curves[axis][value].value for axis, value in (("truncation", 1.0), ("scale", 2.0))}
    assert whole == {curves["directions"][3].value}  # the base itself, each time


class TestBadInput:
    def test_more_directions_than_the_model_has(self, model: SCM) -> None:
        with pytest.raises(InterventionError, match="24 nuisances"):
            Strategy(None, 25).sample(model, 2)

    def test_a_label_outside_the_classes(self, model: SCM) -> None:
        with pytest.raises(InterventionError, match=r"\[3\].*Categorical\(3\)"):
            Strategy().sample(model, 2, labels=[0, 3])

    def test_a_model_without_nuisances(self) -> None:
        from scm.mechanisms import Root

        with pytest.raises(InterventionError, match="steerable"):
            Strategy().sample(SCM("A", A=Root.normal()), 2)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"truncation": 0.0},
            {"scale": -1.0},
            {"directions": (1, 1)},
            {"directions": 2, "together": 3},
            {"directions": 2, "turns": 3},
            {"steps": 0},
        ],
    )
    def test_numbers_out_of_range(self, arguments: dict[str, object]) -> None:
        with pytest.raises(InterventionError, match="expected"):
            Strategy(**arguments)  # type: ignore[arg-type]

    def test_nothing_to_choose_from_or_to_test(self, model: SCM) -> None:
        with pytest.raises(InterventionError, match="no strategy"):
            choose([], model, torch.zeros(2, 3, 4, 4))
        with pytest.raises(InterventionError, match=r"\(n, k\)"):
            independence(torch.zeros(5, 2), torch.zeros(4).long())
        with pytest.raises(InterventionError, match="two classes"):
            independence(torch.randn(5, 2), torch.zeros(5).long())
        with pytest.raises(InterventionError, match="do not vary"):
            independence(torch.zeros(5, 2), torch.arange(5))
