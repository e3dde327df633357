"""Pretrained generators of every kind as mechanisms, and what is wrong with some of them."""

import os
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal, Uniform

import scm
from scm.errors import MechanismError, ScmError
from scm.mechanisms import CVAE, Categorical, Flow, Image, Real, Root
from scm.mechanisms.biggan import BigGAN
from scm.mechanisms.deepscm import MorphoVAE
from scm.mechanisms.inversion import invert, train_encoder
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.macro import Move
from scm.mechanisms.seeding import seeded

PRETRAINED = Path(os.environ.get("SCM_DATA", "")) / "pretrained"
needs_data = pytest.mark.skipif(not PRETRAINED.is_dir(), reason="SCM_DATA has no pretrained")


def network(width=3, out=6, seed=0):
    with seeded(seed):
        return nn.Sequential(nn.Linear(width, 8), nn.Tanh(), nn.Linear(8, out)).eval()


def test_units_of_the_engine_are_what_the_network_makes_of_their_latents():
    generator = LatentGenerator(network(), 3, Real((6,)))
    model = scm.SCM("Z -> X", Z=generator.prior, X=generator)
    units = model.sample(50, seed=1)
    torch.testing.assert_close(units["X"], generator.generate(units["Z"]))
    assert not units["X"].requires_grad


def test_a_move_of_the_latent_makes_the_moved_image_and_no_other():
    generator = LatentGenerator(network(), 3, Real((6,)))
    head = scm.mechanisms.Macro(lambda z: z[..., 0])
    model = scm.SCM("Z -> X; Z => A", Z=generator.prior, X=generator, A=head)
    h = torch.tensor([0.6, 0.8, 0.0])
    units = model.sample(20, seed=0)
    moved = units.man(Z=Move(h, 2.0))
    torch.testing.assert_close(moved["X"], generator.generate(units["Z"] + 2 * h))


@pytest.mark.parametrize(
    "prior",
    [
        (2, 3),
        Normal(torch.ones(2, 3), 2.0),
        Independent(Uniform(torch.zeros(2, 3), 1.0), 2),
        Root.normal(torch.zeros(2, 3)),
    ],
)
def test_priors(prior):
    generator = LatentGenerator(lambda z: z.flatten(1), prior, Real((6,)))
    drawn = generator.draw(4000, seed=0)
    assert drawn.shape == (4000, 2, 3)
    law = {Normal: (1.0, 2.0), Independent: (0.5, 12**-0.5)}.get(type(prior), (0.0, 1.0))
    # 24,000 numbers: five standard errors of the mean and about as many of the deviation.
    assert abs(drawn.mean() - law[0]) < 5 * law[1] / 24_000**0.5
    assert abs(drawn.std() - law[1]) < 5 * law[1] / 24_000**0.5


def test_a_correlated_prior_keeps_its_correlation():
    law = MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.8], [0.8, 1.0]]))
    drawn = LatentGenerator(lambda z: z, law, Real((2,))).draw(4000)
    assert torch.corrcoef(drawn.T)[0, 1] == pytest.approx(0.8, abs=0.03)  # 5 standard errors


def test_stylegan_is_audited_in_z_and_in_w():
    mapping, synthesis = network(3, 4, seed=1), network(4, 6, seed=2)
    in_z = LatentGenerator(synthesis, 3, Real((6,)), mapping=mapping)
    in_w = in_z.in_w()
    assert (in_z.latent, in_w.latent) == ((3,), (4,))
    models = [scm.SCM("Z -> X", Z=g.prior, X=g) for g in (in_z, in_w)]
    units = [m.sample(30, seed=5) for m in models]
    torch.testing.assert_close(units[1]["Z"], mapping(units[0]["Z"]).detach())
    torch.testing.assert_close(units[1]["X"], units[0]["X"])
    with pytest.raises(MechanismError, match="no mapping"):
        in_w.in_w()


