from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from scm.datasets import celeba
from scm.datasets.celeba import celeba_transform
from scm.errors import ScmError
from tests.datasets.celeba_folder import write_celeba

ROWS = {  # blond, male and smiling; the part of the split; the shade
    "000001.jpg": ((1, 0, 1), 0, 10),
    "000002.jpg": ((0, 1, 0), 0, 20),
    "000003.jpg": ((1, 1, 1), 0, 30),
    "000004.jpg": ((0, 0, 1), 1, 40),
    "000005.jpg": ((1, 0, 0), 2, 50),
}


def write(folder: Path) -> Path:
    return write_celeba(folder, ("Blond_Hair", "Male", "Smiling"), ROWS)


def test_the_lists_are_read_as_they_are(tmp_path):
    root = write(tmp_path / "celeba")
    faces = celeba(root, partial=True, transform=celeba_transform(16, standardise=False))
    assert faces.classes == ("not Blond_Hair", "Blond_Hair")
    by_file = {Path(f).name: k for k, f in enumerate(faces.files)}
    assert set(by_file) == {"000001.jpg", "000002.jpg", "000003.jpg"}
    for file, k in by_file.items():
        (blond, male, smiling), _, shade = ROWS[file]
        image, label = faces[k]
        assert (label, int(faces.metadata["Male"][k])) == (blond, male)
        assert int(faces.metadata["Smiling"][k]) == smiling
        assert image.shape == (3, 16, 16)
        assert torch.allclose(image, torch.tensor(shade / 255), atol=2 / 255)
    assert faces.labels.tolist() == sorted(faces.labels.tolist())
    (images, labels) = next(iter(DataLoader(faces, batch_size=3)))
    assert (images.shape, labels.tolist()) == ((3, 3, 16, 16), [0, 1, 1])
    right = faces.correct(torch.eye(2)[[1, 1, 1]], labels)
    assert right.tolist() == [False, True, True]


def test_splits_targets_and_the_variable(tmp_path, monkeypatch):
    write(tmp_path / "celeba")
    monkeypatch.setenv("SCM_DATA", str(tmp_path))
    test = celeba(split="test", target="Smiling", partial=True)
    assert test.files == ("img_align_celeba/000005.jpg",)
    assert test.classes[int(test.labels[0])] == "not Smiling"
    assert test[0][0].shape == (3, 224, 224)
    with pytest.raises(ScmError, match="'vall' was given; did you mean 'val'"):
        celeba(split="vall", partial=True)
    with pytest.raises(ScmError, match="no attribute 'Blond'; did you mean 'Blond_Hair'"):
        celeba(target="Blond", partial=True)


SAYS = r"Download img_align_celeba.zip, .* to celeba/img_align_celeba/000001.jpg, .*SCM_DATA names"


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda root: (root / "list_attr_celeba.txt").unlink(), "cannot be read"),
        (lambda root: (root / "list_eval_partition.txt").write_text("000001.jpg 3\n"), "0, 1 or 2"),
        (lambda root: (root / "list_attr_celeba.txt").write_text("2\nMale\na.jpg 1\n"), "cut off"),
        (lambda root: (root / "list_attr_celeba.txt").write_text("1\nMale\na.jpg 0\n"), "1 or -1"),
        (lambda root: (root / "img_align_celeba/000001.jpg").unlink(), "2 of the 3 images"),
        (lambda root: (root / "img_align_celeba").rename(root / "images"), "not a folder"),
        (lambda root: None, "attributes of 5 of 202,599"),
    ],
)
def test_what_is_missing_is_said_with_where_to_get_it(tmp_path, damage, problem):
    root = write(tmp_path / "celeba")
    damage(root)
    with pytest.raises(ScmError, match=f"(?s){problem}.*{SAYS}"):
        celeba(root)


def test_no_folder_and_no_images(tmp_path, monkeypatch):
    monkeypatch.delenv("SCM_DATA", raising=False)
    with pytest.raises(ScmError, match=f"SCM_DATA is unset.*{SAYS}"):
        celeba()
    root = write(tmp_path / "celeba")
    for image in (root / "img_align_celeba").iterdir():
        image.unlink()
    with pytest.raises(ScmError, match=f"none of the 3 images.*{SAYS}"):
        celeba(root, partial=True)
    with pytest.raises(ScmError, match=f"not a folder.*{SAYS}"):
        celeba(tmp_path / "elsewhere")
