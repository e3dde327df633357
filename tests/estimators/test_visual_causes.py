from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scm
from scm.datasets import bar_images, bars
from scm.estimators import VisualCauses, visual_causes
from scm.testing.laws.partitions import SUPPLEMENT_B

seeds = st.integers(0, 2**31 - 1)


@dataclass
class Tables:
    """P(H), P(I | H) and P(T | H, I), and what follows from them, by sums in numpy."""

    prior: np.ndarray
    image: np.ndarray
    target: np.ndarray

    @property
    def model(self) -> scm.SCM:
        return scm.SCM(
            "H -> I; H, I -> T",
            latent=["H"],
            H=scm.Tabular(self.prior),
            I=scm.Tabular(self.image),
            T=scm.Tabular(self.target),
        )

    @property
    def joint(self) -> np.ndarray:
        """P(I, T)."""
        return np.einsum("h,hi,hit->it", self.prior, self.image, self.target)

    @property
    def share(self) -> np.ndarray:
        return self.joint.sum(-1)

    @property
    def seen(self) -> np.ndarray:
        return self.joint / self.share[:, None]

    @property
    def done(self) -> np.ndarray:
        return np.einsum("h,hit->it", self.prior, self.target)

    def after(self, written: np.ndarray) -> np.ndarray:
        """P(T) when each image i is replaced by written[i] and nothing else."""
        return np.einsum("h,hi,hit->t", self.prior, self.image, self.target[:, written])


def generic(seed: int, images: int = 5, hidden: int = 3, levels: int = 3) -> Tables:
    rng = np.random.default_rng(seed)
    return Tables(
        rng.dirichlet(np.ones(hidden)) * 0.7 + 0.3 / hidden,
        rng.dirichlet(np.ones(images), hidden) * 0.7 + 0.3 / images,
        rng.dirichlet(np.ones(levels), (hidden, images)) * 0.8 + 0.2 / levels,
    )


def in_cells(seed: int, c: np.ndarray, s: np.ndarray, hidden: int = 3, levels: int = 3) -> Tables:
    """T depends on I through c alone, and c and s say all that I tells of H."""
    rng = np.random.default_rng(seed)
    pairs, cell = np.unique(np.stack([c, s], -1), axis=0, return_inverse=True)
    cells = rng.dirichlet(np.ones(len(pairs)), hidden) * 0.7 + 0.3 / len(pairs)
    within = rng.uniform(0.2, 1.0, len(c))
    within /= np.bincount(cell, within)[cell]
    target = rng.dirichlet(np.ones(levels), (hidden, c.max() + 1)) * 0.8 + 0.2 / levels
    prior = rng.dirichlet(np.ones(hidden)) * 0.7 + 0.3 / hidden
    return Tables(prior, cells[:, cell] * within, target[:, c])


def written(found: VisualCauses, **act: int) -> np.ndarray:
    """What each image is replaced by."""
    n = len(found.cause)
    view = found.model.man({found.image: torch.arange(n)}).do(act)
    return view.sample(n, seed=0)[found.image].numpy()


def descending_key(row: np.ndarray) -> tuple[float, ...]:
    return tuple(np.round(row[::-1], 9))


CELLS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=3, max_size=8).map(
    np.array
)


