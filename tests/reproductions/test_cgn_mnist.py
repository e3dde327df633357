from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from scm.errors import ScmError
from scm.learning.cgn import CGN, settings_of, untrained
from scm.reproductions import Study, cgn_cf_ablation, cgn_choices, cgn_mnist
from scm.reproductions.cgn_parts import KINDS
from scm.reproductions.cgn_pictures import draw_accuracies, draw_counterfactuals
from scm.reproductions.cgn_sources import chosen, environments
from scm.reproductions.study import Row
from scm.vision import torchvision
from tests.learning.cgn.shared import SmallVGG


def study(out: Path, name: str = "cgn-mnist", **options: str) -> Study:
    given = {"data": "digits", **options}
    quiet = Console(quiet=True)
    return Study(name, out, quick=True, options=given, progress=False, console=quiet)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Study:
    done = study(tmp_path_factory.mktemp("run"), kinds="double", rows="ceiling,counterfactuals")
    cgn_mnist.run(done)
    return done


def values(done: Study, metric: str) -> dict[str, float]:
    found = {row.row: row.mean for row in done.rows if row.metric == metric}
    assert all(value is not None for value in found.values())
    return {row: float(value) for row, value in found.items() if value is not None}


def test_a_row_for_each_classifier_and_its_distance_to_the_ceiling(trained: Study) -> None:
    assert all(row.row.startswith("double-coloured: ") for row in trained.rows)
    accuracies = values(trained, "unbiased test accuracy, %")
    assert len(accuracies) == 2 + 4
    assert all(0 <= value <= 100 for value in accuracies.values())
    distances = values(trained, "distance to the ceiling, points")
    for inputs in ("", ", IN"):
        row = f"double-coloured: counterfactuals only, noise abducted{inputs}"
        best = "ceiling, IN" if inputs else "ceiling: own do(colour) images"
        gap = accuracies[f"double-coloured: {best}"] - accuracies[row]
        assert distances[row] == pytest.approx(gap)
    assert 0 < values(trained, "minutes by the clock of a CGN")["double-coloured: a CGN"] < 20


def test_rows_have_the_papers_figures_the_goals_and_how_weights_were_selected(
    trained: Study,
) -> None:
    rows = {(row.row.partition(": ")[2], row.metric): row for row in trained.rows}
    metric = "unbiased test accuracy, %"
    plain = rows["counterfactuals only, noise abducted", metric]
    assert (plain.paper, plain.reproduced, plain.goal) == (89.0, 86.5, None)
    assert rows["counterfactuals only, noise abducted, IN", metric].goal == ">= 97"
    distance = "distance to the ceiling, points"
    assert rows["counterfactuals only, noise abducted", distance].goal == "<= 1"
    scored = [row for row in trained.rows if row.metric == metric]
    assert all("selected: the last step, 20 of 20" in row.note for row in scored)


def test_a_cgn_is_kept_for_the_other_reproductions(trained: Study, tmp_path: Path) -> None:
    models = trained.out / "models"
    assert [file.name for file in models.iterdir()] == ["double-0.scm"]
    kept = CGN.load(models / "double-0.scm").sample(3, seed=0)["X"]
    (made,) = trained.cells.glob("seed-0/double-cgn.*/cgn.scm")
    assert torch.equal(kept, CGN.load(made).sample(3, seed=0)["X"])

    ablation = study(tmp_path, "cgn-cf-ablation", kinds="double", models=str(models), ratios="5")
    cgn_cf_ablation.run(ablation)
    assert not list(ablation.cells.glob("seed-0/*-cgn.*"))
    few, many = values(ablation, "unbiased test accuracy, %").values()
    row = "double-coloured: 1,024 images against 256"
    assert values(ablation, "gain, points") == {row: pytest.approx(many - few)}
    assert "each seen 5.0 times" in ablation.rows[0].note
    assert (ablation.out / "ablation.png").stat().st_size > 5_000


