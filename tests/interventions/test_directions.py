from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from torch import Tensor, nn

import scm
from scm.errors import InterventionError, MechanismError, ScmError
from scm.interventions.calibration import calibrated, farthest
from scm.interventions.directions import PAPER_RANGES, PrincipalDirections
from scm.interventions.generator import generator_of
from scm.interventions.incremental_pca import IncrementalPCA
from scm.interventions.steering import SupportWarning, steerable
from scm.interventions.strategy import Strategy
from scm.mechanisms import CVAE, Image, Root

TINY = {
    "output_dim": 16,
    "layers": [[True, 16, 8], [False, 8, 4], [True, 4, 2], [False, 2, 1]],
    "z_dim": 8,
    "class_embed_dim": 8,
    "channel_width": 4,
    "num_classes": 5,
    "attention_layer_position": 2,
}


class Planted(nn.Module):
    """Images whose first layer has singular values 20, 14, 9.8, ... and shifts with the class."""

    def __init__(self, width: int = 12, features: int = 300, bent: bool = False) -> None:
        super().__init__()
        noise = np.random.default_rng(3)
        left = np.linalg.qr(noise.standard_normal((features, width)))[0]
        self.right = np.linalg.qr(noise.standard_normal((width, width)))[0]
        self.left, self.values = left, 20 * 0.7 ** np.arange(width)
        self.first = nn.Linear(width, features)
        self.first.weight.data = torch.tensor(
            left * self.values @ self.right.T, dtype=torch.float32
        )
        self.shift = nn.Embedding(3, features)
        self.bend = nn.Softplus(beta=0.01) if bent else nn.Identity()

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        seen = self.bend(self.first(h))
        return (seen + self.shift(y))[:, :192].sigmoid().view(-1, 3, 8, 8)


def angle(a: Tensor, b: Tensor) -> float:
    """The largest principal angle of two row spaces, in degrees."""
    return float(np.degrees(subspace_angles(a.double().numpy().T, b.double().numpy().T).max()))


def test_closed_form_is_the_planted_one() -> None:
    planted = Planted()
    found = PrincipalDirections.of(planted, "first", 5, width=12, classes=3)
    assert found.method == "closed form"
    assert np.allclose(found.spread, planted.values[:5], rtol=1e-4)
    for j in range(5):
        # A direction's sign is free, but the same in the layer and in the latent.
        sides = (
            found.basis[j].numpy() @ planted.left[:, j],
            found.latent[j].numpy() @ planted.right[:, j],
        )
        assert abs(sides[0]) > 0.9999
        assert abs(sides[0] - sides[1]) < 1e-3
    assert torch.allclose(found.basis @ found.basis.T, torch.eye(5), atol=1e-5)
    assert torch.allclose(found.latent @ found.latent.T, torch.eye(5), atol=1e-5)


def test_all_classes_count_their_differences_as_variation() -> None:
    planted = Planted()

    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.out = planted, nn.Identity()

        def forward(self, h: Tensor, y: Tensor) -> Tensor:
            return self.out(self.inner.first(h) + 40 * y[:, None])[:, :192].view(-1, 3, 8, 8)

    found = PrincipalDirections.of(Shifted(), "out", 3, label=None, width=12, classes=3)
    weight = planted.first.weight.detach().double().numpy()
    offsets = 40 * np.array([-1.0, 0.0, 1.0])[:, None] * np.ones(300)
    covariance = weight @ weight.T + offsets.T @ offsets / 3
    values, vectors = np.linalg.eigh(covariance)
    assert np.allclose(found.spread.square(), values[::-1][:3], rtol=1e-3)
    assert angle(found.basis, torch.tensor(vectors[:, ::-1][:, :3].T.copy())) < 0.1


def test_incremental_pca_agrees_with_the_closed_form() -> None:
    # An axis is off towards its neighbour by s t / (s^2 - t^2) / sqrt(n) = 0.48 degrees (one
    # standard error, s = 0.7 t, n = 30,000), and in the latent by another sqrt(12 / n) = 1.1:
    # 3 degrees are over 3 standard errors of all together.
    planted = Planted(width=12)
    exact = PrincipalDirections.of(planted, "first", 9, width=12, classes=3)
    drawn = PrincipalDirections.of(
        planted, "first", 9, samples=30_000, batch=500, width=12, classes=3, progress=False
    )
    assert drawn.method == "incremental PCA, 30000 samples"
    for k in (1, 5, 9):
        assert angle(exact.basis[:k], drawn.basis[:k]) < 3
        found = exact[:k].angle(drawn[:k])
        assert found == pytest.approx(angle(exact.basis[:k], drawn.basis[:k]), rel=1e-2)
        assert angle(exact.latent[:k], drawn.latent[:k]) < 3
    assert torch.allclose(exact.spread, drawn.spread, rtol=0.03)


