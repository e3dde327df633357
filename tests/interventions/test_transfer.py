"""Style transfer: what is minimised, batches against single images, matching, weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from scm.errors import ScmError
from scm.interventions import StyleTransfer, discrepancy, matching, vgg19_features
from scm.learning.perceptual import style_loss


class Features(nn.Module):
    """Five convolutions with random weights, and what each of them finds."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.ModuleList(
                nn.Conv2d(a, b, 3, stride=s, padding=1)
                for a, b, s in ((3, 4, 1), (4, 4, 1), (4, 6, 2), (6, 6, 1), (6, 8, 2))
            )
        self.requires_grad_(False)
        self.calls: list[int] = []

    def forward(self, images: Tensor) -> list[Tensor]:
        self.calls.append(len(images))
        found: list[Tensor] = []
        for layer in self.layers:
            images = layer(images if not found else found[-1].relu())
            found.append(images)
        return found


def images(n: int, seed: int, size: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(n, 3, size, size, generator=generator) - 1


@pytest.mark.parametrize("kernel", ["polynomial", "linear"])
def test_the_discrepancy_is_the_mean_over_pairs_of_places(kernel: str) -> None:
    f, g = (images(2, seed, 5).double() for seed in (0, 1))
    g = g[..., :3]
    found = discrepancy(f, g, kernel)  # type: ignore[arg-type]
    for k in range(2):
        a, b = f[k].flatten(1).T.numpy(), g[k].flatten(1).T.numpy()
        power = 2 if kernel == "polynomial" else 1
        means = [np.mean((u @ v.T) ** power) for u, v in ((a, a), (b, b), (a, b))]
        assert float(found[k]) == pytest.approx(means[0] + means[1] - 2 * means[2], rel=1e-9)


def test_what_is_minimised_is_matching_loss_and_style_loss() -> None:
    network = Features()
    x, natural, generated = (images(3, seed) for seed in range(3))
    matched, differ = StyleTransfer(network).terms(x, natural, generated)
    here, there, style = network(x), network(natural), network(generated)
    for k in range(3):
        wanted = np.mean((here[3][k].numpy() - there[3][k].numpy()) ** 2)
        assert float(matched[k]) == pytest.approx(float(wanted), rel=1e-5)
        rows = slice(k, k + 1)
        weights = [1 / f.shape[1] ** 2 for f in here]  # means of the Gram matrices' entries
        loss = style_loss([f[rows] for f in here], [f[rows] for f in style], weights)
        assert float(differ[k]) == pytest.approx(float(loss), rel=1e-4)
        mmd = sum(discrepancy(f, g)[k] / f.shape[1] ** 4 for f, g in zip(here, style, strict=True))
        assert float(differ[k]) == pytest.approx(float(mmd), rel=1e-4)


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_images_of_a_batch_do_not_talk_and_each_takes_its_own_steps(optimiser: str) -> None:
    natural, generated = images(4, 0).double(), images(4, 1, 10).double()
    transfer = StyleTransfer(Features().double(), optimiser=optimiser)  # type: ignore[arg-type]
    budgets = torch.tensor([7, 2, 10, 1])
    together = transfer._transfer(natural, generated, budgets)
    for k, steps in enumerate(budgets.tolist()):
        rows = slice(k, k + 1)
        alone = transfer(natural[rows], generated[rows], steps=steps, progress=False)
        torch.testing.assert_close(alone, together[rows], atol=1e-6, rtol=0)
        assert not torch.equal(alone, natural[rows])


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_more_steps_carry_over_more_and_the_content_is_kept(optimiser: str) -> None:
    natural, generated = images(3, 0), 0.3 * images(3, 1) + 0.5
    transfer = StyleTransfer(Features(), optimiser=optimiser)  # type: ignore[arg-type]
    means = []
    for steps in (1, 8, 40):
        found = transfer(natural, generated, steps=steps, progress=False)
        assert found.abs().max() <= 1
        means.append(float(transfer.terms(found, natural, generated)[1].mean()))
    assert means[0] > 2 * means[1] > 4 * means[2]
    kept = StyleTransfer(Features(), style_weight=0.0)(natural, generated, steps=5, progress=False)
    torch.testing.assert_close(kept, natural)
    heavier = StyleTransfer(Features(), style_weight=10.0)
    lighter = heavier(natural, generated, steps=40, progress=False)
    assert heavier.terms(lighter, natural, generated)[0].mean() < float(
        heavier.terms(found, natural, generated)[0].mean()
    )


def test_numbers_of_steps_are_drawn_with_the_seed_and_work_stops_with_them() -> None:
    natural, generated, network = images(8, 0), images(8, 1), Features()
    transfer = StyleTransfer(network, optimiser="adam")
    first, again, other = (
        transfer(natural, generated, steps=(1, 6), batch=b, seed=s, progress=False)
        for s, b in ((1, 8), (1, 3), (2, 8))
    )
    torch.testing.assert_close(first, again, atol=1e-5, rtol=0)
    assert not torch.allclose(first, other, atol=1e-3)
    network.calls.clear()
    transfer._transfer(natural, generated, torch.tensor([1, 1, 2, 3, 3, 3, 3, 5]))
    assert network.calls[2:] == [8, 6, 5, 1, 1]  # after the targets


def test_colours_go_over_and_shapes_stay() -> None:
    """With pixels as features, the second moments of colours are the style."""
    natural = torch.full((2, 3, 12, 12), -0.6)
    natural[:, :, 3:9, 3:9] = 0.4
    generated = torch.tensor([0.8, -0.2, -0.5]).view(1, 3, 1, 1).expand(2, 3, 12, 12).clone()
    generated[:, :, 2:5] = torch.tensor([0.1, -0.4, -0.8]).view(3, 1, 1)
    transfer = StyleTransfer(lambda x: [(x + 1) / 2], content=0, style_weight=1e4)
    found = transfer(natural, generated, steps=60, progress=False)
    redness = (found[:, 0] - found[:, 2]).mean()
    assert redness == pytest.approx(float((generated[:, 0] - generated[:, 2]).mean()), abs=0.1)
    for image in found:
        inside, border = image[:, 3:9, 3:9].mean(), image[:, [0, -1]].mean()
        assert inside > border + 0.2


@given(st.integers(0, 5), st.sampled_from(["same", "other", "independent"]))
def test_matching(seed: int, how: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels, theirs = (torch.randint(3, (n,), generator=generator) for n in (40, 90))
    rows = matching(labels, theirs, how, seed)  # type: ignore[arg-type]
    agree = theirs[rows] == labels
    if how == "independent":
        # 40 draws that agree in a third: none, or all, has probability below 1e-6.
        assert 0 < int(agree.sum()) < 40
    else:
        assert bool((agree == (how == "same")).all())
    assert torch.equal(rows, matching(labels, theirs, how, seed))  # type: ignore[arg-type]


def test_an_independent_match_is_uniform() -> None:
    rows = matching(torch.arange(30_000) % 10, torch.arange(3), seed=3)
    table = torch.stack([(rows == k).float() for k in range(3)], 1)
    # 30,000 rows: six shares within 4.5 standard errors, a false alarm in 5e-5 of runs.
    assert (table.mean(0) - 1 / 3).abs().max() < 4.5 * (2 / 9 / 30_000) ** 0.5
    of_three = table[torch.arange(30_000) % 10 == 3].mean(0)
    assert (of_three - 1 / 3).abs().max() < 4.5 * (2 / 9 / 3_000) ** 0.5


def test_what_does_not_fit_is_refused() -> None:
    natural, transfer = images(2, 0), StyleTransfer(Features())
    with pytest.raises(ScmError, match="one generated image for each"):
        transfer(natural, images(3, 1))
    with pytest.raises(ScmError, match="outside of range"):
        transfer(natural, 3 * images(2, 1))
    with pytest.raises(ScmError, match="steps=0"):
        transfer(natural, natural, steps=0)
    with pytest.raises(ScmError, match="one tensor"):
        StyleTransfer(nn.Conv2d(3, 4, 3))(natural, natural, progress=False)
    with pytest.raises(ScmError, match="number content=7"):
        StyleTransfer(Features(), content=7)(natural, natural, progress=False)
    with pytest.raises(ScmError, match="did you mean 'linear'"):
        StyleTransfer(Features(), kernel="linaer")  # type: ignore[arg-type]
    with pytest.raises(ScmError, match="'lbfgs' or 'adam'"):
        StyleTransfer(Features(), optimiser="sgd")  # type: ignore[arg-type]
    with pytest.raises(ScmError, match="class 1"):
        matching(torch.tensor([0, 1]), torch.tensor([0, 2]), "same")


def test_missing_weights_say_which_file_and_where_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = r"vgg19-[0-9a-f]{8}\.pth"
    with pytest.raises(ScmError, match=rf"{tmp_path}.*checkpoints.{file}\. Download {file} from"):
        vgg19_features()
    with pytest.raises(ScmError, match=r"not at .*mine\.pth.*put it there"):
        vgg19_features(tmp_path / "mine.pth")