def test_gains_of_more_images_and_of_several_of_a_unit(tmp_path: Path) -> None:
    done = study(tmp_path, "cgn-cf-ablation")
    found = {
        ("double", ratio, n): {0: 50.0 + ratio + n, 2: 60.0 + 2 * ratio + n}
        for ratio in (1, 5, 10)
        for n in (4, 7)
    }
    cgn_cf_ablation._tabulate(done, "double", [4, 7], [1, 5, 10], found)
    more, several = (row.values for row in done.rows if row.metric == "gain, points")
    assert more == {0: pytest.approx(3.0), 2: pytest.approx(3.0)}
    assert several == {0: pytest.approx(7.5 - 1), 2: pytest.approx(15 - 2)}


def test_pictures(trained: Study) -> None:
    names = [path.name for path in trained.pictures]
    assert names == ["accuracies.png", "counterfactuals-double.png"]
    assert all(path.stat().st_size > 10_000 for path in trained.pictures)


def test_what_is_kept_is_not_done_again(trained: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    again = study(trained.out, **trained.options)
    monkeypatch.setattr("scm.reproductions.cgn_parts.train_cgn", None)
    monkeypatch.setattr("scm.reproductions.cgn_parts.train", None)
    cgn_mnist.run(again)
    assert [json.dumps(row.as_json()) for row in again.rows] == [
        json.dumps(row.as_json()) for row in trained.rows
    ]


def test_environments_have_all_digits_each_in_colours_of_its_own(tmp_path: Path) -> None:
    here = study(tmp_path)
    seen = environments((1.0, 1.0, 0.5), here, "double")
    assert seen.make is not None
    tied, again, loose = (part.data for part in seen.make())  # type: ignore[union-attr]
    assert torch.equal(tied.labels, again.labels)
    assert torch.equal(tied.labels, loose.labels)
    # The corner shows the background, whose colour has a spread of 0.01.
    corners = [part.images[:, :, 0, 0] for part in (tied, again, loose)]
    assert 0 < (corners[0] - corners[1]).abs().max() < 0.15
    moved = ((corners[0] - corners[2]).abs().amax(1) > 0.15).double().mean()
    assert 0.3 < moved < 0.6  # of one half, nine in ten
    assert seen.settings["batch"] == 3 * 64


def test_choices_are_made_on_validation_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []

    def noted(*given: Any, **settings: Any) -> dict[str, Any]:
        made.append({**settings, "kind": given[2]})
        return {"unbiased": 50.0, "note": ""}

    monkeypatch.setattr("scm.reproductions.cgn_choices.classifier", noted)
    done = study(tmp_path)
    cgn_choices.run(done)
    assert {one["score"] for one in made} == {"validation"}
    keys = ("kind", "minimises", "correlations")
    assert len({tuple(str(one.get(key)) for key in keys) for one in made}) == len(made)
    titles = [row.row for row in done.rows]
    assert "coloured: LNTL, reversal 30 in the second convolution" in titles  # what cgn-mnist has
    assert f"double-coloured: IRM, weight {cgn_mnist.IRM_WEIGHT:g}" in titles


def test_a_published_cgn_that_is_not_there_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCM_DATA", str(tmp_path))
    console = Console(file=io.StringIO(), width=500)
    options = {"data": "digits", "kinds": "double", "rows": "published"}
    done = Study("cgn-mnist", tmp_path, quick=True, options=options, console=console)
    cgn_mnist.run(done)
    assert done.rows == []
    assert "double_colored.pth" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_collapsed_cgn_has_rows_that_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"collapsed": "masks collapsed by step 7", "minutes": 0.5}
    monkeypatch.setattr("scm.reproductions.cgn_sources.cgn_of", lambda *_, **__: (None, found))
    done = study(tmp_path, kinds="coloured", rows="counterfactuals,adversarial")
    cgn_mnist.run(done)
    scored = [row for row in done.rows if "accuracy" in row.metric]
    assert len(scored) == 5
    assert all(row.values == {0: None} and "by step 7" in row.note for row in scored)
    assert "0.5 min" in scored[-1].note


