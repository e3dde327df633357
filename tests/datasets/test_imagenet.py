from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from scm import ScmError
from scm.datasets import image_folder_set
from scm.datasets.imagenet import (
    CORRUPTIONS,
    ImageSet,
    cue_conflict,
    cue_conflict_indices,
    imagenet,
    imagenet9,
    imagenet9_indices,
    imagenet_a,
    imagenet_c,
    imagenet_ids,
    imagenet_mini,
    imagenet_names,
    imagenet_sketch,
    imagenet_stylized,
    imagenet_v2,
    objectnet,
    to_cue_conflict,
    to_imagenet9,
)
from scm.vision import torchvision

NINE = [
    "00_dog",
    "01_bird",
    "02_wheeled vehicle",
    "03_reptile",
    "04_carnivore",
    "05_insect",
    "06_musical instrument",
    "07_primate",
    "08_fish",
]
TENCH, GOLDFISH, COCK, AIRLINER = "n01440764", "n01443537", "n01514668", "n02690373"


def put(path: Path, colour: object = (200, 30, 60), mode: str = "RGB", size: int = 8) -> None:
    """Write an image of one colour; its format is that of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (size, size), colour).save(path)  # type: ignore[arg-type]


def one_hot(*rows: list[int]) -> torch.Tensor:
    """Logits whose largest are the given indices, in that order."""
    logits = torch.zeros(len(rows), 1000)
    for row, indices in zip(logits, rows, strict=True):
        row[indices] = torch.arange(len(indices), 0, -1).float() + 5
    return logits


# The tables.


def test_tables() -> None:
    ids, names = imagenet_ids(), imagenet_names()
    assert len(set(ids)) == len(set(names)) == 1000
    assert list(ids) == sorted(ids)  # the order of torchvision, and of every trained network
    for index, wnid, name in [
        (0, TENCH, "tench"),
        (207, "n02099601", "Golden Retriever"),
        (404, AIRLINER, "airliner"),
        (999, "n15075141", "toilet paper"),
    ]:
        assert (ids[index], names[index]) == (wnid, name)
    assert ids.index("n02504013") in cue_conflict_indices()["elephant"]  # Indian elephant
    assert ids.index("n03041632") in cue_conflict_indices()["knife"]  # cleaver
    for classes, total in ((imagenet9_indices(), 370), (cue_conflict_indices(), 207)):
        indices = [i for several in classes.values() for i in several]
        assert len(indices) == len(set(indices)) == total  # nothing belongs to two classes


def maps() -> Path:
    return Path(os.environ.get("SCM_DATA", "")) / "maps"


@pytest.mark.skipif(not maps().is_dir(), reason="SCM_DATA has no maps")
def test_tables_restate_the_published_ones() -> None:
    lines = (maps() / "imagenet_wordnet_ids.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == list(imagenet_ids())
    names = json.loads((maps() / "imagenet-simple-labels.json").read_text())
    assert names == list(imagenet_names())
    nine = json.loads((maps() / "in_to_in9.json").read_text())
    assert to_imagenet9(torch.eye(1000)).tolist() == [nine[str(i)] for i in range(1000)]


# From 1,000 logits to fewer classes.


@given(st.integers(0, 2**32 - 1))
def test_cue_conflict_is_the_mean_probability(seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (4, 1000))
    odds = np.exp(logits)
    groups = cue_conflict_indices().values()
    expected = [[np.mean(row[list(g)]) / row.sum() for g in groups] for row in odds]
    found = to_cue_conflict(torch.tensor(logits))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_breeds_are_no_head_start() -> None:
    logits = torch.zeros(1, 1000)
    logits[0, 404] = 1.0  # slightly an airliner; 109 breeds of dog sum to far more
    classes = list(cue_conflict_indices())
    assert classes[int(to_cue_conflict(logits).argmax())] == "airplane"


def test_logits_of_another_length() -> None:
    for read in (to_imagenet9, to_cue_conflict):
        with pytest.raises(ScmError, match=r"\(3, 9\).*expected \(\*batch, 1000\)"):
            read(torch.zeros(3, 9))


# Reading images.


def test_order_labels_and_decoding(tmp_path: Path) -> None:
    put(tmp_path / "val" / GOLDFISH / "b.JPEG")
    put(tmp_path / "val" / GOLDFISH / "a.png", 128, "L")
    put(tmp_path / "val" / TENCH / "c.jpg", (0, 255, 255, 0), "CMYK")
    put(tmp_path / "val" / TENCH / "d.png", (200, 30, 60, 128), "RGBA")
    put(tmp_path / "val" / TENCH / "e.png", 1, "P")
    (tmp_path / "val" / TENCH / "notes.txt").write_text("not an image")
    put(tmp_path / "val" / TENCH / "._c.jpg.png")  # hidden, as archives from a Mac leave them
    images = imagenet(tmp_path, "val", partial=True)
    names = [Path(file).name for file in images.files]
    assert names == ["c.jpg", "d.png", "e.png", "a.png", "b.JPEG"]
    assert images.labels.tolist() == [0, 0, 0, 1, 1]
    assert [images.picture(i).mode for i in range(5)] == ["RGB"] * 5
    assert images.picture(1).getpixel((0, 0)) == (200, 30, 60)
    assert images.picture(3).getpixel((0, 0)) == (128, 128, 128)
    red, green, _ = images.picture(0).getpixel((0, 0))  # no cyan ink, all magenta ink
    assert red > 200
    assert green < 60
    batch, labels = next(iter(DataLoader(images, batch_size=5)))
    assert batch.shape == (5, 3, 224, 224)
    assert torch.equal(labels, images.labels)
    assert images[-1][1] == 1
    with pytest.raises(IndexError):
        images[5]


def test_default_transform_is_torchvisions(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    (tmp_path / "train" / TENCH).mkdir(parents=True)
    Image.fromarray(noise).save(tmp_path / "train" / TENCH / "x.png")
    images = imagenet(tmp_path, "train", partial=True)
    theirs = torchvision("models").ResNet50_Weights.IMAGENET1K_V1.transforms()
    assert torch.allclose(images[0][0], theirs(Image.fromarray(noise)), atol=1e-6)
    own = imagenet(tmp_path, "train", partial=True, transform=lambda image: torch.ones(2))
    assert torch.equal(own[0][0], torch.ones(2))


@pytest.mark.parametrize("content", [b"", b"no image", None], ids=["empty", "text", "cut off"])
def test_corrupt_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / TENCH / "sketch_7.png"
    put(path, size=64)
    path.write_bytes(path.read_bytes()[:80] if content is None else content)
    images = imagenet_sketch(tmp_path, partial=True)
    with pytest.raises(ScmError, match=r"sketch_7\.png cannot be decoded .* restore"):
        images[0]


# The sets.


def test_folders_with_wordnet_ids(tmp_path: Path) -> None:
    put(tmp_path / "val" / COCK / "x.JPEG")
    for load in (imagenet, imagenet_mini, imagenet_stylized):
        images = load(tmp_path, "val", partial=True)
        assert images.labels.tolist() == [7]
        assert images.classes[7] == "cock"
    assert imagenet_sketch(tmp_path / "val", partial=True).labels.tolist() == [7]


def test_v2_folders_are_numbers(tmp_path: Path) -> None:
    for number in (100, 10, 2, 999, 1):
        put(tmp_path / str(number) / "x.jpeg")
    images = imagenet_v2(tmp_path, "top-images", partial=True)
    assert images.labels.tolist() == [1, 2, 10, 100, 999]
    assert images.files[2] == "10/x.jpeg"
    assert images.metadata == {"variant": "top-images"}
    put(tmp_path / "val" / "2" / "x.jpeg")
    with pytest.raises(ScmError, match="'2' in .* is none of its class folders"):
        imagenet(tmp_path, partial=True)  # ImageNet's folders are never numbers


def test_imagenet_a_chooses_among_its_classes(tmp_path: Path) -> None:
    for wnid in (GOLDFISH, AIRLINER):
        put(tmp_path / wnid / "0.jpg")
    images = imagenet_a(tmp_path, partial=True)
    assert images.labels.tolist() == [1, 404]
    assert images.candidates is not None
    assert images.candidates.tolist() == [1, 404]
    logits = one_hot([0, 1, 404], [0, 1, 404])  # 0 is no candidate, so 1 is what is chosen
    assert images.correct(logits, images.labels).tolist() == [True, False]
    assert images.correct(logits, images.labels, k=2).tolist() == [True, True]


def test_imagenet_c(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    for path in ("fog/3", "noise/shot_noise/5"):  # as unpacked in one place, and in their own
        (tmp_path / path / GOLDFISH).mkdir(parents=True)
        Image.fromarray(noise).save(tmp_path / path / GOLDFISH / "x.png")
    images = imagenet_c(tmp_path, "fog", 3, partial=True)
    assert images.metadata == {"corruption": "fog", "severity": 3}
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (torch.tensor(noise) / 255 - mean) / std  # neither resized nor cropped
    assert torch.allclose(images[0][0], expected.permute(2, 0, 1), atol=1e-6)
    assert imagenet_c(tmp_path, "shot_noise", 5, partial=True).labels.tolist() == [1]
    assert sum(len(kinds) for group, kinds in CORRUPTIONS.items() if group != "extra") == 15
    with pytest.raises(ScmError, match="did you mean 'snow'"):
        imagenet_c(tmp_path, "snows")
    for severity in (0, 6):
        with pytest.raises(ScmError, match="ImageNet-C has 1 to 5"):
            imagenet_c(tmp_path, "fog", severity)
    with pytest.raises(ScmError, match=r"weather\.tar"):
        imagenet_c(tmp_path, "fog", 4)


def test_imagenet9(tmp_path: Path) -> None:
    variants = ("original", "mixed_same", "mixed_rand", "mixed_next", "only_fg")
    for variant in variants:
        for name in NINE:
            put(tmp_path / variant / "val" / name / "x.JPEG")
    sets = {variant: imagenet9(tmp_path, variant, partial=True) for variant in variants}
    for images in sets.values():
        assert images.labels.tolist() == list(range(9))
        assert images.classes[2] == "wheeled vehicle"
    for variant in ("original", "mixed_same"):
        assert torch.equal(sets[variant].metadata["background"], torch.arange(9))
    assert sets["mixed_next"].metadata["background"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 0]
    for variant in ("mixed_rand", "only_fg"):
        assert "background" not in sets[variant].metadata
    with pytest.raises(ScmError, match="did you mean 'mixed_same'"):
        imagenet9(tmp_path, "mixed-same")


def test_imagenet9_judges_as_the_challenge_does(tmp_path: Path) -> None:
    for name in NINE:
        put(tmp_path / "mixed_same" / "val" / name / "x.JPEG")
    images = imagenet9(tmp_path, "mixed_same", partial=True)
    logits = one_hot([207], [404, 207], [0], [389])  # retriever, airliner, tench, barracouta
    labels = torch.tensor([0, 0, 8, 0])
    expected = to_imagenet9(logits) == labels
    assert expected.tolist() == [True, False, True, False]
    assert torch.equal(images.correct(logits, labels), expected)
    assert images.correct(logits, labels, k=2).tolist()[:2] == [True, True]
    assert images.correct(torch.eye(9), torch.arange(9)).all()  # a classifier of the nine itself


def test_cue_conflict(tmp_path: Path) -> None:
    for name in ("cat/cat7-elephant1.png", "cat/cat3-cat12.png", "airplane/airplane10-dog3.png"):
        put(tmp_path / name)
    images = cue_conflict(tmp_path, partial=True)
    names = [images.classes[label] for label in images.labels]
    textures = [images.classes[code] for code in images.metadata["texture"]]
    assert list(zip(names, textures, strict=True)) == [
        ("airplane", "dog"),
        ("cat", "cat"),
        ("cat", "elephant"),
    ]
    assert len(images.classes) == 16
    logits = 20 * one_hot([404], [285], [385])
    assert images.correct(logits, images.labels).tolist() == [True, True, False]
    assert images.correct(logits, images.metadata["texture"]).tolist() == [False, True, True]
    for name in ("dog7-elephant1.png", "cat7-house1.png", "cat7.png"):
        put(tmp_path / "cat" / name)
        with pytest.raises(ScmError, match=f"{name} should be called cat"):
            cue_conflict(tmp_path, partial=True)
        (tmp_path / "cat" / name).unlink()


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """An ObjectNet of three classes, two of them ImageNet's, one with two of its labels."""
    mappings = {
        "folder_to_objectnet_label.json": {
            "alarm_clock": "Alarm clock",
            "banana": "Banana",
            "air_freshener": "Air freshener",
        },
        "objectnet_to_imagenet_1k.json": {
            "Banana": "banana",
            "Alarm clock": "analog clock; digital clock",
        },
        "pytorch_to_imagenet_2012_id.json": {"409": 1, "530": 3, "954": 0, "0": 2},
    }
    folder = tmp_path / "mappings"
    folder.mkdir()
    for name, content in mappings.items():
        (folder / name).write_text(json.dumps(content))
    lines = "banana\nanalog clock\ntench, Tinca tinca\ndigital clock\n"
    (folder / "imagenet_to_label_2012_v2").write_text(lines)
    for name in ("alarm_clock", "banana", "air_freshener"):
        put(tmp_path / "images" / name / "x.png", (255, 0, 0), size=44)
        image = Image.open(tmp_path / "images" / name / "x.png")
        image.paste((0, 255, 0), (2, 2, 42, 42))
        image.save(tmp_path / "images" / name / "x.png")
    return tmp_path