@pytest.mark.parametrize("kind", ["torchscript", "exported", "program"])
def test_programs_generate_what_their_network_does(kind, tmp_path):
    net, z = network(), torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    path = tmp_path / ("g.pt" if kind == "torchscript" else "g.pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of writing
        if kind == "torchscript":
            torch.jit.trace(net, z).save(str(path))
        else:
            batch = torch.export.Dim("batch")
            program = torch.export.export(net, (z,), dynamic_shapes=({0: batch},))
            torch.export.save(program, path)
    if kind == "program":
        generator = LatentGenerator(program, 3, Real((6,)))
    else:
        generator = LatentGenerator.load(path, 3, Real((6,)))
    torch.testing.assert_close(generator.generate(z), net(z).detach())
    model = scm.SCM("Z -> X", Z=generator.prior, X=generator)
    assert model.sample(4, seed=0)["X"].shape == (4, 6)


class Harmful:
    """Unpickling it would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("where", ["module", "sample inputs", "weights"])
def test_what_would_have_to_be_unpickled_does_not_load(where, tmp_path):
    import json
    import zipfile

    touched, path = tmp_path / "touched", tmp_path / "g.pt2"
    if where == "module":
        torch.save(Harmful(touched), path := tmp_path / "g.pt")
    else:
        z = torch.zeros(2, 3)
        torch.export.save(torch.export.export(network(), (z,)), tmp_path / "good.pt2")
        torch.save(Harmful(touched), tmp_path / "bad")
        bad = (tmp_path / "bad").read_bytes()
        with zipfile.ZipFile(tmp_path / "good.pt2") as good, zipfile.ZipFile(path, "w") as out:
            for name in good.namelist():
                content = good.read(name)
                if where == "sample inputs" and "sample_inputs" in name:
                    content = bad
                if where == "weights" and name.endswith("weight_0"):
                    content = bad
                if where == "weights" and name.endswith("weights_config.json"):
                    config = json.loads(content)
                    for one in config["config"].values():
                        one["use_pickle"] = True
                    content = json.dumps(config).encode()
                out.writestr(name.replace("good/", "g/"), content)
    with pytest.raises(ScmError, match="cannot be read as a program"):
        LatentGenerator.load(path, 3, Real((6,)))
    assert not touched.exists()


def test_a_flow_is_its_own_encoder():
    generator = LatentGenerator.of(Flow(4))
    z = generator.draw(20)
    torch.testing.assert_close(generator.encode(generator.generate(z)), z, atol=1e-3, rtol=1e-3)


def test_a_vae_with_parents_is_taken_at_fixed_ones_and_encodes_by_its_mean():
    vae = CVAE(Image((1, 6, 6)), latent=3)
    generator = LatentGenerator.of(vae, {"Y": 2}, {"Y": Categorical(4)})
    z = generator.draw(5)
    parents = {"Y": torch.full((5,), 2)}
    torch.testing.assert_close(generator.generate(z), vae.decode(z, parents).detach())
    x = generator.generate(z)
    mean = vae.abduct(x, parents, torch.zeros(5, 39))[:, :3].detach()
    torch.testing.assert_close(generator.encode(x), mean)
    with pytest.raises(MechanismError, match="fix each of them"):
        LatentGenerator.of(vae)


def test_biggan_with_its_label_fixed():
    pytest.importorskip("pytorch_pretrained_biggan")
    layers = [[True, 16, 8], [False, 8, 4], [True, 4, 2], [False, 2, 1]]
    tiny = {"output_dim": 16, "z_dim": 4, "class_embed_dim": 4, "channel_width": 8}
    tiny |= {"num_classes": 3, "layers": layers, "attention_layer_position": 2}
    biggan = BigGAN(tiny, truncation=0.6).eval()
    generator = LatentGenerator.of(biggan, {"Y": 1}, {"Y": Categorical(3)})
    z = generator.draw(3)
    made = generator.generate(z)
    torch.testing.assert_close(made, biggan.image(z, torch.ones(3).long()).detach())
    with pytest.raises(ScmError, match="no encoder"):
        generator.encode(made)


def test_inversion_finds_the_latents_of_generated_data():
    generator = LatentGenerator(network(2, 12), 2, Real((12,)))
    z = generator.draw(12, seed=3)
    data = generator.generate(z)
    found = invert(generator, data, steps=150, restarts=4, pull=0.0, batch=7, progress=False)
    assert generator.reconstruction(data, found).explained > 0.999
    torch.testing.assert_close(found, z, atol=0.05, rtol=0.05)


def test_inversion_without_gradients_says_what_else_there_is():
    generator = LatentGenerator(lambda z: z.detach(), 2, Real((2,)))
    with pytest.raises(ScmError, match="train_encoder"):
        invert(generator, torch.zeros(3, 2), steps=1, progress=False)


def test_a_trained_encoder_gives_latents_back():
    generator = LatentGenerator(network(2, 12), 2, Real((12,)))
    trained = train_encoder(generator, hidden=(64,), steps=300, lr=1e-2, progress=False)
    z = generator.draw(500, seed=99)
    data = generator.generate(z)
    assert (trained.encode(data) - z).square().mean() < 0.05
    assert trained.reconstruction(data, trained.encode(data)).explained > 0.9


def test_latents_of_another_prior_lie_beyond_it():
    generator = LatentGenerator(lambda z: z, 8, Real((8,)))
    z = generator.draw(5000, seed=7)
    assert generator.beyond_prior(z) < 0.005
    assert generator.beyond_prior(3 * z) > 0.8


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda z: z @ torch.ones(5, 6), "does the prior match the network"),
        (lambda z: z, r"returned \(4, 3\)"),
        (lambda z: z.repeat(1, 2) / 0, "NaN or infinite"),
        (
            lambda z: z.repeat(1, 2) + torch.randn(len(z), 6),
            "another value when it is called again",
        ),
        (lambda z: z.repeat(1, 2) - z.mean(), "other rows are left out"),
        ("weights.pt", r"LatentGenerator\.load"),
    ],
)
def test_generators_that_cannot_be_audited(broken, says):
    with pytest.raises(MechanismError, match=says), seeded(0):
        LatentGenerator(broken, 3, Real((6,)))


def test_nan_at_some_latents_is_counted():
    generator = LatentGenerator(lambda z: (4 - z).sqrt(), 1, Real((1,)))
    with pytest.raises(MechanismError, match="2 of 3"):
        generator.generate(torch.tensor([[0.0], [5.0], [6.0]]))


def test_the_wrong_parent_is_refused():
    generator = LatentGenerator(network(), 3, Real((6,)))
    with pytest.raises(MechanismError, match="expected one, its latent"):
        scm.SCM("Z -> X", Z=Root.normal(torch.zeros(4)), X=generator)


@needs_data
def test_the_published_morphomnist_vae_gives_its_images_back():
    vae = MorphoVAE.from_pretrained(PRETRAINED / "deepscm_morphomnist" / "image_vae-epoch=643.ckpt")
    images, parents = morphomnist(200)
    vae.bind("X", {"T": Real(), "I": Real(), "Y": Categorical(10)})
    rows = torch.zeros(200, 16)
    spread = (images - images.mean(0)).square().sum()

    def unexplained(given):
        made = vae(given, vae.abduct(images, given, rows))
        return float((made - images).square().sum() / spread)

    vae.requires_grad_(False)
    assert unexplained(parents) < 0.1
    assert unexplained({**parents, "Y": (parents["Y"] + 1) % 10}) > 0.2
    assert unexplained({**parents, "I": parents["I"].flip(0)}) > 0.2


def morphomnist(n):
    import csv
    import gzip

    import numpy as np

    folder = PRETRAINED.parent / "MorphoMNIST"
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(16 + 784 * n), np.uint8, offset=16).reshape(n, 1, 28, 28)
    with gzip.open(folder / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(8 + n), np.uint8, offset=8)
    with (folder / "t10k-morpho.csv").open() as text:
        table = [next(rows) for rows in [csv.DictReader(text)] for _ in range(n)]
    numbers = {k: torch.tensor([float(row[k]) for row in table]) for k in table[0]}
    images = nn.functional.pad(torch.from_numpy(pixels / 255).float(), (2, 2, 2, 2))
    digits = torch.from_numpy(labels.astype(np.int64))
    return images, {"T": numbers["thickness"], "I": numbers["intensity"], "Y": digits}


@needs_data
@pytest.mark.parametrize("name", ["colored", "double_colored", "wildlife"])
def test_the_cgn_authors_networks_are_generators(name):
    from scm.learning.cgn import CGN

    cgn = CGN.from_published(PRETRAINED / "cgn_mnist" / f"{name}.pth")
    generator = cgn.as_generator(3)
    model = scm.SCM("Z -> X", Z=generator.prior, X=generator)
    made = model.sample(4, seed=0)["X"]
    assert made.shape == (4, 3, 32, 32)
    assert made.std() > 0.02
    # The same noise in the CGN itself gives the same images.
    noises = generator.draw(4).split([cgn.mechanisms[n].noise.width for n in ("M", "F", "B")], 1)
    label = torch.full((4,), 3)
    parts = [cgn.mechanisms[n].generate(u, label) for n, u in zip("MFB", noises, strict=True)]
    mask, front, back = parts
    torch.testing.assert_close(
        generator.generate(generator.draw(4)), mask * front + (1 - mask) * back
    )