def test_the_adversarial_recipe_takes_the_style_loss_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision("models"), "vgg16", SmallVGG)
    monkeypatch.setattr("scm.reproductions.cgn_sources._BEFORE_POOLING", (3, 7, 11, 15))
    torch.save(SmallVGG().state_dict(), tmp_path / "vgg.pth")
    with pytest.raises(ScmError, match="there is no file"):
        run_with(tmp_path, vgg16=str(tmp_path / "none.pth"))
    (row,) = run_with(tmp_path, vgg16=str(tmp_path / "vgg.pth"))
    assert "style loss of VGG16, vgg.pth;" in row.note
    (row,) = run_with(tmp_path)
    assert "without the style loss" in row.note


def run_with(out: Path, **options: str) -> list[Row]:
    done = study(out / "run", kinds="coloured", rows="adversarial", **options)
    cgn_mnist.run(done)
    return done.rows


def test_textures_that_were_drawn_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCM_DATA", raising=False)
    done = study(tmp_path, kinds="coloured,wildlife", rows="ceiling")
    cgn_mnist.run(done)
    assert [("procedural textures" in row.note) for row in done.rows] == [False, False, True, True]


def test_a_single_row_of_a_group(tmp_path: Path) -> None:
    done = study(tmp_path, kinds="double", rows="erm-2")
    cgn_mnist.run(done)
    assert [row.row for row in done.rows] == ["double-coloured: ERM on the same 2 environments"]


def test_options_that_are_not(tmp_path: Path) -> None:
    assert chosen(study(tmp_path, kinds="wildlife, coloured"), "kinds", KINDS) == [
        "coloured",
        "wildlife",
    ]
    with pytest.raises(ScmError, match=r"rows=ceilings.*'ceiling'"):
        cgn_mnist.run(study(tmp_path, rows="ceilings"))
    with pytest.raises(ScmError, match=r"images=0.*positive"):
        cgn_cf_ablation.run(study(tmp_path, "cgn-cf-ablation", images="0,10"))


def test_a_sheet_keeps_the_shape_along_a_row_and_leaves_the_cgn_as_it_was() -> None:
    cgn = untrained(settings_of("double"))
    before = float(cgn.mechanisms["M"].temperature)  # type: ignore[arg-type]
    images, labels = torch.rand(20, 3, 32, 32), torch.arange(20) % 10
    figure = draw_counterfactuals(cgn, "double", images, labels, shifts=(0, 10, 3))
    shown = [axes.get_images()[0].get_array() for axes in figure.axes]
    assert len(shown) == 10 * 8
    original, again, _, _, _, own, turned, other = (torch.as_tensor(s) for s in shown[8:16])
    assert torch.equal(original, images[1].movedim(0, -1))
    # The textures of no class further on, and of ten, are the unit's own.
    assert torch.allclose(own, again, atol=1e-6)
    assert torch.allclose(turned, again, atol=1e-6)
    assert not torch.allclose(other, again, atol=1e-2)
    assert float(cgn.mechanisms["M"].temperature) == before  # type: ignore[arg-type]


def test_dots_rings_and_ceilings() -> None:
    panels: Any = {"one": {"a": ([10.0, 20.0], 30.0), "b": ([], None)}, "two": {"a": ([5.0], None)}}
    panels["two"]["b"] = ([], None)
    figure = draw_accuracies(panels, {"one": 88.0})
    one, two = (
        [np.asarray(line.get_xdata()).tolist() for line in a.get_lines()] for a in figure.axes
    )
    assert one == [[10.0, 10.0], [88.0, 88.0], [10.0, 20.0], [30.0], []]
    assert two == [[10.0, 10.0], [5.0], []]
    assert [line.get_fillstyle() for line in figure.axes[0].get_lines()[2:4]] == ["full", "none"]