def test_objectnet(objects: Path) -> None:
    images = objectnet(objects, partial=True)
    assert images.classes == ("Alarm clock", "Banana")
    assert images.files == ("images/alarm_clock/x.png", "images/banana/x.png")
    assert images.picture(0).size == (40, 40)
    assert images.picture(0).getcolors() == [(1600, (0, 255, 0))]  # the red border is gone
    assert images.accepted is not None
    assert images.accepted.nonzero().tolist() == [[0, 409], [0, 530], [1, 954]]
    labels = torch.tensor([0, 0, 0, 1])
    logits = one_hot([409], [530], [0, 409], [409])
    assert images.correct(logits, labels).tolist() == [True, True, False, False]
    assert images.correct(logits, labels, k=2).tolist()[:3] == [True, True, True]
    put(objects / "images" / "banana" / "small.png", size=4)
    with pytest.raises(ScmError, match="4 x 4 pixels, no more than the border"):
        objectnet(objects, partial=True).picture(1)  # "s" is before "x"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("objectnet_to_imagenet_1k.json", None),
        ("objectnet_to_imagenet_1k.json", "{"),
        ("objectnet_to_imagenet_1k.json", '{"Banana": "plantain"}'),
        ("pytorch_to_imagenet_2012_id.json", '{"409": 7}'),
    ],
)
def test_objectnet_mappings_that_do_not_fit(objects: Path, file: str, content: str | None) -> None:
    path = objects / "mappings" / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(ScmError, match="mappings cannot be used"):
        objectnet(objects, partial=True)


