"""ImageNet and the sets that test what its classifiers have learnt, in their published layouts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, Unpack

import torch
from torch import Tensor

from scm.datasets.imagenet.classes import (
    cue_conflict_indices,
    imagenet9_indices,
    imagenet_ids,
    imagenet_names,
)
from scm.datasets.imagenet.folder import ImageSet, Options, Source, read_folders
from scm.errors import ScmError, nearest

__all__ = [
    "CORRUPTIONS",
    "cue_conflict",
    "image_folder_set",
    "imagenet",
    "imagenet9",
    "imagenet_a",
    "imagenet_c",
    "imagenet_mini",
    "imagenet_sketch",
    "imagenet_stylized",
    "imagenet_v2",
    "objectnet",
]

T = TypeVar("T")
Root = str | Path | None

#: ImageNet-C's corruptions by archive: the first four make the mCE, "extra" is for validation.
CORRUPTIONS = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    "extra": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
}
# What lies behind the objects of each variant of IN-9: the object's own class, the next one,
# nothing, or (None) a class that nobody has written down.
_BACKGROUNDS = {
    "original": 0,
    "mixed_same": 0,
    "mixed_rand": None,
    "mixed_next": 1,
    "no_fg": 0,
    "only_bg_b": 0,
    "only_bg_t": 0,
    "only_fg": None,
    "in9l": 0,
}
_MAPPINGS = (
    "folder_to_objectnet_label.json",
    "objectnet_to_imagenet_1k.json",
    "pytorch_to_imagenet_2012_id.json",
    "imagenet_to_label_2012_v2",
)
_ILSVRC = {"train": 1_281_167, "val": 50_000}
_WORDNET = "n01440764/*.JPEG (one folder per WordNet id)"


def image_folder_set(name: str, root: Root = None, **options: Any) -> ImageSet:
    """Any of the sets by its name, which is that of its function.

    Args:
        name: "imagenet", "imagenet_mini", "imagenet9", "cue_conflict", "imagenet_a",
            "imagenet_sketch", "imagenet_stylized", "imagenet_c", "imagenet_v2" or "objectnet".
        root: Its folder; by default that in the folder of the environment variable SCM_DATA
            which the function's documentation names.
        options: What that function takes; `transform` and `partial` (see `Options`) always.

    Raises:
        ScmError: If there is no such set, its folder is missing or incomplete (what to download,
            and where to put it), or torchvision is missing.

    Example:
        >>> import tempfile; from PIL import Image
        >>> folder = tempfile.TemporaryDirectory()
        >>> (Path(folder.name) / "val" / "n01443537").mkdir(parents=True)
        >>> Image.new("L", (300, 400)).save(f"{folder.name}/val/n01443537/fish.png")
        >>> images = image_folder_set("imagenet", folder.name, split="val", partial=True)
        >>> image, label = images[0]
        >>> images, image.shape, images.classes[label]
        (ImageSet(ImageNet val: 1 images, 1,000 classes), torch.Size([3, 224, 224]), 'goldfish')
        >>> folder.cleanup()
    """
    sets = {f.__name__: f for f in _SETS}
    if name not in sets:
        raise ScmError(f"there is no image set {name!r}; {nearest(name, sets)}")
    return sets[name](root, **options)


def imagenet(root: Root = None, split: str = "val", **options: Unpack[Options]) -> ImageSet:
    """ImageNet (ILSVRC 2012): `imagenet/{train,val}/n01440764/*.JPEG`.

    The validation archive is flat: sort it into class folders first (torchvision's
    `datasets.ImageNet` does).

    Raises:
        ScmError: If the folder is missing or incomplete, or torchvision is missing, or there is no
            such split.

    Source:
        Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge" (2015).

    Example:
        >>> import tempfile; from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = Path(root) / "val" / "n01443537"
        ...     folder.mkdir(parents=True)
        ...     Image.new("RGB", (300, 400)).save(folder / "fish.png")
        ...     imagenet(root, partial=True)
        ImageSet(ImageNet val: 1 images, 1,000 classes)
    """
    images = _one_of("split", split, _ILSVRC)
    tar = f"ILSVRC2012_img_{split}.tar from image-net.org"
    source = Source(f"ImageNet {split}", "imagenet", tar, f"{split}/{_WORDNET}")
    return _wordnet(source, root, split, images, options)


def imagenet_mini(root: Root = None, split: str = "val", **options: Unpack[Options]) -> ImageSet:
    """ImageNet-mini, a few images of every class: `imagenet-mini/{train,val}/n01440764/*.JPEG`.

    Raises:
        ScmError: If the folder is missing or incomplete, or torchvision is missing, or there is no
            such split.

    Source:
        kaggle.com/datasets/ifigotin/imagenetmini-1000.

    Example:
        >>> import tempfile; from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = Path(root) / "train" / "n01443537"
        ...     folder.mkdir(parents=True)
        ...     Image.new("RGB", (300, 400)).save(folder / "fish.png")
        ...     imagenet_mini(root, "train", partial=True)
        ImageSet(ImageNet-mini train: 1 images, 1,000 classes)
    """
    _one_of("split", split, _ILSVRC)
    link = "ifigotin/imagenetmini-1000 from kaggle.com/datasets"
    source = Source(f"ImageNet-mini {split}", "imagenet-mini", link, f"{split}/{_WORDNET}")
    return _wordnet(source, root, split, None, options)


def imagenet_stylized(
    root: Root = None, split: str = "val", **options: Unpack[Options]
) -> ImageSet:
    """Stylized-ImageNet, textures of paintings: `imagenet-stylized/{train,val}/n01440764/*`.

    Raises:
        ScmError: If the folder is missing or incomplete, or torchvision is missing, or there is no
            such split.

    Source:
        Geirhos et al., "ImageNet-trained CNNs are biased towards texture" (2019).

    Example:
        >>> import tempfile; from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = Path(root) / "val" / "n01443537"
        ...     folder.mkdir(parents=True)
        ...     Image.new("RGB", (300, 400)).save(folder / "fish.png")
        ...     imagenet_stylized(root, partial=True)
        ImageSet(Stylized-ImageNet val: 1 images, 1,000 classes)
    """
    images = _one_of("split", split, _ILSVRC)
    link = "and run github.com/rgeirhos/Stylized-ImageNet, which makes it from ImageNet"
    source = Source(f"Stylized-ImageNet {split}", "imagenet-stylized", link, f"{split}/{_WORDNET}")
    return _wordnet(source, root, split, images, options)


def imagenet_sketch(root: Root = None, **options: Unpack[Options]) -> ImageSet:
    """ImageNet-Sketch, 50,889 drawings: `sketch/n01440764/*.JPEG`.

    Raises:
        ScmError: If the folder is missing or incomplete, or torchvision is missing.

    Source:
        Wang et al., "Learning Robust Global Representations by Penalizing Local Predictive
        Power" (2019); github.com/HaohanWang/ImageNet-Sketch.

    Example:
        >>> import tempfile; from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = Path(root) / "n01443537"
        ...     folder.mkdir(parents=True)
        ...     Image.new("RGB", (300, 400)).save(folder / "fish.png")
        ...     imagenet_sketch(root, partial=True)
        ImageSet(ImageNet-Sketch: 1 images, 1,000 classes)
    """
    link = "ImageNet-Sketch.zip, which github.com/HaohanWang/ImageNet-Sketch links to"
    return _wordnet(Source("ImageNet-Sketch", "sketch", link, _WORDNET), root, "", 50_889, options)


def imagenet_a(root: Root = None, **options: Unpack[Options]) -> ImageSet:
    """ImageNet-A, 7,500 images of 200 classes that fool a ResNet-50: `imagenet-a/n01498041/*.jpg`.

    Labels are ImageNet's; `candidates` are the classes with images, among which the authors let
    a classifier choose (fewer, and so easier, in a partial folder).

    Raises:
        ScmError: If the folder is missing or incomplete, or torchvision is missing.

    Source:
        Hendrycks et al., "Natural Adversarial Examples" (2021); `eval.py` of
        github.com/hendrycks/natural-adv-examples.

    Example:
        >>> import tempfile; from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = Path(root) / "n01498041"
        ...     folder.mkdir(parents=True)
        ...     Image.new("RGB", (300, 400)).save(folder / "ray.png")
        ...     imagenet_a(root, partial=True).candidates
        tensor([6])
    """
    link = "imagenet-a.tar, which github.com/hendrycks/natural-adv-examples links to"
    source = Source("ImageNet-A", "imagenet-a", link, "n01498041/*.jpg (200 WordNet ids)")
    found = _wordnet(source, root, "", 7_500, options, classes=200)
    return replace(found, candidates=found.labels.unique())


def imagenet_c(
    root: Root = None,
    corruption: str = "gaussian_noise",
    severity: int = 1,
    **options: Unpack[Options],
) -> ImageSet:
    """ImageNet-C, corrupted validation images: `imagenet-c/fog/3/n01440764/*.JPEG`.

    `corruption` is one of `CORRUPTIONS`, `severity` 1 to 5; both stand in `metadata`. Folders of
    the archives may stay (`imagenet-c/weather/fog/...`). Images are 224 x 224, and stay so.

    Raises:
        ScmError: If the folder is missing or incomplete, or torchvision is missing, or there is no
            such corruption or severity.

    Source:
        Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
        and Perturbations" (2019); github.com/hendrycks/robustness, ImageNet-C/test.py.

    Example:
        >>> import tempfile; from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = Path(root) / "fog" / "3" / "n01443537"
        ...     folder.mkdir(parents=True)
        ...     Image.new("RGB", (300, 400)).save(folder / "fish.png")
        ...     imagenet_c(root, "fog", 3, partial=True)
        ImageSet(ImageNet-C fog 3: 1 images, 1,000 classes)
    """
    groups = {kind: group for group, kinds in CORRUPTIONS.items() for kind in kinds}
    group = _one_of("corruption", corruption, groups)
    if severity not in range(1, 6):
        raise ScmError(f"severity={severity!r} was given; ImageNet-C has 1 to 5")
    within = f"{corruption}/{severity}"
    link = f"{group}.tar of ImageNet-C from zenodo.org/records/2235448"
    name = f"ImageNet-C {corruption} {severity}"
    source = Source(name, "imagenet-c", link, f"{within}/{_WORDNET}")
    root = source.root(root)
    if not (root / corruption).is_dir() and (root / group / corruption).is_dir():
        within = f"{group}/{within}"
    known = {"corruption": corruption, "severity": severity}
    return _wordnet(source, root, within, 50_000, options, resize=224, metadata=known)


def imagenet_v2(
    root: Root = None, variant: str = "matched-frequency", **options: Unpack[Options]
) -> ImageSet:
    """ImageNet-V2, 10,000 new images: `imagenetv2-matched-frequency-format-val/0/*.jpeg`.

    `variant` is "matched-frequency", "threshold0.7" or "top-images". Folders are numbers, 0 to
    999, that *are* the labels; sorted as text (0, 1, 10, 100, ...), as generic loaders do, they
    give wrong ones. WordNet ids are accepted too.

    Raises:
        ScmError: If the folder is missing or incomplete, or torchvision is missing, or there is no
            such variant.

    Source:
        Recht et al., "Do ImageNet Classifiers Generalize to ImageNet?" (2019);
        github.com/modestyachts/ImageNetV2, issue 4.

    Example:
        >>> import tempfile; from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = Path(root) / "7"
        ...     folder.mkdir(parents=True)
        ...     Image.new("RGB", (300, 400)).save(folder / "cock.png")
        ...     imagenet_v2(root, partial=True).labels
        tensor([7])
    """
    _one_of("variant", variant, dict.fromkeys(("matched-frequency", "threshold0.7", "top-images")))
    link = f"imagenetv2-{variant}.tar.gz, which github.com/modestyachts/ImageNetV2 links to"
    folder = f"imagenetv2-{variant}-format-val"
    source = Source(f"ImageNet-V2 {variant}", folder, link, "0/*.jpeg (1,000 folders, 0 to 999)")
    known = {"variant": variant}
    return _wordnet(source, root, "", 10_000, options, numbered=True, metadata=known)


def imagenet9(
    root: Root = None, variant: str = "original", split: str = "val", **options: Unpack[Options]
) -> ImageSet:
    """IN-9, nine coarse classes, and its backgrounds: `bg_challenge/mixed_rand/val/00_dog/*.JPEG`.

    `variant` is "original", "mixed_same", "mixed_rand", "mixed_next", "no_fg", "only_bg_b",
    "only_bg_t", "only_fg" or "in9l"; split "val" is the test set. Where the variant fixes the
    background's class, `metadata["background"]` `(n,)` holds it: the object's own, in "mixed_next"
    the next one. For "mixed_rand" nobody has published it: its file names are those of
    "mixed_next" (issue 8 of the repository). Images are 224 x 224, and stay so.

    Raises:
        ScmError: If the folder is missing or incomplete, or torchvision is missing, or there is no
            such variant or split.

    Source:
        Xiao et al., "Noise or Signal: The Role of Image Backgrounds in Object Recognition"
        (2020); github.com/MadryLab/backgrounds_challenge.

    Example:
        >>> import tempfile; from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = Path(root) / "mixed_next" / "val" / "00_dog"
        ...     folder.mkdir(parents=True)
        ...     Image.new("RGB", (300, 400)).save(folder / "dog.png")
        ...     imagenet9(root, "mixed_next", partial=True).metadata["background"]
        tensor([1])
    """
    shift = _one_of("variant", variant, _BACKGROUNDS)
    _one_of("split", split, _ILSVRC)
    archive = "backgrounds_challenge_data" if split == "val" else variant
    names = tuple(imagenet9_indices())
    folders = {f"{label:02d}_{name}": label for label, name in enumerate(names)}
    found = read_folders(
        Source(
            f"IN-9 {variant} {split}",
            "bg_challenge",
            f"{archive}.tar.gz, which github.com/MadryLab/backgrounds_challenge links to",
            f"{variant}/{split}/00_dog/*.JPEG (and {', '.join(list(folders)[1:])})",
        ),
        root,
        f"{variant}/{split}",
        folders,
        images=4_050 if split == "val" and variant != "in9l" else None,
        resize=224,
        names=names,
        accepted=_accepted(imagenet9_indices().values()),
        **options,
    )
    known = {} if shift is None else {"background": (found.labels + shift) % len(names)}
    return replace(found, metadata={"variant": variant, **known})


def cue_conflict(root: Root = None, **options: Unpack[Options]) -> ImageSet:
    """Shapes in the texture of another class: `style-transfer-preprocessed-512/cat/cat7-dog1.png`.

    The label is the shape's class, `metadata["texture"]` `(n,)` the texture's; in 80 of the
    1,280 images the two are one, and shape bias leaves these out. Images are 224 x 224, and stay
    so. A file name of another form is an error.

    Raises:
        ScmError: If the folder is missing or incomplete, or torchvision is missing, or a file name
            is of another form.

    Source:
        Geirhos et al., "ImageNet-trained CNNs are biased towards texture" (2019);
        github.com/rgeirhos/texture-vs-shape, stimuli/ and README.

    Example:
        >>> import tempfile; from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = Path(root) / "cat"
        ...     folder.mkdir(parents=True)
        ...     Image.new("RGB", (300, 400)).save(folder / "cat7-dog1.png")
        ...     cue_conflict(root, partial=True).metadata["texture"]
        tensor([...])
    """
    names = tuple(cue_conflict_indices())
    folders = {name: label for label, name in enumerate(names)}
    link = "stimuli/style-transfer-preprocessed-512 of github.com/rgeirhos/texture-vs-shape"
    layout = f"airplane/airplane1-bicycle2.png (and {', '.join(names[1:])})"
    source = Source("cue conflict", "style-transfer-preprocessed-512", link, layout)
    found = read_folders(
        source, root, "", folders, images=1_280, resize=224, names=names, **options
    )
    textures = []
    for file, label in zip(found.files, found.labels.tolist(), strict=True):
        parts = re.fullmatch(r"([a-z]+)\d+-([a-z]+)\d+", Path(file).stem)
        if parts is None or parts[1] != names[label] or parts[2] not in folders:
            raise source.error(
                f"{found.root / file} should be called {names[label]}, a number, a dash, the "
                "texture's class, a number"
            )
        textures.append(folders[parts[2]])
    return replace(found, metadata={"texture": torch.tensor(textures)})


def objectnet(root: Root = None, **options: Unpack[Options]) -> ImageSet:
    """ObjectNet's 113 classes that ImageNet has too: `objectnet-1.0/{images,mappings}/`.

    Images of the other 200 classes are left out, and the red border (2 pixels a side, as the
    authors' loader does) is cut off. A label may accept several ImageNet classes (`accepted`),
    as the set's own files in `mappings/` say; a guess at an ImageNet class outside counts as
    wrong. Its licence forbids any training or tuning on it.

    Raises:
        ScmError: If the folder is missing or incomplete, or torchvision is missing, or the files in
            `mappings/` cannot be used.

    Source:
        Barbu et al., "ObjectNet" (2019); github.com/abarbu/objectnet-template-pytorch
        (objectnet_pytorch_dataloader.py, objectnet_eval.py).

    Example:
        >>> import tempfile; from PIL import Image
        >>> texts = ['{"plate": "Plate"}', '{"Plate": "plate"}', '{"923": 0}', "plate"]
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for folder in ("images/plate", "mappings"):
        ...         (Path(root) / folder).mkdir(parents=True)
        ...     for name, text in zip(_MAPPINGS, texts):
        ...         _ = (Path(root) / "mappings" / name).write_text(text)
        ...     Image.new("RGB", (300, 300)).save(f"{root}/images/plate/1.png")
        ...     plates = objectnet(root, partial=True)
        >>> plates, plates.accepted.nonzero().tolist()
        (ImageSet(ObjectNet: 1 images, 1 classes), [[0, 923]])
    """
    layout = f"images/alarm_clock/*.png and mappings/ ({', '.join(_MAPPINGS)})"
    source = Source("ObjectNet", "objectnet-1.0", "objectnet-1.0.zip from objectnet.dev", layout)
    root = source.root(root)
    try:
        texts = [(root / "mappings" / file).read_text(encoding="utf-8") for file in _MAPPINGS]
        by_folder, accepts, line_of = (json.loads(text) for text in texts[:3])
        lines = [line.strip() for line in texts[3].splitlines()]
        index_of = {lines[line]: int(index) for index, line in line_of.items()}
        indices = {name: [index_of[i] for i in accepts[name].split("; ")] for name in accepts}
    except (OSError, ValueError, LookupError) as error:
        raise source.error(f"{root / 'mappings'} cannot be used ({error!r})") from error
    names = tuple(sorted(indices))
    label_of = {name: label for label, name in enumerate(names)}
    return read_folders(
        source,
        root,
        "images",
        {folder: label_of.get(name) for folder, name in by_folder.items()},
        images=18_574,
        names=names,
        accepted=_accepted(indices[name] for name in names),
        border=2,
        **options,
    )


_SETS = (
    imagenet,
    imagenet_mini,
    imagenet_stylized,
    imagenet_sketch,
    imagenet_a,
    imagenet_c,
    imagenet_v2,
    imagenet9,
    cue_conflict,
    objectnet,
)


def _wordnet(
    source: Source,
    root: Root,
    within: str,
    images: int | None,
    options: Options,
    numbered: bool = False,
    **fields: Any,
) -> ImageSet:
    """A set with ImageNet's classes, whose folders are WordNet ids or indices."""
    labels: dict[str, int | None] = {name: label for label, name in enumerate(imagenet_ids())}
    if numbered:
        labels |= {str(label): label for label in range(1000)}
    names = imagenet_names()
    return read_folders(
        source, root, within, labels, images=images, names=names, **fields, **options
    )


def _accepted(indices: Iterable[Sequence[int]]) -> Tensor:
    """ImageNet's indices of each class, as truth values `(classes, 1000)`."""
    rows = [
        torch.zeros(1000, dtype=torch.bool).index_fill(0, torch.tensor(i), True) for i in indices
    ]
    return torch.stack(rows)


def _one_of(what: str, given: str, known: Mapping[str, T]) -> T:
    if given not in known:
        raise ScmError(f"{what}={given!r} was given; {nearest(given, known)}")
    return known[given]