@settings(max_examples=30, deadline=None)
@given(seeds, CELLS, st.integers(2, 4))
def test_models_whose_cells_are_known(seed: int, cells: np.ndarray, levels: int) -> None:
    c, s = (np.unique(column, return_inverse=True)[1] for column in cells.T)
    truth = in_cells(seed, c, s, levels=levels)
    distance = np.random.default_rng(seed).random((len(c), len(c)))
    found = visual_causes(truth.model, distance=distance if seed % 2 else None)
    assert found.coarsens
    assert found.acts_through_cause
    own_c, own_s = (np.array(list(d.values())) for d in (found.cause, found.correlate))
    n = len(c)
    for i, j in itertools.combinations(range(n), 2):
        assert (own_c[i] == own_c[j]) == (c[i] == c[j])
        assert ((own_c[i], own_s[i]) == (own_c[j], own_s[j])) == (cells[i] == cells[j]).all()
        # Labels ascend with the probabilities, the last level of T first.
        if own_c[i] < own_c[j]:
            assert descending_key(truth.done[i]) < descending_key(truth.done[j])
        elif own_c[i] == own_c[j] and own_s[i] < own_s[j]:
            assert descending_key(truth.seen[i]) < descending_key(truth.seen[j])
    assert set(own_c) == set(range(c.max() + 1))
    for k in set(own_c):
        assert set(own_s[own_c == k]) == set(range(len(set(own_s[own_c == k]))))
    # H(C, S), and P(T | I) = P(T | C, S), from the model that has C and S as nodes.
    exact = found.model.exact()
    given_both = exact.table("T", given=("C", "S")).values.numpy()
    assert np.allclose(given_both[own_c, own_s], truth.seen, atol=1e-12)
    masses = np.bincount(np.unique(cells, axis=0, return_inverse=True)[1], truth.share)
    assert found.entropy == pytest.approx(-(masses * np.log(masses)).sum(), abs=1e-12)
    # do(C = c) by the writer does what setting any image of c does.
    whole = set(itertools.product(set(own_c), set(own_s))) == set(found.pairs)
    for value in set(own_c) if whole else ():
        effect = truth.after(written(found, C=int(value)))
        assert np.allclose(effect, truth.done[own_c == value], atol=1e-12)
    assert_macro_model(found, truth)


def assert_macro_model(found: VisualCauses, truth: Tables) -> None:
    macro = found.macro_model()
    exact = macro.exact()
    c, s = (np.array(list(d.values())) for d in (found.cause, found.correlate))
    expected = np.zeros((c.max() + 1, s.max() + 1, truth.joint.shape[-1]))
    np.add.at(expected, (c, s), truth.joint)
    assert np.allclose(exact.table("C", "S", "T").values.numpy(), expected, atol=1e-12)
    done = exact.table("T", do="C").values.numpy()
    assert np.allclose(done[c], truth.done, atol=1e-9)
    still = exact.table("T", do="S").values.numpy()
    assert np.allclose(still, truth.joint.sum(0), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(2, 4))
def test_where_each_image_is_a_class_units_respond_by_their_hidden_state(
    seed: int, levels: int
) -> None:
    truth = generic(seed, levels=levels)
    found = visual_causes(truth.model)
    assert len(found.causal) == len(found.observational) == 5
    assert set(found.correlate.values()) == {0}
    assert_macro_model(found, truth)
    # Each class is one image: units with the image j respond to the image i by their H.
    posterior = truth.prior[:, None] * truth.image / truth.share
    expected = np.einsum("hj,hit->jit", posterior, truth.target)
    order = list(found.cause.values())
    assert found.pairs == tuple((k, 0) for k in range(5))
    response = found.macro_model().mechanisms["T"].table().numpy()[order][:, order]
    assert np.allclose(response, expected, atol=1e-9)


def equal_effects(seed: int, images: int = 4, classes: int = 2) -> tuple[Tables, np.ndarray]:
    """P(T | man(i)) is the same in a class, all else at random; half have images that suit."""
    rng = np.random.default_rng(seed)
    truth = generic(seed, images, levels=2)
    truth.image = 0.9 * rng.dirichlet(np.full(images, 0.2), 3) + 0.1 / images
    label = np.arange(images) % classes
    away = rng.uniform(-1, 1, (3, images)) + rng.choice([0, 3]) * truth.image
    away -= truth.prior @ away
    wanted = rng.uniform(0.45, 0.55, classes)[label]
    target = wanted + 0.44 * away / np.abs(away).max()
    truth.target = np.stack([1 - target, target], -1)
    return truth, label


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_a_macro_model_exists_where_the_natural_bounds_hold(seed: int) -> None:
    truth, label = equal_effects(seed)
    found = visual_causes(truth.model)
    assert not found.acts_through_cause
    seen = np.stack([truth.joint[label == k].sum(0) for k in (0, 1)])
    effect = np.stack([truth.done[label == k][0] for k in (0, 1)])
    if (seen <= effect + 1e-9).all():
        assert_macro_model(found, truth)
    else:
        with pytest.raises(scm.InterventionError, match="natural bound"):
            found.macro_model()