@pytest.mark.slow
def test_incremental_pca_agrees_at_the_size_of_biggan() -> None:
    class Full(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gen_z = nn.Linear(128, 32768, bias=False)
            nn.init.orthogonal_(self.gen_z.weight)
            values = torch.cat([torch.linspace(30, 12, 10), torch.linspace(4, 1, 118)])
            self.gen_z.weight.data *= values

        def forward(self, h: Tensor, y: Tensor) -> Tensor:
            return self.gen_z(h)[:, :12].view(-1, 3, 2, 2)

    known = {"width": 128, "classes": 2}
    exact = PrincipalDirections.of(Full(), "gen_z", 10, **known)
    drawn = PrincipalDirections.of(
        Full(), "gen_z", 10, samples=200_000, batch=2000, progress=False, **known
    )
    assert angle(exact.basis, drawn.basis) < 3
    assert angle(exact.latent, drawn.latent) < 3


def test_incremental_pca_is_exact_where_it_keeps_the_rank() -> None:
    noise = np.random.default_rng(0)
    x = noise.standard_normal((400, 5)) @ noise.standard_normal((5, 30)) + 7.0
    z = noise.standard_normal((400, 2))
    pca = IncrementalPCA(6)
    parts = zip(torch.tensor(z).split(90), torch.tensor(x).split(90), strict=True)
    pca.update(parts)
    assert np.allclose(pca.mean, x.mean(0))
    values = np.linalg.eigvalsh(np.cov(x.T))[::-1][:6].clip(0)
    assert np.allclose(pca.spread[:5].square(), values[:5])
    assert pca.spread[5] < 1e-6
    assert np.allclose(pca.cross, (z - z.mean(0)).T @ (x - x.mean(0)) / 399)
    assert torch.allclose(pca.basis[:5] @ pca.basis[:5].T, torch.eye(5).double())


@pytest.mark.parametrize("features", [40, 3000])
def test_incremental_pca_finds_no_direction_beyond_the_rank(features: int) -> None:
    noise = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 3, generator=noise) @ torch.randn(3, features, generator=noise)
    pca = IncrementalPCA(6)
    pca.update((rows[:, :2], rows) for rows in x.split(500))
    assert (pca.spread[3:] < 1e-6 * pca.spread[0]).all()
    with pytest.raises(InterventionError, match="NaN or infinite"):
        pca.update([(x[:9, :2], x[:9] / 0)])


