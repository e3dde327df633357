from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from scm.errors import ScmError
from scm.learning.cgn import settings_of, untrained
from scm.reproductions.cgn_edge_loss import correlation, rate
from scm.reproductions.cgn_interpolate import walk
from scm.reproductions.cgn_masks import overlap
from scm.reproductions.study import Study


def quick(name: str, out: Path, **options: str) -> tuple[Study, dict[tuple[str, str], Any]]:
    study = Study(name, out, quick=True, options={"data": "digits", **options}, progress=False)
    import_module(f"scm.reproductions.{name.replace('-', '_')}").run(study)
    return study, {(row.row, row.metric): row.mean for row in study.rows}


def test_overlap_counts_pixels() -> None:
    a, b = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    a[0, 0, :2], b[0, 0, 1:3] = 0.9, 0.8  # 8 pixels each, 4 of 12 together
    assert overlap(a, b).tolist() == pytest.approx([4 / 12, 0.0])


def test_the_interval_of_a_rate_is_clopper_and_pearsons() -> None:
    # With no hit of n the upper end is 1 - 0.025 ** (1 / n).
    assert rate(0, 10).endswith(f"0 to {100 * (1 - 0.025**0.1):.3g}%")
    assert rate(10, 10).endswith(f"{100 * 0.025**0.1:.3g} to 100%")


def test_a_correlation_that_is_not_defined_says_so() -> None:
    value, words = correlation([1, 1, 1, 1, 1], [1, 2, 3, 4, 5])
    assert value != value
    assert "undefined" in words
    assert correlation([1, 2, 3, 4, 6], [6, 4, 3, 2, 1])[0] < -0.9


@pytest.mark.parametrize("kind", ["coloured", "double", "wildlife"])
def test_a_path_in_y_mixes_one_hots(kind: str) -> None:
    """Its ends are the mechanism's own outputs; its middle that of weights which are averaged."""
    cgn = untrained(settings_of(kind, size=16, shape_width=16), seed=3)
    generator = torch.Generator().manual_seed(0)
    start, end = torch.tensor([1, 4, 7]), torch.tensor([2, 0, 9])
    for node in "MFB":
        mechanism: Any = cgn.mechanisms[node]
        noise = torch.randn(3, mechanism.noise.width, generator=generator)
        with torch.no_grad():
            path = walk(mechanism, noise, start, end, 3)
            ends = torch.stack([mechanism.generate(noise, label) for label in (start, end)])
            assert torch.allclose(path[[0, 2]], ends, atol=1e-5)
            # A class whose every weight is the mean of two classes' is their mixed one-hot.
            for at in range(3):
                one, other = int(start[at]), int(end[at])
                kept = {key: value.clone() for key, value in mechanism.state_dict().items()}
                for key in ("linear.weight", "linear.bias"):
                    value = mechanism.state_dict().get(key)
                    if value is None:
                        continue
                    if node == "M" and key == "linear.weight":
                        columns = value[:, -10:]
                        columns[:, one] = (columns[:, one] + columns[:, other]) / 2
                    elif node != "M":
                        value[one] = (value[one] + value[other]) / 2
                if "bank" in kept:
                    mechanism.bank[one] = (mechanism.bank[one] + mechanism.bank[other]) / 2
                mixed = mechanism.generate(noise[at : at + 1], start[at : at + 1])[0]
                mechanism.load_state_dict(kept)
                assert torch.allclose(path[1, at], mixed, atol=1e-5)


def test_only_mechanisms_of_one_hots_are_walked() -> None:
    labels = torch.tensor([0])
    with pytest.raises(ScmError, match="Linear"):
        walk(nn.Linear(1, 1), torch.zeros(1, 1), labels, labels, 3)


def test_interpolate_in_quick(tmp_path: Path) -> None:
    study, found = quick("cgn-interpolate", tmp_path, kinds="double")
    assert len([row for row in study.rows if row.goal and not row.met]) == 0
    assert found["double-coloured, shape in u", "largest change of the two others' outputs"] == 0
    assert {path.name for path in study.pictures} == {
        "paths-double.png",
        "probabilities-double.png",
    }


def test_loss_ablation_in_quick(tmp_path: Path) -> None:
    study, found = quick("cgn-loss-ablation", tmp_path)
    rows = {row for row, _ in found}
    assert {f"double-coloured: without {loss}" for loss in ("L_shape", "L_rec", "L_bg")} < rows
    # The means are of digits that fill some of the frame; and without losses masks differ.
    assert 0.05 < found["double-coloured: the digits themselves", "mask mean"] < 0.4
    assert len({found[row, "mask mean"] for row in rows}) == len(rows)
    scored = [row for row in study.rows if "accuracy" in row.metric]
    assert len(scored) == 5
    assert all("selected: the last step, 20 of 20" in row.note for row in scored)
    assert (tmp_path / "outputs-double.png").stat().st_size > 5_000


def test_edge_loss_in_quick(tmp_path: Path) -> None:
    _, found = quick("cgn-edge-loss", tmp_path, steps="15")
    border = "mask mean within 3 pixels of the border"
    assert found["coloured, with the edge loss", border] < found["coloured, without it", border]
    assert found["correct masks and accuracy, over runs", "correlation"] is None  # of two runs
    for name in ("correct-masks", "masks"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5_000


def test_collapse_in_quick(tmp_path: Path) -> None:
    study, found = quick("cgn-edge-loss", tmp_path, group="collapse", kinds="double", steps="15")
    metric = "runs stopped for collapsed masks, %"
    assert found["double-coloured, as shipped; 15 steps", metric] == 0  # it is not watched in quick
    assert "0 of 1; Clopper-Pearson" in study.rows[-1].note


def test_patches_have_no_losses_to_leave_out(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match="kinds=wildlife.*expected coloured, double"):
        quick("cgn-loss-ablation", tmp_path, kinds="double,wildlife")


@pytest.mark.parametrize("wrong", [{"group": "edges"}, {"kinds": "genint"}, {"steps": "-3"}])
def test_options_that_are_not(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ScmError, match=next(iter(wrong.values()))):
        quick("cgn-edge-loss", tmp_path, **wrong)