@pytest.mark.parametrize("third", [0.0, 0.2])
def test_no_macro_model_where_each_unit_has_the_image_that_suits_it(third: float) -> None:
    """P(T | man(0)) = P(T | man(1)) = 1/2, yet units mostly have the image that makes T = 1."""
    own, other = 0.95 * (1 - third), 0.05 * (1 - third)
    image = np.array([[own, other, third], [other, own, third]])
    right = np.array([[0.9, 0.1, 0.2], [0.1, 0.9, 0.2]])
    keep = slice(None) if third else slice(0, 2)
    truth = Tables(np.array([0.5, 0.5]), image[:, keep], np.stack([1 - right, right], -1)[:, keep])
    found = visual_causes(truth.model)
    c = found.cause[0]
    assert found.causal.cells[0] == (0, 1)
    assert found.observational.cells[0] == (0, 1)
    assert np.allclose(truth.done[:2, 1], 0.5)
    assert truth.joint[:2, 1].sum() > 0.5
    with pytest.raises(
        scm.InterventionError, match=rf"P\(T=1 \| do\(C={c}\)\) would be 0.5, below"
    ):
        found.macro_model()


def cancelling(seed: int) -> Tables:
    """P(T | I = 0) = P(T | I = 1) by a shift of P(T | h, 1); all else at random."""
    truth = generic(seed, images=4, levels=2)
    truth.target = 0.3 * truth.target + 0.35  # shifts of up to 0.3 stay probabilities
    gap = truth.seen[0] - truth.seen[1]
    truth.target[:, 1] += gap
    return truth


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_parameters_that_cancel_are_recognised(seed: int) -> None:
    truth = cancelling(seed)
    assert np.allclose(truth.seen[0], truth.seen[1], atol=1e-13)
    if np.abs(truth.done[0] - truth.done[1]).max() < 1e-6:
        return
    found = visual_causes(truth.model)
    assert not found.coarsens
    assert found.observational.cells[0] == (0, 1)
    assert len(found.description) == 4
    given_both = found.model.exact().table("T", given=("C", "S")).values.numpy()
    own = [list(d.values()) for d in (found.cause, found.correlate)]
    assert np.allclose(given_both[own[0], own[1]], truth.seen, atol=1e-12)
    with pytest.raises(scm.InterventionError, match="no smallest description"):
        _ = found.entropy
    assert_macro_model(found, truth)


@pytest.mark.parametrize("name", SUPPLEMENT_B)
def test_supplement_b_as_visual_causes(name: str) -> None:
    joint = SUPPLEMENT_B[name]
    tables = {n: scm.Tabular(joint.table(n, given=joint.graph.parents(n)).values) for n in "HIT"}
    found = visual_causes(scm.SCM(joint.graph, tables), tolerance=2e-3)
    assert found.coarsens == (name == "coarsening")
    # By hand: P(T = 0 | man(I)) is .125, .125, .287 in the first table, .231, .455, .287 in the
    # second; P(T = 0 | I) of the images 0 and 1 is .125, .067 in the first.
    expected = {
        "coarsening": ([1, 1, 0], [0, 1, 0]),
        "refinement": ([2, 0, 1], [0, 0, 0]),
        "incompatible": ([0, 0, 1], [0, 1, 0]),
    }[name]
    assert (list(found.cause.values()), list(found.correlate.values())) == expected
    share = joint.table("I").values.tolist()
    if name == "coarsening":
        assert found.entropy == pytest.approx(-sum(p * math.log(p) for p in share))
    macro = found.macro_model().exact()
    for level, c in found.cause.items():
        done = macro.prob({"T": 0}, do={"C": c})
        assert float(done) == pytest.approx(float(joint.prob({"T": 0}, do={"I": level})), abs=2e-3)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_supplement_d(seed: int) -> None:
    """C may keep predictive information that is no cause's, though S is constant.

    Almost surely: a difference below 1e-6 has a chance of some 1e-5 a model, 4e-4 in all.
    """
    found = visual_causes(generic(seed, images=2, hidden=2, levels=2).model)
    assert found.observational == found.causal
    assert len(found.causal) == 2
    assert set(found.correlate.values()) == {0}
    exact = found.model.exact()
    seen = exact.table("T", given="C").values
    done = found.macro_model().exact().table("T", do="C").values
    assert (seen - done).abs().min() > 1e-6
    assert (exact.table("T", do="I").values[0] - exact.table("T", do="I").values[1]).abs().min() > 0