# Folders that are missing or incomplete.

LOADERS = [
    (imagenet, "imagenet", r"ILSVRC2012_img_val\.tar"),
    (imagenet_mini, "imagenet-mini", "kaggle"),
    (imagenet_stylized, "imagenet-stylized", "Stylized-ImageNet"),
    (imagenet_sketch, "sketch", "ImageNet-Sketch.zip"),
    (imagenet_a, "imagenet-a", "imagenet-a.tar"),
    (imagenet_c, "imagenet-c", "noise.tar"),
    (imagenet_v2, "imagenetv2-matched-frequency-format-val", "matched-frequency.tar.gz"),
    (imagenet9, "bg_challenge", "backgrounds_challenge_data.tar.gz"),
    (cue_conflict, "style-transfer-preprocessed-512", "texture-vs-shape"),
    (objectnet, "objectnet-1.0", "objectnet-1.0.zip"),
]


@pytest.mark.parametrize(("load", "folder", "download"), LOADERS, ids=[x[1] for x in LOADERS])
def test_missing_folder_says_what_to_do(
    load: Callable[..., ImageSet],
    folder: str,
    download: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SCM_DATA", raising=False)
    said = rf"Download .*{download}.*unpack it to {folder}/.*SCM_DATA"
    with pytest.raises(ScmError, match=rf"SCM_DATA is unset.*{said}"):
        load()
    monkeypatch.setenv("SCM_DATA", str(tmp_path))
    with pytest.raises(ScmError, match=rf"{tmp_path / folder} is not a folder.*{said}"):
        load()
    (tmp_path / folder).mkdir()  # there, but empty
    with pytest.raises(ScmError, match=said):
        load(partial=True)
    with pytest.raises(ScmError, match=said):
        image_folder_set(load.__name__, tmp_path / folder)


def test_default_root_is_in_scm_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCM_DATA", str(tmp_path))
    put(tmp_path / "imagenet-a" / GOLDFISH / "x.jpg")
    assert len(imagenet_a(partial=True)) == 1


def test_incomplete_sets_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "x.JPEG")
    content = (tmp_path / "x.JPEG").read_bytes()
    for wnid in imagenet_ids():
        (tmp_path / "val" / wnid).mkdir(parents=True)
        (tmp_path / "val" / wnid / "x.JPEG").write_bytes(content)
    assert len(imagenet_mini(tmp_path)) == 1000  # one image of each class is all it asks for
    with pytest.raises(ScmError, match="1,000 of 1,000 classes, 1,000 of 50,000 images"):
        imagenet(tmp_path)
    (tmp_path / "val" / COCK / "x.JPEG").unlink()  # the folder is there, its image is not
    with pytest.raises(ScmError, match=r"999 of 1,000 classes.*partial=True"):
        imagenet_mini(tmp_path)
    assert len(imagenet_mini(tmp_path, partial=True)) == 999


