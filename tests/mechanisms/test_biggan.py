"""BigGAN and U2-Net: published sizes and names, truncation, sharing, files."""

import json

import pytest
import torch
from scipy import stats

import scm
from scm.errors import MechanismError, ScmError
from scm.mechanisms.biggan import BigGAN, BigGANMask, truncated
from scm.mechanisms.u2net import U2Net

pytest.importorskip("pytorch_pretrained_biggan")

TINY = {
    "output_dim": 16,
    "z_dim": 4,
    "class_embed_dim": 4,
    "channel_width": 8,
    "num_classes": 3,
    "layers": [[True, 16, 8], [False, 8, 4], [True, 4, 2], [False, 2, 1]],
    "attention_layer_position": 2,
}


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("small", "count"), [(True, 1_131_181), (False, 44_009_869)])
def test_u2net_has_the_published_number_of_parameters(small: bool, count: int) -> None:
    assert parameters(U2Net(small)) == count


def published_names() -> set[str]:
    """Names in the files u2net.pth and u2netp.pth of the repository xuebinqin/U-2-Net."""
    heights = {f"stage{k}": max(4, 8 - k) for k in range(1, 7)}
    heights |= {f"stage{k}d": max(4, 8 - k) for k in range(1, 6)}
    batch_norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = {f"{part}.{leaf}" for part in ("outconv", *(f"side{k}" for k in range(1, 7)))
             for leaf in ("weight", "bias")}  # fmt: skip
    for stage, height in heights.items():
        steps = ["in", *map(str, range(1, height + 1)), *(f"{k}d" for k in range(1, height))]
        for step in steps:
            names |= {f"{stage}.rebnconv{step}.conv_s1.{leaf}" for leaf in ("weight", "bias")}
            names |= {f"{stage}.rebnconv{step}.bn_s1.{leaf}" for leaf in batch_norm}
    return names


def test_u2net_reads_the_published_names_and_refuses_other_shapes(tmp_path) -> None:
    assert set(U2Net(small=False).state_dict()) == published_names()
    trained = U2Net(small=True, seed=7).eval()
    assert set(trained.state_dict()) == published_names()
    with pytest.raises(ScmError, match=r"no file .*take u2netp\.pth.*xuebinqin/U-2-Net"):
        U2Net(small=True, weights=tmp_path / "u2netp.pth")
    torch.save(trained.state_dict(), tmp_path / "u2netp.pth")
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    read = U2Net(small=True, weights=tmp_path / "u2netp.pth").eval()
    assert torch.equal(read(images), trained(images))
    other = (
        r"stage1\.rebnconv1\.conv_s1\.weight has shape \(16, 64, 3, 3\), expected \(32, 64, 3, 3\)"
    )
    with pytest.raises(ScmError, match=other):
        U2Net(small=False, weights=tmp_path / "u2netp.pth")


@pytest.mark.slow
@pytest.mark.parametrize(("side", "millions"), [(128, 50.4), (256, 55.9), (512, 56.2)])
def test_biggan_has_the_published_number_of_parameters(side: int, millions: float) -> None:
    mechanism = BigGAN(f"biggan-deep-{side}")
    assert round(parameters(mechanism) / 1e6, 1) == millions
    assert mechanism.type.shape == (3, side, side)


def test_truncated_noise_follows_scipys_truncated_normal() -> None:
    noise = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    drawn = truncated(noise, 0.5)
    assert drawn.abs().max() <= 1
    law = stats.truncnorm(-2, 2, scale=0.5)
    # Kolmogorov-Smirnov: a false alarm once in a thousand seeds.
    assert stats.kstest(drawn.numpy(), law.cdf).pvalue > 1e-3


def test_a_pass_is_the_packages_own() -> None:
    mechanism = BigGAN(TINY, truncation=0.5)
    noise, label = torch.tensor([[0.3, -1.0, 0.0, 2.0]]), torch.tensor([2])
    onehot = torch.tensor([[0.0, 0.0, 1.0]])
    expected = mechanism.generator(truncated(noise, 0.5), onehot, 0.5)
    assert torch.equal(mechanism.image(noise, label), expected)
    assert expected.isfinite().all()
    assert expected.std() > 0


def test_classes_share_their_noise_and_a_root_shares_it_between_nodes() -> None:
    model = scm.SCM(
        "U -> A, B; Y1 -> A; Y2 -> B",
        U=scm.Root.normal(torch.zeros(4)),
        Y1=scm.Root.categorical([1 / 3] * 3),
        Y2=scm.Root.categorical([1 / 3] * 3),
        A=BigGAN(TINY, seed=1),
        B=BigGAN(TINY, seed=1),
    )
    units = model.do(Y1=1, Y2=1).sample(3, seed=0)
    assert torch.equal(units["A"], units["B"])
    assert units.sweep(Y1=range(3))["A"].shape == (3, 3, 3, 16, 16)