@pytest.fixture(scope="module")
def figure_1() -> VisualCauses:
    start = time.process_time()
    found = visual_causes(bars(3))
    assert time.process_time() - start < 1.0
    return found


def test_figure_1_on_all_images_of_nine_pixels(figure_1: VisualCauses) -> None:
    grids = [image.squeeze(0).numpy() for image in bar_images(3)]
    row = [int(any((grid == 1).all(1))) for grid in grids]
    column = [int(any((grid == 1).all(0))) for grid in grids]
    assert len({grid.tobytes() for grid in grids}) == 512
    assert list(figure_1.cause.values()) == row
    assert list(figure_1.correlate.values()) == column
    # By inclusion and exclusion, 3 * 2^6 - 3 * 2^3 + 1 images have a full row, and as many
    # a full column.
    counts = dict.fromkeys(itertools.product((0, 1), repeat=2), 0)
    for pair in zip(row, column, strict=True):
        counts[pair] += 1
    assert sum(row) == sum(column) == 169
    cells = {
        (figure_1.cause[c[0]], figure_1.correlate[c[0]]): len(c) for c in figure_1.description.cells
    }
    assert cells == counts
    assert figure_1.coarsens
    assert figure_1.entropy == pytest.approx(math.log(4))
    chances = figure_1.model.mechanisms["T"].table()[:, [row.index(0), row.index(1)], 1]
    exact, macro = figure_1.model.exact(), figure_1.macro_model().exact()
    for c, s in itertools.product((0, 1), repeat=2):
        assert exact.prob({"T": 1}, given={"C": c, "S": s}) == pytest.approx(float(chances[s, c]))
        assert macro.prob({"T": 1, "C": c, "S": s}) == pytest.approx(float(chances[s, c]) / 4)
        assert macro.prob({"T": 1}, do={"C": c}) == pytest.approx(float(chances[:, c].mean()))
        assert macro.prob({"T": 1}, do={"S": s}) == pytest.approx(float(chances.mean()))


def test_doing_c_in_figure_1_changes_the_nearest_pixels_alone(figure_1: VisualCauses) -> None:
    pixels = bar_images(3).flatten(1)
    hamming = torch.cdist(pixels, pixels, p=1)
    found = visual_causes(bars(3), distance=hamming)
    for wanted in (0, 1):
        images = written(found, C=wanted)
        for i, j in enumerate(images):
            there = [
                k
                for k in range(512)
                if (found.cause[k], found.correlate[k]) == (wanted, found.correlate[i])
            ]
            assert j in there
            assert hamming[i, j] == min(hamming[i, k] for k in there)
    assert (written(figure_1, C=1) != written(found, C=1)).any()


