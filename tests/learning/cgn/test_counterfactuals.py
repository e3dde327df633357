"""Counterfactual images: what is shared, how labels are assigned, and what a disk may hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from scm.errors import ScmError
from scm.learning.cgn import (
    CGN,
    CounterfactualImages,
    counterfactuals,
    read_counterfactuals,
    untrained,
)
from scm.learning.cgn.counterfactuals import _deranged
from tests.learning.cgn.shared import tiny, toy


@pytest.fixture(scope="module")
def cgn() -> CGN:
    return untrained(tiny())


def made(cgn: CGN, n: int = 36, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = toy()
    data = CounterfactualImages(
        cgn, n, **{"images": images, "labels": labels, "batch": 12, **options}
    )
    parts = list(data)
    assert len(parts) == len(data)
    assert all(len(x) <= data.batch for x, _ in parts)
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


@pytest.mark.parametrize("noise", ["abducted", "prior"])
@pytest.mark.parametrize("fresh", [True, False])
def test_n_images_with_three_labels_each_the_same_every_time(
    cgn: CGN, noise: str, fresh: bool
) -> None:
    x, y = made(cgn, 31, noise=noise, fresh=fresh, ratio=3)
    assert x.shape == (31, 3, 8, 8)
    assert y.shape == (31, 3)
    again, labels = made(cgn, 31, noise=noise, fresh=fresh, ratio=3)
    assert torch.equal(x, again)
    assert torch.equal(y, labels)
    other, _ = made(cgn, 31, noise=noise, fresh=fresh, ratio=3, seed=1)
    assert not torch.equal(x, other)


@pytest.mark.parametrize(("fresh", "textures"), [(True, 12), (False, 12 + 48)])
def test_masks_are_computed_once_for_a_unit(
    cgn: CGN, fresh: bool, textures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: Counter[str] = Counter()
    for node in ("M", "F", "B"):
        mechanism = cgn.mechanisms[node]

        def counted(
            noise: torch.Tensor, label: torch.Tensor, node: str = node, m: Any = mechanism
        ) -> torch.Tensor:
            rows[node] += len(label)
            return type(m).generate(m, noise, label)

        monkeypatch.setattr(mechanism, "generate", counted)
    _, labels = made(cgn, 48, ratio=4, fresh=fresh, noise="prior")
    # 12 units as they are, then 4 counterfactuals of each.
    assert rows == {"M": 12, "F": textures, "B": textures}
    assert all(count % 4 == 0 for count in labels[:, 0].bincount().tolist())


def test_a_fresh_counterfactual_is_the_unit_with_other_units_textures(cgn: CGN) -> None:
    data = CounterfactualImages(cgn, 12, noise="prior", batch=12, assignment="independent")
    ((x, y),) = list(data)
    units = cgn.sample(12, data.seed, start=0)
    m, f, b = (units[v] for v in ("M", "F", "B"))
    every = m[:, None, None] * f[None, :, None] + (1 - m[:, None, None]) * b[None, None]
    gap = (every[None] - x[:, None, None, None]).abs().amax((-3, -2, -1))
    for n, distance in enumerate(gap):
        i, j, k = (int(a) for a in (distance == distance.min()).nonzero()[0])
        assert distance.min() < 1e-5
        assert y[n].tolist() == [int(units["Y"][a]) for a in (i, j, k)]


@pytest.mark.parametrize("assignment", ["permuted", "derangement"])
def test_a_permutation_keeps_the_counts_of_labels(cgn: CGN, assignment: str) -> None:
    _, y = made(cgn, 60, batch=60, assignment=assignment)
    counts = [column.bincount(minlength=3).tolist() for column in y.T]
    assert counts[0] == counts[1] == counts[2]
    agree = (y[:, :1] == y[:, 1:]).sum()
    assert agree == 0 if assignment == "derangement" else agree > 0


@given(st.lists(st.integers(0, 4), min_size=2, max_size=30), st.integers(0, 99))
def test_a_derangement_is_a_permutation_without_agreement(labels: list[int], seed: int) -> None:
    own = torch.tensor(labels)
    order = torch.randperm(len(own), generator=torch.Generator().manual_seed(seed))
    if 2 * max(map(labels.count, labels)) > len(labels):
        with pytest.raises(ScmError, match="no derangement"):
            _deranged(own, order)
        return
    found = _deranged(own, order)
    assert sorted(found.tolist()) == list(range(len(own)))
    assert not (own[found] == own).any()


def test_independent_labels_are_independent(cgn: CGN) -> None:
    """Pearson's chi-square on 3 x 3 cells; false-alarm rate 1e-3, the seed is fixed."""
    from scipy import stats

    _, y = made(cgn, 600, batch=300, assignment="independent")
    for a, b in ((0, 1), (0, 2), (1, 2)):
        table = torch.bincount(3 * y[:, a] + y[:, b], minlength=9).reshape(3, 3)
        assert stats.chi2_contingency(table.numpy()).pvalue > 1e-3