def test_a_mask_is_a_mask_and_both_survive_saving(tmp_path) -> None:
    model = scm.SCM(
        "Y -> M, F",
        Y=scm.Root.categorical([1 / 3] * 3),
        M=BigGANMask(TINY, truncation=0.5, small=True),
        F=BigGAN(TINY, truncation=0.5, seed=5),
    )
    units = model.sample(2, seed=0)
    assert units["M"].shape == (2, 1, 16, 16)
    assert 0 < units["M"].min() <= units["M"].max() < 1
    model.save(tmp_path / "model.scm")
    again = scm.load(tmp_path / "model.scm").sample(2, seed=0)
    assert torch.equal(again["M"], units["M"])
    assert torch.equal(again["F"], units["F"])


def test_weights_are_read_from_a_folder(tmp_path) -> None:
    trained = BigGAN(TINY, seed=7)
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    torch.save(trained.generator.state_dict(), tmp_path / "pytorch_model.bin")
    read = BigGAN.from_pretrained(tmp_path, truncation=0.5)
    noise, label = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(2)
    trained.truncation = 0.5
    assert torch.equal(read.image(noise, label.long()), trained.image(noise, label.long()))


def test_weights_are_read_from_the_packages_cache(tmp_path, monkeypatch) -> None:
    from pytorch_pretrained_biggan import file_utils, model

    name = "biggan-deep-128"
    monkeypatch.setattr(file_utils, "PYTORCH_PRETRAINED_BIGGAN_CACHE", tmp_path)
    tables = {
        "config": model.PRETRAINED_CONFIG_ARCHIVE_MAP[name],
        "weights": model.PRETRAINED_MODEL_ARCHIVE_MAP[name],
    }
    for kind, address in tables.items():
        (tmp_path / f"{kind}.json").write_text(json.dumps({"url": address, "etag": None}))
    (tmp_path / "config").write_text(json.dumps(TINY))
    torch.save(BigGAN(TINY, seed=7).generator.state_dict(), tmp_path / "weights")
    assert BigGAN.from_pretrained(name).type.shape == (3, 16, 16)


def test_weights_that_cannot_be_downloaded_say_which_and_where_to_put_them(
    tmp_path, monkeypatch
) -> None:
    from pytorch_pretrained_biggan import file_utils

    def unreachable(address: str) -> str:
        raise OSError(f"no route to {address[:8]}")

    monkeypatch.setattr(file_utils, "PYTORCH_PRETRAINED_BIGGAN_CACHE", tmp_path)
    monkeypatch.setattr(file_utils, "cached_path", unreachable)
    with pytest.raises(
        ScmError, match=rf"biggan-deep-512-config.json is not in .*{tmp_path}.*fetch"
    ):
        BigGAN.from_pretrained("biggan-deep-512")


def test_bad_input_is_refused_with_the_way_out(tmp_path) -> None:
    with pytest.raises(MechanismError, match="did you mean 'biggan-deep-256'"):
        BigGAN("biggan-deep-265")
    with pytest.raises(MechanismError, match="above 0 and at most 1"):
        BigGAN(TINY, truncation=0.0)
    with pytest.raises(MechanismError, match="images of 16 pixels a side"):
        BigGAN({**TINY, "output_dim": 32})
    with pytest.raises(MechanismError, match=r"expected the label, Categorical\(3\)"):
        scm.SCM("Y -> F", Y=scm.Root.categorical([0.5, 0.5]), F=BigGAN(TINY))
    with pytest.raises(ScmError, match=r"does not hold config\.json and pytorch_model\.bin\. Down"):
        BigGAN.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    address = r"https://\S+biggan-deep-256-pytorch_model\.bin"
    with pytest.raises(
        ScmError, match=rf"does not hold pytorch_model\.bin\. .*{address} .*there as"
    ):
        BigGAN.from_pretrained(tmp_path)
    torch.save({"embeddings.weight": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ScmError, match=r"embeddings.weight has shape|is missing"):
        BigGAN.from_pretrained(tmp_path)
    torch.save(torch.nn.Linear(1, 1), tmp_path / "pytorch_model.bin")
    with pytest.raises(ScmError, match="run code of their own"):
        BigGAN.from_pretrained(tmp_path)