def test_folders_that_are_no_class(tmp_path: Path) -> None:
    put(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(ScmError, match="1 images must be sorted into class folders"):
        imagenet(tmp_path)
    put(tmp_path / "val" / "n00000000" / "x.JPEG")
    with pytest.raises(ScmError, match="'n00000000' in .* is none of its class folders"):
        imagenet(tmp_path, partial=True)
    with pytest.raises(ScmError, match="split='test' was given; .*'train', 'val'"):
        imagenet(tmp_path, "test")


def test_unknown_set() -> None:
    with pytest.raises(ScmError, match="no image set 'imagenet_b'; did you mean"):
        image_folder_set("imagenet_b")


# The accuracy rule.


@pytest.fixture(scope="module")
def fish(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    folder = tmp_path_factory.mktemp("imagenet")
    put(folder / "val" / GOLDFISH / "x.png")
    return imagenet(folder, partial=True)


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 1000))
def test_correct_is_the_rank_of_the_label(fish: ImageSet, seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = (
        rng.permuted(np.tile(np.arange(1000.0), (5, 1)), axis=1),
        rng.integers(0, 1000, 5),
    )
    larger = (logits > logits[np.arange(5), labels][:, None]).sum(1)
    found = fish.correct(torch.tensor(logits), torch.tensor(labels), k)
    assert found.tolist() == (larger < k).tolist()


def test_correct_refuses_what_does_not_fit(fish: ImageSet) -> None:
    logits, labels = torch.zeros(2, 1000), torch.tensor([0, 999])
    for shape in ((2, 9), (3, 1000), (1000,)):
        with pytest.raises(ScmError, match=r"expects \(2, 1000\)"):
            fish.correct(torch.zeros(shape), labels)
    with pytest.raises(ScmError, match="ImageNet val has 0 to 999"):
        fish.correct(logits, labels + 1)
    with pytest.raises(ScmError, match="k=0 was given"):
        fish.correct(logits, labels, k=0)
    with pytest.raises(ScmError, match="nan"):
        fish.correct(logits / 0, labels)