def test_a_bent_layer_recovers_the_latent_by_regression() -> None:
    planted = Planted(bent=True)
    found = PrincipalDirections.of(
        planted, "bend", 3, samples=20_000, width=12, classes=3, progress=False
    )
    assert found.method.startswith("incremental PCA")
    # softplus at this scale is linear to a few per cent, so the planted latent axes come back
    assert angle(found.latent, torch.tensor(planted.right[:, :3].T.copy())) < 3
    latent = torch.randn(20_000, 12, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        seen = (planted.bend(planted.first(latent)) - found.centre) @ found.basis.T
    solved = np.linalg.lstsq(seen.numpy(), latent.numpy(), rcond=None)[0]
    unit = solved / np.linalg.norm(solved, axis=1, keepdims=True)
    assert abs((unit[0] @ found.latent[0].numpy()) - 1) < 1e-3


def test_biggans_first_layer_needs_no_samples() -> None:
    from scm.mechanisms.biggan import BigGAN

    biggan = BigGAN(TINY)
    found = PrincipalDirections.of(biggan, "generator.gen_z", 4, label=2)
    layer = biggan.generator.generator.gen_z
    weight = layer.weight.detach()[:, : TINY["z_dim"]]  # z first, then the class
    values = np.linalg.svd(weight.numpy(), compute_uv=False)
    assert found.method == "closed form"
    assert np.allclose(found.spread, values[:4], rtol=1e-4)
    model = steerable(biggan, found)
    units = model.do(Z2=1.5, Y=[0, 4]).sample(2, seed=0)
    assert units["X"].shape == (2, 3, 16, 16)
    assert torch.allclose(units["Z2"], torch.tensor(1.5), atol=1e-5)


def cvae() -> CVAE:
    mechanism = CVAE(Image((3, 8, 8)), latent=4, hidden=(20,), likelihood="bernoulli")
    scm.SCM("Y -> X", Y=Root.categorical([0.25] * 4), X=mechanism)
    return mechanism


@pytest.mark.parametrize("at", ["latent", "layer"])
def test_setting_a_nuisance_is_remove_then_add(at: str) -> None:
    made = cvae()
    found = PrincipalDirections.of(made, "0", 3, label=None)
    model = steerable(made, found, at=at)  # type: ignore[arg-type]
    micro = "H" if at == "latent" else "L"
    before, after = model.sample(6, seed=1), model.do(Z2=-2.5).sample(6, seed=1)
    rows = found.latent if at == "latent" else found.basis
    centre = torch.zeros(4) if at == "latent" else found.centre
    unit = torch.tensor(1.0) if at == "latent" else found.spread[1]
    r, h = rows[1], before[micro]
    wanted = h - ((h - centre) @ r)[:, None] * r + -2.5 * unit * r
    assert torch.allclose(after[micro], wanted, atol=1e-5)
    assert torch.allclose(after["Z1"], before["Z1"], atol=1e-4)
    assert torch.allclose(after["Z3"], before["Z3"], atol=1e-4)
    assert torch.equal(after["Y"], before["Y"])
    with torch.no_grad():
        direct = made.decode(after["H"], {"Y": after["Y"]})
    if at == "latent":
        assert torch.allclose(after["X"], direct, atol=1e-6)
    else:
        assert (after["X"] - direct).abs().max() > 1e-3  # the layer was replaced
        with torch.no_grad():
            assert made.decoder is not None
            logits = made.decoder[2](made.decoder[1](after["L"]))
        assert torch.allclose(after["X"].flatten(1), logits.sigmoid(), atol=1e-5)
    # without intervention, both are the generator itself
    with torch.no_grad():
        plain = made.decode(before["H"], {"Y": before["Y"]})
    assert torch.allclose(before["X"], plain, atol=1e-6)


def test_a_move_is_the_papers_shift() -> None:
    made = cvae()
    found = PrincipalDirections.axes(made)
    model = steerable(made, found)
    before, after = model.sample(4, seed=0), model.man(H=found.move(2, 1.5)).sample(4, seed=0)
    assert torch.allclose(after["Z3"] - before["Z3"], torch.tensor(1.5))
    assert torch.equal(after["Z1"], before["Z1"])


def test_step_sizes_have_the_effect_that_was_asked_for() -> None:
    class Ramps(nn.Module):
        def forward(self, h: Tensor, y: Tensor) -> Tensor:
            flat = (h[:, :2] * torch.tensor([0.1, 0.02])).sum(1).clamp(-1, 1)
            return flat[:, None, None, None].expand(-1, 3, 4, 4)

    known = {"width": 2, "classes": 2}
    axes = PrincipalDirections.axes(Ramps(), **known)
    # mean |change| is 0.1 s of a range of 2, so an effect of 0.05 is s = 1, and 5 along the other
    with pytest.warns(SupportWarning, match="Z2"):
        found = calibrated(Ramps(), axes, 0.05, progress=False, **known)
    assert found.ranges[0].tolist() == pytest.approx([-1, 1], rel=0.03)
    assert found.ranges[1].tolist() == pytest.approx([-farthest(2), farthest(2)])
    found = calibrated(Ramps(), axes, 0.05, limit=9.0, progress=False, **known)
    assert found.ranges[1].tolist() == pytest.approx([-5, 5], rel=0.03)


def test_ranges_can_be_given_the_papers_too() -> None:
    axes = PrincipalDirections.axes(Planted(), width=12, classes=3)
    first = {j: PAPER_RANGES[j] for j in (0, 1)}
    assert axes.ranged(first).ranges[:3].tolist() == [[-3, 3], [-4, 2], [-1, 1]]
    assert axes.ranged(2.0).ranges[5].tolist() == [-2, 2]
    assert axes.ranged(2.0)[2:4].ranges.shape == (2, 2)
    with pytest.raises(InterventionError, match="directions 0 to 11"):
        axes.ranged({12: (-1, 1)})


class TestBadInput:
    def test_a_layer_that_does_not_exist(self) -> None:
        with pytest.raises(
            InterventionError, match=r"no layer 'frist'.*'first'.*first, shift, bend"
        ):
            PrincipalDirections.of(Planted(), "frist", width=12, classes=3)

    def test_a_layer_that_never_runs(self) -> None:
        planted = Planted()
        planted.idle = nn.Linear(2, 2)
        with pytest.raises(InterventionError, match="never runs"):
            PrincipalDirections.of(planted, "idle", width=12, classes=3)

    def test_more_directions_than_rank(self) -> None:
        planted = Planted()
        planted.first.weight.data[:, 3:] = planted.first.weight.data[:, :1]
        with pytest.raises(InterventionError, match="rank 3.*expected 1 to 3"):
            PrincipalDirections.of(planted, "first", 4, width=12, classes=3)
        with pytest.raises(InterventionError, match="expected 1 to 12"):
            PrincipalDirections.of(planted, "first", 13, width=12, classes=3)

    def test_a_generator_whose_output_is_no_image(self) -> None:
        class Flat(nn.Module):
            def forward(self, h: Tensor, y: Tensor) -> Tensor:
                return h

        with pytest.raises(InterventionError, match=r"Flat made shape \(2, 4\).*images"):
            generator_of(Flat(), width=4, classes=2)
        with pytest.raises(InterventionError, match="a Root was given as generator"):
            generator_of(Root.normal())
        with pytest.raises(InterventionError, match="how wide"):
            generator_of(Planted())

    def test_a_generator_in_training_mode_is_left_as_it_is(self) -> None:
        class Normed(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.norm = nn.BatchNorm2d(3)

            def forward(self, h: Tensor, y: Tensor) -> Tensor:
                return self.norm(h[:, :3, None, None].expand(-1, 3, 4, 4))

        normed = Normed()
        with pytest.raises(InterventionError, match=r"Normed .*BatchNorm2d \(norm\) in training"):
            PrincipalDirections.of(normed, "norm", 2, width=4, classes=2)
        assert normed.norm.num_batches_tracked == 0
        assert len(PrincipalDirections.of(normed.eval(), "norm", 2, width=4, classes=2)) == 2

    def test_a_class_that_does_not_exist(self) -> None:
        with pytest.raises(InterventionError, match="label=3.*0 to 2"):
            PrincipalDirections.of(Planted(), "first", 2, label=3, width=12, classes=3)

    def test_directions_of_another_generator(self) -> None:
        axes = PrincipalDirections.axes(Planted(), width=12, classes=3)
        with pytest.raises(InterventionError, match="width 12.*width 4"):
            steerable(cvae(), axes)
        with pytest.raises(InterventionError, match=r"\(12, 12\) and \(4, 12\) were compared"):
            axes.angle(axes[:4])
        with pytest.raises(InterventionError, match="with directions of one"):
            steerable(cvae(), PrincipalDirections.axes(cvae()), at="layer")

    def test_missing_weights(self, tmp_path) -> None:  # type: ignore[no-untyped-def]
        from scm.mechanisms.biggan import BigGAN

        with pytest.raises(ScmError, match=r"config\.json and pytorch_model\.bin"):
            BigGAN.from_pretrained(tmp_path)


def same_after_saving(model: scm.SCM, path: Path, **given: object) -> None:
    model.save(path, omit=tuple(given))
    again = scm.load(path, functions=given)
    strategy = Strategy(None, 2, 1.5, together=2)
    for seed in range(2):
        one, other = (strategy.sample(m, 6, seed) for m in (model, again))
        for node in ("X", "Y", "Z1", "Z2"):
            assert torch.equal(one[node], other[node])
    micro = "L" if "L" in model.mechanisms else "H"
    set_to = again.do(Z2=0.25).sample(4, seed=3)
    torch.testing.assert_close(set_to["Z2"], torch.full((4,), 0.25), atol=1e-4, rtol=0)
    assert torch.equal(set_to[micro], model.do(Z2=0.25).sample(4, seed=3)[micro])


@pytest.mark.filterwarnings("ignore::scm.interventions.SupportWarning")
class TestSaving:
    """A steerable model comes back from its file: what it samples is the same, bit by bit."""

    def test_a_biggan(self, tmp_path: Path) -> None:
        from scm.mechanisms.biggan import BigGAN

        biggan = BigGAN(TINY, truncation=0.5)
        found = PrincipalDirections.of(biggan, "generator.gen_z", 2)
        same_after_saving(steerable(biggan, found, batch=4), tmp_path / "model.scm")

    def test_a_cvae_steered_at_a_layer(self, tmp_path: Path) -> None:
        cvae = CVAE(Image((3, 4, 4)), latent=5, hidden=(8,), likelihood="bernoulli")
        scm.SCM("Y -> X", Y=Root.categorical([0.25] * 4), X=cvae)
        found = PrincipalDirections.of(cvae, "0", 2, label=None, samples=200, progress=False)
        same_after_saving(steerable(cvae, found, at="layer"), tmp_path / "model.scm")

    def test_a_module_of_ones_own_is_given_again(self, tmp_path: Path) -> None:
        painter = Planted(6)
        known = {"width": 6, "classes": 3}
        model = steerable(painter, PrincipalDirections.axes(painter, **known), **known)
        with pytest.raises(MechanismError, match=r"(?s)generator=.*cannot be saved.*omit=\('X',\)"):
            model.save(tmp_path / "model.scm")
        same_after_saving(model, tmp_path / "model.scm", X=painter)
