import pytest
import torch

from scm.errors import ScmError
from scm.mechanisms import Image
from scm.mechanisms.latent import LatentGenerator
from scm.reproductions import cage_morphomnist
from scm.reproductions.study import Study


def bars(z):
    """Bars whose width grows with z_0, and whose brightness with z_0 and z_1."""
    across = (torch.arange(28.0) - 13.5).abs()
    width = 3 + z[:, :1].tanh()
    stroke = (4 * (width - across)).sigmoid()[:, None, :] * (across < 10)[:, None]
    return stroke[:, None] * (1 + 0.5 * (z[:, 0] + z[:, 1])).sigmoid()[:, None, None, None]


def test_a_generator_is_audited_and_drawn(monkeypatch, tmp_path):
    from rich.console import Console

    pytest.importorskip("skimage")
    generator = LatentGenerator(bars, 3, Image((1, 28, 28)))
    monkeypatch.setattr(cage_morphomnist, "GENERATORS", {"published": "bars"})
    monkeypatch.setattr(cage_morphomnist, "_published", lambda: generator)
    console = Console(quiet=True)
    study = Study("cage-morphomnist", tmp_path, quick=True, console=console, progress=False)
    cage_morphomnist.run(study)
    found = {row.metric: row.mean for row in study.rows}
    assert found["held-out accuracy of thickness's head, %"] > 85
    assert found["GATE of thickness on intensity"] > 0.05
    # The width is 6 + 2 tanh z_0, and three units to the left take most of the 2 away.
    assert found["thickness after -3 along its head, change in pixels"] < -0.5
    assert found["intensity after -3 along thickness's head, change of 255"] < -20
    assert {path.name for path in study.pictures} == {
        "strips-published.png",
        "nulls-and-curves.png",
    }


def test_the_data_have_a_place(monkeypatch):
    monkeypatch.delenv("SCM_DATA", raising=False)
    with pytest.raises(ScmError, match="SCM_DATA name the folder"):
        cage_morphomnist._published()