def test_jitter_changes_masks_alone_and_the_temperature_is_put_back(cgn: CGN) -> None:
    images, labels = toy()
    options = {"images": images, "labels": labels, "batch": 12}
    plain = CounterfactualImages(cgn, 12, jitter=0.0, **options)
    moved = CounterfactualImages(cgn, 12, jitter=2.0, **options)
    units = [d._units(0, torch.Generator().manual_seed(4)) for d in (plain, moved)]
    assert torch.equal(units[0]["F"], units[1]["F"])
    assert torch.equal(units[0]["B"], units[1]["B"])
    assert not torch.equal(units[0]["M"], units[1]["M"])
    sharp = CounterfactualImages(cgn, 12, temperature=5.0, **options)
    assert not torch.equal(next(iter(sharp))[0], next(iter(plain))[0])
    assert cgn.mechanisms["M"].temperature == 1.0


def test_workers_share_the_work(cgn: CGN, monkeypatch: pytest.MonkeyPatch) -> None:
    data = CounterfactualImages(cgn, 50, noise="prior", batch=10)
    whole = list(DataLoader(data, batch_size=None))
    monkeypatch.setattr(
        counterfactuals, "get_worker_info", lambda: SimpleNamespace(id=worker, num_workers=2)
    )
    for worker in (0, 1):
        for (x, y), (wanted, labels) in zip(data, whole[worker::2], strict=True):
            assert torch.equal(x, wanted)
            assert torch.equal(y, labels)


def test_a_written_set_is_read_back_to_half_a_grey_level(cgn: CGN, tmp_path: Path) -> None:
    data = CounterfactualImages(cgn, 50, ratio=2, noise="prior", batch=12)
    folder = data.write(tmp_path / "cf", shard=20)
    read = read_counterfactuals(folder)
    x, y = (torch.cat(parts) for parts in zip(*read, strict=True))
    assert torch.equal(x, torch.cat([images for images, _ in read]))  # as often as one likes
    wanted, labels = (torch.cat(parts) for parts in zip(*data, strict=True))
    assert torch.equal(y, labels)
    assert (x - wanted).abs().max() <= 0.5 / 255 + 1e-6
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cf"]
    with pytest.raises(ScmError, match="exists"):
        data.write(folder)


def test_a_full_disk_leaves_nothing(
    cgn: CGN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = counterfactuals.save_file, iter(range(9))

    def full(tensors: Any, path: Path) -> None:
        if next(calls) == 1:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(tensors, path)

    monkeypatch.setattr(counterfactuals, "save_file", full)
    data = CounterfactualImages(cgn, 30, noise="prior", batch=10)
    with pytest.raises(ScmError, match="No space left"):
        data.write(tmp_path / "cf", shard=10)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_whole_is_refused(cgn: CGN, tmp_path: Path) -> None:
    with pytest.raises(ScmError, match="no whole set"):
        read_counterfactuals(tmp_path)
    folder = CounterfactualImages(cgn, 20, noise="prior", batch=10).write(tmp_path / "cf", 10)
    shard = folder / "images-00001.safetensors"
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(ScmError, match="cannot be read"):
        list(read_counterfactuals(folder))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (255 * x, y), r"rescale them to \[0, 1\]"),
        (lambda x, y: (x[..., 1:], y), r"must be \(3, 8, 8\)"),
        (lambda x, y: (x, y + 3), r"no level of Categorical\(3\)"),
        (lambda x, y: (x, y - 1), r"no level of Categorical\(3\)"),
    ],
    ids=["range", "size", "above", "below"],
)
def test_images_and_labels_of_another_model_are_refused(
    cgn: CGN, change: Any, message: str
) -> None:
    images, labels = change(*toy())
    with pytest.raises(ScmError, match=message):
        next(iter(CounterfactualImages(cgn, 12, images=images, labels=labels)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 0}, "ratio=0"),
        ({"assignment": "permutated"}, "did you mean 'permuted'"),
        ({"noise": "posterior"}, "noise='posterior'"),
        ({"noise": "abducted"}, "needs images="),
    ],
)
def test_options_that_make_no_sense_are_refused(
    cgn: CGN, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScmError, match=message):
        CounterfactualImages(cgn, 10, **{"noise": "prior", **options})