def test_the_effect_of_do_in_samples(figure_1: VisualCauses) -> None:
    """Within five standard errors, a false alarm of 6e-7 each."""
    n = 2000
    model = figure_1.model
    units = model.sample(n, seed=1)
    for c, effect in ((0, 0.35), (1, 0.65)):
        after = units.do(C=c)
        assert bool(after.written["C"].all())
        assert bool((after["C"] == c).all())
        assert torch.equal(after["S"], units["S"])
        stays = units["C"] == c
        assert torch.equal(after["I"][stays], units["I"][stays])
        assert abs(float(after["T"].double().mean()) - effect) < 5 * math.sqrt(0.25 / n)
    swept = model.sweep(C=[0, 1]).sample(n, seed=1)
    assert torch.equal(swept.world(C=1)["I"], units.do(C=1)["I"])
    assert torch.equal(model.do(S=0).sample(n, seed=1)["C"], units["C"])
    still = model.do(S=0).sample(n, seed=2)["T"].double().mean()
    assert abs(float(still) - 0.5) < 5 * math.sqrt(0.25 / n)
    macro = figure_1.macro_model().do(C=1).sample(n, seed=3)
    assert abs(float(macro["T"].double().mean()) - 0.65) < 5 * math.sqrt(0.25 / n)


def test_equal_strength_of_both_bars_is_the_case_of_measure_zero() -> None:
    """As figure 1's text has it, both bars are equally strong: then P(T | bar) is one class."""
    found = visual_causes(bars(2, chances=((0.1, 0.5), (0.5, 0.9))))
    assert not found.coarsens
    assert len(found.observational) == 3
    assert len(found.description) == 4
    assert found.macro_model().exact().prob({"T": 1}, do={"C": 1}) == pytest.approx(0.7)


def test_the_most_probable_image_is_written() -> None:
    truth = in_cells(3, np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 0, 0, 1]))
    found = visual_causes(truth.model)
    flip = found.cause[3]
    expected = np.arange(6)
    expected[:2] = 3 + int(truth.share[4] > truth.share[3])
    expected[2] = 5
    assert written(found, C=flip).tolist() == expected.tolist()


def test_an_empty_cell_is_refused_with_its_units() -> None:
    truth = in_cells(1, np.array([0, 0, 1]), np.array([0, 1, 0]))
    found = visual_causes(truth.model)
    c, s = found.cause[2], 1
    units = found.model.sample(500, seed=4)
    stuck = int(((units["C"] != c) & (units["S"] == s)).sum())
    assert 0 < stuck < 500
    with pytest.raises(scm.InterventionError, match=rf"\(C, S\) = \({c}, {s}\) of {stuck} units"):
        units.do(C=c)["I"]
    with pytest.raises(scm.InterventionError, match=rf"\(S, C\) = \({s}, {c}\)"):
        found.model.do(S=1).sample(500, seed=4)
    with pytest.raises(scm.InterventionError, match="of 7 units"):
        found.model.man(I=units["I"][(units["C"] != c) & (units["S"] == s)][0]).do(C=c).sample(7)
    other = found.cause[0]
    assert bool((found.model.do(C=other).sample(500, seed=4)["C"] == other).all())


def test_the_model_is_saved_and_read(tmp_path: Path, figure_1: VisualCauses) -> None:
    figure_1.model.save(tmp_path / "bars.scm")
    again = scm.load(tmp_path / "bars.scm")
    before, after = (m.do(C=1).sample(200, seed=5) for m in (figure_1.model, again))
    assert all(torch.equal(before[v], after[v]) for v in figure_1.model.graph.nodes)
    figure_1.macro_model().save(tmp_path / "macro.scm")
    macro = scm.load(tmp_path / "macro.scm").exact()
    assert macro.prob({"T": 1}, do={"C": 1}) == pytest.approx(0.65)


def test_the_given_model_stays_as_it_is() -> None:
    model = bars(2)
    before = model.sample(100, seed=0)
    found = visual_causes(model, cause="Row", correlate="Column")
    assert model.graph.nodes == ("H1", "H2", "I", "T")
    after = found.model.sample(100, seed=0)
    assert all(torch.equal(before[v], after[v]) for v in before)
    assert found.model.graph.macros("I") == ("Row", "Column")
    renamed = found.model.rename({"Row": "C", "I": "Picture"}).do(C=1).sample(50, seed=0)
    assert bool((renamed["C"] == 1).all())
    assert set(found.macro_model("Z").graph.nodes) == {"Z", "Row", "Column", "T"}
    with pytest.raises(scm.InterventionError, match="macro-variable"):
        found.model.exact().prob({"T": 1}, do={"Row": 1})


def test_images_with_names() -> None:
    model = scm.SCM(
        "I -> T",
        I=scm.Tabular([0.2, 0.3, 0.5], levels=["cat", "dog", "owl"]),
        T=scm.Tabular([[0.1, 0.9], [0.8, 0.2], [0.1, 0.9]], levels=["no", "yes"]),
    )
    found = visual_causes(model)
    assert found.cause == {"cat": 1, "dog": 0, "owl": 1}
    assert set(found.model.do(C=1).sample(30, seed=0)["I"].tolist()) == {0, 2}
    assert found.macro_model().exact().prob({"T": "yes"}, do={"C": 1}) == pytest.approx(0.9)


def test_an_image_that_is_a_mere_barometer() -> None:
    model = scm.SCM(
        "W -> I; W -> T",
        W=scm.Tabular([0.3, 0.7]),
        I=scm.Tabular([[0.8, 0.2], [0.1, 0.9]]),
        T=scm.Tabular([[0.9, 0.1], [0.2, 0.8]]),
    )
    found = visual_causes(model)
    assert found.cause == {0: 0, 1: 0}
    assert found.correlate == {0: 0, 1: 1}
    macro = found.macro_model().exact()
    for act in ({"C": 0}, {"S": 0}, {"S": 1}):
        assert macro.prob({"T": 1}, do=act) == pytest.approx(0.3 * 0.1 + 0.7 * 0.8)


def test_an_effect_through_other_nodes() -> None:
    """I -> M -> T, its cause A of I unlike the cause B of T, from which A comes."""
    rng = np.random.default_rng(0)
    b, a = rng.dirichlet(np.ones(2)), rng.dirichlet(np.ones(3), 2)
    i, m = rng.dirichlet(np.ones(3), 3), rng.dirichlet(np.ones(2), 3)
    t = rng.dirichlet(np.ones(3), (2, 2))
    tables = {"B": b, "A": a, "I": i, "M": m, "T": t}
    model = scm.SCM(
        "B -> A -> I -> M; M, B -> T", {n: scm.Tabular(v) for n, v in tables.items()}, latent=["B"]
    )
    # The same in the form of `Tables`, with H = B.
    truth = Tables(b, a @ i, np.einsum("im,mbt->bit", m, t))
    found = visual_causes(model)
    assert found.acts_through_cause
    assert_macro_model(found, truth)


def test_bad_input() -> None:
    model = bars(2)
    with pytest.raises(scm.GraphError, match="names that are not taken"):
        visual_causes(model, cause="H1")
    with pytest.raises(scm.GraphError, match="names that are not taken"):
        visual_causes(visual_causes(model).model)
    with pytest.raises(scm.GraphError, match="names that are not taken"):
        visual_causes(model, cause="K", correlate="K")
    with pytest.raises(scm.GraphError, match="a name of its own"):
        visual_causes(model).macro_model("C")
    with pytest.raises(scm.GraphError, match="causes I"):
        visual_causes(model, image="I", target="H1")
    with pytest.raises(scm.GraphError, match="Known"):
        visual_causes(model, target="Z")
    with pytest.raises(scm.MechanismError, match="the model itself"):
        visual_causes(model.exact())  # type: ignore[arg-type]
    wrong = (np.ones((2, 2)), -np.ones((16, 16)), np.full((16, 16), np.nan))
    for distance in wrong:
        with pytest.raises(scm.ScmError, match=r"of shape \(16, 16\)"):
            visual_causes(model, distance=distance)
